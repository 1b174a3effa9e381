/*
 * catalog_worker.h
 *	  The process that repeats other instances' schema changes here.
 */
#ifndef BOREALIS_CATALOG_WORKER_H
#define BOREALIS_CATALOG_WORKER_H

extern void catalog_worker_register(void);	/* from _PG_init */

#endif							/* BOREALIS_CATALOG_WORKER_H */
