/*
 * session_flags.h
 *	  What other processes need to know of a session when its locks are in
 *	  their way.
 */
#ifndef BOREALIS_SESSION_FLAGS_H
#define BOREALIS_SESSION_FLAGS_H

#include "borealis.h"

#include "storage/lock.h"

extern Size session_flags_size(void);
/* In shared memory of that size; is_new if it must be initialised. */
extern void session_flags_startup(void *memory, bool is_new);

/* What a transaction reads: where the workers of a parallel query have it from. */
typedef struct ReadPoint
{
	BorealisTimestamp timestamp;
	uint64		schema_version;
	uint64		catalog_version;
} ReadPoint;

extern void session_start(void);
/* For the transaction under way, before workers are started. */
extern void session_share_read_point(const ReadPoint *point);
/* False if the session's transaction has shared none. */
extern bool session_read_point(BackendId session, LocalTransactionId transaction, ReadPoint *point);
/* Inside a command, even when waiting for the client to send data. */
extern void session_command_enter(void);
extern void session_command_leave(void);
extern void session_set_has_ddl(bool has_ddl);
extern bool session_has_ddl(BackendId session);
/* The transaction has its read timestamp: from now on only its own schema will do. */
extern void session_set_pinned(bool is_pinned);
/* Its record is on the way to the transaction service: it ends by itself. */
extern void session_set_committing(bool is_committing);
extern bool session_is_committing(BackendId session);
extern bool session_is_in_command(BackendId session);
extern bool session_reads_client(BackendId session);
/*
 * True if the session only waits for its client's next command, and will find
 * then that its transaction's schema is no longer in force.
 */
extern bool session_is_idle(BackendId session);
/* See dislodge.c.  Taking it clears it; false if it meant another transaction. */
extern void session_set_dislodged(BackendId session, LocalTransactionId transaction);
extern bool session_take_dislodged(void);
extern bool session_is_dislodged(void);

#endif							/* BOREALIS_SESSION_FLAGS_H */
