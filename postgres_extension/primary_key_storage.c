/*
 * primary_key_storage.c
 *	  See primary_key_storage.h.
 *
 * Some ALTER TABLE … TYPE leave an index's contents valid; the server then
 * makes a new index of the old one's file and builds nothing.  Row keys
 * contain the OID of the primary key that they follow, so such a new primary
 * key would find no rows: build it all the same, which moves them.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/xact.h"
#include "catalog/index.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ddl_log.h"
#include "layout.h"
#include "primary_key_storage.h"

static object_access_hook_type previous_object_access = NULL;
static ProcessUtility_hook_type previous_process_utility = NULL;

/* Relations that the running utility statements have created. */
static List *created = NIL;
static int	depth = 0;

static void
note_created(ObjectAccessType access, Oid class, Oid object, int sub_object, void *argument)
{
	if (previous_object_access)
		previous_object_access(access, class, object, sub_object, argument);
	if (access == OAT_POST_CREATE && class == RelationRelationId && sub_object == 0 && depth > 0)
	{
		MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);

		created = lappend_oid(created, object);
		MemoryContextSwitchTo(old);
	}
}

/* Has the primary key taken over another index's file, instead of being built? */
static bool
is_unbuilt_primary_key(Oid oid)
{
	Relation	relation = try_relation_open(oid, AccessShareLock);
	bool		result = false;

	if (relation == NULL)
		return false;
	/* a relation's first file is named after its OID */
	if (relation->rd_rel->relkind == RELKIND_INDEX && index_is_borealis(relation))
		result = index_layout(relation)->holds_rows && relation->rd_locator.relNumber != oid &&
			relation->rd_firstRelfilelocatorSubid == InvalidSubTransactionId;
	relation_close(relation, NoLock);
	return result;
}

static void
build_primary_keys(List *candidates)
{
	ReindexParams parameters = {0};
	ListCell   *cell;

	foreach(cell, candidates)
	{
		Oid			oid = lfirst_oid(cell);

		CommandCounterIncrement();
		if (is_unbuilt_primary_key(oid))
			reindex_index(oid, false, RELPERSISTENCE_PERMANENT, &parameters);
	}
}

static void
run_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	if (previous_process_utility)
		previous_process_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv,
								 dest, qc);
	else
		standard_ProcessUtility(pstmt, queryString, readOnlyTree, context, params, queryEnv,
								dest, qc);
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	List	   *outer = created;

	if (!IsA(pstmt->utilityStmt, AlterTableStmt))
	{
		run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	created = NIL;
	depth++;
	PG_TRY();
	{
		run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		build_primary_keys(created);
	}
	PG_FINALLY();
	{
		depth--;
		created = outer;
	}
	PG_END_TRY();
}

void
primary_key_storage_init(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = note_created;
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
}
