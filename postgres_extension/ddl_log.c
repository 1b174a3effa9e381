/*
 * ddl_log.c
 *	  What a transaction's DDL means for the cluster, found and shipped when
 *	  it commits.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext_data.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/ipc.h"
#include "storage/lock.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "catalog_changes.h"
#include "catalog_entry.h"
#include "catalog_freshness.h"
#include "catalog_local_state.h"
#include "catalog_rows.h"
#include "catalog_state.h"
#include "catalog_worker.h"
#include "ddl_log.h"
#include "ddl_statements.h"
#include "dislodge.h"
#include "lock_conflicts.h"
#include "object_ids.h"
#include "reject.h"
#include "sequence.h"
#include "session_flags.h"
#include "session_state.h"
#include "snapshot_export.h"
#include "transaction.h"

/* What the current transaction ships; found at PRE_COMMIT. */
static CatalogEntry *collected = NULL;

static shmem_startup_hook_type previous_shmem_startup = NULL;

/* ---- from row changes to an entry ---- */

static bool
has_new_storage(const CatalogChanges *changes, HeapTuple row)
{
	Form_pg_class relation = (Form_pg_class) GETSTRUCT(row);
	HeapTuple	before = catalog_changes_removed(changes, RelationRelationId, relation->oid);

	return before == NULL ||
		((Form_pg_class) GETSTRUCT(before))->relfilenode != relation->relfilenode;
}

/*
 * Only Borealis tables and sequences can be shared; a heap table's rows would be
 * here alone.  reject.c refuses their creation with better words; this is the
 * safety net.
 */
static void
check_storage(const CatalogChanges *changes, HeapTuple row)
{
	Form_pg_class relation = (Form_pg_class) GETSTRUCT(row);

	if (relation->oid < FirstNormalObjectId)
	{
		if (has_new_storage(changes, row))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("system catalog \"%s\" cannot be rewritten", NameStr(relation->relname))));
	}
	else if (relation->relkind == RELKIND_TOASTVALUE ||
			 (RELKIND_HAS_TABLE_AM(relation->relkind) && relation->relam == HEAP_TABLE_AM_OID))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("table \"%s\" cannot be stored in local files", NameStr(relation->relname)),
				 errhint("Only temporary tables are.")));
}

/* Copies the page of a new local file.  Tables have none. */
static void
add_file(CatalogEntry *entry, Form_pg_class row)
{
	Relation	relation = relation_open(row->oid, AccessShareLock);
	BlockNumber blocks = RelationGetNumberOfBlocks(relation);
	EntryFile  *file;
	Buffer		buffer;
	PageHeader	page;

	if (blocks != 1)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("\"%s\" cannot be stored in local files", NameStr(row->relname))));
	file = palloc0(sizeof(EntryFile));
	file->relation = row->oid;
	buffer = ReadBuffer(relation, 0);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	page = (PageHeader) BufferGetPage(buffer);
	file->lower = page->pd_lower;
	file->upper = page->pd_upper;
	memcpy(file->page, page, file->lower);
	memcpy(file->page + file->upper, (char *) page + file->upper, BLCKSZ - file->upper);
	UnlockReleaseBuffer(buffer);
	PageSetLSN(file->page, InvalidXLogRecPtr);
	entry->files = lappend(entry->files, file);
	relation_close(relation, AccessShareLock);
}

static void
add_files(CatalogEntry *entry, const CatalogChanges *changes)
{
	ListCell   *cell;
	ListCell   *row;

	foreach(cell, changes->catalogs)
	{
		CatalogChange *change = lfirst(cell);

		if (change->catalog != RelationRelationId)
			continue;
		foreach(row, change->added)
		{
			Form_pg_class relation = (Form_pg_class) GETSTRUCT((HeapTuple) lfirst(row));

			check_storage(changes, lfirst(row));
			if (RELKIND_HAS_STORAGE(relation->relkind) && !RELKIND_HAS_TABLE_AM(relation->relkind) &&
				has_new_storage(changes, lfirst(row)))
				add_file(entry, relation);
		}
	}
}

/*
 * The strongest lock that this transaction holds and that other statements'
 * locks conflict with.  Weaker ones say that they may go on.
 */
static LOCKMODE
held_mode(Oid relation)
{
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
	for (LOCKMODE mode = AccessExclusiveLock; mode >= ShareLock; mode--)
	{
		if (LockHeldByMe(&tag, mode))
			return mode;
	}
	return NoLock;
}

static void
add_statistics(CatalogEntry *entry, Oid relation_id)
{
	HeapTuple	row = SearchSysCache1(RELOID, ObjectIdGetDatum(relation_id));
	Form_pg_class relation;

	if (!HeapTupleIsValid(row))
		return;
	relation = (Form_pg_class) GETSTRUCT(row);
	if (relation_id >= FirstNormalObjectId && relation->relam != HEAP_TABLE_AM_OID &&
		(relation->relkind == RELKIND_RELATION || relation->relkind == RELKIND_MATVIEW ||
		 relation->relkind == RELKIND_INDEX || relation->relkind == RELKIND_PARTITIONED_TABLE))
	{
		EntryStatistics *statistics = palloc(sizeof(EntryStatistics));

		statistics->relation = relation_id;
		statistics->pages = relation->relpages;
		statistics->tuples = relation->reltuples;
		statistics->all_visible = relation->relallvisible;
		entry->statistics = lappend(entry->statistics, statistics);
	}
	ReleaseSysCache(row);
}

static void
add_invalidated(CatalogEntry *entry, const CatalogChanges *changes)
{
	ListCell   *cell;

	if (changes->all_invalidated)
		entry->relations = lappend(entry->relations, palloc0(sizeof(EntryRelation)));
	foreach(cell, changes->invalidated)
	{
		Oid			relation_id = lfirst_oid(cell);
		EntryRelation *relation;

		/* Nobody else knows a new relation. */
		if (catalog_changes_added(changes, RelationRelationId, relation_id) != NULL &&
			catalog_changes_removed(changes, RelationRelationId, relation_id) == NULL)
			continue;
		relation = palloc(sizeof(EntryRelation));
		relation->relation = relation_id;
		relation->mode = held_mode(relation_id);
		entry->relations = lappend(entry->relations, relation);
		add_statistics(entry, relation_id);
	}
}

static void
add_catalogs(CatalogEntry *entry, const CatalogChanges *changes)
{
	ListCell   *cell;
	ListCell   *row;

	foreach(cell, changes->catalogs)
	{
		CatalogChange *change = lfirst(cell);
		EntryCatalog *rows = palloc0(sizeof(EntryCatalog));
		Relation	catalog = table_open(change->catalog, AccessShareLock);
		CatalogShape shape;

		catalog_shape(catalog, &shape);
		rows->catalog = change->catalog;
		rows->added = change->added;
		foreach(row, change->removed)
		{
			EntryRemoval *removal = palloc(sizeof(EntryRemoval));

			removal->hash = catalog_row_hash(catalog, lfirst(row));
			removal->key = catalog_row_key(catalog, &shape, lfirst(row));
			rows->removed = lappend(rows->removed, removal);
		}
		entry->catalogs = lappend(entry->catalogs, rows);
		table_close(catalog, AccessShareLock);
	}
}

static bool
entry_is_statistics(const CatalogEntry *entry)
{
	ListCell   *cell;

	foreach(cell, entry->catalogs)
	{
		EntryCatalog *catalog = lfirst(cell);

		if (catalog->catalog != StatisticRelationId &&
			catalog->catalog != StatisticExtDataRelationId)
			return false;
	}
	foreach(cell, entry->relations)
	{
		EntryRelation *relation = lfirst(cell);

		if (relation->mode != NoLock || !OidIsValid(relation->relation))
			return false;
	}
	return true;
}

static CatalogEntry *
collect(void)
{
	MemoryContext caller = MemoryContextSwitchTo(TopTransactionContext);
	CatalogEntry *entry = palloc0(sizeof(CatalogEntry));

	if (catalog_changes_possible())
	{
		CatalogChanges *changes = catalog_changes_collect();

		add_files(entry, changes);
		add_invalidated(entry, changes);
		add_catalogs(entry, changes);
		entry->is_statistics = entry_is_statistics(entry);
	}
	MemoryContextSwitchTo(caller);
	return entry;
}

/* ---- the transaction's view ---- */

bool
ddl_log_is_empty(void)
{
	if (!catalog_is_shared() || ddl_is_replaying())
		return true;
	if (collected == NULL)
		collected = collect();
	return collected->catalogs == NIL && collected->statistics == NIL;
}

bool
ddl_log_is_statistics_only(void)
{
	return collected != NULL && collected->is_statistics;
}

uint64
ddl_log_prepare_commit(StringInfo out)
{
	uint64		base = catalog_commit_enter(transaction_schema_version());

	catalog_local_state_write(base + 1, collected->is_statistics ? transaction_schema_version() : base + 1);
	catalog_entry_encode(out, collected);
	return base;
}

void
ddl_log_committed(uint64 catalog_version)
{
	catalog_commit_decided(catalog_version, !collected->is_statistics);
}

void
ddl_log_reset(void)
{
	collected = NULL;
	catalog_changes_reset();
}

void
ddl_check_pinned(void)
{
	if (transaction_has_read_timestamp() &&
		local_schema_version_begun() != transaction_schema_version())
		report_schema_conflict();
}

/* ---- the end of the local transaction ---- */

static void
transaction_ended(XactEvent event, void *unused)
{
	if (!catalog_is_shared() || MyBackendId == InvalidBackendId)
		return;
	if (event == XACT_EVENT_ABORT)
		catalog_commit_leave(false);
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_COMMIT)
	{
		session_set_has_ddl(false);
		session_set_pinned(false);
		catalog_freshness_reset();
	}
}

/*
 * Others may go on with the new version once its rows are visible, their
 * caches have been told, and the locks are free.
 */
static void
resources_released(ResourceReleasePhase phase, bool isCommit, bool isTopLevel, void *unused)
{
	if (phase == RESOURCE_RELEASE_AFTER_LOCKS && isTopLevel && isCommit &&
		catalog_commit_is_entered())
		catalog_commit_leave(true);
}

static void
start_shared_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	catalog_state_startup();
	if (!IsUnderPostmaster)
		object_ids_startup();
}

void
ddl_log_init(void)
{
	/* The server that prepares the seed, or runs tests: its catalogs are its own. */
	if (borealis_run_directory[0] == '\0' || !IsPostmasterEnvironment)
		return;

	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	catalog_state_init();
	object_ids_init();
	dislodge_init();
	lock_conflicts_init();
	reject_init();
	sequence_init();
	ddl_statements_init();
	catalog_freshness_init();
	session_state_init();
	snapshot_export_init();
	catalog_worker_register();
	RegisterXactCallback(transaction_ended, NULL);
	RegisterResourceReleaseCallback(resources_released, NULL);
}
