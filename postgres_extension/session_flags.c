/*
 * session_flags.c
 *	  See session_flags.h.
 *
 * Single words that each have one writer at a time; what they say may be out of
 * date by the time that it is acted upon, so that whoever acts looks again.
 */
#include "borealis.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/sinvaladt.h"
#include "utils/wait_event.h"

#include "session_flags.h"

typedef struct Session
{
	pg_atomic_uint32 command_depth;
	pg_atomic_uint32 has_ddl;
	pg_atomic_uint32 is_pinned; /* its transaction has a read timestamp */
	pg_atomic_uint32 is_committing; /* its record is on the way: the decision will end it */
	pg_atomic_uint32 dislodged; /* transaction that is asked to end */
	pg_atomic_uint32 sharer;	/* transaction that has shared its read point */
	ReadPoint	read_point;
} Session;

/* Its owner writes at each command: so none shares a cache line with another. */
typedef union PaddedSession
{
	Session		session;
	char		pad[PG_CACHE_LINE_SIZE];
} PaddedSession;

/* By backend id, which begins at 1. */
static PaddedSession *sessions = NULL;

Size
session_flags_size(void)
{
	return mul_size(sizeof(PaddedSession), MaxBackends);
}

void
session_flags_startup(void *memory, bool is_new)
{
	sessions = memory;
	for (int i = 0; is_new && i < MaxBackends; i++)
	{
		pg_atomic_init_u32(&sessions[i].session.command_depth, 0);
		pg_atomic_init_u32(&sessions[i].session.has_ddl, 0);
		pg_atomic_init_u32(&sessions[i].session.is_pinned, 0);
		pg_atomic_init_u32(&sessions[i].session.is_committing, 0);
		pg_atomic_init_u32(&sessions[i].session.dislodged, InvalidLocalTransactionId);
		pg_atomic_init_u32(&sessions[i].session.sharer, InvalidLocalTransactionId);
	}
}

static Session *
my_session(void)
{
	return &sessions[MyBackendId - 1].session;
}

static uint32
get_flag(BackendId session, size_t offset)
{
	return pg_atomic_read_u32((pg_atomic_uint32 *) ((char *) &sessions[session - 1].session + offset));
}

void
session_start(void)
{
	pg_atomic_write_u32(&my_session()->command_depth, 0);
	pg_atomic_write_u32(&my_session()->has_ddl, 0);
	pg_atomic_write_u32(&my_session()->is_pinned, 0);
	pg_atomic_write_u32(&my_session()->is_committing, 0);
	pg_atomic_write_u32(&my_session()->dislodged, 0);
	pg_atomic_write_u32(&my_session()->sharer, InvalidLocalTransactionId);
}

void
session_share_read_point(const ReadPoint *point)
{
	my_session()->read_point = *point;
	pg_write_barrier();
	pg_atomic_write_u32(&my_session()->sharer, MyProc->lxid);
}

bool
session_read_point(BackendId session, LocalTransactionId transaction, ReadPoint *point)
{
	if (transaction == InvalidLocalTransactionId ||
		pg_atomic_read_u32(&sessions[session - 1].session.sharer) != transaction)
		return false;
	pg_read_barrier();
	*point = sessions[session - 1].session.read_point;
	return true;
}

void
session_command_enter(void)
{
	pg_atomic_uint32 *depth = &my_session()->command_depth;

	pg_atomic_write_u32(depth, pg_atomic_read_u32(depth) + 1);
}

void
session_command_leave(void)
{
	pg_atomic_uint32 *depth = &my_session()->command_depth;

	pg_atomic_write_u32(depth, pg_atomic_read_u32(depth) - 1);
}

void
session_set_has_ddl(bool has_ddl)
{
	pg_atomic_write_u32(&my_session()->has_ddl, has_ddl);
}

bool
session_has_ddl(BackendId session)
{
	return get_flag(session, offsetof(Session, has_ddl)) != 0;
}

void
session_set_pinned(bool is_pinned)
{
	if (MyBackendId != InvalidBackendId)
		pg_atomic_write_u32(&my_session()->is_pinned, is_pinned);
}

void
session_set_committing(bool is_committing)
{
	if (sessions != NULL && MyBackendId != InvalidBackendId)
		pg_atomic_write_u32(&my_session()->is_committing, is_committing);
}

bool
session_is_committing(BackendId session)
{
	return get_flag(session, offsetof(Session, is_committing)) != 0;
}

bool
session_reads_client(BackendId session)
{
	PGPROC	   *proc = BackendIdGetProc(session);

	return proc != NULL && proc->wait_event_info == WAIT_EVENT_CLIENT_READ;
}

bool
session_is_in_command(BackendId session)
{
	return get_flag(session, offsetof(Session, command_depth)) != 0;
}

bool
session_is_idle(BackendId session)
{
	pg_memory_barrier();
	return session_reads_client(session) && !session_is_in_command(session) &&
		get_flag(session, offsetof(Session, is_pinned)) != 0;
}

void
session_set_dislodged(BackendId session, LocalTransactionId transaction)
{
	pg_atomic_write_u32(&sessions[session - 1].session.dislodged, transaction);
}

bool
session_is_dislodged(void)
{
	return sessions != NULL && MyBackendId != InvalidBackendId &&
		MyProc->lxid != InvalidLocalTransactionId &&
		pg_atomic_read_u32(&my_session()->dislodged) == MyProc->lxid;
}

bool
session_take_dislodged(void)
{
	return sessions != NULL && MyBackendId != InvalidBackendId &&
		pg_atomic_exchange_u32(&my_session()->dislodged, InvalidLocalTransactionId) == MyProc->lxid &&
		MyProc->lxid != InvalidLocalTransactionId;
}
