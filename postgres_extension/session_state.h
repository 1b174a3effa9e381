/*
 * session_state.h
 *	  What a session has beyond its transactions, as bytes: so that it can go on
 *	  in another backend of the instance, and this one can serve somebody else.
 *
 * The number in borealis.session_state, which is reported to the client, tells
 * when the bytes of an earlier export are out of date, and whether the session
 * has something that no export can hold.  The bytes are described in
 * docs/formats.md, "Session state".
 *
 * A login gives a backend the settings of another startup packet; it takes the
 * backend's own cancel key, which no client has.
 *
 * Import and export need no privileges of their own: they do nothing that the
 * session's user could not do with SET and PREPARE.
 */
#ifndef BOREALIS_SESSION_STATE_H
#define BOREALIS_SESSION_STATE_H

#include "borealis.h"

#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "tcop/cmdtag.h"

extern void session_state_define_setting(void); /* from _PG_init */
extern void session_state_init(void);

/*
 * PREPARE and DEALLOCATE of statements that an import has brought and the server
 * does not know yet.  True: nothing is left to be done.
 */
extern bool session_state_takes(const Node *statement, QueryCompletion *completion);

/* A utility statement has succeeded: what may it have changed? */
extern void session_state_note_utility(const PlannedStmt *statement, const char *source);
/* nextval() or setval() has given currval() or lastval() a new value. */
extern void session_state_note_sequence(void);

/*
 * Before the transaction commits, and after temporary tables have been dropped
 * that do not outlive it.
 */
extern void session_state_prepare_commit(void);

#endif							/* BOREALIS_SESSION_STATE_H */
