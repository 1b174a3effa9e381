/*
 * catalog_orphans.h
 *	  Temporary objects whose ground another instance has taken away: a table
 *	  with a column of a dropped type, a view of a dropped table.
 */
#ifndef BOREALIS_CATALOG_ORPHANS_H
#define BOREALIS_CATALOG_ORPHANS_H

#include "borealis.h"

#include "catalog_entry.h"

/*
 * After the entry has been applied, in the same transaction: the sessions
 * (backend ids) whose temporary objects depend on something that is gone.
 */
extern List *catalog_orphans_find(const CatalogEntry *entry);
/* After its commit: ends them, as the only way to be rid of the objects. */
extern void catalog_orphans_end(List *sessions);

#endif							/* BOREALIS_CATALOG_ORPHANS_H */
