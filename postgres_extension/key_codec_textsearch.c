/*
 * key_codec_textsearch.c
 *	  Key encodings of tsvector and tsquery.
 *
 * Their operator classes order by size first and then by the parts, most of
 * them descending; descending numbers are written inverted.
 */
#include "key_codec_types.h"

#include "miscadmin.h"
#include "tsearch/ts_type.h"
#include "tsearch/ts_utils.h"
#include "varatt.h"

/* The greater position first, then the greater weight. */
static uint16
position_order(WordEntryPos position)
{
	return (uint16) ~(WEP_GETPOS(position) << 2 | WEP_GETWEIGHT(position));
}

void
key_encode_tsvector(StringInfo out, const KeyCodec *codec, Datum value)
{
	TSVector	vector = DatumGetTSVector(value);
	WordEntry  *entries = ARRPTR(vector);

	key_append_uint32(out, VARSIZE(vector));
	key_append_int32(out, vector->size);
	for (int i = 0; i < vector->size; i++)
	{
		WordEntry  *entry = &entries[i];

		key_append_uint8(out, entry->haspos ? 0 : 1);
		key_append_bytes(out, STRPTR(vector) + entry->pos, entry->len);
		if (entry->haspos)
		{
			WordEntryPos *positions = POSDATAPTR(vector, entry);
			uint16		count = POSDATALEN(vector, entry);

			key_append_uint16(out, ~count);
			for (int j = 0; j < count; j++)
				key_append_uint16(out, position_order(positions[j]));
		}
	}

	if ((Pointer) vector != DatumGetPointer(value))
		pfree(vector);
}

/*
 * A node with what follows from it, in the order of PostgreSQL's comparison.
 * The number of children follows from the operator.
 */
static void
append_query_node(StringInfo out, QueryItem *item, const char *operands)
{
	check_stack_depth();

	key_append_uint8(out, ~item->type);
	if (item->type == QI_OPR)
	{
		QueryOperator *operator = &item->qoperator;

		/* The right operand lies next to the operator, the left one at "left". */
		key_append_uint8(out, ~operator->oper);
		append_query_node(out, item + 1, operands);
		if (operator->oper != OP_NOT)
			append_query_node(out, item + operator->left, operands);
		if (operator->oper == OP_PHRASE)
			key_append_uint16(out, ~operator->distance);
	}
	else
	{
		QueryOperand *operand = &item->qoperand;

		key_append_int32(out, ~operand->valcrc);
		key_append_bytes(out, operands + operand->distance, operand->length);
	}
}

void
key_encode_tsquery(StringInfo out, const KeyCodec *codec, Datum value)
{
	TSQuery		query = DatumGetTSQuery(value);

	key_append_int32(out, query->size);
	key_append_uint32(out, VARSIZE(query));
	if (query->size > 0)
		append_query_node(out, GETQUERY(query), GETOPERAND(query));

	if ((Pointer) query != DatumGetPointer(value))
		pfree(query);
}
