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

#endif							/* BOREALIS_ROW_CODEC_H */
