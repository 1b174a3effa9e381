/*
 * catalog_freshness.c
 *	  See catalog_freshness.h.
 *
 * A table that another instance has just created must be known here when the
 * names of a command are looked up, so the wait for the catalog worker comes
 * before that.  The server has no hook there; but it verifies the encoding of
 * each string of a client's message as soon as it has read it.  A client with
 * another encoding than UTF-8 passes by here, and meets the check that goes with
 * the read timestamp: OC001 where others wait.
 *
 * Once the transaction has its read timestamp, newer catalogs are not for it.
 */
#include "borealis.h"

#include "access/xact.h"
#include "libpq/auth.h"
#include "libpq/libpq-be.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "tcop/pquery.h"

#include "catalog_freshness.h"
#include "catalog_state.h"
#include "pg_patches.h"
#include "transaction.h"

static Utf8Verifier original_verifier = NULL;
static ClientAuthentication_hook_type previous_authentication = NULL;

/* Has the session just read a message, which it has not begun to carry out? */
static bool
is_between_statements(void)
{
	if (MyProcPort == NULL || ClientAuthInProgress || ActivePortal != NULL)
		return false;
	if (InterruptHoldoffCount != 0 || CritSectionCount != 0)
		return false;
	return !transaction_has_read_timestamp() && !IsAbortedTransactionBlockState();
}

static int
verify_utf8(const unsigned char *string, int size)
{
	if (is_between_statements() && catalog_is_shared())
		catalog_wait_current();
	return original_verifier(string, size);
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
	pg_patch_utf8_verifier(verify_utf8, &original_verifier);
	previous_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = authenticated;
}
