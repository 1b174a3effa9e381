/*
 * snapshot_export.c
 *	  See snapshot_export.h.
 *
 * A snapshot of the cluster's rows is a timestamp, and the schema that goes with
 * it: the identifier says both, and nothing has to be kept.  The versions stay as
 * long as the transaction that has exported it holds its reader slot.
 */
#include "borealis.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"

#include "pg_patches.h"
#include "snapshot_export.h"
#include "transaction.h"

#define IDENTIFIER_SIZE 64

static void
write_identifier(char *identifier, const ReadPoint *point)
{
	snprintf(identifier, IDENTIFIER_SIZE, "%016llX-%08llX",
			 (unsigned long long) point->timestamp, (unsigned long long) point->schema_version);
}

static bool
read_identifier(const char *identifier, ReadPoint *point)
{
	unsigned long long timestamp;
	unsigned long long schema_version;
	char		canonical[IDENTIFIER_SIZE];

	if (sscanf(identifier, "%16llX-%16llX", &timestamp, &schema_version) != 2)
		return false;
	*point = (ReadPoint) {.timestamp = timestamp,.schema_version = schema_version};
	write_identifier(canonical, point);
	return strcmp(identifier, canonical) == 0;
}

static Datum
export_snapshot(PG_FUNCTION_ARGS)
{
	char		identifier[IDENTIFIER_SIZE];
	ReadPoint	point;

	if (IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("cannot export a snapshot from a subtransaction")));
	point = transaction_fix_read_point();
	write_identifier(identifier, &point);
	PG_RETURN_TEXT_P(cstring_to_text(identifier));
}

/* The messages are PostgreSQL's, where it has them. */
static void
import_snapshot(const char *identifier)
{
	ReadPoint	point;

	if (FirstSnapshotSet || transaction_has_read_timestamp() ||
		TransactionIdIsValid(GetTopTransactionIdIfAny()) || IsSubTransaction())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("SET TRANSACTION SNAPSHOT must be called before any query")));
	if (!read_identifier(identifier, &point))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("invalid snapshot identifier: \"%s\"", identifier)));
	if (!transaction_take_read_point(&point))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("snapshot \"%s\" does not exist", identifier),
				 errhint("The transaction that has exported it must still be open.")));
}

bool
snapshot_import_takes(Node *statement, bool is_top_level)
{
	VariableSetStmt *set = (VariableSetStmt *) statement;

	if (!IsA(statement, VariableSetStmt) || set->kind != VAR_SET_MULTI ||
		strcmp(set->name, "TRANSACTION SNAPSHOT") != 0)
		return false;
	if (set->is_local)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("SET LOCAL TRANSACTION SNAPSHOT is not implemented")));
	WarnNoTransactionBlock(is_top_level, "SET TRANSACTION");
	import_snapshot(strVal(&linitial_node(A_Const, set->args)->val));
	return true;
}

void
snapshot_export_init(void)
{
	pg_patch_builtin(F_PG_EXPORT_SNAPSHOT, export_snapshot, NULL);
}
