/*
 * key_codec.c
 *	  A column of a key: marker byte, then the payload of its type, inverted if
 *	  the column is descending.
 */
#include "key_codec_types.h"

void
key_column_init(KeyColumn *col, Oid opfamily, Oid opcintype, Oid type_id,
				Oid collation, bool descending, bool nulls_first)
{
	KeyRefusal	refusal = {0};

	memset(col, 0, sizeof(*col));
	if (!key_codec_resolve(&col->codec, opfamily, opcintype, type_id, collation, &refusal))
		key_codec_refuse(&refusal);
	col->is_descending = descending;
	col->null_marker = nulls_first ? KEY_MARKER_NULL_FIRST : KEY_MARKER_NULL_LAST;
}

bool
key_column_supported(Oid opfamily, Oid opcintype, Oid type_id, Oid collation,
					 const char **reason)
{
	KeyCodec	codec;
	KeyRefusal	refusal = {0};

	if (key_codec_resolve(&codec, opfamily, opcintype, type_id, collation, &refusal))
		return true;
	*reason = refusal.message;
	return false;
}

void
key_encode_column(StringInfo out, const KeyColumn *col, Datum value, bool isnull)
{
	int			start;

	if (isnull)
	{
		key_append_uint8(out, col->null_marker);
		return;
	}

	key_append_uint8(out, KEY_MARKER_VALUE);
	start = out->len;
	col->codec.encode(out, &col->codec, value);
	if (col->is_descending)
		for (int i = start; i < out->len; i++)
			out->data[i] = ~out->data[i];
}
