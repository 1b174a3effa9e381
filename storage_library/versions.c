/*
 * versions.c
 *	  Versions of keys in the map.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "versions.h"

void
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

uint64_t
timestamp_of(const MDB_val *stored)
{
	const uint8_t *suffix = (const uint8_t *) stored->mv_data + stored->mv_size - SUFFIX_BYTES;
	uint64_t	inverted = 0;

	for (int at = 0; at < SUFFIX_BYTES; at++)
		inverted = inverted << 8 | suffix[at];
	return UINT64_MAX - inverted;
}

static bool
is_version_of(const MDB_val *stored, const uint8_t *key, size_t key_size)
{
	return stored->mv_size == key_size + SUFFIX_BYTES && memcmp(stored->mv_data, key, key_size) == 0;
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

bool
add_key(KeyList *keys, const uint8_t *key, size_t size)
{
	if (keys->bytes + size > keys->room)
	{
		size_t		room = 2 * (keys->bytes + size) + 4096;
		uint8_t    *grown = realloc(keys->blob, room);

		if (grown == NULL)
			return false;
		keys->blob = grown;
		keys->room = room;
	}
	if (keys->count == keys->count_room)
	{
		size_t		room = 2 * keys->count_room + 128;
		uint32_t   *grown = realloc(keys->sizes, room * sizeof(*grown));

		if (grown == NULL)
			return false;
		keys->sizes = grown;
		keys->count_room = room;
	}
	memcpy(keys->blob + keys->bytes, key, size);
	keys->bytes += size;
	keys->sizes[keys->count++] = (uint32_t) size;
	return true;
}

void
empty_keys(KeyList *keys)
{
	keys->bytes = keys->count = 0;
}

void
free_keys(KeyList *keys)
{
	free(keys->blob);
	free(keys->sizes);
	*keys = (KeyList) {0};
}

/* The key that a sweep has come to. */
typedef struct Swept
{
	uint8_t		anchor[STORED_KEY_BYTES_MAX];	/* begins with the key; its newest version at or below the horizon */
	size_t		key_size;
	bool		is_any;
	bool		is_anchored;
	bool		is_tombstone;
} Swept;

/* A tombstone at the horizon goes with or after what is under it. */
static bool
leave_key(const Swept *swept, KeyList *garbage)
{
	return !swept->is_any || !swept->is_anchored || !swept->is_tombstone ||
		add_key(garbage, swept->anchor, swept->key_size + SUFFIX_BYTES);
}

static bool
sweep_version(Swept *swept, const MDB_val *stored, bool is_tombstone, const uint8_t *horizon_suffix, KeyList *garbage)
{
	if (!swept->is_any || !is_version_of(stored, swept->anchor, swept->key_size))
	{
		if (!leave_key(swept, garbage))
			return false;
		swept->key_size = stored->mv_size - SUFFIX_BYTES;
		memcpy(swept->anchor, stored->mv_data, stored->mv_size);
		swept->is_any = true;
		swept->is_anchored = swept->is_tombstone = false;
	}
	if (swept->is_anchored)
		return add_key(garbage, stored->mv_data, stored->mv_size);
	if (memcmp((const uint8_t *) stored->mv_data + swept->key_size, horizon_suffix, SUFFIX_BYTES) >= 0)
	{
		memcpy(swept->anchor, stored->mv_data, stored->mv_size);
		swept->is_anchored = true;
		swept->is_tombstone = is_tombstone;
	}
	return true;
}

int
find_garbage(MDB_cursor *cursor, MDB_val start, uint64_t horizon, size_t entries, KeyList *garbage, uint8_t *resume,
			 size_t *resume_size)
{
	uint8_t		horizon_suffix[SUFFIX_BYTES];
	Swept		swept = {.is_any = false};
	MDB_val		stored = start,
				value;
	int			status;

	make_suffix(horizon_suffix, horizon);
	status = mdb_cursor_get(cursor, &stored, &value, start.mv_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
	for (; status == 0 && entries > 0; entries--)
	{
		if (stored.mv_size < SUFFIX_BYTES || stored.mv_size > STORED_KEY_BYTES_MAX)
			return MDB_CORRUPTED;
		if (!sweep_version(&swept, &stored, value.mv_size == 0, horizon_suffix, garbage))
			return ENOMEM;
		/* Where to go on, if this was the last: at the version that must stay, since what follows it is garbage too. */
		*resume_size = stored.mv_size;
		if (entries == 1)
			memcpy(resume, stored.mv_data, stored.mv_size);
		status = mdb_cursor_get(cursor, &stored, &value, MDB_NEXT);
	}
	if (status != 0 && status != MDB_NOTFOUND)
		return status;
	if (entries > 0)
	{
		*resume_size = 0;
		return leave_key(&swept, garbage) ? 0 : ENOMEM;
	}
	if (swept.is_anchored)
		*resume_size = make_stored_key(resume, swept.anchor, swept.key_size, horizon).mv_size;
	return 0;
}
