/*
 * lock_conflicts.h
 *	  Nobody waits long for a lock: who stands in the way of a schema change is
 *	  told that the schema is changing.
 */
#ifndef BOREALIS_LOCK_CONFLICTS_H
#define BOREALIS_LOCK_CONFLICTS_H

#include "borealis.h"

#include "storage/lockdefs.h"

extern void lock_conflicts_init(void);	/* from _PG_init */

/* In the worker: whoever it waits for is sent away at once. */
extern void lock_conflicts_become_worker(void);

/*
 * Returns once no other session has uncommitted schema changes here.  They could
 * not be committed any more, but are in the way as long as they are there.
 */
extern void lock_conflicts_clear_ddl(void);

/*
 * In a transaction of the worker: locks the relation, sending away the statements
 * that are in the way.  Transactions that only sit there may keep their locks:
 * they can do nothing more, because their next statement fails with OC001.
 * Because of them the lock may not be had; but then no statement that conflicts
 * is running, and the result is false.
 */
extern bool lock_conflicts_take(Oid relation, LOCKMODE mode);

#endif							/* BOREALIS_LOCK_CONFLICTS_H */
