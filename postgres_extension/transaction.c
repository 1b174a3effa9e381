/*
 * transaction.c
 *	  See transaction.h.
 *
 * The read timestamp is taken once, by the first thing in the transaction that
 * needs one.  At PRE_COMMIT, the last moment at which Postgres still takes an
 * error for a rollback, everything written goes to the transaction service;
 * what is left of the local commit after its decision cannot fail.
 */
#include "borealis.h"

#include "access/parallel.h"
#include "access/xact.h"
#include "catalog/storage.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/memutils.h"

#include "catalog_freshness.h"
#include "catalog_state.h"
#include "commit_client.h"
#include "contention.h"
#include "ddl_log.h"
#include "layout.h"
#include "outcome.h"
#include "read_set.h"
#include "row_handle.h"
#include "sequence.h"
#include "session_flags.h"
#include "session_state.h"
#include "shared_pages.h"
#include "table_am.h"
#include "transaction.h"
#include "write_set.h"

#define RECORD_HEADER_SIZE 64
#define RECORD_FLAG_STATISTICS 1

static struct
{
	bool		has_read_timestamp;
	BorealisTimestamp read_timestamp;
	uint64		schema_version;
	uint64		catalog_version;
}			current;

/* What was acknowledged when the message arrived that is being carried out. */
static struct
{
	bool		is_known;
	TimestampTz statement_start;	/* tells which message */
	BorealisTimestamp acknowledged;
	uint64		schema_version;
	uint64		catalog_version;
}			arrival;

void
transaction_message_arrives(void)
{
	arrival.schema_version = local_schema_version();
	arrival.catalog_version = local_catalog_version();
	pg_read_barrier();
	arrival.acknowledged = shared_acknowledged_timestamp();
	arrival.statement_start = GetCurrentStatementStartTimestamp();
	arrival.is_known = true;
}

void
transaction_forget_arrival(void)
{
	arrival.is_known = false;
}

/*
 * Everything that was acknowledged before the message arrived has to be seen; what
 * was acknowledged since then is concurrent.  Storage has mostly applied the former
 * by now, the latter would have to be waited for.  Versions of the catalogs are
 * published before the timestamps that need them, so if none has changed since the
 * message arrived, the ones at hand belong to every timestamp in between.
 */
static BorealisTimestamp
earliest_read_timestamp(BorealisTimestamp acknowledged, uint64 schema_version)
{
	if (!arrival.is_known ||
		arrival.statement_start != GetCurrentStatementStartTimestamp() ||
		arrival.schema_version != schema_version ||
		arrival.catalog_version != current.catalog_version)
		return acknowledged;
	return Min(acknowledged, Max(arrival.acknowledged, shared_applied_timestamp()));
}

/* The reader slot protects the timestamp, and the catalogs at hand are those of the schema. */
static void
begin_reading(BorealisTimestamp timestamp, uint64 schema_version)
{
	current.schema_version = schema_version;
	current.read_timestamp = timestamp;
	current.has_read_timestamp = true;
	session_set_pinned(true);
	age_timer_start(borealis_transaction_age_limit_s);
	if (!shared_is_applied(timestamp))
		shared_wait_applied(timestamp);
}

/*
 * A timestamp at which this instance's catalogs were in force.  The order matters:
 * they were the local ones before the timestamp was read, and are still the
 * published ones after it; published versions are stored before the timestamp that
 * needs them.
 */
static void
take_read_timestamp(void)
{
	BorealisTimestamp timestamp;
	uint64		schema_version;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		catalog_wait_current();
		schema_version = local_schema_version();
		current.catalog_version = local_catalog_version();
		pg_read_barrier();
		timestamp = earliest_read_timestamp(shared_acknowledged_timestamp(), schema_version);
		if (!reader_slot_publish(timestamp))
			continue;
		if (shared_schema_version() == schema_version &&
			local_schema_version_begun() == schema_version)
			break;
		reader_slot_clear();
	}
	if (catalog_freshness_is_lost())
	{
		reader_slot_clear();
		report_schema_conflict();
	}
	begin_reading(timestamp, schema_version);
}

bool
transaction_allows_workers(void)
{
	return write_set_is_empty() && !session_has_ddl(MyBackendId) && !ddl_is_replaying();
}

ReadPoint
transaction_fix_read_point(void)
{
	ReadPoint	point = {.timestamp = transaction_read_timestamp()};

	/* what the others are about to read, nobody notes here */
	read_set_add_unknown();
	point.schema_version = current.schema_version;
	point.catalog_version = current.catalog_version;
	return point;
}

void
transaction_prepare_for_workers(void)
{
	ReadPoint	point = transaction_fix_read_point();

	session_share_read_point(&point);
}

bool
transaction_take_read_point(const ReadPoint *point)
{
	Assert(!current.has_read_timestamp);
	catalog_wait_current();
	current.catalog_version = local_catalog_version();
	if (point->timestamp > shared_acknowledged_timestamp() ||
		!reader_slot_publish(point->timestamp))
		return false;
	if (shared_schema_version() != point->schema_version ||
		local_schema_version_begun() != point->schema_version || catalog_freshness_is_lost())
	{
		reader_slot_clear();
		report_schema_conflict();
	}
	begin_reading(point->timestamp, point->schema_version);
	read_set_add_unknown();
	return true;
}

/*
 * In a worker.  The leader's reader slot protects what is read here: it waits for
 * its workers before it gives that up, also when it fails.
 */
static void
take_leaders_read_timestamp(void)
{
	const PGPROC *leader = MyProc->lockGroupLeader;
	ReadPoint	point;

	if (leader == NULL || !session_read_point(leader->backendId, leader->lxid, &point))
		elog(ERROR, "the leader of a parallel query has not shared its read timestamp");
	session_start();
	if (local_schema_version_begun() != point.schema_version)
		report_schema_conflict();
	current.schema_version = point.schema_version;
	current.catalog_version = point.catalog_version;
	current.read_timestamp = point.timestamp;
	current.has_read_timestamp = true;
}

BorealisTimestamp
transaction_read_timestamp(void)
{
	if (unlikely(!current.has_read_timestamp))
	{
		if (IsParallelWorker())
			take_leaders_read_timestamp();
		else
			take_read_timestamp();
	}
	else
		age_check();
	return current.read_timestamp;
}

bool
transaction_has_read_timestamp(void)
{
	return current.has_read_timestamp;
}

/*
 * The order matters: what storage has applied before the read set is looked at
 * is in the map then; the versions of the catalogs are published before the
 * timestamp that needs them, so the transaction's own is in force at the later
 * one if it still is the published one afterwards.
 */
bool
transaction_advance(bool to_acknowledged)
{
	BorealisTimestamp timestamp;

	Assert(current.has_read_timestamp);
	if (read_set_is_too_large())
		return false;
	timestamp = to_acknowledged ? shared_acknowledged_timestamp() : shared_applied_timestamp();
	if (timestamp <= current.read_timestamp)
		return false;
	if (!shared_is_applied(timestamp))
		shared_wait_applied(timestamp);
	if (!read_set_is_unchanged(current.read_timestamp))
		return false;
	if (shared_schema_version() != current.schema_version ||
		local_schema_version_begun() != current.schema_version)
		return false;
	if (!reader_slot_publish(timestamp))
	{
		/* beyond the newer timestamp, so beyond ours: too old */
		transaction_check_horizon();
		return false;
	}
	current.read_timestamp = timestamp;
	return true;
}

uint64
transaction_schema_version(void)
{
	return current.schema_version;
}

uint64
transaction_catalog_version(void)
{
	return current.catalog_version;
}

void
transaction_check_horizon(void)
{
	if (unlikely(current.has_read_timestamp && shared_horizon() > current.read_timestamp))
		age_report_exceeded();
}

void
transaction_check_age(void)
{
	age_check();
}

bool
transaction_is_decided(void)
{
	return outcome_is_decided();
}

static void
store_u32(char *record, int offset, uint32 value)
{
	memcpy(record + offset, &value, sizeof(value));
}

static void
store_u64(char *record, int offset, uint64 value)
{
	memcpy(record + offset, &value, sizeof(value));
}

/*
 * Tables and indexes whose local files go away at commit: their keys go too.
 * Files of other relations (sequences) have no keys.
 */
static void
note_dropped_relfilenodes(void)
{
	RelFileLocator *dropped;
	int			count = smgrGetPendingDeletes(true, &dropped);

	for (int i = 0; i < count; i++)
	{
		if (dropped[i].dbOid == MyDatabaseId)
			write_set_drop_relfilenode(dropped[i].relNumber);
	}
}

static void
ship(void)
{
	StringInfoData record;
	StringInfoData catalog_entry;
	WriteSetCounts counts;
	CommitResult result;
	bool		has_ddl = !ddl_log_is_empty();
	uint64		follows = 0;
	uint32		flags = 0;

	/* a write without a read: it still has a place in time */
	(void) transaction_read_timestamp();
	initStringInfo(&catalog_entry);
	/* also for tables that were both created and dropped here: no DDL remains */
	note_dropped_relfilenodes();
	if (has_ddl)
	{
		if (ddl_log_is_statistics_only())
			flags |= RECORD_FLAG_STATISTICS;
		follows = ddl_log_prepare_commit(&catalog_entry);
	}

	initStringInfo(&record);
	enlargeStringInfo(&record, RECORD_HEADER_SIZE);
	memset(record.data, 0, RECORD_HEADER_SIZE);
	record.len = RECORD_HEADER_SIZE;
	write_set_serialize(&record, catalog_entry.data, catalog_entry.len, &counts);

	commit_client_new_transaction_id((uint8 *) record.data);
	store_u64(record.data, 16, current.read_timestamp);
	store_u64(record.data, 24, current.schema_version);
	store_u64(record.data, 32, follows);
	store_u32(record.data, 40, counts.writes);
	store_u32(record.data, 44, counts.locks);
	store_u32(record.data, 48, catalog_entry.len);
	store_u32(record.data, 52, counts.dropped);
	store_u32(record.data, 56, counts.deltas);
	store_u32(record.data, 60, flags);

	if (counts.writes > 0 || counts.locks > 0 || counts.dropped > 0 || has_ddl)
	{
		session_set_committing(true);
		commit_client_commit(record.data, record.len, current.read_timestamp, &result);
		if (has_ddl)
			ddl_log_committed(result.catalog_version);
	}
	pfree(record.data);
	pfree(catalog_entry.data);
}

static void
end_transaction(void)
{
	/* the next one may begin in the same message, and has to see this one */
	transaction_forget_arrival();
	session_set_committing(false);
	if (current.has_read_timestamp)
	{
		reader_slot_clear();
		age_timer_stop();
		current.has_read_timestamp = false;
	}
	contention_end();
	commit_client_end_reservation();
	read_set_reset();
	write_set_reset();
	row_handles_reset();
	layout_reset();
	table_modify_reset();
	ddl_log_reset();
}

static void
transaction_callback(XactEvent event, void *unused)
{
	switch (event)
	{
		case XACT_EVENT_PRE_COMMIT:
			if (!ddl_is_replaying())
			{
				precommit_run_early();
				sequence_give_back();
				session_state_prepare_commit();
				if (!write_set_is_empty() || !ddl_log_is_empty())
					ship();
			}
			break;
		case XACT_EVENT_COMMIT:
			outcome_transaction_ended(true);
			end_transaction();
			break;
		case XACT_EVENT_ABORT:
			outcome_transaction_ended(false);
			end_transaction();
			break;
		case XACT_EVENT_PRE_PREPARE:
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("PREPARE TRANSACTION is not supported")));
			break;
		case XACT_EVENT_PARALLEL_COMMIT:
		case XACT_EVENT_PARALLEL_ABORT:
			end_transaction();
			break;
		case XACT_EVENT_PARALLEL_PRE_COMMIT:
		case XACT_EVENT_PREPARE:
			break;
	}
}

static void
subtransaction_callback(SubXactEvent event, SubTransactionId id, SubTransactionId parent,
						void *unused)
{
	switch (event)
	{
		case SUBXACT_EVENT_START_SUB:
			write_set_subtransaction_start(id);
			break;
		case SUBXACT_EVENT_COMMIT_SUB:
			write_set_subtransaction_commit(id, parent);
			break;
		case SUBXACT_EVENT_ABORT_SUB:
			write_set_subtransaction_abort(id);
			/* the error has cut off its scan before the end */
			forget_current_row();
			break;
		case SUBXACT_EVENT_PRE_COMMIT_SUB:
			break;
	}
}

void
transaction_init(void)
{
	RegisterXactCallback(transaction_callback, NULL);
	RegisterSubXactCallback(subtransaction_callback, NULL);
}
