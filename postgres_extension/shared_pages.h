/*
 * shared_pages.h
 *	  The pages through which the transaction service and storage publish
 *	  their positions, and this instance's reader slots (docs/formats.md,
 *	  "Shared pages").
 */
#ifndef BOREALIS_SHARED_PAGES_H
#define BOREALIS_SHARED_PAGES_H

#include "borealis.h"

/*
 * Creates the instance's reader slots, all free.  Called by the postmaster
 * whenever it sets up shared memory: at its start and after a crash of a
 * backend, which leaves its slot taken.  Does nothing without a run directory.
 */
extern void shared_pages_startup(void);

/*
 * Each function maps what it needs on first use in this backend.  A page that
 * is missing or has a wrong magic is ERROR 57P03 (cannot_connect_now): the
 * services are not up.
 */
extern BorealisTimestamp shared_acknowledged_timestamp(void);
extern uint64 shared_schema_version(void);
extern uint64 shared_catalog_version(void);
extern BorealisTimestamp shared_horizon(void);
extern uint64 shared_map_size(void);
extern uint32 shared_map_readers_max(void);

/*
 * Which map the files of storage are: changes when they have been replaced, 0 while
 * they are being replaced.
 */
extern uint64 shared_map_generation(void);
/* The same once there is a map.  ERROR 57P03 after borealis.commit_timeout; interruptible. */
extern uint64 shared_wait_map(void);

/*
 * Returns once storage has applied every commit at or below the timestamp.
 * Spins briefly, then sleeps on the page's futex; interruptible; ERROR 57P03
 * when storage makes no progress for borealis.commit_timeout.
 */
extern void shared_wait_applied(BorealisTimestamp timestamp);
/* The cheap test that comes first. */
extern bool shared_is_applied(BorealisTimestamp timestamp);
/* The newest commit that storage has applied, with all before it. */
extern BorealisTimestamp shared_applied_timestamp(void);

/*
 * This backend's reader slot: publishes the read timestamp, so that storage
 * keeps the versions it needs.  Returns false, with the slot free, if the
 * horizon had passed the timestamp already: take a newer one and call again.
 */
extern bool reader_slot_publish(BorealisTimestamp read_timestamp);
/* At the end of a transaction; safe in a signal handler. */
extern void reader_slot_clear(void);

#endif							/* BOREALIS_SHARED_PAGES_H */
