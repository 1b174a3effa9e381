/*
 * table_turn.c
 *	  See table_turn.h.
 *
 * A statement that builds an index, rewrites a table or checks a constraint
 * conflicts with every row that others commit after its read timestamp
 * (ddl_note_scan), and on a table that is written all the time it would always
 * lose.  On this instance the lock of the relation keeps the others waiting; on the
 * other instances it is the transaction service that does.
 *
 * The order matters.  The lock comes first: whoever has it waits for his own commit,
 * which must not be held.  Then the tables are reserved, and then the read timestamp
 * is taken, which so includes whatever got through.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "catalog/index.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_inherits.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "commit_client.h"
#include "table_turn.h"

/* More partitions than the service takes at once: then without a turn. */
#define TABLES_MAX 16384

/* ---- which tables ---- */

static bool
is_constant(const Node *expression)
{
	if (expression != NULL && IsA(expression, TypeCast))
		expression = ((const TypeCast *) expression)->arg;
	return expression != NULL && IsA(expression, A_Const);
}

/* A constant default is kept beside the rows, which stay as they are. */
static bool
may_scan_for_column(const ColumnDef *column)
{
	ListCell   *cell;

	foreach(cell, column->constraints)
	{
		const Constraint *constraint = lfirst_node(Constraint, cell);

		if (constraint->contype != CONSTR_NULL && constraint->contype != CONSTR_NOTNULL &&
			!(constraint->contype == CONSTR_DEFAULT && is_constant(constraint->raw_expr)))
			return true;
	}
	return false;
}

/*
 * Too often yes costs others a pause, too often no costs the statement its turn.
 */
static bool
may_scan(const AlterTableCmd *command)
{
	switch (command->subtype)
	{
		case AT_AddColumn:
			return may_scan_for_column(castNode(ColumnDef, command->def));
		case AT_AddConstraint:
			return !castNode(Constraint, command->def)->skip_validation;
		case AT_AlterColumnType:
		case AT_AttachPartition:
		case AT_SetNotNull:
		case AT_SetLogged:
		case AT_SetUnLogged:
		case AT_ValidateConstraint:
			return true;
		default:
			return false;
	}
}

static List *
add_table(List *tables, Oid table)
{
	return OidIsValid(table) ? list_append_unique_oid(tables, table) : tables;
}

/* The other table of a foreign key that is added or validated. */
static Oid
referenced_table(Oid table, const AlterTableCmd *command)
{
	Oid			referenced = InvalidOid;

	if (command->subtype == AT_AddConstraint && IsA(command->def, Constraint))
	{
		const Constraint *constraint = (const Constraint *) command->def;

		if (constraint->contype == CONSTR_FOREIGN && constraint->pktable != NULL)
			referenced = RangeVarGetRelid(constraint->pktable, NoLock, true);
	}
	else if (command->subtype == AT_ValidateConstraint && command->name != NULL)
	{
		Oid			constraint = get_relation_constraint_oid(table, command->name, true);
		HeapTuple	row = SearchSysCache1(CONSTROID, ObjectIdGetDatum(constraint));

		if (HeapTupleIsValid(row))
		{
			referenced = ((Form_pg_constraint) GETSTRUCT(row))->confrelid;
			ReleaseSysCache(row);
		}
	}
	return referenced;
}

static List *
tables_of_alter(const AlterTableStmt *statement)
{
	List	   *tables = NIL;
	Oid			table = RangeVarGetRelid(statement->relation, NoLock, true);
	ListCell   *cell;

	if (!OidIsValid(table))
		return NIL;
	foreach(cell, statement->cmds)
	{
		const AlterTableCmd *command = lfirst_node(AlterTableCmd, cell);

		if (!may_scan(command))
			continue;
		tables = add_table(tables, table);
		tables = add_table(tables, referenced_table(table, command));
		if (command->subtype == AT_AttachPartition)
			tables = add_table(tables, RangeVarGetRelid(((PartitionCmd *) command->def)->name, NoLock, true));
	}
	return tables;
}

static List *
tables_of_reindex(const ReindexStmt *statement)
{
	Oid			relation;

	if (statement->kind != REINDEX_OBJECT_INDEX && statement->kind != REINDEX_OBJECT_TABLE)
		return NIL;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	if (OidIsValid(relation) && statement->kind == REINDEX_OBJECT_INDEX)
		relation = IndexGetRelation(relation, true);
	return add_table(NIL, relation);
}

/* Fills in the mode of the lock that the statement will take. */
static List *
tables_of(Node *statement, LOCKMODE *mode)
{
	*mode = ShareLock;
	switch (nodeTag(statement))
	{
		case T_IndexStmt:
			return add_table(NIL, RangeVarGetRelid(((IndexStmt *) statement)->relation, NoLock, true));
		case T_ReindexStmt:
			return tables_of_reindex((ReindexStmt *) statement);
		case T_AlterTableStmt:
			*mode = AlterTableGetLockLevel(((AlterTableStmt *) statement)->cmds);
			return tables_of_alter((AlterTableStmt *) statement);
		default:
			return NIL;
	}
}

/* ---- the turn ---- */

static bool
is_shared_table(Form_pg_class relation)
{
	return relation->relpersistence != RELPERSISTENCE_TEMP &&
		(relation->relkind == RELKIND_RELATION || relation->relkind == RELKIND_MATVIEW ||
		 relation->relkind == RELKIND_PARTITIONED_TABLE);
}

/* Its relfilenode, 0 if it has none, after locking it; false: it is not for this user. */
static bool
lock_table(Oid table, LOCKMODE mode, uint32 *relfilenode)
{
	HeapTuple	row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	bool		is_allowed = HeapTupleIsValid(row) && is_shared_table((Form_pg_class) GETSTRUCT(row)) &&
		object_ownercheck(RelationRelationId, table, GetUserId());

	if (HeapTupleIsValid(row))
		ReleaseSysCache(row);
	if (!is_allowed)
		return false;
	LockRelationOid(table, mode);
	row = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	if (!HeapTupleIsValid(row))
	{
		UnlockRelationOid(table, mode);	/* dropped meanwhile */
		return false;
	}
	*relfilenode = ((Form_pg_class) GETSTRUCT(row))->relfilenode;
	ReleaseSysCache(row);
	return true;
}

bool
table_turn_take(Node *statement)
{
	LOCKMODE	mode;
	List	   *tables = tables_of(statement, &mode);
	uint32	   *relfilenodes;
	int			count = 0;
	ListCell   *cell;

	if (tables == NIL)
		return false;
	relfilenodes = palloc(TABLES_MAX * sizeof(uint32));
	foreach(cell, tables)
	{
		Oid			table = lfirst_oid(cell);
		uint32		relfilenode;
		ListCell   *member;

		if (!lock_table(table, mode, &relfilenode))
			continue;
		foreach(member, find_all_inheritors(table, mode, NULL))
		{
			if (lfirst_oid(member) != table && !lock_table(lfirst_oid(member), mode, &relfilenode))
				continue;
			if (relfilenode != 0 && count < TABLES_MAX)
				relfilenodes[count++] = relfilenode;
		}
	}
	if (count > 0)
		commit_client_reserve(relfilenodes, count);
	pfree(relfilenodes);
	return count > 0;
}
