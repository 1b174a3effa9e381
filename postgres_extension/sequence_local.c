/*
 * sequence_local.c
 *	  See sequence.h.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/sequence.h"
#include "storage/bufmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "sequence.h"

/* The special space of a sequence's page; private to the server's sequence.c. */
#define SEQUENCE_MAGIC 0x1717

typedef struct SequencePageEnd
{
	uint32		magic;
} SequencePageEnd;

/* The tuple in the locked buffer. */
static Form_pg_sequence_data
sequence_tuple(Relation sequence, Buffer buffer)
{
	Page		page = BufferGetPage(buffer);

	if (((SequencePageEnd *) PageGetSpecialPointer(page))->magic != SEQUENCE_MAGIC)
		elog(ERROR, "bad magic number in sequence \"%s\"", RelationGetRelationName(sequence));
	return (Form_pg_sequence_data)
		((char *) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber)) +
		 ((HeapTupleHeader) PageGetItem(page, PageGetItemId(page, FirstOffsetNumber)))->t_hoff);
}

void
sequence_read_local(Oid sequence_id, int64 *last_value, bool *is_called)
{
	Relation	sequence = relation_open(sequence_id, AccessShareLock);
	Buffer		buffer = ReadBuffer(sequence, 0);
	Form_pg_sequence_data tuple;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	tuple = sequence_tuple(sequence, buffer);
	*last_value = tuple->last_value;
	*is_called = tuple->is_called;
	UnlockReleaseBuffer(buffer);
	relation_close(sequence, AccessShareLock);
}

/* What is lost in a crash comes from the service again, so nothing is logged. */
void
sequence_write_local(Relation sequence, int64 last_value, bool is_called)
{
	Buffer		buffer = ReadBuffer(sequence, 0);
	Form_pg_sequence_data tuple;

	LockBuffer(buffer, BUFFER_LOCK_EXCLUSIVE);
	tuple = sequence_tuple(sequence, buffer);
	tuple->last_value = last_value;
	tuple->is_called = is_called;
	tuple->log_cnt = 0;
	MarkBufferDirty(buffer);
	UnlockReleaseBuffer(buffer);
}

/* ---- who looks at the tuple ---- */

static void
refresh_if_shared(Oid relation)
{
	if (OidIsValid(relation) && get_rel_relkind(relation) == RELKIND_SEQUENCE &&
		get_rel_persistence(relation) != RELPERSISTENCE_TEMP)
		sequence_refresh(relation);
}

void
sequence_refresh_for_plan(const PlannedStmt *plan)
{
	ListCell   *cell;

	foreach(cell, plan->rtable)
	{
		RangeTblEntry *entry = lfirst(cell);

		if (entry->rtekind == RTE_RELATION && entry->relkind == RELKIND_SEQUENCE)
			refresh_if_shared(entry->relid);
	}
}

static void
refresh_owned(const RangeVar *table)
{
	Oid			table_id = RangeVarGetRelid(table, NoLock, true);
	ListCell   *cell;

	if (!OidIsValid(table_id))
		return;
	foreach(cell, getOwnedSequences(table_id))
		refresh_if_shared(lfirst_oid(cell));
}

/* Statements that copy the tuple into a new file. */
void
sequence_refresh_for_utility(Node *statement)
{
	ListCell   *cell;

	if (IsA(statement, AlterSeqStmt))
		refresh_if_shared(RangeVarGetRelid(((AlterSeqStmt *) statement)->sequence, NoLock, true));
	else if (IsA(statement, AlterTableStmt))
	{
		AlterTableStmt *alter = (AlterTableStmt *) statement;

		foreach(cell, alter->cmds)
		{
			AlterTableCmd *command = lfirst(cell);

			if (command->subtype != AT_SetLogged && command->subtype != AT_SetUnLogged)
				continue;
			refresh_if_shared(RangeVarGetRelid(alter->relation, NoLock, true));
			refresh_owned(alter->relation);
		}
	}
}
