/*
 * key_codec_numeric.c
 *	  Key encoding of numeric.
 *
 * One class byte orders -Infinity, negative, zero, positive, Infinity, NaN.
 * A finite number other than zero goes on with the exponent of its first
 * base-10000 digit (2 bytes, sign bit flipped) and its digits without leading
 * and trailing zeros, 2 bytes each: twice the digit, plus one if another digit
 * follows, so that a number that goes on sorts above one that ends there.
 * Everything after the class byte is inverted for negative numbers.  The scale
 * (1.0 or 1.00) is not part of the order and is not encoded.
 *
 * The stored form of numeric is private to PostgreSQL's numeric.c but fixed,
 * as it is on disk.  It starts with a uint16 header whose two top bits say
 * whether the value is positive, negative, short or special; the long forms
 * go on with an int16 weight; the rest are int16 digits, the most significant
 * first.
 */
#include "key_codec_types.h"

#include "fmgr.h"
#include "varatt.h"

#define HEADER_FORM_MASK		0xC000
#define HEADER_FORM_NEGATIVE	0x4000
#define HEADER_FORM_SHORT		0x8000
#define HEADER_FORM_SPECIAL		0xC000
#define HEADER_SPECIAL_MASK		0xF000
#define HEADER_NAN				0xC000
#define HEADER_INFINITY			0xD000
#define HEADER_MINUS_INFINITY	0xF000
#define SHORT_NEGATIVE			0x2000
#define SHORT_WEIGHT_NEGATIVE	0x0040
#define SHORT_WEIGHT_MASK		0x003F

typedef enum NumericClass
{
	CLASS_MINUS_INFINITY = 1,
	CLASS_NEGATIVE = 2,
	CLASS_ZERO = 3,
	CLASS_POSITIVE = 4,
	CLASS_INFINITY = 5,
	CLASS_NAN = 6
} NumericClass;

typedef struct NumericParts
{
	NumericClass class;
	int			weight;			/* of the first digit, as a power of 10000 */
	int			ndigits;
	const char *digits;			/* int16 each, perhaps unaligned */
} NumericParts;

static inline int16
read_int16(const char *place)
{
	int16		value;

	memcpy(&value, place, sizeof(value));
	return value;
}

/* Takes the value apart; digits are stripped of zeros at both ends. */
static NumericParts
numeric_parts(const char *data, Size size)
{
	NumericParts parts = {.digits = data + sizeof(uint16)};
	uint16		header = (uint16) read_int16(data);
	bool		negative;

	switch (header & HEADER_FORM_MASK)
	{
		case HEADER_FORM_SPECIAL:
			switch (header & HEADER_SPECIAL_MASK)
			{
				case HEADER_NAN:
					parts.class = CLASS_NAN;
					break;
				case HEADER_INFINITY:
					parts.class = CLASS_INFINITY;
					break;
				case HEADER_MINUS_INFINITY:
					parts.class = CLASS_MINUS_INFINITY;
					break;
				default:
					elog(ERROR, "unexpected numeric header 0x%04X", header);
			}
			return parts;
		case HEADER_FORM_SHORT:
			negative = (header & SHORT_NEGATIVE) != 0;
			parts.weight = header & SHORT_WEIGHT_MASK;
			if (header & SHORT_WEIGHT_NEGATIVE)
				parts.weight -= SHORT_WEIGHT_MASK + 1;
			break;
		default:
			negative = (header & HEADER_FORM_MASK) == HEADER_FORM_NEGATIVE;
			parts.weight = read_int16(parts.digits);
			parts.digits += sizeof(int16);
			break;
	}

	parts.ndigits = (data + size - parts.digits) / sizeof(int16);
	while (parts.ndigits > 0 && read_int16(parts.digits) == 0)
	{
		parts.digits += sizeof(int16);
		parts.ndigits--;
		parts.weight--;
	}
	while (parts.ndigits > 0 &&
		   read_int16(parts.digits + (parts.ndigits - 1) * sizeof(int16)) == 0)
		parts.ndigits--;

	parts.class = parts.ndigits == 0 ? CLASS_ZERO : negative ? CLASS_NEGATIVE : CLASS_POSITIVE;
	return parts;
}

void
key_encode_numeric(StringInfo out, const KeyCodec *codec, Datum value)
{
	struct varlena *numeric = PG_DETOAST_DATUM_PACKED(value);
	NumericParts parts = numeric_parts(VARDATA_ANY(numeric), VARSIZE_ANY_EXHDR(numeric));

	key_append_uint8(out, parts.class);
	if (parts.class == CLASS_POSITIVE || parts.class == CLASS_NEGATIVE)
	{
		uint16		inversion = parts.class == CLASS_NEGATIVE ? 0xFFFF : 0;

		key_append_uint16(out, (uint16) (parts.weight ^ 0x8000) ^ inversion);
		for (int i = 0; i < parts.ndigits; i++)
		{
			uint16		digit = 2 * read_int16(parts.digits + i * sizeof(int16));

			key_append_uint16(out, (digit | (i + 1 < parts.ndigits)) ^ inversion);
		}
	}

	if ((Pointer) numeric != DatumGetPointer(value))
		pfree(numeric);
}
