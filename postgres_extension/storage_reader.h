/*
 * storage_reader.h
 *	  Reads of committed rows, straight from storage's LMDB map, at a timestamp.
 *
 * Every call is a short LMDB read transaction of its own, so that no reader
 * pins pages for longer than a batch takes to copy.
 */
#ifndef BOREALIS_STORAGE_READER_H
#define BOREALIS_STORAGE_READER_H

#include "borealis.h"

#include "nodes/pg_list.h"

/*
 * Calls the function with key, value of the newest version at or below the
 * timestamp.  The bytes belong to the map: copy what is to be kept.
 */
typedef struct CommittedValue
{
	const uint8 *key;
	uint32		key_size;
	const uint8 *value;
	uint32		value_size;
} CommittedValue;

/*
 * Point read.  True and a palloc'd-in-buffer copy if a live version exists.
 * The buffer grows as needed and stays valid until the next call that uses it.
 */
typedef struct ReadBuffer
{
	uint8	   *data;
	Size		capacity;
	MemoryContext context;
} ReadBuffer;

extern bool storage_read(const uint8 *key, uint32 key_size,
						 BorealisTimestamp timestamp,
						 ReadBuffer *buffer, uint32 *value_size);

/* True if a live version exists. */
extern bool storage_exists(const uint8 *key, uint32 key_size,
						   BorealisTimestamp timestamp);

/*
 * A batch of live keys and values in a range, copied out of the map.
 * Items are MAXALIGNed values; keys behind them.
 */
typedef struct RangeItem
{
	uint32		key_offset;
	uint32		value_offset;
	uint32		value_size;
	uint16		key_size;
} RangeItem;

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
} RangeBatch;

/*
 * Fills the batch with live versions of keys in [lower, upper), in ascending
 * order from lower or in descending order from upper; stops at bytes_wanted or
 * items_wanted.  An empty upper means no upper bound.  To go on, call again with the
 * bound moved past the last item (ascending: lower = last key + one zero byte;
 * descending: upper = last key).
 */
extern void storage_read_range(RangeBatch *batch,
							   const uint8 *lower, uint32 lower_size,
							   const uint8 *upper, uint32 upper_size,
							   bool backward, bool keys_only,
							   BorealisTimestamp timestamp,
							   Size bytes_wanted, int items_wanted);

/* Estimated rows and bytes of a relfilenode, as counted by storage. */
extern void storage_read_statistics(Oid relfilenode, int64 *rows, int64 *bytes);

#endif							/* BOREALIS_STORAGE_READER_H */
