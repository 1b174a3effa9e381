/*
 * versions.c
 *	  Versions of keys in the map.
 */
#include <errno.h>
#include <string.h>

#include "versions.h"

static void
make_suffix(uint8_t *suffix, uint64_t timestamp)
{
	uint64_t	inverted = UINT64_MAX - timestamp;

	for (int at = SUFFIX_BYTES - 1; at >= 0; at--, inverted >>= 8)
		suffix[at] = (uint8_t) inverted;
}

MDB_val
make_stored_key(uint8_t *stored, const uint8_t *key, size_t key_size, uint64_t timestamp)
{
	memcpy(stored, key, key_size);
	make_suffix(stored + key_size, timestamp);
	return octets(stored, key_size + SUFFIX_BYTES);
}

static bool
is_version_of(const MDB_val *stored, const uint8_t *key, size_t key_size)
{
	return stored->mv_size == key_size + SUFFIX_BYTES && memcmp(stored->mv_data, key, key_size) == 0;
}

int
put_over(MDB_cursor *cursor, MDB_val stored, MDB_val value, uint8_t *is_over)
{
	MDB_val		next,
				ignored;
	int			status = mdb_cursor_put(cursor, &stored, &value, 0);

	if (status != 0)
		return status;
	status = mdb_cursor_get(cursor, &next, &ignored, MDB_NEXT);
	*is_over = status == 0 && stored.mv_size >= SUFFIX_BYTES &&
		is_version_of(&next, stored.mv_data, stored.mv_size - SUFFIX_BYTES);
	return status == MDB_NOTFOUND ? 0 : status;
}

/* Delete the version under the cursor and look at the one behind it. */
static int
delete_and_look(MDB_cursor *cursor, MDB_val *stored, MDB_val *value)
{
	int			status = mdb_cursor_del(cursor, 0);

	if (status != 0)
		return status;
	status = mdb_cursor_get(cursor, stored, value, MDB_GET_CURRENT);
	/* A table that has become empty has no place for a cursor. */
	return status == EINVAL ? MDB_NOTFOUND : status;
}

int
clear_key(MDB_cursor *cursor, const uint8_t *key, size_t key_size, uint64_t horizon, uint64_t limit,
		  uint64_t *deleted, bool *is_all)
{
	uint8_t		newest[STORED_KEY_BYTES_MAX];
	MDB_val		stored,
				value;
	bool		is_tombstone;
	int			status;

	*is_all = true;
	if (key_size + SUFFIX_BYTES > sizeof(newest))
		return MDB_BAD_VALSIZE;
	stored = make_stored_key(newest, key, key_size, horizon);
	status = mdb_cursor_get(cursor, &stored, &value, MDB_SET_RANGE);
	if (status != 0 || !is_version_of(&stored, key, key_size))
		return status == MDB_NOTFOUND ? 0 : status;
	is_tombstone = value.mv_size == 0;
	memcpy(newest, stored.mv_data, stored.mv_size);
	status = mdb_cursor_get(cursor, &stored, &value, MDB_NEXT);
	while (status == 0 && is_version_of(&stored, key, key_size))
	{
		if (*deleted >= limit)
		{
			*is_all = false;
			return 0;
		}
		status = delete_and_look(cursor, &stored, &value);
		if (status == 0 || status == MDB_NOTFOUND)
			++*deleted;
	}
	if (is_tombstone && (status == 0 || status == MDB_NOTFOUND))
	{
		stored = octets(newest, key_size + SUFFIX_BYTES);
		status = mdb_cursor_get(cursor, &stored, &value, MDB_SET);
		if (status == 0)
			status = mdb_cursor_del(cursor, 0);
		if (status == 0)
			++*deleted;
	}
	return status == MDB_NOTFOUND ? 0 : status;
}

int
clear_relation(MDB_cursor *cursor, const uint8_t *prefix, size_t prefix_size, uint64_t dropped_at, uint64_t limit,
			   uint64_t *deleted, bool *is_all)
{
	uint8_t		drop_suffix[SUFFIX_BYTES];
	MDB_val		stored = octets(prefix, prefix_size),
				value;
	int			status;

	*is_all = true;
	make_suffix(drop_suffix, dropped_at);
	status = mdb_cursor_get(cursor, &stored, &value, MDB_SET_RANGE);
	while (status == 0 && stored.mv_size >= prefix_size && memcmp(stored.mv_data, prefix, prefix_size) == 0)
	{
		const uint8_t *end = (const uint8_t *) stored.mv_data + stored.mv_size;

		if (*deleted >= limit)
		{
			*is_all = false;
			return 0;
		}
		/* A shorter key than a suffix cannot be there. */
		if (stored.mv_size >= SUFFIX_BYTES && memcmp(end - SUFFIX_BYTES, drop_suffix, SUFFIX_BYTES) >= 0)
		{
			status = delete_and_look(cursor, &stored, &value);
			if (status == 0 || status == MDB_NOTFOUND)
				++*deleted;
		}
		else
			status = mdb_cursor_get(cursor, &stored, &value, MDB_NEXT);
	}
	return status == MDB_NOTFOUND ? 0 : status;
}
