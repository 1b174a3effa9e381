/*
 * async_job.c
 *	  See async_job.h.
 */
#include "borealis.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "commands/seclabel.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "parser/parse_func.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "async_job.h"

#define JOB_PROVIDER "borealis job"
#define PROCEDURE_SCHEMA "sys"
#define PROCEDURE_NAME "start_job"

#define JOB_ID_SIZE 26
#define JOB_ID_DIGITS "abcdefghijklmnopqrstuvwxyz234567"

/* The first relation that the statement under way has made: the index. */
static bool is_building = false;
static Oid	built = InvalidOid;

static object_access_hook_type previous_object_access = NULL;

static void
object_access(ObjectAccessType access, Oid class_id, Oid object_id, int column, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, class_id, object_id, column, arg);
	if (is_building && !OidIsValid(built) && access == OAT_POST_CREATE &&
		class_id == RelationRelationId && column == 0)
		built = object_id;
}

/* ---- the call ---- */

static Oid
find_procedure(void)
{
	ObjectWithArgs *name = makeNode(ObjectWithArgs);

	name->objname = list_make2(makeString(PROCEDURE_SCHEMA), makeString(PROCEDURE_NAME));
	name->args_unspecified = true;
	return LookupFuncWithArgs(OBJECT_PROCEDURE, name, false);
}

/* The only command that ALTER TABLE ASYNC may have. */
static const AlterTableCmd *
validation(const AlterTableStmt *statement)
{
	const AlterTableCmd *command = linitial_node(AlterTableCmd, statement->cmds);

	if (list_length(statement->cmds) != 1 || command->subtype != AT_ValidateConstraint)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ALTER TABLE ASYNC can only validate a constraint")));
	return command;
}

Node *
async_job_call(Node *statement)
{
	CallStmt   *call = makeNode(CallStmt);

	if (IsA(statement, AlterTableStmt))
		(void) validation((const AlterTableStmt *) statement);

	call->funccall = makeFuncCall(list_make1(makeString(PROCEDURE_NAME)), list_make1(statement),
								  COERCE_EXPLICIT_CALL, -1);
	call->funcexpr = makeFuncExpr(find_procedure(), RECORDOID, NIL, InvalidOid, InvalidOid,
								  COERCE_EXPLICIT_CALL);
	call->outargs = list_make1(makeNullConst(TEXTOID, -1, DEFAULT_COLLATION_OID));
	return (Node *) call;
}

static Node *
held_statement(const Node *statement)
{
	const CallStmt *call = (const CallStmt *) statement;

	Node	   *held;

	if (!IsA(statement, CallStmt) || list_length(call->funccall->args) != 1)
		return NULL;
	held = linitial(call->funccall->args);
	return IsA(held, IndexStmt) || IsA(held, AlterTableStmt) ? held : NULL;
}

bool
async_job_is_call(const Node *statement)
{
	return held_statement(statement) != NULL;
}

/* ---- carrying it out ---- */

static void
run(const PlannedStmt *call, const char *source, ProcessUtilityContext context)
{
	PlannedStmt *wrapper = makeNode(PlannedStmt);

	wrapper->commandType = CMD_UTILITY;
	wrapper->canSetTag = false;
	wrapper->utilityStmt = copyObject(held_statement(call->utilityStmt));
	wrapper->stmt_location = call->stmt_location;
	wrapper->stmt_len = call->stmt_len;
	ProcessUtility(wrapper, source, false, context, NULL, NULL, None_Receiver, NULL);
}

/* What the job was about; its OID is invalid if there was nothing to do. */
static ObjectAddress
build_index(const PlannedStmt *call, const char *source, ProcessUtilityContext context)
{
	ObjectAddress index = {RelationRelationId};

	built = InvalidOid;
	is_building = true;
	PG_TRY();
	{
		run(call, source, context);
	}
	PG_FINALLY();
	{
		is_building = false;
	}
	PG_END_TRY();
	index.objectId = built;
	return index;
}

static ObjectAddress
validate_constraint(const PlannedStmt *call, const char *source, ProcessUtilityContext context)
{
	const AlterTableStmt *statement = (const AlterTableStmt *) held_statement(call->utilityStmt);
	ObjectAddress constraint = {ConstraintRelationId};
	Oid			table;

	run(call, source, context);
	table = RangeVarGetRelid(statement->relation, NoLock, statement->missing_ok);
	if (OidIsValid(table))
		constraint.objectId = get_relation_constraint_oid(table, validation(statement)->name, false);
	return constraint;
}

static char *
make_job_id(void)
{
	char	   *id = palloc(JOB_ID_SIZE + 1);
	uint8		random[JOB_ID_SIZE];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not obtain random data")));
	for (int i = 0; i < JOB_ID_SIZE; i++)
		id[i] = JOB_ID_DIGITS[random[i] % strlen(JOB_ID_DIGITS)];
	id[JOB_ID_SIZE] = '\0';
	return id;
}

static void
record_job(const ObjectAddress *subject, const char *id, TimestampTz started)
{
	TimestampTz ended = GetCurrentTimestamp();

	CommandCounterIncrement();
	SetSecurityLabel(subject, JOB_PROVIDER,
					 psprintf("%s %lld %lld", id, (long long) started, (long long) ended));
}

static void
send_job_id(const PlannedStmt *call, const char *id, DestReceiver *dest)
{
	TupleDesc	descriptor = CallStmtResultDesc((CallStmt *) call->utilityStmt);
	TupOutputState *output = begin_tup_output_tupdesc(dest, descriptor, &TTSOpsVirtual);
	Datum		value = CStringGetTextDatum(id);
	bool		is_null = false;

	do_tup_output(output, &value, &is_null);
	end_tup_output(output);
}

void
async_job_execute(const PlannedStmt *call, const char *source, ProcessUtilityContext context,
					DestReceiver *dest, QueryCompletion *completion)
{
	TimestampTz started = GetCurrentTimestamp();
	bool		is_index = IsA(held_statement(call->utilityStmt), IndexStmt);
	ObjectAddress subject = is_index ? build_index(call, source, context) :
		validate_constraint(call, source, context);
	char	   *id = make_job_id();

	/* IF [NOT] EXISTS may leave nothing to do. */
	if (OidIsValid(subject.objectId))
	{
		record_job(&subject, id, started);
		send_job_id(call, id, dest);
	}
	if (completion != NULL)
		SetQueryCompletion(completion, is_index ? CMDTAG_CREATE_INDEX : CMDTAG_ALTER_TABLE, 0);
}

void
async_job_init(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}
