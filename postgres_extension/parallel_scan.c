/*
 * parallel_scan.c
 *	  See parallel_scan.h.
 *
 * To find where a piece ends takes some microseconds and may report an error,
 * so it is not done under the lock: whoever finds that somebody else was faster
 * starts again behind that piece.
 */
#include "borealis.h"

#include "miscadmin.h"
#include "storage/spin.h"
#include "utils/rel.h"

#include "parallel_scan.h"
#include "storage_reader.h"

/* Leaf pages of the map: enough to be worth the search, few enough to share evenly. */
#define PIECE_PAGES 32

typedef struct SharedScan
{
	ParallelTableScanDescData base;
	slock_t		mutex;
	uint64		taken;			/* pieces */
	bool		is_exhausted;
	uint16		next_size;
	uint8		next[KEY_SIZE_MAX + 1]; /* where the next piece begins; empty: at the start */
} SharedScan;

Size
parallel_scan_estimate(Relation table)
{
	return MAXALIGN(sizeof(SharedScan));
}

static void
start_over(SharedScan *scan)
{
	scan->taken = 0;
	scan->is_exhausted = false;
	scan->next_size = 0;
}

Size
parallel_scan_initialize(Relation table, ParallelTableScanDesc shared)
{
	SharedScan *scan = (SharedScan *) shared;

	scan->base.phs_relid = RelationGetRelid(table);
	scan->base.phs_syncscan = false;
	SpinLockInit(&scan->mutex);
	start_over(scan);
	return MAXALIGN(sizeof(SharedScan));
}

/* No worker runs at this time. */
void
parallel_scan_reinitialize(Relation table, ParallelTableScanDesc shared)
{
	start_over((SharedScan *) shared);
}

/* Copies where the next piece begins; false if there is none. */
static bool
look(SharedScan *scan, const KeyRange *table, ScanPiece *piece, uint64 *taken)
{
	bool		is_exhausted;
	uint32		size;

	SpinLockAcquire(&scan->mutex);
	is_exhausted = scan->is_exhausted;
	*taken = scan->taken;
	size = scan->next_size;
	memcpy(piece->lower, scan->next, size);
	SpinLockRelease(&scan->mutex);

	piece->range.lower = size > 0 ? piece->lower : table->lower;
	piece->range.lower_size = size > 0 ? size : table->lower_size;
	return !is_exhausted;
}

/* False if somebody else has taken the piece. */
static bool
take(SharedScan *scan, uint64 taken, const ScanPiece *piece, bool is_last)
{
	bool		is_mine;

	SpinLockAcquire(&scan->mutex);
	is_mine = scan->taken == taken;
	if (is_mine)
	{
		scan->taken++;
		scan->is_exhausted = is_last;
		if (!is_last)
		{
			scan->next_size = (uint16) piece->range.upper_size;
			memcpy(scan->next, piece->upper, piece->range.upper_size);
		}
	}
	SpinLockRelease(&scan->mutex);
	return is_mine;
}

bool
parallel_scan_take(ParallelTableScanDesc shared, const KeyRange *table, ScanPiece *piece)
{
	SharedScan *scan = (SharedScan *) shared;
	uint64		taken;

	while (look(scan, table, piece, &taken))
	{
		bool		is_last;

		CHECK_FOR_INTERRUPTS();
		piece->range.upper = piece->upper;
		is_last = !storage_find_boundary(piece->range.lower, piece->range.lower_size,
										 table->upper, table->upper_size, PIECE_PAGES,
										 piece->upper, &piece->range.upper_size);
		if (is_last)
		{
			piece->range.upper = table->upper;
			piece->range.upper_size = table->upper_size;
		}
		if (take(scan, taken, piece, is_last))
			return true;
	}
	return false;
}
