/*
 * plan.h
 *	  What plain batches ask for, and the bringing of it into the map.
 *
 * A batch is plain if it follows on, is intact and holds nothing but small
 * transactions that write, lock and change sizes, or records that carry nothing
 * for storage.  Whatever is not plain, or looks wrong in any way, is left to
 * apply.py, which knows the rest and says what is wrong; so no refusal is
 * worded here.  Of what both can do they do the same (tests/unit/storage).
 *
 * Entries point into the batches, which must stay where they are until the plan
 * has been written.
 */
#ifndef BOREALIS_STORAGE_PLAN_H
#define BOREALIS_STORAGE_PLAN_H

#include <stdbool.h>

#include "leaves.h"

typedef struct Progress
{
	uint64_t	position;
	uint64_t	timestamp;
	uint64_t	catalog_version;
	uint64_t	schema_version;
} Progress;

typedef struct PlannedWrite
{
	const uint8_t *key;
	const uint8_t *value;
	uint32_t	key_size;
	uint32_t	value_size;
	uint64_t	timestamp;
} PlannedWrite;

typedef struct PlannedWrites
{
	PlannedWrite *items;
	size_t		count;
	size_t		room;
} PlannedWrites;

/* A sum over deltas; that of as many as a batch can hold fits. */
typedef struct Delta
{
	uint32_t	relfilenode;
	__int128	rows;
	__int128	octets;
} Delta;

typedef struct Deltas
{
	Delta	   *items;
	size_t		count;
	size_t		room;
} Deltas;

typedef struct Plan
{
	Progress	before;
	Progress	after;
	PlannedWrites puts;			/* versions of which it is known whether they cover another */
	PlannedWrites puts_that_may_cover;
	PlannedWrites covered;		/* keys of which an older version is there; values unused */
	Deltas		deltas;
	uint32_t	wake_bits;
	size_t		batches;

	/* While it is written, and until the next one is. */
	Version    *versions;		/* room for them */
	size_t		versions_room;
	uint8_t    *stored_keys;
	size_t		stored_keys_room;
	Cleaning	cleaning;
} Plan;

struct RelationSet;

typedef enum Fit
{
	FIT_TAKEN,
	FIT_APPLIED_BEFORE,
	FIT_NOT_PLAIN
} Fit;

typedef struct Limits
{
	uint64_t	giant_bytes;
	uint64_t	writes_max;
} Limits;

extern void plan_start(Plan *plan, const Progress *progress);
/* Take in one batch, wholly or not at all. */
extern Fit	plan_add(Plan *plan, const uint8_t *batch, size_t size, const Limits *limits);
static inline size_t
plan_writes(const Plan *plan)
{
	return plan->puts.count + plan->puts_that_may_cover.count;
}

/*
 * Bring the plan into the map, in one transaction: all of it or, with a status, nothing.  Keys that turned out to cover
 * another version join `covered`; relations whose published size is behind are added to `unpublished`.  What nobody needs
 * at `horizon` goes where it lies beside what is written (`cleaning`); 0: nothing may go.
 */
extern int	plan_write(Plan *plan, Map *map, struct RelationSet *unpublished, uint64_t horizon);
extern void plan_close(Plan *plan);

/* Room for more; false without memory. */
extern bool reserve_writes(PlannedWrites *writes, size_t more);

#endif							/* BOREALIS_STORAGE_PLAN_H */
