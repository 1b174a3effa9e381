/*
 * catalog_apply.c
 *	  See catalog_apply.h.
 *
 * What a hot standby does with the changes of a primary, by way of rows instead
 * of pages: the rows are exchanged, files appear and go, caches are told.
 *
 * All removals come before all additions, within one command: an exchanged row
 * never collides with itself, and until the command ends this process goes on
 * seeing the old catalogs as a whole.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relation.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "access/xloginsert.h"
#include "access/xlogutils.h"
#include "catalog/catalog.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_database.h"
#include "catalog/pg_type.h"
#include "catalog/storage.h"
#include "commands/vacuum.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/smgr.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "catalog_apply.h"
#include "catalog_rows.h"

/* A relation whose pg_class row the entry exchanges. */
typedef struct ChangedRelation
{
	Oid			relation;		/* hash key */
	char		relkind;
	Oid			tablespace;
	HeapTuple	old_row;
	RelFileNumber old_files;	/* invalid: new relation */
	RelFileNumber new_files;	/* invalid: dropped */
} ChangedRelation;

static void
report_divergence(Relation catalog, const char *what)
{
	ereport(ERROR,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("local catalog \"%s\" differs from the cluster's: %s",
					RelationGetRelationName(catalog), what)));
}

/* ---- rows ---- */

static RegProcedure
equality_of(Oid type)
{
	switch (type)
	{
		case OIDOID:
		case REGPROCOID:
			return F_OIDEQ;
		case INT2OID:
			return F_INT2EQ;
		case INT4OID:
			return F_INT4EQ;
		case BOOLOID:
			return F_BOOLEQ;
		case CHAROID:
			return F_CHAREQ;
		case NAMEOID:
			return F_NAMEEQ;
		case TEXTOID:
			return F_TEXTEQ;
		default:
			elog(ERROR, "catalog has a key column of type %u", type);
	}
}

static SysScanDesc
begin_key_scan(Relation catalog, const CatalogShape *shape, HeapTuple key)
{
	TupleDesc	descriptor = RelationGetDescr(catalog);
	ScanKeyData keys[CATALOG_KEYS_MAX];

	for (int i = 0; i < shape->nkeys; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, shape->keys[i] - 1);
		bool		isnull;
		Datum		value = heap_getattr(key, shape->keys[i], descriptor, &isnull);

		if (isnull)
			report_divergence(catalog, "a key is null");
		ScanKeyEntryInitialize(&keys[i], 0, shape->keys[i], BTEqualStrategyNumber, InvalidOid,
							   attribute->attcollation, equality_of(attribute->atttypid), value);
	}
	return systable_beginscan(catalog, shape->index, true, NULL, shape->nkeys, keys);
}

/* This entry has removed the row already: one of several equal ones. */
static bool
is_gone(HeapTuple row)
{
	return !(row->t_data->t_infomask & HEAP_XMAX_INVALID) &&
		TransactionIdIsCurrentTransactionId(HeapTupleHeaderGetRawXmax(row->t_data));
}

/* Returns the removed row, canonical. */
static HeapTuple
remove_row(Relation catalog, const CatalogShape *shape, const EntryRemoval *removal)
{
	SysScanDesc scan = begin_key_scan(catalog, shape, removal->key);
	HeapTuple	canonical = NULL;
	HeapTuple	row;
	bool		is_known = false;

	while ((row = systable_getnext(scan)) != NULL)
	{
		if (is_gone(row))
			continue;
		is_known = true;
		canonical = catalog_row_canonical(catalog, row);
		if (catalog_row_hash(catalog, canonical) == removal->hash)
			break;
		heap_freetuple(canonical);
	}
	if (row == NULL)
		report_divergence(catalog, is_known ? "a row has other values" : "a row is missing");
	CatalogTupleDelete(catalog, &row->t_self);
	systable_endscan(scan);
	return canonical;
}

static ChangedRelation *
changed_relation(HTAB *relations, HeapTuple row)
{
	Form_pg_class class_form = (Form_pg_class) GETSTRUCT(row);
	ChangedRelation *relation;
	bool		found;

	relation = hash_search(relations, &class_form->oid, HASH_ENTER, &found);
	if (!found)
	{
		relation->relkind = class_form->relkind;
		relation->tablespace = class_form->reltablespace;
		relation->old_row = NULL;
		relation->old_files = InvalidRelFileNumber;
		relation->new_files = InvalidRelFileNumber;
	}
	return relation;
}

static void
remember_removed_relation(HTAB *relations, HeapTuple row)
{
	ChangedRelation *relation = changed_relation(relations, row);

	relation->old_row = row;
	relation->old_files = ((Form_pg_class) GETSTRUCT(row))->relfilenode;
}

/* Returns the row to add: what it says of local files is this instance's. */
static HeapTuple
remember_added_relation(HTAB *relations, Relation catalog, HeapTuple row)
{
	ChangedRelation *relation = changed_relation(relations, row);

	relation->new_files = ((Form_pg_class) GETSTRUCT(row))->relfilenode;
	if (relation->old_row == NULL)
		return row;
	return catalog_row_localize(catalog, row, relation->old_row);
}

/*
 * A domain's own row says nothing of its constraints, but whoever has planned with
 * them hears of changes to that row.
 */
static void
announce_domain(HeapTuple constraint)
{
	Oid			domain = ((Form_pg_constraint) GETSTRUCT(constraint))->contypid;
	Relation	types;
	HeapTuple	row;

	if (!OidIsValid(domain))
		return;
	types = table_open(TypeRelationId, AccessShareLock);
	row = SearchSysCache1(TYPEOID, ObjectIdGetDatum(domain));
	/* it may come or go with its constraints */
	if (HeapTupleIsValid(row))
	{
		CacheInvalidateHeapTuple(types, row, NULL);
		ReleaseSysCache(row);
	}
	table_close(types, NoLock);
}

static void
exchange_rows(const EntryCatalog *change, HTAB *relations)
{
	bool		is_classes = change->catalog == RelationRelationId;
	Relation	catalog;
	CatalogShape shape;
	CatalogIndexState indexes;
	HeapTuple	removed = NULL;
	ListCell   *cell;

	if (catalog_is_local(change->catalog))
		elog(ERROR, "catalog entry changes relation %u, which is no shared catalog", change->catalog);
	catalog = table_open(change->catalog, RowExclusiveLock);
	catalog_shape(catalog, &shape);
	indexes = CatalogOpenIndexes(catalog);

	foreach(cell, change->removed)
	{
		removed = remove_row(catalog, &shape, lfirst(cell));
		if (is_classes)
			remember_removed_relation(relations, removed);
		else if (change->catalog == ConstraintRelationId)
			announce_domain(removed);
	}
	foreach(cell, change->added)
	{
		HeapTuple	row = lfirst(cell);

		if (is_classes)
			row = remember_added_relation(relations, catalog, row);
		else if (change->catalog == ConstraintRelationId)
			announce_domain(row);
		else if (change->catalog == DatabaseRelationId && removed != NULL)
			row = catalog_row_localize(catalog, row, removed);	/* there is one database */
		CatalogTupleInsertWithInfo(catalog, row, indexes);
	}
	CatalogCloseIndexes(indexes);
	table_close(catalog, NoLock);
}

/* ---- files ---- */

static RelFileLocator
locator_of(const ChangedRelation *relation, RelFileNumber files)
{
	RelFileLocator locator;

	locator.spcOid = OidIsValid(relation->tablespace) ? relation->tablespace : MyDatabaseTableSpace;
	locator.dbOid = MyDatabaseId;
	locator.relNumber = files;
	return locator;
}

/* Left by an earlier attempt that was cut short by a crash. */
static void
remove_orphan(RelFileLocator locator)
{
	SMgrRelation orphan = smgropen(locator, InvalidBackendId);

	if (smgrexists(orphan, MAIN_FORKNUM))
		smgrdounlinkall(&orphan, 1, true);
	smgrclose(orphan);
}

static void
drop_files(RelFileLocator locator)
{
	Relation	fake = CreateFakeRelcacheEntry(locator);

	RelationDropStorage(fake);
	FreeFakeRelcacheEntry(fake);
}

static void
create_files(const ChangedRelation *changed)
{
	Relation	relation;
	TransactionId frozen_xid;
	MultiXactId min_multi;

	remove_orphan(locator_of(changed, changed->new_files));
	relation = relation_open(changed->relation, AccessShareLock);
	if (RELKIND_HAS_TABLE_AM(changed->relkind))
		table_relation_set_new_filelocator(relation, &relation->rd_locator,
										   RELPERSISTENCE_PERMANENT, &frozen_xid, &min_multi);
	else
		RelationCreateStorage(relation->rd_locator, RELPERSISTENCE_PERMANENT, true);
	relation_close(relation, NoLock);
}

static bool
has_changed_files(const ChangedRelation *relation)
{
	return RELKIND_HAS_STORAGE(relation->relkind) && relation->old_files != relation->new_files;
}

/*
 * Files that pass from a dropped relation to a new one: a change of type that
 * leaves an index's contents valid makes a new index of the old one's file.
 */
static List *
inherited_files(HTAB *relations)
{
	HASH_SEQ_STATUS status;
	ChangedRelation *relation;
	List	   *old_files = NIL;
	List	   *inherited = NIL;

	hash_seq_init(&status, relations);
	while ((relation = hash_seq_search(&status)) != NULL)
	{
		if (has_changed_files(relation) && RelFileNumberIsValid(relation->old_files))
			old_files = lappend_oid(old_files, relation->old_files);
	}
	hash_seq_init(&status, relations);
	while ((relation = hash_seq_search(&status)) != NULL)
	{
		if (has_changed_files(relation) && list_member_oid(old_files, relation->new_files))
			inherited = lappend_oid(inherited, relation->new_files);
	}
	list_free(old_files);
	return inherited;
}

static void
exchange_files(HTAB *relations)
{
	HASH_SEQ_STATUS status;
	ChangedRelation *relation;
	List	   *inherited = inherited_files(relations);

	hash_seq_init(&status, relations);
	while ((relation = hash_seq_search(&status)) != NULL)
	{
		if (!has_changed_files(relation))
			continue;
		if (RelFileNumberIsValid(relation->old_files) &&
			!list_member_oid(inherited, relation->old_files))
			drop_files(locator_of(relation, relation->old_files));
		if (RelFileNumberIsValid(relation->new_files) &&
			!list_member_oid(inherited, relation->new_files))
			create_files(relation);
	}
}

/* The file has just been created, or was inherited with its page. */
static void
write_file(const EntryFile *file)
{
	Relation	relation = relation_open(file->relation, AccessShareLock);
	Buffer		buffer;

	if (RelationGetNumberOfBlocks(relation) > 0)
	{
		relation_close(relation, NoLock);
		return;
	}
	buffer = ExtendBufferedRel(BMR_REL(relation), MAIN_FORKNUM, NULL, EB_LOCK_FIRST);
	START_CRIT_SECTION();
	memcpy(BufferGetPage(buffer), file->page, BLCKSZ);
	MarkBufferDirty(buffer);
	if (RelationNeedsWAL(relation))
		log_newpage_buffer(buffer, true);
	END_CRIT_SECTION();
	UnlockReleaseBuffer(buffer);
	relation_close(relation, NoLock);
}

/* ---- what is not in rows ---- */

static bool
relation_exists(Oid relation)
{
	return SearchSysCacheExists1(RELOID, ObjectIdGetDatum(relation));
}

static void
install_statistics(List *statistics)
{
	ListCell   *cell;

	foreach(cell, statistics)
	{
		EntryStatistics *size = lfirst(cell);
		Relation	relation;

		if (!relation_exists(size->relation))
			continue;
		relation = relation_open(size->relation, AccessShareLock);
		vac_update_relstats(relation, size->pages, size->tuples, size->all_visible,
							relation->rd_rel->relhasindex, InvalidTransactionId,
							InvalidMultiXactId, NULL, NULL, true);
		relation_close(relation, AccessShareLock);
	}
}

static void
invalidate_relations(List *relations)
{
	ListCell   *cell;

	foreach(cell, relations)
	{
		EntryRelation *relation = lfirst(cell);

		if (!OidIsValid(relation->relation))
			CacheInvalidateRelcacheAll();
		else if (relation_exists(relation->relation))
			CacheInvalidateRelcacheByRelid(relation->relation);
	}
}

void
catalog_apply(const CatalogEntry *entry)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(ChangedRelation),
	.hcxt = CurrentMemoryContext};
	HTAB	   *relations = hash_create("Borealis changed relations", 64, &control,
										HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	ListCell   *cell;

	foreach(cell, entry->catalogs)
		exchange_rows(lfirst(cell), relations);
	CommandCounterIncrement();
	exchange_files(relations);
	foreach(cell, entry->files)
		write_file(lfirst(cell));
	install_statistics(entry->statistics);
	invalidate_relations(entry->relations);
}
