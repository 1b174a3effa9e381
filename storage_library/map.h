/*
 * map.h
 *	  The LMDB environment of the storage process, and its three tables.
 *
 * Status codes are LMDB's: 0, an error number of the system, or MDB_...
 */
#ifndef BOREALIS_STORAGE_MAP_H
#define BOREALIS_STORAGE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include <lmdb.h>

/* docs/formats.md, "Map"; ordered_map.py has the same order. */
typedef enum Table
{
	TABLE_VERSIONS = 0,
	TABLE_META = 1,
	TABLE_DROPS = 2,
	TABLES = 3
} Table;

typedef struct Map
{
	MDB_env    *environment;
	MDB_dbi		tables[TABLES];
} Map;

/*
 * Say in the map, in the transaction in which they go, that versions are gone that only readers below the horizon need: a
 * restart must not admit one.  It never goes back, whatever the caller knows of it.
 */
extern int	remember_horizon(MDB_txn *transaction, const Map *map, uint64_t horizon);

static inline MDB_val
octets(const void *data, size_t size)
{
	return (MDB_val) {size, (void *) data};
}

#endif							/* BOREALIS_STORAGE_MAP_H */
