/*
 * key_codec_types.h
 *	  The encoders of the key codec, one for each kind of type; private to
 *	  key_codec*.c.
 *
 * Every payload is self-delimiting: of fixed width, or ended by a byte that
 * sorts below whatever could follow instead.  Since payloads are prefix-free,
 * inverting all bytes of a payload exactly reverses the order.
 */
#ifndef BOREALIS_KEY_CODEC_TYPES_H
#define BOREALIS_KEY_CODEC_TYPES_H

#include "key_codec.h"

#include "port/pg_bswap.h"

/* Markers before each column, attribute or array element. */
#define KEY_MARKER_NULL_FIRST	0x01
#define KEY_MARKER_VALUE		0x02
#define KEY_MARKER_NULL_LAST	0x03

/* key_codec_scalar.c: fixed width */
extern void key_encode_bool(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_char(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_int2(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_int4(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_int8(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_uint4(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_uint8(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_float4(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_float8(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_timetz(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_interval(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_tid(StringInfo out, const KeyCodec *codec, Datum value);
/* uuid, macaddr, macaddr8: the bytes of the value as they are */
extern void key_encode_fixed_bytes(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_string.c */
extern void key_encode_text(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_bpchar(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_name(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_bytea(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_numeric.c */
extern void key_encode_numeric(StringInfo out, const KeyCodec *codec, Datum value);

/* Characters without NUL, ended by NUL; ERROR if there is a NUL in them. */
extern void key_append_characters(StringInfo out, const char *data, Size size);
/* Any bytes: 00 becomes 00 FF, the end is 00 01. */
extern void key_append_bytes(StringInfo out, const char *data, Size size);

/*
 * Makes room for size more bytes and counts them as used; the caller fills
 * them.  Keys are not C strings, so there is no NUL kept after them.
 */
static inline uint8 *
key_reserve(StringInfo out, int size)
{
	uint8	   *place;

	if (unlikely(out->len + size >= out->maxlen))
		enlargeStringInfo(out, size);
	place = (uint8 *) out->data + out->len;
	out->len += size;
	return place;
}

static inline void
key_append_uint8(StringInfo out, uint8 value)
{
	*key_reserve(out, 1) = value;
}

static inline void
key_append_uint16(StringInfo out, uint16 value)
{
	value = pg_hton16(value);
	memcpy(key_reserve(out, sizeof(value)), &value, sizeof(value));
}

static inline void
key_append_uint32(StringInfo out, uint32 value)
{
	value = pg_hton32(value);
	memcpy(key_reserve(out, sizeof(value)), &value, sizeof(value));
}

static inline void
key_append_uint64(StringInfo out, uint64 value)
{
	value = pg_hton64(value);
	memcpy(key_reserve(out, sizeof(value)), &value, sizeof(value));
}

/* Two's complement with the sign bit flipped orders as unsigned. */
static inline void
key_append_int32(StringInfo out, int32 value)
{
	key_append_uint32(out, (uint32) value ^ UINT32_C(0x80000000));
}

static inline void
key_append_int64(StringInfo out, int64 value)
{
	key_append_uint64(out, (uint64) value ^ UINT64_C(0x8000000000000000));
}

#endif							/* BOREALIS_KEY_CODEC_TYPES_H */
