/*
 * session_settings.c
 *	  See session_settings.h.
 */
#include "borealis.h"

#include "miscadmin.h"
#include "utils/guc.h"
#include "utils/guc_tables.h"
#include "utils/memutils.h"

#include "session_settings.h"

/* enough digits to read the same number again */
#define REAL_DIGITS "%.17g"

/*
 * Those that end with the transaction, and those that are exported in another
 * way or not at all.
 */
static const char *const left_out[] = {
	"role",						/* last of all */
	"seed",						/* see session_state.c */
	"session_authorization",	/* nobody but superusers can change it */
	"transaction_deferrable",
	"transaction_isolation",
	"transaction_read_only",
};

/*
 * Those that this backend's sessions have ever set, by name in order: there are
 * some four hundred, and who has changed nothing should not have to look at them.
 */
static List *touched = NIL;

static bool
is_left_out(const char *name)
{
	for (int i = 0; i < lengthof(left_out); i++)
	{
		if (strcmp(name, left_out[i]) == 0)
			return true;
	}
	return false;
}

void
session_settings_touch(const char *name)
{
	const struct config_generic *setting = find_option(name, false, true, DEBUG5);
	MemoryContext caller;
	int			place = 0;

	if (setting == NULL || is_left_out(setting->name))
		return;
	while (place < list_length(touched))
	{
		int			order = strcmp(list_nth(touched, place), setting->name);

		if (order == 0)
			return;
		if (order > 0)
			break;
		place++;
	}
	caller = MemoryContextSwitchTo(TopMemoryContext);
	touched = list_insert_nth(touched, place, pstrdup(setting->name));
	MemoryContextSwitchTo(caller);
}

static bool
is_reset(const struct config_generic *setting)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return *((struct config_bool *) setting)->variable ==
				((struct config_bool *) setting)->reset_val;
		case PGC_INT:
			return *((struct config_int *) setting)->variable ==
				((struct config_int *) setting)->reset_val;
		case PGC_REAL:
			return *((struct config_real *) setting)->variable ==
				((struct config_real *) setting)->reset_val;
		case PGC_ENUM:
			return *((struct config_enum *) setting)->variable ==
				((struct config_enum *) setting)->reset_val;
		case PGC_STRING:
			{
				const char *value = *((struct config_string *) setting)->variable;
				const char *reset = ((struct config_string *) setting)->reset_val;

				return value == reset ||
					(value != NULL && reset != NULL && strcmp(value, reset) == 0);
			}
	}
	return true;
}

/* A form that SET reads as the same value; NULL for a string that has none. */
static const char *
value_text(struct config_generic *setting)
{
	switch (setting->vartype)
	{
		case PGC_BOOL:
			return *((struct config_bool *) setting)->variable ? "true" : "false";
		case PGC_INT:
			/* without a unit it is in the setting's own */
			return psprintf("%d", *((struct config_int *) setting)->variable);
		case PGC_REAL:
			return psprintf(REAL_DIGITS, *((struct config_real *) setting)->variable);
		case PGC_ENUM:
			return config_enum_lookup_by_value((struct config_enum *) setting,
											   *((struct config_enum *) setting)->variable);
		case PGC_STRING:
			return *((struct config_string *) setting)->variable;
	}
	return NULL;
}

static uint32
write_one(StringInfo out, struct config_generic *setting)
{
	const char *value = value_text(setting);

	if (value == NULL)
		return 0;
	state_write_string(out, setting->name);
	state_write_string(out, value);
	return 1;
}

static uint32
write_role(StringInfo out)
{
	struct config_generic *role = find_option("role", false, false, ERROR);
	const char *reset = ((struct config_string *) role)->reset_val;
	const char *value = GetConfigOption("role", false, false);

	if (role->source < PGC_S_SESSION || strcmp(value, reset != NULL ? reset : "none") == 0)
		return 0;
	state_write_string(out, role->name);
	state_write_string(out, value);
	return 1;
}

uint32
session_settings_write(StringInfo out, bool *has_privileged)
{
	uint32		count = 0;
	ListCell   *cell;

	*has_privileged = false;
	foreach(cell, touched)
	{
		struct config_generic *setting = find_option(lfirst(cell), false, true, DEBUG5);

		if (setting == NULL || setting->source < PGC_S_SESSION || is_reset(setting))
			continue;
		if (setting->context == PGC_USERSET)
			count += write_one(out, setting);
		else
			*has_privileged = true;
	}
	return count + write_role(out);
}

void
session_settings_reset(void)
{
	SetPGVariable("session_authorization", NIL, false);
	SetPGVariable("role", NIL, false);
	ResetAllOptions();
}

void
session_settings_read(StateReader *reader, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		char	   *name = state_read_string(reader);
		char	   *value = state_read_string(reader);

		(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET,
								 PGC_S_SESSION, GUC_ACTION_SET, true, ERROR, false);
		session_settings_touch(name);
		pfree(name);
		pfree(value);
	}
}

void
session_settings_log_in(StateReader *reader, uint32 count)
{
	for (uint32 i = 0; i < count; i++)
	{
		char	   *name = state_read_string(reader);
		char	   *value = state_read_string(reader);

		(void) set_config_option(name, value, superuser() ? PGC_SUSET : PGC_USERSET,
								 PGC_S_CLIENT, GUC_ACTION_SET, true, ERROR, false);
		pfree(name);
		pfree(value);
	}
}
