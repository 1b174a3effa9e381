/*
 * catalog_state.c
 *	  See catalog_state.h.
 *
 * The versions are read without a lock by every statement; the lock orders the
 * few who change them.  Whoever holds the turn (mover) may wait for others only
 * in ways that they cannot make wait for him.
 */
#include "borealis.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "catalog_state.h"
#include "ddl_log.h"
#include "session_flags.h"
#include "shared_pages.h"

#define TRANCHE "borealis_catalog"

/* Somebody who waits looks this often whether what he waits for still runs. */
#define WAIT_ROUND_MS 1000

typedef struct CatalogState
{
	LWLock	   *lock;
	ConditionVariable changed;

	/* of the local catalogs; stored after everybody can see them */
	pg_atomic_uint64 catalog_version;
	pg_atomic_uint64 schema_version;
	/* stored before anybody can see them */
	pg_atomic_uint64 catalog_version_begun;
	pg_atomic_uint64 schema_version_begun;
	/* the newest one that was replayed without all of its locks; stored likewise */
	pg_atomic_uint64 schema_version_unlocked;

	/* under the lock */
	bool		is_loaded;
	int			mover;			/* process id, 0: nobody */
	Latch	   *worker;
	Oid			chunk_next;
	Oid			chunk_end;
} CatalogState;

static CatalogState *state = NULL;

/* Of a commit that this process has entered. */
static bool is_entered = false;
static uint64 decided_catalog_version = 0;	/* 0: not decided */
static bool decided_is_schema;

static shmem_request_hook_type previous_shmem_request = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(add_size(MAXALIGN(sizeof(CatalogState)), session_flags_size()));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
catalog_state_init(void)
{
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
}

void
catalog_state_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	state = ShmemInitStruct("Borealis catalog state",
							add_size(MAXALIGN(sizeof(CatalogState)), session_flags_size()), &found);
	session_flags_startup((char *) state + MAXALIGN(sizeof(CatalogState)), !found);
	if (!found)
	{
		memset(state, 0, sizeof(CatalogState));
		state->lock = &GetNamedLWLockTranche(TRANCHE)->lock;
		ConditionVariableInit(&state->changed);
		pg_atomic_init_u64(&state->catalog_version, 0);
		pg_atomic_init_u64(&state->schema_version, 0);
		pg_atomic_init_u64(&state->catalog_version_begun, 0);
		pg_atomic_init_u64(&state->schema_version_begun, 0);
		pg_atomic_init_u64(&state->schema_version_unlocked, 0);
	}
	LWLockRelease(AddinShmemInitLock);
}

bool
catalog_is_shared(void)
{
	return state != NULL && IsUnderPostmaster;
}

uint64
local_catalog_version(void)
{
	return pg_atomic_read_u64(&state->catalog_version);
}

uint64
local_schema_version(void)
{
	return pg_atomic_read_u64(&state->schema_version);
}

uint64
local_catalog_version_begun(void)
{
	return pg_atomic_read_u64(&state->catalog_version_begun);
}

uint64
local_schema_version_begun(void)
{
	return pg_atomic_read_u64(&state->schema_version_begun);
}

uint64
local_schema_version_unlocked(void)
{
	return pg_atomic_read_u64(&state->schema_version_unlocked);
}

void
report_schema_conflict(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("schema has been updated by another transaction (OC001)"),
			 errhint("Retry the transaction.")));
}

/* ---- waiting for the worker ---- */

void
catalog_worker_wake(void)
{
	Latch	   *worker = state->worker;

	if (worker != NULL)
		SetLatch(worker);
}

/*
 * One round of waiting for a change of the state.  The caller tests what it
 * waits for between rounds and calls ConditionVariableCancelSleep at the end.
 */
static void
wait_for_change(TimestampTz give_up)
{
	catalog_worker_wake();
	if (ConditionVariableTimedSleep(&state->changed, WAIT_ROUND_MS, PG_WAIT_EXTENSION) &&
		GetCurrentTimestamp() >= give_up)
	{
		ConditionVariableCancelSleep();
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("this instance has not caught up with the schema of the cluster"),
				 errhint("Try again, or connect to another instance.")));
	}
}

static TimestampTz
end_of_patience(void)
{
	return TimestampTzPlusSeconds(GetCurrentTimestamp(), borealis_commit_timeout_s);
}

static bool
has_reached(pg_atomic_uint64 *version, uint64 wanted)
{
	return state->is_loaded && pg_atomic_read_u64(version) >= wanted;
}

static void
wait_until_reached(pg_atomic_uint64 *version, uint64 wanted)
{
	TimestampTz give_up = end_of_patience();

	ConditionVariablePrepareToSleep(&state->changed);
	while (!has_reached(version, wanted))
		wait_for_change(give_up);
	ConditionVariableCancelSleep();
}

void
catalog_wait_current(void)
{
	uint64		wanted = shared_schema_version();

	if (unlikely(!has_reached(&state->schema_version, wanted)))
		wait_until_reached(&state->schema_version, wanted);
}

void
catalog_wait_newest(void)
{
	uint64		wanted = shared_catalog_version();

	if (!has_reached(&state->catalog_version, wanted))
		wait_until_reached(&state->catalog_version, wanted);
}

/* ---- a session's own commit ---- */

/* True: it is our turn.  ERROR OC001 when it can no longer become ours. */
static bool
try_commit_enter(uint64 schema_version)
{
	bool		is_ours = false;
	bool		is_stale;

	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	is_stale = local_schema_version_begun() != schema_version ||
		shared_schema_version() != schema_version;
	if (!is_stale && state->mover == 0 && local_catalog_version() == shared_catalog_version())
	{
		state->mover = MyProcPid;
		is_ours = true;
	}
	LWLockRelease(state->lock);
	if (is_stale)
	{
		ConditionVariableCancelSleep();
		report_schema_conflict();
	}
	return is_ours;
}

uint64
catalog_commit_enter(uint64 schema_version)
{
	TimestampTz give_up = end_of_patience();

	Assert(!is_entered);
	ConditionVariablePrepareToSleep(&state->changed);
	while (!try_commit_enter(schema_version))
		wait_for_change(give_up);
	ConditionVariableCancelSleep();
	is_entered = true;
	decided_catalog_version = 0;
	return local_catalog_version();
}

bool
catalog_commit_is_entered(void)
{
	return is_entered;
}

void
catalog_commit_decided(uint64 catalog_version, bool is_schema)
{
	Assert(is_entered);
	decided_catalog_version = catalog_version;
	decided_is_schema = is_schema;
	pg_atomic_write_u64(&state->catalog_version_begun, catalog_version);
	if (is_schema)
		pg_atomic_write_u64(&state->schema_version_begun, catalog_version);
}

/* Gives the turn back, and says what the catalogs are now. */
static void
leave(uint64 catalog_version, bool is_schema)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	Assert(state->mover == MyProcPid);
	if (catalog_version != 0)
	{
		if (is_schema)
			pg_atomic_write_u64(&state->schema_version, catalog_version);
		pg_atomic_write_u64(&state->catalog_version, catalog_version);
	}
	state->mover = 0;
	LWLockRelease(state->lock);
	ConditionVariableBroadcast(&state->changed);
	catalog_worker_wake();
}

void
catalog_commit_leave(bool is_committed_here)
{
	if (!is_entered)
		return;
	is_entered = false;
	leave(is_committed_here ? decided_catalog_version : 0, decided_is_schema);
}

/* ---- the worker ---- */

static void
detach_worker(int code, Datum arg)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->worker = NULL;
	if (state->mover == MyProcPid)
		state->mover = 0;
	LWLockRelease(state->lock);
}

void
catalog_worker_attach(uint64 catalog_version, uint64 schema_version)
{
	before_shmem_exit(detach_worker, 0);
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	state->worker = MyLatch;
	/* A worker that was started again finds newer versions than it has read. */
	if (!state->is_loaded)
	{
		pg_atomic_write_u64(&state->catalog_version, catalog_version);
		pg_atomic_write_u64(&state->schema_version, schema_version);
		pg_atomic_write_u64(&state->catalog_version_begun, catalog_version);
		pg_atomic_write_u64(&state->schema_version_begun, schema_version);
		state->is_loaded = true;
	}
	LWLockRelease(state->lock);
	ConditionVariableBroadcast(&state->changed);
}

bool
catalog_replay_enter(uint64 catalog_version, bool is_schema)
{
	bool		is_ours = false;

	ConditionVariablePrepareToSleep(&state->changed);
	for (;;)
	{
		LWLockAcquire(state->lock, LW_EXCLUSIVE);
		if (state->mover == 0 && local_catalog_version() < catalog_version)
		{
			state->mover = MyProcPid;
			is_ours = true;
			pg_atomic_write_u64(&state->catalog_version_begun, catalog_version);
			if (is_schema)
				pg_atomic_write_u64(&state->schema_version_begun, catalog_version);
		}
		LWLockRelease(state->lock);
		if (is_ours || local_catalog_version() >= catalog_version)
			break;
		(void) ConditionVariableTimedSleep(&state->changed, WAIT_ROUND_MS, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return is_ours;
}

void
catalog_replay_unlocked(uint64 catalog_version)
{
	pg_atomic_write_u64(&state->schema_version_unlocked, catalog_version);
	pg_memory_barrier();
}

void
catalog_replay_leave(uint64 catalog_version, bool is_schema)
{
	leave(catalog_version, is_schema);
}

void
catalog_replay_abandon(void)
{
	leave(0, false);
}

/* ---- OIDs ---- */

Oid
object_id_chunk_take(uint32 count)
{
	Oid			first = InvalidOid;

	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	if (state->chunk_end - state->chunk_next >= count)
	{
		first = state->chunk_next;
		state->chunk_next += count;
	}
	LWLockRelease(state->lock);
	return first;
}

void
object_id_chunk_offer(Oid first, Oid end)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	if (end - first > state->chunk_end - state->chunk_next)
	{
		state->chunk_next = first;
		state->chunk_end = end;
	}
	LWLockRelease(state->lock);
}

void
object_id_chunk_return(Oid first, Oid end)
{
	LWLockAcquire(state->lock, LW_EXCLUSIVE);
	if (state->chunk_next == end)
		state->chunk_next = first;
	LWLockRelease(state->lock);
}
