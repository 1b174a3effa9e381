/*
 * sizes.c
 *	  What transactions report of the sizes of relations.
 */
#include <errno.h>
#include <stdlib.h>

#include "bytes.h"
#include "sizes.h"
#include "versions.h"

#define STATISTICS_NAMESPACE	0x40
#define STATISTICS_TIMESTAMP	1
/* A change matters from this part of what is published on. */
#define CHANGE_THAT_MATTERS		64

typedef struct Size
{
	int64_t		rows;
	int64_t		octets;
} Size;

_Static_assert(sizeof(Size) == 16, "sizes are stored as they are");

bool
add_relation(RelationSet *relations, uint32_t relfilenode)
{
	for (size_t number = 0; number < relations->count; number++)
		if (relations->items[number] == relfilenode)
			return true;
	if (relations->count == relations->room)
	{
		size_t		room = relations->room == 0 ? 64 : 2 * relations->room;
		uint32_t   *grown = realloc(relations->items, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		relations->items = grown;
		relations->room = room;
	}
	relations->items[relations->count++] = relfilenode;
	return true;
}

static void
put_big_endian(uint8_t *at, uint32_t number)
{
	for (int byte = 3; byte >= 0; byte--, number >>= 8)
		at[byte] = (uint8_t) number;
}

/* A size that is not there is 0. */
static int
load_size(MDB_txn *transaction, MDB_dbi table, MDB_val key, Size *size)
{
	MDB_val		stored;
	int			status = mdb_get(transaction, table, &key, &stored);

	*size = (Size) {0, 0};
	if (status == MDB_NOTFOUND)
		return 0;
	if (status == 0 && stored.mv_size != sizeof(*size))
		return MDB_CORRUPTED;
	if (status == 0)
		memcpy(size, stored.mv_data, sizeof(*size));
	return status;
}

static int
store_size(MDB_txn *transaction, MDB_dbi table, MDB_val key, Size size)
{
	MDB_val		value = octets(&size, sizeof(size));

	return mdb_put(transaction, table, &key, &value, 0);
}

static int64_t
clamp(__int128 total)
{
	return total < 0 ? 0 : total > INT64_MAX ? INT64_MAX : (int64_t) total;
}

static bool
number_matters(int64_t now, int64_t then)
{
	__int128	difference = (__int128) now - then;

	return now != then && (difference < 0 ? -difference : difference) * CHANGE_THAT_MATTERS >= then;
}

static int
write_size(MDB_txn *transaction, const Map *map, const Delta *delta, RelationSet *unpublished)
{
	uint8_t		sum_key[8] = "size",
				relation_key[5] = {STATISTICS_NAMESPACE},
				published_key[sizeof(relation_key) + SUFFIX_BYTES];
	MDB_val		sum_at = octets(sum_key, sizeof(sum_key)),
				published_at;
	Size		size,
				published;
	int			status;

	put_big_endian(sum_key + 4, delta->relfilenode);
	put_big_endian(relation_key + 1, delta->relfilenode);
	published_at = make_stored_key(published_key, relation_key, sizeof(relation_key), STATISTICS_TIMESTAMP);
	status = load_size(transaction, map->tables[TABLE_META], sum_at, &size);
	if (status == 0)
		status = load_size(transaction, map->tables[TABLE_VERSIONS], published_at, &published);
	if (status != 0)
		return status;
	size.rows = clamp(size.rows + delta->rows);
	size.octets = clamp(size.octets + delta->octets);
	status = store_size(transaction, map->tables[TABLE_META], sum_at, size);
	if (status != 0)
		return status;
	if (number_matters(size.rows, published.rows) || number_matters(size.octets, published.octets))
		return store_size(transaction, map->tables[TABLE_VERSIONS], published_at, size);
	return add_relation(unpublished, delta->relfilenode) ? 0 : ENOMEM;
}

static int
compare_deltas(const void *left, const void *right)
{
	uint32_t	one = ((const Delta *) left)->relfilenode,
				other = ((const Delta *) right)->relfilenode;

	return (one > other) - (one < other);
}

int
write_sizes(MDB_txn *transaction, const Map *map, Deltas *deltas, RelationSet *unpublished)
{
	int			status = 0;

	if (deltas->count > 1)
		qsort(deltas->items, deltas->count, sizeof(*deltas->items), compare_deltas);
	for (size_t at = 0; status == 0 && at < deltas->count;)
	{
		Delta		sum = deltas->items[at++];

		for (; at < deltas->count && deltas->items[at].relfilenode == sum.relfilenode; at++)
		{
			sum.rows += deltas->items[at].rows;
			sum.octets += deltas->items[at].octets;
		}
		if (sum.rows != 0 || sum.octets != 0)
			status = write_size(transaction, map, &sum, unpublished);
	}
	return status;
}
