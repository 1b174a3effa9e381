/*
 * row_codec.h
 *	  A row's stored form (docs/formats.md, "row") to and from a heap tuple.
 *
 * The stored form knows the number of attributes, their null bitmap and their
 * data, nothing else: the reader's tuple descriptor says what they are, and
 * attributes beyond the stored number take the descriptor's missing values.
 */
#ifndef BOREALIS_ROW_CODEC_H
#define BOREALIS_ROW_CODEC_H

#include "postgres.h"

#include "access/htup.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "utils/memutils.h"

#include "short_copy.h"

#define ROW_HEADER_SIZE		3	/* attributes and flags */
#define ROW_FLAG_HAS_NULLS	0x01

/*
 * The tuple must be flattened: no external TOAST pointers in it.  row_encode
 * writes exactly row_encoded_size bytes.
 */
extern Size row_encoded_size(HeapTuple tuple);
extern void row_encode(HeapTuple tuple, char *out);

/*
 * Rebuilds a tuple that everybody sees (xmin frozen) in the caller's MAXALIGNed
 * buffer t_data of row_decoded_size bytes; sets t_len, an invalid t_self and
 * t_tableOid.  The stored form may be unaligned.  ERROR if its lengths do not
 * agree with len; that the attributes agree with a tuple descriptor is not
 * checked.
 */
extern Size row_decoded_size(const uint8 *data, uint32 len);
extern void row_decode(const uint8 *data, uint32 len, HeapTuple tuple_out);

/* ERROR for a stored row of that many bytes. */
extern void row_report_damaged(uint32 len) pg_attribute_noreturn();

/*
 * The same in two steps that report nothing, for whoever must not.
 */

/* Where the parts of a stored row are, checked against its length. */
typedef struct RowLayout
{
	uint16		natts;
	uint8		hoff;			/* of the data in the tuple */
	uint32		bitmap_size;	/* 0 without nulls */
	uint32		data_offset;	/* in the stored form */
	uint32		data_size;
} RowLayout;

/* False: the row is damaged. */
static inline bool
row_layout_read(RowLayout *layout, const uint8 *data, uint32 len)
{
	uint8		flags;

	if (unlikely(len < ROW_HEADER_SIZE || len > MaxAllocSize / 2))
		return false;
	layout->natts = data[0] | (uint16) data[1] << 8;
	flags = data[2];
	if (unlikely(layout->natts > MaxTupleAttributeNumber || (flags & ~ROW_FLAG_HAS_NULLS) != 0))
		return false;

	layout->bitmap_size = (flags & ROW_FLAG_HAS_NULLS) ? BITMAPLEN(layout->natts) : 0;
	layout->data_offset = ROW_HEADER_SIZE + layout->bitmap_size;
	if (unlikely(layout->data_offset > len))
		return false;
	layout->data_size = len - layout->data_offset;
	layout->hoff = MAXALIGN(SizeofHeapTupleHeader + layout->bitmap_size);
	return true;
}

static inline uint32
row_layout_tuple_size(const RowLayout *layout)
{
	return layout->hoff + layout->data_size;
}

/*
 * HEAP_HASVARWIDTH is always set, since its only reader (nocachegetattr) takes
 * it as leave to look for variable-width attributes.
 */
static inline void
row_form_tuple(const RowLayout *layout, const uint8 *data, HeapTupleHeader header)
{
	/* Also the padding between the bitmap and the data. */
	memset(header, 0, MAXALIGN(SizeofHeapTupleHeader));
	HeapTupleHeaderSetXmin(header, FrozenTransactionId);
	HeapTupleHeaderSetXmax(header, InvalidTransactionId);
	header->t_infomask = HEAP_HASVARWIDTH | HEAP_XMIN_FROZEN | HEAP_XMAX_INVALID;
	HeapTupleHeaderSetNatts(header, layout->natts);
	header->t_hoff = layout->hoff;
	ItemPointerSetInvalid(&header->t_ctid);
	if (layout->bitmap_size > 0)
	{
		header->t_infomask |= HEAP_HASNULL;
		memset(header->t_bits, 0, layout->hoff - SizeofHeapTupleHeader);
		memcpy(header->t_bits, data + ROW_HEADER_SIZE, layout->bitmap_size);
	}
	copy_short((char *) header + layout->hoff, data + layout->data_offset, layout->data_size);
}

#endif							/* BOREALIS_ROW_CODEC_H */
