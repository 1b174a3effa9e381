/*
 * commit_client.c
 *	  Commits and sequence requests to the transaction service, and what its
 *	  answers mean.
 *
 * A commit has one point of no return: the last byte of its record goes into
 * the socket.  Before it the service cannot have taken the transaction, so
 * every failure is "certainly not committed" and a lost connection is simply
 * opened again.  After it the session waits for the decision whatever happens,
 * and when the connection is lost asks for the transaction by its id.
 */
#include "borealis.h"

#include "mb/pg_wchar.h"
#include "miscadmin.h"

#include "commit_client.h"
#include "outcome.h"
#include "service_connection.h"

/* Wait before asking again, when a connection was lost in mid-request. */
#define ASK_AGAIN_MS			10
/* Random bytes are drawn for this many transaction ids at once. */
#define ID_BATCH				128

/* ---- refusals ---- */

typedef struct Refusal
{
	int			sqlstate;
	const char *message;
	const char *hint;
} Refusal;

static const Refusal refusals[] = {
	[REASON_DATA_CONFLICT] = {ERRCODE_T_R_SERIALIZATION_FAILURE,
		"change conflicts with another transaction (OC000)",
	"Retry the transaction."},
	[REASON_SCHEMA_CONFLICT] = {ERRCODE_T_R_SERIALIZATION_FAILURE,
		"schema has been updated by another transaction (OC001)",
	"Retry the transaction."},
	[REASON_BEGAN_BEFORE_LEASE] = {ERRCODE_T_R_SERIALIZATION_FAILURE,
		"change conflicts with another transaction (OC000)",
	"Retry the transaction."},
	[REASON_MALFORMED] = {ERRCODE_INTERNAL_ERROR,
		"the transaction service refused a malformed request",
	"This is a bug in Borealis.  Nothing was committed."},
	[REASON_DISK_FULL] = {ERRCODE_DISK_FULL,
		"could not commit: the journal's disk is full",
	"Nothing of this transaction was stored.  Free disk space, then retry it."},
	[REASON_STORAGE_BEHIND] = {ERRCODE_TOO_MANY_CONNECTIONS,
		"could not commit: storage is too far behind",
	"Nothing of this transaction was stored.  Retry it after a pause."},
	[REASON_TOO_LARGE] = {ERRCODE_PROGRAM_LIMIT_EXCEEDED,
		"transaction size limit exceeded",
	"Split the work into smaller transactions."},
	[REASON_TOO_OLD] = {0},		/* age_report_exceeded */
	[REASON_SEQUENCE_LIMIT] = {ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED,
		"reached the limit of the sequence",
	NULL},
};

/* The refusal's text, if this database can show it. */
static const char *
refusal_text(const Frame *answer)
{
	const char *text = (const char *) answer->payload + 4;
	int			size = answer->size - 4;
	bool		is_shown = size > 0 && memchr(text, 0, size) == NULL &&
		pg_verify_mbstr(PG_UTF8, text, size, true);

	for (int i = 0; is_shown && GetDatabaseEncoding() != PG_UTF8 && i < size; i++)
		is_shown = !IS_HIGHBIT_SET(text[i]);
	return is_shown ? pnstrdup(text, size) : NULL;
}

static void pg_attribute_noreturn()
report_refusal(const Frame *answer)
{
	const char *text = refusal_text(answer);
	const Refusal *refusal;
	uint16		reason;

	memcpy(&reason, answer->payload, 2);
	if (reason == REASON_TOO_OLD)
		age_report_exceeded();
	if (reason >= lengthof(refusals) || refusals[reason].message == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("the transaction service refused with unknown reason %u", reason),
				 text ? errdetail_internal("%s", text) : 0));

	refusal = &refusals[reason];
	ereport(ERROR,
			(errcode(refusal->sqlstate),
			 errmsg("%s", refusal->message),
			 text ? errdetail_internal("%s", text) : 0,
			 refusal->hint ? errhint("%s", refusal->hint) : 0));
}

static void pg_attribute_noreturn()
report_unavailable(int error)
{
	errno = error;
	ereport(ERROR,
			(errcode(ERRCODE_CANNOT_CONNECT_NOW),
			 errmsg("could not reach the transaction service within %d seconds",
					borealis_commit_timeout_s),
			 error != 0 ?
			 errdetail("The last attempt failed with: %m.") :
			 errdetail("It took the connection but did not answer."),
			 errhint("Nothing was committed.  Check that Borealis runs, then retry.")));
}

static void pg_attribute_noreturn()
report_unknown(const Patience *patience)
{
	ereport(FATAL,
			(errcode(ERRCODE_TRANSACTION_RESOLUTION_UNKNOWN),
			 errmsg("the outcome of the transaction is unknown"),
			 patience->is_ending ?
			 errdetail("The session was told to end while the transaction service was deciding.") :
			 errdetail("The transaction service was sent the transaction and has not told its decision."),
			 errhint("Reconnect and look whether the changes are there before you repeat the transaction.")));
}

/* ---- commit ---- */

/* Returns when the service may have the whole record. */
static void
send_record(const char *record, Size size)
{
	Patience	patience;

	patience_start(&patience, borealis_commit_timeout_s, true);
	while (service_connect(&patience))
	{
		if (service_send(FRAME_COMMIT, record, size, NULL, 0, &patience))
			return;
		if (patience_is_over(&patience))
			break;
	}
	report_unavailable(errno);
}

/* The connection was lost: fills in COMMITTED or REJECTED, or does not return. */
static void
ask_for_outcome(const char *id, BorealisTimestamp read_timestamp,
				Frame *answer, Patience *patience)
{
	while (service_connect(patience))
	{
		if (service_send(FRAME_OUTCOME, id, TRANSACTION_ID_SIZE,
						 &read_timestamp, sizeof(read_timestamp), patience) &&
			service_receive(answer, patience))
		{
			if (answer->type == FRAME_COMMITTED || answer->type == FRAME_REJECTED)
				return;
			break;
		}
		if (patience_is_over(patience))
			break;
		pg_usleep(ASK_AGAIN_MS * 1000L);
	}
	report_unknown(patience);
}

static bool
is_decision(const Frame *answer)
{
	return answer->type == FRAME_COMMITTED || answer->type == FRAME_REJECTED ||
		answer->type == FRAME_ERROR;
}

void
commit_client_commit(const char *record, Size size,
					 BorealisTimestamp read_timestamp, CommitResult *result)
{
	Patience	patience;
	Frame		answer;

	Assert(size >= TRANSACTION_ID_SIZE);

	CHECK_FOR_INTERRUPTS();
	send_record(record, size);

	HOLD_INTERRUPTS();
	patience_start(&patience, borealis_commit_timeout_s, false);
	if (!service_receive(&answer, &patience) || !is_decision(&answer))
		ask_for_outcome(record, read_timestamp, &answer, &patience);

	if (answer.type == FRAME_COMMITTED)
	{
		memcpy(&result->commit_timestamp, answer.payload, 8);
		memcpy(&result->catalog_version, answer.payload + 8, 8);
		outcome_decided();
		outcome_forget_cancel();
		RESUME_INTERRUPTS();
		return;
	}
	outcome_forget_cancel();
	RESUME_INTERRUPTS();
	report_refusal(&answer);
}

uint64
commit_client_size_max(void)
{
	Patience	patience;

	if (service_transaction_size_max() == 0)
	{
		patience_start(&patience, borealis_commit_timeout_s, true);
		if (!service_connect(&patience))
			report_unavailable(errno);
	}
	return service_transaction_size_max();
}

void
commit_client_new_transaction_id(uint8 *id)
{
	static uint8 drawn[ID_BATCH][TRANSACTION_ID_SIZE];
	static int	left = 0;

	if (left == 0)
	{
		if (!pg_strong_random(drawn, sizeof(drawn)))
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("could not generate a transaction id")));
		left = ID_BATCH;
	}
	memcpy(id, drawn[--left], TRANSACTION_ID_SIZE);
}

/* ---- reservations ---- */

static bool has_reservation = false;

void
commit_client_reserve(const uint32 *relfilenodes, int count)
{
	Patience	patience;
	Frame		answer;

	patience_start(&patience, borealis_commit_timeout_s, true);
	has_reservation = true;
	while (service_connect(&patience))
	{
		if (service_send(FRAME_RESERVE, relfilenodes, count * sizeof(uint32), NULL, 0, &patience) &&
			service_receive(&answer, &patience))
		{
			if (answer.type == FRAME_RESERVED)
				return;
			if (answer.type == FRAME_ERROR)
				report_refusal(&answer);
			service_disconnect();
			ereport(ERROR,
					(errcode(ERRCODE_PROTOCOL_VIOLATION),
					 errmsg("the transaction service gave answer %u to a reservation", answer.type)));
		}
		if (patience_is_over(&patience))
			break;
	}
	report_unavailable(errno);
}

void
commit_client_end_reservation(void)
{
	if (!has_reservation)
		return;
	has_reservation = false;
	service_disconnect();
}

/* ---- sequences ---- */

/* The wire form: its fields lie as a C compiler lays them out. */
typedef struct SequencePayload
{
	uint32		relfilenode;
	uint8		operation;
	uint8		flags;
	uint16		zero;
	int64		start;
	int64		increment;
	int64		minimum;
	int64		maximum;
	int64		value;
	uint64		count;
} SequencePayload;

StaticAssertDecl(sizeof(SequencePayload) == 56, "docs/formats.md");

void
commit_client_sequence(const SequenceRequest *request, SequenceReply *reply)
{
	SequencePayload payload = {
		.relfilenode = request->relfilenode,
		.operation = request->operation,
		.flags = (request->cycle ? 1 : 0) | (request->start_is_called ? 2 : 0) |
		(request->value_is_called ? 4 : 0),
		.start = request->start,
		.increment = request->increment,
		.minimum = request->minimum,
		.maximum = request->maximum,
		.value = request->value,
		.count = request->count,
	};
	Patience	patience;
	Frame		answer;

	patience_start(&patience, borealis_commit_timeout_s, true);
	for (;;)
	{
		if (!service_connect(&patience))
			report_unavailable(errno);
		if (service_send(FRAME_SEQUENCE, &payload, sizeof(payload), NULL, 0, &patience))
		{
			if (service_receive(&answer, &patience))
				break;

			/*
			 * Values that were granted to nobody are only a gap.  But to set
			 * the sequence again might take back values that others got
			 * meanwhile.
			 */
			if (request->operation == SEQUENCE_SET)
				ereport(ERROR,
						(errcode(ERRCODE_CONNECTION_FAILURE),
						 errmsg("lost the transaction service while it set a sequence"),
						 errhint("The sequence may or may not have its new value.  Check, then repeat.")));
			if (request->operation == SEQUENCE_GIVE_BACK)
			{
				memset(reply, 0, sizeof(*reply));
				return;
			}
		}
		if (patience_is_over(&patience))
			report_unavailable(errno);
	}

	if (answer.type == FRAME_REJECTED || answer.type == FRAME_ERROR)
		report_refusal(&answer);
	if (answer.type != FRAME_SEQUENCE_OK)
		ereport(ERROR,
				(errcode(ERRCODE_PROTOCOL_VIOLATION),
				 errmsg("the transaction service gave answer %u to a sequence request", answer.type)));
	memcpy(&reply->first, answer.payload, 8);
	memcpy(&reply->count, answer.payload + 8, 8);
	reply->is_called = answer.payload[16] != 0;
}
