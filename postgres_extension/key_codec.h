/*
 * key_codec.h
 *	  Column values as bytes whose memcmp order is the order of a btree
 *	  operator class (docs/formats.md, "Column encoding").
 *
 * Promises, for every column that key_column_init accepts:
 *	- memcmp of two encodings orders as the operator class's comparison
 *	  function, DESC and NULLS FIRST/LAST applied;
 *	- values that are equal by the operator class have identical bytes;
 *	- no encoding of a column is a prefix of another encoding of that column,
 *	  so concatenated columns order lexicographically.
 *
 * What cannot be encoded so (other collations than C, operator classes that
 * users defined, ...) is refused when the column is initialised; no value is
 * ever put in a wrong order.
 */
#ifndef BOREALIS_KEY_CODEC_H
#define BOREALIS_KEY_CODEC_H

#include "postgres.h"

#include "lib/stringinfo.h"
#include "nodes/nodes.h"

typedef struct KeyCodec KeyCodec;

/* Appends the ascending payload of a value that is not NULL. */
typedef void (*KeyEncodeFunction) (StringInfo out, const KeyCodec *codec, Datum value);

/* How the values of one type are encoded.  Flat: copied and kept anywhere. */
struct KeyCodec
{
	KeyEncodeFunction encode;
	Oid			type_id;		/* base type if the column's is a domain */
	Oid			collation;
	int16		typlen;
	bool		typbyval;
	char		typalign;
};

typedef struct KeyColumn
{
	KeyCodec	codec;
	uint8		null_marker;
	bool		is_descending;
} KeyColumn;

/*
 * Decides how a key column is encoded.  opfamily and opcintype are those of
 * the index's operator class, type_id is the column's own type: for the
 * polymorphic classes (anyarray, anyenum, ...) it says what the values are.
 * ERROR 0A000 if no order-preserving encoding exists.
 */
extern void key_column_init(KeyColumn *col, Oid opfamily, Oid opcintype,
							Oid type_id, Oid collation,
							bool descending, bool nulls_first);

/*
 * Whether key_column_init would succeed; if not, *reason is a sentence for the
 * user, in the current memory context.
 */
extern bool key_column_supported(Oid opfamily, Oid opcintype, Oid type_id,
								 Oid collation, const char **reason);

/* Appends one column to a key.  No limit on length: that is the caller's. */
extern void key_encode_column(StringInfo out, const KeyColumn *col,
							  Datum value, bool isnull);

/* For a key, which mostly takes much less than initStringInfo provides. */
static inline void
key_buffer_init(StringInfo buffer)
{
	buffer->maxlen = 64;
	buffer->data = palloc(buffer->maxlen);
	resetStringInfo(buffer);
}

/* Where a comparison value lies among the values of a column's type. */
typedef enum KeyComparand
{
	KEY_COMPARAND_UNKNOWN,		/* depends on the column's value: compare each */
	KEY_COMPARAND_BELOW_ALL,
	KEY_COMPARAND_EQUAL,		/* equal to the converted value */
	KEY_COMPARAND_ABOVE			/* above the converted value, below the next */
} KeyComparand;

/*
 * Converts the right-hand value of an operator (of type from, the scan key's
 * subtype) to the operator class's input type.  *value is of use after
 * KEY_COMPARAND_EQUAL and KEY_COMPARAND_ABOVE only.
 */
extern KeyComparand key_convert_comparand(Oid from, Oid to, Datum *value);

/*
 * To be called before a utility statement runs: ERROR 0A000 if it is an ALTER
 * TYPE that would reorder values which are in index keys.
 */
extern void key_codec_check_alter_type(Node *statement);

#endif							/* BOREALIS_KEY_CODEC_H */
