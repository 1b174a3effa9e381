/*
 * dislodge.h
 *	  Makes a transaction of another session let go of its locks.
 */
#ifndef BOREALIS_DISLODGE_H
#define BOREALIS_DISLODGE_H

#include "borealis.h"

#include "storage/lock.h"

extern void dislodge_init(void);	/* from _PG_init */

/*
 * Asks a session to give up a transaction: its running statement fails with
 * OC001, or, if it waits for its client, the transaction is rolled back and the
 * next statement fails with OC001.  Nothing happens if the session is in another
 * transaction by then.  Asynchronous; ask again if it does not help.
 */
extern void dislodge_request(const VirtualTransactionId *transaction);
/* For one that does not react: its session ends, with the same error. */
extern void dislodge_insist(const VirtualTransactionId *transaction);

/* Makes this process's own statement fail with OC001 at the next opportunity. */
extern void dislodge_myself(void);

/*
 * Before COMMIT is executed: ERROR OC001 if the transaction has been rolled back
 * without the client's knowing.
 */
extern void dislodge_check_commit(void);

#endif							/* BOREALIS_DISLODGE_H */
