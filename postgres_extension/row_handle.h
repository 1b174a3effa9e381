/*
 * row_handle.h
 *	  Item pointers as handles of row versions.
 *
 * Postgres addresses rows by ItemPointer.  Here one stands for a version:
 *	 - an own version: its number in the write set, top bit set;
 *	 - a committed row that a plan may come back for: an interned handle, one
 *	   for each key, valid until the transaction ends;
 *	 - a committed row that a scan is just returning: a transient handle,
 *	   which only names the current row, so that scans cost no memory.
 */
#ifndef BOREALIS_ROW_HANDLE_H
#define BOREALIS_ROW_HANDLE_H

#include "borealis.h"

#include "access/htup.h"
#include "port/pg_bitutils.h"
#include "storage/itemptr.h"
#include "write_set.h"

/* What a handle names.  The key belongs to the handle table or the write set. */
typedef struct RowAddress
{
	const uint8 *key;
	uint32		key_size;
	WriteVersion *version;		/* NULL: the committed version */
} RowAddress;

/*
 * The row that an index scan has just found, for the fetch that follows.  The
 * pointers are the scan's and valid until its next step or its end.
 */
typedef struct CurrentRow
{
	ItemPointerData handle;
	Oid			relfilenode;
	RowAddress	address;
	HeapTuple	tuple;			/* the row, or NULL if it must be read */
	bool		keys_only;		/* index-only scan: nobody will look at the row */
} CurrentRow;

extern CurrentRow current_row;

static inline void
forget_current_row(void)
{
	ItemPointerSetInvalid(&current_row.handle);
}

/* Offsets of one block: a number is block * offsets + offset - 1. */
#define ROW_HANDLE_OFFSETS 256
/* Numbers below it are transient. */
#define ROW_HANDLE_TRANSIENTS 1024

extern uint32 row_handle_transient_next;

/*
 * The block number in one store: a handle is copied a moment later, and a load
 * that spans two stores waits for both to reach the cache.
 */
static inline void
row_handle_set_number(ItemPointer handle, uint64 number)
{
	BlockNumber block = (BlockNumber) (number / ROW_HANDLE_OFFSETS);

#ifndef WORDS_BIGENDIAN
	block = pg_rotate_left32(block, 16);
#endif
	memcpy(&handle->ip_blkid, &block, sizeof(block));
	handle->ip_posid = (OffsetNumber) (number % ROW_HANDLE_OFFSETS) + 1;
}

static inline void
row_handle_transient(ItemPointer handle)
{
	row_handle_set_number(handle, row_handle_transient_next++ % ROW_HANDLE_TRANSIENTS);
}

extern void row_handle_for_version(const WriteVersion *version, ItemPointer handle);
extern void row_handle_intern(const uint8 *key, uint32 key_size, ItemPointer handle);
/* A handle that only tells order, for samples. */
extern void row_handle_for_order(uint64 number, ItemPointer handle);

/*
 * False if the handle names nothing that this transaction knows.  Transient
 * handles are not resolved: who finds one compares it with current_row.
 */
extern bool row_handle_resolve(const ItemPointerData *handle, RowAddress *address);
/*
 * Is this committed row the one that the plan has just found?  Mostly it is, and
 * then there is no need to look into the map again.
 */
static inline bool
row_is_current(ItemPointer handle, const RowAddress *address)
{
	return address->version == NULL && current_row.tuple != NULL &&
		current_row.address.version == NULL && ItemPointerEquals(handle, &current_row.handle);
}

extern bool row_handle_is_transient(const ItemPointerData *handle);

/*
 * True while a query runs that may come back for the rows it scans: it
 * modifies or locks, or is a cursor.
 */
extern bool row_handles_are_kept;

extern void row_handles_reset(void);

#endif							/* BOREALIS_ROW_HANDLE_H */
