/*
 * reject.c
 *	  See reject.h.
 *
 * Statements are refused by what they say, functions by taking the place of the
 * built-in ones, and indexes and tables by what has been created, since many
 * statements can create them.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_index.h"
#include "commands/defrem.h"
#include "commands/extension.h"
#include "fmgr.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "catalog_state.h"
#include "ddl_log.h"
#include "pg_patches.h"
#include "reject.h"

#define ONE_DATABASE_HINT "A cluster has one database. Make another cluster, or use schemas."
#define SHARED_STORAGE_HINT "All tables of a cluster share its storage."
#define NO_NOTIFY_HINT "Sessions are spread over instances. Poll a table instead."
#define NO_CONCURRENTLY_HINT "Leave CONCURRENTLY out: sessions never wait for each other's rows here."

static object_access_hook_type previous_object_access = NULL;

static void pg_attribute_noreturn()
refuse(const char *message, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("%s", message),
			 errhint("%s", hint)));
}

/* ---- statements ---- */

bool
is_temporary_creation(const RangeVar *relation)
{
	if (relation->relpersistence == RELPERSISTENCE_TEMP)
		return true;
	if (relation->schemaname != NULL)
		return strcmp(relation->schemaname, "pg_temp") == 0;
	return isTempNamespace(RangeVarGetCreationNamespace(relation));
}

/* An existing relation; what does not exist is somebody else's error. */
static bool
is_temporary_relation(const RangeVar *relation)
{
	Oid			relation_id = RangeVarGetRelid(relation, NoLock, true);

	return OidIsValid(relation_id) && get_rel_persistence(relation_id) == RELPERSISTENCE_TEMP;
}

/* DROP INDEX CONCURRENTLY names one index, or Postgres refuses it. */
static bool
drops_temporary(DropStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->objects)
	{
		if (!is_temporary_relation(makeRangeVarFromNameList(lfirst(cell))))
			return false;
	}
	return true;
}

static bool
vacuums_temporary(VacuumStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->rels)
	{
		RangeVar   *relation = lfirst_node(VacuumRelation, cell)->relation;

		if (relation == NULL || !is_temporary_relation(relation))
			return false;
	}
	return statement->rels != NIL;
}

static bool
has_option(List *options, const char *name)
{
	ListCell   *cell;

	foreach(cell, options)
	{
		DefElem    *option = lfirst(cell);

		if (strcmp(option->defname, name) == 0)
			return defGetBoolean(option);
	}
	return false;
}

static void
reject_transaction(TransactionStmt *statement)
{
	switch (statement->kind)
	{
		case TRANS_STMT_PREPARE:
		case TRANS_STMT_COMMIT_PREPARED:
		case TRANS_STMT_ROLLBACK_PREPARED:
			refuse("PREPARE TRANSACTION is not supported", "Commit with COMMIT.");
		default:
			break;
	}
}

static void
reject_lock(LockStmt *statement)
{
	ListCell   *cell;

	if (statement->mode <= RowExclusiveLock)
		return;
	foreach(cell, statement->relations)
	{
		if (!is_temporary_relation(lfirst(cell)))
			refuse("LOCK TABLE in a mode stronger than ROW EXCLUSIVE is not supported",
				   "Conflicts are found at COMMIT: retry transactions that fail with SQLSTATE 40001, "
				   "and lock rows with SELECT FOR UPDATE.");
	}
}

static void
reject_alter_table(AlterTableStmt *statement)
{
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableCmd *command = lfirst(cell);

		switch (command->subtype)
		{
			case AT_SetAccessMethod:
				refuse("ALTER TABLE SET ACCESS METHOD is not supported", SHARED_STORAGE_HINT);
			case AT_SetTableSpace:
				refuse("ALTER TABLE SET TABLESPACE is not supported", SHARED_STORAGE_HINT);
			case AT_DetachPartition:
				if (((PartitionCmd *) command->def)->concurrent)
					refuse("DETACH PARTITION CONCURRENTLY is not supported", NO_CONCURRENTLY_HINT);
				break;
			default:
				break;
		}
	}
}

static void
reject_reindex(ReindexStmt *statement)
{
	if (has_option(statement->params, "concurrently") &&
		(statement->relation == NULL || !is_temporary_relation(statement->relation)))
		refuse("REINDEX CONCURRENTLY is not supported", NO_CONCURRENTLY_HINT);
	if (statement->kind == REINDEX_OBJECT_SYSTEM)
		refuse("REINDEX SYSTEM is not supported", "System catalogs are disposable: a new instance gets new ones.");
	if (statement->relation != NULL)
	{
		Oid			relation = RangeVarGetRelid(statement->relation, NoLock, true);

		if (OidIsValid(relation) && relation < FirstNormalObjectId)
			refuse("REINDEX of a system catalog is not supported",
				   "System catalogs are disposable: a new instance gets new ones.");
	}
}

void
reject_utility(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_TransactionStmt:
			reject_transaction((TransactionStmt *) statement);
			break;
		case T_LockStmt:
			reject_lock((LockStmt *) statement);
			break;
		case T_AlterTableStmt:
			reject_alter_table((AlterTableStmt *) statement);
			break;
		case T_ReindexStmt:
			reject_reindex((ReindexStmt *) statement);
			break;
		case T_IndexStmt:
			if (((IndexStmt *) statement)->concurrent &&
				!is_temporary_relation(((IndexStmt *) statement)->relation))
				refuse("CREATE INDEX CONCURRENTLY is not supported", NO_CONCURRENTLY_HINT);
			break;
		case T_DropStmt:
			if (((DropStmt *) statement)->concurrent && !drops_temporary((DropStmt *) statement))
				refuse("DROP INDEX CONCURRENTLY is not supported", NO_CONCURRENTLY_HINT);
			break;
		case T_RefreshMatViewStmt:
			if (((RefreshMatViewStmt *) statement)->concurrent)
				refuse("REFRESH MATERIALIZED VIEW CONCURRENTLY is not supported", NO_CONCURRENTLY_HINT);
			break;
		case T_VacuumStmt:
			if (has_option(((VacuumStmt *) statement)->options, "full") &&
				!vacuums_temporary((VacuumStmt *) statement))
				refuse("VACUUM FULL is not supported", "Old versions are collected automatically.");
			break;
		case T_ClusterStmt:
			if (((ClusterStmt *) statement)->relation == NULL ||
				!is_temporary_relation(((ClusterStmt *) statement)->relation))
				refuse("CLUSTER is not supported", "Tables are always stored in primary key order.");
			break;
		case T_ListenStmt:
			refuse("LISTEN is not supported", NO_NOTIFY_HINT);
		case T_NotifyStmt:
			refuse("NOTIFY is not supported", NO_NOTIFY_HINT);
		case T_AlterSystemStmt:
			refuse("ALTER SYSTEM is not supported", "Use ALTER ROLE SET or ALTER DATABASE SET.");
		case T_CreatedbStmt:
			refuse("CREATE DATABASE is not supported", ONE_DATABASE_HINT);
		case T_DropdbStmt:
			refuse("DROP DATABASE is not supported", ONE_DATABASE_HINT);
		case T_CreateTableSpaceStmt:
		case T_DropTableSpaceStmt:
		case T_AlterTableSpaceOptionsStmt:
		case T_AlterTableMoveAllStmt:
			refuse("tablespaces are not supported", SHARED_STORAGE_HINT);
		case T_CreateAmStmt:
			/* an extension may bring its own, for temporary tables */
			if (!creating_extension || ((CreateAmStmt *) statement)->amtype != AMTYPE_INDEX)
				refuse("CREATE ACCESS METHOD is not supported", SHARED_STORAGE_HINT);
			break;
		case T_CreateSubscriptionStmt:
		case T_AlterSubscriptionStmt:
		case T_DropSubscriptionStmt:
			refuse("logical replication is not supported",
				   "Instances have no write-ahead log to replicate from or to.");
		default:
			break;
	}
}

/* ---- functions ---- */

static Datum
refuse_large_objects(PG_FUNCTION_ARGS)
{
	refuse("large objects are not supported", "Store large values in bytea columns.");
}

static Datum
refuse_notify(PG_FUNCTION_ARGS)
{
	refuse("pg_notify is not supported", NO_NOTIFY_HINT);
}

static Datum
refuse_advisory_locks(PG_FUNCTION_ARGS)
{
	refuse("advisory locks are not supported",
		   "They would hold on one instance only. Lock a row with SELECT FOR UPDATE: "
		   "of two transactions that lock it, one fails at COMMIT with SQLSTATE 40001.");
}

static const struct
{
	Oid			function;
	PGFunction	refusal;
}			refused_functions[] = {
	{F_LO_CREAT, refuse_large_objects},
	{F_LO_CREATE, refuse_large_objects},
	{F_LO_IMPORT_TEXT, refuse_large_objects},
	{F_LO_IMPORT_TEXT_OID, refuse_large_objects},
	{F_LO_EXPORT, refuse_large_objects},
	{F_LO_OPEN, refuse_large_objects},
	{F_LO_UNLINK, refuse_large_objects},
	{F_LO_FROM_BYTEA, refuse_large_objects},
	{F_LO_GET_OID, refuse_large_objects},
	{F_LO_GET_OID_INT8_INT4, refuse_large_objects},
	{F_LO_PUT, refuse_large_objects},
	{F_PG_NOTIFY, refuse_notify},
	{F_PG_ADVISORY_LOCK_INT8, refuse_advisory_locks},
	{F_PG_ADVISORY_LOCK_SHARED_INT8, refuse_advisory_locks},
	{F_PG_ADVISORY_LOCK_INT4_INT4, refuse_advisory_locks},
	{F_PG_ADVISORY_LOCK_SHARED_INT4_INT4, refuse_advisory_locks},
	{F_PG_ADVISORY_XACT_LOCK_INT8, refuse_advisory_locks},
	{F_PG_ADVISORY_XACT_LOCK_SHARED_INT8, refuse_advisory_locks},
	{F_PG_ADVISORY_XACT_LOCK_INT4_INT4, refuse_advisory_locks},
	{F_PG_ADVISORY_XACT_LOCK_SHARED_INT4_INT4, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_LOCK_INT8, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_LOCK_SHARED_INT8, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_LOCK_INT4_INT4, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_LOCK_SHARED_INT4_INT4, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_XACT_LOCK_INT8, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_XACT_LOCK_SHARED_INT8, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_XACT_LOCK_INT4_INT4, refuse_advisory_locks},
	{F_PG_TRY_ADVISORY_XACT_LOCK_SHARED_INT4_INT4, refuse_advisory_locks},
};

/* ---- settings ---- */

/*
 * One level of isolation: the weaker ones are given more than they ask for, the
 * stronger one cannot be had.
 */
static bool
check_isolation(int *level)
{
	if (*level == XACT_SERIALIZABLE)
	{
		GUC_check_errcode(ERRCODE_FEATURE_NOT_SUPPORTED);
		GUC_check_errmsg("isolation level SERIALIZABLE is not supported");
		GUC_check_errhint("Use REPEATABLE READ, and SELECT FOR UPDATE for rows that a decision depends on.");
		return false;
	}
	*level = XACT_REPEATABLE_READ;
	return true;
}

static GucEnumCheckHook original_check_isolation = NULL;

static bool
check_transaction_isolation(int *level, void **extra, GucSource source)
{
	return check_isolation(level) &&
		(original_check_isolation == NULL || original_check_isolation(level, extra, source));
}

static bool
check_default_isolation(int *level, void **extra, GucSource source)
{
	return check_isolation(level);
}

/*
 * Dumps of PostgreSQL set "heap", to say nothing special.  USING heap is refused
 * all the same.
 */
static GucStringCheckHook original_check_access_method = NULL;

static bool
check_default_access_method(char **name, void **extra, GucSource source)
{
	if (strcmp(*name, LOCAL_ACCESS_METHOD) == 0 && catalog_is_shared())
	{
		char	   *ours = guc_strdup(LOG, TABLE_ACCESS_METHOD);

		if (ours == NULL)
			return false;
		guc_free(*name);
		*name = ours;
	}
	return original_check_access_method(name, extra, source);
}

static void
take_over_access_method(void)
{
	struct config_string *setting = (struct config_string *)
		find_option("default_table_access_method", false, false, FATAL);

	original_check_access_method = setting->check_hook;
	setting->check_hook = check_default_access_method;
}

static struct config_enum *
find_enum_setting(const char *name)
{
	return (struct config_enum *) find_option(name, false, false, FATAL);
}

static void
take_over_isolation(void)
{
	struct config_enum *setting = find_enum_setting("transaction_isolation");

	original_check_isolation = setting->check_hook;
	setting->check_hook = check_transaction_isolation;
	find_enum_setting("default_transaction_isolation")->check_hook = check_default_isolation;
	SetConfigOption("default_transaction_isolation", "repeatable read",
					PGC_POSTMASTER, PGC_S_DYNAMIC_DEFAULT);
}

/* ---- what has been created ---- */

/* The row of a relation that is not yet visible to this command. */
static HeapTuple
fetch_new_row(Relation catalog, Oid index, AttrNumber column, Oid object_id)
{
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&key, column, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(catalog, index, true, SnapshotSelf, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		row = heap_copytuple(row);
	systable_endscan(scan);
	return row;
}

static void
reject_index(Oid index_id, Oid access_method)
{
	Relation	catalog = table_open(IndexRelationId, AccessShareLock);
	HeapTuple	row = fetch_new_row(catalog, IndexRelidIndexId, Anum_pg_index_indexrelid, index_id);
	bool		is_exclusion = HeapTupleIsValid(row) &&
		((Form_pg_index) GETSTRUCT(row))->indisexclusion;

	table_close(catalog, AccessShareLock);
	if (is_exclusion)
		refuse("exclusion constraints are not supported", "Use a unique constraint, or a temporary table.");
	if (access_method != BTREE_AM_OID)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("access method \"%s\" is not supported for indexes", get_am_name(access_method)),
				 errhint("Use btree.")));
}

static void
reject_relation(Form_pg_class relation)
{
	bool		is_temporary = relation->relpersistence == RELPERSISTENCE_TEMP;

	if (relation->relkind == RELKIND_INDEX || relation->relkind == RELKIND_PARTITIONED_INDEX)
	{
		if (!is_temporary)
			reject_index(relation->oid, relation->relam);
	}
	else if (RELKIND_HAS_TABLE_AM(relation->relkind) && relation->relkind != RELKIND_TOASTVALUE)
	{
		if (is_temporary && relation->relam != HEAP_TABLE_AM_OID)
			refuse("access methods of temporary tables are not supported",
				   "Leave USING out: temporary tables are local.");
		if (!is_temporary && relation->relam == HEAP_TABLE_AM_OID)
			refuse("access method \"heap\" is not supported for permanent tables",
				   "Leave USING out: all tables of a cluster share its storage.");
	}
}

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int column, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, column, arg);
	if (access == OAT_POST_CREATE && class_id == RelationRelationId && column == 0 &&
		catalog_is_shared() && !ddl_is_replaying())
	{
		Relation	catalog = table_open(RelationRelationId, AccessShareLock);
		HeapTuple	row = fetch_new_row(catalog, ClassOidIndexId, Anum_pg_class_oid, object_id);

		table_close(catalog, AccessShareLock);
		if (HeapTupleIsValid(row))
			reject_relation((Form_pg_class) GETSTRUCT(row));
	}
}

void
reject_init(void)
{
	for (int i = 0; i < lengthof(refused_functions); i++)
		pg_patch_builtin(refused_functions[i].function, refused_functions[i].refusal, NULL);
	take_over_isolation();
	take_over_access_method();
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}
