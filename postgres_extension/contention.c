/*
 * contention.c
 *	  See contention.h.
 *
 * An intent says that a session has a row in hand: it has read it in order to
 * change it and has not ended its transaction yet.  Intents live in a table in
 * shared memory, one for each hash bucket: they are hints, so a bucket that is
 * taken for another row means no hint, and two rows with the same hash cost a
 * pause at most.
 *
 * A pause is not a lock.  It is bounded, an intent that is older than the bound
 * is passed over (somebody thinks before the COMMIT), and who has paused may
 * still commit first.
 */
#include "borealis.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "contention.h"
#include "session_flags.h"
#include "transaction.h"

#define BUCKETS 1024
/* A transaction that changes more rows than this is no matter of moments. */
#define OWN_MAX 16

typedef struct Intent
{
	pg_atomic_uint64 owner;		/* 0: free; else who and what, see owner_word */
	pg_atomic_uint64 since_us;
	ConditionVariable freed;
} Intent;

int			borealis_contention_wait_ms = 50;
bool		borealis_advance_snapshots = true;

static Intent *intents = NULL;
static struct
{
	int			count;
	Intent	   *intents[OWN_MAX];
	uint64		owners[OWN_MAX];
}			own;

static shmem_request_hook_type previous_shmem_request = NULL;

static void
request_shared_memory(void)
{
	if (previous_shmem_request)
		previous_shmem_request();
	RequestAddinShmemSpace(BUCKETS * sizeof(Intent));
}

void
contention_init(void)
{
	DefineCustomIntVariable("borealis.contention_wait",
							"Longest pause before changing a row that another session is about to commit.",
							"0 never pauses.  Conflicts are decided at COMMIT, whatever this is.",
							&borealis_contention_wait_ms, 50, 0, 1000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomBoolVariable("borealis.advance_snapshots",
							 "Moves a transaction's snapshot forward when it is about to change a row that is newer, "
							 "if nothing it has read has changed.",
							 NULL, &borealis_advance_snapshots, true,
							 PGC_USERSET, 0, NULL, NULL, NULL);
	previous_shmem_request = shmem_request_hook;
	shmem_request_hook = request_shared_memory;
}

void
contention_startup(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	intents = ShmemInitStruct("Borealis intents", BUCKETS * sizeof(Intent), &found);
	for (int i = 0; !found && i < BUCKETS; i++)
	{
		pg_atomic_init_u64(&intents[i].owner, 0);
		pg_atomic_init_u64(&intents[i].since_us, 0);
		ConditionVariableInit(&intents[i].freed);
	}
	LWLockRelease(AddinShmemInitLock);
}

/* The upper half says who, the lower half which row. */
static uint64
owner_word(uint64 hash)
{
	return (uint64) MyBackendId << 32 | (uint32) (hash >> 32);
}

static int64
age_us(Intent *intent, int64 now_us)
{
	return now_us - (int64) pg_atomic_read_u64(&intent->since_us);
}

/* Takes the intent, or leaves it to whoever has it and will not do for a hint. */
static bool
take_now(Intent *intent, uint64 word, int64 now_us, int64 wait_us)
{
	uint64		seen = 0;

	if (own.count == OWN_MAX)
		return true;
	if (!pg_atomic_compare_exchange_u64(&intent->owner, &seen, word))
	{
		if ((uint32) seen != (uint32) word || seen == word)
			return true;
		if (age_us(intent, now_us) < wait_us)
			return false;
		if (!pg_atomic_compare_exchange_u64(&intent->owner, &seen, word))
			return true;
	}
	pg_atomic_write_u64(&intent->since_us, now_us);
	own.intents[own.count] = intent;
	own.owners[own.count++] = word;
	return true;
}

/* True if it had to pause: then somebody may just have changed the row. */
static bool
take_intent(const uint8 *key, uint32 key_size)
{
	uint64		hash = hash_bytes_extended(key, key_size, 0);
	Intent	   *intent = &intents[hash % BUCKETS];
	uint64		word = owner_word(hash);
	int64		wait_us = borealis_contention_wait_ms * INT64CONST(1000);
	int64		now_us = GetCurrentTimestamp();
	int64		end_us = now_us + wait_us;
	bool		has_paused = false;

	while (now_us < end_us && !take_now(intent, word, now_us, wait_us))
	{
		has_paused = true;
		(void) ConditionVariableTimedSleep(&intent->freed, (end_us - now_us + 999) / 1000,
										   PG_WAIT_EXTENSION);
		now_us = GetCurrentTimestamp();
	}
	if (has_paused)
		ConditionVariableCancelSleep();
	return has_paused;
}

/* What DDL there is, the log finds out once, at the end. */
static bool
advance(bool to_acknowledged)
{
	return borealis_advance_snapshots && !session_has_ddl(MyBackendId) &&
		transaction_advance(to_acknowledged);
}

void
contention_before_change(const uint8 *key, uint32 key_size)
{
	bool		has_paused = false;

	if (borealis_contention_wait_ms > 0 && intents != NULL && MyBackendId != InvalidBackendId)
		has_paused = take_intent(key, key_size);
	if (!has_paused)
		return;
	transaction_forget_arrival();
	if (transaction_has_read_timestamp())
		(void) advance(true);
}

bool
contention_row_is_newer(void)
{
	return advance(false);
}

void
contention_end(void)
{
	while (own.count > 0)
	{
		Intent	   *intent = own.intents[--own.count];
		uint64		word = own.owners[own.count];

		if (pg_atomic_compare_exchange_u64(&intent->owner, &word, 0))
			ConditionVariableSignal(&intent->freed);
	}
}
