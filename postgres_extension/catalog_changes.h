/*
 * catalog_changes.h
 *	  What the current transaction has done to the system catalogs, as far as
 *	  other instances must repeat it.
 */
#ifndef BOREALIS_CATALOG_CHANGES_H
#define BOREALIS_CATALOG_CHANGES_H

#include "borealis.h"

#include "access/htup.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"

/* Rows of one catalog, canonical (catalog_rows.h). */
typedef struct CatalogChange
{
	Oid			catalog;
	List	   *added;			/* HeapTuple */
	List	   *removed;		/* HeapTuple: as it was before this transaction */
} CatalogChange;

typedef struct CatalogChanges
{
	List	   *catalogs;		/* CatalogChange */
	List	   *invalidated;	/* relations (OIDs) whose cached descriptions are outdated */
	bool		all_invalidated;
	HTAB	   *objects;		/* for catalog_changes_find */
} CatalogChanges;

/*
 * Cheap and never wrongly false: has this transaction changed a catalog at all?
 * Any catalog change announces invalidations, and few other things do.
 */
extern bool catalog_changes_possible(void);

/*
 * Before a statement that may change catalogs: pages that have not been written
 * to since the transaction's first one need not be looked at.
 */
extern void catalog_changes_may_begin(void);
extern void catalog_changes_reset(void);	/* end of transaction */

/*
 * Collects into the current memory context.  Rows of temporary objects are left
 * out.  ERROR 0A000 if a permanent object depends on a temporary one.
 */
extern CatalogChanges *catalog_changes_collect(void);

/* The added or removed row of an object, or NULL. */
extern HeapTuple catalog_changes_added(const CatalogChanges *changes, Oid catalog, Oid object_id);
extern HeapTuple catalog_changes_removed(const CatalogChanges *changes, Oid catalog, Oid object_id);

#endif							/* BOREALIS_CATALOG_CHANGES_H */
