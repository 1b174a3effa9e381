/*
 * transaction.h
 *	  The life of a transaction in this backend: read timestamp, pinned schema
 *	  version, age, commit.
 */
#ifndef BOREALIS_TRANSACTION_H
#define BOREALIS_TRANSACTION_H

#include "borealis.h"

/*
 * The transaction's read timestamp; the first call fixes it, publishes the
 * reader slot and waits until storage has applied it.  ERROR 40001 OC001 when
 * this instance's catalog is not the one in force at that timestamp.
 */
extern BorealisTimestamp transaction_read_timestamp(void);
extern bool transaction_has_read_timestamp(void);

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
