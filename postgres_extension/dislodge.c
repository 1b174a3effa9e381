/*
 * dislodge.c
 *	  See dislodge.h.
 *
 * The server has two ways to stop another session's transaction: a cancel, which
 * a session that waits for its client ignores, and the recovery conflict of a
 * hot standby, which ends such a session.  Applications hold transactions open
 * between statements all the time, and should lose no more than the transaction.
 *
 * So the request travels as the signal of pg_log_backend_memory_contexts().  A
 * session that gets it reports to the log at the next point where it may be
 * interrupted, also while it waits for its client, and the log hook runs in that
 * place.  It finds the request in shared memory, carries it out, and keeps the
 * report out of the log.
 */
#include "borealis.h"

#include <signal.h>

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "storage/procarray.h"
#include "storage/procsignal.h"
#include "storage/sinvaladt.h"
#include "utils/backend_status.h"
#include "utils/elog.h"

#include "catalog_freshness.h"
#include "catalog_state.h"
#include "ddl_log.h"
#include "dislodge.h"
#include "session_flags.h"
#include "transaction.h"

/* The statement under way was told to stop. */
static bool is_statement_cancelled = false;
/* The client's transaction block was rolled back, and the client not told yet. */
static bool is_block_rolled_back = false;
/* The lines of the report that carried the request. */
static bool is_report_hidden = false;

static emit_log_hook_type previous_emit_log = NULL;

/* ---- asking ---- */

static int
pid_of(const VirtualTransactionId *transaction)
{
	PGPROC	   *proc = BackendIdGetProc(transaction->backendId);

	return proc == NULL ? 0 : proc->pid;
}

void
dislodge_request(const VirtualTransactionId *transaction)
{
	int			pid = pid_of(transaction);

	if (pid == 0)
		return;
	session_set_dislodged(transaction->backendId, transaction->localTransactionId);
	(void) SendProcSignal(pid, PROCSIG_LOG_MEMORY_CONTEXT, transaction->backendId);
}

void
dislodge_insist(const VirtualTransactionId *transaction)
{
	int			pid = pid_of(transaction);

	/* one that waits for its decision ends soon, and its client is to hear which */
	if (pid == 0 || session_is_committing(transaction->backendId))
		return;
	session_set_dislodged(transaction->backendId, transaction->localTransactionId);
	kill(pid, SIGTERM);
}

/* ---- being asked ---- */

void
dislodge_myself(void)
{
	is_statement_cancelled = true;
	QueryCancelPending = true;
	InterruptPending = true;
	SetLatch(MyLatch);
}

/*
 * Rolls everything back, and leaves the session in a failed transaction block:
 * what the client believes to be in must still be ended by it.
 */
static void
roll_back_block(void)
{
	MemoryContext caller = CurrentMemoryContext;

	AbortOutOfAnyTransaction();
	StartTransactionCommand();
	BeginTransactionBlock();
	CommitTransactionCommand();
	StartTransactionCommand();
	AbortCurrentTransaction();
	is_block_rolled_back = true;
	MemoryContextSwitchTo(caller);
}

/*
 * Ready for a query, in a block.  Not so between the messages of a pipeline, nor
 * when track_activities is off: there a cancel has no effect, and the asker has
 * to insist.
 */
static bool
waits_for_client(void)
{
	return MyBEEntry != NULL && IsTransactionBlock() &&
		(MyBEEntry->st_state == STATE_IDLEINTRANSACTION ||
		 MyBEEntry->st_state == STATE_IDLEINTRANSACTION_ABORTED);
}

static void
obey(void)
{
	if (waits_for_client())
		roll_back_block();
	else
		dislodge_myself();
}

/* ---- what the client hears ---- */

/*
 * Whatever the change is: statistics that another instance has found are written
 * while this one drops or replaces the same rows.
 */
static bool
have_catalogs_moved(void)
{
	return catalog_freshness_is_moving() ||
		(transaction_has_read_timestamp() &&
		 local_catalog_version_begun() != transaction_catalog_version());
}

/* Behind the back of the statement: the locks that it has did not help. */
static bool
has_schema_moved(void)
{
	if (!transaction_has_read_timestamp())
		return catalog_freshness_is_lost();
	return local_schema_version_begun() != transaction_schema_version();
}

/*
 * When the catalogs change under a transaction that is not to see them, its
 * statements may fail in other ways before they get to the check: the server finds
 * a relation gone that it has just looked up, or a row of a catalog that it is
 * about to change.  It calls that an internal error, with or without a read
 * timestamp.
 */
static bool
is_caused_by_schema(const ErrorData *edata)
{
	if (edata->elevel != ERROR || !catalog_is_shared() || ddl_is_replaying())
		return false;
	switch (ERRCODE_TO_CATEGORY(edata->sqlerrcode))
	{
		case ERRCODE_INTERNAL_ERROR:
			return have_catalogs_moved();
		case ERRCODE_SYNTAX_ERROR_OR_ACCESS_RULE_VIOLATION:
		case ERRCODE_FEATURE_NOT_SUPPORTED:	/* "cached plan must not change result type" */
			return has_schema_moved();
		default:
			/* nothing but uncommitted changes of the schema keeps others waiting for locks */
			return edata->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED;
	}
}

static void
report_schema(ErrorData *edata)
{
	/* for the log, where it might help to understand what is our fault */
	if (ERRCODE_TO_CATEGORY(edata->sqlerrcode) == ERRCODE_INTERNAL_ERROR)
		edata->detail_log = edata->message;
	edata->detail = NULL;
	edata->cursorpos = 0;
	edata->sqlerrcode = ERRCODE_T_R_SERIALIZATION_FAILURE;
	edata->message = pstrdup("schema has been updated by another transaction (OC001)");
	edata->hint = pstrdup("Retry the transaction.");
}

static bool
starts_with(const char *message, const char *start)
{
	return message != NULL && strncmp(message, start, strlen(start)) == 0;
}

static void
hide_report(ErrorData *edata)
{
	if (starts_with(edata->message_id, "logging memory contexts of PID"))
	{
		is_report_hidden = session_take_dislodged();
		if (is_report_hidden)
			obey();
	}
	if (is_report_hidden)
		edata->output_to_server = false;
	if (starts_with(edata->message_id, "Grand total:"))
		is_report_hidden = false;
}

static void
emit_log(ErrorData *edata)
{
	if (edata->elevel == LOG_SERVER_ONLY)
		hide_report(edata);
	else if (edata->elevel >= ERROR)
	{
		if ((is_statement_cancelled && edata->sqlerrcode == ERRCODE_QUERY_CANCELED) ||
			(is_block_rolled_back && edata->sqlerrcode == ERRCODE_IN_FAILED_SQL_TRANSACTION) ||
			(edata->sqlerrcode == ERRCODE_ADMIN_SHUTDOWN && session_is_dislodged()) ||
			is_caused_by_schema(edata))
			report_schema(edata);
	}
	if (previous_emit_log && edata->output_to_server)
		previous_emit_log(edata);
}

void
dislodge_check_commit(void)
{
	if (!is_block_rolled_back || !IsAbortedTransactionBlockState())
		return;
	is_block_rolled_back = false;
	/* As after any failed COMMIT, the block is over. */
	UserAbortTransactionBlock(false);
	report_schema_conflict();
}

static void
transaction_ended(XactEvent event, void *unused)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
	{
		is_statement_cancelled = false;
		is_block_rolled_back = false;
	}
}

void
dislodge_init(void)
{
	RegisterXactCallback(transaction_ended, NULL);
	previous_emit_log = emit_log_hook;
	emit_log_hook = emit_log;
}
