/*
 * session_statements.c
 *	  See session_statements.h.
 *
 * The server keeps statements of PREPARE and those of the protocol in one table.
 * Here are those of PREPARE only, in their order.
 */
#include "borealis.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "nodes/pg_list.h"
#include "parser/analyze.h"
#include "parser/parser.h"
#include "parser/parse_node.h"
#include "utils/fmgroids.h"
#include "utils/memutils.h"
#include "utils/resowner.h"
#include "utils/snapmgr.h"

#include "pg_patches.h"
#include "session_statements.h"

typedef struct SqlStatement
{
	char	   *name;
	char	   *text;			/* PREPARE and all that follows it */
	bool		is_prepared;
} SqlStatement;

static List *statements = NIL;	/* of SqlStatement, in TopMemoryContext */

static post_parse_analyze_hook_type previous_post_parse_analyze = NULL;
static PGFunction original_prepared_statement;

static SqlStatement *
find_statement(const char *name)
{
	ListCell   *cell;

	foreach(cell, statements)
	{
		SqlStatement *statement = lfirst(cell);

		if (strcmp(statement->name, name) == 0)
			return statement;
	}
	return NULL;
}

static void
forget(SqlStatement *statement)
{
	statements = list_delete_ptr(statements, statement);
	pfree(statement->name);
	pfree(statement->text);
	pfree(statement);
}

static void
remember(const char *name, const char *text, int size, bool is_prepared)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);
	SqlStatement *statement = palloc(sizeof(SqlStatement));

	statement->name = pstrdup(name);
	statement->text = pnstrdup(text, size);
	statement->is_prepared = is_prepared;
	statements = lappend(statements, statement);
	MemoryContextSwitchTo(caller);
}

/* ---- preparing late ---- */

static void
prepare(SqlStatement *statement)
{
	List	   *parsed = raw_parser(statement->text, RAW_PARSE_DEFAULT);
	RawStmt    *raw = list_length(parsed) == 1 ? linitial_node(RawStmt, parsed) : NULL;
	ParseState *state = make_parsestate(NULL);

	if (raw == NULL || !IsA(raw->stmt, PrepareStmt) ||
		strcmp(((PrepareStmt *) raw->stmt)->name, statement->name) != 0)
		state_is_malformed();
	state->p_sourcetext = statement->text;
	PushActiveSnapshot(GetTransactionSnapshot());
	PrepareQuery(state, (PrepareStmt *) raw->stmt, raw->stmt_location, raw->stmt_len);
	PopActiveSnapshot();
	free_parsestate(state);
	statement->is_prepared = true;
}

/*
 * At import.  What fails stays unprepared, to fail again, with the same words,
 * where it is executed.
 */
static void
try_to_prepare(SqlStatement *statement)
{
	MemoryContext caller = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(caller);
	PG_TRY();
	{
		prepare(statement);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		if (geterrcode() == ERRCODE_QUERY_CANCELED)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		statement->is_prepared = false;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(caller);
	CurrentResourceOwner = owner;
}

static void
prepare_by_name(const char *name)
{
	SqlStatement *statement = find_statement(name);

	if (statement != NULL && !statement->is_prepared)
		prepare(statement);
}

/* The name of the prepared statement that a query executes, or NULL. */
static const char *
executed_name(const Query *query)
{
	const Node *utility = query->utilityStmt;

	if (query->commandType != CMD_UTILITY || utility == NULL)
		return NULL;
	switch (nodeTag(utility))
	{
		case T_ExecuteStmt:
			return ((const ExecuteStmt *) utility)->name;
		case T_ExplainStmt:
			return executed_name((const Query *) ((const ExplainStmt *) utility)->query);
		case T_CreateTableAsStmt:
			return executed_name((const Query *) ((const CreateTableAsStmt *) utility)->query);
		default:
			return NULL;
	}
}

static void
post_parse_analyze(ParseState *state, Query *query, JumbleState *jumble)
{
	const char *name = statements == NIL ? NULL : executed_name(query);

	if (name != NULL)
		prepare_by_name(name);
	if (previous_post_parse_analyze)
		previous_post_parse_analyze(state, query, jumble);
}

/* The view pg_prepared_statements. */
static Datum
borealis_prepared_statement(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	foreach(cell, statements)
	{
		SqlStatement *statement = lfirst(cell);

		if (!statement->is_prepared)
			prepare(statement);
	}
	return original_prepared_statement(fcinfo);
}

/* ---- what the session does ---- */

void
session_statements_note_prepare(const PlannedStmt *statement, const char *source)
{
	const char *text = source + Max(statement->stmt_location, 0);
	int			size = statement->stmt_len > 0 ? statement->stmt_len : strlen(text);

	remember(((PrepareStmt *) statement->utilityStmt)->name, text, size, true);
}

void
session_statements_note_deallocate(const char *name)
{
	SqlStatement *statement;

	if (name == NULL)
	{
		while (statements != NIL)
			forget(llast(statements));
		return;
	}
	statement = find_statement(name);
	if (statement != NULL)
		forget(statement);
}

void
session_statements_check_name(const char *name)
{
	SqlStatement *statement = find_statement(name);

	if (statement != NULL && !statement->is_prepared)
		ereport(ERROR,
				(errcode(ERRCODE_DUPLICATE_PSTATEMENT),
				 errmsg("prepared statement \"%s\" already exists", name)));
}

bool
session_statements_forget(const char *name)
{
	SqlStatement *statement = name == NULL ? NULL : find_statement(name);

	if (statement == NULL || statement->is_prepared)
		return false;
	forget(statement);
	return true;
}

/* ---- bytes ---- */

uint32
session_statements_write(StringInfo out)
{
	uint32		count = 0;
	ListCell   *cell;

	foreach(cell, statements)
	{
		SqlStatement *statement = lfirst(cell);

		/* A message of the protocol may have closed it. */
		if (statement->is_prepared && FetchPreparedStatement(statement->name, false) == NULL)
			continue;
		state_write_string(out, statement->name);
		state_write_string(out, statement->text);
		count++;
	}
	return count;
}

void
session_statements_read(StateReader *reader, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		char	   *name = state_read_string(reader);
		char	   *text = state_read_string(reader);

		if (find_statement(name) != NULL)
			state_is_malformed();
		remember(name, text, strlen(text), false);
		try_to_prepare(llast(statements));
		pfree(name);
		pfree(text);
	}
}

void
session_statements_reset(void)
{
	while (statements != NIL)
	{
		SqlStatement *statement = llast(statements);

		if (statement->is_prepared)
			DropPreparedStatement(statement->name, false);
		forget(statement);
	}
}

void
session_statements_init(void)
{
	previous_post_parse_analyze = post_parse_analyze_hook;
	post_parse_analyze_hook = post_parse_analyze;
	pg_patch_builtin(F_PG_PREPARED_STATEMENT, borealis_prepared_statement, &original_prepared_statement);
}
