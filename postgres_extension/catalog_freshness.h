/*
 * catalog_freshness.h
 *	  A command sees every schema change that was committed before it arrived.
 */
#ifndef BOREALIS_CATALOG_FRESHNESS_H
#define BOREALIS_CATALOG_FRESHNESS_H

extern void catalog_freshness_init(void);	/* from _PG_init */

#endif							/* BOREALIS_CATALOG_FRESHNESS_H */
