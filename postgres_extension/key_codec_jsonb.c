/*
 * key_codec_jsonb.c
 *	  Key encoding of jsonb.
 *
 * jsonb compares token by token in storage order: type, then for a container
 * its number of members before the members themselves, for a scalar its value.
 * Keys and strings compare in the database's collation.  A scalar at the top is
 * an array of one element marked raw, below a real array of one element (and,
 * as in PostgreSQL, above the empty array).
 */
#include "key_codec_types.h"

#include "utils/jsonb.h"
#include "utils/numeric.h"

typedef enum TokenMarker
{
	TOKEN_NULL = 1,
	TOKEN_STRING = 2,
	TOKEN_NUMERIC = 3,
	TOKEN_BOOL = 4,
	TOKEN_ARRAY = 5,
	TOKEN_OBJECT = 6
} TokenMarker;

static void
append_scalar(StringInfo out, const JsonbValue *scalar)
{
	switch (scalar->type)
	{
		case jbvNull:
			key_append_uint8(out, TOKEN_NULL);
			break;
		case jbvString:
			key_append_uint8(out, TOKEN_STRING);
			key_append_characters(out, scalar->val.string.val, scalar->val.string.len);
			break;
		case jbvNumeric:
			key_append_uint8(out, TOKEN_NUMERIC);
			key_encode_numeric(out, NULL, NumericGetDatum(scalar->val.numeric));
			break;
		case jbvBool:
			key_append_uint8(out, TOKEN_BOOL);
			key_append_uint8(out, scalar->val.boolean ? 1 : 0);
			break;
		default:
			elog(ERROR, "unexpected jsonb scalar type %d", (int) scalar->type);
	}
}

void
key_encode_jsonb(StringInfo out, const KeyCodec *codec, Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	JsonbIterator *iterator = JsonbIteratorInit(&jsonb->root);
	JsonbIteratorToken token;
	JsonbValue	item;
	bool		is_top = true;

	while ((token = JsonbIteratorNext(&iterator, &item, false)) != WJB_DONE)
	{
		switch (token)
		{
			case WJB_BEGIN_ARRAY:
				key_append_uint8(out, TOKEN_ARRAY);
				key_append_uint32(out, item.val.array.nElems);
				if (is_top)
					key_append_uint8(out, item.val.array.rawScalar ? 0 : 1);
				break;
			case WJB_BEGIN_OBJECT:
				key_append_uint8(out, TOKEN_OBJECT);
				key_append_uint32(out, item.val.object.nPairs);
				break;
			case WJB_KEY:
				key_append_characters(out, item.val.string.val, item.val.string.len);
				break;
			case WJB_ELEM:
			case WJB_VALUE:
				append_scalar(out, &item);
				break;
			default:
				break;			/* ends follow from the numbers of members */
		}
		is_top = false;
	}

	if ((Pointer) jsonb != DatumGetPointer(value))
		pfree(jsonb);
}
