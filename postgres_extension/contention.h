/*
 * contention.h
 *	  Makes transactions that change the same row fail less often.
 *
 * Nothing here decides anything: whether a transaction may commit is said by
 * the adjudicator alone.  But a transaction that works on a row which another
 * one is about to commit works in vain, and a retry costs more than a moment of
 * waiting.
 */
#ifndef BOREALIS_CONTENTION_H
#define BOREALIS_CONTENTION_H

#include "borealis.h"

/* Settings, defined in contention.c. */
extern int	borealis_contention_wait_ms;
extern bool borealis_advance_snapshots;

extern void contention_init(void);	/* from _PG_init */
extern void contention_startup(void);	/* shared memory exists */

/*
 * Before the row of that key is read in order to change it, by a lookup of its
 * whole primary key.
 *
 * Pauses while another session of this instance has the row in hand, for
 * borealis.contention_wait at most.  After a pause, moves the transaction to a
 * timestamp that sees what the other one has changed, if what it has read so far
 * allows that.
 */
extern void contention_before_change(const uint8 *key, uint32 key_size);

/*
 * When that row turns out to have changed since this transaction's read timestamp:
 * the same.  True if the row has to be read again.
 */
extern bool contention_row_is_newer(void);

/* At the end of a transaction: the rows that it had in hand are free. */
extern void contention_end(void);

#endif							/* BOREALIS_CONTENTION_H */
