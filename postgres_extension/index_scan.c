/*
 * index_scan.c
 *	  Scans of Borealis indexes.
 *
 * A primary key's entries are the rows themselves: one lookup finds both.  An
 * entry of a secondary index names its row by key.  Scan keys are evaluated
 * here, never left to the executor (xs_recheck would be an error to the
 * planner's endpoint probe).
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/itup.h"
#include "catalog/pg_type.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "contention.h"
#include "ddl_log.h"
#include "index_am.h"
#include "index_range.h"
#include "layout.h"
#include "merge_scan.h"
#include "planner_support.h"
#include "range_cursor.h"
#include "read_set.h"
#include "row_access.h"

#define SCAN_ITEMS_FIRST 16

typedef struct BorealisIndexScan
{
	Relation	index;
	Relation	table;
	bool		holds_rows;
	bool		has_cstring;	/* names: not in the format of a slot */
	AttrNumber	attnums[INDEX_MAX_KEYS];	/* of the table, for holds_rows */
	StringInfoData prefix;
	MemoryContext range_context;
	KeyRanges	ranges;
	bool		ranges_are_built;
	bool		keys_are_kept;
	bool		is_for_change;	/* the one row is looked up in order to change it */

	RangeCursor cursor;

	RowBuffer	item;			/* the entry, or the row, decoded */
	bool		item_is_decoded;
	StringInfoData row_key;
	MemoryContext context;
	MemoryContext item_context;	/* what one item needs; made when one does */
} BorealisIndexScan;

IndexScanDesc
borealis_index_begin(Relation index, int nkeys, int norderbys)
{
	IndexScanDesc scan = RelationGetIndexScan(index, nkeys, norderbys);
	BorealisIndexScan *so = palloc0(sizeof(BorealisIndexScan));
	const IndexLayout *layout = index_layout(index);
	TupleDesc	descriptor = RelationGetDescr(index);

	so->index = index;
	so->table = RelationIdGetRelation(index->rd_index->indrelid);
	ddl_note_scan(so->table);
	layout = index_layout(index);
	so->holds_rows = layout->holds_rows;
	memcpy(so->attnums, index->rd_index->indkey.values,
		   IndexRelationGetNumberOfAttributes(index) * sizeof(AttrNumber));
	for (int i = 0; i < descriptor->natts; i++)
		so->has_cstring |= TupleDescAttr(descriptor, i)->atttypid == CSTRINGOID;
	key_buffer_init(&so->prefix);
	if (so->holds_rows)
		row_key_append_prefix(&so->prefix, so->table, RelationGetRelid(index));
	else
		key_append_prefix(&so->prefix, KEY_NAMESPACE_INDEX, index->rd_locator.relNumber);
	so->range_context = AllocSetContextCreate(CurrentMemoryContext, "borealis index ranges",
											  ALLOCSET_SMALL_SIZES);
	so->context = CurrentMemoryContext;
	range_cursor_init(&so->cursor, CurrentMemoryContext);
	row_buffer_init(&so->item, CurrentMemoryContext);
	key_buffer_init(&so->row_key);
	scan->opaque = so;
	scan->xs_itupdesc = descriptor;
	scan->xs_hitupdesc = descriptor;
	return scan;
}

void
borealis_index_rescan(IndexScanDesc scan, ScanKey keys, int nkeys, ScanKey orderbys,
					  int norderbys)
{
	BorealisIndexScan *so = scan->opaque;

	if (keys != NULL && scan->numberOfKeys > 0)
		memmove(scan->keyData, keys, scan->numberOfKeys * sizeof(ScanKeyData));
	forget_current_row();
	so->ranges_are_built = false;
	so->keys_are_kept = row_handles_are_kept || scan->xs_snapshot == NULL ||
		scan->xs_snapshot->snapshot_type != SNAPSHOT_MVCC;
}

void
borealis_index_end(IndexScanDesc scan)
{
	BorealisIndexScan *so = scan->opaque;

	forget_current_row();
	range_cursor_free(&so->cursor);
	row_buffer_free(&so->item);
	MemoryContextDelete(so->range_context);
	if (so->item_context != NULL)
		MemoryContextDelete(so->item_context);
	pfree(so->prefix.data);
	pfree(so->row_key.data);
	RelationClose(so->table);
	pfree(so);
}

/*
 * Is the one row of the scan's range our own?  Then there is no need to look for
 * a committed one.
 */
static bool
own_row_is_all(IndexScanDesc scan, const BorealisIndexScan *so)
{
	WriteEntry *entry;

	if (!so->holds_rows || !so->ranges.at_most_one || so->ranges.count != 1 ||
		write_set_is_empty())
		return false;
	entry = write_set_find(so->ranges.ranges[0].lower, so->ranges.ranges[0].lower_size);
	return entry != NULL &&
		write_entry_visible(entry, snapshot_command(scan->xs_snapshot)) != NULL;
}

static void
start_cursor(IndexScanDesc scan, BorealisIndexScan *so, bool has_committed)
{
	range_cursor_start(&so->cursor, so->ranges.ranges, so->ranges.count, has_committed,
					   so->holds_rows ? RANGE_ROWS : RANGE_VALUES,
					   snapshot_command(scan->xs_snapshot),
					   so->ranges.at_most_one ? 1 : SCAN_ITEMS_FIRST);
}

static void
start(IndexScanDesc scan, BorealisIndexScan *so)
{
	MemoryContext old;
	bool		has_committed = relation_has_committed(so->holds_rows ? so->table : so->index);

	MemoryContextReset(so->range_context);
	old = MemoryContextSwitchTo(so->range_context);
	index_ranges_build(&so->ranges, so->index, index_layout(so->index), &so->prefix,
					   scan->keyData, scan->numberOfKeys);
	MemoryContextSwitchTo(old);
	if (has_committed && own_row_is_all(scan, so))
		has_committed = false;
	so->is_for_change = has_committed && so->holds_rows && so->ranges.at_most_one &&
		so->ranges.count == 1 && running_statement_changes(RelationGetRelid(so->table));
	if (so->is_for_change)
		contention_before_change(so->ranges.ranges[0].lower, so->ranges.ranges[0].lower_size);
	start_cursor(scan, so, has_committed);
	so->ranges_are_built = true;
}

/*
 * The first step of a lookup in order to change the row.  What it has seen at the
 * older timestamp is of no matter any more when it sees the row at a later one.
 */
static bool
look_up_for_change(IndexScanDesc scan, BorealisIndexScan *so, ScanDirection direction)
{
	int			mark = read_set_mark();
	bool		is_found = range_cursor_next(&so->cursor, direction);

	so->is_for_change = false;
	if (likely(!so->cursor.item.batch.has_newer))
		return is_found;
	read_set_take_back(mark);
	if (!contention_row_is_newer())
	{
		read_set_add_key(so->ranges.ranges[0].lower, so->ranges.ranges[0].lower_size);
		return is_found;
	}
	start_cursor(scan, so, true);
	return range_cursor_next(&so->cursor, direction);
}

/* Moves to the next item of any range; false at the end. */
static bool
advance(IndexScanDesc scan, BorealisIndexScan *so, ScanDirection direction)
{
	so->item_is_decoded = false;
	/* whoever comes for a row from now on gets one that is still there */
	forget_current_row();
	if (!so->ranges_are_built)
		start(scan, so);
	if (so->is_for_change)
		return look_up_for_change(scan, so, direction);
	return range_cursor_next(&so->cursor, direction);
}

static void
corrupted_entry(BorealisIndexScan *so)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("index \"%s\" contains a malformed entry",
					RelationGetRelationName(so->index)),
			 errhint("REINDEX INDEX repairs it; please report this.")));
}

static void
decode_item(BorealisIndexScan *so)
{
	static const ItemPointerData no_handle = {{0xFFFF, 0xFFFF}, 0};
	const uint8 *value = so->cursor.item.value;
	uint32		size = so->cursor.item.value_size;

	if (so->item_is_decoded)
		return;
	if (!so->holds_rows)
	{
		if (size <= sizeof(uint16))
			corrupted_entry(so);
		row_buffer_decode(&so->item, so->index, value + sizeof(uint16), size - sizeof(uint16),
						  NULL, &no_handle);
	}
	else if (so->cursor.item.version == NULL)
		row_buffer_point(&so->item, so->table, value, size, &no_handle);
	else
		row_buffer_decode(&so->item, so->table, value, size, so->cursor.item.version, &no_handle);
	so->item_is_decoded = true;
}

/* ColumnReader for scan_key_matches */
static Datum
read_column(void *source, AttrNumber column, bool *isnull)
{
	BorealisIndexScan *so = source;

	decode_item(so);
	if (so->holds_rows)
		return heap_getattr(&so->item.tuple, so->attnums[column - 1],
							RelationGetDescr(so->table), isnull);
	return heap_getattr(&so->item.tuple, column, RelationGetDescr(so->index), isnull);
}

static MemoryContext
switch_to_item_context(BorealisIndexScan *so)
{
	if (so->item_context == NULL)
		so->item_context = AllocSetContextCreate(so->context, "borealis index item",
												 ALLOCSET_SMALL_SIZES);
	else
		MemoryContextReset(so->item_context);
	return MemoryContextSwitchTo(so->item_context);
}

static bool
item_matches(BorealisIndexScan *so)
{
	MemoryContext old;
	bool		matches = true;

	if (so->ranges.ncheck == 0)
		return true;
	old = switch_to_item_context(so);
	for (int i = 0; i < so->ranges.ncheck && matches; i++)
		matches = scan_key_matches(so->ranges.checks[i], read_column, so);
	MemoryContextSwitchTo(old);
	return matches;
}

/* The row that the current item stands for. */
static RowAddress
item_address(IndexScanDesc scan, BorealisIndexScan *so)
{
	MergeScan  *item = &so->cursor.item;
	RowAddress	address;
	uint16		tail;
	WriteEntry *entry;

	if (so->holds_rows)
		return (RowAddress) {item->key, item->key_size, item->version};

	if (item->value_size <= sizeof(tail))
		corrupted_entry(so);
	memcpy(&tail, item->value, sizeof(tail));
	if (tail >= item->key_size)
		corrupted_entry(so);
	resetStringInfo(&so->row_key);
	key_append_prefix(&so->row_key, KEY_NAMESPACE_ROW, so->table->rd_locator.relNumber);
	appendBinaryStringInfoNT(&so->row_key, (const char *) item->key + tail,
							 item->key_size - tail);
	address.key = (uint8 *) so->row_key.data;
	address.key_size = so->row_key.len;
	address.version = NULL;
	if (!write_set_is_empty())
	{
		/* the row may have been written while its entry stayed as it was */
		entry = write_set_find(address.key, address.key_size);
		if (entry != NULL)
			address.version = write_entry_visible(entry, snapshot_command(scan->xs_snapshot));
	}
	return address;
}

/* Index columns of the current item, for index-only scans. */
static void
form_index_tuple(IndexScanDesc scan, BorealisIndexScan *so)
{
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];
	MemoryContext old;

	decode_item(so);
	/* An entry is laid out as the scan wants it.  The endpoint probe takes index tuples only. */
	if (!so->holds_rows && !so->has_cstring &&
		scan->xs_snapshot->snapshot_type == SNAPSHOT_MVCC)
	{
		scan->xs_hitup = &so->item.tuple;
		return;
	}
	scan->xs_hitup = NULL;
	for (int i = 0; i < IndexRelationGetNumberOfAttributes(so->index); i++)
		values[i] = read_column(so, i + 1, &isnull[i]);
	old = switch_to_item_context(so);
	scan->xs_itup = index_form_tuple(RelationGetDescr(so->index), values, isnull);
	MemoryContextSwitchTo(old);
}

bool
borealis_index_gettuple(IndexScanDesc scan, ScanDirection direction)
{
	BorealisIndexScan *so = scan->opaque;
	RowAddress	address;

	do
	{
		if (!advance(scan, so, direction))
			return false;
	} while (!item_matches(so));

	address = item_address(scan, so);
	row_handle_for_item(address.key, address.key_size, address.version, so->keys_are_kept,
						&current_row.handle);
	current_row.relfilenode = so->table->rd_locator.relNumber;
	current_row.address = address;
	current_row.keys_only = scan->xs_want_itup;
	current_row.tuple = NULL;
	if (so->holds_rows && !scan->xs_want_itup)
	{
		decode_item(so);
		so->item.tuple.t_self = current_row.handle;
		so->item.tuple.t_data->t_ctid = current_row.handle;
		current_row.tuple = &so->item.tuple;
	}
	if (scan->xs_want_itup)
		form_index_tuple(scan, so);
	scan->xs_heaptid = current_row.handle;
	scan->xs_recheck = false;
	return true;
}

int64
borealis_index_getbitmap(IndexScanDesc scan, TIDBitmap *bitmap)
{
	BorealisIndexScan *so = scan->opaque;
	int64		count = 0;

	while (advance(scan, so, ForwardScanDirection))
	{
		RowAddress	address;
		ItemPointerData handle;

		CHECK_FOR_INTERRUPTS();
		if (!item_matches(so))
			continue;
		address = item_address(scan, so);
		row_handle_for_item(address.key, address.key_size, address.version, true, &handle);
		tbm_add_tuples(bitmap, &handle, 1, false);
		count++;
	}
	return count;
}

void
borealis_index_mark(IndexScanDesc scan)
{
	BorealisIndexScan *so = scan->opaque;

	range_cursor_mark(&so->cursor);
}

void
borealis_index_restore(IndexScanDesc scan)
{
	BorealisIndexScan *so = scan->opaque;

	range_cursor_restore(&so->cursor);
}
