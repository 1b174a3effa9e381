/*
 * layout.c
 *	  Keys of rows and index entries.  See layout.h and docs/formats.md.
 *
 * A table with an immediate primary key is stored in the order of that key;
 * every other table by a hidden row id.  The primary key's OID is part of the
 * row key: rows written under an earlier primary key (or none) stay readable
 * and never collide with those of a new one, until its build has moved them.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/index.h"
#include "catalog/pg_index.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "port/pg_bswap.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "commit_client.h"
#include "layout.h"
#include "row_codec.h"

#define HIDDEN_ROW_ID_RANDOM 12

/*
 * Expression state of indexes that are not plain, kept for the transaction as long
 * as the table stays what it is.
 */
typedef struct IndexExpressions
{
	Oid			index;			/* hash key */
	Oid			table;
	bool		is_outdated;
	EState	   *estate;
	IndexInfo  *info;
	ExprState  *predicate;
	TupleTableSlot *slot;
} IndexExpressions;

static HTAB *expressions_cache = NULL;
static MemoryContext expressions_context = NULL;

/* Hidden row ids of this transaction: random part and counter. */
static uint8 hidden_row_id_random[HIDDEN_ROW_ID_RANDOM];
static uint32 hidden_row_id_next = 0;

static void
fill_columns(Relation index, int nkeys, AttrNumber *attnums, KeyColumn *columns)
{
	TupleDesc	descriptor = RelationGetDescr(index);

	for (int i = 0; i < nkeys; i++)
	{
		int16		options = index->rd_indoption[i];
		Oid			type_id = TupleDescAttr(descriptor, i)->atttypid;

		/* btree keeps names as cstring; what is encoded is still a name */
		if (type_id == CSTRINGOID)
			type_id = index->rd_opcintype[i];
		attnums[i] = index->rd_index->indkey.values[i];
		key_column_init(&columns[i], index->rd_opfamily[i], index->rd_opcintype[i],
						type_id, index->rd_indcollation[i],
						(options & INDOPTION_DESC) != 0,
						(options & INDOPTION_NULLS_FIRST) != 0);
	}
}

bool
index_will_hold_rows(Relation index)
{
	return index->rd_index->indisprimary && index->rd_index->indimmediate;
}

/*
 * What the build decided stays: ADD PRIMARY KEY USING INDEX makes a primary key of an
 * index whose entries are not the rows.  The build left its decision in a
 * field of the metapage that only btree's deduplication reads.
 */
static bool
index_holds_rows(Relation index)
{
	Buffer		buffer;
	bool		result;

	if (!index_will_hold_rows(index))
		return false;
	buffer = ReadBuffer(index, BTREE_METAPAGE);
	LockBuffer(buffer, BUFFER_LOCK_SHARE);
	result = BTPageGetMeta(BufferGetPage(buffer))->btm_allequalimage;
	UnlockReleaseBuffer(buffer);
	return result;
}

const IndexLayout *
index_layout(Relation index)
{
	IndexLayout *layout = (IndexLayout *) index->rd_amcache;
	bool		holds_rows;

	if (layout != NULL)
		return layout;

	holds_rows = index_holds_rows(index);
	layout = MemoryContextAllocZero(index->rd_indexcxt, sizeof(IndexLayout));
	layout->metapage.btm_magic = BTREE_MAGIC;
	layout->metapage.btm_version = BTREE_VERSION;
	layout->metapage.btm_root = 1;
	layout->metapage.btm_fastroot = 1;
	layout->holds_rows = holds_rows;
	layout->is_unique = index->rd_index->indisunique;
	layout->nulls_not_distinct = index->rd_index->indnullsnotdistinct;
	layout->is_plain = RelationGetIndexExpressions(index) == NIL &&
		RelationGetIndexPredicate(index) == NIL;
	layout->identifies_rows = layout->is_unique && layout->is_plain &&
		index->rd_index->indimmediate;
	layout->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
	fill_columns(index, layout->nkeys, layout->attnums, layout->columns);
	index->rd_amcache = layout;
	return layout;
}

const TableLayout *
table_layout(Relation table)
{
	TableLayout *layout = (TableLayout *) table->rd_amcache;
	List	   *indexes;
	ListCell   *cell;
	TableLayout *built;
	Oid			primary_key = InvalidOid;

	if (layout != NULL)
		return layout;

	indexes = RelationGetIndexList(table);
	built = palloc0(offsetof(TableLayout, indexes) + sizeof(Oid) * list_length(indexes));
	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), NoLock);

		if (index->rd_index->indisvalid && index_layout(index)->holds_rows)
		{
			primary_key = RelationGetRelid(index);
			built->nkeys = IndexRelationGetNumberOfKeyAttributes(index);
			fill_columns(index, built->nkeys, built->attnums, built->columns);
		}
		else if (index->rd_index->indisready)
			built->indexes[built->nindexes++] = RelationGetRelid(index);
		index_close(index, NoLock);
	}
	built->primary_key = primary_key;

	/* Opening the indexes may have processed invalidations: install last. */
	layout = MemoryContextAlloc(CacheMemoryContext,
								offsetof(TableLayout, indexes) + sizeof(Oid) * list_length(indexes));
	memcpy(layout, built, offsetof(TableLayout, indexes) + sizeof(Oid) * list_length(indexes));
	if (table->rd_amcache != NULL)
		pfree(table->rd_amcache);
	table->rd_amcache = layout;
	pfree(built);
	list_free(indexes);
	return layout;
}

int
table_secondary_indexes(Relation table, Oid **indexes)
{
	const TableLayout *layout = table_layout(table);
	int			count = layout->nindexes;

	*indexes = NULL;
	if (count > 0)
	{
		*indexes = palloc(count * sizeof(Oid));
		memcpy(*indexes, layout->indexes, count * sizeof(Oid));
	}
	return count;
}

void
key_append_prefix(StringInfo key, uint8 namespace, RelFileNumber relfilenode)
{
	uint8		prefix[KEY_PREFIX_SIZE];
	uint32		number = pg_hton32(relfilenode);

	prefix[0] = namespace;
	memcpy(prefix + 1, &number, sizeof(number));
	appendBinaryStringInfoNT(key, (char *) prefix, sizeof(prefix));
}

void
row_key_append_prefix(StringInfo key, Relation table, Oid primary_key)
{
	uint32		number = pg_hton32(primary_key);

	key_append_prefix(key, KEY_NAMESPACE_ROW, table->rd_locator.relNumber);
	appendBinaryStringInfoNT(key, (char *) &number, sizeof(number));
}

void
key_check_size(const StringInfoData *key, Relation relation)
{
	if (unlikely(key->len > KEY_SIZE_MAX))
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("key size too large"),
				 errdetail("A key of \"%s\" takes %d bytes, the limit is %d.",
						   RelationGetRelationName(relation), key->len, KEY_SIZE_MAX),
				 errhint("Index a hash or a prefix of the value instead.")));
}

void
key_make_successor(StringInfo key)
{
	while (key->len > 0)
	{
		uint8	   *last = (uint8 *) key->data + key->len - 1;

		if (*last != 0xFF)
		{
			(*last)++;
			return;
		}
		key->len--;
	}
	elog(ERROR, "a key of 0xFF bytes has no successor");
}

static void
append_hidden_row_id(StringInfo key)
{
	uint32		counter;

	if (hidden_row_id_next == 0)
	{
		uint8		random[TRANSACTION_ID_SIZE];

		StaticAssertStmt(HIDDEN_ROW_ID_RANDOM <= TRANSACTION_ID_SIZE, "row id randomness");
		commit_client_new_transaction_id(random);
		memcpy(hidden_row_id_random, random, HIDDEN_ROW_ID_RANDOM);
	}
	counter = pg_hton32(hidden_row_id_next);
	if (++hidden_row_id_next == 0)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many rows in one transaction")));
	appendBinaryStringInfoNT(key, (char *) hidden_row_id_random, HIDDEN_ROW_ID_RANDOM);
	appendBinaryStringInfoNT(key, (char *) &counter, sizeof(counter));
}

void
row_key_build(StringInfo key, Relation table, HeapTuple tuple)
{
	const TableLayout *layout = table_layout(table);
	TupleDesc	descriptor = RelationGetDescr(table);

	row_key_append_prefix(key, table, layout->primary_key);
	if (!OidIsValid(layout->primary_key))
	{
		append_hidden_row_id(key);
		return;
	}
	for (int i = 0; i < layout->nkeys; i++)
	{
		bool		isnull;
		Datum		value = heap_getattr(tuple, layout->attnums[i], descriptor, &isnull);

		key_encode_column(key, &layout->columns[i], value, isnull);
	}
	key_check_size(key, table);
}

void
row_key_build_for_index(StringInfo key, Relation table, Relation index,
						const Datum *values, const bool *isnull)
{
	const IndexLayout *layout = index_layout(index);

	row_key_append_prefix(key, table, RelationGetRelid(index));
	for (int i = 0; i < layout->nkeys; i++)
		key_encode_column(key, &layout->columns[i], values[i], isnull[i]);
	key_check_size(key, index);
}

/* Called when a table has perhaps been altered, or with InvalidOid for all. */
static void
outdate_expressions(Datum unused, Oid table)
{
	HASH_SEQ_STATUS scan;
	IndexExpressions *entry;

	if (expressions_cache == NULL)
		return;
	hash_seq_init(&scan, expressions_cache);
	while ((entry = hash_seq_search(&scan)) != NULL)
		entry->is_outdated |= !OidIsValid(table) || entry->table == table;
}

static IndexExpressions *
index_expressions(Relation table, Relation index)
{
	Oid			oid = RelationGetRelid(index);
	IndexExpressions *entry;
	bool		found;

	if (expressions_cache == NULL)
	{
		HASHCTL		control = {0};

		if (expressions_context == NULL)
		{
			expressions_context = AllocSetContextCreate(TopMemoryContext,
														"borealis index expressions",
														ALLOCSET_DEFAULT_SIZES);
			CacheRegisterRelcacheCallback(outdate_expressions, (Datum) 0);
		}
		control.keysize = sizeof(Oid);
		control.entrysize = sizeof(IndexExpressions);
		control.hcxt = expressions_context;
		expressions_cache = hash_create("borealis index expressions", 16, &control,
										HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(expressions_cache, &oid, HASH_FIND, &found);
	if (!found || entry->is_outdated)
	{
		/* an outdated state stays: one of its expressions may be what is running */
		MemoryContext old = MemoryContextSwitchTo(expressions_context);
		IndexExpressions built = {.index = oid,.table = RelationGetRelid(table)};

		built.estate = CreateExecutorState();
		MemoryContextSetParent(built.estate->es_query_cxt, expressions_context);
		MemoryContextSwitchTo(built.estate->es_query_cxt);
		built.info = BuildIndexInfo(index);
		built.predicate = ExecPrepareQual(built.info->ii_Predicate, built.estate);
		/* not from the relation: its descriptor may be replaced while we keep the slot */
		built.slot = MakeSingleTupleTableSlot(CreateTupleDescCopyConstr(RelationGetDescr(table)),
											  &TTSOpsHeapTuple);
		MemoryContextSwitchTo(old);
		entry = hash_search(expressions_cache, &oid, HASH_ENTER, &found);
		*entry = built;
	}
	return entry;
}

bool
index_form_values(Relation table, Relation index, HeapTuple tuple,
				  Datum *values, bool *isnull)
{
	const IndexLayout *layout = index_layout(index);
	IndexExpressions *expressions;
	ExprContext *econtext;

	if (layout->is_plain)
	{
		TupleDesc	descriptor = RelationGetDescr(table);

		for (int i = 0; i < IndexRelationGetNumberOfAttributes(index); i++)
			values[i] = heap_getattr(tuple, index->rd_index->indkey.values[i],
									 descriptor, &isnull[i]);
		return true;
	}

	expressions = index_expressions(table, index);
	ResetPerTupleExprContext(expressions->estate);
	econtext = GetPerTupleExprContext(expressions->estate);
	ExecStoreHeapTuple(tuple, expressions->slot, false);
	econtext->ecxt_scantuple = expressions->slot;
	if (!ExecQual(expressions->predicate, econtext))
	{
		ExecClearTuple(expressions->slot);
		return false;
	}
	FormIndexDatum(expressions->info, expressions->slot, expressions->estate, values, isnull);
	ExecClearTuple(expressions->slot);
	return true;
}

uint32
index_entry_build(StringInfo key, StringInfo value, Relation index,
				  const Datum *values, const bool *isnull,
				  const uint8 *row_key, uint32 row_key_size)
{
	const IndexLayout *layout = index_layout(index);
	uint16		tail;

	key_append_prefix(key, KEY_NAMESPACE_INDEX, index->rd_locator.relNumber);
	for (int i = 0; i < layout->nkeys; i++)
		key_encode_column(key, &layout->columns[i], values[i], isnull[i]);
	tail = (uint16) Min(key->len, PG_UINT16_MAX);
	appendBinaryStringInfoNT(key, (const char *) row_key + KEY_PREFIX_SIZE,
							 row_key_size - KEY_PREFIX_SIZE);
	key_check_size(key, index);

	if (value != NULL)
	{
		HeapTuple	tuple = heap_form_tuple(RelationGetDescr(index),
											unconstify(Datum *, values),
											unconstify(bool *, isnull));
		Size		size = row_encoded_size(tuple);

		appendBinaryStringInfoNT(value, (char *) &tail, sizeof(tail));
		enlargeStringInfo(value, size);
		row_encode(tuple, value->data + value->len);
		value->len += size;
		heap_freetuple(tuple);
	}
	return tail;
}

bool
index_values_are_unique(const IndexLayout *layout, const bool *isnull)
{
	if (!layout->is_unique)
		return false;
	if (!layout->nulls_not_distinct)
	{
		for (int i = 0; i < layout->nkeys; i++)
		{
			if (isnull[i])
				return false;
		}
	}
	return true;
}

void
layout_reset(void)
{
	hidden_row_id_next = 0;
	if (expressions_cache != NULL)
	{
		/* the EStates' contexts are children and hold no other resources */
		expressions_cache = NULL;
		MemoryContextReset(expressions_context);
	}
}
