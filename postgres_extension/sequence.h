/*
 * sequence.h
 *	  Sequences whose values come from the transaction service, so that
 *	  all instances share them.  Temporary sequences stay local.
 */
#ifndef BOREALIS_SEQUENCE_H
#define BOREALIS_SEQUENCE_H

#include "borealis.h"

#include "fmgr.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "session_bytes.h"

extern void sequence_init(void);	/* from _PG_init */

/* Forgets cached values and currval: DISCARD SEQUENCES. */
extern void sequence_discard(void);

/*
 * Before the transaction commits: returns values that its statements have fetched
 * and not used.
 */
extern void sequence_give_back(void);

/*
 * What currval() and lastval() say: a session takes it along to another backend.
 * Values that CACHE has fetched stay with the backend, for whom it serves next.
 */
extern uint32 sequence_write_values(StringInfo out);
extern void sequence_read_values(StateReader *reader, uint32 count);
extern void sequence_forget_values(void);

/* Asks the service for the last value and writes it into the local tuple. */
extern void sequence_refresh(Oid sequence);

/*
 * sequence_local.c: the one tuple in the sequence's local file.  It says where
 * the sequence starts, for a service that has never been asked for it, and is
 * what queries of the sequence see.
 */
extern void sequence_read_local(Oid sequence, int64 *last_value, bool *is_called);
extern void sequence_write_local(Relation sequence, int64 last_value, bool is_called);
/* Makes the tuples current that a statement is about to show or to copy. */
extern void sequence_refresh_for_plan(const PlannedStmt *plan);
extern void sequence_refresh_for_utility(Node *statement);

/*
 * sequence_identity.c: values of identity columns, which the server draws
 * without calling nextval().
 */
extern void sequence_replace_identity(Query *query);
/* Was a call of nextval() put there in place of an identity column's value? */
extern bool sequence_call_is_identity(FunctionCallInfo fcinfo);
extern void sequence_note_identity_call(Oid sequence);
/*
 * Around COPY FROM: makes the columns that it fills in use nextval().  The end
 * must be called in any case, and says whether COPY came through.
 */
typedef struct IdentityCopy IdentityCopy;
extern IdentityCopy *sequence_copy_begin(const CopyStmt *statement);
extern void sequence_copy_end(IdentityCopy *copy, bool is_successful, uint64 rows);

#endif							/* BOREALIS_SEQUENCE_H */
