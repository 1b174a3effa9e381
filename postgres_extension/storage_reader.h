/*
 * storage_reader.h
 *	  Reads of committed rows, straight from storage's LMDB map, at a timestamp.
 *
 * Every call is a short LMDB read transaction of its own, so that no reader
 * pins pages for longer than a batch takes to copy.  Storage must have applied
 * the timestamp; a call that finds the transaction's timestamp below the
 * horizon ends with ERROR 54000 instead of a result.
 */
#ifndef BOREALIS_STORAGE_READER_H
#define BOREALIS_STORAGE_READER_H

#include "borealis.h"

/*
 * Where a value is copied to.  It grows as needed; the bytes stay valid until
 * the next call that uses it.  Starts with everything zero but the context.
 */
typedef struct ValueBuffer
{
	uint8	   *data;
	Size		capacity;
	MemoryContext context;
} ValueBuffer;

/*
 * Point read: the newest version at or below the timestamp.  False if there is
 * none or it is a tombstone.
 */
extern bool storage_read(const uint8 *key, uint32 key_size,
						 BorealisTimestamp timestamp,
						 ValueBuffer *buffer, uint32 *value_size);

/* True if a live version exists. */
extern bool storage_exists(const uint8 *key, uint32 key_size,
						   BorealisTimestamp timestamp);

/* What a batch holds beside the keys. */
typedef enum RangeContent
{
	RANGE_KEYS,					/* nothing */
	RANGE_VALUES,				/* stored values */
	RANGE_ROWS					/* stored rows as heap tuples: see row_codec.h */
} RangeContent;

/* A bound of a range may be the successor of the longest key. */
#define BOUND_SIZE_MAX (KEY_SIZE_MAX + 1)

/* An item of a batch: a MAXALIGNed value, its key behind it. */
typedef struct RangeItem
{
	uint32		key_offset;		/* from the batch's data */
	uint32		value_offset;
	uint32		value_size;		/* 0 in batches of keys, the tuple's size in those of rows */
	uint16		key_size;
} RangeItem;

/*
 * Live keys and values of a range, copied out of the map.  Starts with
 * everything zero but the context; data, items and resume are chunks of it that
 * grow and serve call after call.
 */
typedef struct RangeBatch
{
	MemoryContext context;
	uint8	   *data;
	Size		size;
	Size		capacity;
	RangeItem  *items;
	int			count;
	int			item_capacity;
	bool		end;			/* the range is exhausted after this batch */
	bool		has_newer;		/* storage_read_key: the key has a newer version than it shows */
	uint8	   *resume;			/* of ranges */
	uint16		resume_size;
} RangeBatch;

/*
 * Fills the batch with live versions of keys in [lower, upper), in ascending
 * order from lower or in descending order from upper; stops once it holds
 * bytes_wanted or items_wanted, or has looked at a certain number of versions:
 * a batch that is not the end may be empty.  An empty upper means no upper
 * bound.  Unless end is set, call again with the resume key as the new lower
 * bound (ascending) or upper bound (descending).
 */
extern void storage_read_range(RangeBatch *batch,
							   const uint8 *lower, uint32 lower_size,
							   const uint8 *upper, uint32 upper_size,
							   bool backward, RangeContent content,
							   BorealisTimestamp timestamp,
							   Size bytes_wanted, int items_wanted);

/* The same for one key: the batch holds its live version, or nothing, and is the end. */
extern void storage_read_key(RangeBatch *batch, const uint8 *key, uint32 key_size,
							 RangeContent content, BorealisTimestamp timestamp);

/*
 * A key that divides [lower, upper): the first one of the leaf page of the map
 * that comes that many pages behind lower's, or of a page soon after.  False if
 * the range ends before.  The boundary has room for KEY_SIZE_MAX bytes.
 */
extern bool storage_find_boundary(const uint8 *lower, uint32 lower_size,
								  const uint8 *upper, uint32 upper_size, uint64 pages,
								  uint8 *boundary, uint32 *boundary_size);

/* How many leaf pages lie in the range, but for the last one; looks only at their parents. */
extern uint64 storage_count_pages(const uint8 *lower, uint32 lower_size,
								  const uint8 *upper, uint32 upper_size);

/* A key to look up ahead of its use. */
typedef struct PrefetchKey
{
	const uint8 *key;
	uint32		key_size;
} PrefetchKey;

/*
 * Point reads of several keys at once: item n of the batch belongs to key n; a
 * value_size of 0 says that there is no live version.  Stops at bytes_wanted,
 * but not before the first item: the batch's count tells how many keys it got
 * to.  Neighbouring keys cost a fraction of what storage_read does.
 */
extern void storage_reader_prefetch(RangeBatch *batch, const PrefetchKey *keys, int count,
									BorealisTimestamp timestamp, Size bytes_wanted);

/* Estimated rows and bytes of a relfilenode, as counted by storage. */
extern void storage_read_statistics(Oid relfilenode, int64 *rows, int64 *bytes);

#endif							/* BOREALIS_STORAGE_READER_H */
