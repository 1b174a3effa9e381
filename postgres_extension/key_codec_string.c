/*
 * key_codec_string.c
 *	  Key encodings of character, byte and bit strings.
 *
 * In the C collation strings compare as bytes, the shorter first.  PostgreSQL
 * lets no NUL into a character string, so NUL ends it; byte strings may hold
 * any byte and escape it.
 */
#include "key_codec_types.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/varbit.h"
#include "varatt.h"

void
key_append_characters(StringInfo out, const char *data, Size size)
{
	uint8	   *place;

	/* A NUL would make two different strings one key. */
	if (unlikely(memchr(data, 0, size) != NULL))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a character string with a zero byte cannot be a key")));

	place = key_reserve(out, size + 1);
	memcpy(place, data, size);
	place[size] = 0;
}

void
key_append_bytes(StringInfo out, const char *data, Size size)
{
	const char *end = data + size;
	const char *zero;
	uint8	   *place;

	while ((zero = memchr(data, 0, end - data)) != NULL)
	{
		Size		run = zero - data;

		place = key_reserve(out, run + 2);
		memcpy(place, data, run);
		place[run] = 0x00;
		place[run + 1] = 0xFF;
		data = zero + 1;
	}

	place = key_reserve(out, (end - data) + 2);
	memcpy(place, data, end - data);
	place[end - data] = 0x00;
	place[end - data + 1] = 0x01;
}

/* text, varchar */
void
key_encode_text(StringInfo out, const KeyCodec *codec, Datum value)
{
	struct varlena *text = PG_DETOAST_DATUM_PACKED(value);

	key_append_characters(out, VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text));
	if ((Pointer) text != DatumGetPointer(value))
		pfree(text);
}

/* char(n): trailing blanks are not part of the value. */
void
key_encode_bpchar(StringInfo out, const KeyCodec *codec, Datum value)
{
	BpChar	   *text = DatumGetBpCharPP(value);

	key_append_characters(out, VARDATA_ANY(text),
						  bpchartruelen(VARDATA_ANY(text), VARSIZE_ANY_EXHDR(text)));
	if ((Pointer) text != DatumGetPointer(value))
		pfree(text);
}

/*
 * Encoded as text is: the two compare with each other in one operator family.
 * An index may hand us a C string without the type's padding.
 */
void
key_encode_name(StringInfo out, const KeyCodec *codec, Datum value)
{
	const char *name = DatumGetCString(value);

	key_append_characters(out, name, strnlen(name, NAMEDATALEN));
}

void
key_encode_bytea(StringInfo out, const KeyCodec *codec, Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	key_append_bytes(out, VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	if ((Pointer) bytes != DatumGetPointer(value))
		pfree(bytes);
}

/*
 * bit, varbit: as bytes, padded with zero bits, then the number of bits in the
 * last byte, which tells B'1' from B'10'.
 */
void
key_encode_bit(StringInfo out, const KeyCodec *codec, Datum value)
{
	VarBit	   *bits = DatumGetVarBitP(value);
	int			bytes = VARBITBYTES(bits);

	key_append_bytes(out, (char *) VARBITS(bits), bytes);
	key_append_uint8(out, VARBITLEN(bits) - Max(bytes - 1, 0) * BITS_PER_BYTE);
	if ((Pointer) bits != DatumGetPointer(value))
		pfree(bits);
}
