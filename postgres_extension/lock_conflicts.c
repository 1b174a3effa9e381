/*
 * lock_conflicts.c
 *	  See lock_conflicts.h.
 *
 * The server tells a process that waits for a lock about it through the log:
 * with log_lock_waits on, "still waiting" is reported from inside the wait, in
 * a place where the lock tables may be looked at.  The log hook uses that as an
 * alarm, keeps the line out of the log, and sets the timer again.
 *
 * Who may be sent away: the worker repeats what the cluster has decided, so
 * everybody else on this instance has already lost.  A session's own DDL sends
 * away transactions without DDL; of two transactions with DDL only one can
 * commit anyway, and the one that waits gives up.
 */
#include "borealis.h"

#include "miscadmin.h"
#include "storage/latch.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "storage/sinvaladt.h"
#include "utils/elog.h"
#include "utils/guc.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "catalog_state.h"
#include "dislodge.h"
#include "lock_conflicts.h"
#include "session_flags.h"

/* A session's DDL leaves others this long to finish; then it asks again each time. */
#define DDL_WAIT_MS "500"
/* The same for the worker. */
#define WORKER_WAIT_MS "20"
/* A statement waits this long for DDL to commit or roll back. */
#define STATEMENT_WAIT_MS 5000

/* Statements that are in the worker's way may finish if they are this quick. */
#define GRACE_MS 20
#define POLL_MS 1
#define ASK_EVERY_MS 50
/*
 * Who has not reacted by then loses the session.  COPY that waits for its client
 * cannot react.
 */
#define INSIST_AFTER_MS 3000
#define INSIST_ON_COPY_AFTER_MS 300

static bool is_worker = false;

static emit_log_hook_type previous_emit_log = NULL;

void
lock_conflicts_become_worker(void)
{
	is_worker = true;
	SetConfigOption("deadlock_timeout", WORKER_WAIT_MS, PGC_SUSET, PGC_S_OVERRIDE);
}

/* ---- waiting for a lock ---- */

static bool
any_has_ddl(const VirtualTransactionId *holders, int count)
{
	for (int i = 0; i < count; i++)
	{
		if (session_has_ddl(holders[i].backendId))
			return true;
	}
	return false;
}

static void
send_away(const VirtualTransactionId *holders, int count, long waited_ms)
{
	for (int i = 0; i < count; i++)
	{
		bool		is_copy = session_is_in_command(holders[i].backendId) &&
			session_reads_client(holders[i].backendId);

		if (waited_ms >= (is_copy ? INSIST_ON_COPY_AFTER_MS : INSIST_AFTER_MS))
			dislodge_insist(&holders[i]);
		else
			dislodge_request(&holders[i]);
	}
}

/* Called from inside the wait for a lock, each time that the timer fires. */
static void
still_waiting(void)
{
	LOCK	   *lock = MyProc->waitLock;
	LOCKTAG		tag;
	VirtualTransactionId *holders;
	long		waited_ms;
	int			count;

	if (lock == NULL)
		return;					/* granted meanwhile */
	tag = lock->tag;
	holders = GetLockConflicts(&tag, MyProc->waitLockMode, &count);
	waited_ms = TimestampDifferenceMilliseconds(pg_atomic_read_u64(&MyProc->waitStart),
												GetCurrentTimestamp());
	if (is_worker)
		send_away(holders, count, waited_ms);
	else if (session_has_ddl(MyBackendId))
	{
		if (any_has_ddl(holders, count))
			dislodge_myself();
		else
			send_away(holders, count, waited_ms);
	}
	else if (waited_ms >= STATEMENT_WAIT_MS && any_has_ddl(holders, count))
		dislodge_myself();
	pfree(holders);
	enable_timeout_after(DEADLOCK_TIMEOUT, DeadlockTimeout);
}

static bool
is_about_lock_wait(const ErrorData *edata)
{
	return edata->elevel == LOG && edata->message_id != NULL &&
		strncmp(edata->message_id, "process %d ", strlen("process %d ")) == 0 &&
		strstr(edata->message_id, " on %s after ") != NULL;
}

static void
emit_log(ErrorData *edata)
{
	if (is_about_lock_wait(edata) && catalog_is_shared())
	{
		edata->output_to_server = false;
		if (strstr(edata->message_id, " still waiting for ") != NULL)
			still_waiting();
	}
	else if (previous_emit_log)
		previous_emit_log(edata);
}

void
lock_conflicts_init(void)
{
	SetConfigOption("log_lock_waits", "on", PGC_POSTMASTER, PGC_S_OVERRIDE);
	SetConfigOption("deadlock_timeout", DDL_WAIT_MS, PGC_POSTMASTER, PGC_S_OVERRIDE);
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
}

/* ---- the worker and running statements ---- */

static void
pause_briefly(void)
{
	(void) WaitLatch(NULL, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, POLL_MS, PG_WAIT_EXTENSION);
	CHECK_FOR_INTERRUPTS();
}

/* Transactions of sessions with DDL. */
static int
find_ddl(VirtualTransactionId *found)
{
	int			count = 0;

	for (int i = 1; i <= MaxBackends; i++)
	{
		PGPROC	   *proc;
		VirtualTransactionId transaction;

		if (!session_has_ddl(i) || (proc = BackendIdGetProc(i)) == NULL)
			continue;
		GET_VXID_FROM_PGPROC(transaction, *proc);
		if (VirtualTransactionIdIsValid(transaction))
			found[count++] = transaction;
	}
	return count;
}

void
lock_conflicts_clear_ddl(void)
{
	VirtualTransactionId *found = palloc(MaxBackends * sizeof(VirtualTransactionId));
	TimestampTz started = GetCurrentTimestamp();
	long		next_ask_ms = 0;
	int			count;

	while ((count = find_ddl(found)) > 0)
	{
		long		waited_ms = TimestampDifferenceMilliseconds(started, GetCurrentTimestamp());

		if (waited_ms >= next_ask_ms)
		{
			send_away(found, count, waited_ms);
			next_ask_ms = waited_ms + ASK_EVERY_MS;
		}
		pause_briefly();
	}
	pfree(found);
}

/* Transactions in a statement that conflicts: moved to the front.  Returns how many. */
static int
keep_running(VirtualTransactionId *holders, int count)
{
	int			running = 0;

	for (int i = 0; i < count; i++)
	{
		if (!session_is_idle(holders[i].backendId))
			holders[running++] = holders[i];
	}
	return running;
}

bool
lock_conflicts_take(Oid relation, LOCKMODE mode)
{
	TimestampTz started = GetCurrentTimestamp();
	long		next_ask_ms = GRACE_MS;
	LOCKTAG		tag;

	SET_LOCKTAG_RELATION(tag, MyDatabaseId, relation);
	while (!ConditionalLockRelationOid(relation, mode))
	{
		long		waited_ms = TimestampDifferenceMilliseconds(started, GetCurrentTimestamp());
		VirtualTransactionId *holders;
		int			held;
		int			running;

		holders = GetLockConflicts(&tag, mode, &held);
		running = keep_running(holders, held);
		if (running > 0 && waited_ms >= next_ask_ms)
		{
			send_away(holders, running, waited_ms);
			next_ask_ms = waited_ms + ASK_EVERY_MS;
		}
		pfree(holders);
		if (held > 0 && running == 0)
			return false;
		pause_briefly();
	}
	return true;
}
