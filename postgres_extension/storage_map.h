/*
 * storage_map.h
 *	  This backend's access to storage's LMDB map: the open environment, short
 *	  read transactions, and steps among stored versions.
 *
 * Between storage_map_begin and storage_map_end nothing may be reported or
 * allocated: an ERROR would leave the read transaction open, and storage could
 * not reuse a page from then on.  Functions called there return status codes,
 * which storage_map_report turns into an ERROR afterwards.
 */
#ifndef BOREALIS_STORAGE_MAP_H
#define BOREALIS_STORAGE_MAP_H

#include "borealis.h"

#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "map_leaf.h"

/* Status codes are LMDB's own: 0, MDB_NOTFOUND, errors. */
#include <lmdb.h>

/* A stored version; the bytes belong to the map until storage_map_end. */
typedef struct StoredVersion
{
	const uint8 *key;			/* without the timestamp */
	uint32		key_size;
	uint32		value_size;		/* 0: tombstone */
	uint64		inverted_timestamp; /* the larger, the older */
	const uint8 *value;
} StoredVersion;

/* What a stored timestamp looks like. */
#define INVERT_TIMESTAMP(timestamp) (PG_UINT64_MAX - (timestamp))

/* Opens the map if need be and starts a read transaction.  May ereport. */
extern void storage_map_begin(void);
extern void storage_map_end(void);

/*
 * Moves to the first version at or behind (key, inverted timestamp).  Versions
 * of a key are ordered from newest to oldest.
 */
extern int	storage_map_seek(const uint8 *key, uint32 key_size,
							 uint64 inverted_timestamp, StoredVersion *version);
/* To the first version of the first key larger than the given one. */
extern int	storage_map_seek_behind(const uint8 *key, uint32 key_size, StoredVersion *version);
/*
 * To the first version of the first key that is not smaller than the bound,
 * which need not be a key.
 */
extern int	storage_map_seek_bound(const uint8 *bound, uint32 bound_size, StoredVersion *version);
/* One step; both return MDB_NOTFOUND at the end of the map. */
extern int	storage_map_next(StoredVersion *version);
extern int	storage_map_previous(StoredVersion *version);
/* To the last version in the map. */
extern int	storage_map_last(StoredVersion *version);

/* To the newest version at or below the timestamp; MDB_NOTFOUND if it is not live. */
extern int	storage_map_find_live(const uint8 *key, uint32 key_size,
								  BorealisTimestamp timestamp, StoredVersion *version);

/* The leaf page of the version found last, for steps without LMDB. */
extern int	storage_map_leaf(MapLeaf *leaf);

#define STORED_TIMESTAMP_SIZE sizeof(uint64)

/* Takes apart what lies in the map.  Nothing there is trusted. */
static inline int
stored_version_parse(const MDB_val *key, const MDB_val *value, StoredVersion *version)
{
	uint64		inverted;

	if (unlikely(key->mv_size <= STORED_TIMESTAMP_SIZE ||
				 key->mv_size > KEY_SIZE_MAX + STORED_TIMESTAMP_SIZE ||
				 value->mv_size > MaxAllocSize))
		return MDB_CORRUPTED;
	version->key = key->mv_data;
	version->key_size = (uint32) (key->mv_size - STORED_TIMESTAMP_SIZE);
	memcpy(&inverted, version->key + version->key_size, STORED_TIMESTAMP_SIZE);
	version->inverted_timestamp = pg_ntoh64(inverted);
	version->value = value->mv_data;
	version->value_size = (uint32) value->mv_size;
	return 0;
}

static inline int
stored_version_at(const MapLeaf *leaf, StoredVersion *version)
{
	MDB_val		key;
	MDB_val		value;
	int			status = map_leaf_get(leaf, &key, &value);

	return unlikely(status != 0) ? status : stored_version_parse(&key, &value, version);
}

/* Neighbouring keys mostly differ in their last bytes. */
static inline bool
stored_version_has_key(const StoredVersion *version, const uint8 *key, uint32 key_size)
{
	uint64		tails[2];

	if (version->key_size != key_size)
		return false;
	if (likely(key_size >= sizeof(uint64)))
	{
		memcpy(&tails[0], version->key + key_size - sizeof(uint64), sizeof(uint64));
		memcpy(&tails[1], key + key_size - sizeof(uint64), sizeof(uint64));
		if (tails[0] != tails[1])
			return false;
	}
	return memcmp(version->key, key, key_size) == 0;
}

extern bool storage_map_has_doubted;
extern bool storage_map_doubts_error(int status);

/*
 * After storage_map_end, for each pass, with its status: true once, when LMDB has
 * met damage.  A read transaction can begin on a torn root, and what it takes for
 * damage then is none: only what comes again in a new transaction is
 * (docs/decisions/0001-lmdb-format.md).  The pass is to be repeated.
 */
static inline bool
storage_map_doubts(int status)
{
	return unlikely(storage_map_has_doubted || (status != 0 && status != MDB_NOTFOUND)) &&
		storage_map_doubts_error(status);
}

/* Raises the ERROR for a status that is neither 0 nor MDB_NOTFOUND. */
extern void storage_map_report(int status) pg_attribute_noreturn();

#endif							/* BOREALIS_STORAGE_MAP_H */
