/*
 * size_functions.c
 *	  See size_functions.h.  Sizes are what storage has counted: keys and
 *	  values of live rows and entries.  A primary key that holds the rows takes
 *	  no room of its own.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/relation.h"
#include "access/tableam.h"
#include "common/relpath.h"
#include "storage/bufmgr.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "layout.h"
#include "merge_scan.h"
#include "pg_patches.h"
#include "size_functions.h"
#include "storage_reader.h"
#include "transaction.h"

static PGFunction original_relation_size;
static PGFunction original_table_size;
static PGFunction original_indexes_size;
static PGFunction original_total_relation_size;

static int64
index_bytes(Relation index)
{
	int64		rows;
	int64		bytes;

	if (index_layout(index)->holds_rows || !relation_has_committed(index))
		return 0;
	(void) transaction_read_timestamp();
	storage_read_statistics(index->rd_locator.relNumber, &rows, &bytes);
	return Max(bytes, 0);
}

static int64
table_bytes(Relation table)
{
	return table_relation_size(table, MAIN_FORKNUM);
}

static int64
all_index_bytes(Relation table)
{
	List	   *indexes = RelationGetIndexList(table);
	ListCell   *cell;
	int64		total = 0;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);

		total += index_bytes(index);
		index_close(index, AccessShareLock);
	}
	list_free(indexes);
	return total;
}

/* A table or index of ours, opened; NULL if the relation is not. */
static Relation
open_own(Oid oid, bool *is_index)
{
	Relation	relation = try_relation_open(oid, AccessShareLock);

	if (relation == NULL)
		return NULL;
	*is_index = relation->rd_rel->relkind == RELKIND_INDEX;
	if (*is_index ? index_is_borealis(relation) : relation_is_borealis(relation))
		return relation;
	relation_close(relation, AccessShareLock);
	return NULL;
}

static Datum
relation_size(PG_FUNCTION_ARGS)
{
	bool		is_index;
	Relation	relation = open_own(PG_GETARG_OID(0), &is_index);
	int64		bytes = 0;

	if (relation == NULL)
		return original_relation_size(fcinfo);
	if (forkname_to_number(text_to_cstring(PG_GETARG_TEXT_PP(1))) == MAIN_FORKNUM)
		bytes = is_index ? index_bytes(relation) : table_bytes(relation);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(bytes);
}

static Datum
table_size(PG_FUNCTION_ARGS)
{
	bool		is_index;
	Relation	relation = open_own(PG_GETARG_OID(0), &is_index);
	int64		bytes;

	if (relation == NULL)
		return original_table_size(fcinfo);
	bytes = is_index ? index_bytes(relation) : table_bytes(relation);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(bytes);
}

static Datum
indexes_size(PG_FUNCTION_ARGS)
{
	bool		is_index;
	Relation	relation = open_own(PG_GETARG_OID(0), &is_index);
	int64		bytes;

	if (relation == NULL)
		return original_indexes_size(fcinfo);
	bytes = is_index ? 0 : all_index_bytes(relation);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(bytes);
}

static Datum
total_relation_size(PG_FUNCTION_ARGS)
{
	bool		is_index;
	Relation	relation = open_own(PG_GETARG_OID(0), &is_index);
	int64		bytes;

	if (relation == NULL)
		return original_total_relation_size(fcinfo);
	bytes = is_index ? index_bytes(relation) :
		table_bytes(relation) + all_index_bytes(relation);
	relation_close(relation, AccessShareLock);
	PG_RETURN_INT64(bytes);
}

void
size_functions_init(void)
{
	pg_patch_builtin(F_PG_RELATION_SIZE_REGCLASS_TEXT, relation_size, &original_relation_size);
	pg_patch_builtin(F_PG_TABLE_SIZE, table_size, &original_table_size);
	pg_patch_builtin(F_PG_INDEXES_SIZE, indexes_size, &original_indexes_size);
	pg_patch_builtin(F_PG_TOTAL_RELATION_SIZE, total_relation_size, &original_total_relation_size);
}
