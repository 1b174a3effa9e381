/*
 * row_access.h
 *	  From stored rows to tuples in slots.
 */
#ifndef BOREALIS_ROW_ACCESS_H
#define BOREALIS_ROW_ACCESS_H

#include "borealis.h"

#include "access/htup_details.h"
#include "executor/tuptable.h"
#include "row_handle.h"
#include "utils/rel.h"

/*
 * A heap tuple and the memory it is decoded into, reused row after row.  The
 * tuple may also lie elsewhere: see row_buffer_point.
 */
typedef struct RowBuffer
{
	MemoryContext context;
	HeapTupleData tuple;
	HeapTupleHeader memory;
	Size		capacity;
} RowBuffer;

extern void row_buffer_init(RowBuffer *buffer, MemoryContext context);
extern void row_buffer_free(RowBuffer *buffer);

/* Decodes a stored row; version gives an own row its xid and command. */
extern HeapTuple row_buffer_decode(RowBuffer *buffer, Relation table,
								   const uint8 *value, uint32 value_size,
								   const WriteVersion *version,
								   const ItemPointerData *handle);

extern void row_buffer_copy(RowBuffer *buffer, HeapTuple source);

/* Makes a committed row that lies in a batch of rows the buffer's tuple. */
static inline HeapTuple
row_buffer_point(RowBuffer *buffer, Relation table, const uint8 *row, uint32 row_size,
				 const ItemPointerData *handle)
{
	HeapTuple	tuple = &buffer->tuple;

	tuple->t_data = (HeapTupleHeader) row;
	tuple->t_len = row_size;
	tuple->t_tableOid = RelationGetRelid(table);
	tuple->t_self = *handle;
	tuple->t_data->t_ctid = *handle;
	return tuple;
}

/* Puts the tuple into the slot; it stays where it is. */
static inline void
row_store(HeapTuple tuple, TupleTableSlot *slot)
{
	if (likely(slot->tts_ops == &TTSOpsHeapTuple && !TTS_SHOULDFREE(slot)))
	{
		/* ExecStoreHeapTuple, once for each row of a scan, without the calls */
		((HeapTupleTableSlot *) slot)->tuple = tuple;
		((HeapTupleTableSlot *) slot)->off = 0;
		slot->tts_nvalid = 0;
		slot->tts_flags &= ~TTS_FLAG_EMPTY;
	}
	else
		ExecForceStoreHeapTuple(tuple, slot, false);
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = tuple->t_tableOid;
}

/* Puts a copy of the buffer's tuple into the slot, which owns it. */
extern void row_buffer_store_copy(RowBuffer *buffer, TupleTableSlot *slot);

/*
 * Reads the row that the address names, whatever happened to it since in this
 * transaction.  False: there is no such row.
 */
extern bool row_read(Relation table, const RowAddress *address,
					 const uint8 **value, uint32 *value_size);

/* True if the addressed version is the one that the command sees. */
extern bool row_is_visible(const RowAddress *address, CommandId curcid);

/* True if the address lies in the relation's part of the keyspace. */
extern bool row_address_is_in(const RowAddress *address, Relation table);

/* Handle for an item that a scan has found. */
static inline void
row_handle_for_item(const uint8 *key, uint32 key_size, const WriteVersion *version,
					bool is_kept, ItemPointer handle)
{
	if (version != NULL)
		row_handle_for_version(version, handle);
	else if (is_kept)
		row_handle_intern(key, key_size, handle);
	else
		row_handle_transient(handle);
}

#endif							/* BOREALIS_ROW_ACCESS_H */
