/*
 * table_am.c
 *	  The table access method's routine, and what concerns whole relations.
 */
#include "borealis.h"

#include "access/heapam.h"
#include "access/multixact.h"
#include "access/transam.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/pg_am.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "optimizer/plancat.h"
#include "utils/rel.h"

#include "merge_scan.h"
#include "parallel_scan.h"
#include "row_handle.h"
#include "storage_reader.h"
#include "table_am.h"
#include "transaction.h"

/* What the planner assumes of a table that storage has counted nothing of. */
#define UNKNOWN_TABLE_PAGES 10

PG_FUNCTION_INFO_V1(borealis_tableam_handler);

static const TupleTableSlotOps *
slot_callbacks(Relation rel)
{
	return &TTSOpsHeapTuple;
}

/*
 * WHERE CURRENT OF a row that this transaction has updated since, or moved to
 * another key.  The handle of a row that it has deleted stays as it is: what
 * stands at the same key now is another row.
 */
static void
tuple_get_latest_tid(TableScanDesc scan, ItemPointer tid)
{
	CommandId	curcid = snapshot_command(scan->rs_snapshot);
	RowAddress	address;
	WriteVersion *row;
	WriteEntry *entry;

	if (!row_handle_resolve(tid, &address))
		return;
	row = address.version;
	entry = row ? row->entry : write_set_find(address.key, address.key_size);
	while (entry != NULL)
	{
		WriteVersion *latest = write_entry_visible(entry, curcid);
		WriteVersion *deletion = NULL;

		for (WriteVersion *version = latest; version != NULL && version != row; version = version->older)
		{
			if (version->operation == WRITE_DELETE)
				deletion = version;
		}
		if (deletion == NULL)
		{
			row = latest;
			break;
		}
		if (!deletion->is_moved)
			return;
		row = write_set_version(deletion->number + 1);
		entry = row->entry;
	}
	if (row != NULL)
		row_handle_for_version(row, tid);
}

static TransactionId
index_delete_tuples(Relation rel, TM_IndexDeleteOp *delstate)
{
	elog(ERROR, "index entries of Borealis tables are not deleted in bulk");
	return InvalidTransactionId;
}

/* Keys are made of the relfilenode: a new one is an empty table. */
static void
relation_set_new_filelocator(Relation rel, const RelFileLocator *newrlocator,
							 char persistence, TransactionId *freezeXid,
							 MultiXactId *minmulti)
{
	*freezeXid = InvalidTransactionId;
	*minmulti = InvalidMultiXactId;
}

/*
 * Only for a relfilenode that this (sub)transaction itself created.  The indexes
 * are built again next, and must find it empty.
 */
static void
relation_nontransactional_truncate(Relation rel)
{
	table_forget_own(KEY_NAMESPACE_ROW, rel->rd_locator.relNumber, GetCurrentCommandId(true));
	CommandCounterIncrement();
}

static void
relation_copy_data(Relation rel, const RelFileLocator *newrlocator)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("tablespaces are not supported"),
			 errhint("All tables of a cluster share its storage.")));
}

static void
relation_copy_for_cluster(Relation OldTable, Relation NewTable, Relation OldIndex,
						  bool use_sort, TransactionId OldestXmin,
						  TransactionId *xid_cutoff, MultiXactId *multi_cutoff,
						  double *num_tuples, double *tups_vacuumed,
						  double *tups_recently_dead)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("CLUSTER and VACUUM FULL are not supported"),
			 errhint("Tables are always stored in primary key order, and old versions are collected automatically.")));
}

/* Storage collects old versions by itself. */
static void
relation_vacuum(Relation rel, struct VacuumParams *params, BufferAccessStrategy bstrategy)
{
}

static void
index_validate_scan(Relation table_rel, Relation index_rel, struct IndexInfo *index_info,
					Snapshot snapshot, struct ValidateIndexState *state)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("CREATE INDEX CONCURRENTLY is not supported"),
			 errhint("CREATE INDEX never blocks other sessions here.")));
}

static bool
relation_needs_toast_table(Relation rel)
{
	return false;
}

static Oid
relation_toast_am(Relation rel)
{
	return HEAP_TABLE_AM_OID;
}

void
table_estimate(Relation rel, double *rows, double *bytes)
{
	int64		counted_rows = 0;
	int64		counted_bytes = 0;
	int64		own_rows;
	int64		own_bytes;

	if (relation_has_committed(rel))
	{
		/* waits until storage has counted what was acknowledged before */
		(void) transaction_read_timestamp();
		storage_read_statistics(rel->rd_locator.relNumber, &counted_rows, &counted_bytes);
	}
	table_own_estimate(rel, &own_rows, &own_bytes);
	*rows = Max(counted_rows + own_rows, 0);
	*bytes = Max(counted_bytes + own_bytes, 0);
}

/*
 * What the planner was told of a table a moment ago is good enough for the next
 * statement, and saves it a look into the map.
 */
#define RECENT_ESTIMATES	64	/* a power of two */
#define RECENT_US			1000000

typedef struct RecentEstimate
{
	RelFileNumber relfilenode;
	TimestampTz made_at;
	double		rows;
	double		bytes;
} RecentEstimate;

static RecentEstimate recent_estimates[RECENT_ESTIMATES];

static RecentEstimate *
recent_estimate(RelFileNumber relfilenode)
{
	return &recent_estimates[relfilenode % RECENT_ESTIMATES];
}

void
table_forget_estimate(RelFileNumber relfilenode)
{
	RecentEstimate *recent = recent_estimate(relfilenode);

	if (recent->relfilenode == relfilenode)
		recent->relfilenode = InvalidRelFileNumber;
}

static void
estimate_for_planner(Relation rel, double *rows, double *bytes)
{
	RelFileNumber relfilenode = rel->rd_locator.relNumber;
	RecentEstimate *recent = recent_estimate(relfilenode);
	TimestampTz now = GetCurrentStatementStartTimestamp();

	if (recent->relfilenode == relfilenode && now >= recent->made_at &&
		now - recent->made_at < RECENT_US)
	{
		*rows = recent->rows;
		*bytes = recent->bytes;
		return;
	}
	table_estimate(rel, rows, bytes);
	/* what this transaction adds is counted as it goes */
	if (!table_has_own_estimate(rel))
		*recent = (RecentEstimate) {relfilenode, now, *rows, *bytes};
}

static uint64
relation_size(Relation rel, ForkNumber forkNumber)
{
	double		rows;
	double		bytes;

	if (forkNumber != MAIN_FORKNUM && forkNumber != InvalidForkNumber)
		return 0;
	table_estimate(rel, &rows, &bytes);
	if (rows <= 0)
		return 0;
	return (uint64) ((bytes + BLCKSZ - 1) / BLCKSZ) * BLCKSZ;
}

static void
relation_estimate_size(Relation rel, int32 *attr_widths, BlockNumber *pages,
					   double *tuples, double *allvisfrac)
{
	double		rows;
	double		bytes;

	estimate_for_planner(rel, &rows, &bytes);
	*tuples = rows;
	*pages = (BlockNumber) Min((bytes + BLCKSZ - 1) / BLCKSZ, MaxBlockNumber);
	/* as for heap: a table that looks empty has probably not been looked at since it was filled */
	if (*pages < UNKNOWN_TABLE_PAGES && rel->rd_rel->reltuples < 0 && !rel->rd_rel->relhassubclass)
	{
		Size		width = get_rel_data_width(rel, attr_widths) + SizeofHeapTupleHeader;

		*pages = UNKNOWN_TABLE_PAGES;
		*tuples = Max(rows, (double) UNKNOWN_TABLE_PAGES * BLCKSZ / Max(width, 1));
	}
	*allvisfrac = 1.0;
}

static bool
scan_sample_next_block(TableScanDesc scan, struct SampleScanState *scanstate)
{
	elog(ERROR, "TABLESAMPLE is not supported");
	return false;
}

static bool
scan_sample_next_tuple(TableScanDesc scan, struct SampleScanState *scanstate,
					   TupleTableSlot *slot)
{
	elog(ERROR, "TABLESAMPLE is not supported");
	return false;
}

const TableAmRoutine borealis_table_am = {
	.type = T_TableAmRoutine,
	.slot_callbacks = slot_callbacks,
	.scan_begin = borealis_scan_begin,
	.scan_end = borealis_scan_end,
	.scan_rescan = borealis_scan_rescan,
	.scan_getnextslot = borealis_scan_getnextslot,
	.scan_set_tidrange = borealis_scan_set_tidrange,
	.scan_getnextslot_tidrange = borealis_scan_getnextslot_tidrange,
	.parallelscan_estimate = parallel_scan_estimate,
	.parallelscan_initialize = parallel_scan_initialize,
	.parallelscan_reinitialize = parallel_scan_reinitialize,
	.index_fetch_begin = borealis_index_fetch_begin,
	.index_fetch_reset = borealis_index_fetch_reset,
	.index_fetch_end = borealis_index_fetch_end,
	.index_fetch_tuple = borealis_index_fetch_tuple,
	.tuple_fetch_row_version = borealis_tuple_fetch_row_version,
	.tuple_tid_valid = borealis_tuple_tid_valid,
	.tuple_get_latest_tid = tuple_get_latest_tid,
	.tuple_satisfies_snapshot = borealis_tuple_satisfies_snapshot,
	.index_delete_tuples = index_delete_tuples,
	.tuple_insert = borealis_tuple_insert,
	.tuple_insert_speculative = borealis_tuple_insert_speculative,
	.tuple_complete_speculative = borealis_tuple_complete_speculative,
	.multi_insert = borealis_multi_insert,
	.tuple_delete = borealis_tuple_delete,
	.tuple_update = borealis_tuple_update,
	.tuple_lock = borealis_tuple_lock,
	.finish_bulk_insert = NULL,
	.relation_set_new_filelocator = relation_set_new_filelocator,
	.relation_nontransactional_truncate = relation_nontransactional_truncate,
	.relation_copy_data = relation_copy_data,
	.relation_copy_for_cluster = relation_copy_for_cluster,
	.relation_vacuum = relation_vacuum,
	.scan_analyze_next_block = borealis_scan_analyze_next_block,
	.scan_analyze_next_tuple = borealis_scan_analyze_next_tuple,
	.index_build_range_scan = borealis_index_build_range_scan,
	.index_validate_scan = index_validate_scan,
	.relation_size = relation_size,
	.relation_needs_toast_table = relation_needs_toast_table,
	.relation_toast_am = relation_toast_am,
	.relation_fetch_toast_slice = NULL,
	.relation_estimate_size = relation_estimate_size,
	.scan_bitmap_next_block = borealis_scan_bitmap_next_block,
	.scan_bitmap_next_tuple = borealis_scan_bitmap_next_tuple,
	.scan_sample_next_block = scan_sample_next_block,
	.scan_sample_next_tuple = scan_sample_next_tuple,
};

PGDLLEXPORT Datum
borealis_tableam_handler(PG_FUNCTION_ARGS)
{
	PG_RETURN_POINTER(&borealis_table_am);
}
