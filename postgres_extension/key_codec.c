/*
 * key_codec.c
 *	  Which encoding a key column has, and the column around the payload:
 *	  marker byte, payload, inverted if descending.
 *
 * The comparison function of an operator class follows from its family and
 * input type, both of PostgreSQL's own catalog; anything else is refused.
 */
#include "key_codec_types.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/syscache.h"

/* Oids that pg_opfamily.h has no name for. */
#define RECORD_IMAGE_BTREE_FAM_OID 3194

/* Why a column cannot be a key: messages in the current memory context. */
typedef struct KeyRefusal
{
	const char *message;
	const char *hint;
} KeyRefusal;

static KeyEncodeFunction
encoder_of(Oid opfamily, Oid opcintype)
{
	switch (opcintype)
	{
		case BOOLOID:
			return key_encode_bool;
		case CHAROID:
			return key_encode_char;
		case INT2OID:
			return key_encode_int2;
		case INT4OID:
		case DATEOID:
			return key_encode_int4;
		case INT8OID:
		case TIMEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
		case MONEYOID:
			return key_encode_int8;
		case OIDOID:
			return key_encode_uint4;
		case PG_LSNOID:
		case XID8OID:
			return key_encode_uint8;
		case FLOAT4OID:
			return key_encode_float4;
		case FLOAT8OID:
			return key_encode_float8;
		case NUMERICOID:
			return key_encode_numeric;
		case TIMETZOID:
			return key_encode_timetz;
		case INTERVALOID:
			return key_encode_interval;
		case TIDOID:
			return key_encode_tid;
		case UUIDOID:
		case MACADDROID:
		case MACADDR8OID:
			return key_encode_fixed_bytes;
		case TEXTOID:
			return key_encode_text;
		case BPCHAROID:
			return key_encode_bpchar;
		case NAMEOID:
			return key_encode_name;
		case BYTEAOID:
			return key_encode_bytea;
		default:
			return NULL;
	}
}

/* The pattern families compare bytes whatever the collation says. */
static bool
compares_by_collation(Oid opfamily)
{
	return opfamily == TEXT_BTREE_FAM_OID || opfamily == BPCHAR_BTREE_FAM_OID;
}

static char *
opfamily_name(Oid opfamily)
{
	HeapTuple	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(opfamily));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", opfamily);
	name = pstrdup(NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return name;
}

static bool
collation_is_bytewise(Oid collation, KeyRefusal *refusal)
{
	if (lc_collate_is_c(collation))
		return true;
	refusal->message = OidIsValid(collation)
		? psprintf("collation \"%s\" cannot order a key", get_collation_name(collation))
		: "a key of a character type needs a collation";
	refusal->hint = "Use COLLATE \"C\" for the column or in the index.";
	return false;
}

/* Fills the codec and returns true, or says why not and returns false. */
static bool
resolve_codec(KeyCodec *codec, Oid opfamily, Oid opcintype, Oid type_id,
			  Oid collation, KeyRefusal *refusal)
{
	if (opfamily >= FirstNormalObjectId || opfamily == RECORD_IMAGE_BTREE_FAM_OID)
	{
		refusal->message = psprintf("operator family \"%s\" cannot order a key",
									opfamily_name(opfamily));
		refusal->hint = "Use the default operator class of a built-in type.";
		return false;
	}
	if (compares_by_collation(opfamily) && !collation_is_bytewise(collation, refusal))
		return false;

	codec->type_id = getBaseType(type_id);
	codec->collation = collation;
	get_typlenbyvalalign(codec->type_id, &codec->typlen, &codec->typbyval, &codec->typalign);
	codec->encode = encoder_of(opfamily, opcintype);
	if (codec->encode == NULL)
	{
		refusal->message = psprintf("type %s cannot be a key", format_type_be(type_id));
		refusal->hint = "Use an expression of another type, such as a cast to text.";
		return false;
	}
	return true;
}

void
key_column_init(KeyColumn *col, Oid opfamily, Oid opcintype, Oid type_id,
				Oid collation, bool descending, bool nulls_first)
{
	KeyRefusal	refusal = {0};

	memset(col, 0, sizeof(*col));
	if (!resolve_codec(&col->codec, opfamily, opcintype, type_id, collation, &refusal))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg_internal("%s", refusal.message),
				 errhint("%s", refusal.hint)));
	col->is_descending = descending;
	col->null_marker = nulls_first ? KEY_MARKER_NULL_FIRST : KEY_MARKER_NULL_LAST;
}

bool
key_column_supported(Oid opfamily, Oid opcintype, Oid type_id, Oid collation,
					 const char **reason)
{
	KeyCodec	codec;
	KeyRefusal	refusal = {0};

	if (resolve_codec(&codec, opfamily, opcintype, type_id, collation, &refusal))
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
