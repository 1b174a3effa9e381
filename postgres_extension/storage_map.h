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

static inline bool
stored_version_has_key(const StoredVersion *version, const uint8 *key, uint32 key_size)
{
	return version->key_size == key_size && memcmp(version->key, key, key_size) == 0;
}

/* Raises the ERROR for a status that is neither 0 nor MDB_NOTFOUND. */
extern void storage_map_report(int status) pg_attribute_noreturn();

#endif							/* BOREALIS_STORAGE_MAP_H */
