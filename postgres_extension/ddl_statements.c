/*
 * ddl_statements.c
 *	  See ddl_statements.h.
 */
#include "borealis.h"

#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "executor/executor.h"
#include "nodes/parsenodes.h"
#include "optimizer/planner.h"
#include "parser/analyze.h"
#include "tcop/tcopprot.h"
#include "tcop/utility.h"
#include "utils/rel.h"

#include "admin_role.h"
#include "async_job.h"
#include "catalog_changes.h"
#include "catalog_state.h"
#include "ddl_log.h"
#include "ddl_statements.h"
#include "dialect.h"
#include "dislodge.h"
#include "iam_mapping.h"
#include "layout.h"
#include "key_codec.h"
#include "object_ids.h"
#include "reject.h"
#include "sequence.h"
#include "session_flags.h"
#include "session_state.h"
#include "snapshot_export.h"
#include "table_turn.h"
#include "transaction.h"
#include "write_set.h"

static ProcessUtility_hook_type previous_process_utility = NULL;
/* Statements under way that is_validating() is true of. */
static int	validating_depth = 0;

static ExecutorStart_hook_type previous_executor_start = NULL;
static planner_hook_type previous_planner = NULL;
static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;

/* The relation that the statement creates, if it creates one by this name. */
static const RangeVar *
created_relation(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_CreateStmt:
			return ((CreateStmt *) statement)->relation;
		case T_CreateSeqStmt:
			return ((CreateSeqStmt *) statement)->sequence;
		case T_CreateTableAsStmt:
			return ((CreateTableAsStmt *) statement)->into->rel;
		case T_ViewStmt:
			return ((ViewStmt *) statement)->view;
		default:
			return NULL;
	}
}

/* May the statement change shared catalogs, or make files? */
static bool
is_ddl(Node *statement)
{
	if (IsA(statement, TruncateStmt) || IsA(statement, ReindexStmt))
		return true;
	return GetCommandLogLevel(statement) == LOGSTMT_DDL;
}

/* Does the statement's outcome depend on all rows that it finds in existing tables? */
static bool
is_validating(Node *statement)
{
	switch (nodeTag(statement))
	{
		case T_AlterTableStmt:
		case T_AlterDomainStmt:
		case T_CreateStmt:		/* a partition: the default one must have none of its rows */
		case T_IndexStmt:
		case T_ReindexStmt:
			return true;
		default:
			return false;
	}
}

/*
 * Rows that others commit between the scan and this transaction's commit would be
 * missing in the new index, the rewritten table or the check of the constraint.
 */
void
ddl_note_scan(Relation table)
{
	StringInfoData key;

	if (likely(validating_depth == 0) || table->rd_createSubid != InvalidSubTransactionId ||
		table->rd_newRelfilelocatorSubid != InvalidSubTransactionId)
		return;
	initStringInfo(&key);
	key_append_prefix(&key, KEY_NAMESPACE_ROW, table->rd_locator.relNumber);
	write_set_lock((uint8 *) key.data, key.len, KEY_LOCK_EXCLUSIVE);
	pfree(key.data);
}

static void
run_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			ProcessUtilityContext context, ParamListInfo params,
			QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	ProcessUtility_hook_type next = previous_process_utility ?
		previous_process_utility : standard_ProcessUtility;

	next(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

/* The statement itself, or what it really is. */
static void
run_statement(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
			  ProcessUtilityContext context, ParamListInfo params,
			  QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc, bool is_iam)
{
	if (is_iam)
		iam_mapping_execute(dialect_read_iam(queryString, pstmt->stmt_location, pstmt->stmt_len), qc);
	else if (async_job_is_call(pstmt->utilityStmt))
		async_job_execute(pstmt, queryString, context, dest, qc);
	else
		run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
}

/* COMMIT and ROLLBACK must work in any state of the transaction. */
static bool
is_end_of_transaction(Node *statement)
{
	return IsA(statement, TransactionStmt) &&
		((TransactionStmt *) statement)->kind != TRANS_STMT_SAVEPOINT &&
		((TransactionStmt *) statement)->kind != TRANS_STMT_RELEASE;
}

/* What a statement needs around it, undone in the opposite order. */
typedef struct StatementScope
{
	bool		is_ddl;
	bool		is_validating;
	char	   *default_access_method;	/* to be put back, or NULL */
	IdentityCopy *copy;
} StatementScope;

/*
 * A transaction that has read already can only hope that what it has read is the
 * same now.
 */
static void
take_turn(Node *statement)
{
	bool		can_move = transaction_has_read_timestamp() && !session_has_ddl(MyBackendId);

	/* who is in the way of the lock is asked to leave */
	session_set_has_ddl(true);
	if (table_turn_take(statement) && can_move)
		(void) transaction_advance(true);
}

static void
enter_scope(StatementScope *scope, Node *statement, bool is_iam)
{
	const RangeVar *created = created_relation(statement);
	bool		is_temporary = created != NULL && is_temporary_creation(created);

	memset(scope, 0, sizeof(*scope));
	if (!IsA(statement, TransactionStmt))
		catalog_changes_may_begin();
	if ((is_iam || is_ddl(statement)) && !is_temporary)
	{
		/*
		 * The catalogs that it changes are those of the transaction's time,
		 * and statistics on their way do not get into its way: neither those
		 * that could not arrive once its turn has locked the table, nor those
		 * that came while it waited for that.
		 */
		ddl_check_pinned();
		catalog_wait_newest();
		if (is_validating(statement))
		{
			take_turn(statement);
			catalog_wait_newest();
		}
		ddl_check_pinned();
		(void) transaction_read_timestamp();
		session_set_has_ddl(true);
		sequence_refresh_for_utility(statement);
		object_ids_enter();
		scope->is_ddl = true;
		scope->is_validating = is_validating(statement);
		if (scope->is_validating)
			validating_depth++;
	}
	if (IsA(statement, VacuumStmt))
		catalog_wait_newest();
	if (IsA(statement, CopyStmt))
		scope->copy = sequence_copy_begin((CopyStmt *) statement);
	if (is_temporary)
	{
		scope->default_access_method = default_table_access_method;
		default_table_access_method = LOCAL_ACCESS_METHOD;
	}
	session_command_enter();
}

static void
leave_scope(StatementScope *scope, bool is_successful, const QueryCompletion *completion)
{
	session_command_leave();
	if (scope->is_validating)
		validating_depth--;
	if (scope->default_access_method != NULL)
		default_table_access_method = scope->default_access_method;
	if (scope->copy != NULL)
		sequence_copy_end(scope->copy, is_successful,
						  completion != NULL ? completion->nprocessed : 0);
	if (scope->is_ddl && is_successful)
		object_ids_leave();
	else if (scope->is_ddl)
		object_ids_abandon();
}

static void
process_utility(PlannedStmt *pstmt, const char *queryString, bool readOnlyTree,
				ProcessUtilityContext context, ParamListInfo params,
				QueryEnvironment *queryEnv, DestReceiver *dest, QueryCompletion *qc)
{
	Node	   *statement = pstmt->utilityStmt;
	StatementScope scope;
	bool		is_iam;

	if (!catalog_is_shared())
	{
		run_utility(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc);
		return;
	}

	if (IsA(statement, TransactionStmt) && ((TransactionStmt *) statement)->kind == TRANS_STMT_COMMIT)
		dislodge_check_commit();
	/* It may wait, for a lock or for its turn at a table, and must see what it has waited for. */
	if (!IsA(statement, TransactionStmt))
		transaction_forget_arrival();
	reject_utility(statement);
	admin_role_reject(statement);
	if (!is_end_of_transaction(statement))
	{
		ddl_check_pinned();
		key_codec_check_alter_type(statement);
	}
	if (session_state_takes(statement, qc) ||
		snapshot_import_takes(statement, context == PROCESS_UTILITY_TOPLEVEL))
		return;
	is_iam = IsA(statement, DoStmt) &&
		dialect_kind(statement, queryString, pstmt->stmt_location) != DIALECT_NONE;
	enter_scope(&scope, statement, is_iam);
	PG_TRY();
	{
		run_statement(pstmt, queryString, readOnlyTree, context, params, queryEnv, dest, qc, is_iam);
	}
	PG_CATCH();
	{
		leave_scope(&scope, false, NULL);
		PG_RE_THROW();
	}
	PG_END_TRY();
	leave_scope(&scope, true, qc);
	session_state_note_utility(pstmt, queryString);

	if (IsA(statement, DiscardStmt) &&
		(((DiscardStmt *) statement)->target == DISCARD_ALL ||
		 ((DiscardStmt *) statement)->target == DISCARD_SEQUENCES))
		sequence_discard();
}

static void
executor_start(QueryDesc *queryDesc, int eflags)
{
	if (catalog_is_shared() && !ddl_is_replaying())
	{
		ddl_check_pinned();
		sequence_refresh_for_plan(queryDesc->plannedstmt);
	}
	if (previous_executor_start)
		previous_executor_start(queryDesc, eflags);
	else
		standard_ExecutorStart(queryDesc, eflags);
}

static PlannedStmt *
plan(Query *parse, const char *query_string, int cursorOptions, ParamListInfo boundParams)
{
	/* spares the planner work; whether workers are started is decided when the query runs */
	if (!catalog_is_shared() || !transaction_allows_workers())
		cursorOptions &= ~CURSOR_OPT_PARALLEL_OK;
	if (catalog_is_shared())
		sequence_replace_identity(parse);
	if (previous_planner)
		return previous_planner(parse, query_string, cursorOptions, boundParams);
	return standard_planner(parse, query_string, cursorOptions, boundParams);
}

/* What is not in the grammar is told by the client's own text; functions cannot say it. */
static void
post_parse_analyze(ParseState *state, Query *query, JumbleState *jumble)
{
	if (query->commandType == CMD_UTILITY && state->p_sourcetext == debug_query_string &&
		catalog_is_shared())
	{
		switch (dialect_kind(query->utilityStmt, state->p_sourcetext, query->stmt_location))
		{
			case DIALECT_IAM_GRANT:
			case DIALECT_IAM_REVOKE:
				(void) dialect_read_iam(state->p_sourcetext, query->stmt_location, query->stmt_len);
				break;
			case DIALECT_ASYNC_JOB:
				query->utilityStmt = async_job_call(query->utilityStmt);
				break;
			case DIALECT_NONE:
				break;
		}
	}
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(state, query, jumble);
}

void
ddl_statements_init(void)
{
	previous_process_utility = ProcessUtility_hook;
	ProcessUtility_hook = process_utility;
	previous_executor_start = ExecutorStart_hook;
	ExecutorStart_hook = executor_start;
	previous_planner = planner_hook;
	planner_hook = plan;
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = post_parse_analyze;
	async_job_init();
}
