/*
 * layout.h
 *	  How the rows of a table and the entries of an index are laid out in the
 *	  keyspace: derived from the catalogs, cached in the relcache.
 */
#ifndef BOREALIS_LAYOUT_H
#define BOREALIS_LAYOUT_H

#include "borealis.h"

#include "access/attnum.h"
#include "access/htup.h"
#include "access/nbtree.h"
#include "key_codec.h"
#include "lib/stringinfo.h"
#include "nodes/execnodes.h"

/*
 * The first member must be a btree metapage image: the planner's
 * _bt_getrootheight() reads an index's rd_amcache as one.
 */
typedef struct IndexLayout
{
	BTMetaPageData metapage;
	bool		holds_rows;		/* the primary key: its entries are the rows */
	bool		is_unique;
	bool		nulls_not_distinct;
	bool		identifies_rows;	/* unique, immediate, plain columns */
	bool		is_plain;		/* neither expressions nor a predicate */
	int			nkeys;
	AttrNumber	attnums[INDEX_MAX_KEYS];
	KeyColumn	columns[INDEX_MAX_KEYS];
} IndexLayout;

/* Where the rows of a table are. */
typedef struct TableLayout
{
	Oid			primary_key;	/* index OID, or InvalidOid: hidden row ids */
	int			nkeys;
	AttrNumber	attnums[INDEX_MAX_KEYS];
	KeyColumn	columns[INDEX_MAX_KEYS];
	int			nindexes;		/* secondary indexes */
	Oid			indexes[FLEXIBLE_ARRAY_MEMBER];
} TableLayout;

/* Decides, when the index is built, whether its entries will be the rows. */
extern bool index_will_hold_rows(Relation index);

/*
 * Both live in rd_amcache: valid until invalidation messages are next
 * processed, so do not keep them across anything that locks or opens.
 */
extern const IndexLayout *index_layout(Relation index);
extern const TableLayout *table_layout(Relation table);

/* A copy of the secondary indexes' OIDs, palloc'd. */
extern int	table_secondary_indexes(Relation table, Oid **indexes);

/* "row | relfilenode" and "index | relfilenode" */
extern void key_append_prefix(StringInfo key, uint8 namespace, RelFileNumber relfilenode);

/* "row | relfilenode | primary key index", InvalidOid for hidden row ids */
extern void row_key_append_prefix(StringInfo key, Relation table, Oid primary_key);

/* ERROR 54000 if the key is longer than the keyspace allows. */
extern void key_check_size(const StringInfoData *key, Relation relation);

/* Turns the key into the first key after all that begin with it. */
extern void key_make_successor(StringInfo key);

/*
 * The key of a row with these contents.  For a table without a primary key, a new hidden
 * row id.
 */
extern void row_key_build(StringInfo key, Relation table, HeapTuple tuple);

/* Row key of a tuple under a primary key index that is being built. */
extern void row_key_build_for_index(StringInfo key, Relation table, Relation index,
									const Datum *values, const bool *isnull);

/*
 * The index columns of a tuple.  False if the index's predicate excludes it.
 * values and isnull have room for INDEX_MAX_KEYS.
 */
extern bool index_form_values(Relation table, Relation index, HeapTuple tuple,
							  Datum *values, bool *isnull);

/*
 * Entry of a secondary index.  Appends the key and, if value is not NULL, the
 * stored value.  Returns the offset of the row key's tail within the key.
 */
extern uint32 index_entry_build(StringInfo key, StringInfo value, Relation index,
								const Datum *values, const bool *isnull,
								const uint8 *row_key, uint32 row_key_size);

/* True if uniqueness is to be enforced for these values. */
extern bool index_values_are_unique(const IndexLayout *layout, const bool *isnull);

extern void layout_reset(void);		/* end of transaction */

#endif							/* BOREALIS_LAYOUT_H */
