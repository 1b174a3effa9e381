/*
 * row_codec.c
 *	  A row's stored form (docs/formats.md, "row") to and from a heap tuple.
 *
 * u16 number of attributes, u8 flags, the null bitmap if there is one, then
 * the tuple's data, whose alignment is relative to its own first byte.  What
 * else a tuple header holds says nothing about the row, or is made again.
 */
#include "row_codec.h"

static inline uint32
bitmap_size_of(HeapTupleHeader header)
{
	return (header->t_infomask & HEAP_HASNULL) ? BITMAPLEN(HeapTupleHeaderGetNatts(header)) : 0;
}

Size
row_encoded_size(HeapTuple tuple)
{
	HeapTupleHeader header = tuple->t_data;

	return ROW_HEADER_SIZE + bitmap_size_of(header) + (tuple->t_len - header->t_hoff);
}

void
row_encode(HeapTuple tuple, char *out)
{
	HeapTupleHeader header = tuple->t_data;
	uint16		natts = HeapTupleHeaderGetNatts(header);
	uint32		bitmap_size = bitmap_size_of(header);

	/* A pointer into a TOAST table means nothing to another instance. */
	if (unlikely(HeapTupleHasExternal(tuple)))
		elog(ERROR, "row with external attributes cannot be stored");

	out[0] = natts & 0xFF;
	out[1] = natts >> 8;
	out[2] = bitmap_size > 0 ? ROW_FLAG_HAS_NULLS : 0;
	memcpy(out + ROW_HEADER_SIZE, header->t_bits, bitmap_size);
	memcpy(out + ROW_HEADER_SIZE + bitmap_size, (char *) header + header->t_hoff,
		   tuple->t_len - header->t_hoff);
}

void
row_report_damaged(uint32 len)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored row of %u bytes is damaged", len)));
	pg_unreachable();
}

Size
row_decoded_size(const uint8 *data, uint32 len)
{
	RowLayout	layout;

	if (unlikely(!row_layout_read(&layout, data, len)))
		row_report_damaged(len);
	return row_layout_tuple_size(&layout);
}

void
row_decode(const uint8 *data, uint32 len, HeapTuple tuple_out)
{
	RowLayout	layout;

	if (unlikely(!row_layout_read(&layout, data, len)))
		row_report_damaged(len);
	row_form_tuple(&layout, data, tuple_out->t_data);
	tuple_out->t_len = row_layout_tuple_size(&layout);
	ItemPointerSetInvalid(&tuple_out->t_self);
	tuple_out->t_tableOid = InvalidOid;
}
