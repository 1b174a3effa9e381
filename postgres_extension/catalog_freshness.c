/*
 * catalog_freshness.c
 *	  See catalog_freshness.h.
 *
 * A table that another instance has just created must be known here when the
 * names of a command are looked up, so the wait for the catalog worker comes
 * before that.  The server has no hook there; but it verifies the encoding of
 * each string of a client's message as soon as it has read it.  A query in another
 * encoding than UTF-8 is converted instead; there the wait comes when its first
 * word is scanned.  A statement that was prepared under such an encoding is executed
 * without one, and meets the check that goes with the read timestamp: OC001 where
 * others wait.
 *
 * Once the transaction has its read timestamp, newer catalogs are not for it.  In
 * between, the locks on relations keep the catalogs as the statement has found
 * them, with one exception: the worker may have to do without a lock, because of
 * an idle transaction that holds another one.
 */
#include "borealis.h"

#include "access/xact.h"
#include "libpq/auth.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "tcop/pquery.h"
#include "utils/inval.h"

#include "catalog_freshness.h"
#include "catalog_state.h"
#include "ddl_log.h"
#include "dialect.h"
#include "pg_patches.h"
#include "session_flags.h"
#include "transaction.h"

static Utf8Verifier original_verifier = NULL;
static ClientAuthentication_hook_type previous_authentication = NULL;

/* Versions when the last message arrived, or 0. */
static uint64 message_schema_version = 0;
static uint64 message_catalog_version = 0;
static bool has_message = false;

/* Is the session reading a message, which it has not begun to carry out? */
static bool
is_client_text(void)
{
	return MyProcPort != NULL && !ClientAuthInProgress && ActivePortal == NULL;
}

/* May it wait for newer catalogs? */
static bool
is_between_statements(void)
{
	if (InterruptHoldoffCount != 0 || CritSectionCount != 0)
		return false;
	return !transaction_has_read_timestamp() && !IsAbortedTransactionBlockState();
}

static void
message_arrives(void)
{
	uint64		schema_version;

	catalog_wait_current();
	schema_version = local_schema_version();
	/* A statement that was parsed in an earlier message must learn of it. */
	if (has_message && schema_version != message_schema_version && IsTransactionState())
		AcceptInvalidationMessages();
	message_schema_version = schema_version;
	message_catalog_version = local_catalog_version();
	has_message = true;
	transaction_message_arrives();
}

static int
verify_utf8(const unsigned char *string, int size)
{
	if (is_client_text() && catalog_is_shared())
	{
		if (is_between_statements())
			message_arrives();
		dialect_text_arrives((const char *) string, size);
	}
	return original_verifier(string, size);
}

static void
query_is_scanned(const char *text)
{
	if (!is_client_text() || !catalog_is_shared())
		return;
	if (is_between_statements())
		message_arrives();
	dialect_query_is_scanned(text);
}

bool
catalog_freshness_is_lost(void)
{
	return has_message && local_schema_version_unlocked() > message_schema_version;
}

bool
catalog_freshness_is_moving(void)
{
	return has_message && local_catalog_version_begun() > message_catalog_version;
}

void
catalog_freshness_reset(void)
{
	has_message = false;
}

/* A role that another instance has just created may log in. */
static void
authenticated(Port *port, int status)
{
	if (previous_authentication)
		previous_authentication(port, status);
	if (!catalog_is_shared())
		return;
	session_start();
	catalog_wait_current();
}

void
catalog_freshness_init(void)
{
	dialect_init(query_is_scanned);
	pg_patch_utf8_verifier(verify_utf8, &original_verifier);
	previous_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = authenticated;
}
