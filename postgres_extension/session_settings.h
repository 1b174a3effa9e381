/*
 * session_settings.h
 *	  The settings that a session has given itself: those that SET and
 *	  set_config() changed and that differ from what the login gave.
 */
#ifndef BOREALIS_SESSION_SETTINGS_H
#define BOREALIS_SESSION_SETTINGS_H

#include "borealis.h"

#include "lib/stringinfo.h"

#include "session_bytes.h"

/* A setting has been set, for longer than the transaction. */
extern void session_settings_touch(const char *name);

/*
 * Appends name and value of each, in order of their names, the role last; returns
 * their number.  *has_privileged: one of them is a setting that not everybody may
 * change; it is left out.  Not within a transaction that has changed settings.
 */
extern uint32 session_settings_write(StringInfo out, bool *has_privileged);

/* Back to what the login gave. */
extern void session_settings_reset(void);
/* As SET would. */
extern void session_settings_read(StateReader *reader, uint32 count);

/*
 * As the startup packet would: what RESET goes back to.  Stays, also when the
 * transaction is rolled back, until a value for the same name is given.
 */
extern void session_settings_log_in(StateReader *reader, uint32 count);

#endif							/* BOREALIS_SESSION_SETTINGS_H */
