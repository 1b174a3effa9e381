/*
 * catalog_rows.h
 *	  The rows of the system catalogs as what DDL changes: where they are, what
 *	  in them is one instance's alone, and the form in which they travel.
 */
#ifndef BOREALIS_CATALOG_ROWS_H
#define BOREALIS_CATALOG_ROWS_H

#include "borealis.h"

#include "access/attnum.h"
#include "access/htup.h"

/* Most key columns of a catalog. */
#define CATALOG_KEYS_MAX 4

/*
 * How the rows of a catalog are told apart.  Two catalogs have no unique key:
 * there the key is the whole row, and the index covers the columns in keys.
 */
typedef struct CatalogShape
{
	Oid			index;
	int			nkeys;
	AttrNumber	keys[CATALOG_KEYS_MAX];
	bool		is_key_whole_row;
	bool		has_oid;		/* the first column is the object's OID */
} CatalogShape;

extern void catalog_shape(Relation catalog, CatalogShape *shape);

/*
 * The row with every value inline and uncompressed: the same bytes on every
 * instance, but for local columns.
 */
extern HeapTuple catalog_row_canonical(Relation catalog, HeapTuple tuple);
/* The canonical row with nulls for all that is not part of its key. */
extern HeapTuple catalog_row_key(Relation catalog, const CatalogShape *shape,
								 HeapTuple canonical);
/* Of the canonical row without the columns that may differ between instances. */
extern uint64 catalog_row_hash(Relation catalog, HeapTuple canonical);
/*
 * A row that replaces another one: takes over the local columns of the old row,
 * which say something about local files.
 */
extern HeapTuple catalog_row_localize(Relation catalog, HeapTuple added, HeapTuple old);

/* True if changes of this catalog are never shipped. */
extern bool catalog_is_local(Oid catalog);
/* Calls the function with each catalog that has a rule. */
extern void catalog_for_each(void (*visit) (Oid catalog, void *arg), void *arg);

/*
 * To which object a row belongs; the row is temporary if that object is.
 * False: the row belongs to none (everybody's).
 */
extern bool catalog_row_owner(Relation catalog, HeapTuple row, Oid *class_id, Oid *object_id);
/* The namespace that makes the object of this row temporary or not, or InvalidOid. */
extern Oid	catalog_row_namespace(Relation catalog, HeapTuple row);

/* The same for an object of which only the OIDs are at hand. */
extern Oid	catalog_object_namespace(Oid class_id, Oid object_id);

/* ERROR if this server has a catalog without a rule. */
extern void catalog_rows_check_server(void);

#endif							/* BOREALIS_CATALOG_ROWS_H */
