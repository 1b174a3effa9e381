/*
 * index_range.c
 *	  See index_range.h.
 *
 * Leading columns with equality conditions (=, IS NULL, = ANY) multiply into
 * key prefixes; the first column without one may bound them by its
 * inequalities.  Everything else narrows nothing and is checked item by item.
 * A condition is only left out of the checks if the range expresses it
 * exactly.
 */
#include "borealis.h"

#include "access/stratnum.h"
#include "utils/array.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "index_range.h"
#include "key_order.h"

/* Beyond this, an = ANY condition is checked instead of multiplied. */
#define RANGES_MAX 100000

/* second byte of a column's encoding: docs/formats.md, "Column encoding" */
#define MARKER_VALUE 0x02

/* Bytes of a key, or of a column's encoding. */
typedef struct Bytes
{
	uint8	   *data;
	uint32		size;
} Bytes;

typedef struct BytesList
{
	Bytes	   *items;
	int			count;
} BytesList;

static Bytes
bytes_concat(Bytes a, const uint8 *data, uint32 size)
{
	Bytes		result = {palloc(a.size + size), a.size + size};

	memcpy(result.data, a.data, a.size);
	memcpy(result.data + a.size, data, size);
	return result;
}

static Bytes
bytes_successor(Bytes a)
{
	StringInfoData buffer;

	key_buffer_init(&buffer);
	appendBinaryStringInfoNT(&buffer, (char *) a.data, a.size);
	key_make_successor(&buffer);
	return (Bytes) {(uint8 *) buffer.data, buffer.len};
}

/*
 * No key is longer than KEY_SIZE_MAX, so one that is below a longer bound is at
 * most the bound's beginning, and one above it is greater than that.
 */
static Bytes
bytes_as_bound(Bytes a)
{
	if (a.size <= KEY_SIZE_MAX)
		return a;
	a.size = KEY_SIZE_MAX;
	return bytes_successor(a);
}

static int
bytes_compare(const void *a, const void *b)
{
	const Bytes *left = a;
	const Bytes *right = b;

	return key_compare(left->data, left->size, right->data, right->size);
}

static Bytes
encode_column(const KeyColumn *column, Datum value, bool isnull)
{
	StringInfoData buffer;

	key_buffer_init(&buffer);
	key_encode_column(&buffer, column, value, isnull);
	return (Bytes) {(uint8 *) buffer.data, buffer.len};
}

/* Sorted distinct encodings of an = ANY array's elements; false: not usable. */
static bool
encode_array(Relation index, const KeyColumn *column, ScanKey key, BytesList *result)
{
	Oid			column_type = index->rd_opcintype[key->sk_attno - 1];
	ArrayType  *array = DatumGetArrayTypeP(key->sk_argument);
	int16		typlen;
	bool		typbyval;
	char		typalign;
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	int			kept = 0;

	get_typlenbyvalalign(ARR_ELEMTYPE(array), &typlen, &typbyval, &typalign);
	deconstruct_array(array, ARR_ELEMTYPE(array), typlen, typbyval, typalign,
					  &elements, &nulls, &count);
	result->items = palloc(Max(count, 1) * sizeof(Bytes));
	result->count = 0;
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			continue;
		switch (key_convert_comparand(key->sk_subtype, column_type, &elements[i]))
		{
			case KEY_COMPARAND_EQUAL:
				result->items[result->count++] = encode_column(column, elements[i], false);
				break;
			case KEY_COMPARAND_UNKNOWN:
				return false;
			case KEY_COMPARAND_BELOW_ALL:
			case KEY_COMPARAND_ABOVE:
				break;			/* equal to no value of the column */
		}
	}
	qsort(result->items, result->count, sizeof(Bytes), bytes_compare);
	for (int i = 0; i < result->count; i++)
	{
		if (kept == 0 || bytes_compare(&result->items[kept - 1], &result->items[i]) != 0)
			result->items[kept++] = result->items[i];
	}
	result->count = kept;
	return true;
}

/*
 * The values that an equality condition allows.  False: the key is not an
 * equality condition, or cannot be expressed.
 */
static bool
equality_values(Relation index, const KeyColumn *column, ScanKey key, BytesList *result)
{
	Datum		value = key->sk_argument;

	if (key->sk_flags & SK_ROW_HEADER)
		return false;
	if (key->sk_flags & SK_SEARCHNULL)
	{
		result->items = palloc(sizeof(Bytes));
		result->items[0] = encode_column(column, (Datum) 0, true);
		result->count = 1;
		return true;
	}
	if ((key->sk_flags & SK_SEARCHNOTNULL) || key->sk_strategy != BTEqualStrategyNumber)
		return false;
	if (key->sk_flags & SK_SEARCHARRAY)
		return encode_array(index, column, key, result);

	result->items = palloc(sizeof(Bytes));
	result->count = 0;
	switch (key_convert_comparand(key->sk_subtype, index->rd_opcintype[key->sk_attno - 1], &value))
	{
		case KEY_COMPARAND_EQUAL:
			result->items[result->count++] = encode_column(column, value, false);
			return true;
		case KEY_COMPARAND_UNKNOWN:
			return false;
		case KEY_COMPARAND_BELOW_ALL:
		case KEY_COMPARAND_ABOVE:
			return true;
	}
	return false;
}

/* Bounds that inequalities set on one column, as encodings relative to a prefix. */
typedef struct ColumnBounds
{
	Bytes		lower;			/* keys >= prefix + lower; size 0: none */
	Bytes		upper;			/* keys < prefix + upper */
	bool		is_empty;
} ColumnBounds;

static void
raise_lower(ColumnBounds *bounds, Bytes lower)
{
	if (bounds->lower.size == 0 || bytes_compare(&lower, &bounds->lower) > 0)
		bounds->lower = lower;
}

static void
sink_upper(ColumnBounds *bounds, Bytes upper)
{
	if (bounds->upper.size == 0 || bytes_compare(&upper, &bounds->upper) < 0)
		bounds->upper = upper;
}

/* The strategy as it looks in the order of the encodings. */
static StrategyNumber
stored_strategy(StrategyNumber strategy, bool is_descending)
{
	return is_descending ? BTCommuteStrategyNumber(strategy) : strategy;
}

static void
apply_bound(ColumnBounds *bounds, StrategyNumber strategy, Bytes value)
{
	switch (strategy)
	{
		case BTLessStrategyNumber:
			sink_upper(bounds, value);
			break;
		case BTLessEqualStrategyNumber:
			sink_upper(bounds, bytes_successor(value));
			break;
		case BTGreaterEqualStrategyNumber:
			raise_lower(bounds, value);
			break;
		case BTGreaterStrategyNumber:
			raise_lower(bounds, bytes_successor(value));
			break;
		default:
			elog(ERROR, "unexpected btree strategy %d", strategy);
	}
}

static void
require_not_null(ColumnBounds *bounds)
{
	static uint8 value_marker = MARKER_VALUE;
	static uint8 after_values = MARKER_VALUE + 1;

	raise_lower(bounds, (Bytes) {&value_marker, 1});
	sink_upper(bounds, (Bytes) {&after_values, 1});
}

/* Narrows by a row comparison; how exactly is of no matter, it is checked too. */
static void
apply_row_comparison(ColumnBounds *bounds, Relation index, const IndexLayout *layout,
					 ScanKey header)
{
	ScanKey		member = (ScanKey) DatumGetPointer(header->sk_argument);
	AttrNumber	first = member->sk_attno;
	bool		is_descending = layout->columns[first - 1].is_descending;
	StringInfoData value;
	bool		is_whole = false;
	StrategyNumber strategy;

	key_buffer_init(&value);
	for (AttrNumber column = first;; column++, member++)
	{
		Datum		argument = member->sk_argument;

		if (member->sk_attno != column || (member->sk_flags & SK_ISNULL) ||
			column > layout->nkeys ||
			layout->columns[column - 1].is_descending != is_descending ||
			key_convert_comparand(member->sk_subtype, index->rd_opcintype[column - 1],
								  &argument) != KEY_COMPARAND_EQUAL)
			break;
		key_encode_column(&value, &layout->columns[column - 1], argument, false);
		if (member->sk_flags & SK_ROW_END)
		{
			is_whole = true;
			break;
		}
	}
	if (value.len == 0)
		return;
	strategy = stored_strategy(header->sk_strategy, is_descending);
	/* Only some leading members: the rest may decide, so keep equal ones. */
	if (!is_whole && strategy == BTLessStrategyNumber)
		strategy = BTLessEqualStrategyNumber;
	if (!is_whole && strategy == BTGreaterStrategyNumber)
		strategy = BTGreaterEqualStrategyNumber;
	apply_bound(bounds, strategy, (Bytes) {(uint8 *) value.data, value.len});
}

/* Returns true if the bounds express the key exactly. */
static bool
apply_inequality(ColumnBounds *bounds, Relation index, const IndexLayout *layout, ScanKey key)
{
	const KeyColumn *column = &layout->columns[key->sk_attno - 1];
	Datum		value = key->sk_argument;
	bool		wants_greater;
	StrategyNumber strategy;

	if (key->sk_flags & SK_ROW_HEADER)
	{
		require_not_null(bounds);
		apply_row_comparison(bounds, index, layout, key);
		return false;
	}
	if (key->sk_flags & SK_SEARCHNULL)
		return false;
	require_not_null(bounds);
	if (key->sk_flags & SK_SEARCHNOTNULL)
		return true;
	if ((key->sk_flags & SK_SEARCHARRAY) || key->sk_strategy == BTEqualStrategyNumber)
		return false;

	strategy = key->sk_strategy;
	wants_greater = strategy >= BTGreaterEqualStrategyNumber;
	switch (key_convert_comparand(key->sk_subtype, index->rd_opcintype[key->sk_attno - 1], &value))
	{
		case KEY_COMPARAND_ABOVE:
			/* between two values of the column: the lower one is on the lesser side */
			strategy = wants_greater ? BTGreaterStrategyNumber : BTLessEqualStrategyNumber;
			/* fall through */
		case KEY_COMPARAND_EQUAL:
			apply_bound(bounds, stored_strategy(strategy, column->is_descending),
						encode_column(column, value, false));
			return true;
		case KEY_COMPARAND_BELOW_ALL:
			bounds->is_empty |= !wants_greater;
			return true;
		case KEY_COMPARAND_UNKNOWN:
			break;
	}
	return false;
}

/* Every prefix continued by every value, in order. */
static BytesList
multiply(BytesList prefixes, BytesList values)
{
	BytesList	result = {palloc(Max(prefixes.count * values.count, 1) * sizeof(Bytes)), 0};

	for (int i = 0; i < prefixes.count; i++)
	{
		for (int j = 0; j < values.count; j++)
			result.items[result.count++] = bytes_concat(prefixes.items[i],
														values.items[j].data,
														values.items[j].size);
	}
	return result;
}

static void
emit_ranges(KeyRanges *result, BytesList prefixes, const ColumnBounds *bounds, bool are_keys)
{
	result->ranges = palloc(Max(prefixes.count, 1) * sizeof(KeyRange));
	result->count = 0;
	if (bounds->is_empty)
		return;
	for (int i = 0; i < prefixes.count; i++)
	{
		Bytes		prefix = prefixes.items[i];
		Bytes		lower = bytes_concat(prefix, bounds->lower.data, bounds->lower.size);
		Bytes		upper = bounds->upper.size > 0 ?
			bytes_concat(prefix, bounds->upper.data, bounds->upper.size) :
			bytes_successor(prefix);

		lower = bytes_as_bound(lower);
		upper = bytes_as_bound(upper);

		if (bytes_compare(&lower, &upper) < 0)
			result->ranges[result->count++] =
				(KeyRange) {lower.data, upper.data, lower.size, upper.size, are_keys};
	}
}

void
index_ranges_build(KeyRanges *result, Relation index, const IndexLayout *layout,
				   const StringInfoData *prefix, ScanKey keys, int nkeys)
{
	Bytes		whole = {(uint8 *) prefix->data, prefix->len};
	BytesList	prefixes = {&whole, 1};
	ColumnBounds bounds = {0};
	bool	   *is_exact = palloc0(Max(nkeys, 1) * sizeof(bool));
	int			column;

	memset(result, 0, sizeof(*result));
	for (int i = 0; i < nkeys; i++)
	{
		/* "= NULL" and the like: matches nothing */
		if ((keys[i].sk_flags & SK_ISNULL) &&
			!(keys[i].sk_flags & (SK_SEARCHNULL | SK_SEARCHNOTNULL | SK_ROW_HEADER)))
			return;
	}

	for (column = 1; column <= layout->nkeys; column++)
	{
		BytesList	values;
		bool		found = false;

		for (int i = 0; i < nkeys && !found; i++)
		{
			if (keys[i].sk_attno != column ||
				!equality_values(index, &layout->columns[column - 1], &keys[i], &values) ||
				(int64) prefixes.count * values.count > RANGES_MAX)
				continue;
			found = true;
			is_exact[i] = true;
			prefixes = multiply(prefixes, values);
		}
		if (!found)
			break;
	}
	result->at_most_one = column > layout->nkeys && layout->is_unique && prefixes.count == 1;
	for (int i = 0; i < nkeys; i++)
	{
		if (!is_exact[i] && keys[i].sk_attno == column && column <= layout->nkeys)
			is_exact[i] = apply_inequality(&bounds, index, layout, &keys[i]);
	}
	emit_ranges(result, prefixes, &bounds, column > layout->nkeys && layout->holds_rows);

	result->checks = palloc(Max(nkeys, 1) * sizeof(ScanKey));
	for (int i = 0; i < nkeys; i++)
	{
		if (!is_exact[i])
			result->checks[result->ncheck++] = &keys[i];
	}
}

static bool
row_comparison_matches(ScanKey header, ColumnReader read, void *source)
{
	ScanKey		member = (ScanKey) DatumGetPointer(header->sk_argument);
	int32		order;

	for (;; member++)
	{
		bool		isnull;
		Datum		value = read(source, member->sk_attno, &isnull);

		if (isnull || (member->sk_flags & SK_ISNULL))
			return false;
		order = DatumGetInt32(FunctionCall2Coll(&member->sk_func, member->sk_collation,
												value, member->sk_argument));
		if (order != 0 || (member->sk_flags & SK_ROW_END))
			break;
	}
	switch (member->sk_strategy)
	{
		case BTLessStrategyNumber:
			return order < 0;
		case BTLessEqualStrategyNumber:
			return order <= 0;
		case BTGreaterEqualStrategyNumber:
			return order >= 0;
		case BTGreaterStrategyNumber:
			return order > 0;
		default:
			elog(ERROR, "unexpected row comparison strategy %d", member->sk_strategy);
	}
}

static bool
array_matches(ScanKey key, Datum value)
{
	ArrayType  *array = DatumGetArrayTypeP(key->sk_argument);
	ArrayIterator iterator = array_create_iterator(array, 0, NULL);
	Datum		element;
	bool		isnull;
	bool		matches = false;

	while (!matches && array_iterate(iterator, &element, &isnull))
	{
		if (!isnull)
			matches = DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
													 value, element));
	}
	array_free_iterator(iterator);
	return matches;
}

bool
scan_key_matches(ScanKey key, ColumnReader read, void *source)
{
	bool		isnull;
	Datum		value;

	if (key->sk_flags & SK_ROW_HEADER)
		return row_comparison_matches(key, read, source);
	value = read(source, key->sk_attno, &isnull);
	if (key->sk_flags & SK_SEARCHNULL)
		return isnull;
	if (key->sk_flags & SK_SEARCHNOTNULL)
		return !isnull;
	if (isnull)
		return false;
	if (key->sk_flags & SK_SEARCHARRAY)
		return array_matches(key, value);
	return DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
										  value, key->sk_argument));
}
