/*
 * catalog_vacuum.h
 *	  Keeps the local catalogs from growing: every schema change and every
 *	  temporary table leaves dead rows in them.
 */
#ifndef BOREALIS_CATALOG_VACUUM_H
#define BOREALIS_CATALOG_VACUUM_H

/*
 * In the worker, outside of a transaction, when it has nothing else to do:
 * vacuums one catalog, if one needs it.
 */
extern void catalog_vacuum_next(void);

#endif							/* BOREALIS_CATALOG_VACUUM_H */
