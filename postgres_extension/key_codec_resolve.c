/*
 * key_codec_resolve.c
 *	  Which encoding the values of a type have, or why they have none.
 *
 * The comparison function of an operator class follows from its family and
 * input type.  Those of PostgreSQL's own catalog are known here; whatever users
 * define is refused, as is any order that bytes cannot follow.
 */
#include "key_codec_types.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_range.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* record_image_ops, for which pg_opfamily.h has no name */
#define RECORD_IMAGE_BTREE_FAM_OID 3194

static KeyEncodeFunction
fixed_width_encoder_of(Oid opcintype)
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
		default:
			return NULL;
	}
}

static KeyEncodeFunction
encoder_of(Oid opcintype)
{
	switch (opcintype)
	{
		case NUMERICOID:
			return key_encode_numeric;
		case TEXTOID:
			return key_encode_text;
		case BPCHAROID:
			return key_encode_bpchar;
		case NAMEOID:
			return key_encode_name;
		case BYTEAOID:
			return key_encode_bytea;
		case BITOID:
		case VARBITOID:
			return key_encode_bit;
		case INETOID:
			return key_encode_inet;
		case JSONBOID:
			return key_encode_jsonb;
		case TSVECTOROID:
			return key_encode_tsvector;
		case TSQUERYOID:
			return key_encode_tsquery;
		case OIDVECTOROID:
			return key_encode_oidvector;
		case ANYENUMOID:
			return key_encode_enum;
		case ANYARRAYOID:
			return key_encode_array;
		case ANYRANGEOID:
			return key_encode_range;
		case ANYMULTIRANGEOID:
			return key_encode_multirange;
		case RECORDOID:
			return key_encode_record;
		default:
			return fixed_width_encoder_of(opcintype);
	}
}

static bool
refuse(KeyRefusal *refusal, const char *hint, const char *message)
{
	refusal->message = message;
	refusal->hint = hint;
	return false;
}

static bool
opfamily_is_known(Oid opfamily, KeyRefusal *refusal)
{
	HeapTuple	tuple;
	char	   *name;

	if (opfamily < FirstNormalObjectId && opfamily != RECORD_IMAGE_BTREE_FAM_OID)
		return true;

	tuple = SearchSysCache1(OPFAMILYOID, ObjectIdGetDatum(opfamily));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for operator family %u", opfamily);
	name = psprintf("operator family \"%s\" cannot order a key",
					NameStr(((Form_pg_opfamily) GETSTRUCT(tuple))->opfname));
	ReleaseSysCache(tuple);
	return refuse(refusal, "Use the default operator class of a built-in type.", name);
}

static bool
collation_is_bytewise(Oid collation, KeyRefusal *refusal)
{
	if (lc_collate_is_c(collation))
		return true;
	if (!OidIsValid(collation))
		return refuse(refusal, "Use COLLATE \"C\" for the column or in the index.",
					  "a key of a character type needs a collation");
	return refuse(refusal, "Use COLLATE \"C\" for the column or in the index.",
				  psprintf("collation \"%s\" cannot order a key", get_collation_name(collation)));
}

/*
 * Whether strings of the operator class are in byte order.  The pattern
 * families compare bytes whatever the collation says.
 */
static bool
strings_are_bytewise(Oid opfamily, Oid opcintype, Oid collation, KeyRefusal *refusal)
{
	if (opfamily == TEXT_BTREE_FAM_OID || opfamily == BPCHAR_BTREE_FAM_OID)
		return collation_is_bytewise(collation, refusal);
	if (opcintype == JSONBOID)
		return collation_is_bytewise(DEFAULT_COLLATION_OID, refusal);
	return true;
}

/*
 * A composite type of its own.  Row types of tables are refused: ALTER TABLE
 * changes them in ways that would reorder the values that are stored.
 */
static bool
resolve_attributes(Oid type_id, KeyRefusal *refusal)
{
	Oid			relation = get_typ_typrelid(type_id);
	TupleDesc	descriptor;
	bool		resolved = true;

	if (!OidIsValid(relation) || get_rel_relkind(relation) != RELKIND_COMPOSITE_TYPE)
		return refuse(refusal, "Use the columns themselves, or a type of its own (CREATE TYPE ... AS).",
					  psprintf("row type %s cannot be a key", format_type_be(type_id)));

	descriptor = lookup_rowtype_tupdesc_copy(type_id, -1);
	for (int i = 0; i < descriptor->natts && resolved; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
		KeyCodec	codec;

		if (!attribute->attisdropped)
			resolved = key_codec_resolve_type(&codec, attribute->atttypid,
											  attribute->attcollation, refusal);
	}
	FreeTupleDesc(descriptor);
	return resolved;
}

/* Whether the values inside values of the type can be encoded. */
static bool
resolve_parts(Oid opcintype, Oid type_id, Oid collation, KeyRefusal *refusal)
{
	KeyCodec	codec;

	check_stack_depth();
	switch (opcintype)
	{
		case ANYARRAYOID:
			return key_codec_resolve_type(&codec, get_element_type(type_id), collation, refusal);
		case ANYRANGEOID:
			return key_codec_resolve_range_bound(&codec, type_id, refusal);
		case ANYMULTIRANGEOID:
			return key_codec_resolve_range_bound(&codec, get_multirange_range(type_id), refusal);
		case RECORDOID:
			return resolve_attributes(type_id, refusal);
		default:
			return true;
	}
}

bool
key_codec_resolve(KeyCodec *codec, Oid opfamily, Oid opcintype, Oid type_id,
				  Oid collation, KeyRefusal *refusal)
{
	if (!opfamily_is_known(opfamily, refusal) ||
		!strings_are_bytewise(opfamily, opcintype, collation, refusal))
		return false;

	codec->encode = encoder_of(opcintype);
	if (codec->encode == NULL)
		return refuse(refusal, "Use an expression of another type, such as a cast to text.",
					  psprintf("type %s cannot be a key", format_type_be(type_id)));
	codec->type_id = getBaseType(type_id);
	codec->collation = collation;
	get_typlenbyvalalign(codec->type_id, &codec->typlen, &codec->typbyval, &codec->typalign);
	return resolve_parts(opcintype, codec->type_id, collation, refusal);
}

bool
key_codec_resolve_type(KeyCodec *codec, Oid type_id, Oid collation, KeyRefusal *refusal)
{
	TypeCacheEntry *type = lookup_type_cache(type_id, TYPECACHE_BTREE_OPFAMILY);

	if (!OidIsValid(type->btree_opf))
		return refuse(refusal, "Use an expression of another type, such as a cast to text.",
					  psprintf("type %s cannot be a part of a key: it has no order",
							   format_type_be(type_id)));
	return key_codec_resolve(codec, type->btree_opf, type->btree_opintype, type_id,
							 collation, refusal);
}

bool
key_codec_resolve_range_bound(KeyCodec *codec, Oid range_type, KeyRefusal *refusal)
{
	HeapTuple	tuple = SearchSysCache1(RANGETYPE, ObjectIdGetDatum(range_type));
	FormData_pg_range range;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for range type %u", range_type);
	range = *(Form_pg_range) GETSTRUCT(tuple);
	ReleaseSysCache(tuple);

	return key_codec_resolve(codec, get_opclass_family(range.rngsubopc),
							 get_opclass_input_type(range.rngsubopc), range.rngsubtype,
							 range.rngcollation, refusal);
}

void
key_codec_refuse(const KeyRefusal *refusal)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg_internal("%s", refusal->message),
			 errhint("%s", refusal->hint)));
}
