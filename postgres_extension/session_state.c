/*
 * session_state.c
 *	  See session_state.h.
 *
 * The setting borealis.session_state is marked as changed before a transaction
 * ends that may have changed the session.  The server asks for its value when it
 * is ready for the next command, and by then the transaction is over and what it
 * did or undid is settled: whether something has really changed is found out
 * then.
 */
#include "borealis.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_namespace.h"
#include "common/hashfn.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/portal.h"
#include "utils/rel.h"
#include "varatt.h"

#include "catalog_changes.h"
#include "pg_patches.h"
#include "sequence.h"
#include "session_bytes.h"
#include "session_settings.h"
#include "session_state.h"
#include "session_statements.h"

#define SETTING "borealis.session_state"
#define MAGIC "BRLSSES1"
#define MAGIC_SIZE 8

/* Two numbers, a space each, and a word. */
#define REPORT_SIZE 64

static char *setting_value = NULL;	/* never shown */

/* What is reported. */
static uint64 meaning_number = 0;	/* of settings and prepared statements */
static uint64 values_number = 0;	/* of sequence values */
static bool is_pinned = false;

/* What the current transaction may have changed. */
static bool is_dirty = false;
static bool settings_are_dirty = false;
static bool statements_are_dirty = false;
static bool sequences_are_dirty = false;

static uint64 settings_hash = 0;	/* when meaning_number was given */

/* What cannot move. */
static bool has_privileged_settings = false;
static bool has_temporary_objects = false;
static bool will_have_temporary_objects = false;	/* if the transaction commits */
static bool is_seeded = false;
static List *held_cursors = NIL;	/* names; some may be closed already */

static PGFunction original_set_config;
static PGFunction original_setseed;

PG_FUNCTION_INFO_V1(borealis_session_export);
PG_FUNCTION_INFO_V1(borealis_session_import);
PG_FUNCTION_INFO_V1(borealis_session_log_in);

/* ---- cursors that outlive their transactions ---- */

static void
remember_cursor(const DeclareCursorStmt *statement)
{
	MemoryContext caller = MemoryContextSwitchTo(TopMemoryContext);

	held_cursors = lappend(held_cursors, pstrdup(statement->portalname));
	MemoryContextSwitchTo(caller);
}

static bool
is_held(const char *name)
{
	Portal		portal = GetPortalByName(name);

	return PortalIsValid(portal) && (portal->cursorOptions & CURSOR_OPT_HOLD);
}

static void
forget_closed_cursors(void)
{
	ListCell   *cell;

	foreach(cell, held_cursors)
	{
		char	   *name = lfirst(cell);

		if (is_held(name))
			continue;
		pfree(name);
		held_cursors = foreach_delete_current(held_cursors, cell);
	}
}

static void
close_held_cursors(void)
{
	ListCell   *cell;

	foreach(cell, held_cursors)
	{
		if (is_held(lfirst(cell)))
			PortalDrop(GetPortalByName(lfirst(cell)), false);
	}
	forget_closed_cursors();
}

/* ---- the report ---- */

static uint64
hash_settings(void)
{
	StringInfoData bytes;
	uint64		hash = 0;

	initStringInfo(&bytes);
	if (session_settings_write(&bytes, &has_privileged_settings) > 0)
		hash = hash_bytes_extended((unsigned char *) bytes.data, bytes.len, 0);
	pfree(bytes.data);
	return hash;
}

/* Between transactions. */
static void
settle(void)
{
	bool		has_new_meaning = statements_are_dirty;

	if (settings_are_dirty)
	{
		uint64		hash = hash_settings();

		has_new_meaning |= hash != settings_hash;
		settings_hash = hash;
	}
	if (has_new_meaning)
		meaning_number++;
	if (sequences_are_dirty)
		values_number++;
	forget_closed_cursors();
	is_pinned = has_privileged_settings || has_temporary_objects || is_seeded || held_cursors != NIL;
	is_dirty = settings_are_dirty = statements_are_dirty = sequences_are_dirty = false;
}

static const char *
show_state(void)
{
	static char report[REPORT_SIZE];

	if (is_dirty && !IsTransactionState())
		settle();
	snprintf(report, sizeof(report), UINT64_FORMAT "." UINT64_FORMAT "%s",
			 meaning_number, values_number, is_pinned ? " pinned" : "");
	return report;
}

/* Has the server ask for the value when it is ready for the next command. */
static void
mark(void)
{
	if (is_dirty)
		SetConfigOption(SETTING, "", PGC_INTERNAL, PGC_S_OVERRIDE);
}

/* ---- what changes it ---- */

static void
note_settings(void)
{
	settings_are_dirty = is_dirty = true;
}

static void
note_setting(const char *name)
{
	note_settings();
	session_settings_touch(name);
	if (pg_strcasecmp(name, "seed") == 0)
		is_seeded = true;
}

static void
note_set(const VariableSetStmt *set)
{
	if (set->is_local)
		return;
	note_settings();
	if (set->kind == VAR_SET_MULTI)
	{
		/* SESSION CHARACTERISTICS; the others are local */
		session_settings_touch("default_transaction_deferrable");
		session_settings_touch("default_transaction_isolation");
		session_settings_touch("default_transaction_read_only");
	}
	else if (set->name != NULL)
		note_setting(set->name);
}

static void
note_statements(void)
{
	statements_are_dirty = is_dirty = true;
}

void
session_state_note_sequence(void)
{
	sequences_are_dirty = is_dirty = true;
}

static void
note_discard(const DiscardStmt *discard)
{
	switch (discard->target)
	{
		case DISCARD_ALL:
			session_statements_note_deallocate(NULL);
			note_settings();
			note_statements();
			session_state_note_sequence();
			break;
		case DISCARD_SEQUENCES:
			session_state_note_sequence();
			break;
		case DISCARD_TEMP:
		case DISCARD_PLANS:
			break;
	}
}

bool
session_state_takes(const Node *statement, QueryCompletion *completion)
{
	if (IsA(statement, PrepareStmt))
		session_statements_check_name(((const PrepareStmt *) statement)->name);
	if (!IsA(statement, DeallocateStmt) ||
		!session_statements_forget(((const DeallocateStmt *) statement)->name))
		return false;
	note_statements();
	if (completion != NULL)
		SetQueryCompletion(completion, CMDTAG_DEALLOCATE, 0);
	return true;
}

void
session_state_note_utility(const PlannedStmt *statement, const char *source)
{
	const Node *utility = statement->utilityStmt;

	switch (nodeTag(utility))
	{
		case T_VariableSetStmt:
			note_set((const VariableSetStmt *) utility);
			break;
		case T_DiscardStmt:
			note_discard((const DiscardStmt *) utility);
			break;
		case T_PrepareStmt:
			session_statements_note_prepare(statement, source);
			note_statements();
			break;
		case T_DeallocateStmt:
			session_statements_note_deallocate(((const DeallocateStmt *) utility)->name);
			note_statements();
			break;
		case T_DeclareCursorStmt:
			if (((const DeclareCursorStmt *) utility)->options & CURSOR_OPT_HOLD)
			{
				remember_cursor((const DeclareCursorStmt *) utility);
				is_dirty = true;
			}
			break;
		case T_ClosePortalStmt:
			is_dirty = true;
			break;
		default:
			break;
	}
}

static Datum
borealis_set_config(PG_FUNCTION_ARGS)
{
	Datum		result = original_set_config(fcinfo);

	/* Now a setting of the user's own making exists. */
	if (!PG_ARGISNULL(0) && (PG_ARGISNULL(2) || !PG_GETARG_BOOL(2)))
		note_setting(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	return result;
}

static Datum
borealis_setseed(PG_FUNCTION_ARGS)
{
	note_setting("seed");
	return original_setseed(fcinfo);
}

/* Is there anything in the session's temporary schema? */
static bool
find_temporary_objects(void)
{
	Oid			namespace;
	Oid			toast_namespace;
	Relation	catalog;
	ScanKeyData keys[2];
	SysScanDesc scan;
	bool		is_found;

	GetTempNamespaceState(&namespace, &toast_namespace);
	if (!OidIsValid(namespace))
		return false;
	catalog = table_open(DependRelationId, AccessShareLock);
	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(NamespaceRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(namespace));
	scan = systable_beginscan(catalog, DependReferenceIndexId, true, NULL, lengthof(keys), keys);
	is_found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	table_close(catalog, AccessShareLock);
	return is_found;
}

void
session_state_prepare_commit(void)
{
	if (catalog_changes_possible())
	{
		will_have_temporary_objects = find_temporary_objects();
		is_dirty |= will_have_temporary_objects != has_temporary_objects;
	}
	mark();
}

static void
transaction_ends(XactEvent event, void *unused)
{
	if (event == XACT_EVENT_COMMIT)
		has_temporary_objects = will_have_temporary_objects;
	else if (event == XACT_EVENT_ABORT)
	{
		will_have_temporary_objects = has_temporary_objects;
		mark();
	}
}

/* ---- export and import ---- */

Datum
borealis_session_export(PG_FUNCTION_ARGS)
{
	StringInfoData bytes;
	Size		counts_at;
	uint32		counts[4];
	bool		has_privileged;

	initStringInfo(&bytes);
	appendStringInfoSpaces(&bytes, VARHDRSZ);
	appendBinaryStringInfo(&bytes, MAGIC, MAGIC_SIZE);
	counts_at = bytes.len;
	appendStringInfoSpaces(&bytes, sizeof(counts));
	counts[0] = session_settings_write(&bytes, &has_privileged);
	counts[1] = session_statements_write(&bytes);
	counts[3] = bytes.len - counts_at - sizeof(counts);
	counts[2] = sequence_write_values(&bytes);
	memcpy(bytes.data + counts_at, counts, sizeof(counts));
	if (counts[0] == 0 && counts[1] == 0 && counts[2] == 0)
		bytes.len = VARHDRSZ;
	SET_VARSIZE(bytes.data, bytes.len);
	PG_RETURN_BYTEA_P(bytes.data);
}

/* random() must not go on where the last session's seed has led it. */
static void
reseed(void)
{
	pg_prng_state state;

	if (!is_seeded)
		return;
	if (!pg_prng_strong_seed(&state))
		ereport(ERROR,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not obtain random data")));
	DirectFunctionCall1(original_setseed, Float8GetDatum(pg_prng_double(&state)));
	is_seeded = false;
}

static void
reset(void)
{
	session_settings_reset();
	session_statements_reset();
	sequence_forget_values();
	close_held_cursors();
	ResetTempTableNamespace();
	reseed();
}

static void
import(const char *bytes, Size size)
{
	StateReader reader = {bytes, bytes + size};
	char		magic[MAGIC_SIZE];
	uint32		settings;
	uint32		statements;
	uint32		sequences;

	reset();
	if (size == 0)
		return;
	state_read(&reader, magic, MAGIC_SIZE);
	settings = state_read_u32(&reader);
	statements = state_read_u32(&reader);
	sequences = state_read_u32(&reader);
	(void) state_read_u32(&reader);
	if (memcmp(magic, MAGIC, MAGIC_SIZE) != 0)
		state_is_malformed();
	session_settings_read(&reader, settings);
	session_statements_read(&reader, statements);
	sequence_read_values(&reader, sequences);
	if (reader.next != reader.end)
		state_is_malformed();
}

/* A backend that has the state half is of no use to anybody. */
static void
end_session(MemoryContext caller)
{
	ErrorData  *problem;

	MemoryContextSwitchTo(caller);
	problem = CopyErrorData();
	FlushErrorState();
	ereport(FATAL,
			(errcode(problem->sqlerrcode),
			 errmsg("the session cannot go on in this backend: %s", problem->message)));
}

Datum
borealis_session_import(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(0);
	MemoryContext caller = CurrentMemoryContext;

	if (IsTransactionBlock())
		ereport(ERROR,
				(errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				 errmsg("a session's state cannot be replaced within a transaction")));
	PG_TRY();
	{
		import(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
	}
	PG_CATCH();
	{
		end_session(caller);
	}
	PG_END_TRY();
	note_settings();
	note_statements();
	session_state_note_sequence();
	PG_RETURN_VOID();
}

/* ---- login ---- */

/*
 * The front alone knows the key of this backend: its clients are given others.
 * So nobody else can leave settings behind for the session that comes next.
 */
Datum
borealis_session_log_in(PG_FUNCTION_ARGS)
{
	bytea	   *bytes = PG_GETARG_BYTEA_PP(1);
	StateReader reader = {VARDATA_ANY(bytes), VARDATA_ANY(bytes) + VARSIZE_ANY_EXHDR(bytes)};

	if (PG_GETARG_INT32(0) != MyCancelKey)
		ereport(FATAL,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("a session cannot log in once more")));
	session_settings_log_in(&reader, state_read_u32(&reader));
	if (reader.next != reader.end)
		state_is_malformed();
	PG_RETURN_VOID();
}

/* ---- start ---- */

void
session_state_define_setting(void)
{
	DefineCustomStringVariable(SETTING,
							   "Number of the session's state, for who moves sessions between backends.",
							   NULL, &setting_value, "",
							   PGC_INTERNAL,
							   GUC_REPORT | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE | GUC_NO_RESET_ALL,
							   NULL, NULL, show_state);
}

void
session_state_init(void)
{
	pg_patch_builtin(F_SET_CONFIG, borealis_set_config, &original_set_config);
	pg_patch_builtin(F_SETSEED, borealis_setseed, &original_setseed);
	session_statements_init();
	RegisterXactCallback(transaction_ends, NULL);
}
