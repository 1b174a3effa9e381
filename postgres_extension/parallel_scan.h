/*
 * parallel_scan.h
 *	  How the processes of a parallel query share the scan of a table.
 *
 * Each takes one piece of the table after the other.  A piece begins where the
 * one before ends, at the first key of a leaf page of the map, which any
 * process finds without reading the pages between.  Versions in the map come
 * and go meanwhile; the pieces are ranges of keys, and every key is in one.
 */
#ifndef BOREALIS_PARALLEL_SCAN_H
#define BOREALIS_PARALLEL_SCAN_H

#include "borealis.h"

#include "access/relscan.h"
#include "range_cursor.h"

extern Size parallel_scan_estimate(Relation table);
extern Size parallel_scan_initialize(Relation table, ParallelTableScanDesc shared);
extern void parallel_scan_reinitialize(Relation table, ParallelTableScanDesc shared);

/* A piece, with the memory that its bounds lie in. */
typedef struct ScanPiece
{
	KeyRange	range;
	uint8		lower[KEY_SIZE_MAX + 1];
	uint8		upper[KEY_SIZE_MAX + 1];
} ScanPiece;

/* Takes the next piece of the table, whose keys are in the given range; false: all are taken. */
extern bool parallel_scan_take(ParallelTableScanDesc shared, const KeyRange *table, ScanPiece *piece);

#endif							/* BOREALIS_PARALLEL_SCAN_H */
