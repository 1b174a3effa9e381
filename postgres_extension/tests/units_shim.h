/*
 * units_shim.h
 *	  Stands in for what the units under test use of the rest of the extension.
 */
#ifndef BOREALIS_UNITS_SHIM_H
#define BOREALIS_UNITS_SHIM_H

#include "../borealis.h"

/* What the services would publish. */
typedef struct ShimState
{
	uint64		map_generation;
	uint64		map_size;
	uint32		readers_max;
	bool		is_below_horizon;
	uint64		record_size_max;
	int			failing_reads;	/* that LMDB is to call damaged */
} ShimState;

extern ShimState shim_state;

#endif							/* BOREALIS_UNITS_SHIM_H */
