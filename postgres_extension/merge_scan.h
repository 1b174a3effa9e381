/*
 * merge_scan.h
 *	  A range of keys as the current transaction sees it: committed versions
 *	  at the read timestamp, merged with the write set.
 */
#ifndef BOREALIS_MERGE_SCAN_H
#define BOREALIS_MERGE_SCAN_H

#include "borealis.h"

#include "lib/stringinfo.h"
#include "storage_reader.h"
#include "utils/snapshot.h"
#include "write_set.h"

typedef struct MergeScan
{
	/* the current item, after merge_scan_next returned true */
	const uint8 *key;
	uint32		key_size;
	uint32		value_size;
	const uint8 *value;			/* a committed one: as the scan's content says */
	WriteVersion *version;		/* NULL: committed */

	/* private */
	const uint8 *only_key;		/* all of the range; NULL: the bounds count */
	uint32		only_key_size;
	StringInfoData lower;
	StringInfoData upper;
	bool		backward;
	bool		has_committed;
	RangeContent content;
	CommandId	curcid;
	BorealisTimestamp timestamp;
	RangeBatch	batch;
	int			batch_next;
	bool		batch_last;
	Size		bytes_wanted;
	int			items_wanted;
	WriteEntry *own;
} MergeScan;

/* Own versions that a snapshot sees are those before this command. */
extern CommandId snapshot_command(Snapshot snapshot);

extern void merge_scan_init(MergeScan *scan, MemoryContext context);

/*
 * Starts over [lower, upper).  has_committed is false for a relfilenode that
 * this transaction created.  With RANGE_ROWS the value of a committed item is a
 * HeapTupleHeader, that of an own item a stored row as ever.  items_expected
 * sizes the first batch.
 */
extern void merge_scan_start(MergeScan *scan, const uint8 *lower, uint32 lower_size,
							 const uint8 *upper, uint32 upper_size,
							 bool backward, bool has_committed, RangeContent content,
							 CommandId curcid, int items_expected);
/* Over one key, which stays the caller's.  scan->batch.has_newer tells of it after the first step. */
extern void merge_scan_start_key(MergeScan *scan, const uint8 *key, uint32 key_size,
								 bool has_committed, RangeContent content, CommandId curcid);
extern bool merge_scan_next(MergeScan *scan);

/* The same for an item of the batch at hand that no own entry precedes; false if there is none. */
static inline bool
merge_scan_next_of_batch(MergeScan *scan)
{
	const RangeItem *item = &scan->batch.items[scan->batch_next];

	if (unlikely(scan->own != NULL || scan->batch_next >= scan->batch.count))
		return false;
	scan->key = scan->batch.data + item->key_offset;
	scan->key_size = item->key_size;
	scan->value = scan->batch.data + item->value_offset;
	scan->value_size = item->value_size;
	scan->version = NULL;
	scan->batch_next++;
	return true;
}

extern void merge_scan_free(MergeScan *scan);

/* True if storage may hold versions of this relation's keys. */
extern bool relation_has_committed(Relation relation);

/*
 * Point read.  The value stays valid until the next call; version is NULL for
 * a committed one.
 */
extern bool merged_read(const uint8 *key, uint32 key_size, bool has_committed,
						CommandId curcid,
						const uint8 **value, uint32 *value_size, WriteVersion **version);

#endif							/* BOREALIS_MERGE_SCAN_H */
