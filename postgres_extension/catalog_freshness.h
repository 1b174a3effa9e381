/*
 * catalog_freshness.h
 *	  A command sees every schema change that was committed before it arrived.
 */
#ifndef BOREALIS_CATALOG_FRESHNESS_H
#define BOREALIS_CATALOG_FRESHNESS_H

#include "borealis.h"

extern void catalog_freshness_init(void);	/* from _PG_init */

/*
 * When the transaction takes its read timestamp: has the schema changed behind
 * the back of the statement that is already under way?
 */
extern bool catalog_freshness_is_lost(void);

/* The same of any change of the catalogs, also of one that is about to be seen. */
extern bool catalog_freshness_is_moving(void);
extern void catalog_freshness_reset(void);	/* end of transaction */

#endif							/* BOREALIS_CATALOG_FRESHNESS_H */
