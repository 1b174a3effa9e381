/*
 * catalog_state.h
 *	  The catalog versions of this instance, in shared memory: which one its
 *	  local catalogs hold, and who is about to change that.
 *
 * One process at a time moves the instance from one version to the next: the
 * catalog worker, which replays an entry of another instance, or a session
 * whose own DDL is being committed.
 */
#ifndef BOREALIS_CATALOG_STATE_H
#define BOREALIS_CATALOG_STATE_H

#include "borealis.h"

extern void catalog_state_init(void);	/* from _PG_init */
extern void catalog_state_startup(void);	/* shared memory exists */

/* True in a server that is an instance of a cluster, and has shared memory. */
extern bool catalog_is_shared(void);

/* 40001 OC001 */
extern void report_schema_conflict(void) pg_attribute_noreturn();

/*
 * Returns once the local catalogs are those in force in the cluster when it was
 * called.  ERROR 57P03 after borealis.commit_timeout.  Interruptible.
 */
extern void catalog_wait_current(void);
/* The same for statistics, which queries do not wait for. */
extern void catalog_wait_newest(void);

/* ---- a session's own commit ---- */

/*
 * Waits for its turn to add the next version, and returns the version that it
 * follows.  ERROR OC001 if the schema is, or becomes, another one than the
 * transaction's.
 */
extern uint64 catalog_commit_enter(uint64 schema_version);
/* The service has committed it as this version. */
extern void catalog_commit_decided(uint64 catalog_version, bool is_schema);
/*
 * The local transaction has ended, and everybody can see that.  Does nothing
 * unless this process has entered.
 */
extern void catalog_commit_leave(bool is_committed_here);
extern bool catalog_commit_is_entered(void);

/* ---- the worker ---- */

extern void catalog_worker_attach(uint64 catalog_version, uint64 schema_version);
/* Waits until no session's commit is in the way.  False: the version is already here. */
extern bool catalog_replay_enter(uint64 catalog_version, bool is_schema);
/* Before the rows are exchanged, if not all locks could be had. */
extern void catalog_replay_unlocked(uint64 catalog_version);
extern uint64 local_schema_version_unlocked(void);
extern void catalog_replay_leave(uint64 catalog_version, bool is_schema);
extern void catalog_replay_abandon(void);
extern void catalog_worker_wake(void);

/* ---- this instance's chunk of OIDs ---- */

extern Oid	object_id_chunk_take(uint32 count);	/* InvalidOid: not enough left */
extern void object_id_chunk_offer(Oid first, Oid end);
extern void object_id_chunk_return(Oid first, Oid end);

#endif							/* BOREALIS_CATALOG_STATE_H */
