/*
 * planner_support.c
 *	  See planner_support.h.
 */
#include "borealis.h"

#include <math.h>

#include "access/genam.h"
#include "executor/executor.h"
#include "optimizer/plancat.h"
#include "tcop/pquery.h"
#include "utils/lsyscache.h"
#include "utils/portal.h"
#include "utils/rel.h"

#include "planner_support.h"
#include "row_handle.h"

/* Keys that fit an inner page of the map, for the height of the tree. */
#define MAP_FANOUT 100

static get_relation_info_hook_type previous_get_relation_info = NULL;
static ExecutorRun_hook_type previous_executor_run = NULL;
static ExecutorFinish_hook_type previous_executor_finish = NULL;

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
comes_back_for_rows(const QueryDesc *query)
{
	const PlannedStmt *plan = query->plannedstmt;

	if (plan->commandType != CMD_SELECT || plan->rowMarks != NIL || plan->hasModifyingCTE)
		return true;
	/* WHERE CURRENT OF may name it */
	return ActivePortal != NULL && ActivePortal->name[0] != '\0';
}

static void
run_executor(QueryDesc *query, ScanDirection direction, uint64 count, bool execute_once)
{
	bool		outer = row_handles_are_kept;

	row_handles_are_kept = comes_back_for_rows(query);
	PG_TRY();
	{
		if (previous_executor_run)
			previous_executor_run(query, direction, count, execute_once);
		else
			standard_ExecutorRun(query, direction, count, execute_once);
	}
	PG_FINALLY();
	{
		row_handles_are_kept = outer;
	}
	PG_END_TRY();
}

/* Modifying CTEs that nobody read to the end are completed here. */
static void
finish_executor(QueryDesc *query)
{
	bool		outer = row_handles_are_kept;

	row_handles_are_kept = comes_back_for_rows(query);
	PG_TRY();
	{
		if (previous_executor_finish)
			previous_executor_finish(query);
		else
			standard_ExecutorFinish(query);
	}
	PG_FINALLY();
	{
		row_handles_are_kept = outer;
	}
	PG_END_TRY();
}

void
planner_support_init(void)
{
	previous_get_relation_info = get_relation_info_hook;
	get_relation_info_hook = estimate_index_sizes;
	previous_executor_run = ExecutorRun_hook;
	ExecutorRun_hook = run_executor;
	previous_executor_finish = ExecutorFinish_hook;
	ExecutorFinish_hook = finish_executor;
}
