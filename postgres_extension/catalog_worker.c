/*
 * catalog_worker.c
 *	  See catalog_worker.h.
 *
 * Entries are read from the map in the order of their versions, and each is one
 * local transaction, which also writes the version: after a crash the instance
 * goes on from what its catalogs hold.
 *
 * A failure for want of something (space, memory, a service) is tried again. Any
 * other one means that the local catalogs are not those of the cluster.  They
 * are disposable: the instance stops, and is made anew from the seed.
 */
#include "borealis.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/pg_bswap.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "tcop/tcopprot.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/wait_event.h"

#include "catalog_apply.h"
#include "catalog_entry.h"
#include "catalog_local_state.h"
#include "catalog_orphans.h"
#include "catalog_rows.h"
#include "catalog_state.h"
#include "catalog_vacuum.h"
#include "catalog_worker.h"
#include "ddl_log.h"
#include "lock_conflicts.h"
#include "object_ids.h"
#include "shared_pages.h"
#include "storage_reader.h"

#define DATABASE "postgres"

/* Without anybody who waits, the instance catches up this often. */
#define IDLE_ROUND_MS 1000
/* Pause before another attempt. */
#define RETRY_MS 100
/* Storage has the entry in the map a moment after it is published. */
#define ENTRY_POLL_MS 1

#define KEY_SIZE 9

extern PGDLLEXPORT void borealis_catalog_worker(Datum argument);

static bool is_worker = false;
static MemoryContext entry_memory = NULL;
static ValueBuffer entry_buffer;

bool
ddl_is_replaying(void)
{
	return is_worker;
}

/* ---- one entry ---- */

/*
 * False: it is not there yet.  An entry above the acknowledged timestamp may be
 * in the map already; but then transactions could get a read timestamp below the
 * schema that they find.
 */
static bool
read_entry(uint64 version, uint32 *size)
{
	BorealisTimestamp timestamp = shared_acknowledged_timestamp();
	uint8		key[KEY_SIZE];
	uint64		big_endian = pg_hton64(version);

	shared_wait_applied(timestamp);
	key[0] = KEY_NAMESPACE_CATALOG;
	memcpy(key + 1, &big_endian, sizeof(big_endian));
	return storage_read(key, sizeof(key), timestamp, &entry_buffer, size);
}

static void
lock_relations(const CatalogEntry *entry, uint64 version)
{
	bool		has_all = true;
	ListCell   *cell;

	foreach(cell, entry->relations)
	{
		EntryRelation *relation = lfirst(cell);

		if (relation->mode != NoLock)
			has_all &= lock_conflicts_take(relation->relation, relation->mode);
	}
	if (!has_all)
		catalog_replay_unlocked(version);
}

static void
replay(const CatalogEntry *entry, uint64 version)
{
	uint64		schema_version = entry->is_statistics ? local_schema_version() : version;
	List	   *orphaned;

	if (!entry->is_statistics)
		lock_conflicts_clear_ddl();
	StartTransactionCommand();
	lock_relations(entry, version);
	PushActiveSnapshot(GetTransactionSnapshot());
	catalog_apply(entry);
	MemoryContextSwitchTo(entry_memory);
	orphaned = catalog_orphans_find(entry);
	catalog_local_state_write(version, schema_version);
	PopActiveSnapshot();
	CommitTransactionCommand();
	catalog_orphans_end(orphaned);
}

/*
 * Undoes a failed attempt.  Files that it made are removed at once: the server
 * would otherwise keep their names until the next checkpoint, in the way of the
 * next attempt.  No other process has seen them.
 */
static void
undo(void)
{
	Assert(!IsBinaryUpgrade);
	IsBinaryUpgrade = true;
	AbortCurrentTransaction();
	IsBinaryUpgrade = false;
}

static bool
is_passing(int sqlerrcode)
{
	switch (ERRCODE_TO_CATEGORY(sqlerrcode))
	{
		case ERRCODE_INSUFFICIENT_RESOURCES:
		case ERRCODE_OPERATOR_INTERVENTION:
		case ERRCODE_TRANSACTION_ROLLBACK:
		case ERRCODE_SYSTEM_ERROR:
			return true;
		default:
			return sqlerrcode == ERRCODE_CANNOT_CONNECT_NOW;
	}
}

/* Leaves the word for the host, and ends the whole server. */
static void
give_up_instance(uint64 version)
{
	char		path[MAXPGPATH];
	int			fd;

	snprintf(path, sizeof(path), "%s/instance-%d/rebuild", borealis_run_directory, borealis_instance);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd >= 0)
		close(fd);
	ereport(LOG,
			(errmsg("borealis: catalog version %llu cannot be reached from the local catalogs: this instance must be rebuilt",
					(unsigned long long) version)));
	kill(PostmasterPid, SIGQUIT);
	proc_exit(1);
}

/* False: try again later. */
static bool
try_replay(const CatalogEntry *entry, uint64 version)
{
	volatile bool is_done = false;

	PG_TRY();
	{
		replay(entry, version);
		is_done = true;
	}
	PG_CATCH();
	{
		int			sqlerrcode = geterrcode();

		HOLD_INTERRUPTS();
		EmitErrorReport();
		FlushErrorState();
		undo();
		catalog_replay_abandon();
		if (!is_passing(sqlerrcode))
			give_up_instance(version);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(entry_memory);
	return is_done;
}

/*
 * Returns how long to wait before going on.  Decoding fails only if the entry
 * itself is bad, which no rebuilding heals.
 */
static long
replay_next(void)
{
	uint64		version = local_catalog_version() + 1;
	CatalogEntry *entry;
	uint32		size;

	MemoryContextReset(entry_memory);
	MemoryContextSwitchTo(entry_memory);
	if (!read_entry(version, &size))
		return ENTRY_POLL_MS;
	entry = catalog_entry_decode(entry_buffer.data, size);
	if (!catalog_replay_enter(version, !entry->is_statistics))
		return 0;				/* it was made here */
	if (!try_replay(entry, version))
		return RETRY_MS;
	catalog_replay_leave(version, !entry->is_statistics);
	return 0;
}

/* ---- the loop ---- */

/* Returns how long to sleep. */
static long
catch_up(void)
{
	while (local_catalog_version() < shared_catalog_version())
	{
		long		pause_ms;

		CHECK_FOR_INTERRUPTS();
		pause_ms = replay_next();
		if (pause_ms > 0)
			return pause_ms;
	}
	return IDLE_ROUND_MS;
}

/* With nothing to replay, the worker tidies up. */
static void
use_idle_time(void)
{
	object_ids_start_local();
	catalog_vacuum_next();
}

/* The services may be down: that is no reason to end. */
static long
try_catch_up(void)
{
	volatile long sleep_ms = RETRY_MS;

	PG_TRY();
	{
		sleep_ms = catch_up();
		if (sleep_ms == IDLE_ROUND_MS)
			use_idle_time();
	}
	PG_CATCH();
	{
		if (!is_passing(geterrcode()))
			PG_RE_THROW();
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	return sleep_ms;
}

static void
read_local_state(void)
{
	uint64		catalog_version;
	uint64		schema_version;

	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	catalog_rows_check_server();
	catalog_local_state_read(&catalog_version, &schema_version);
	PopActiveSnapshot();
	CommitTransactionCommand();
	object_ids_start_local();
	catalog_worker_attach(catalog_version, schema_version);
}

void
borealis_catalog_worker(Datum argument)
{
	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SIG_IGN);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(DATABASE, NULL, 0);
	is_worker = true;
	lock_conflicts_become_worker();
	entry_memory = AllocSetContextCreate(TopMemoryContext, "Borealis catalog entry",
										 ALLOCSET_DEFAULT_SIZES);
	entry_buffer.context = TopMemoryContext;

	read_local_state();
	for (;;)
	{
		long		sleep_ms = try_catch_up();

		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 sleep_ms, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
catalog_worker_register(void)
{
	BackgroundWorker worker = {
		.bgw_name = "borealis catalog worker",
		.bgw_type = "borealis catalog worker",
		.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION,
		.bgw_start_time = BgWorkerStart_RecoveryFinished,
		.bgw_restart_time = 1,
		.bgw_library_name = "borealis",
		.bgw_function_name = "borealis_catalog_worker"
	};

	RegisterBackgroundWorker(&worker);
}
