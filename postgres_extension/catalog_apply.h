/*
 * catalog_apply.h
 *	  Repeats a catalog entry in the local catalogs.
 */
#ifndef BOREALIS_CATALOG_APPLY_H
#define BOREALIS_CATALOG_APPLY_H

#include "borealis.h"

#include "catalog_entry.h"

/*
 * In a transaction of the worker.  ERROR XX001 if the local catalogs are not
 * those that the entry was made from: then this instance is of no use any more.
 */
extern void catalog_apply(const CatalogEntry *entry);

#endif							/* BOREALIS_CATALOG_APPLY_H */
