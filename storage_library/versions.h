/*
 * versions.h
 *	  The versions of keys: deleting those that nobody needs.
 *
 * What may go is what garbage.py says, which these functions are compared with.
 */
#ifndef BOREALIS_STORAGE_VERSIONS_H
#define BOREALIS_STORAGE_VERSIONS_H

#include <stdbool.h>

#include "map.h"

#define SUFFIX_BYTES		8
/* Of a stored key; LMDB takes no longer ones. */
#define STORED_KEY_BYTES_MAX 1978

/* The end of all keys that are stored at a timestamp. */
extern void make_suffix(uint8_t *suffix, uint64_t timestamp);
/* Write `key · inverted timestamp` to `stored`, which has room for it. */
extern MDB_val make_stored_key(uint8_t *stored, const uint8_t *key, size_t key_size, uint64_t timestamp);

extern uint64_t timestamp_of(const MDB_val *stored);

/* Delete the garbage of one key at a horizon, at most `limit` versions and a tombstone, counting in `deleted`. */
extern int	clear_key(MDB_cursor *cursor, const uint8_t *key, size_t key_size, uint64_t horizon, uint64_t limit,
					  uint64_t *deleted, bool *is_all);

/* Delete what is under a prefix and not newer than a drop, likewise. */
extern int	clear_relation(MDB_cursor *cursor, const uint8_t *prefix, size_t prefix_size, uint64_t dropped_at,
						   uint64_t limit, uint64_t *deleted, bool *is_all);

/* Copies of keys, one behind the other. */
typedef struct KeyList
{
	uint8_t    *blob;
	size_t		bytes;
	size_t		room;
	uint32_t   *sizes;
	size_t		count;
	size_t		count_room;
} KeyList;

/* False without memory. */
extern bool add_key(KeyList *keys, const uint8_t *key, size_t size);
/* Keeps the room that they took. */
extern void empty_keys(KeyList *keys);
extern void free_keys(KeyList *keys);

/*
 * Find the garbage of every key within `entries` versions from `start` on.  What belongs to the last key is left for the
 * next call, which must begin at `resume` (room for a stored key), unless it is very much; a size of 0: there is no more.
 */
extern int	find_garbage(MDB_cursor *cursor, MDB_val start, uint64_t horizon, size_t entries, KeyList *garbage,
						 uint8_t *resume, size_t *resume_size);

#endif							/* BOREALIS_STORAGE_VERSIONS_H */
