/*
 * table_scan.c
 *	  Reading tables: sequential, bitmap and sample scans, fetches by handle.
 */
#include "borealis.h"

#include <math.h>

#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "commands/progress.h"
#include "executor/executor.h"
#include "nodes/tidbitmap.h"
#include "pgstat.h"
#include "utils/backend_progress.h"
#include "utils/rel.h"

#include "ddl_log.h"
#include "layout.h"
#include "merge_scan.h"
#include "parallel_scan.h"
#include "range_cursor.h"
#include "row_access.h"
#include "storage_reader.h"
#include "table_am.h"
#include "transaction.h"

#define SCAN_ITEMS_FIRST 64
/* of a piece that a process of a parallel query has taken, to read all of it */
#define PIECE_ITEMS_FIRST 1024
/* Smaller tables are read as a whole for a sample. */
#define SAMPLED_BLOCKS_MIN 256

typedef struct BorealisScan
{
	TableScanDescData base;
	RangeCursor cursor;
	RowBuffer	row;
	StringInfoData lower;
	StringInfoData upper;
	KeyRange	range;			/* the whole table: [lower, upper) */
	ScanPiece  *piece;			/* of a parallel scan */
	bool		handles_are_kept;

	/* bitmap scans: handles of the current block still to be returned */
	int			block_next;
	int			block_count;
	OffsetNumber block_offsets[ROW_HANDLE_OFFSETS];
	BlockNumber block;

	/* samples: rows seen so far, and the end of the current virtual block */
	uint64		sample_row;
	uint64		sample_end;
	uint64		sample_rows_per_block;
	BlockNumber sample_blocks;
	/* samples of pages: of all, and where the next run begins, which page that is */
	uint64		sample_pages;	/* 0: runs of rows */
	uint64		sample_page;
	StringInfoData sample_key;
} BorealisScan;

typedef struct BorealisIndexFetch
{
	IndexFetchTableData base;
	RowBuffer	row;
} BorealisIndexFetch;

static void
start_range(BorealisScan *scan, const KeyRange *ranges, int count, int items_expected)
{
	range_cursor_start(&scan->cursor, ranges, count,
					   relation_has_committed(scan->base.rs_rd), RANGE_ROWS,
					   snapshot_command(scan->base.rs_snapshot), items_expected);
}

static void
start(BorealisScan *scan)
{
	if (scan->base.rs_parallel != NULL)
		start_range(scan, NULL, 0, 0);	/* no piece yet */
	else
		start_range(scan, &scan->range, 1, SCAN_ITEMS_FIRST);
}

/* Moves to the next row of the table, or of the pieces that come to this process. */
static bool
step(BorealisScan *scan, ScanDirection direction)
{
	while (!range_cursor_next(&scan->cursor, direction))
	{
		if (scan->base.rs_parallel == NULL ||
			!parallel_scan_take(scan->base.rs_parallel, &scan->range, scan->piece))
			return false;
		start_range(scan, &scan->piece->range, 1, PIECE_ITEMS_FIRST);
	}
	return true;
}

TableScanDesc
borealis_scan_begin(Relation rel, Snapshot snapshot, int nkeys, struct ScanKeyData *key,
					ParallelTableScanDesc pscan, uint32 flags)
{
	BorealisScan *scan = palloc0(sizeof(BorealisScan));

	if (flags & SO_TYPE_SAMPLESCAN)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("TABLESAMPLE is not supported"),
				 errhint("Use WHERE random() < fraction instead.")));
	if (pscan != NULL && !write_set_is_empty())
		elog(ERROR, "the processes of a parallel scan do not share what its transaction has written");

	ddl_note_scan(rel);
	RelationIncrementReferenceCount(rel);
	scan->base.rs_rd = rel;
	scan->base.rs_snapshot = snapshot;
	scan->base.rs_nkeys = nkeys;
	scan->base.rs_flags = flags;
	scan->base.rs_parallel = pscan;
	if (pscan != NULL)
		scan->piece = palloc0(sizeof(ScanPiece));
	if (nkeys > 0)
	{
		scan->base.rs_key = palloc(sizeof(ScanKeyData) * nkeys);
		if (key != NULL)
			memcpy(scan->base.rs_key, key, sizeof(ScanKeyData) * nkeys);
	}
	range_cursor_init(&scan->cursor, CurrentMemoryContext);
	row_buffer_init(&scan->row, CurrentMemoryContext);
	initStringInfo(&scan->lower);
	initStringInfo(&scan->upper);
	key_append_prefix(&scan->lower, KEY_NAMESPACE_ROW, rel->rd_locator.relNumber);
	key_append_prefix(&scan->upper, KEY_NAMESPACE_ROW, rel->rd_locator.relNumber);
	key_make_successor(&scan->upper);
	scan->range = (KeyRange) {(uint8 *) scan->lower.data, (uint8 *) scan->upper.data,
	scan->lower.len, scan->upper.len};
	start(scan);
	scan->handles_are_kept = row_handles_are_kept;
	if (flags & SO_TYPE_SEQSCAN)
		pgstat_count_heap_scan(rel);
	return &scan->base;
}

void
borealis_scan_end(TableScanDesc base)
{
	BorealisScan *scan = (BorealisScan *) base;

	range_cursor_free(&scan->cursor);
	row_buffer_free(&scan->row);
	if (scan->piece != NULL)
		pfree(scan->piece);
	pfree(scan->lower.data);
	pfree(scan->upper.data);
	if (base->rs_flags & SO_TEMP_SNAPSHOT)
		UnregisterSnapshot(base->rs_snapshot);
	if (base->rs_key)
		pfree(base->rs_key);
	RelationDecrementReferenceCount(base->rs_rd);
	pfree(scan);
}

void
borealis_scan_rescan(TableScanDesc base, struct ScanKeyData *key, bool set_params,
					 bool allow_strat, bool allow_sync, bool allow_pagemode)
{
	BorealisScan *scan = (BorealisScan *) base;

	if (key != NULL && base->rs_nkeys > 0)
		memcpy(base->rs_key, key, sizeof(ScanKeyData) * base->rs_nkeys);
	start(scan);
	scan->block_next = scan->block_count = 0;
}

static bool
tuple_matches_keys(BorealisScan *scan, HeapTuple tuple)
{
	TupleDesc	descriptor = RelationGetDescr(scan->base.rs_rd);

	for (int i = 0; i < scan->base.rs_nkeys; i++)
	{
		ScanKey		key = &scan->base.rs_key[i];
		bool		isnull;
		Datum		value;

		if (key->sk_flags & SK_ISNULL)
			return false;
		value = heap_getattr(tuple, key->sk_attno, descriptor, &isnull);
		if (isnull || !DatumGetBool(FunctionCall2Coll(&key->sk_func, key->sk_collation,
													  value, key->sk_argument)))
			return false;
	}
	return true;
}

/* The row on which the cursor stands. */
static inline HeapTuple
current_tuple(BorealisScan *scan, const ItemPointerData *handle)
{
	const MergeScan *item = &scan->cursor.item;

	if (likely(item->version == NULL))
		return row_buffer_point(&scan->row, scan->base.rs_rd, item->value, item->value_size, handle);
	return row_buffer_decode(&scan->row, scan->base.rs_rd, item->value, item->value_size,
							 item->version, handle);
}

bool
borealis_scan_getnextslot(TableScanDesc base, ScanDirection direction, TupleTableSlot *slot)
{
	BorealisScan *scan = (BorealisScan *) base;
	const MergeScan *item = &scan->cursor.item;
	ItemPointerData handle;
	HeapTuple	tuple;

	do
	{
		if (!range_cursor_next_of_batch(&scan->cursor, direction) &&
			!step(scan, direction))
		{
			ExecClearTuple(slot);
			return false;
		}
		row_handle_for_item(item->key, item->key_size, item->version,
							scan->handles_are_kept, &handle);
		tuple = current_tuple(scan, &handle);
	} while (base->rs_nkeys > 0 && !tuple_matches_keys(scan, tuple));

	row_store(tuple, slot);
	pgstat_count_heap_getnext(base->rs_rd);
	return true;
}

/*
 * TID ranges: handles have no order that a user could know, but the executor's
 * comparison of the slot's handle with the bounds is well defined.
 */
void
borealis_scan_set_tidrange(TableScanDesc base, ItemPointer mintid, ItemPointer maxtid)
{
	base->rs_mintid = *mintid;
	base->rs_maxtid = *maxtid;
}

bool
borealis_scan_getnextslot_tidrange(TableScanDesc base, ScanDirection direction,
								   TupleTableSlot *slot)
{
	while (borealis_scan_getnextslot(base, direction, slot))
	{
		if (ItemPointerCompare(&slot->tts_tid, &base->rs_mintid) >= 0 &&
			ItemPointerCompare(&slot->tts_tid, &base->rs_maxtid) <= 0)
			return true;
	}
	return false;
}

bool
borealis_scan_bitmap_next_block(TableScanDesc base, TBMIterateResult *tbmres)
{
	BorealisScan *scan = (BorealisScan *) base;

	scan->block = tbmres->blockno;
	scan->block_next = 0;
	if (tbmres->ntuples >= 0)
	{
		scan->block_count = tbmres->ntuples;
		memcpy(scan->block_offsets, tbmres->offsets, tbmres->ntuples * sizeof(OffsetNumber));
	}
	else
	{
		/* Lossy: every handle of the block; the executor rechecks. */
		scan->block_count = ROW_HANDLE_OFFSETS;
		for (int i = 0; i < ROW_HANDLE_OFFSETS; i++)
			scan->block_offsets[i] = (OffsetNumber) (i + 1);
	}
	return scan->block_count > 0;
}

bool
borealis_scan_bitmap_next_tuple(TableScanDesc base, TBMIterateResult *tbmres,
								TupleTableSlot *slot)
{
	BorealisScan *scan = (BorealisScan *) base;
	Relation	rel = base->rs_rd;
	CommandId	curcid = snapshot_command(base->rs_snapshot);

	while (scan->block_next < scan->block_count)
	{
		ItemPointerData handle;
		RowAddress	address;
		const uint8 *value;
		uint32		value_size;

		ItemPointerSet(&handle, scan->block, scan->block_offsets[scan->block_next++]);
		if (!row_handle_resolve(&handle, &address) ||
			!row_address_is_in(&address, rel) ||
			!row_is_visible(&address, curcid) ||
			!row_read(rel, &address, &value, &value_size))
			continue;
		row_store(row_buffer_decode(&scan->row, rel, value, value_size, address.version, &handle),
				  slot);
		pgstat_count_heap_fetch(rel);
		return true;
	}
	return false;
}

/*
 * Once ANALYZE passes blocks over, what is left of the table is sampled by the leaf
 * pages of the map: those of the runs that it does not want are not looked at, only
 * their parents.  What this transaction has written lies in no page.
 */
static bool
begin_sampling_pages(BorealisScan *scan, BlockNumber blocks)
{
	Relation	rel = scan->base.rs_rd;
	const MergeScan *item = &scan->cursor.item;

	if (blocks < SAMPLED_BLOCKS_MIN || !relation_has_committed(rel) || table_has_own_estimate(rel))
		return false;
	scan->sample_pages = 1 + storage_count_pages(scan->range.lower, scan->range.lower_size,
												 scan->range.upper, scan->range.upper_size);
	initStringInfo(&scan->sample_key);
	if (scan->cursor.position != CURSOR_ON_ITEM)
		appendBinaryStringInfoNT(&scan->sample_key, (char *) scan->range.lower, scan->range.lower_size);
	else
	{
		/* behind the row that was read last */
		appendBinaryStringInfoNT(&scan->sample_key, (const char *) item->key, item->key_size);
		appendStringInfoCharMacro(&scan->sample_key, '\0');
		scan->sample_page = (uint64) ((double) scan->sample_row / scan->sample_rows_per_block /
									  blocks * scan->sample_pages);
	}
	scan->piece = palloc0(sizeof(ScanPiece));
	scan->piece->range.lower = scan->piece->lower;
	scan->piece->range.upper = scan->piece->upper;
	return true;
}

/* Moves where the next run begins to a page.  False: the table ends before. */
static bool
find_sampled_page(BorealisScan *scan, uint64 page)
{
	StringInfo	key = &scan->sample_key;
	uint8		found[KEY_SIZE_MAX];
	uint32		size;

	if (page > scan->sample_page)
	{
		if (!storage_find_boundary((uint8 *) key->data, key->len,
								   scan->range.upper, scan->range.upper_size,
								   page - scan->sample_page, found, &size))
			return false;
		resetStringInfo(key);
		appendBinaryStringInfoNT(key, (char *) found, size);
		scan->sample_page = page;
	}
	return true;
}

/* Every page belongs to one block, whichever of both there are more of. */
static bool
start_sampled_pages(BorealisScan *scan, BlockNumber block, BlockNumber blocks)
{
	KeyRange   *run = &scan->piece->range;
	double		share = (double) scan->sample_pages / blocks;

	if (!find_sampled_page(scan, (uint64) (block * share)))
		return false;
	memcpy(run->lower, scan->sample_key.data, scan->sample_key.len);
	run->lower_size = scan->sample_key.len;
	if (find_sampled_page(scan, (uint64) ((block + 1.0) * share)))
	{
		memcpy(run->upper, scan->sample_key.data, scan->sample_key.len);
		run->upper_size = scan->sample_key.len;
	}
	else
	{
		memcpy(run->upper, scan->range.upper, scan->range.upper_size);
		run->upper_size = scan->range.upper_size;
		scan->sample_page = PG_UINT64_MAX;	/* nothing comes behind it */
	}
	start_range(scan, run, 1, SCAN_ITEMS_FIRST);
	scan->sample_end = PG_UINT64_MAX;
	return true;
}

/*
 * ANALYZE picks blocks at random.  A table has no blocks: its rows in key
 * order are cut into as many equal runs as relation_size promises.
 */
bool
borealis_scan_analyze_next_block(TableScanDesc base, BlockNumber blockno,
								 BufferAccessStrategy bstrategy)
{
	BorealisScan *scan = (BorealisScan *) base;
	BlockNumber blocks = scan->sample_blocks;

	if (scan->sample_rows_per_block == 0)
	{
		double		rows;
		double		bytes;

		blocks = scan->sample_blocks = RelationGetNumberOfBlocks(base->rs_rd);
		table_estimate(base->rs_rd, &rows, &bytes);
		scan->sample_rows_per_block = Max(1, (uint64) ceil(rows / Max(blocks, 1)));
	}
	if (scan->sample_pages > 0 ||
		(scan->sample_row < (uint64) blockno * scan->sample_rows_per_block &&
		 begin_sampling_pages(scan, blocks)))
		return scan->sample_page != PG_UINT64_MAX && start_sampled_pages(scan, blockno, blocks);

	scan->sample_end = ((uint64) blockno + 1) * scan->sample_rows_per_block;
	/* Runs between the last block and this one are passed over. */
	while (scan->sample_row < (uint64) blockno * scan->sample_rows_per_block)
	{
		if (!range_cursor_next(&scan->cursor, ForwardScanDirection))
			return false;
		scan->sample_row++;
	}
	return true;
}

bool
borealis_scan_analyze_next_tuple(TableScanDesc base, TransactionId OldestXmin,
								 double *liverows, double *deadrows, TupleTableSlot *slot)
{
	BorealisScan *scan = (BorealisScan *) base;
	ItemPointerData handle;

	if (scan->sample_row >= scan->sample_end || !range_cursor_next(&scan->cursor, ForwardScanDirection))
	{
		ExecClearTuple(slot);
		return false;
	}
	row_handle_for_order(scan->sample_row, &handle);
	scan->sample_row++;
	row_store(current_tuple(scan, &handle), slot);
	*liverows += 1;
	return true;
}

/*
 * Index builds read what the next command would see.  The callback finds the
 * row's key in current_row.
 */
double
borealis_index_build_range_scan(Relation table, Relation index, IndexInfo *index_info,
								bool allow_sync, bool anyvisible, bool progress,
								BlockNumber start_blockno, BlockNumber numblocks,
								IndexBuildCallback callback, void *callback_state,
								TableScanDesc unused)
{
	SnapshotData snapshot = {SNAPSHOT_MVCC};
	TableScanDesc base;
	BorealisScan *scan;
	double		rows = 0;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext row_context;
	MemoryContext old;

	if (ddl_is_replaying())
		return 0;

	snapshot.curcid = GetCurrentCommandId(true);
	base = table_beginscan(table, &snapshot, 0, NULL);
	scan = (BorealisScan *) base;
	row_context = AllocSetContextCreate(CurrentMemoryContext, "borealis index build",
										ALLOCSET_DEFAULT_SIZES);
	while (range_cursor_next(&scan->cursor, ForwardScanDirection))
	{
		MergeScan  *item = &scan->cursor.item;
		HeapTuple	tuple;

		CHECK_FOR_INTERRUPTS();
		row_handle_for_item(item->key, item->key_size, item->version, false,
							&current_row.handle);
		current_row.relfilenode = table->rd_locator.relNumber;
		current_row.address = (RowAddress) {item->key, item->key_size, item->version};
		current_row.keys_only = false;
		tuple = current_tuple(scan, &current_row.handle);
		current_row.tuple = tuple;

		old = MemoryContextSwitchTo(row_context);
		if (index_form_values(table, index, tuple, values, isnull))
			callback(index, &current_row.handle, values, isnull, true, callback_state);
		MemoryContextSwitchTo(old);
		MemoryContextReset(row_context);
		rows += 1;
		if (progress)
			pgstat_progress_update_param(PROGRESS_CREATEIDX_TUPLES_DONE, (int64) rows);
	}
	forget_current_row();
	table_endscan(base);
	MemoryContextDelete(row_context);
	return rows;
}

IndexFetchTableData *
borealis_index_fetch_begin(Relation rel)
{
	BorealisIndexFetch *fetch = palloc0(sizeof(BorealisIndexFetch));

	fetch->base.rel = rel;
	row_buffer_init(&fetch->row, CurrentMemoryContext);
	return &fetch->base;
}

void
borealis_index_fetch_reset(IndexFetchTableData *data)
{
	/* the row buffer is kept for the next fetch */
}

void
borealis_index_fetch_end(IndexFetchTableData *data)
{
	BorealisIndexFetch *fetch = (BorealisIndexFetch *) data;

	row_buffer_free(&fetch->row);
	pfree(fetch);
}

/* A dirty snapshot tells its caller whom to wait for: nobody, ever. */
static void
clear_dirty_snapshot(Snapshot snapshot)
{
	if (snapshot != NULL && snapshot->snapshot_type == SNAPSHOT_DIRTY)
	{
		snapshot->xmin = InvalidTransactionId;
		snapshot->xmax = InvalidTransactionId;
		snapshot->speculativeToken = 0;
	}
}

/*
 * Not a scan's row but that of a deferred constraint: the entry may since stand
 * for a newer version of the row (heap follows a HOT chain there), and the slot
 * outlives the fetch.
 */
static bool
fetch_latest_version(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot)
{
	ItemPointerData latest = *tid;
	RowAddress	address;

	if (row_handle_resolve(tid, &address) && address.version != NULL)
	{
		WriteVersion *version = write_entry_visible(address.version->entry,
													snapshot_command(snapshot));

		if (version != NULL)
			row_handle_for_version(version, &latest);
	}
	return borealis_tuple_fetch_row_version(rel, &latest, snapshot, slot);
}

/*
 * The index entry was visible, and entries are versioned together with their
 * rows: so is the row.
 */
bool
borealis_index_fetch_tuple(IndexFetchTableData *data, ItemPointer tid, Snapshot snapshot,
						   TupleTableSlot *slot, bool *call_again, bool *all_dead)
{
	BorealisIndexFetch *fetch = (BorealisIndexFetch *) data;
	Relation	rel = data->rel;
	const uint8 *value;
	uint32		value_size;

	*call_again = false;
	if (all_dead)
		*all_dead = false;
	clear_dirty_snapshot(snapshot);

	if (!ItemPointerEquals(tid, &current_row.handle))
		return fetch_latest_version(rel, tid, snapshot, slot);
	if (current_row.keys_only)
		return true;
	if (current_row.tuple != NULL)
	{
		row_store(current_row.tuple, slot);
		return true;
	}
	if (!row_read(rel, &current_row.address, &value, &value_size))
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("an index entry of table \"%s\" points to a row that does not exist",
						RelationGetRelationName(rel)),
				 errhint("REINDEX TABLE repairs the indexes; please report this.")));
	row_store(row_buffer_decode(&fetch->row, rel, value, value_size, current_row.address.version, tid),
			  slot);
	return true;
}

bool
borealis_tuple_fetch_row_version(Relation rel, ItemPointer tid, Snapshot snapshot,
								 TupleTableSlot *slot)
{
	RowBuffer	buffer;
	RowAddress	address;
	const uint8 *value;
	uint32		value_size;

	if (!row_handle_resolve(tid, &address) || !row_address_is_in(&address, rel))
		return false;
	if (snapshot->snapshot_type != SNAPSHOT_ANY &&
		!row_is_visible(&address, snapshot_command(snapshot)))
		return false;
	row_buffer_init(&buffer, CurrentMemoryContext);
	if (row_is_current(tid, &address))
		row_buffer_copy(&buffer, current_row.tuple);
	else if (row_read(rel, &address, &value, &value_size))
		row_buffer_decode(&buffer, rel, value, value_size, address.version, tid);
	else
		return false;
	if (!row_is_visible(&address, InvalidCommandId))
	{
		/* deleted or replaced by this transaction: RETURNING may ask for xmax */
		buffer.tuple.t_data->t_infomask &= ~HEAP_XMAX_INVALID;
		HeapTupleHeaderSetXmax(buffer.tuple.t_data, GetCurrentTransactionId());
	}
	row_buffer_store_copy(&buffer, slot);
	row_buffer_free(&buffer);
	return true;
}

bool
borealis_tuple_tid_valid(TableScanDesc scan, ItemPointer tid)
{
	RowAddress	address;

	return ItemPointerIsValid(tid) && row_handle_resolve(tid, &address);
}

bool
borealis_tuple_satisfies_snapshot(Relation rel, TupleTableSlot *slot, Snapshot snapshot)
{
	RowAddress	address;

	/* a scan has just returned it */
	if (row_handle_is_transient(&slot->tts_tid))
		return true;
	if (!row_handle_resolve(&slot->tts_tid, &address))
		return false;
	return row_is_visible(&address, snapshot_command(snapshot));
}
