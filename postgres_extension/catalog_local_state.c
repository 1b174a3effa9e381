/*
 * catalog_local_state.c
 *	  See catalog_local_state.h.
 *
 * The row survives a crash of the instance together with the catalogs, so that
 * the instance goes on from what its catalogs hold.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_namespace.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "catalog_local_state.h"

/* Columns of borealis.catalog_state (borealis.sql). */
enum
{
	COLUMN_CATALOG_VERSION,
	COLUMN_SCHEMA_VERSION,
	COLUMN_COUNT
};

static Relation
open_state(LOCKMODE mode)
{
	Oid			relation = get_relname_relid("catalog_state", get_namespace_oid("borealis", false));

	if (!OidIsValid(relation))
		elog(ERROR, "table borealis.catalog_state does not exist");
	return table_open(relation, mode);
}

static HeapTuple
fetch_row(Relation relation, SysScanDesc *scan)
{
	HeapTuple	row;

	*scan = systable_beginscan(relation, InvalidOid, false, NULL, 0, NULL);
	row = systable_getnext(*scan);
	if (!HeapTupleIsValid(row))
		elog(ERROR, "table borealis.catalog_state is empty");
	return row;
}

void
catalog_local_state_read(uint64 *catalog_version, uint64 *schema_version)
{
	Relation	relation = open_state(AccessShareLock);
	SysScanDesc scan;
	HeapTuple	row = fetch_row(relation, &scan);
	Datum		values[COLUMN_COUNT];
	bool		isnull[COLUMN_COUNT];

	heap_deform_tuple(row, RelationGetDescr(relation), values, isnull);
	*catalog_version = DatumGetInt64(values[COLUMN_CATALOG_VERSION]);
	*schema_version = DatumGetInt64(values[COLUMN_SCHEMA_VERSION]);
	systable_endscan(scan);
	table_close(relation, AccessShareLock);
}

void
catalog_local_state_write(uint64 catalog_version, uint64 schema_version)
{
	Relation	relation = open_state(RowExclusiveLock);
	SysScanDesc scan;
	HeapTuple	old = fetch_row(relation, &scan);
	Datum		values[COLUMN_COUNT];
	bool		isnull[COLUMN_COUNT] = {false};
	HeapTuple	new;
	TU_UpdateIndexes update_indexes;

	values[COLUMN_CATALOG_VERSION] = Int64GetDatum(catalog_version);
	values[COLUMN_SCHEMA_VERSION] = Int64GetDatum(schema_version);
	new = heap_form_tuple(RelationGetDescr(relation), values, isnull);
	simple_heap_update(relation, &old->t_self, new, &update_indexes);
	systable_endscan(scan);
	heap_freetuple(new);
	table_close(relation, NoLock);
}
