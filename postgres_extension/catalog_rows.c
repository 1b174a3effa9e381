/*
 * catalog_rows.c
 *	  See catalog_rows.h.
 *
 * Every catalog of the server has a line in rules[]: it says which object a row
 * belongs to, so that the rows of temporary objects stay where they are.  The
 * worker checks at its start that no catalog is missing.
 */
#include "borealis.h"

#include "access/detoast.h"
#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "catalog/pg_aggregate.h"
#include "catalog/pg_am.h"
#include "catalog/pg_amop.h"
#include "catalog/pg_amproc.h"
#include "catalog/pg_attrdef.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_auth_members.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_cast.h"
#include "catalog/pg_class.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_constraint.h"
#include "catalog/pg_conversion.h"
#include "catalog/pg_database.h"
#include "catalog/pg_db_role_setting.h"
#include "catalog/pg_default_acl.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_description.h"
#include "catalog/pg_enum.h"
#include "catalog/pg_event_trigger.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_foreign_data_wrapper.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_index.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_init_privs.h"
#include "catalog/pg_language.h"
#include "catalog/pg_largeobject.h"
#include "catalog/pg_largeobject_metadata.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_opclass.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_opfamily.h"
#include "catalog/pg_parameter_acl.h"
#include "catalog/pg_partitioned_table.h"
#include "catalog/pg_policy.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_publication_namespace.h"
#include "catalog/pg_publication_rel.h"
#include "catalog/pg_range.h"
#include "catalog/pg_replication_origin.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_seclabel.h"
#include "catalog/pg_sequence.h"
#include "catalog/pg_shdepend.h"
#include "catalog/pg_shdescription.h"
#include "catalog/pg_shseclabel.h"
#include "catalog/pg_statistic.h"
#include "catalog/pg_statistic_ext.h"
#include "catalog/pg_statistic_ext_data.h"
#include "catalog/pg_subscription.h"
#include "catalog/pg_subscription_rel.h"
#include "catalog/pg_tablespace.h"
#include "catalog/pg_transform.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_ts_config.h"
#include "catalog/pg_ts_config_map.h"
#include "catalog/pg_ts_dict.h"
#include "catalog/pg_ts_parser.h"
#include "catalog/pg_ts_template.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "common/hashfn.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "catalog_rows.h"
#include "row_codec.h"

typedef enum CatalogKind
{
	ROWS_OF_EVERYBODY,			/* what they describe is never temporary */
	ROWS_IN_NAMESPACE,			/* column: the namespace of the object */
	ROWS_NAMESPACES,
	ROWS_OF_OBJECT,				/* column: an object of the class */
	ROWS_OF_ANY_OBJECT,			/* class_column and column */
	ROWS_LOCAL					/* never shipped */
} CatalogKind;

typedef struct CatalogRule
{
	Oid			catalog;
	CatalogKind kind;
	AttrNumber	column;
	Oid			class_id;
	AttrNumber	class_column;
} CatalogRule;

static const CatalogRule rules[] = {
	{AggregateRelationId, ROWS_OF_OBJECT, Anum_pg_aggregate_aggfnoid, ProcedureRelationId},
	{AccessMethodRelationId, ROWS_OF_EVERYBODY},
	{AccessMethodOperatorRelationId, ROWS_OF_OBJECT, Anum_pg_amop_amopfamily, OperatorFamilyRelationId},
	{AccessMethodProcedureRelationId, ROWS_OF_OBJECT, Anum_pg_amproc_amprocfamily, OperatorFamilyRelationId},
	{AttrDefaultRelationId, ROWS_OF_OBJECT, Anum_pg_attrdef_adrelid, RelationRelationId},
	{AttributeRelationId, ROWS_OF_OBJECT, Anum_pg_attribute_attrelid, RelationRelationId},
	{AuthMemRelationId, ROWS_OF_EVERYBODY},
	{AuthIdRelationId, ROWS_OF_EVERYBODY},
	{CastRelationId, ROWS_OF_EVERYBODY},
	{RelationRelationId, ROWS_IN_NAMESPACE, Anum_pg_class_relnamespace},
	{CollationRelationId, ROWS_IN_NAMESPACE, Anum_pg_collation_collnamespace},
	{ConstraintRelationId, ROWS_IN_NAMESPACE, Anum_pg_constraint_connamespace},
	{ConversionRelationId, ROWS_IN_NAMESPACE, Anum_pg_conversion_connamespace},
	{DatabaseRelationId, ROWS_OF_EVERYBODY},
	{DbRoleSettingRelationId, ROWS_OF_EVERYBODY},
	{DefaultAclRelationId, ROWS_IN_NAMESPACE, Anum_pg_default_acl_defaclnamespace},
	{DependRelationId, ROWS_OF_ANY_OBJECT, Anum_pg_depend_objid, InvalidOid, Anum_pg_depend_classid},
	{DescriptionRelationId, ROWS_OF_ANY_OBJECT, Anum_pg_description_objoid, InvalidOid, Anum_pg_description_classoid},
	{EnumRelationId, ROWS_OF_OBJECT, Anum_pg_enum_enumtypid, TypeRelationId},
	{EventTriggerRelationId, ROWS_OF_EVERYBODY},
	{ExtensionRelationId, ROWS_OF_EVERYBODY},
	{ForeignDataWrapperRelationId, ROWS_OF_EVERYBODY},
	{ForeignServerRelationId, ROWS_OF_EVERYBODY},
	{ForeignTableRelationId, ROWS_OF_OBJECT, Anum_pg_foreign_table_ftrelid, RelationRelationId},
	{IndexRelationId, ROWS_OF_OBJECT, Anum_pg_index_indexrelid, RelationRelationId},
	{InheritsRelationId, ROWS_OF_OBJECT, Anum_pg_inherits_inhrelid, RelationRelationId},
	{InitPrivsRelationId, ROWS_OF_ANY_OBJECT, Anum_pg_init_privs_objoid, InvalidOid, Anum_pg_init_privs_classoid},
	{LanguageRelationId, ROWS_OF_EVERYBODY},
	{LargeObjectRelationId, ROWS_LOCAL},
	{LargeObjectMetadataRelationId, ROWS_LOCAL},
	{NamespaceRelationId, ROWS_NAMESPACES},
	{OperatorClassRelationId, ROWS_IN_NAMESPACE, Anum_pg_opclass_opcnamespace},
	{OperatorRelationId, ROWS_IN_NAMESPACE, Anum_pg_operator_oprnamespace},
	{OperatorFamilyRelationId, ROWS_IN_NAMESPACE, Anum_pg_opfamily_opfnamespace},
	{ParameterAclRelationId, ROWS_OF_EVERYBODY},
	{PartitionedRelationId, ROWS_OF_OBJECT, Anum_pg_partitioned_table_partrelid, RelationRelationId},
	{PolicyRelationId, ROWS_OF_OBJECT, Anum_pg_policy_polrelid, RelationRelationId},
	{ProcedureRelationId, ROWS_IN_NAMESPACE, Anum_pg_proc_pronamespace},
	{PublicationRelationId, ROWS_OF_EVERYBODY},
	{PublicationNamespaceRelationId, ROWS_OF_EVERYBODY},
	{PublicationRelRelationId, ROWS_OF_OBJECT, Anum_pg_publication_rel_prrelid, RelationRelationId},
	{RangeRelationId, ROWS_OF_OBJECT, Anum_pg_range_rngtypid, TypeRelationId},
	{ReplicationOriginRelationId, ROWS_LOCAL},
	{RewriteRelationId, ROWS_OF_OBJECT, Anum_pg_rewrite_ev_class, RelationRelationId},
	{SecLabelRelationId, ROWS_OF_ANY_OBJECT, Anum_pg_seclabel_objoid, InvalidOid, Anum_pg_seclabel_classoid},
	{SequenceRelationId, ROWS_OF_OBJECT, Anum_pg_sequence_seqrelid, RelationRelationId},
	{SharedDependRelationId, ROWS_OF_ANY_OBJECT, Anum_pg_shdepend_objid, InvalidOid, Anum_pg_shdepend_classid},
	{SharedDescriptionRelationId, ROWS_OF_EVERYBODY},
	{SharedSecLabelRelationId, ROWS_OF_EVERYBODY},
	{StatisticRelationId, ROWS_OF_OBJECT, Anum_pg_statistic_starelid, RelationRelationId},
	{StatisticExtRelationId, ROWS_IN_NAMESPACE, Anum_pg_statistic_ext_stxnamespace},
	{StatisticExtDataRelationId, ROWS_OF_OBJECT, Anum_pg_statistic_ext_data_stxoid, StatisticExtRelationId},
	{SubscriptionRelationId, ROWS_LOCAL},
	{SubscriptionRelRelationId, ROWS_LOCAL},
	{TableSpaceRelationId, ROWS_OF_EVERYBODY},
	{TransformRelationId, ROWS_OF_EVERYBODY},
	{TriggerRelationId, ROWS_OF_OBJECT, Anum_pg_trigger_tgrelid, RelationRelationId},
	{TSConfigRelationId, ROWS_IN_NAMESPACE, Anum_pg_ts_config_cfgnamespace},
	{TSConfigMapRelationId, ROWS_OF_OBJECT, Anum_pg_ts_config_map_mapcfg, TSConfigRelationId},
	{TSDictionaryRelationId, ROWS_IN_NAMESPACE, Anum_pg_ts_dict_dictnamespace},
	{TSParserRelationId, ROWS_IN_NAMESPACE, Anum_pg_ts_parser_prsnamespace},
	{TSTemplateRelationId, ROWS_IN_NAMESPACE, Anum_pg_ts_template_tmplnamespace},
	{TypeRelationId, ROWS_IN_NAMESPACE, Anum_pg_type_typnamespace},
	{UserMappingRelationId, ROWS_OF_EVERYBODY},
};

/* About local files and transaction ids: an instance keeps its own. */
static const AttrNumber class_local_columns[] = {
	Anum_pg_class_relpages, Anum_pg_class_reltuples, Anum_pg_class_relallvisible,
	Anum_pg_class_relfrozenxid, Anum_pg_class_relminmxid
};
static const AttrNumber database_local_columns[] = {
	Anum_pg_database_datfrozenxid, Anum_pg_database_datminmxid
};

/* Changed in place, which leaves no row version behind to ship. */
static const AttrNumber class_unhashed_columns[] = {
	Anum_pg_class_relhasindex, Anum_pg_class_relhasrules, Anum_pg_class_relhastriggers
};

static const CatalogRule *
find_rule(Oid catalog)
{
	for (int i = 0; i < lengthof(rules); i++)
	{
		if (rules[i].catalog == catalog)
			return &rules[i];
	}
	return NULL;
}

bool
catalog_is_local(Oid catalog)
{
	const CatalogRule *rule = find_rule(catalog);

	return rule == NULL || rule->kind == ROWS_LOCAL;
}

void
catalog_for_each(void (*visit) (Oid catalog, void *arg), void *arg)
{
	for (int i = 0; i < lengthof(rules); i++)
		visit(rules[i].catalog, arg);
}

void
catalog_rows_check_server(void)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	SysScanDesc scan = systable_beginscan(classes, InvalidOid, false, NULL, 0, NULL);
	HeapTuple	tuple;

	while ((tuple = systable_getnext(scan)) != NULL)
	{
		Form_pg_class class_form = (Form_pg_class) GETSTRUCT(tuple);

		if (class_form->relnamespace == PG_CATALOG_NAMESPACE &&
			class_form->relkind == RELKIND_RELATION &&
			find_rule(class_form->oid) == NULL)
			elog(ERROR, "catalog \"%s\" has no replication rule", NameStr(class_form->relname));
	}
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
}

void
catalog_shape(Relation catalog, CatalogShape *shape)
{
	Relation	index;

	memset(shape, 0, sizeof(*shape));
	shape->has_oid = strcmp(NameStr(TupleDescAttr(RelationGetDescr(catalog), 0)->attname), "oid") == 0;

	switch (RelationGetRelid(catalog))
	{
		case DependRelationId:
			shape->index = DependDependerIndexId;
			shape->is_key_whole_row = true;
			break;
		case SharedDependRelationId:
			shape->index = SharedDependDependerIndexId;
			shape->is_key_whole_row = true;
			break;
		default:
			shape->index = RelationGetPrimaryKeyIndex(catalog);
			break;
	}
	if (!OidIsValid(shape->index))
		elog(ERROR, "catalog \"%s\" has no primary key", RelationGetRelationName(catalog));

	index = index_open(shape->index, AccessShareLock);
	shape->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	if (shape->nkeys > CATALOG_KEYS_MAX)
		elog(ERROR, "catalog \"%s\" has too many key columns", RelationGetRelationName(catalog));
	for (int i = 0; i < shape->nkeys; i++)
		shape->keys[i] = index->rd_index->indkey.values[i];
	index_close(index, AccessShareLock);
}

HeapTuple
catalog_row_canonical(Relation catalog, HeapTuple tuple)
{
	TupleDesc	descriptor = RelationGetDescr(catalog);
	Datum	   *values = palloc(descriptor->natts * sizeof(Datum));
	bool	   *isnull = palloc(descriptor->natts * sizeof(bool));
	HeapTuple	canonical;

	heap_deform_tuple(tuple, descriptor, values, isnull);
	for (int i = 0; i < descriptor->natts; i++)
	{
		if (!isnull[i] && TupleDescAttr(descriptor, i)->attlen == -1)
			values[i] = PointerGetDatum(PG_DETOAST_DATUM(values[i]));
	}
	canonical = heap_form_tuple(descriptor, values, isnull);
	pfree(values);
	pfree(isnull);
	return canonical;
}

HeapTuple
catalog_row_key(Relation catalog, const CatalogShape *shape, HeapTuple canonical)
{
	TupleDesc	descriptor = RelationGetDescr(catalog);
	Datum	   *values;
	bool	   *isnull;
	HeapTuple	key;

	if (shape->is_key_whole_row)
		return canonical;

	values = palloc0(descriptor->natts * sizeof(Datum));
	isnull = palloc(descriptor->natts * sizeof(bool));
	memset(isnull, true, descriptor->natts * sizeof(bool));
	for (int i = 0; i < shape->nkeys; i++)
	{
		int			column = shape->keys[i] - 1;

		values[column] = heap_getattr(canonical, shape->keys[i], descriptor, &isnull[column]);
	}
	key = heap_form_tuple(descriptor, values, isnull);
	pfree(values);
	pfree(isnull);
	return key;
}

static void
collect_columns(bool *replace, const AttrNumber *columns, int count)
{
	for (int i = 0; i < count; i++)
		replace[columns[i] - 1] = true;
}

/* Marks the columns that an instance keeps for itself.  False if there are none. */
static bool
mark_local_columns(Oid catalog, bool *replace)
{
	if (catalog == RelationRelationId)
		collect_columns(replace, class_local_columns, lengthof(class_local_columns));
	else if (catalog == DatabaseRelationId)
		collect_columns(replace, database_local_columns, lengthof(database_local_columns));
	else
		return false;
	return true;
}

uint64
catalog_row_hash(Relation catalog, HeapTuple canonical)
{
	TupleDesc	descriptor = RelationGetDescr(catalog);
	bool	   *replace = palloc0(descriptor->natts * sizeof(bool));
	HeapTuple	hashed = canonical;
	Size		size;
	char	   *bytes;
	uint64		hash;

	if (mark_local_columns(RelationGetRelid(catalog), replace))
	{
		Datum	   *zeros = palloc0(descriptor->natts * sizeof(Datum));
		bool	   *not_null = palloc0(descriptor->natts * sizeof(bool));

		if (RelationGetRelid(catalog) == RelationRelationId)
			collect_columns(replace, class_unhashed_columns, lengthof(class_unhashed_columns));
		hashed = heap_modify_tuple(canonical, descriptor, zeros, not_null, replace);
		pfree(zeros);
		pfree(not_null);
	}
	size = row_encoded_size(hashed);
	bytes = palloc(size);
	row_encode(hashed, bytes);
	hash = hash_bytes_extended((unsigned char *) bytes, size, 0);
	pfree(bytes);
	pfree(replace);
	if (hashed != canonical)
		heap_freetuple(hashed);
	return hash;
}

HeapTuple
catalog_row_localize(Relation catalog, HeapTuple added, HeapTuple old)
{
	TupleDesc	descriptor = RelationGetDescr(catalog);
	bool	   *replace = palloc0(descriptor->natts * sizeof(bool));
	Datum	   *values;
	bool	   *isnull;

	if (!mark_local_columns(RelationGetRelid(catalog), replace))
		return added;

	/* New files have nothing in common with the old ones. */
	if (RelationGetRelid(catalog) == RelationRelationId &&
		((Form_pg_class) GETSTRUCT(added))->relfilenode != ((Form_pg_class) GETSTRUCT(old))->relfilenode)
		return added;

	values = palloc(descriptor->natts * sizeof(Datum));
	isnull = palloc(descriptor->natts * sizeof(bool));
	heap_deform_tuple(old, descriptor, values, isnull);
	return heap_modify_tuple(added, descriptor, values, isnull, replace);
}

static Oid
get_oid_column(Relation catalog, HeapTuple row, AttrNumber column)
{
	bool		isnull;
	Datum		value = heap_getattr(row, column, RelationGetDescr(catalog), &isnull);

	return isnull ? InvalidOid : DatumGetObjectId(value);
}

bool
catalog_row_owner(Relation catalog, HeapTuple row, Oid *class_id, Oid *object_id)
{
	const CatalogRule *rule = find_rule(RelationGetRelid(catalog));

	switch (rule->kind)
	{
		case ROWS_OF_OBJECT:
			*class_id = rule->class_id;
			*object_id = get_oid_column(catalog, row, rule->column);
			return true;
		case ROWS_OF_ANY_OBJECT:
			*class_id = get_oid_column(catalog, row, rule->class_column);
			*object_id = get_oid_column(catalog, row, rule->column);
			return true;
		case ROWS_OF_EVERYBODY:
		case ROWS_IN_NAMESPACE:
		case ROWS_NAMESPACES:
		case ROWS_LOCAL:
			break;
	}
	return false;
}

Oid
catalog_row_namespace(Relation catalog, HeapTuple row)
{
	const CatalogRule *rule = find_rule(RelationGetRelid(catalog));

	switch (rule->kind)
	{
		case ROWS_IN_NAMESPACE:
			return get_oid_column(catalog, row, rule->column);
		case ROWS_NAMESPACES:
			return ((Form_pg_namespace) GETSTRUCT(row))->oid;
		case ROWS_OF_OBJECT:
		case ROWS_OF_ANY_OBJECT:
		case ROWS_OF_EVERYBODY:
		case ROWS_LOCAL:
			break;
	}
	return InvalidOid;
}

/* Of a row of the object's own, or of the object that it belongs to. */
static Oid
namespace_of_row(Relation catalog, HeapTuple row)
{
	Oid			class_id;
	Oid			object_id;

	if (catalog_row_owner(catalog, row, &class_id, &object_id))
		return catalog_object_namespace(class_id, object_id);
	return catalog_row_namespace(catalog, row);
}

Oid
catalog_object_namespace(Oid class_id, Oid object_id)
{
	Relation	catalog;
	CatalogShape shape;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	row;
	Oid			namespace = InvalidOid;

	if (catalog_is_local(class_id))
		return InvalidOid;
	catalog = table_open(class_id, AccessShareLock);
	catalog_shape(catalog, &shape);
	Assert(shape.has_oid);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(object_id));
	scan = systable_beginscan(catalog, shape.index, true, NULL, 1, &key);
	row = systable_getnext(scan);
	if (HeapTupleIsValid(row))
		namespace = namespace_of_row(catalog, row);
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return namespace;
}
