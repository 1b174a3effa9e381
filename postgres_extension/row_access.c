/*
 * row_access.c
 *	  See row_access.h.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "merge_scan.h"
#include "row_access.h"
#include "row_codec.h"

#define ROW_BUFFER_MIN 512

void
row_buffer_init(RowBuffer *buffer, MemoryContext context)
{
	memset(buffer, 0, sizeof(*buffer));
	buffer->context = context;
}

void
row_buffer_free(RowBuffer *buffer)
{
	if (buffer->memory != NULL)
		pfree(buffer->memory);
	buffer->memory = NULL;
	buffer->capacity = 0;
	buffer->tuple.t_data = NULL;
}

/* Room for a tuple, which is the buffer's from now on. */
static HeapTuple
row_buffer_reserve(RowBuffer *buffer, Size needed)
{
	HeapTuple	tuple = &buffer->tuple;

	if (needed > buffer->capacity)
	{
		Size		capacity = Max(needed, Max(buffer->capacity * 2, ROW_BUFFER_MIN));

		row_buffer_free(buffer);
		buffer->memory = MemoryContextAllocHuge(buffer->context, capacity);
		buffer->capacity = capacity;
	}
	tuple->t_data = buffer->memory;
	return tuple;
}

void
row_buffer_copy(RowBuffer *buffer, HeapTuple source)
{
	HeapTuple	tuple = row_buffer_reserve(buffer, source->t_len);

	memcpy(tuple->t_data, source->t_data, source->t_len);
	tuple->t_len = source->t_len;
	tuple->t_self = source->t_self;
	tuple->t_tableOid = source->t_tableOid;
}

HeapTuple
row_buffer_decode(RowBuffer *buffer, Relation table,
				  const uint8 *value, uint32 value_size,
				  const WriteVersion *version, const ItemPointerData *handle)
{
	HeapTuple	tuple = row_buffer_reserve(buffer, row_decoded_size(value, value_size));

	row_decode(value, value_size, tuple);
	if (version != NULL)
	{
		tuple->t_data->t_infomask &= ~HEAP_XMIN_FROZEN;
		HeapTupleHeaderSetXmin(tuple->t_data, version->xid);
		HeapTupleHeaderSetCmin(tuple->t_data, version->cid);
	}
	tuple->t_tableOid = RelationGetRelid(table);
	tuple->t_self = *handle;
	tuple->t_data->t_ctid = *handle;
	return tuple;
}

void
row_buffer_store_copy(RowBuffer *buffer, TupleTableSlot *slot)
{
	MemoryContext old = MemoryContextSwitchTo(slot->tts_mcxt);
	HeapTuple	copy = heap_copytuple(&buffer->tuple);

	MemoryContextSwitchTo(old);
	ExecForceStoreHeapTuple(copy, slot, true);
	slot->tts_tid = copy->t_self;
	slot->tts_tableOid = copy->t_tableOid;
}

bool
row_read(Relation table, const RowAddress *address,
		 const uint8 **value, uint32 *value_size)
{
	WriteVersion *version = address->version;

	if (version != NULL)
	{
		if (version->value_size == 0)
			return false;
		*value = version->value;
		*value_size = version->value_size;
		return true;
	}
	/* FirstCommandId: nothing of our own, the committed version is meant */
	return merged_read(address->key, address->key_size, relation_has_committed(table),
					   FirstCommandId, value, value_size, &version);
}

bool
row_is_visible(const RowAddress *address, CommandId curcid)
{
	const WriteVersion *version = address->version;
	WriteEntry *entry;

	if (version != NULL)
		return write_entry_visible(version->entry, curcid) == version;
	if (write_set_is_empty())
		return true;
	entry = write_set_find(address->key, address->key_size);
	return entry == NULL || write_entry_visible(entry, curcid) == NULL;
}

bool
row_address_is_in(const RowAddress *address, Relation table)
{
	uint32		relfilenode;

	if (address->key_size <= KEY_PREFIX_SIZE || address->key[0] != KEY_NAMESPACE_ROW)
		return false;
	memcpy(&relfilenode, address->key + 1, sizeof(relfilenode));
	return pg_ntoh32(relfilenode) == table->rd_locator.relNumber;
}
