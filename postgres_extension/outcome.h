/*
 * outcome.h
 *	  What a session reports when a transaction ends in an unusual way: an
 *	  error after the decision, a cancel on behalf of DDL, old age.
 */
#ifndef BOREALIS_OUTCOME_H
#define BOREALIS_OUTCOME_H

#include "borealis.h"

/* Installs the log hook.  Called from _PG_init. */
extern void outcome_init(void);

/*
 * First thing in XACT_EVENT_PRE_COMMIT: does now the local work that the server
 * would do, and could fail in, after that event.
 */
extern void precommit_run_early(void);

/*
 * The transaction is committed in the cluster.  From here to
 * outcome_transaction_ended interrupts are held and any error ends the session
 * with FATAL 08007 and a message that says so.  commit_client_commit calls it.
 */
extern void outcome_decided(void);
extern bool outcome_is_decided(void);

/*
 * Called after each decision, for tests of what follows it.  NULL outside of
 * tests.
 */
extern void (*outcome_decided_hook) (void);

/*
 * First thing in XACT_EVENT_COMMIT and XACT_EVENT_ABORT.  An abort after the
 * decision ends the session.
 */
extern void outcome_transaction_ended(bool committed);

/*
 * Takes a pending cancel away without cancelling anything: the transaction it
 * was meant for has its decision.  A pending session termination stays.
 */
extern void outcome_forget_cancel(void);

/*
 * The age limit of the current transaction.  When it passes, a running
 * statement is cancelled and an idle session lets go of its reader slot; in
 * either case age_check raises 54000 from then on, until age_timer_stop.
 * Zero seconds: no limit.
 */
extern void age_timer_start(int seconds);
extern void age_timer_stop(void);
/* Cheap; call it at the start of each statement and before each read. */
extern void age_check(void);
/* The error itself, for the service's refusal of an old transaction. */
extern void age_report_exceeded(void) pg_attribute_noreturn();

#endif							/* BOREALIS_OUTCOME_H */
