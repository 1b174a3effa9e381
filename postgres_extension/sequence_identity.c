/*
 * sequence_identity.c
 *	  See sequence.h.
 *
 * The server has an expression of its own for an identity column's value
 * (NextValueExpr), which draws from the local sequence directly.  Before planning
 * it becomes a call of nextval(), marked as one that needs no privileges on the
 * sequence.  The mark is a function call format that no SQL gives to nextval();
 * EXPLAIN shows the same text for both.
 *
 * COPY FROM makes the expression itself, from the description of the table in
 * the relation cache.  While it runs, that description says that the identity
 * column has a default.  Should the description be replaced before COPY has read
 * it, values would come from the local sequence: then COPY fails.
 *
 * ALTER TABLE ADD COLUMN ... IDENTITY is left alone: the sequence is new, and its
 * local tuple is where the cluster goes on.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/tupdesc.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "catalog_state.h"
#include "sequence.h"

#define IDENTITY_MARK COERCE_SQL_SYNTAX

/* ---- calls instead of expressions ---- */

/*
 * The call is said to return the column's type.  An integer that fits a smaller
 * type is the same Datum in both, and the sequence's limits make it fit.
 */
static FuncExpr *
make_call(Oid sequence, Oid type)
{
	Const	   *argument = makeConst(REGCLASSOID, -1, InvalidOid, sizeof(Oid),
									 ObjectIdGetDatum(sequence), false, true);

	return makeFuncExpr(F_NEXTVAL, type, list_make1(argument), InvalidOid, InvalidOid, IDENTITY_MARK);
}

static bool
has_identity(Node *node, void *unused)
{
	if (node == NULL)
		return false;
	if (IsA(node, NextValueExpr))
		return true;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, has_identity, NULL, 0);
	return expression_tree_walker(node, has_identity, NULL);
}

static Node *
replace_identity(Node *node, void *unused)
{
	if (node == NULL)
		return NULL;
	if (IsA(node, NextValueExpr))
		return (Node *) make_call(((NextValueExpr *) node)->seqid, ((NextValueExpr *) node)->typeId);
	if (IsA(node, Query))
		return (Node *) query_tree_mutator((Query *) node, replace_identity, NULL, 0);
	return expression_tree_mutator(node, replace_identity, NULL);
}

void
sequence_replace_identity(Query *query)
{
	if (query->commandType == CMD_SELECT && !query->hasModifyingCTE)
		return;
	if (has_identity((Node *) query, NULL))
		(void) query_tree_mutator(query, replace_identity, NULL, QTW_DONT_COPY_QUERY);
}

bool
sequence_call_is_identity(FunctionCallInfo fcinfo)
{
	Node	   *call = fcinfo->flinfo->fn_expr;

	return call != NULL && IsA(call, FuncExpr) && ((FuncExpr *) call)->funcformat == IDENTITY_MARK;
}

/* ---- COPY FROM ---- */

struct IdentityCopy
{
	IdentityCopy *outer;		/* COPY in a trigger of COPY */
	Relation	table;
	TupleDesc	descriptor;
	uint16		num_defval;		/* as they were */
	AttrDefault *defval;
	char	   *identity;		/* by column */
	bool		is_required;	/* some column is not in the statement's list */
	uint64		calls;
};

static IdentityCopy *current_copy = NULL;

void
sequence_note_identity_call(Oid sequence)
{
	if (current_copy != NULL)
		current_copy->calls++;
}

static bool
is_listed(List *columns, const char *name)
{
	ListCell   *cell;

	if (columns == NIL)
		return true;
	foreach(cell, columns)
	{
		if (strcmp(strVal(lfirst(cell)), name) == 0)
			return true;
	}
	return false;
}

static void
make_default(IdentityCopy *copy, Form_pg_attribute column)
{
	TupleConstr *constraints = copy->descriptor->constr;
	Oid			sequence = getIdentitySequence(RelationGetRelid(copy->table), column->attnum, false);
	AttrDefault *added = &constraints->defval[constraints->num_defval++];

	added->adnum = column->attnum;
	added->adbin = nodeToString(make_call(sequence, column->atttypid));
	copy->identity[column->attnum - 1] = column->attidentity;
	column->attidentity = '\0';
	column->atthasdef = true;
}

static bool
has_identity_columns(TupleDesc descriptor)
{
	for (int i = 0; i < descriptor->natts; i++)
	{
		if (TupleDescAttr(descriptor, i)->attidentity != '\0')
			return true;
	}
	return false;
}

static IdentityCopy *
begin_on(Relation table, List *columns)
{
	TupleDesc	descriptor = RelationGetDescr(table);
	TupleConstr *constraints = descriptor->constr;
	IdentityCopy *copy = palloc0(sizeof(IdentityCopy));

	copy->table = table;
	copy->descriptor = descriptor;
	copy->identity = palloc0(descriptor->natts);
	copy->num_defval = constraints->num_defval;
	copy->defval = constraints->defval;
	constraints->defval = palloc((constraints->num_defval + descriptor->natts) * sizeof(AttrDefault));
	memcpy(constraints->defval, copy->defval, copy->num_defval * sizeof(AttrDefault));
	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(descriptor, i);

		if (column->attidentity == '\0')
			continue;
		if (!is_listed(columns, NameStr(column->attname)))
			copy->is_required = true;
		make_default(copy, column);
	}
	copy->outer = current_copy;
	current_copy = copy;
	return copy;
}

IdentityCopy *
sequence_copy_begin(const CopyStmt *statement)
{
	Relation	table;

	if (!statement->is_from || statement->relation == NULL)
		return NULL;
	table = table_openrv_extended(statement->relation, RowExclusiveLock, true);
	if (table == NULL)
		return NULL;			/* COPY finds better words */
	if (has_identity_columns(RelationGetDescr(table)))
		return begin_on(table, statement->attlist);
	table_close(table, NoLock);
	return NULL;
}

void
sequence_copy_end(IdentityCopy *copy, bool is_successful, uint64 rows)
{
	TupleConstr *constraints = copy->descriptor->constr;
	bool		is_missed = copy->is_required && rows > 0 && copy->calls == 0;

	current_copy = copy->outer;
	constraints->defval = copy->defval;
	constraints->num_defval = copy->num_defval;
	for (int i = 0; i < copy->descriptor->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(copy->descriptor, i);

		if (copy->identity[i] != '\0')
		{
			column->attidentity = copy->identity[i];
			column->atthasdef = false;
		}
	}
	if (!is_successful)
		return;					/* the table is closed with the transaction */
	table_close(copy->table, NoLock);
	if (is_missed)
		report_schema_conflict();
}
