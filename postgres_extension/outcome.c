/*
 * outcome.c
 *	  What a session reports when a transaction ends in an unusual way.
 *
 * An error after the decision.  The server goes on after the PRE_COMMIT event
 * with work that can raise errors, and an ERROR tells the client that nothing
 * was committed.  So between the decision and XACT_EVENT_COMMIT ExitOnAnyError
 * is set, which makes every ERROR a FATAL before any handler can catch it, and
 * a callback at the bottom of the error context stack gives the report its
 * SQLSTATE and message.  Both work whatever the server's log settings are.
 *
 * Cancels on behalf of DDL and of the age limit arrive as the server's own
 * cancels, because only these can interrupt every wait and no PL/pgSQL handler
 * swallows them.  The log hook, which runs before the client's copy is sent,
 * gives them their proper words.  A superuser who sets log_min_messages above
 * error gets the server's words instead.
 */
#include "borealis.h"

#include "access/xact.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"

#include "outcome.h"
#include "shared_pages.h"

void		(*outcome_decided_hook) (void) = NULL;

static emit_log_hook_type previous_emit_log_hook = NULL;

static bool is_decided = false;
static bool exit_on_any_error_before;
static ErrorContextCallback decided_context;
/* where the original error is copied to; made before it can be needed */
static MemoryContext decided_memory = NULL;

static TimeoutId age_timeout = MAX_TIMEOUTS;	/* none registered yet */
static int	age_limit_s = 0;	/* 0: not armed */
static TimestampTz age_end;
static volatile sig_atomic_t age_is_exceeded = false;

/*
 * Runs for each report made after the decision, before it goes anywhere.
 */
static void
report_as_decided(void *arg)
{
	static bool in_progress = false;
	ErrorData  *original = NULL;

	/*
	 * Should copying fail, errors come back here: then the SQLSTATE and the
	 * message must do without the original.
	 */
	if (!in_progress)
	{
		MemoryContext caller = MemoryContextSwitchTo(decided_memory);

		in_progress = true;
		original = CopyErrorData();
		in_progress = false;
		MemoryContextSwitchTo(caller);

		/* Warnings pass; an ERROR is one that outcome_forget_cancel catches. */
		if (original->elevel <= ERROR)
		{
			MemoryContextReset(decided_memory);
			return;
		}
	}

	errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN);
	errmsg("the transaction was committed, but the session failed afterwards");
	if (original != NULL && original->message != NULL)
		errdetail("The failure was: %s", original->message);
	errhint("Reconnect and do not repeat the transaction: its changes are durable.");
}

void
outcome_decided(void)
{
	Assert(!is_decided && decided_memory != NULL);

	HOLD_INTERRUPTS();
	is_decided = true;
	exit_on_any_error_before = ExitOnAnyError;
	ExitOnAnyError = true;
	decided_context.callback = report_as_decided;
	decided_context.arg = NULL;
	decided_context.previous = error_context_stack;
	error_context_stack = &decided_context;

	if (unlikely(outcome_decided_hook != NULL))
		outcome_decided_hook();
}

bool
outcome_is_decided(void)
{
	return is_decided;
}

void
outcome_transaction_ended(bool committed)
{
	if (!is_decided)
		return;

	if (committed)
	{
		Assert(error_context_stack == &decided_context);
		error_context_stack = decided_context.previous;
		ExitOnAnyError = exit_on_any_error_before;
		is_decided = false;
		RESUME_INTERRUPTS();
		return;
	}

	/* The session is ending with the report above. */
	if (proc_exit_inprogress)
		return;

	/* Not reachable while ExitOnAnyError is set, and not to be survived. */
	ereport(FATAL,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("the transaction was committed, but the session failed afterwards"),
			 errhint("Reconnect and do not repeat the transaction: its changes are durable.")));
}

void
precommit_run_early(void)
{
	if (decided_memory == NULL)
		decided_memory = AllocSetContextCreate(TopMemoryContext,
											   "Borealis report after decision",
											   ALLOCSET_DEFAULT_SIZES);

	/*
	 * Drops and truncates temporary tables.  The server does it again after
	 * the event: what was dropped is marked so, and nothing is left to
	 * truncate for a transaction that has not touched temporary tables.
	 * Truncation is not transactional, but should the commit fail now, the
	 * rows are gone with it anyway.
	 */
	PreCommit_on_commit_actions();
	MyXactFlags &= ~XACT_FLAGS_ACCESSEDTEMPNAMESPACE;
}

void
outcome_forget_cancel(void)
{
	MemoryContext caller = CurrentMemoryContext;
	bool		exit_on_any_error = ExitOnAnyError;
	uint32		holdoff = InterruptHoldoffCount;

	if (!QueryCancelPending || ProcDiePending)
		return;

	/*
	 * The server keeps the reason of a cancel to itself, and a reason left
	 * behind would end the session at its next idle moment.  So let it raise
	 * the error, and drop that.
	 */
	PG_TRY();
	{
		ExitOnAnyError = false;
		InterruptHoldoffCount = 0;
		ProcessInterrupts();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(caller);
		FlushErrorState();
	}
	PG_END_TRY();

	InterruptHoldoffCount = holdoff;
	ExitOnAnyError = exit_on_any_error;
}

/* ---- age limit ---- */

static bool
session_is_idle(void)
{
	/* Stays false when track_activities is off: then the slot is held. */
	return MyBEEntry != NULL &&
		(MyBEEntry->st_state == STATE_IDLEINTRANSACTION ||
		 MyBEEntry->st_state == STATE_IDLEINTRANSACTION_ABORTED);
}

/*
 * Runs in a signal handler.  A running statement keeps its slot until it has
 * stopped reading; an idle session reads nothing before its next statement,
 * which age_check refuses.
 */
static void
age_timeout_handler(void)
{
	age_is_exceeded = true;
	if (session_is_idle())
		reader_slot_clear();
	else
	{
		InterruptPending = true;
		QueryCancelPending = true;
	}
}

void
age_timer_start(int seconds)
{
	if (age_timeout == MAX_TIMEOUTS)
		age_timeout = RegisterTimeout(USER_TIMEOUT, age_timeout_handler);

	age_is_exceeded = false;
	age_limit_s = seconds;
	if (seconds == 0)
		return;
	age_end = TimestampTzPlusSeconds(GetCurrentTimestamp(), seconds);
	enable_timeout_at(age_timeout, age_end);
}

void
age_timer_stop(void)
{
	if (age_limit_s != 0)
		disable_timeout(age_timeout, false);
	age_limit_s = 0;
	age_is_exceeded = false;
}

void
age_report_exceeded(void)
{
	int			limit_s = age_limit_s != 0 ? age_limit_s : borealis_transaction_age_limit_s;

	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("transaction age limit of %ds exceeded", limit_s),
			 errhint("Retry the work in shorter transactions.")));
}

void
age_check(void)
{
	if (age_is_exceeded)
		age_report_exceeded();

	/*
	 * Error recovery disables all timeouts, and a transaction goes on after
	 * it when the error was confined to a savepoint.
	 */
	if (age_limit_s != 0 && !get_timeout_active(age_timeout))
		enable_timeout_at(age_timeout, age_end);
}

/* ---- reports of cancels ---- */

static void
set_text(char **field, const char *text)
{
	if (*field != NULL)
		pfree(*field);
	*field = text == NULL ? NULL : pstrdup(text);
}

/* Runs with the report's own memory context as the current one. */
static void
translate_cancel(ErrorData *edata)
{
	if (edata->message_id == NULL)
		return;

	if (edata->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE &&
		(strcmp(edata->message_id, "canceling statement due to conflict with recovery") == 0 ||
		 strcmp(edata->message_id, "terminating connection due to conflict with recovery") == 0))
	{
		set_text(&edata->message, "schema has been updated by another transaction (OC001)");
		set_text(&edata->detail, NULL);
		set_text(&edata->hint, "Retry the transaction.");
	}
	else if (edata->sqlerrcode == ERRCODE_QUERY_CANCELED && age_is_exceeded &&
			 strcmp(edata->message_id, "canceling statement due to user request") == 0)
	{
		char		message[64];

		snprintf(message, sizeof(message),
				 "transaction age limit of %ds exceeded", age_limit_s);
		edata->sqlerrcode = ERRCODE_PROGRAM_LIMIT_EXCEEDED;
		set_text(&edata->message, message);
		set_text(&edata->hint, "Retry the work in shorter transactions.");
	}
}

static void
borealis_emit_log(ErrorData *edata)
{
	if (edata->elevel >= ERROR)
		translate_cancel(edata);
	if (previous_emit_log_hook != NULL)
		previous_emit_log_hook(edata);
}

void
outcome_init(void)
{
	previous_emit_log_hook = emit_log_hook;
	emit_log_hook = borealis_emit_log;
}
