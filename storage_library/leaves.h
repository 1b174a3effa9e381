/*
 * leaves.h
 *	  Writing versions with an eye on the leaves that they go to, whose pages are written anyway.
 */
#ifndef BOREALIS_STORAGE_LEAVES_H
#define BOREALIS_STORAGE_LEAVES_H

#include "versions.h"

/* One version that is to be written. */
typedef struct Version
{
	MDB_val		stored;
	MDB_val		value;
	bool		may_cover;
	bool		is_over;		/* of one that may cover: whether an older version of its key is there, set when it is written */
} Version;

/* What goes with the writing: versions that nobody needs, out of the leaves that are written. */
typedef struct Cleaning
{
	uint64_t	horizon;		/* 0: nothing may go */
	uint64_t	deleted;
	KeyList		cleaned;		/* keys of which nothing is left that may go at the horizon */
	KeyList		garbage;
	const uint8_t *last_leaf;	/* written by this transaction, and so cleaned */
} Cleaning;

extern void cleaning_start(Cleaning *cleaning, uint64_t horizon);
extern void cleaning_close(Cleaning *cleaning);

/* Write versions, best in ascending order, which those that may cover must be in.  `cleaning`: NULL or started. */
extern int	write_versions(MDB_cursor *cursor, Version *versions, size_t count, Cleaning *cleaning);

#endif							/* BOREALIS_STORAGE_LEAVES_H */
