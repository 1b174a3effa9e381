/*
 * catalog_vacuum.c
 *	  See catalog_vacuum.h.
 *
 * The server's own autovacuum is off, because there is nothing but catalogs for
 * it to do here, and because of its launcher, which wakes up for ever.
 */
#include "borealis.h"

#include "access/xact.h"
#include "catalog/catalog.h"
#include "commands/vacuum.h"
#include "nodes/makefuncs.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/memutils.h"

#include "catalog_rows.h"
#include "catalog_vacuum.h"

/* As for autovacuum: so many dead rows, and this share of the live ones. */
#define DEAD_ROWS_MIN 500
#define DEAD_ROWS_PER_LIVE 0.2

static bool
needs_vacuum(Oid catalog)
{
	PgStat_StatTabEntry *counts = pgstat_fetch_stat_tabentry_ext(IsSharedRelation(catalog), catalog);

	return counts != NULL &&
		counts->dead_tuples > DEAD_ROWS_MIN + DEAD_ROWS_PER_LIVE * counts->live_tuples;
}

static void
find_candidate(Oid catalog, void *found)
{
	if (*(Oid *) found == InvalidOid && needs_vacuum(catalog))
		*(Oid *) found = catalog;
}

static void
vacuum_catalog(Oid catalog, MemoryContext context)
{
	VacuumParams params = {
		.options = VACOPT_VACUUM | VACOPT_PROCESS_MAIN | VACOPT_PROCESS_TOAST | VACOPT_SKIP_LOCKED,
		.freeze_min_age = -1,
		.freeze_table_age = -1,
		.multixact_freeze_min_age = -1,
		.multixact_freeze_table_age = -1,
		.log_min_duration = -1,
		.index_cleanup = VACOPTVALUE_AUTO,
		/* that would need a lock which sessions wait for */
		.truncate = VACOPTVALUE_DISABLED,
		.nworkers = -1
	};
	MemoryContext caller = MemoryContextSwitchTo(context);
	List	   *catalogs = list_make1(makeVacuumRelation(NULL, catalog, NIL));

	StartTransactionCommand();
	MemoryContextSwitchTo(context);
	vacuum(catalogs, &params, GetAccessStrategy(BAS_VACUUM), context, true);
	CommitTransactionCommand();
	MemoryContextSwitchTo(caller);
}

void
catalog_vacuum_next(void)
{
	MemoryContext context;
	Oid			catalog = InvalidOid;

	pgstat_clear_snapshot();
	catalog_for_each(find_candidate, &catalog);
	if (!OidIsValid(catalog))
		return;

	context = AllocSetContextCreate(TopMemoryContext, "Borealis catalog vacuum",
									ALLOCSET_DEFAULT_SIZES);
	vacuum_catalog(catalog, context);
	MemoryContextDelete(context);
}
