/*
 * key_codec_comparand.c
 *	  Comparison values of another type than the column's, for operators such as
 *	  int4 = int8 or timestamptz >= date.
 *
 * A family's operators compare values of several types; keys are encodings of
 * the column's own.  Where the column's type has no equal value, the nearest
 * one below says as much to a range.  Conversions of a date or timestamp to
 * timestamptz follow the session's time zone, as the operators do.
 */
#include "key_codec.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/timestamp.h"
#include "varatt.h"

static bool
read_integer(Oid type, Datum value, int64 *number)
{
	switch (type)
	{
		case INT2OID:
			*number = DatumGetInt16(value);
			return true;
		case INT4OID:
			*number = DatumGetInt32(value);
			return true;
		case INT8OID:
			*number = DatumGetInt64(value);
			return true;
		default:
			return false;
	}
}

static KeyComparand
clamp_integer(int64 number, int64 minimum, int64 maximum, int64 *nearest)
{
	*nearest = Min(number, maximum);
	if (number < minimum)
		return KEY_COMPARAND_BELOW_ALL;
	return number > maximum ? KEY_COMPARAND_ABOVE : KEY_COMPARAND_EQUAL;
}

static KeyComparand
convert_to_integer(Oid from, Oid to, Datum *value)
{
	int64		number;
	KeyComparand place;

	if (!read_integer(from, *value, &number))
		return KEY_COMPARAND_UNKNOWN;
	switch (to)
	{
		case INT2OID:
			place = clamp_integer(number, PG_INT16_MIN, PG_INT16_MAX, &number);
			*value = Int16GetDatum((int16) number);
			return place;
		case INT4OID:
			place = clamp_integer(number, PG_INT32_MIN, PG_INT32_MAX, &number);
			*value = Int32GetDatum((int32) number);
			return place;
		default:
			*value = Int64GetDatum(number);
			return KEY_COMPARAND_EQUAL;
	}
}

static KeyComparand
convert_to_float4(Oid from, Datum *value)
{
	float8		number;
	float4		nearest;

	if (from != FLOAT8OID)
		return KEY_COMPARAND_UNKNOWN;
	number = DatumGetFloat8(*value);
	nearest = (float4) number;
	if (nearest > number)
		nearest = nextafterf(nearest, -INFINITY);
	*value = Float4GetDatum(nearest);
	return nearest == number || isnan(number) ? KEY_COMPARAND_EQUAL : KEY_COMPARAND_ABOVE;
}

static KeyComparand
convert_to_date(Oid from, Datum *value)
{
	Timestamp	timestamp;
	DateADT		date;

	/* Other dates may begin between a timestamptz and its own date's beginning. */
	if (from != TIMESTAMPOID)
		return KEY_COMPARAND_UNKNOWN;
	timestamp = DatumGetTimestamp(*value);
	if (TIMESTAMP_NOT_FINITE(timestamp))
	{
		*value = DateADTGetDatum(TIMESTAMP_IS_NOBEGIN(timestamp) ? DATEVAL_NOBEGIN : DATEVAL_NOEND);
		return KEY_COMPARAND_EQUAL;
	}
	date = timestamp / USECS_PER_DAY - (timestamp % USECS_PER_DAY < 0);
	*value = DateADTGetDatum(date);
	return timestamp % USECS_PER_DAY == 0 ? KEY_COMPARAND_EQUAL : KEY_COMPARAND_ABOVE;
}

/* To timestamp or timestamptz: beyond the finite ones lie only the infinities. */
static KeyComparand
convert_to_timestamp(Oid from, Oid to, Datum *value)
{
	Timestamp	timestamp;
	int			overflow;

	if (from == DATEOID && to == TIMESTAMPOID)
		timestamp = date2timestamp_opt_overflow(DatumGetDateADT(*value), &overflow);
	else if (from == DATEOID)
		timestamp = date2timestamptz_opt_overflow(DatumGetDateADT(*value), &overflow);
	else if (from == TIMESTAMPOID && to == TIMESTAMPTZOID)
		timestamp = timestamp2timestamptz_opt_overflow(DatumGetTimestamp(*value), &overflow);
	else
		return KEY_COMPARAND_UNKNOWN;

	if (overflow > 0)
		timestamp = END_TIMESTAMP - 1;
	else if (overflow < 0)
		timestamp = DT_NOBEGIN;
	*value = TimestampGetDatum(timestamp);
	return overflow == 0 ? KEY_COMPARAND_EQUAL : KEY_COMPARAND_ABOVE;
}

/* A text too long for a name lies just above the name that it begins with. */
static KeyComparand
convert_to_name(Oid from, Datum *value)
{
	text	   *characters;
	Name		name;
	Size		size;

	if (from != TEXTOID)
		return KEY_COMPARAND_UNKNOWN;
	characters = DatumGetTextPP(*value);
	size = VARSIZE_ANY_EXHDR(characters);
	name = palloc0(NAMEDATALEN);
	memcpy(NameStr(*name), VARDATA_ANY(characters), Min(size, NAMEDATALEN - 1));
	*value = NameGetDatum(name);
	return size < NAMEDATALEN ? KEY_COMPARAND_EQUAL : KEY_COMPARAND_ABOVE;
}

KeyComparand
key_convert_comparand(Oid from, Oid to, Datum *value)
{
	if (!OidIsValid(from) || from == to)
		return KEY_COMPARAND_EQUAL;

	switch (to)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return convert_to_integer(from, to, value);
		case FLOAT4OID:
			return convert_to_float4(from, value);
		case FLOAT8OID:
			if (from != FLOAT4OID)
				return KEY_COMPARAND_UNKNOWN;
			*value = Float8GetDatum((float8) DatumGetFloat4(*value));
			return KEY_COMPARAND_EQUAL;
		case DATEOID:
			return convert_to_date(from, value);
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return convert_to_timestamp(from, to, value);
		case NAMEOID:
			return convert_to_name(from, value);
		case TEXTOID:
			if (from != NAMEOID)
				return KEY_COMPARAND_UNKNOWN;
			*value = CStringGetTextDatum(NameStr(*DatumGetName(*value)));
			return KEY_COMPARAND_EQUAL;
		default:
			return KEY_COMPARAND_UNKNOWN;
	}
}
