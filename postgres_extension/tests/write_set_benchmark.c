/*
 * write_set_benchmark.c
 *	  Times the write set from inside, where a call costs nothing.
 */
#include "postgres.h"

#include "access/transam.h"
#include "common/pg_prng.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"

#include "../write_set.h"

PG_FUNCTION_INFO_V1(units_write_set_benchmark);

#define VALUE_SIZE 100

static const uint8 value[VALUE_SIZE];

typedef struct BenchmarkKey
{
	uint8		bytes[18];
} BenchmarkKey;

/* A row key with a bigint primary key. */
static BenchmarkKey
make_key(uint8 namespace, uint8 table, uint64 number)
{
	BenchmarkKey key = {.bytes = {namespace, 0, 0, 0, table, 0, 0, 0, 77, 2}};

	for (int i = 0; i < 8; i++)
		key.bytes[10 + i] = (uint8) (number >> (8 * (7 - i)));
	return key;
}

static void
put(const BenchmarkKey *key, WriteOperation operation, CommandId cid)
{
	write_set_put(key->bytes, sizeof(key->bytes), operation, cid, InvalidTransactionId,
				  value, sizeof(value));
}

static void
put_ascending(int64 count)
{
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, 1, i);

		put(&key, WRITE_INSERT, 1);
	}
}

static void
put_random(int64 count)
{
	pg_prng_state state;

	pg_prng_seed(&state, 1);
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, 1, pg_prng_uint64(&state));

		put(&key, WRITE_INSERT, 1);
	}
}

/* A table loaded in key order, with two indexes in other orders. */
static void
put_with_indexes(int64 count)
{
	pg_prng_state state;

	pg_prng_seed(&state, 1);
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey row = make_key(KEY_NAMESPACE_ROW, 3, i);
		BenchmarkKey ascending = make_key(KEY_NAMESPACE_INDEX, 1, i);
		BenchmarkKey random = make_key(KEY_NAMESPACE_INDEX, 2, pg_prng_uint64(&state));

		put(&row, WRITE_INSERT, 1);
		put(&ascending, WRITE_INDEX_PUT, 1);
		put(&random, WRITE_INDEX_PUT, 1);
	}
}

static void
find_random(int64 count)
{
	pg_prng_state state;

	pg_prng_seed(&state, 1);
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, 1, pg_prng_uint64(&state));

		if (write_set_find(key.bytes, sizeof(key.bytes)) == NULL)
			elog(ERROR, "a key is missing");
	}
}

static void
lock_ascending(int64 count)
{
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, 1, i);

		write_set_lock(key.bytes, sizeof(key.bytes), KEY_LOCK_EXCLUSIVE);
	}
}

/* Savepoints of a loop with an exception block, every second one rolled back. */
static void
put_in_subtransactions(int64 count)
{
	for (int64 i = 0; i < count; i++)
	{
		BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, 1, i);

		write_set_subtransaction_start(i + 2);
		put(&key, WRITE_INSERT, i);
		if (i % 2 == 0)
			write_set_subtransaction_commit(i + 2, TopSubTransactionId);
		else
			write_set_subtransaction_abort(i + 2);
	}
}

/* Transactions of three updates and a record each. */
static void
run_small_transactions(int64 count, bool serializes)
{
	StringInfoData record;
	WriteSetCounts counts;

	initStringInfo(&record);
	for (int64 i = 0; i < count; i++)
	{
		for (uint8 table = 1; table <= 3; table++)
		{
			BenchmarkKey key = make_key(KEY_NAMESPACE_ROW, table, i * 7919 % 100000);

			put(&key, WRITE_UPDATE, table);
		}
		if (serializes)
		{
			resetStringInfo(&record);
			write_set_serialize(&record, NULL, 0, &counts);
		}
		write_set_reset();
	}
	pfree(record.data);
}

static void
serialize(void)
{
	StringInfoData record;
	WriteSetCounts counts;

	initStringInfo(&record);
	write_set_serialize(&record, NULL, 0, &counts);
	pfree(record.data);
}

typedef struct Stopwatch
{
	StringInfo	out;
	int64		count;
	instr_time	start;
} Stopwatch;

static void
report(Stopwatch *watch, const char *name)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	INSTR_TIME_SUBTRACT(now, watch->start);
	appendStringInfo(watch->out, "%-48s %8.0f ns\n", name,
					 INSTR_TIME_GET_NANOSEC(now) / (double) watch->count);
	INSTR_TIME_SET_CURRENT(watch->start);
}

/* (count bigint) -> text: nanoseconds for each operation */
Datum
units_write_set_benchmark(PG_FUNCTION_ARGS)
{
	StringInfoData out;
	Stopwatch	watch = {.out = &out,.count = PG_GETARG_INT64(0)};

	initStringInfo(&out);
	write_set_reset();
	INSTR_TIME_SET_CURRENT(watch.start);

	put_ascending(watch.count);
	report(&watch, "put in key order");
	serialize();
	report(&watch, "  serialize, for each");
	write_set_reset();
	report(&watch, "  reset, for each");
	put_random(watch.count);
	report(&watch, "put in random order");
	find_random(watch.count);
	report(&watch, "  find in the same order");
	serialize();
	report(&watch, "  serialize, for each");
	write_set_reset();
	INSTR_TIME_SET_CURRENT(watch.start);
	put_with_indexes(watch.count);
	report(&watch, "put row, entry in key order, entry in random one");
	write_set_reset();
	INSTR_TIME_SET_CURRENT(watch.start);
	lock_ascending(watch.count);
	report(&watch, "lock in key order");
	write_set_reset();
	INSTR_TIME_SET_CURRENT(watch.start);
	put_in_subtransactions(watch.count);
	report(&watch, "subtransaction with a put");
	write_set_reset();
	INSTR_TIME_SET_CURRENT(watch.start);
	run_small_transactions(watch.count, false);
	report(&watch, "transaction: 3 updates, reset");
	run_small_transactions(watch.count, true);
	report(&watch, "transaction: 3 updates, record, reset");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
