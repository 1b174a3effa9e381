/*
 * key_codec_alter_type.c
 *	  Refuses changes of a type that would change the order, and so the
 *	  encoding, of values that are in keys already.
 *
 * ALTER TYPE ... ADD VALUE gives a new enum label a number between those of its
 * neighbours; when float4 has none left, PostgreSQL numbers all labels anew,
 * but stored keys hold the old numbers.  It takes about two dozen labels, each
 * added next to the one before.
 *
 * ALTER TYPE ... DROP ATTRIBUTE takes a part out of the values that stored keys
 * still hold.  ALTER ATTRIBUTE ... TYPE changes one; PostgreSQL itself refuses
 * that for columns of the type, but not for every index expression.
 */
#include "key_codec.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/parsenodes.h"
#include "parser/parse_type.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

static bool type_contains(Oid container, Oid type_id);

static bool
attributes_contain(Oid composite, Oid type_id)
{
	TupleDesc	descriptor = lookup_rowtype_tupdesc_copy(composite, -1);
	bool		found = false;

	for (int i = 0; i < descriptor->natts && !found; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);

		found = !attribute->attisdropped && type_contains(attribute->atttypid, type_id);
	}
	FreeTupleDesc(descriptor);
	return found;
}

/* Whether values of one type have values of the other inside. */
static bool
type_contains(Oid container, Oid type_id)
{
	Oid			inner;

	check_stack_depth();
	container = getBaseType(container);
	if (container == type_id)
		return true;
	if (OidIsValid(inner = get_element_type(container)) ||
		OidIsValid(inner = get_range_subtype(container)) ||
		OidIsValid(inner = get_multirange_range(container)))
		return type_contains(inner, type_id);
	return get_typtype(container) == TYPTYPE_COMPOSITE && attributes_contain(container, type_id);
}

/* The name of an index that has values of the type in its key, or NULL. */
static char *
find_index_with_type(Oid type_id)
{
	Relation	pg_index = table_open(IndexRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(pg_index, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;
	char	   *name = NULL;

	while (name == NULL && HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_index index = (Form_pg_index) GETSTRUCT(tuple);

		for (int i = 1; i <= index->indnkeyatts && name == NULL; i++)
		{
			Oid			column_type = get_atttype(index->indexrelid, i);

			if (OidIsValid(column_type) && type_contains(column_type, type_id))
				name = get_rel_name(index->indexrelid);
		}
	}
	systable_endscan(scan);
	table_close(pg_index, AccessShareLock);
	return name;
}

typedef struct Label
{
	float4		sort_order;
	bool		is_neighbour;
} Label;

static int
compare_labels(const void *a, const void *b)
{
	float4		left = ((const Label *) a)->sort_order;
	float4		right = ((const Label *) b)->sort_order;

	return (left > right) - (left < right);
}

/* Whether no float4 lies between the neighbour and the label beyond it. */
static bool
label_has_no_room(Oid enum_type, const AlterEnumStmt *statement)
{
	CatCList   *members = SearchSysCacheList1(ENUMTYPOIDNAME, ObjectIdGetDatum(enum_type));
	int			count = members->n_members;
	Label	   *labels = palloc(Max(count, 1) * sizeof(Label));
	bool		exists = false;
	bool		has_no_room = false;

	for (int i = 0; i < count; i++)
	{
		Form_pg_enum label = (Form_pg_enum) GETSTRUCT(&members->members[i]->tuple);

		exists |= strcmp(NameStr(label->enumlabel), statement->newVal) == 0;
		labels[i].sort_order = label->enumsortorder;
		labels[i].is_neighbour = strcmp(NameStr(label->enumlabel), statement->newValNeighbor) == 0;
	}
	ReleaseCatCacheList(members);

	qsort(labels, count, sizeof(Label), compare_labels);
	for (int i = 0; i < count && !exists; i++)
	{
		int			beyond = statement->newValIsAfter ? i + 1 : i - 1;

		if (labels[i].is_neighbour && beyond >= 0 && beyond < count)
		{
			/* In memory, so that it is rounded as the stored number will be. */
			volatile float4 middle = (labels[i].sort_order + labels[beyond].sort_order) / 2;

			has_no_room = middle == labels[i].sort_order || middle == labels[beyond].sort_order;
		}
	}
	pfree(labels);
	return has_no_room;
}

static void
check_alter_enum(const AlterEnumStmt *statement)
{
	Oid			type_id;
	char	   *index;

	/* Renaming a label, or adding one at the end, renumbers nothing. */
	if (statement->oldVal != NULL || statement->newValNeighbor == NULL)
		return;
	type_id = LookupTypeNameOid(NULL, makeTypeNameFromNameList(statement->typeName), true);
	if (!OidIsValid(type_id) || !label_has_no_room(type_id, statement))
		return;
	index = find_index_with_type(type_id);
	if (index != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot add label \"%s\" here: the labels of enum type %s would be renumbered, and keys of index \"%s\" hold their numbers",
						statement->newVal, format_type_be(type_id), index),
				 errhint("Create a new enum type and change the columns to it.")));
}

static void
check_alter_composite(const AlterTableStmt *statement)
{
	Oid			relation;
	Oid			type_id;
	char	   *index;
	bool		reorders = false;
	ListCell   *cell;

	foreach(cell, statement->cmds)
	{
		AlterTableType subtype = lfirst_node(AlterTableCmd, cell)->subtype;

		reorders |= subtype == AT_DropColumn || subtype == AT_AlterColumnType;
	}
	if (!reorders)
		return;
	relation = RangeVarGetRelid(statement->relation, NoLock, true);
	type_id = OidIsValid(relation) ? get_rel_type_id(relation) : InvalidOid;
	if (!OidIsValid(type_id))
		return;
	index = find_index_with_type(type_id);
	if (index != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot drop or change attributes of type %s: keys of index \"%s\" hold its values",
						format_type_be(type_id), index),
				 errhint("Drop the index, or create a new type and change the columns to it.")));
}

void
key_codec_check_alter_type(Node *statement)
{
	if (IsA(statement, AlterEnumStmt))
		check_alter_enum((AlterEnumStmt *) statement);
	else if (IsA(statement, AlterTableStmt) &&
			 ((AlterTableStmt *) statement)->objtype == OBJECT_TYPE)
		check_alter_composite((AlterTableStmt *) statement);
}
