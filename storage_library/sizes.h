/*
 * sizes.h
 *	  Sizes of relations: exact sums in `meta`, published copies among the versions (statistics.py).
 */
#ifndef BOREALIS_STORAGE_SIZES_H
#define BOREALIS_STORAGE_SIZES_H

#include "plan.h"

/* Relations whose published size is behind their sum. */
typedef struct RelationSet
{
	uint32_t   *items;
	size_t		count;
	size_t		room;
} RelationSet;

/* False without memory. */
extern bool add_relation(RelationSet *relations, uint32_t relfilenode);

/* Change the sums, and what is published where the change matters; the others go into `unpublished`. */
extern int	write_sizes(MDB_txn *transaction, const Map *map, Deltas *deltas, RelationSet *unpublished);

#endif							/* BOREALIS_STORAGE_SIZES_H */
