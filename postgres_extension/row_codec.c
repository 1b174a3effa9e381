/*
 * row_codec.c
 *	  A row's stored form (docs/formats.md, "row") to and from a heap tuple.
 *
 * u16 number of attributes, u8 flags, the null bitmap if there is one, then
 * the tuple's data, whose alignment is relative to its own first byte.  What
 * else a tuple header holds says nothing about the row, or is made again:
 * HEAP_HASVARWIDTH is always set, since its only reader (nocachegetattr) takes
 * it as leave to look for variable-width attributes.
 */
#include "row_codec.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "utils/memutils.h"

#define ROW_HEADER_SIZE		3		/* attributes and flags */
#define ROW_FLAG_HAS_NULLS	0x01

/* Where the parts of a stored row are, checked against its length. */
typedef struct RowLayout
{
	uint16		natts;
	uint32		bitmap_size;		/* 0 without nulls */
	uint32		data_offset;		/* in the stored form */
	uint32		data_size;
	uint8		hoff;				/* of the data in the tuple */
} RowLayout;

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

static pg_noinline void
report_damaged_row(uint32 len)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("stored row of %u bytes is damaged", len)));
}

static inline RowLayout
row_layout(const uint8 *data, uint32 len)
{
	RowLayout	layout;
	uint8		flags;

	if (unlikely(len < ROW_HEADER_SIZE || len > MaxAllocSize / 2))
		report_damaged_row(len);
	layout.natts = data[0] | (uint16) data[1] << 8;
	flags = data[2];
	if (unlikely(layout.natts > MaxTupleAttributeNumber || (flags & ~ROW_FLAG_HAS_NULLS) != 0))
		report_damaged_row(len);

	layout.bitmap_size = (flags & ROW_FLAG_HAS_NULLS) ? BITMAPLEN(layout.natts) : 0;
	layout.data_offset = ROW_HEADER_SIZE + layout.bitmap_size;
	if (unlikely(layout.data_offset > len))
		report_damaged_row(len);
	layout.data_size = len - layout.data_offset;
	layout.hoff = MAXALIGN(SizeofHeapTupleHeader + layout.bitmap_size);
	return layout;
}

Size
row_decoded_size(const uint8 *data, uint32 len)
{
	RowLayout	layout = row_layout(data, len);

	return (Size) layout.hoff + layout.data_size;
}

void
row_decode(const uint8 *data, uint32 len, HeapTuple tuple_out)
{
	RowLayout	layout = row_layout(data, len);
	HeapTupleHeader header = tuple_out->t_data;

	/* Also the padding between the bitmap and the data. */
	memset(header, 0, layout.hoff);
	HeapTupleHeaderSetXmin(header, FrozenTransactionId);
	HeapTupleHeaderSetXmax(header, InvalidTransactionId);
	header->t_infomask = HEAP_HASVARWIDTH | HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	if (layout.bitmap_size > 0)
		header->t_infomask |= HEAP_HASNULL;
	HeapTupleHeaderSetNatts(header, layout.natts);
	header->t_hoff = layout.hoff;
	ItemPointerSetInvalid(&header->t_ctid);
	memcpy(header->t_bits, data + ROW_HEADER_SIZE, layout.bitmap_size);
	memcpy((char *) header + layout.hoff, data + layout.data_offset, layout.data_size);

	tuple_out->t_len = layout.hoff + layout.data_size;
	ItemPointerSetInvalid(&tuple_out->t_self);
	tuple_out->t_tableOid = InvalidOid;
}
