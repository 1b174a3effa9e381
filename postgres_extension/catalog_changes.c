/*
 * catalog_changes.c
 *	  See catalog_changes.h.
 *
 * The transaction's own row versions in the catalogs are the truth about what
 * it has changed: whatever statement, function or savepoint made them.  A
 * version whose xmin is ours and whose xmax is not was added, one whose xmax is
 * ours and whose xmin is not was there before and is gone.  What a rolled back
 * subtransaction did carries an xid that is no longer ours.
 *
 * All pages of all catalogs are looked at, some hundreds; most of them say by
 * their LSN that nothing is new in them, and tuples are judged by their headers.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/namespace.h"
#include "catalog/objectaddress.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_index.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/sinval.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "catalog_changes.h"
#include "catalog_rows.h"
#include "object_ids.h"

/* An object that a collected row is about, or that another row names. */
typedef struct ObjectKey
{
	Oid			class_id;
	Oid			object_id;
} ObjectKey;

typedef struct KnownObject
{
	ObjectKey	key;
	HeapTuple	added;			/* its rows, if this transaction changed them */
	HeapTuple	removed;
	bool		is_judged;
	bool		is_temporary;
} KnownObject;

/* Of the collection under way. */
static HTAB *known_objects = NULL;

/* No change of this transaction is older; 0: not known. */
static XLogRecPtr changes_start = 0;

void
catalog_changes_may_begin(void)
{
	if (changes_start == 0 && !TransactionIdIsValid(GetTopTransactionIdIfAny()))
		changes_start = GetXLogInsertRecPtr();
}

void
catalog_changes_reset(void)
{
	changes_start = 0;
}

static KnownObject *
know_object(Oid class_id, Oid object_id)
{
	ObjectKey	key = {class_id, object_id};
	KnownObject *object;
	bool		found;

	object = hash_search(known_objects, &key, HASH_ENTER, &found);
	if (!found)
	{
		object->added = NULL;
		object->removed = NULL;
		object->is_judged = false;
	}
	return object;
}

bool
catalog_changes_possible(void)
{
	SharedInvalidationMessage *messages;
	bool		relcache_file;
	int			count = xactGetCommittedInvalidationMessages(&messages, &relcache_file);

	if (messages != NULL)
		pfree(messages);
	return count > 0;
}

/* ---- reading the row versions ---- */

static inline bool
is_mine(TransactionId xid)
{
	return TransactionIdIsNormal(xid) && TransactionIdIsCurrentTransactionId(xid);
}

static bool
is_removed_by_me(HeapTupleHeader header)
{
	if ((header->t_infomask & HEAP_XMAX_INVALID) || HEAP_XMAX_IS_LOCKED_ONLY(header->t_infomask))
		return false;
	return is_mine(HeapTupleHeaderGetUpdateXid(header));
}

/* Copies of this transaction's row versions on one page. */
static void
collect_page(Relation catalog, BlockNumber block, CatalogChange *change)
{
	Buffer		buffer = ReadBuffer(catalog, block);
	Page		page = BufferGetPage(buffer);
	OffsetNumber last;

	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	last = PageGetLSN(page) < changes_start ? 0 : PageGetMaxOffsetNumber(page);
	for (OffsetNumber offset = FirstOffsetNumber; offset <= last; offset++)
	{
		ItemId		item = PageGetItemId(page, offset);
		HeapTupleHeader header;
		HeapTupleData tuple;
		bool		added;
		bool		removed;

		if (!ItemIdIsNormal(item))
			continue;
		header = (HeapTupleHeader) PageGetItem(page, item);
		added = is_mine(HeapTupleHeaderGetXmin(header));
		removed = is_removed_by_me(header);
		if (added == removed)
			continue;

		tuple.t_data = header;
		tuple.t_len = ItemIdGetLength(item);
		tuple.t_tableOid = RelationGetRelid(catalog);
		ItemPointerSet(&tuple.t_self, block, offset);
		if (added)
			change->added = lappend(change->added, heap_copytuple(&tuple));
		else
			change->removed = lappend(change->removed, heap_copytuple(&tuple));
	}
	UnlockReleaseBuffer(buffer);
}

/* Values may lie in TOAST tables, which must not be read under a page's lock. */
static void
make_canonical(Relation catalog, List *rows)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		HeapTuple	raw = lfirst(cell);

		lfirst(cell) = catalog_row_canonical(catalog, raw);
		heap_freetuple(raw);
	}
}

static void
remember_objects(Relation catalog, const CatalogChange *change)
{
	CatalogShape shape;
	ListCell   *cell;

	catalog_shape(catalog, &shape);
	if (!shape.has_oid)
		return;
	foreach(cell, change->added)
		know_object(change->catalog, *(Oid *) GETSTRUCT((HeapTuple) lfirst(cell)))->added = lfirst(cell);
	foreach(cell, change->removed)
		know_object(change->catalog, *(Oid *) GETSTRUCT((HeapTuple) lfirst(cell)))->removed = lfirst(cell);
}

static void
collect_catalog(Oid catalog_id, void *arg)
{
	List	  **changes = arg;
	CatalogChange *change;
	Relation	catalog;
	BlockNumber blocks;

	if (catalog_is_local(catalog_id))
		return;
	catalog = table_open(catalog_id, AccessShareLock);
	change = palloc0(sizeof(CatalogChange));
	change->catalog = catalog_id;
	blocks = RelationGetNumberOfBlocks(catalog);
	for (BlockNumber block = 0; block < blocks; block++)
		collect_page(catalog, block, change);

	if (change->added != NIL || change->removed != NIL)
	{
		make_canonical(catalog, change->added);
		make_canonical(catalog, change->removed);
		remember_objects(catalog, change);
		*changes = lappend(*changes, change);
	}
	table_close(catalog, AccessShareLock);
}

/* ---- temporary objects ---- */

static bool object_is_temporary(Oid class_id, Oid object_id);

static bool
row_is_temporary(Relation catalog, HeapTuple row)
{
	Oid			class_id;
	Oid			object_id;
	Oid			namespace;

	if (catalog_row_owner(catalog, row, &class_id, &object_id))
		return object_is_temporary(class_id, object_id);
	namespace = catalog_row_namespace(catalog, row);
	return OidIsValid(namespace) && isAnyTempNamespace(namespace);
}

/* An object that this transaction has not changed. */
static bool
unchanged_object_is_temporary(Oid class_id, Oid object_id)
{
	Oid			namespace;

	if (object_id < FirstNormalObjectId)
		return false;
	namespace = catalog_object_namespace(class_id, object_id);
	return OidIsValid(namespace) && isAnyTempNamespace(namespace);
}

static bool
object_is_temporary(Oid class_id, Oid object_id)
{
	KnownObject *object = know_object(class_id, object_id);
	HeapTuple	row = object->added != NULL ? object->added : object->removed;
	bool		result;

	if (object->is_judged)
		return object->is_temporary;

	if (row != NULL)
	{
		Relation	catalog = table_open(class_id, AccessShareLock);

		result = row_is_temporary(catalog, row);
		table_close(catalog, AccessShareLock);
	}
	else
		result = unchanged_object_is_temporary(class_id, object_id);

	/* The table may have grown meanwhile: look it up again. */
	object = know_object(class_id, object_id);
	object->is_judged = true;
	object->is_temporary = result;
	return result;
}

static List *
without_temporary(Relation catalog, List *rows)
{
	ListCell   *cell;

	foreach(cell, rows)
	{
		if (row_is_temporary(catalog, lfirst(cell)))
			rows = foreach_delete_current(rows, cell);
	}
	return rows;
}

/* ---- checks of what is to be shipped ---- */

static void
check_dependencies(List *added)
{
	ListCell   *cell;

	foreach(cell, added)
	{
		Form_pg_depend row = (Form_pg_depend) GETSTRUCT((HeapTuple) lfirst(cell));
		ObjectAddress dependent = {row->classid, row->objid, row->objsubid};

		if (object_is_temporary(row->refclassid, row->refobjid))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("%s cannot depend on a temporary object",
							getObjectDescription(&dependent, false)),
					 errhint("Temporary objects exist in one session only.")));
	}
}

/* OIDs outside of the cluster's ranges could be given to something else elsewhere. */
static void
check_object_ids(Relation catalog, List *added)
{
	CatalogShape shape;
	ListCell   *cell;

	catalog_shape(catalog, &shape);
	if (!shape.has_oid)
		return;
	foreach(cell, added)
	{
		Oid			object_id = *(Oid *) GETSTRUCT((HeapTuple) lfirst(cell));

		if (!object_id_is_shared(object_id))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("\"%s\" can only be changed by statements that define objects",
							RelationGetRelationName(catalog))));
	}
}

/*
 * CREATE INDEX marks the table as having indexes by changing its pg_class row in
 * place.  Ship that row as well.
 */
static void
add_parents_of_indexes(CatalogChanges *changes)
{
	CatalogChange *classes = NULL;
	CatalogChange *indexes = NULL;
	Relation	catalog;
	ListCell   *cell;

	foreach(cell, changes->catalogs)
	{
		CatalogChange *change = lfirst(cell);

		if (change->catalog == RelationRelationId)
			classes = change;
		else if (change->catalog == IndexRelationId)
			indexes = change;
	}
	if (indexes == NULL || classes == NULL)
		return;

	catalog = table_open(RelationRelationId, AccessShareLock);
	foreach(cell, indexes->added)
	{
		Oid			parent = ((Form_pg_index) GETSTRUCT((HeapTuple) lfirst(cell)))->indrelid;
		KnownObject *object = know_object(RelationRelationId, parent);
		HeapTuple	row;

		if (object->added != NULL)
			continue;
		row = SearchSysCache1(RELOID, ObjectIdGetDatum(parent));
		if (!HeapTupleIsValid(row))
			elog(ERROR, "cache lookup failed for relation %u", parent);
		/* It replaces itself. */
		object->added = object->removed = catalog_row_canonical(catalog, row);
		classes->removed = lappend(classes->removed, object->removed);
		classes->added = lappend(classes->added, object->added);
		ReleaseSysCache(row);
	}
	table_close(catalog, AccessShareLock);
}

static KnownObject *
find_object(const CatalogChanges *changes, Oid class_id, Oid object_id)
{
	ObjectKey	key = {class_id, object_id};

	return hash_search(changes->objects, &key, HASH_FIND, NULL);
}

HeapTuple
catalog_changes_added(const CatalogChanges *changes, Oid catalog, Oid object_id)
{
	KnownObject *object = find_object(changes, catalog, object_id);

	return object == NULL ? NULL : object->added;
}

HeapTuple
catalog_changes_removed(const CatalogChanges *changes, Oid catalog, Oid object_id)
{
	KnownObject *object = find_object(changes, catalog, object_id);

	return object == NULL ? NULL : object->removed;
}

/* ---- relations ---- */

static void
collect_invalidated(CatalogChanges *changes)
{
	SharedInvalidationMessage *messages;
	bool		relcache_file;
	int			count = xactGetCommittedInvalidationMessages(&messages, &relcache_file);

	for (int i = 0; i < count; i++)
	{
		Oid			relation;

		if (messages[i].id != SHAREDINVALRELCACHE_ID)
			continue;
		relation = messages[i].rc.relId;
		if (!OidIsValid(relation))
			changes->all_invalidated = true;
		else if (!object_is_temporary(RelationRelationId, relation))
			changes->invalidated = lappend_oid(changes->invalidated, relation);
	}
	if (messages != NULL)
		pfree(messages);
	list_sort(changes->invalidated, list_oid_cmp);
	list_deduplicate_oid(changes->invalidated);
}

CatalogChanges *
catalog_changes_collect(void)
{
	CatalogChanges *changes = palloc0(sizeof(CatalogChanges));
	HASHCTL		control = {.keysize = sizeof(ObjectKey), .entrysize = sizeof(KnownObject),
	.hcxt = CurrentMemoryContext};
	ListCell   *cell;

	known_objects = hash_create("Borealis changed objects", 256, &control,
								HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	/* the snapshot for out-of-line values */
	PushActiveSnapshot(GetTransactionSnapshot());
	catalog_for_each(collect_catalog, &changes->catalogs);

	foreach(cell, changes->catalogs)
	{
		CatalogChange *change = lfirst(cell);
		Relation	catalog = table_open(change->catalog, AccessShareLock);

		change->added = without_temporary(catalog, change->added);
		change->removed = without_temporary(catalog, change->removed);
		check_object_ids(catalog, change->added);
		if (change->catalog == DependRelationId)
			check_dependencies(change->added);
		table_close(catalog, AccessShareLock);
		if (change->added == NIL && change->removed == NIL)
			changes->catalogs = foreach_delete_current(changes->catalogs, cell);
	}
	collect_invalidated(changes);
	add_parents_of_indexes(changes);
	PopActiveSnapshot();

	changes->objects = known_objects;
	known_objects = NULL;
	return changes;
}
