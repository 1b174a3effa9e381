/*
 * catalog_orphans.c
 *	  See catalog_orphans.h.
 *
 * On its own instance, a DROP finds everything that depends on an object and
 * refuses or cascades.  It cannot find the temporary objects of other instances.
 * Once the entry is applied, a dependency on an object that is gone can only be
 * one of those.
 */
#include "borealis.h"

#include <signal.h>

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "storage/proc.h"
#include "storage/sinvaladt.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"

#include "catalog_orphans.h"
#include "catalog_rows.h"

/* Sessions with temporary objects that depend on the object (on its column, unless 0). */
static List *
add_dependents(List *sessions, Relation depend, Oid class_id, Oid object_id, AttrNumber column)
{
	ScanKeyData keys[3];
	SysScanDesc scan;
	HeapTuple	row;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(class_id));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(object_id));
	ScanKeyInit(&keys[2], Anum_pg_depend_refobjsubid, BTEqualStrategyNumber, F_INT4EQ,
				Int32GetDatum(column));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, column == 0 ? 2 : 3, keys);
	while ((row = systable_getnext(scan)) != NULL)
	{
		Form_pg_depend dependency = (Form_pg_depend) GETSTRUCT(row);
		Oid			namespace = catalog_object_namespace(dependency->classid, dependency->objid);

		if (OidIsValid(namespace) && isAnyTempNamespace(namespace))
			sessions = list_append_unique_int(sessions, GetTempNamespaceBackendId(namespace));
	}
	systable_endscan(scan);
	return sessions;
}

static HTAB *
collect_oids(List *rows)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(Oid),
	.hcxt = CurrentMemoryContext};
	HTAB	   *oids = hash_create("Borealis added objects", 64, &control,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ListCell   *cell;

	foreach(cell, rows)
		(void) hash_search(oids, GETSTRUCT((HeapTuple) lfirst(cell)), HASH_ENTER, NULL);
	return oids;
}

static List *
add_dependents_of_objects(List *sessions, Relation depend, const EntryCatalog *change)
{
	HTAB	   *added = collect_oids(change->added);
	ListCell   *cell;

	foreach(cell, change->removed)
	{
		EntryRemoval *removal = lfirst(cell);
		Oid			object_id = *(Oid *) GETSTRUCT(removal->key);

		if (hash_search(added, &object_id, HASH_FIND, NULL) == NULL)
			sessions = add_dependents(sessions, depend, change->catalog, object_id, 0);
	}
	hash_destroy(added);
	return sessions;
}

/* The row of a dropped column stays. */
static List *
add_dependents_of_columns(List *sessions, Relation depend, const EntryCatalog *change)
{
	ListCell   *cell;

	foreach(cell, change->added)
	{
		Form_pg_attribute column = (Form_pg_attribute) GETSTRUCT((HeapTuple) lfirst(cell));

		if (column->attisdropped)
			sessions = add_dependents(sessions, depend, RelationRelationId,
									  column->attrelid, column->attnum);
	}
	return sessions;
}

static bool
rows_have_oids(Oid catalog_id)
{
	Relation	catalog = table_open(catalog_id, AccessShareLock);
	CatalogShape shape;

	catalog_shape(catalog, &shape);
	table_close(catalog, AccessShareLock);
	return shape.has_oid;
}

List *
catalog_orphans_find(const CatalogEntry *entry)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *sessions = NIL;
	ListCell   *cell;

	foreach(cell, entry->catalogs)
	{
		EntryCatalog *change = lfirst(cell);

		if (change->catalog == AttributeRelationId)
			sessions = add_dependents_of_columns(sessions, depend, change);
		else if (change->removed != NIL && rows_have_oids(change->catalog))
			sessions = add_dependents_of_objects(sessions, depend, change);
	}
	table_close(depend, AccessShareLock);
	return sessions;
}

void
catalog_orphans_end(List *sessions)
{
	ListCell   *cell;

	foreach(cell, sessions)
	{
		PGPROC	   *proc = BackendIdGetProc(lfirst_int(cell));

		/* objects of a crashed session wait for the next one with its number */
		if (proc != NULL && proc->pid != 0)
			kill(proc->pid, SIGTERM);
	}
}
