/*
 * session_statements.h
 *	  The statements that a session has prepared with PREPARE, by their texts.
 *
 * An import prepares them again.  One that cannot be prepared any more exists by
 * its name, and fails where it would have failed without the import: when it is
 * executed.
 */
#ifndef BOREALIS_SESSION_STATEMENTS_H
#define BOREALIS_SESSION_STATEMENTS_H

#include "borealis.h"

#include "lib/stringinfo.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"

#include "session_bytes.h"

extern void session_statements_init(void);

/* PREPARE has succeeded; source is the string that the statement is part of. */
extern void session_statements_note_prepare(const PlannedStmt *statement, const char *source);
/* DEALLOCATE (NULL: ALL) has succeeded. */
extern void session_statements_note_deallocate(const char *name);

/* Before PREPARE: ERROR if the name is taken by a statement that is yet to be prepared. */
extern void session_statements_check_name(const char *name);
/* Forgets a statement that is yet to be prepared; false if there is none. */
extern bool session_statements_forget(const char *name);

extern uint32 session_statements_write(StringInfo out);
extern void session_statements_read(StateReader *reader, uint32 count);
/* Drops all of them. */
extern void session_statements_reset(void);

#endif							/* BOREALIS_SESSION_STATEMENTS_H */
