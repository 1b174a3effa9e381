/*
 * index_am.h
 *	  The interposed btree: Borealis tables' indexes by our code, all others by
 *	  the server's.
 */
#ifndef BOREALIS_INDEX_AM_H
#define BOREALIS_INDEX_AM_H

#include "borealis.h"

#include "access/amapi.h"
#include "access/relscan.h"
#include "nodes/execnodes.h"
#include "nodes/tidbitmap.h"

/* Takes bthandler's place; its result dispatches by the index's table. */
extern void index_am_init(void);

/* index_build.c */
extern IndexBuildResult *borealis_index_build(Relation table, Relation index,
											  IndexInfo *index_info);
extern bool borealis_index_insert(Relation index, Datum *values, bool *isnull,
								  ItemPointer tid, Relation table,
								  IndexUniqueCheck check_unique, bool index_unchanged,
								  IndexInfo *index_info);

/* index_scan.c */
extern IndexScanDesc borealis_index_begin(Relation index, int nkeys, int norderbys);
extern void borealis_index_rescan(IndexScanDesc scan, ScanKey keys, int nkeys,
								  ScanKey orderbys, int norderbys);
extern bool borealis_index_gettuple(IndexScanDesc scan, ScanDirection direction);
extern int64 borealis_index_getbitmap(IndexScanDesc scan, TIDBitmap *bitmap);
extern void borealis_index_end(IndexScanDesc scan);
extern void borealis_index_mark(IndexScanDesc scan);
extern void borealis_index_restore(IndexScanDesc scan);

#endif							/* BOREALIS_INDEX_AM_H */
