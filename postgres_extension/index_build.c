/*
 * index_build.c
 *	  Building indexes and inserting entries.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/nbtree.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "catalog/index.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ddl_log.h"
#include "index_am.h"
#include "layout.h"
#include "row_access.h"
#include "table_am.h"
#include "transaction.h"
#include "unique.h"
#include "write_set.h"

typedef struct BuildState
{
	Relation	table;
	CommandId	cid;
	StringInfoData key;
	StringInfoData value;
	MemoryContext memory;
	bool		is_anew;		/* rows go under keys of a new relfilenode */
} BuildState;

/*
 * Readers of the index file, the planner above all, expect a metapage; ours
 * also says whether the entries are the rows (layout.c).
 */
static void
write_metapage(Relation index)
{
	Buffer		buffer;
	Page		page;

	if (RelationGetNumberOfBlocks(index) > 0)
		return;
	buffer = ReadBufferExtended(index, MAIN_FORKNUM, P_NEW, RBM_NORMAL, NULL);
	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	START_CRIT_SECTION();
	page = BufferGetPage(buffer);
	_bt_initmetapage(page, P_NONE, 0, index_will_hold_rows(index));
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(index))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
}

static void
build_secondary_entry(Relation index, ItemPointer tid, Datum *values, bool *isnull,
					  bool is_alive, void *opaque)
{
	BuildState *state = opaque;
	uint32		tail;

	resetStringInfo(&state->key);
	resetStringInfo(&state->value);
	tail = index_entry_build(&state->key, &state->value, index, values, isnull,
							 current_row.address.key, current_row.address.key_size);
	if (index_values_are_unique(index_layout(index), isnull))
	{
		if (unique_entry_is_taken(index, &state->key, tail))
			unique_report_build_violation(state->table, index, values, isnull);
		write_set_lock((uint8 *) state->key.data, tail, KEY_LOCK_EXCLUSIVE);
	}
	write_set_put((uint8 *) state->key.data, state->key.len, WRITE_INDEX_PUT, state->cid,
				  InvalidTransactionId, (uint8 *) state->value.data, state->value.len);
}

/*
 * The rows of a table that gets a primary key are written once, under a new
 * relfilenode, and not deleted one by one under the old one, which the scan goes on
 * reading.  An index that is built again finds its rows where they belong, or in
 * the table that a rewrite has just made.
 */
static void
begin_anew(BuildState *state, Relation index)
{
	MemoryContext caller = MemoryContextSwitchTo(state->memory);

	table_begin_anew(state->table, RelationGetRelid(index), write_metapage);
	state->cid = GetCurrentCommandId(true);
	state->is_anew = true;
	MemoryContextSwitchTo(caller);
}

/* A new primary key: every row moves to its place in the new order. */
static void
move_row_to_primary_key(Relation index, ItemPointer tid, Datum *values, bool *isnull,
						bool is_alive, void *opaque)
{
	BuildState *state = opaque;
	const RowAddress *address = &current_row.address;

	resetStringInfo(&state->key);
	row_key_build_for_index(&state->key, state->table, index, values, isnull);
	if (state->key.len == address->key_size &&
		memcmp(state->key.data, address->key, address->key_size) == 0)
		return;
	if (!state->is_anew && !ReindexIsProcessingIndex(RelationGetRelid(index)))
	{
		begin_anew(state, index);
		resetStringInfo(&state->key);
		row_key_build_for_index(&state->key, state->table, index, values, isnull);
	}
	if (row_key_is_taken(state->table, (uint8 *) state->key.data, state->key.len))
		unique_report_build_violation(state->table, index, values, isnull);
	if (state->is_anew)
		table_put_anew(state->table, (uint8 *) state->key.data, state->key.len, current_row.tuple,
					   state->cid, RelationGetRelid(index));
	else
		table_move_row(state->table, address->key, address->key_size,
				   (uint8 *) state->key.data, state->key.len, current_row.tuple, state->cid,
				   RelationGetRelid(index));
}

IndexBuildResult *
borealis_index_build(Relation table, Relation index, IndexInfo *index_info)
{
	IndexBuildResult *result = palloc0(sizeof(IndexBuildResult));
	bool		holds_rows;
	BuildState	state = {.table = table,.memory = CurrentMemoryContext};

	write_metapage(index);
	holds_rows = index_layout(index)->holds_rows;
	if (ddl_is_replaying())
		return result;

	state.cid = GetCurrentCommandId(true);
	/* a TRUNCATE of a table that this transaction created builds it again */
	table_forget_own(KEY_NAMESPACE_INDEX, index->rd_locator.relNumber, state.cid);
	initStringInfo(&state.key);
	initStringInfo(&state.value);
	result->heap_tuples = table_index_build_scan(table, index, index_info, true, true,
												 holds_rows ? move_row_to_primary_key :
												 build_secondary_entry,
												 &state, NULL);
	result->index_tuples = result->heap_tuples;
	pfree(state.key.data);
	pfree(state.value.data);
	return result;
}

bool
borealis_index_insert(Relation index, Datum *values, bool *isnull, ItemPointer tid,
					  Relation table, IndexUniqueCheck check_unique, bool index_unchanged,
					  IndexInfo *index_info)
{
	static StringInfoData key;
	static StringInfoData value;
	const IndexLayout *layout = index_layout(index);
	RowAddress	address;
	uint32		tail;
	bool		is_unique = true;

	if (ddl_is_replaying())
		return true;
	if (!row_handle_resolve(tid, &address) || address.version == NULL)
		elog(ERROR, "index entry for a row that this transaction did not write");
	if (layout->holds_rows)
	{
		/* the row is the entry, and it has replaced what it may conflict with */
		if (address.version->operation == WRITE_INSERT &&
			row_key_was_taken(table, address.version))
			unique_report_violation(table, index, values, isnull);
		return true;
	}
	if (check_unique != UNIQUE_CHECK_EXISTING &&
		table_update_kept_entry(address.version, RelationGetRelid(index)))
		return true;

	if (key.data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&key);
		initStringInfo(&value);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(&key);
	resetStringInfo(&value);
	tail = index_entry_build(&key, &value, index, values, isnull, address.key, address.key_size);

	if (check_unique != UNIQUE_CHECK_NO && index_values_are_unique(layout, isnull))
	{
		is_unique = !unique_entry_is_taken(index, &key, tail);
		if (!is_unique && check_unique != UNIQUE_CHECK_PARTIAL)
			unique_report_violation(table, index, values, isnull);
		write_set_lock((uint8 *) key.data, tail, KEY_LOCK_EXCLUSIVE);
	}
	if (check_unique != UNIQUE_CHECK_EXISTING)
		write_set_put((uint8 *) key.data, key.len, WRITE_INDEX_PUT, address.version->cid,
					  InvalidTransactionId, (uint8 *) value.data, value.len);
	return is_unique;
}
