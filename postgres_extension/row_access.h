/*
 * row_access.h
 *	  From stored rows to tuples in slots.
 */
#ifndef BOREALIS_ROW_ACCESS_H
#define BOREALIS_ROW_ACCESS_H

#include "borealis.h"

#include "access/htup.h"
#include "executor/tuptable.h"
#include "row_handle.h"

/* A heap tuple and the memory it is decoded into, reused row after row. */
typedef struct RowBuffer
{
	MemoryContext context;
	HeapTupleData tuple;
	Size		capacity;
} RowBuffer;

extern void row_buffer_init(RowBuffer *buffer, MemoryContext context);
extern void row_buffer_free(RowBuffer *buffer);

/* Decodes a stored row; version gives an own row its xid and command. */
extern HeapTuple row_buffer_decode(RowBuffer *buffer, Relation table,
								   const uint8 *value, uint32 value_size,
								   const WriteVersion *version,
								   const ItemPointerData *handle);

/* Puts the buffer's tuple into the slot; it stays the buffer's. */
extern void row_buffer_store(RowBuffer *buffer, TupleTableSlot *slot);

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
extern void row_handle_for_item(const uint8 *key, uint32 key_size,
								const WriteVersion *version, bool is_kept,
								ItemPointer handle);

#endif							/* BOREALIS_ROW_ACCESS_H */
