/*
 * ddl_log.h
 *	  DDL as part of the transaction: capture on the instance where it runs,
 *	  replay on every other, object identifiers equal everywhere.
 */
#ifndef BOREALIS_DDL_LOG_H
#define BOREALIS_DDL_LOG_H

#include "borealis.h"
#include "lib/stringinfo.h"

/* Hooks, shared memory, the catalog worker.  Called from _PG_init. */
extern void ddl_log_init(void);

/*
 * True while this process replays catalog entries: table scans find nothing,
 * writes go nowhere, index builds build nothing, sequences are not advanced.
 */
extern bool ddl_is_replaying(void);

/* The catalog state of this instance, from shared memory. */
extern uint64 local_catalog_version(void);	/* replayed or committed here */
extern uint64 local_schema_version(void);
/* Schema version whose replay has begun (>= local_schema_version). */
extern uint64 local_schema_version_begun(void);

/* Has this transaction done DDL (or ANALYZE) that must be shipped? */
extern bool ddl_log_is_empty(void);
/* Only statistics: does not invalidate running transactions. */
extern bool ddl_log_is_statistics_only(void);
/*
 * At PRE_COMMIT: writes the local catalog state row, computes the catalog
 * hash, takes the instance's catalog commit lock (ERROR 40001 OC001 if the base
 * version is stale), and appends the catalog entry.
 */
extern void ddl_log_prepare_commit(StringInfo out);
/* After the decision. */
extern void ddl_log_committed(uint64 catalog_version);

extern void ddl_log_reset(void);	/* end of transaction */
extern void ddl_log_subtransaction_start(SubTransactionId id);
extern void ddl_log_subtransaction_commit(SubTransactionId id, SubTransactionId parent);
extern void ddl_log_subtransaction_abort(SubTransactionId id);

#endif							/* BOREALIS_DDL_LOG_H */
