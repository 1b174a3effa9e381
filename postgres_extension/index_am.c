/*
 * index_am.c
 *	  The interposed btree access method.
 *
 * Core hard-codes the OID of btree in many places (ON CONFLICT, foreign keys,
 * primary keys of partitioned tables, row comparison), so our indexes must be
 * btrees.  The handler's routine starts out with callbacks that look at the
 * index's table; the first call puts the right ones into the relation's own
 * copy of the routine.
 */
#include "borealis.h"

#include "access/nbtree.h"
#include "catalog/pg_index.h"
#include "access/transam.h"
#include "access/tableam.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "index_am.h"
#include "pg_patches.h"
#include "table_am.h"

static PGFunction original_bthandler;

bool
relation_is_borealis(Relation relation)
{
	return relation->rd_tableam == &borealis_table_am;
}

bool
table_is_borealis(Oid table)
{
	Relation	relation;
	bool		result;

	if (table < FirstNormalObjectId)
		return false;
	relation = RelationIdGetRelation(table);
	if (!RelationIsValid(relation))
		elog(ERROR, "could not open relation with OID %u", table);
	result = relation_is_borealis(relation);
	RelationClose(relation);
	return result;
}

static IndexBulkDeleteResult *
borealis_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
					 IndexBulkDeleteCallback callback, void *callback_state)
{
	return stats;
}

static IndexBulkDeleteResult *
borealis_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	return stats;
}

/* Gives the relation's copy of the routine its final callbacks. */
static const IndexAmRoutine *
resolve(Relation index)
{
	IndexAmRoutine *routine = index->rd_indam;

	if (table_is_borealis(index->rd_index->indrelid))
	{
		routine->ambuild = borealis_index_build;
		routine->aminsert = borealis_index_insert;
		routine->ambulkdelete = borealis_bulk_delete;
		routine->amvacuumcleanup = borealis_vacuum_cleanup;
		routine->ambeginscan = borealis_index_begin;
		routine->amrescan = borealis_index_rescan;
		routine->amgettuple = borealis_index_gettuple;
		routine->amgetbitmap = borealis_index_getbitmap;
		routine->amendscan = borealis_index_end;
		routine->ammarkpos = borealis_index_mark;
		routine->amrestrpos = borealis_index_restore;
		routine->amcanparallel = false;
	}
	else
	{
		routine->ambuild = btbuild;
		routine->aminsert = btinsert;
		routine->ambulkdelete = btbulkdelete;
		routine->amvacuumcleanup = btvacuumcleanup;
		routine->ambeginscan = btbeginscan;
		routine->amrescan = btrescan;
		routine->amgettuple = btgettuple;
		routine->amgetbitmap = btgetbitmap;
		routine->amendscan = btendscan;
		routine->ammarkpos = btmarkpos;
		routine->amrestrpos = btrestrpos;
	}
	return routine;
}

bool
index_is_borealis(Relation index)
{
	if (index->rd_rel->relam != BTREE_AM_OID || index->rd_indam == NULL)
		return false;
	return resolve(index)->ambeginscan == borealis_index_begin;
}

static IndexBuildResult *
dispatch_build(Relation table, Relation index, IndexInfo *index_info)
{
	return resolve(index)->ambuild(table, index, index_info);
}

static bool
dispatch_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid, Relation table,
				IndexUniqueCheck check_unique, bool index_unchanged, IndexInfo *index_info)
{
	return resolve(index)->aminsert(index, values, isnull, tid, table, check_unique,
									index_unchanged, index_info);
}

static IndexBulkDeleteResult *
dispatch_bulk_delete(IndexVacuumInfo *info, IndexBulkDeleteResult *stats,
					 IndexBulkDeleteCallback callback, void *callback_state)
{
	return resolve(info->index)->ambulkdelete(info, stats, callback, callback_state);
}

static IndexBulkDeleteResult *
dispatch_vacuum_cleanup(IndexVacuumInfo *info, IndexBulkDeleteResult *stats)
{
	return resolve(info->index)->amvacuumcleanup(info, stats);
}

static IndexScanDesc
dispatch_begin(Relation index, int nkeys, int norderbys)
{
	return resolve(index)->ambeginscan(index, nkeys, norderbys);
}

static void
dispatch_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys, int norderbys)
{
	resolve(scan->indexRelation)->amrescan(scan, keys, nkeys, orderbys, norderbys);
}

static bool
dispatch_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	return resolve(scan->indexRelation)->amgettuple(scan, direction);
}

static int64
dispatch_getbitmap(IndexScanDesc scan, TIDBitmap *bitmap)
{
	return resolve(scan->indexRelation)->amgetbitmap(scan, bitmap);
}

static void
dispatch_end(IndexScanDesc scan)
{
	resolve(scan->indexRelation)->amendscan(scan);
}

static void
dispatch_mark(IndexScanDesc scan)
{
	resolve(scan->indexRelation)->ammarkpos(scan);
}

static void
dispatch_restore(IndexScanDesc scan)
{
	resolve(scan->indexRelation)->amrestrpos(scan);
}

static Datum
borealis_bthandler(PG_FUNCTION_ARGS)
{
	IndexAmRoutine *routine = (IndexAmRoutine *) DatumGetPointer(original_bthandler(fcinfo));

	routine->ambuild = dispatch_build;
	routine->aminsert = dispatch_insert;
	routine->ambulkdelete = dispatch_bulk_delete;
	routine->amvacuumcleanup = dispatch_vacuum_cleanup;
	routine->ambeginscan = dispatch_begin;
	routine->amrescan = dispatch_rescan;
	routine->amgettuple = dispatch_gettuple;
	routine->amgetbitmap = dispatch_getbitmap;
	routine->amendscan = dispatch_end;
	routine->ammarkpos = dispatch_mark;
	routine->amrestrpos = dispatch_restore;
	PG_RETURN_POINTER(routine);
}

void
index_am_init(void)
{
	pg_patch_builtin(F_BTHANDLER, borealis_bthandler, &original_bthandler);
}
