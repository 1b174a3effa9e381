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

#include "index_am.h"
#include "index_range.h"
#include "layout.h"
#include "merge_scan.h"
#include "row_access.h"

#define SCAN_ITEMS_FIRST 16

typedef enum ScanPosition
{
	SCAN_BEFORE_FIRST,
	SCAN_ON_ITEM,
	SCAN_AFTER_LAST
} ScanPosition;

typedef struct IndexMark
{
	bool		is_valid;
	int			range;
	StringInfoData key;
} IndexMark;

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

	MergeScan	merge;
	int			range;
	ScanPosition position;
	ScanDirection direction;	/* NoMovement: merge is not started */
	StringInfoData position_key;
	IndexMark	mark;

	RowBuffer	item;			/* the entry, or the row, decoded */
	bool		item_is_decoded;
	StringInfoData row_key;
	MemoryContext item_context;	/* what one item needs */
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
	layout = index_layout(index);
	so->holds_rows = layout->holds_rows;
	memcpy(so->attnums, index->rd_index->indkey.values,
		   IndexRelationGetNumberOfAttributes(index) * sizeof(AttrNumber));
	for (int i = 0; i < descriptor->natts; i++)
		so->has_cstring |= TupleDescAttr(descriptor, i)->atttypid == CSTRINGOID;
	initStringInfo(&so->prefix);
	if (so->holds_rows)
		row_key_append_prefix(&so->prefix, so->table, RelationGetRelid(index));
	else
		key_append_prefix(&so->prefix, KEY_NAMESPACE_INDEX, index->rd_locator.relNumber);
	so->range_context = AllocSetContextCreate(CurrentMemoryContext, "borealis index ranges",
											  ALLOCSET_SMALL_SIZES);
	so->item_context = AllocSetContextCreate(CurrentMemoryContext, "borealis index item",
											 ALLOCSET_SMALL_SIZES);
	merge_scan_init(&so->merge, CurrentMemoryContext);
	row_buffer_init(&so->item, CurrentMemoryContext);
	initStringInfo(&so->position_key);
	initStringInfo(&so->row_key);
	initStringInfo(&so->mark.key);
	so->direction = NoMovementScanDirection;
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
	so->ranges_are_built = false;
	so->position = SCAN_BEFORE_FIRST;
	so->direction = NoMovementScanDirection;
	so->mark.is_valid = false;
	so->keys_are_kept = row_handles_are_kept || scan->xs_snapshot == NULL ||
		scan->xs_snapshot->snapshot_type != SNAPSHOT_MVCC;
}

void
borealis_index_end(IndexScanDesc scan)
{
	BorealisIndexScan *so = scan->opaque;

	merge_scan_free(&so->merge);
	row_buffer_free(&so->item);
	MemoryContextDelete(so->range_context);
	MemoryContextDelete(so->item_context);
	pfree(so->prefix.data);
	pfree(so->position_key.data);
	pfree(so->row_key.data);
	pfree(so->mark.key.data);
	RelationClose(so->table);
	pfree(so);
}

static void
build_ranges(IndexScanDesc scan, BorealisIndexScan *so)
{
	MemoryContext old;

	MemoryContextReset(so->range_context);
	old = MemoryContextSwitchTo(so->range_context);
	index_ranges_build(&so->ranges, so->index, index_layout(so->index), &so->prefix,
					   scan->keyData, scan->numberOfKeys);
	MemoryContextSwitchTo(old);
	so->ranges_are_built = true;
}

/* Starts the merge in the current range: whole, or from the current item on. */
static void
start_merge(IndexScanDesc scan, BorealisIndexScan *so, ScanDirection direction)
{
	const KeyRange *range = &so->ranges.ranges[so->range];
	const uint8 *lower = range->lower;
	const uint8 *upper = range->upper;
	uint32		lower_size = range->lower_size;
	uint32		upper_size = range->upper_size;

	if (so->position == SCAN_ON_ITEM)
	{
		resetStringInfo(&so->position_key);
		appendBinaryStringInfoNT(&so->position_key, (const char *) so->merge.key,
								 so->merge.key_size);
		if (ScanDirectionIsForward(direction))
		{
			appendStringInfoCharMacro(&so->position_key, '\0');
			lower = (uint8 *) so->position_key.data;
			lower_size = so->position_key.len;
		}
		else
		{
			upper = (uint8 *) so->position_key.data;
			upper_size = so->position_key.len;
		}
	}
	merge_scan_start(&so->merge, lower, lower_size, upper, upper_size,
					 ScanDirectionIsBackward(direction),
					 relation_has_committed(so->holds_rows ? so->table : so->index),
					 snapshot_command(scan->xs_snapshot),
					 so->ranges.at_most_one ? 1 : SCAN_ITEMS_FIRST);
}

/* Moves to the next item of any range; false at the end. */
static bool
advance(IndexScanDesc scan, BorealisIndexScan *so, ScanDirection direction)
{
	bool		is_forward = ScanDirectionIsForward(direction);
	ScanPosition end = is_forward ? SCAN_AFTER_LAST : SCAN_BEFORE_FIRST;

	so->item_is_decoded = false;
	if (!so->ranges_are_built)
		build_ranges(scan, so);
	if (so->ranges.count == 0)
		return false;

	if (so->direction != direction)
	{
		if (so->direction != NoMovementScanDirection && so->position == end)
			return false;
		if (so->position != SCAN_ON_ITEM)
			so->range = is_forward ? 0 : so->ranges.count - 1;
		start_merge(scan, so, direction);
		so->direction = direction;
	}
	else if (so->position == end)
		return false;

	while (!merge_scan_next(&so->merge))
	{
		so->position = end;
		so->range += is_forward ? 1 : -1;
		if (so->range < 0 || so->range >= so->ranges.count)
			return false;
		start_merge(scan, so, direction);
	}
	so->position = SCAN_ON_ITEM;
	return true;
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
	const uint8 *value = so->merge.value;
	uint32		size = so->merge.value_size;

	if (so->item_is_decoded)
		return;
	if (!so->holds_rows)
	{
		if (size <= sizeof(uint16))
			corrupted_entry(so);
		value += sizeof(uint16);
		size -= sizeof(uint16);
	}
	row_buffer_decode(&so->item, so->holds_rows ? so->table : so->index, value, size,
					  NULL, &no_handle);
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

static bool
item_matches(BorealisIndexScan *so)
{
	MemoryContext old;
	bool		matches = true;

	if (so->ranges.ncheck == 0)
		return true;
	MemoryContextReset(so->item_context);
	old = MemoryContextSwitchTo(so->item_context);
	for (int i = 0; i < so->ranges.ncheck && matches; i++)
		matches = scan_key_matches(so->ranges.checks[i], read_column, so);
	MemoryContextSwitchTo(old);
	return matches;
}

/* The row that the current item stands for. */
static RowAddress
item_address(IndexScanDesc scan, BorealisIndexScan *so)
{
	MergeScan  *merge = &so->merge;
	RowAddress	address;
	uint16		tail;
	WriteEntry *entry;

	if (so->holds_rows)
		return (RowAddress) {merge->key, merge->key_size, merge->version};

	if (merge->value_size <= sizeof(tail))
		corrupted_entry(so);
	memcpy(&tail, merge->value, sizeof(tail));
	if (tail >= merge->key_size)
		corrupted_entry(so);
	resetStringInfo(&so->row_key);
	key_append_prefix(&so->row_key, KEY_NAMESPACE_ROW, so->table->rd_locator.relNumber);
	appendBinaryStringInfoNT(&so->row_key, (const char *) merge->key + tail,
							 merge->key_size - tail);
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
	MemoryContextReset(so->item_context);
	old = MemoryContextSwitchTo(so->item_context);
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
	if (so->holds_rows)
	{
		current_row.value = so->merge.value;
		current_row.value_size = so->merge.value_size;
	}
	else
		current_row.value = NULL;
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

	so->mark.is_valid = so->position == SCAN_ON_ITEM;
	if (!so->mark.is_valid)
		return;
	so->mark.range = so->range;
	resetStringInfo(&so->mark.key);
	appendBinaryStringInfoNT(&so->mark.key, (const char *) so->merge.key, so->merge.key_size);
}

void
borealis_index_restore(IndexScanDesc scan)
{
	BorealisIndexScan *so = scan->opaque;

	if (!so->mark.is_valid)
	{
		so->direction = ForwardScanDirection;
		so->position = SCAN_AFTER_LAST;
		return;
	}
	so->direction = NoMovementScanDirection;
	so->range = so->mark.range;
	so->position = SCAN_ON_ITEM;
	so->merge.key = (uint8 *) so->mark.key.data;
	so->merge.key_size = so->mark.key.len;
}
