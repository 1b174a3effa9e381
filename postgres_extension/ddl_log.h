/*
 * ddl_log.h
 *	  DDL as part of the transaction: what it did to the catalogs is committed
 *	  with the data, and repeated by every other instance.
 *
 * A transaction that changed catalogs ships the rows that it added and removed
 * (docs/formats.md, "Catalog entry"; the reasons for rows instead of statements
 * are in docs/decisions/catalog-rows.md).
 */
#ifndef BOREALIS_DDL_LOG_H
#define BOREALIS_DDL_LOG_H

#include "borealis.h"
#include "lib/stringinfo.h"

/* Hooks, shared memory, the catalog worker.  Called from _PG_init. */
extern void ddl_log_init(void);

/*
 * True in the process that repeats catalog entries: nothing that it does is
 * committed to the cluster.
 */
extern bool ddl_is_replaying(void);

/* The catalog state of this instance, from shared memory. */
extern uint64 local_catalog_version(void);	/* replayed or committed here */
extern uint64 local_schema_version(void);
/* Versions that the catalogs are about to have (>= those above). */
extern uint64 local_catalog_version_begun(void);
extern uint64 local_schema_version_begun(void);

/*
 * Raises OC001 if another transaction's schema change has reached this instance
 * since this transaction began: it must not see a mix of catalogs.
 */
extern void ddl_check_pinned(void);

/*
 * A scan of a table begins.  If a DDL statement reads it to build or check
 * something, the transaction conflicts with all others that commit rows of it.
 */
extern void ddl_note_scan(Relation table);

/*
 * At PRE_COMMIT: has this transaction changed catalogs in a way that must be
 * shipped?  Only statistics: does not invalidate running transactions.
 */
extern bool ddl_log_is_empty(void);
extern bool ddl_log_is_statistics_only(void);
/*
 * At PRE_COMMIT, for a log that is not empty: takes the instance's turn to make
 * the next catalog version (ERROR 40001 OC001 if the transaction's schema is no
 * longer in force), writes the local catalog state row, and appends the catalog
 * entry.  Returns the catalog version that the entry follows.
 */
extern uint64 ddl_log_prepare_commit(StringInfo out);
/* After the decision. */
extern void ddl_log_committed(uint64 catalog_version);

extern void ddl_log_reset(void);	/* end of transaction */

#endif							/* BOREALIS_DDL_LOG_H */
