/*
 * reject.h
 *	  What Postgres can do and a cluster cannot carry: refused with 0A000, a
 *	  sentence and a hint, before it goes wrong silently.
 */
#ifndef BOREALIS_REJECT_H
#define BOREALIS_REJECT_H

#include "borealis.h"

#include "nodes/parsenodes.h"

extern void reject_init(void);	/* from _PG_init */

extern void reject_utility(Node *statement);

/* Is the relation of a CREATE statement going to be a temporary one? */
extern bool is_temporary_creation(const RangeVar *relation);

#endif							/* BOREALIS_REJECT_H */
