/*
 * planner_support.c
 *	  See planner_support.h.
 */
#include "borealis.h"

#include <math.h>

#include "access/genam.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/plancat.h"
#include "parser/parsetree.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/rel.h"

#include "planner_support.h"
#include "row_handle.h"
#include "transaction.h"

/* Keys that fit an inner page of the map, for the height of the tree. */
#define MAP_FANOUT 100

static get_relation_info_hook_type previous_get_relation_info = NULL;
static set_rel_pathlist_hook_type previous_set_rel_pathlist = NULL;
static ExecutorStart_hook_type previous_executor_start = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;

/* The innermost one that is being executed. */
static const PlannedStmt *running_statement = NULL;

/*
 * The local file of an index is one page, whatever the index holds: tell the
 * planner the size that its entries take.
 */
static void
estimate_index_sizes(PlannerInfo *root, Oid table_oid, bool is_inheritance_parent,
					 RelOptInfo *rel)
{
	ListCell   *cell;

	if (previous_get_relation_info)
		previous_get_relation_info(root, table_oid, is_inheritance_parent, rel);

	foreach(cell, rel->indexlist)
	{
		IndexOptInfo *info = lfirst(cell);
		Relation	index;
		double		width = 0;

		if (info->hypothetical)
			continue;
		index = index_open(info->indexoid, NoLock);
		if (index->rd_rel->relkind == RELKIND_INDEX && index_is_borealis(index))
		{
			info->amcanparallel = false;
			if (index->rd_index->indisprimary)
				info->pages = Max(rel->pages, 1);
			else
			{
				for (int i = 0; i < info->ncolumns; i++)
				{
					Form_pg_attribute attribute = TupleDescAttr(RelationGetDescr(index), i);
					int32		column = attribute->attlen;

					if (column <= 0)
						column = get_typavgwidth(attribute->atttypid, attribute->atttypmod);
					width += column;
				}
				/* columns occur in the key and in the value, with the row's key */
				info->pages = (BlockNumber) Max(1, ceil(info->tuples * (2 * width + 48) / BLCKSZ));
			}
			info->tree_height = info->tuples > 1 ?
				(int) (log(info->tuples) / log(MAP_FANOUT)) : 0;
		}
		index_close(index, NoLock);
	}
}

static bool
is_unique_lookup(const Path *path)
{
	const IndexPath *lookup = (const IndexPath *) path;

	return IsA(path, IndexPath) && path->param_info == NULL && lookup->indexinfo->unique &&
		list_length(lookup->indexclauses) >= lookup->indexinfo->nkeycolumns;
}

/*
 * A lookup by a whole unique key is one seek in the map, whatever the size of
 * the table.  The planner compares pages: for a table of one page it would read
 * all rows.  Those are not cheaper here, and rows that are written all the time
 * have many versions to step over.  So where a condition fixes a unique key,
 * whole scans are no alternative.
 */
static void
prefer_unique_lookups(PlannerInfo *root, RelOptInfo *rel)
{
	Path	   *scan = NULL;
	bool		has_lookup = false;
	ListCell   *cell;

	foreach(cell, rel->pathlist)
	{
		if (((Path *) lfirst(cell))->pathtype == T_SeqScan)
			scan = lfirst(cell);
		else
			has_lookup |= is_unique_lookup(lfirst(cell));
	}
	if (scan == NULL || !relation_has_unique_index_for(root, rel, NIL, NIL, NIL))
		return;
	rel->pathlist = list_delete_ptr(rel->pathlist, scan);
	if (has_lookup)
		return;
	/* the scan was cheaper and has taken its place */
	create_index_paths(root, rel);
	foreach(cell, rel->pathlist)
	{
		if (((Path *) lfirst(cell))->param_info == NULL)
			return;
	}
	/* an index of another collation is of no use, and those for joins are not enough */
	add_path(rel, scan);
}

/*
 * The handles in a bitmap are a process's own, so no bitmap can be shared: among
 * the paths of which each process walks a part, only sequential scans stay.
 */
static void
remove_shared_bitmaps(RelOptInfo *rel)
{
	ListCell   *cell;

	foreach(cell, rel->partial_pathlist)
	{
		if (IsA(lfirst(cell), BitmapHeapPath))
			rel->partial_pathlist = foreach_delete_current(rel->partial_pathlist, cell);
	}
}

static bool
names_row(Node *node, void *index)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		const Var  *var = (const Var *) node;

		return var->varattno == SelfItemPointerAttributeNumber && var->varlevelsup == 0 &&
			var->varno == *(const Index *) index;
	}
	return expression_tree_walker(node, names_row, index);
}

static bool
needs_handles(const RelOptInfo *rel, Index index)
{
	ListCell   *cell;

	if (names_row((Node *) rel->reltarget->exprs, &index))
		return true;
	foreach(cell, rel->baserestrictinfo)
	{
		if (names_row((Node *) ((RestrictInfo *) lfirst(cell))->clause, &index))
			return true;
	}
	return false;
}

/*
 * A query that looks at ctids compares rows by them, or gives them away to those
 * who come back for the rows.  It says so to the executor by a mark that changes
 * nothing else; queries that modify or lock need none.  Handles are a process's
 * own, so the table is not for workers.
 */
static void
keep_handles(PlannerInfo *root, RelOptInfo *rel, Index index)
{
	PlanRowMark *mark;
	ListCell   *cell;

	rel->consider_parallel = false;
	rel->partial_pathlist = NIL;
	foreach(cell, rel->pathlist)
		((Path *) lfirst(cell))->parallel_safe = false;
	if (root->parse->commandType != CMD_SELECT || root->parse->rowMarks != NIL)
		return;

	mark = makeNode(PlanRowMark);
	mark->rti = mark->prti = index;
	mark->rowmarkId = ++root->glob->lastRowMarkId;
	mark->markType = ROW_MARK_REFERENCE;
	mark->allMarkTypes = 1 << ROW_MARK_REFERENCE;
	mark->strength = LCS_NONE;
	mark->waitPolicy = LockWaitBlock;
	root->rowMarks = lappend(root->rowMarks, mark);
}

static void
adjust_paths(PlannerInfo *root, RelOptInfo *rel, Index index, RangeTblEntry *entry)
{
	if (previous_set_rel_pathlist)
		previous_set_rel_pathlist(root, rel, index, entry);
	if (!IS_SIMPLE_REL(rel) || entry->rtekind != RTE_RELATION || entry->inh ||
		entry->tablesample != NULL || !table_is_borealis(entry->relid))
		return;
	prefer_unique_lookups(root, rel);
	remove_shared_bitmaps(rel);
	if (needs_handles(rel, index))
		keep_handles(root, rel, index);
}

/*
 * A plan may be older than what its transaction has written since.  Then its
 * Gather nodes are to run their part in this process, which is what the executor
 * has them do in a query that it has been run before, with or without result.
 */
static void
prepare_for_workers(QueryDesc *query)
{
	if (!query->plannedstmt->parallelModeNeeded || query->already_executed)
		return;
	if (transaction_allows_workers())
		transaction_prepare_for_workers();
	else
		query->already_executed = true;
}

bool
running_statement_changes(Oid table)
{
	ListCell   *cell;

	if (running_statement == NULL)
		return false;
	foreach(cell, running_statement->resultRelations)
	{
		if (rt_fetch(lfirst_int(cell), running_statement->rtable)->relid == table)
			return true;
	}
	foreach(cell, running_statement->rowMarks)
	{
		const PlanRowMark *mark = lfirst(cell);

		if ((mark->markType == ROW_MARK_EXCLUSIVE || mark->markType == ROW_MARK_NOKEYEXCLUSIVE) &&
			rt_fetch(mark->rti, running_statement->rtable)->relid == table)
			return true;
	}
	return false;
}

static bool
comes_back_for_rows(const PlannedStmt *plan)
{
	if (plan->commandType != CMD_SELECT || plan->rowMarks != NIL || plan->hasModifyingCTE)
		return true;
	/* WHERE CURRENT OF may name it */
	return ActivePortal != NULL && ActivePortal->name[0] != '\0';
}

/*
 * WHERE CURRENT OF takes a query with marks for one with FOR UPDATE, and looks for
 * its table among them.  A query that has keep_handles' marks only is none.
 */
static void
start_executor(QueryDesc *query, int flags)
{
	const PlannedStmt *plan = query->plannedstmt;
	ListCell   *cell;

	if (previous_executor_start)
		previous_executor_start(query, flags);
	else
		standard_ExecutorStart(query, flags);

	if (plan->commandType != CMD_SELECT || plan->rowMarks == NIL)
		return;
	foreach(cell, plan->rowMarks)
	{
		if (((PlanRowMark *) lfirst(cell))->markType != ROW_MARK_REFERENCE)
			return;
	}
	query->estate->es_rowmarks = NULL;
}

static void
run_executor(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	bool		outer_kept = row_handles_are_kept;
	const PlannedStmt *outer = running_statement;

	prepare_for_workers(query);
	row_handles_are_kept = comes_back_for_rows(query->plannedstmt);
	running_statement = query->plannedstmt;
	PG_TRY();
	{
		if (previous_executor_run)
			previous_executor_run(query, direction, count, execute_once);
		else
			standard_ExecutorRun(query, direction, count, execute_once);
	}
	PG_FINALLY();
	{
		row_handles_are_kept = outer_kept;
		running_statement = outer;
	}
	PG_END_TRY();
}

/* Modifying CTEs that nobody read to the end are completed here. */
static void
finish_executor(QueryDesc *query)
{
	bool		outer_kept = row_handles_are_kept;
	const PlannedStmt *outer = running_statement;

	row_handles_are_kept = comes_back_for_rows(query->plannedstmt);
	running_statement = query->plannedstmt;
	PG_TRY();
	{
		if (previous_executor_finish)
			previous_executor_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		row_handles_are_kept = outer_kept;
		running_statement = outer;
	}
	PG_END_TRY();
}

void
planner_support_init(void)
{
	previous_get_relation_info = get_relation_info_hook;
	get_relation_info_hook = estimate_index_sizes;
	previous_set_rel_pathlist = set_rel_pathlist_hook;
	set_rel_pathlist_hook = adjust_paths;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = start_executor;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = run_executor;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
}
