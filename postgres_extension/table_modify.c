/*
 * table_modify.c
 *	  INSERT, UPDATE, DELETE and row locks: new versions in the write set.
 *
 * Postgres calls index access methods for new entries only; entries of old
 * versions are removed here.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "pgstat.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ddl_log.h"
#include "layout.h"
#include "merge_scan.h"
#include "row_access.h"
#include "row_codec.h"
#include "table_am.h"
#include "transaction.h"

/* The indexes whose entries the last update left as they were. */
static struct
{
	uint64		version_number;
	bool		is_valid;
	int			count;
	int			capacity;
	Oid		   *indexes;
}			kept_entries;

/* A scratch buffer for keys; values of nested calls do not meet in it. */
static void
reset_scratch(StringInfo scratch)
{
	if (scratch->data == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(scratch);
		MemoryContextSwitchTo(old);
	}
	resetStringInfo(scratch);
}

/* The slot's tuple, with every value inline; its header is made ours. */
static HeapTuple
fetch_flat_tuple(TupleTableSlot *slot, TupleDesc descriptor, bool *should_free)
{
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, true, should_free);

	if (HeapTupleHasExternal(tuple))
	{
		HeapTuple	flat = toast_flatten_tuple(tuple, descriptor);

		if (*should_free)
			heap_freetuple(tuple);
		tuple = flat;
		*should_free = true;
	}
	return tuple;
}

/*
 * Rows and bytes that this transaction added to its tables: for the planner's
 * estimates only, so rolled back subtransactions stay counted.
 */
typedef struct OwnEstimate
{
	RelFileNumber relfilenode;	/* hash key */
	char		status;
	int64		rows;
	int64		bytes;
} OwnEstimate;

#define SH_PREFIX estimates
#define SH_ELEMENT_TYPE OwnEstimate
#define SH_KEY_TYPE RelFileNumber
#define SH_KEY relfilenode
#define SH_HASH_KEY(table, key) murmurhash32(key)
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

#define ESTIMATES_FIRST	8
/* A table that has become larger than this is made anew. */
#define ESTIMATES_KEPT	64

/* Kept from transaction to transaction: most write to few tables. */
static estimates_hash *own_estimates = NULL;

static void
count_own(Relation rel, int64 rows, int64 bytes)
{
	RelFileNumber relfilenode = rel->rd_locator.relNumber;
	OwnEstimate *estimate;
	bool		found;

	if (own_estimates == NULL)
		own_estimates = estimates_create(TopMemoryContext, ESTIMATES_FIRST, NULL);
	estimate = estimates_insert(own_estimates, relfilenode, &found);
	if (!found)
	{
		estimate->rows = estimate->bytes = 0;
		table_forget_estimate(relfilenode);
	}
	estimate->rows += rows;
	estimate->bytes += bytes;
}

static OwnEstimate *
find_own_estimate(Relation rel)
{
	if (own_estimates == NULL || own_estimates->members == 0)
		return NULL;
	return estimates_lookup(own_estimates, rel->rd_locator.relNumber);
}

void
table_own_estimate(Relation rel, int64 *rows, int64 *bytes)
{
	const OwnEstimate *estimate = find_own_estimate(rel);

	*rows = estimate ? estimate->rows : 0;
	*bytes = estimate ? estimate->bytes : 0;
}

bool
table_has_own_estimate(Relation rel)
{
	return find_own_estimate(rel) != NULL;
}

void
table_modify_reset(void)
{
	if (own_estimates != NULL && own_estimates->members > 0)
	{
		if (own_estimates->size > ESTIMATES_KEPT)
		{
			estimates_destroy(own_estimates);
			own_estimates = NULL;
		}
		else
			estimates_reset(own_estimates);
	}
	kept_entries.is_valid = false;
}

/*
 * What a heap tuple's header says after heap_insert or heap_update.  A row that
 * was locked before it was updated shows the locker as its xmax: applications
 * tell by "xmax = 0" whether an upsert inserted.
 */
static void
stamp_header(HeapTuple tuple, const WriteVersion *version, Relation rel, bool was_locked)
{
	tuple->t_data->t_infomask &= ~(HEAP_XACT_MASK);
	tuple->t_data->t_infomask2 &= ~(HEAP2_XACT_MASK);
	HeapTupleHeaderSetXmin(tuple->t_data, version->xid);
	HeapTupleHeaderSetCmin(tuple->t_data, version->cid);
	if (was_locked)
	{
		tuple->t_data->t_infomask |= HEAP_XMAX_LOCK_ONLY | HEAP_XMAX_EXCL_LOCK;
		HeapTupleHeaderSetXmax(tuple->t_data, version->xid);
	}
	else
	{
		tuple->t_data->t_infomask |= HEAP_XMAX_INVALID;
		HeapTupleHeaderSetXmax(tuple->t_data, InvalidTransactionId);
	}
	row_handle_for_version(version, &tuple->t_self);
	tuple->t_data->t_ctid = tuple->t_self;
	tuple->t_tableOid = RelationGetRelid(rel);
}

static WriteVersion *
put_row(Relation rel, const uint8 *key, uint32 key_size, WriteOperation operation,
		HeapTuple tuple, CommandId cid)
{
	Size		size = row_encoded_size(tuple);
	WriteVersion *version;

	version = write_set_reserve(key, key_size, operation, cid, GetCurrentTransactionId(), size);
	row_encode(tuple, (char *) version->value);
	return version;
}

/* stored_size is that of the row's last version. */
static WriteVersion *
put_deletion(const uint8 *key, uint32 key_size, uint32 stored_size, CommandId cid)
{
	WriteVersion *version = write_set_put(key, key_size, WRITE_DELETE, cid,
										  GetCurrentTransactionId(), NULL, 0);

	version->replaced_size = stored_size;
	return version;
}

/* The slot now shows the version. */
static void
finish_slot(TupleTableSlot *slot, HeapTuple tuple, bool should_free,
			const WriteVersion *version, Relation rel, bool was_locked)
{
	stamp_header(tuple, version, rel, was_locked);
	slot->tts_tid = tuple->t_self;
	slot->tts_tableOid = RelationGetRelid(rel);
	if (should_free)
		heap_freetuple(tuple);
}

void
borealis_tuple_insert(Relation rel, TupleTableSlot *slot, CommandId cid, int options,
					  struct BulkInsertStateData *bistate)
{
	static StringInfoData key;
	HeapTuple	tuple;
	bool		should_free;
	WriteVersion *version;

	slot->tts_tableOid = RelationGetRelid(rel);
	if (ddl_is_replaying())
	{
		ItemPointerSetInvalid(&slot->tts_tid);
		return;
	}

	tuple = fetch_flat_tuple(slot, RelationGetDescr(rel), &should_free);
	reset_scratch(&key);
	row_key_build(&key, rel, tuple);
	/* whether the key was free is checked when the primary key's entry is inserted */
	version = put_row(rel, (uint8 *) key.data, key.len, WRITE_INSERT, tuple, cid);
	count_own(rel, 1, key.len + version->value_size);
	finish_slot(slot, tuple, should_free, version, rel, false);
	pgstat_count_heap_insert(rel, 1);
}

/* Nobody else can insert a conflicting row before our commit is adjudicated. */
void
borealis_tuple_insert_speculative(Relation rel, TupleTableSlot *slot, CommandId cid,
								  int options, struct BulkInsertStateData *bistate,
								  uint32 specToken)
{
	borealis_tuple_insert(rel, slot, cid, options, bistate);
}

static void delete_row(Relation rel, const RowAddress *address, HeapTuple tuple,
					   uint32 stored_size, CommandId cid);

void
borealis_tuple_complete_speculative(Relation rel, TupleTableSlot *slot, uint32 specToken,
									bool succeeded)
{
	if (!succeeded)
	{
		RowAddress	address;
		RowBuffer	buffer;

		if (!row_handle_resolve(&slot->tts_tid, &address) || address.version == NULL)
			elog(ERROR, "speculative insertion has no version");
		row_buffer_init(&buffer, CurrentMemoryContext);
		row_buffer_decode(&buffer, rel, address.version->value, address.version->value_size,
						  address.version, &slot->tts_tid);
		delete_row(rel, &address, &buffer.tuple, address.version->value_size,
				   address.version->cid);
		row_buffer_free(&buffer);
	}
}

void
borealis_multi_insert(Relation rel, TupleTableSlot **slots, int nslots, CommandId cid,
					  int options, struct BulkInsertStateData *bistate)
{
	for (int i = 0; i < nslots; i++)
		borealis_tuple_insert(rel, slots[i], cid, options, bistate);
}

static void
put_entry_deletion(const StringInfoData *key, uint32 stored_size, CommandId cid)
{
	WriteVersion *version = write_set_put((uint8 *) key->data, key->len, WRITE_INDEX_DELETE, cid,
										  InvalidTransactionId, NULL, 0);

	version->replaced_size = stored_size;
}

static void
delete_index_entry(Relation rel, Relation index, HeapTuple tuple,
				   const uint8 *row_key, uint32 row_key_size, CommandId cid)
{
	static StringInfoData key;
	static StringInfoData value;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	if (!index_form_values(rel, index, tuple, values, isnull))
		return;
	reset_scratch(&key);
	reset_scratch(&value);
	index_entry_build(&key, &value, index, values, isnull, row_key, row_key_size);
	put_entry_deletion(&key, value.len, cid);
}

static void
put_index_entry(Relation rel, Relation index, HeapTuple tuple,
				const uint8 *row_key, uint32 row_key_size, CommandId cid)
{
	static StringInfoData key;
	static StringInfoData value;
	Datum		values[INDEX_MAX_KEYS];
	bool		isnull[INDEX_MAX_KEYS];

	if (!index_form_values(rel, index, tuple, values, isnull))
		return;
	reset_scratch(&key);
	reset_scratch(&value);
	index_entry_build(&key, &value, index, values, isnull, row_key, row_key_size);
	write_set_put((uint8 *) key.data, key.len, WRITE_INDEX_PUT, cid,
				  InvalidTransactionId, (uint8 *) value.data, value.len);
}

/* Deletes the row and all its index entries. */
static void
delete_row(Relation rel, const RowAddress *address, HeapTuple tuple, uint32 stored_size,
		   CommandId cid)
{
	Oid		   *indexes;
	int			nindexes = table_secondary_indexes(rel, &indexes);

	for (int i = 0; i < nindexes; i++)
	{
		Relation	index = index_open(indexes[i], NoLock);

		delete_index_entry(rel, index, tuple, address->key, address->key_size, cid);
		index_close(index, NoLock);
	}
	if (indexes)
		pfree(indexes);
	put_deletion(address->key, address->key_size, stored_size, cid);
}

/*
 * Has this transaction itself replaced the version already?  Fills tmfd for
 * the executor, which decides what that means.
 */
static TM_Result
check_own_changes(const RowAddress *address, const ItemPointerData *handle, CommandId cid,
				  TM_FailureData *tmfd)
{
	WriteVersion *version = address->version;
	CommandId	cmax = InvalidCommandId;

	if (version != NULL)
	{
		if (version->cid >= cid)
			return TM_Invisible;
		cmax = version->cmax;
	}
	else if (!write_set_is_empty())
	{
		WriteEntry *entry = write_set_find(address->key, address->key_size);

		/* the oldest own version replaced the committed one */
		for (version = entry ? entry->newest : NULL; version != NULL; version = version->older)
			cmax = version->cid;
	}
	if (cmax == InvalidCommandId)
		return TM_Ok;

	tmfd->ctid = *handle;
	tmfd->xmax = GetCurrentTransactionId();
	tmfd->cmax = cmax;
	tmfd->traversed = false;
	return TM_SelfModified;
}

/*
 * Resolves the handle of a row to be changed, checks it, and decodes the row.
 */
static TM_Result
begin_change(Relation rel, ItemPointer tid, CommandId cid, TM_FailureData *tmfd,
			 RowAddress *address, RowBuffer *old, uint32 *stored_size)
{
	const uint8 *value;
	TM_Result	result;

	if (!row_handle_resolve(tid, address) || !row_address_is_in(address, rel))
		elog(ERROR, "handle (%u,%u) names no row of table \"%s\"",
			 ItemPointerGetBlockNumberNoCheck(tid), ItemPointerGetOffsetNumberNoCheck(tid),
			 RelationGetRelationName(rel));
	result = check_own_changes(address, tid, cid, tmfd);
	if (result != TM_Ok)
		return result;
	row_buffer_init(old, CurrentMemoryContext);
	if (row_is_current(tid, address))
	{
		row_buffer_copy(old, current_row.tuple);
		*stored_size = row_encoded_size(&old->tuple);
		return TM_Ok;
	}
	if (!row_read(rel, address, &value, stored_size))
		elog(ERROR, "row to be changed in table \"%s\" has vanished",
			 RelationGetRelationName(rel));
	row_buffer_decode(old, rel, value, *stored_size, address->version, tid);
	return TM_Ok;
}

TM_Result
borealis_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot,
					  Snapshot crosscheck, bool wait, TM_FailureData *tmfd, bool changingPart)
{
	RowAddress	address;
	RowBuffer	old;
	uint32		stored_size;
	TM_Result	result = begin_change(rel, tid, cid, tmfd, &address, &old, &stored_size);

	if (result == TM_Invisible)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("attempted to delete invisible tuple")));
	if (result != TM_Ok)
		return result;
	delete_row(rel, &address, &old.tuple, stored_size, cid);
	count_own(rel, -1, -(int64) (address.key_size + stored_size));
	row_buffer_free(&old);
	pgstat_count_heap_delete(rel);
	return TM_Ok;
}

static void
remember_kept_entry(Oid index)
{
	if (kept_entries.count == kept_entries.capacity)
	{
		int			capacity = Max(kept_entries.capacity * 2, 16);

		if (kept_entries.indexes == NULL)
			kept_entries.indexes = MemoryContextAlloc(TopMemoryContext, capacity * sizeof(Oid));
		else
			kept_entries.indexes = repalloc(kept_entries.indexes, capacity * sizeof(Oid));
		kept_entries.capacity = capacity;
	}
	kept_entries.indexes[kept_entries.count++] = index;
}

bool
table_update_kept_entry(const WriteVersion *version, Oid index)
{
	if (!kept_entries.is_valid || kept_entries.version_number != version->number)
		return false;
	for (int i = 0; i < kept_entries.count; i++)
	{
		if (kept_entries.indexes[i] == index)
			return true;
	}
	return false;
}

typedef struct IndexChanges
{
	bool		any;			/* some entry is to be inserted anew */
	bool		key;			/* columns that foreign keys may refer to */
} IndexChanges;

/*
 * Removes the old row's entries where the new row's differ and remembers those
 * that stay; aminsert will be called for all indexes or for none.
 */
static IndexChanges
replace_index_entries(Relation rel, HeapTuple old_tuple, HeapTuple new_tuple,
					  const RowAddress *address, bool row_moves, CommandId cid)
{
	static StringInfoData old_key;
	static StringInfoData new_key;
	static StringInfoData old_value;
	static StringInfoData new_value;
	IndexChanges changes = {false, false};
	Oid		   *indexes;
	int			nindexes = table_secondary_indexes(rel, &indexes);

	kept_entries.count = 0;
	kept_entries.is_valid = false;
	for (int i = 0; i < nindexes; i++)
	{
		Relation	index = index_open(indexes[i], NoLock);
		Datum		values[INDEX_MAX_KEYS];
		bool		isnull[INDEX_MAX_KEYS];
		bool		had_entry;
		bool		has_entry;
		bool		same_key;

		reset_scratch(&old_key);
		reset_scratch(&new_key);
		reset_scratch(&old_value);
		reset_scratch(&new_value);
		had_entry = index_form_values(rel, index, old_tuple, values, isnull);
		if (had_entry)
			index_entry_build(&old_key, &old_value, index, values, isnull,
							  address->key, address->key_size);
		has_entry = index_form_values(rel, index, new_tuple, values, isnull);
		if (has_entry)
			index_entry_build(&new_key, &new_value, index, values, isnull,
							  address->key, address->key_size);

		same_key = had_entry == has_entry && old_key.len == new_key.len &&
			memcmp(old_key.data, new_key.data, old_key.len) == 0;
		if (!same_key && index_layout(index)->identifies_rows)
			changes.key = true;
		if (same_key && !row_moves && old_value.len == new_value.len &&
			memcmp(old_value.data, new_value.data, old_value.len) == 0)
			remember_kept_entry(indexes[i]);
		else
		{
			changes.any = true;
			if (had_entry)
				put_entry_deletion(&old_key, old_value.len, cid);
		}
		index_close(index, NoLock);
	}
	if (indexes)
		pfree(indexes);
	return changes;
}

TM_Result
borealis_tuple_update(Relation rel, ItemPointer otid, TupleTableSlot *slot, CommandId cid,
					  Snapshot snapshot, Snapshot crosscheck, bool wait,
					  TM_FailureData *tmfd, LockTupleMode *lockmode,
					  TU_UpdateIndexes *update_indexes)
{
	static StringInfoData key;
	RowAddress	address;
	RowBuffer	old;
	HeapTuple	tuple;
	bool		should_free;
	bool		row_moves = false;
	bool		was_locked;
	WriteEntry *entry;
	IndexChanges changes;
	WriteVersion *version;
	uint32		stored_size;
	TM_Result	result = begin_change(rel, otid, cid, tmfd, &address, &old, &stored_size);

	*lockmode = LockTupleExclusive;
	*update_indexes = TU_None;
	if (result == TM_Invisible)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("attempted to update invisible tuple")));
	if (result != TM_Ok)
		return result;

	entry = write_set_find(address.key, address.key_size);
	was_locked = entry != NULL && entry->lock_mode != 0;
	slot->tts_tableOid = RelationGetRelid(rel);
	tuple = fetch_flat_tuple(slot, RelationGetDescr(rel), &should_free);
	reset_scratch(&key);
	if (OidIsValid(table_layout(rel)->primary_key))
	{
		row_key_build(&key, rel, tuple);
		row_moves = key.len != address.key_size ||
			memcmp(key.data, address.key, key.len) != 0;
	}

	changes = replace_index_entries(rel, &old.tuple, tuple, &address, row_moves, cid);
	if (row_moves)
	{
		/* WHERE CURRENT OF a cursor may come for the row where it was */
		put_deletion(address.key, address.key_size, stored_size, cid)->is_moved = true;
		version = put_row(rel, (uint8 *) key.data, key.len, WRITE_INSERT, tuple, cid);
	}
	else
		version = put_row(rel, address.key, address.key_size,
						  changes.key ? WRITE_KEY_UPDATE : WRITE_UPDATE, tuple, cid);
	if (!row_moves)
		version->replaced_size = stored_size;

	*lockmode = row_moves || changes.key ? LockTupleExclusive : LockTupleNoKeyExclusive;
	*update_indexes = row_moves || changes.any ? TU_All : TU_None;
	kept_entries.version_number = version->number;
	kept_entries.is_valid = !row_moves;
	finish_slot(slot, tuple, should_free, version, rel, was_locked);
	row_buffer_free(&old);
	pgstat_count_heap_update(rel, false, false);
	return TM_Ok;
}

static KeyLockMode
key_lock_mode(LockTupleMode mode)
{
	switch (mode)
	{
		case LockTupleKeyShare:
			return KEY_LOCK_KEY_SHARE;
		case LockTupleShare:
			return KEY_LOCK_SHARE;
		case LockTupleNoKeyExclusive:
			return KEY_LOCK_UPDATE;
		case LockTupleExclusive:
			return KEY_LOCK_EXCLUSIVE;
	}
	elog(ERROR, "unknown tuple lock mode %d", (int) mode);
}

/*
 * A lock is a promise to be checked at commit; there is nothing to wait for.
 */
TM_Result
borealis_tuple_lock(Relation rel, ItemPointer tid, Snapshot snapshot, TupleTableSlot *slot,
					CommandId cid, LockTupleMode mode, LockWaitPolicy wait_policy,
					uint8 flags, TM_FailureData *tmfd)
{
	RowAddress	address;
	RowBuffer	buffer;
	const uint8 *value;
	uint32		value_size;
	TM_Result	result;

	tmfd->traversed = false;
	if (!row_handle_resolve(tid, &address) || !row_address_is_in(&address, rel))
		elog(ERROR, "handle (%u,%u) names no row of table \"%s\"",
			 ItemPointerGetBlockNumberNoCheck(tid), ItemPointerGetOffsetNumberNoCheck(tid),
			 RelationGetRelationName(rel));
	result = check_own_changes(&address, tid, cid, tmfd);
	if (result == TM_SelfModified && tmfd->cmax < cid)
		return TM_Deleted;
	if (!row_read(rel, &address, &value, &value_size))
		return TM_Deleted;

	row_buffer_init(&buffer, CurrentMemoryContext);
	row_buffer_decode(&buffer, rel, value, value_size, address.version, tid);
	row_buffer_store_copy(&buffer, slot);
	row_buffer_free(&buffer);
	if (result == TM_Ok)
		write_set_lock(address.key, address.key_size, key_lock_mode(mode));
	return result;
}

void
table_move_row(Relation rel, const uint8 *old_key, uint32 old_key_size,
			   const uint8 *new_key, uint32 new_key_size, HeapTuple tuple, CommandId cid,
			   Oid except_index)
{
	Oid		   *indexes;
	int			nindexes = table_secondary_indexes(rel, &indexes);

	for (int i = 0; i < nindexes; i++)
	{
		Relation	index;

		if (indexes[i] == except_index)
			continue;
		index = index_open(indexes[i], NoLock);
		delete_index_entry(rel, index, tuple, old_key, old_key_size, cid);
		put_index_entry(rel, index, tuple, new_key, new_key_size, cid);
		index_close(index, NoLock);
	}
	if (indexes)
		pfree(indexes);
	put_deletion(old_key, old_key_size, row_encoded_size(tuple), cid);
	put_row(rel, new_key, new_key_size, WRITE_INSERT, tuple, cid);
}

void
table_begin_anew(Relation rel, Oid except_index, void (*write_page) (Relation index))
{
	Oid		   *indexes;
	int			nindexes = table_secondary_indexes(rel, &indexes);

	RelationSetNewRelfilenumber(rel, rel->rd_rel->relpersistence);
	for (int i = 0; i < nindexes; i++)
	{
		Relation	index;

		if (indexes[i] == except_index)
			continue;
		index = index_open(indexes[i], AccessExclusiveLock);
		RelationSetNewRelfilenumber(index, index->rd_rel->relpersistence);
		write_page(index);
		index_close(index, NoLock);
	}
	if (indexes)
		pfree(indexes);
}

void
table_put_anew(Relation rel, const uint8 *key, uint32 key_size, HeapTuple tuple,
			   CommandId cid, Oid except_index)
{
	Oid		   *indexes;
	int			nindexes = table_secondary_indexes(rel, &indexes);

	for (int i = 0; i < nindexes; i++)
	{
		Relation	index;

		if (indexes[i] == except_index)
			continue;
		index = index_open(indexes[i], NoLock);
		put_index_entry(rel, index, tuple, key, key_size, cid);
		index_close(index, NoLock);
	}
	if (indexes)
		pfree(indexes);
	put_row(rel, key, key_size, WRITE_INSERT, tuple, cid);
}

void
table_forget_own(uint8 namespace, RelFileNumber relfilenode, CommandId cid)
{
	static StringInfoData prefix;
	WriteEntry *entry;
	TransactionId xid = GetCurrentTransactionId();
	bool		is_row = namespace == KEY_NAMESPACE_ROW;

	if (write_set_is_empty())
		return;
	reset_scratch(&prefix);
	key_append_prefix(&prefix, namespace, relfilenode);
	for (entry = write_set_seek((uint8 *) prefix.data, prefix.len, false);
		 entry != NULL && entry->key_size >= prefix.len &&
		 memcmp(write_entry_key(entry), prefix.data, prefix.len) == 0;
		 entry = write_entry_next(entry))
	{
		if (entry->newest != NULL && entry->newest->value_size > 0)
			write_set_put(write_entry_key(entry), entry->key_size,
						  is_row ? WRITE_DELETE : WRITE_INDEX_DELETE, cid,
						  is_row ? xid : InvalidTransactionId, NULL, 0);
	}
}
