/*
 * extension.c
 *	  Entry point: settings, and the order in which the parts take their
 *	  places in the server.
 */
#include "borealis.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/guc.h"

#include "contention.h"
#include "ddl_log.h"
#include "index_am.h"
#include "outcome.h"
#include "pg_patches.h"
#include "planner_support.h"
#include "primary_key_storage.h"
#include "session_state.h"
#include "shared_pages.h"
#include "size_functions.h"
#include "transaction.h"

PG_MODULE_MAGIC;

char	   *borealis_run_directory = NULL;
char	   *borealis_map_directory = NULL;
int			borealis_instance = 0;
int			borealis_transaction_age_limit_s = 300;
int			borealis_commit_timeout_s = 30;

static shmem_startup_hook_type previous_shmem_startup = NULL;

extern PGDLLEXPORT void _PG_init(void);

static void
define_settings(void)
{
	DefineCustomStringVariable("borealis.run_directory",
							   "Folder of the services' sockets and shared pages.",
							   NULL, &borealis_run_directory, "",
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomStringVariable("borealis.map_directory",
							   "Folder of storage's map.",
							   NULL, &borealis_map_directory, "",
							   PGC_POSTMASTER, GUC_SUPERUSER_ONLY, NULL, NULL, NULL);
	DefineCustomIntVariable("borealis.instance",
							"Number of this query-processor instance.",
							NULL, &borealis_instance, 0, 0, INT_MAX,
							PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("borealis.transaction_age_limit",
							"Longest life of a transaction.",
							NULL, &borealis_transaction_age_limit_s, 300, 1, 86400,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	DefineCustomIntVariable("borealis.commit_timeout",
							"How long a session waits for the cluster's services.",
							NULL, &borealis_commit_timeout_s, 30, 1, 3600,
							PGC_SIGHUP, GUC_UNIT_S, NULL, NULL, NULL);
	session_state_define_setting();
	contention_init();
	MarkGUCPrefixReserved("borealis");
}

static void
start_shared_memory(void)
{
	if (previous_shmem_startup)
		previous_shmem_startup();
	if (borealis_run_directory[0] != '\0')
	{
		shared_pages_startup();
		contention_startup();
	}
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("borealis must be loaded through shared_preload_libraries")));
	pg_patches_check_server();
	define_settings();
	previous_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = start_shared_memory;
	index_am_init();
	planner_support_init();
	size_functions_init();
	outcome_init();
	primary_key_storage_init();
	ddl_log_init();
	transaction_init();
}
