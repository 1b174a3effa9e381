/*
 * transaction.h
 *	  The life of a transaction in this backend: read timestamp, pinned schema
 *	  version, age, commit.
 */
#ifndef BOREALIS_TRANSACTION_H
#define BOREALIS_TRANSACTION_H

#include "borealis.h"

#include "session_flags.h"

/*
 * The transaction's read timestamp; the first call fixes it, publishes the
 * reader slot, and waits until this instance has the catalogs in force at that
 * timestamp and storage has applied it.
 */
extern BorealisTimestamp transaction_read_timestamp(void);
extern bool transaction_has_read_timestamp(void);

/*
 * A message of the client has arrived, outside of a transaction that reads: the
 * read timestamp of one that begins with it need not be later than now.
 */
extern void transaction_message_arrives(void);
/* The read timestamp, once taken, is to see all that is acknowledged by then. */
extern void transaction_forget_arrival(void);

/*
 * Moves the read timestamp forward, so that the transaction goes on as if it had
 * begun later: to what storage has applied, or, waiting for that, to what has
 * been acknowledged.  False, with nothing changed, if it cannot: something that
 * it has read is not the same at the later timestamp, or may not be.
 */
extern bool transaction_advance(bool to_acknowledged);

/*
 * The transaction's place in time, which does not move any more: others are going
 * to read there too.
 */
extern ReadPoint transaction_fix_read_point(void);
/*
 * Before the transaction reads: it is to read there.  False if that is not a place
 * that some transaction may have, or not any more; OC001 if the schema is another one.
 */
extern bool transaction_take_read_point(const ReadPoint *point);

/*
 * Workers of a parallel query read at their leader's timestamp, and see nothing
 * that it has written: so there must be nothing.  While a query runs with
 * workers, the write set takes nothing.
 */
extern bool transaction_allows_workers(void);
/* Before a query that may start workers is run: fixes what they will read. */
extern void transaction_prepare_for_workers(void);

/* Reads of the map that found themselves below the horizon: ERROR 54000. */
extern void transaction_check_horizon(void);

/* ERROR 54000 if the transaction is older than the limit. */
extern void transaction_check_age(void);

extern uint64 transaction_schema_version(void);
extern uint64 transaction_catalog_version(void);

/* Between decision and the end of local commit nothing may be reported as ERROR. */
extern bool transaction_is_decided(void);

extern void transaction_init(void);

#endif							/* BOREALIS_TRANSACTION_H */
