/*
 * key_codec_scalar.c
 *	  Key encodings of fixed width: numbers big-endian with the sign bit
 *	  flipped, dates and times, UUIDs, hardware addresses.
 */
#include "key_codec_types.h"

#include <math.h>

#include "datatype/timestamp.h"
#include "storage/itemptr.h"
#include "utils/date.h"
#include "utils/timestamp.h"

void
key_encode_bool(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_uint8(out, DatumGetBool(value) ? 1 : 0);
}

/* "char" compares unsigned. */
void
key_encode_char(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_uint8(out, (uint8) DatumGetChar(value));
}

void
key_encode_int2(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_uint16(out, (uint16) DatumGetInt16(value) ^ 0x8000);
}

/* int4, date */
void
key_encode_int4(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_int32(out, DatumGetInt32(value));
}

/* int8, time, timestamp, timestamptz, money */
void
key_encode_int8(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_int64(out, DatumGetInt64(value));
}

/* oid */
void
key_encode_uint4(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_uint32(out, DatumGetUInt32(value));
}

/* pg_lsn, xid8 */
void
key_encode_uint8(StringInfo out, const KeyCodec *codec, Datum value)
{
	key_append_uint64(out, DatumGetUInt64(value));
}

/*
 * IEEE 754 bits order as sign and magnitude: positive numbers get the sign bit
 * set, negative numbers are inverted.  Every NaN is the same greatest value,
 * above the encoding of Infinity; minus zero is zero.
 */
void
key_encode_float4(StringInfo out, const KeyCodec *codec, Datum value)
{
	float4		number = DatumGetFloat4(value);
	uint32		bits;

	if (isnan(number))
		bits = PG_UINT32_MAX;
	else
	{
		if (number == 0)
			number = 0;
		memcpy(&bits, &number, sizeof(bits));
		bits = (bits & UINT32_C(0x80000000)) ? ~bits : bits | UINT32_C(0x80000000);
	}
	key_append_uint32(out, bits);
}

void
key_encode_float8(StringInfo out, const KeyCodec *codec, Datum value)
{
	float8		number = DatumGetFloat8(value);
	uint64		bits;

	if (isnan(number))
		bits = PG_UINT64_MAX;
	else
	{
		if (number == 0)
			number = 0;
		memcpy(&bits, &number, sizeof(bits));
		bits = (bits & UINT64_C(0x8000000000000000)) ? ~bits : bits | UINT64_C(0x8000000000000000);
	}
	key_append_uint64(out, bits);
}

/* By the instant in UTC; two zones at one instant are different values. */
void
key_encode_timetz(StringInfo out, const KeyCodec *codec, Datum value)
{
	TimeTzADT  *time = DatumGetTimeTzADTP(value);

	key_append_int64(out, time->time + (int64) time->zone * USECS_PER_SEC);
	key_append_int32(out, time->zone);
}

/*
 * By the span with months of 30 days and days of 24 hours: '1 mon' equals
 * '30 days'.  The span needs 74 bits; it is written in 80.
 */
void
key_encode_interval(StringInfo out, const KeyCodec *codec, Datum value)
{
	Interval   *interval = DatumGetIntervalP(value);
	int64		days = (int64) interval->month * 30 + interval->day;
	int128		span = (int128) days * USECS_PER_DAY + interval->time;

	key_append_uint16(out, (uint16) (span >> 64) ^ 0x8000);
	key_append_uint64(out, (uint64) span);
}

void
key_encode_tid(StringInfo out, const KeyCodec *codec, Datum value)
{
	ItemPointer tid = DatumGetItemPointer(value);

	key_append_uint32(out, ItemPointerGetBlockNumberNoCheck(tid));
	key_append_uint16(out, ItemPointerGetOffsetNumberNoCheck(tid));
}

void
key_encode_fixed_bytes(StringInfo out, const KeyCodec *codec, Datum value)
{
	memcpy(key_reserve(out, codec->typlen), DatumGetPointer(value), codec->typlen);
}
