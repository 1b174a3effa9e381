/*
 * sequence.c
 *	  See sequence.h.
 *
 * The functions on sequences take the place of the built-in ones and behave like
 * them: the same messages, privileges, locks, and per-session state for currval,
 * lastval and CACHE.  Only where the server would change the local tuple they ask
 * the service.
 *
 * A statement that draws many values (COPY, INSERT ... SELECT) asks for more and
 * more of them at a time.  What it leaves over goes back to the service, which
 * hands it out again unless others have drawn values meanwhile.
 */
#include "borealis.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_sequence.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/proc.h"
#include "tcop/utility.h"
#include "utils/acl.h"
#include "utils/fmgroids.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/resowner.h"
#include "utils/syscache.h"

#include "catalog_state.h"
#include "commit_client.h"
#include "pg_patches.h"
#include "sequence.h"
#include "session_state.h"

/* A statement gets this many values one by one, then blocks that double. */
#define SINGLE_VALUES 16
#define BLOCK_MAX 1024

/* What this session knows of a sequence, and what the backend has of it. */
typedef struct SequenceSession
{
	Oid			sequence;		/* hash key */
	RelFileNumber files;		/* of which the rest is true */
	LocalTransactionId lock_holder; /* transaction that holds the lock */

	/* where the service starts that has never heard of these files */
	int64		start;
	bool		start_is_called;

	bool		last_is_valid;
	int64		last;			/* handed out by nextval or set by setval */

	/* values that this backend has fetched, whichever session it serves */
	int64		fetched_last;	/* the last one that was handed out */
	int64		increment;
	uint64		left;			/* those after it */
	bool		is_cache;		/* they outlive the statement (CACHE) */

	/* the statement that drew values last */
	LocalTransactionId transaction;
	TimestampTz statement;
	uint64		drawn;
} SequenceSession;

static HTAB *sessions = NULL;
static SequenceSession *last_used = NULL;
/* nextval was last called for a temporary sequence, which the server remembers. */
static bool last_used_is_temporary = false;

/* Some session has values left from a statement. */
static bool has_left = false;

static PGFunction original_nextval;
static PGFunction original_currval;
static PGFunction original_lastval;
static PGFunction original_setval;
static PGFunction original_setval_is_called;
static PGFunction original_last_value;

void
sequence_discard(void)
{
	if (sessions != NULL)
		hash_destroy(sessions);
	sessions = NULL;
	last_used = NULL;
	last_used_is_temporary = false;
	has_left = false;
}

/* ---- opening ---- */

static SequenceSession *
find_session(Oid sequence)
{
	SequenceSession *session;
	bool		found;

	if (sessions == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(SequenceSession)};

		sessions = hash_create("Borealis sequences", 16, &control, HASH_ELEM | HASH_BLOBS);
	}
	session = hash_search(sessions, &sequence, HASH_ENTER, &found);
	if (!found)
	{
		memset(session, 0, sizeof(*session));
		session->sequence = sequence;
	}
	return session;
}

/* Locks for the rest of the transaction, once. */
static Relation
open_locked(SequenceSession *session)
{
	if (session->lock_holder != MyProc->lxid)
	{
		ResourceOwner owner = CurrentResourceOwner;

		CurrentResourceOwner = TopTransactionResourceOwner;
		LockRelationOid(session->sequence, RowExclusiveLock);
		CurrentResourceOwner = owner;
		session->lock_holder = MyProc->lxid;
	}
	return relation_open(session->sequence, NoLock);
}

static Relation
open_sequence(Oid sequence, SequenceSession **session_out)
{
	SequenceSession *session = find_session(sequence);
	Relation	relation = open_locked(session);

	if (relation->rd_rel->relkind != RELKIND_SEQUENCE)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" is not a sequence", RelationGetRelationName(relation))));

	/* ALTER SEQUENCE and TRUNCATE make new files. */
	if (session->files != relation->rd_rel->relfilenode)
	{
		sequence_read_local(sequence, &session->start, &session->start_is_called);
		session->files = relation->rd_rel->relfilenode;
		session->left = 0;
	}
	*session_out = session;
	return relation;
}

static bool
is_local(Oid relation)
{
	return !catalog_is_shared() || get_rel_persistence(relation) == RELPERSISTENCE_TEMP;
}

static void
check_privilege(Relation sequence, AclMode mode)
{
	if (pg_class_aclcheck(RelationGetRelid(sequence), GetUserId(), mode) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for sequence %s", RelationGetRelationName(sequence))));
}

/* ---- asking ---- */

/* The definition, and where it starts; returns the number of values to cache. */
static int64
fill_request(SequenceRequest *request, const SequenceSession *session,
			 SequenceOperation operation)
{
	HeapTuple	row = SearchSysCache1(SEQRELID, ObjectIdGetDatum(session->sequence));
	Form_pg_sequence definition;
	int64		cache;

	if (!HeapTupleIsValid(row))
		elog(ERROR, "cache lookup failed for sequence %u", session->sequence);
	definition = (Form_pg_sequence) GETSTRUCT(row);
	memset(request, 0, sizeof(*request));
	request->relfilenode = session->files;
	request->operation = operation;
	request->cycle = definition->seqcycle;
	request->start = session->start;
	request->start_is_called = session->start_is_called;
	request->increment = definition->seqincrement;
	request->minimum = definition->seqmin;
	request->maximum = definition->seqmax;
	cache = definition->seqcache;
	ReleaseSysCache(row);
	return cache;
}

static void
report_exhausted(Relation sequence, const SequenceRequest *request)
{
	bool		ascends = request->increment > 0;

	ereport(ERROR,
			(errcode(ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED),
			 ascends ?
			 errmsg("nextval: reached maximum value of sequence \"%s\" (%lld)",
					RelationGetRelationName(sequence), (long long) request->maximum) :
			 errmsg("nextval: reached minimum value of sequence \"%s\" (%lld)",
					RelationGetRelationName(sequence), (long long) request->minimum)));
}

/* As commit_client_sequence; the end of the sequence is reported by its name. */
static void
ask_next(Relation sequence, const SequenceRequest *request, SequenceReply *reply)
{
	volatile bool is_exhausted = false;
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		commit_client_sequence(request, reply);
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_SEQUENCE_GENERATOR_LIMIT_EXCEEDED)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		is_exhausted = true;
	}
	PG_END_TRY();
	if (is_exhausted || reply->count == 0)
		report_exhausted(sequence, request);
}

static void
give_back(SequenceSession *session)
{
	SequenceRequest request;
	SequenceReply reply;
	uint64		left = session->left;

	session->left = 0;
	if (!SearchSysCacheExists1(SEQRELID, ObjectIdGetDatum(session->sequence)))
		return;
	(void) fill_request(&request, session, SEQUENCE_GIVE_BACK);
	/* ALTER SEQUENCE in this transaction: the values belong to its old files */
	if (request.increment != session->increment)
		return;
	request.value = session->fetched_last + session->increment;
	request.count = left;
	commit_client_sequence(&request, &reply);
}

void
sequence_give_back(void)
{
	HASH_SEQ_STATUS status;
	SequenceSession *session;

	if (!has_left)
		return;
	has_left = false;
	hash_seq_init(&status, sessions);
	while ((session = hash_seq_search(&status)) != NULL)
	{
		if (session->left > 0 && !session->is_cache)
			give_back(session);
	}
}

/* Values drawn by the current statement so far, this one included. */
static uint64
count_draw(SequenceSession *session)
{
	if (session->transaction != MyProc->lxid ||
		session->statement != GetCurrentStatementStartTimestamp())
	{
		session->transaction = MyProc->lxid;
		session->statement = GetCurrentStatementStartTimestamp();
		session->drawn = 0;
		if (session->left > 0 && !session->is_cache)
			give_back(session);
	}
	return ++session->drawn;
}

static void
fetch(Relation sequence, SequenceSession *session, uint64 drawn)
{
	SequenceRequest request;
	SequenceReply reply;
	int64		cache = fill_request(&request, session, SEQUENCE_NEXT);
	uint64		block = drawn <= SINGLE_VALUES ? 1 : Min(drawn, BLOCK_MAX);

	request.count = Max((uint64) cache, block);
	ask_next(sequence, &request, &reply);
	session->increment = request.increment;
	session->fetched_last = reply.first;
	session->left = reply.count - 1;
	session->is_cache = cache > 1;
	has_left |= session->left > 0 && !session->is_cache;
}

static int64
next_value(Oid sequence_id, bool check_privileges)
{
	SequenceSession *session;
	Relation	sequence = open_sequence(sequence_id, &session);
	uint64		drawn;

	if (check_privileges)
		check_privilege(sequence, ACL_USAGE | ACL_UPDATE);
	PreventCommandIfReadOnly("nextval()");

	drawn = count_draw(session);
	if (session->left > 0)
	{
		session->left--;
		session->fetched_last += session->increment;
	}
	else
		fetch(sequence, session, drawn);
	relation_close(sequence, NoLock);
	session->last = session->fetched_last;
	session->last_is_valid = true;
	last_used = session;
	last_used_is_temporary = false;
	session_state_note_sequence();
	return session->last;
}

void
sequence_refresh(Oid sequence_id)
{
	SequenceSession *session;
	Relation	sequence = open_sequence(sequence_id, &session);
	SequenceRequest request;
	SequenceReply reply;

	(void) fill_request(&request, session, SEQUENCE_LOOK);
	commit_client_sequence(&request, &reply);
	sequence_write_local(sequence, reply.first, reply.is_called);
	relation_close(sequence, NoLock);
}

/* ---- the functions ---- */

static Datum
borealis_nextval(PG_FUNCTION_ARGS)
{
	Oid			sequence = PG_GETARG_OID(0);
	bool		is_identity = sequence_call_is_identity(fcinfo);

	if (is_identity)
		sequence_note_identity_call(sequence);
	if (is_local(sequence))
	{
		last_used_is_temporary = true;
		return original_nextval(fcinfo);
	}
	PG_RETURN_INT64(next_value(sequence, !is_identity));
}

static Datum
borealis_currval(PG_FUNCTION_ARGS)
{
	Oid			sequence_id = PG_GETARG_OID(0);
	SequenceSession *session;
	Relation	sequence;

	if (is_local(sequence_id))
		return original_currval(fcinfo);

	sequence = open_sequence(sequence_id, &session);
	check_privilege(sequence, ACL_SELECT | ACL_USAGE);
	if (!session->last_is_valid)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("currval of sequence \"%s\" is not yet defined in this session",
						RelationGetRelationName(sequence))));
	relation_close(sequence, NoLock);
	PG_RETURN_INT64(session->last);
}

static Datum
borealis_lastval(PG_FUNCTION_ARGS)
{
	Relation	sequence;

	if (!catalog_is_shared() || last_used_is_temporary)
		return original_lastval(fcinfo);
	/* Somebody may have dropped the sequence since. */
	if (last_used == NULL ||
		!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(last_used->sequence)))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("lastval is not yet defined in this session")));
	sequence = open_locked(last_used);
	check_privilege(sequence, ACL_SELECT | ACL_USAGE);
	relation_close(sequence, NoLock);
	PG_RETURN_INT64(last_used->last);
}

static void
set_value(Oid sequence_id, int64 value, bool is_called)
{
	SequenceSession *session;
	Relation	sequence = open_sequence(sequence_id, &session);
	SequenceRequest request;
	SequenceReply reply;

	check_privilege(sequence, ACL_UPDATE);
	PreventCommandIfReadOnly("setval()");
	(void) fill_request(&request, session, SEQUENCE_SET);
	if (value < request.minimum || value > request.maximum)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("setval: value %lld is out of bounds for sequence \"%s\" (%lld..%lld)",
						(long long) value, RelationGetRelationName(sequence),
						(long long) request.minimum, (long long) request.maximum)));
	request.value = value;
	request.value_is_called = is_called;
	commit_client_sequence(&request, &reply);
	if (is_called)
	{
		session->last = value;
		session->last_is_valid = true;
		session_state_note_sequence();
	}
	session->left = 0;
	relation_close(sequence, NoLock);
}

static Datum
borealis_setval(PG_FUNCTION_ARGS)
{
	if (is_local(PG_GETARG_OID(0)))
		return original_setval(fcinfo);
	set_value(PG_GETARG_OID(0), PG_GETARG_INT64(1), true);
	PG_RETURN_INT64(PG_GETARG_INT64(1));
}

static Datum
borealis_setval_is_called(PG_FUNCTION_ARGS)
{
	if (is_local(PG_GETARG_OID(0)))
		return original_setval_is_called(fcinfo);
	set_value(PG_GETARG_OID(0), PG_GETARG_INT64(1), PG_GETARG_BOOL(2));
	PG_RETURN_INT64(PG_GETARG_INT64(1));
}

/* The server's function reads the local tuple. */
static Datum
borealis_last_value(PG_FUNCTION_ARGS)
{
	Oid			sequence = PG_GETARG_OID(0);

	if (!is_local(sequence) && get_rel_relkind(sequence) == RELKIND_SEQUENCE)
		sequence_refresh(sequence);
	return original_last_value(fcinfo);
}

/* ---- the session's values, as bytes ---- */

static int
compare_sequences(const ListCell *a, const ListCell *b)
{
	Oid			one = ((SequenceSession *) lfirst(a))->sequence;
	Oid			other = ((SequenceSession *) lfirst(b))->sequence;

	return one < other ? -1 : one > other;
}

uint32
sequence_write_values(StringInfo out)
{
	List	   *known = NIL;
	ListCell   *cell;

	if (sessions != NULL)
	{
		HASH_SEQ_STATUS status;
		SequenceSession *session;

		hash_seq_init(&status, sessions);
		while ((session = hash_seq_search(&status)) != NULL)
		{
			if (session->last_is_valid)
				known = lappend(known, session);
		}
	}
	list_sort(known, compare_sequences);
	foreach(cell, known)
	{
		SequenceSession *session = lfirst(cell);

		state_write_u32(out, session->sequence);
		state_write_u32(out, session == last_used);
		appendBinaryStringInfo(out, &session->last, sizeof(session->last));
	}
	return list_length(known);
}

void
sequence_read_values(StateReader *reader, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		SequenceSession *session = find_session(state_read_u32(reader));
		bool		is_last_used = state_read_u32(reader) != 0;

		state_read(reader, &session->last, sizeof(session->last));
		session->last_is_valid = true;
		if (is_last_used)
			last_used = session;
	}
}

void
sequence_forget_values(void)
{
	HASH_SEQ_STATUS status;
	SequenceSession *session;

	ResetSequenceCaches();
	last_used = NULL;
	last_used_is_temporary = false;
	if (sessions == NULL)
		return;
	hash_seq_init(&status, sessions);
	while ((session = hash_seq_search(&status)) != NULL)
		session->last_is_valid = false;
}

void
sequence_init(void)
{
	pg_patch_builtin(F_NEXTVAL, borealis_nextval, &original_nextval);
	pg_patch_builtin(F_CURRVAL, borealis_currval, &original_currval);
	pg_patch_builtin(F_LASTVAL, borealis_lastval, &original_lastval);
	pg_patch_builtin(F_SETVAL_REGCLASS_INT8, borealis_setval, &original_setval);
	pg_patch_builtin(F_SETVAL_REGCLASS_INT8_BOOL, borealis_setval_is_called,
					 &original_setval_is_called);
	pg_patch_builtin(F_PG_SEQUENCE_LAST_VALUE, borealis_last_value, &original_last_value);
}
