/*
 * key_codec_container.c
 *	  Key encodings of values whose order follows from other types: enums,
 *	  arrays, ranges, multiranges, composite values.
 *
 * Values inside are encoded by the operator class that PostgreSQL's own
 * comparison functions would use for them: the default one of their type, or
 * the one that a range type names.
 */
#include "key_codec_types.h"

#include "access/htup_details.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/arrayaccess.h"
#include "utils/builtins.h"
#include "utils/multirangetypes.h"
#include "utils/rangetypes.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

/* Ends an array or multirange: below another element. */
#define MARKER_END				0x01
/* Ends a composite value, only NULLs being left: above any attribute. */
#define MARKER_RECORD_END		0x04

#define RANGE_EMPTY_MARKER		0x01
#define RANGE_MARKER			0x02

#define BOUND_MINUS_INFINITY	0x01
#define BOUND_FINITE			0x02
#define BOUND_INFINITY			0x03
/* After the value of a bound: which side of the value it lies on. */
#define BOUND_AT_OR_BELOW		0x01
#define BOUND_AT_OR_ABOVE		0x02

/*
 * By the label's sort order.  ALTER TYPE ... ADD VALUE leaves the sort orders
 * of existing labels as they are, except when there is no number left between
 * two neighbours; key_codec_check_alter_type refuses that.
 */
void
key_encode_enum(StringInfo out, const KeyCodec *codec, Datum value)
{
	HeapTuple	label = SearchSysCache1(ENUMOID, value);
	float4		sort_order;

	if (!HeapTupleIsValid(label))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_BINARY_REPRESENTATION),
				 errmsg("invalid internal value for enum: %u", DatumGetObjectId(value))));
	sort_order = ((Form_pg_enum) GETSTRUCT(label))->enumsortorder;
	ReleaseSysCache(label);
	key_encode_float4(out, codec, Float4GetDatum(sort_order));
}

/* The shorter vector first. */
void
key_encode_oidvector(StringInfo out, const KeyCodec *codec, Datum value)
{
	oidvector  *vector = (oidvector *) PG_DETOAST_DATUM(value);

	key_append_int32(out, vector->dim1);
	for (int i = 0; i < vector->dim1; i++)
		key_append_uint32(out, vector->values[i]);
	if ((Pointer) vector != DatumGetPointer(value))
		pfree(vector);
}

/*
 * Elements in storage order, a NULL element above any other; then what tells
 * arrays of the same elements apart: dimensions and lower bounds.
 */
void
key_encode_array(StringInfo out, const KeyCodec *codec, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(value);
	KeyCodec	element = key_codec_of_type(ARR_ELEMTYPE(array), codec->collation);
	int			count = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	array_iter	iterator;

	check_stack_depth();
	array_iter_setup(&iterator, (AnyArrayType *) array);
	for (int i = 0; i < count; i++)
	{
		bool		isnull;
		Datum		item = array_iter_next(&iterator, &isnull, i, element.typlen,
										   element.typbyval, element.typalign);

		if (isnull)
			key_append_uint8(out, KEY_MARKER_NULL_LAST);
		else
		{
			key_append_uint8(out, KEY_MARKER_VALUE);
			element.encode(out, &element, item);
		}
	}

	key_append_uint8(out, MARKER_END);
	key_append_uint8(out, ARR_NDIM(array));
	for (int i = 0; i < ARR_NDIM(array); i++)
		key_append_int32(out, ARR_DIMS(array)[i]);
	for (int i = 0; i < ARR_NDIM(array); i++)
		key_append_int32(out, ARR_LBOUND(array)[i]);

	if ((Pointer) array != DatumGetPointer(value))
		pfree(array);
}

/*
 * An inclusive lower bound starts at its value and an exclusive one above it;
 * upper bounds the other way round.
 */
static void
append_bound(StringInfo out, const KeyCodec *codec, const RangeBound *bound)
{
	if (bound->infinite)
	{
		key_append_uint8(out, bound->lower ? BOUND_MINUS_INFINITY : BOUND_INFINITY);
		return;
	}
	key_append_uint8(out, BOUND_FINITE);
	codec->encode(out, codec, bound->val);
	key_append_uint8(out, bound->inclusive == bound->lower ? BOUND_AT_OR_BELOW : BOUND_AT_OR_ABOVE);
}

void
key_encode_range(StringInfo out, const KeyCodec *codec, Datum value)
{
	RangeType  *range = DatumGetRangeTypeP(value);
	TypeCacheEntry *type = lookup_type_cache(RangeTypeGetOid(range), TYPECACHE_RANGE_INFO);
	RangeBound	lower;
	RangeBound	upper;
	bool		empty;

	check_stack_depth();
	range_deserialize(type, range, &lower, &upper, &empty);
	if (empty)
		key_append_uint8(out, RANGE_EMPTY_MARKER);
	else
	{
		KeyCodec	bound = key_codec_of_range_bound(RangeTypeGetOid(range));

		key_append_uint8(out, RANGE_MARKER);
		append_bound(out, &bound, &lower);
		append_bound(out, &bound, &upper);
	}

	if ((Pointer) range != DatumGetPointer(value))
		pfree(range);
}

/* Its ranges, none of them empty, in order. */
void
key_encode_multirange(StringInfo out, const KeyCodec *codec, Datum value)
{
	MultirangeType *multirange = DatumGetMultirangeTypeP(value);
	TypeCacheEntry *type = lookup_type_cache(MultirangeTypeGetOid(multirange),
											 TYPECACHE_MULTIRANGE_INFO);
	KeyCodec	bound = key_codec_of_range_bound(type->rngtype->type_id);

	check_stack_depth();
	for (uint32 i = 0; i < multirange->rangeCount; i++)
	{
		RangeBound	lower;
		RangeBound	upper;

		multirange_get_bounds(type->rngtype, multirange, i, &lower, &upper);
		key_append_uint8(out, RANGE_MARKER);
		append_bound(out, &bound, &lower);
		append_bound(out, &bound, &upper);
	}
	key_append_uint8(out, MARKER_END);

	if ((Pointer) multirange != DatumGetPointer(value))
		pfree(multirange);
}

/*
 * Attribute by attribute, NULL above any other value.  NULLs at the end are
 * not written: values that were stored before ALTER TYPE ... ADD ATTRIBUTE
 * have them as well, and must have the same encoding.
 */
void
key_encode_record(StringInfo out, const KeyCodec *codec, Datum value)
{
	HeapTupleHeader record = DatumGetHeapTupleHeader(value);
	TupleDesc	descriptor = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(record),
													HeapTupleHeaderGetTypMod(record));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(record), .t_data = record};
	int			natts = descriptor->natts;
	Datum	   *values = palloc(natts * sizeof(Datum));
	bool	   *nulls = palloc(natts * sizeof(bool));

	check_stack_depth();
	heap_deform_tuple(&tuple, descriptor, values, nulls);
	while (natts > 0 && (nulls[natts - 1] || TupleDescAttr(descriptor, natts - 1)->attisdropped))
		natts--;

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		if (attribute->attisdropped)
			continue;
		if (nulls[i])
			key_append_uint8(out, KEY_MARKER_NULL_LAST);
		else
		{
			KeyCodec	element = key_codec_of_type(attribute->atttypid, attribute->attcollation);

			key_append_uint8(out, KEY_MARKER_VALUE);
			element.encode(out, &element, values[i]);
		}
	}
	key_append_uint8(out, MARKER_RECORD_END);

	pfree(values);
	pfree(nulls);
	ReleaseTupleDesc(descriptor);
	if ((Pointer) record != DatumGetPointer(value))
		pfree(record);
}
