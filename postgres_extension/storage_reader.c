/*
 * storage_reader.c
 *	  Single keys of the committed state at a timestamp.
 *
 * Here and in storage_range.c each call holds its LMDB read transaction for a
 * bounded time and never across an ERROR: the sections between
 * storage_map_begin and storage_map_end only copy into memory that is there
 * already.  One that lacks room stops, the memory is made larger outside, and it
 * goes on.
 *
 * The horizon is checked after the reading: storage raises it before it removes
 * versions, so if the horizon is not above the timestamp then, nothing that was
 * needed had gone.
 */
#include "postgres.h"

#include "port/pg_bitutils.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "read_set.h"
#include "storage_map.h"
#include "storage_reader.h"
#include "transaction.h"

static bool
finish_point_read(int status)
{
	if (unlikely(status != 0 && status != MDB_NOTFOUND))
		storage_map_report(status);
	transaction_check_horizon();
	return status == 0;
}

bool
storage_read(const uint8 *key, uint32 key_size, BorealisTimestamp timestamp,
			 ValueBuffer *buffer, uint32 *value_size)
{
	StoredVersion version;
	int			status;

	read_set_add_key(key, key_size);
	for (;;)
	{
		uint32		size_wanted = 0;

		storage_map_begin();
		status = storage_map_find_live(key, key_size, timestamp, &version);
		if (status == 0)
		{
			size_wanted = version.value_size;
			if (size_wanted <= buffer->capacity)
				memcpy(buffer->data, version.value, size_wanted);
		}
		storage_map_end();

		if (unlikely(storage_map_doubts(status)))
			continue;
		if (size_wanted <= buffer->capacity)
		{
			*value_size = size_wanted;
			return finish_point_read(status);
		}
		if (buffer->data != NULL)
			pfree(buffer->data);
		buffer->data = NULL;
		buffer->capacity = 0;
		buffer->data = MemoryContextAllocHuge(buffer->context, pg_nextpower2_size_t(size_wanted));
		buffer->capacity = pg_nextpower2_size_t(size_wanted);
	}
}

bool
storage_exists(const uint8 *key, uint32 key_size, BorealisTimestamp timestamp)
{
	StoredVersion version;
	int			status;

	read_set_add_key(key, key_size);
	do
	{
		storage_map_begin();
		status = storage_map_find_live(key, key_size, timestamp, &version);
		storage_map_end();
	} while (unlikely(storage_map_doubts(status)));
	return finish_point_read(status);
}

void
storage_read_statistics(Oid relfilenode, int64 *rows, int64 *bytes)
{
	uint8		key[KEY_PREFIX_SIZE] = {KEY_NAMESPACE_STATISTICS};
	uint32		relfilenode_stored = pg_hton32(relfilenode);
	uint64		words[2] = {0, 0};	/* rows, bytes */
	StoredVersion version;
	int			status;

	memcpy(key + 1, &relfilenode_stored, sizeof(relfilenode_stored));

	do
	{
		storage_map_begin();
		status = storage_map_seek(key, sizeof(key), 0, &version);
		if (status == 0)
		{
			if (!stored_version_has_key(&version, key, sizeof(key)) || version.value_size == 0)
				status = MDB_NOTFOUND;
			else if (version.value_size != sizeof(words))
				status = MDB_CORRUPTED;
			else
				memcpy(words, version.value, sizeof(words));
		}
		storage_map_end();
	} while (unlikely(storage_map_doubts(status)));

	if (status != 0 && status != MDB_NOTFOUND)
		storage_map_report(status);
#ifdef WORDS_BIGENDIAN
	words[0] = pg_bswap64(words[0]);
	words[1] = pg_bswap64(words[1]);
#endif
	*rows = (int64) words[0];
	*bytes = (int64) words[1];
}
