/*
 * map.c
 *	  Opening, transactions, and what Python's side asks of them.
 *
 * Nothing is synced but at a clean end (docs/decisions/0002).  Read
 * transactions are not bound to a thread.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"
#include "doors.h"
#include "leaves.h"

#define HORIZON_KEY "horizon"

static const char *const TABLE_NAMES[TABLES] = {"versions", "meta", "drops"};

static int
open_tables(Map *map)
{
	MDB_txn    *transaction;
	int			status = mdb_txn_begin(map->environment, NULL, 0, &transaction);

	for (int table = 0; status == 0 && table < TABLES; table++)
	{
		status = mdb_dbi_open(transaction, TABLE_NAMES[table], MDB_CREATE, &map->tables[table]);
		if (status != 0)
			mdb_txn_abort(transaction);
	}
	return status != 0 ? status : mdb_txn_commit(transaction);
}

int
remember_horizon(MDB_txn *transaction, const Map *map, uint64_t horizon)
{
	MDB_val		key = octets(HORIZON_KEY, strlen(HORIZON_KEY)),
				value;
	int			status = mdb_get(transaction, map->tables[TABLE_META], &key, &value);

	if (status != 0 && status != MDB_NOTFOUND)
		return status;
	if (status == 0 && value.mv_size == sizeof(horizon) && load_u64(value.mv_data) >= horizon)
		return 0;
	value = octets(&horizon, sizeof(horizon));
	return mdb_put(transaction, map->tables[TABLE_META], &key, &value, 0);
}

DOOR int
storage_map_open(const char *directory, uint64_t bytes_max, unsigned readers_max, unsigned permissions, Map **opened)
{
	Map		   *map = calloc(1, sizeof(*map));
	int			status;

	if (map == NULL)
		return ENOMEM;
	status = mdb_env_create(&map->environment);
	if (status != 0)
	{
		free(map);
		return status;
	}
	status = mdb_env_set_mapsize(map->environment, bytes_max);
	if (status == 0)
		status = mdb_env_set_maxreaders(map->environment, readers_max);
	if (status == 0)
		status = mdb_env_set_maxdbs(map->environment, TABLES);
	if (status == 0)
		status = mdb_env_open(map->environment, directory,
							  MDB_NOSYNC | MDB_NOMETASYNC | MDB_NORDAHEAD | MDB_NOTLS, permissions);
	if (status == 0)
		status = open_tables(map);
	if (status != 0)
	{
		storage_map_close(map);
		return status;
	}
	*opened = map;
	return 0;
}

DOOR void
storage_map_close(Map *map)
{
	mdb_env_close(map->environment);
	free(map);
}

DOOR int
storage_map_sync(Map *map)
{
	return mdb_env_sync(map->environment, 1);
}

DOOR int
storage_map_check_readers(Map *map, int *dead)
{
	return mdb_reader_check(map->environment, dead);
}

DOOR int
storage_map_copy(Map *map, int descriptor)
{
	return mdb_env_copyfd2(map->environment, descriptor, MDB_CP_COMPACT);
}

DOOR const char *
storage_error_text(int status)
{
	return mdb_strerror(status);
}

DOOR int
storage_begin(Map *map, int is_write, MDB_txn **transaction)
{
	return mdb_txn_begin(map->environment, NULL, is_write ? 0 : MDB_RDONLY, transaction);
}

DOOR int
storage_commit(MDB_txn *transaction)
{
	return mdb_txn_commit(transaction);
}

DOOR void
storage_abort(MDB_txn *transaction)
{
	mdb_txn_abort(transaction);
}

DOOR int
storage_get(Map *map, MDB_txn *transaction, Table table, const uint8_t *key, size_t key_size, const uint8_t **value,
			size_t *value_size)
{
	MDB_val		name = octets(key, key_size),
				found;
	int			status = mdb_get(transaction, map->tables[table], &name, &found);

	if (status == 0)
	{
		*value = found.mv_data;
		*value_size = found.mv_size;
	}
	return status;
}

static int
put_entries(MDB_cursor *cursor, const uint8_t *blob, const uint32_t *sizes, size_t entries)
{
	int			status = 0;

	for (; status == 0 && entries > 0; entries--, sizes += 2)
	{
		MDB_val		key = octets(blob, sizes[0]),
					value = octets(blob + sizes[0], sizes[1]);

		status = mdb_cursor_put(cursor, &key, &value, 0);
		blob += (size_t) sizes[0] + sizes[1];
	}
	return status;
}

/* Versions in ascending order; `is_over` says of those that may cover whether they do, NULL: none may. */
static int
put_versions(MDB_cursor *cursor, const uint8_t *blob, const uint32_t *sizes, size_t entries, uint8_t *is_over)
{
	Version    *versions = calloc(entries + 1, sizeof(*versions));
	int			status;

	if (versions == NULL)
		return ENOMEM;
	for (size_t number = 0; number < entries; number++, sizes += 2)
	{
		versions[number] = (Version) {
			.stored = octets(blob, sizes[0]),
			.value = octets(blob + sizes[0], sizes[1]),
			.may_cover = is_over != NULL
		};
		blob += (size_t) sizes[0] + sizes[1];
	}
	status = write_versions(cursor, versions, entries, NULL);
	for (size_t number = 0; is_over != NULL && number < entries; number++)
		is_over[number] = versions[number].is_over;
	free(versions);
	return status;
}

/* Entries come as one blob, `key · value` each, with the sizes in turn beside it. */
DOOR int
storage_put(Map *map, MDB_txn *transaction, Table table, const uint8_t *blob, const uint32_t *sizes, size_t entries)
{
	MDB_cursor *cursor;
	int			status = mdb_cursor_open(transaction, map->tables[table], &cursor);

	if (status != 0)
		return status;
	status = table == TABLE_VERSIONS ? put_versions(cursor, blob, sizes, entries, NULL)
		: put_entries(cursor, blob, sizes, entries);
	mdb_cursor_close(cursor);
	return status;
}

/* The same for versions in ascending order; `is_over` says of each whether an older version of its key is there. */
DOOR int
storage_put_over(Map *map, MDB_txn *transaction, const uint8_t *blob, const uint32_t *sizes, size_t entries,
				 uint8_t *is_over)
{
	MDB_cursor *cursor;
	int			status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);

	if (status != 0)
		return status;
	status = put_versions(cursor, blob, sizes, entries, is_over);
	mdb_cursor_close(cursor);
	return status;
}

DOOR int
storage_delete(Map *map, MDB_txn *transaction, Table table, const uint8_t *blob, const uint32_t *sizes, size_t keys)
{
	int			status = 0;

	for (; status == 0 && keys > 0; keys--, sizes++)
	{
		MDB_val		key = octets(blob, *sizes);

		status = mdb_del(transaction, map->tables[table], &key, NULL);
		if (status == MDB_NOTFOUND)
			status = 0;
		blob += *sizes;
	}
	return status;
}

/*
 * Entries from the first key at or after `start` on, as many as fit, each as `u32 size of the key · u32 size of the value ·
 * key · value`.  `needed`: the bytes that the first entry that did not fit would have taken, 0 when all are out.
 */
DOOR int
storage_scan(Map *map, MDB_txn *transaction, Table table, const uint8_t *start, size_t start_size, uint8_t *out,
			 size_t out_size, size_t *entries, size_t *needed)
{
	MDB_cursor *cursor;
	MDB_val		key = octets(start, start_size),
				value;
	int			status = mdb_cursor_open(transaction, map->tables[table], &cursor);

	if (status != 0)
		return status;
	*entries = *needed = 0;
	/* LMDB has no empty keys to look for. */
	status = mdb_cursor_get(cursor, &key, &value, start_size == 0 ? MDB_FIRST : MDB_SET_RANGE);
	while (status == 0)
	{
		uint32_t	sizes[2] = {key.mv_size, value.mv_size};
		size_t		bytes = sizeof(sizes) + key.mv_size + value.mv_size;

		if (bytes > out_size)
		{
			*needed = bytes;
			break;
		}
		memcpy(out, sizes, sizeof(sizes));
		memcpy(out + sizeof(sizes), key.mv_data, key.mv_size);
		memcpy(out + sizeof(sizes) + key.mv_size, value.mv_data, value.mv_size);
		out += bytes;
		out_size -= bytes;
		++*entries;
		status = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
	}
	mdb_cursor_close(cursor);
	return status == MDB_NOTFOUND ? 0 : status;
}

/* Delete the garbage of keys at a horizon; `is_all` says of each whether nothing was left to do. */
DOOR int
storage_clear_keys(Map *map, MDB_txn *transaction, const uint8_t *blob, const uint32_t *sizes, size_t keys,
				   uint64_t horizon, uint64_t limit, uint64_t *deleted, uint8_t *is_all)
{
	MDB_cursor *cursor;
	int			status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);

	if (status != 0)
		return status;
	*deleted = 0;
	for (; status == 0 && keys > 0; keys--, sizes++)
	{
		bool		is_done;

		status = clear_key(cursor, blob, *sizes, horizon, limit, deleted, &is_done);
		*is_all++ = is_done;
		blob += *sizes;
	}
	mdb_cursor_close(cursor);
	return status;
}

DOOR int
storage_clear_relation(Map *map, MDB_txn *transaction, const uint8_t *prefix, size_t prefix_size, uint64_t dropped_at,
					   uint64_t limit, uint64_t *deleted, uint8_t *is_all)
{
	MDB_cursor *cursor;
	bool		is_done;
	int			status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);

	if (status != 0)
		return status;
	*deleted = 0;
	status = clear_relation(cursor, prefix, prefix_size, dropped_at, limit, deleted, &is_done);
	*is_all = is_done;
	mdb_cursor_close(cursor);
	return status;
}

static int
find_in_map(Map *map, MDB_val start, uint64_t horizon, size_t entries, KeyList *garbage, uint8_t *resume,
			size_t *resume_size)
{
	MDB_txn    *transaction;
	MDB_cursor *cursor;
	int			status = mdb_txn_begin(map->environment, NULL, MDB_RDONLY, &transaction);

	if (status != 0)
		return status;
	status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);
	if (status == 0)
	{
		status = find_garbage(cursor, start, horizon, entries, garbage, resume, resume_size);
		mdb_cursor_close(cursor);
	}
	mdb_txn_abort(transaction);
	return status;
}

/* One slice of a sweep over the whole map (versions.h): what it finds is deleted in one transaction. */
DOOR int
storage_sweep(Map *map, const uint8_t *start, size_t start_size, uint64_t horizon, size_t entries, size_t *deleted,
			  uint8_t *resume, size_t *resume_size)
{
	KeyList		garbage = {0};
	MDB_txn    *transaction;
	int			status = find_in_map(map, octets(start, start_size), horizon, entries, &garbage, resume, resume_size);

	*deleted = garbage.count;
	if (status == 0 && garbage.count > 0)
		status = mdb_txn_begin(map->environment, NULL, 0, &transaction);
	if (status == 0 && garbage.count > 0)
	{
		status = storage_delete(map, transaction, TABLE_VERSIONS, garbage.blob, garbage.sizes, garbage.count);
		if (status == 0)
			status = mdb_txn_commit(transaction);
		else
			mdb_txn_abort(transaction);
	}
	free_keys(&garbage);
	return status;
}
