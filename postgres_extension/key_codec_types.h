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

/* key_codec_network.c */
extern void key_encode_inet(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_string.c */
extern void key_encode_text(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_bpchar(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_name(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_bytea(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_bit(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_numeric.c */
extern void key_encode_numeric(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_container.c */
extern void key_encode_enum(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_oidvector(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_array(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_range(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_multirange(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_record(StringInfo out, const KeyCodec *codec, Datum value);

/* key_codec_jsonb.c, key_codec_textsearch.c */
extern void key_encode_jsonb(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_tsvector(StringInfo out, const KeyCodec *codec, Datum value);
extern void key_encode_tsquery(StringInfo out, const KeyCodec *codec, Datum value);

/* Why a type cannot be a key: strings in the current memory context. */
typedef struct KeyRefusal
{
	const char *message;
	const char *hint;
} KeyRefusal;

/*
 * key_codec_resolve.c: each fills the codec and returns true, or says why not
 * and returns false.
 */
extern bool key_codec_resolve(KeyCodec *codec, Oid opfamily, Oid opcintype,
							  Oid type_id, Oid collation, KeyRefusal *refusal);
/* By the type's default btree operator class. */
extern bool key_codec_resolve_type(KeyCodec *codec, Oid type_id, Oid collation,
								   KeyRefusal *refusal);
/* By the operator class and collation of the range type. */
extern bool key_codec_resolve_range_bound(KeyCodec *codec, Oid range_type,
										  KeyRefusal *refusal);
extern void key_codec_refuse(const KeyRefusal *refusal) pg_attribute_noreturn();

/*
 * key_codec_cache.c: the same for values inside other values, remembered by
 * this backend; ERROR 0A000 on refusal.
 */
extern KeyCodec key_codec_of_type(Oid type_id, Oid collation);
extern KeyCodec key_codec_of_range_bound(Oid range_type);

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
