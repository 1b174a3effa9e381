/*
 * test_outcome.c
 *	  A SQL-callable way to fail after the decision, for tests.
 */
#include "../../borealis.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "../../outcome.h"

PG_FUNCTION_INFO_V1(borealis_test_fail_after_decision);
extern PGDLLEXPORT Datum borealis_test_fail_after_decision(PG_FUNCTION_ARGS);

/* more than the error machinery has in store */
#define LONG_MESSAGE_SIZE 100000

static char failure[32];

static void
fail_once(void)
{
	outcome_decided_hook = NULL;
	if (strcmp(failure, "warning") == 0)
		ereport(WARNING,
				(errmsg("simulated warning after the decision")));
	else if (strcmp(failure, "long error") == 0)
		ereport(ERROR,
				(errmsg("%0*d", LONG_MESSAGE_SIZE, 1)));
	else
		ereport(ERROR,
				(errcode(ERRCODE_DISK_FULL),
				 errmsg("simulated failure after the decision")));
}

/* (kind text): the session's next decision is followed by a failure. */
Datum
borealis_test_fail_after_decision(PG_FUNCTION_ARGS)
{
	text_to_cstring_buffer(PG_GETARG_TEXT_PP(0), failure, sizeof(failure));
	outcome_decided_hook = fail_once;
	PG_RETURN_VOID();
}
