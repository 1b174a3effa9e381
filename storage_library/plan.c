/*
 * plan.c
 *	  The writing of a plan.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sizes.h"
#include "versions.h"

void
plan_start(Plan *plan, const Progress *progress)
{
	plan->before = plan->after = *progress;
	plan->puts.count = plan->puts_that_may_cover.count = plan->covered.count = plan->deltas.count = 0;
	plan->wake_bits = 0;
	plan->batches = 0;
}

void
plan_close(Plan *plan)
{
	free(plan->puts.items);
	free(plan->puts_that_may_cover.items);
	free(plan->covered.items);
	free(plan->deltas.items);
}

static int
compare_keys(const PlannedWrite *one, const PlannedWrite *other)
{
	int			order = memcmp(one->key, other->key, one->key_size < other->key_size ? one->key_size : other->key_size);

	return order != 0 ? order : (one->key_size > other->key_size) - (one->key_size < other->key_size);
}

/* The order of stored keys: of one key the newest version first. */
static int
compare_stored(const void *left, const void *right)
{
	const PlannedWrite *one = left,
			   *other = right;
	int			order = compare_keys(one, other);

	return order != 0 ? order : (one->timestamp < other->timestamp) - (one->timestamp > other->timestamp);
}

static int
compare_stored_descending(const void *left, const void *right)
{
	return compare_stored(right, left);
}

static int
compare_covered(const void *left, const void *right)
{
	const PlannedWrite *one = left,
			   *other = right;

	if (one->timestamp != other->timestamp)
		return one->timestamp < other->timestamp ? -1 : 1;
	return compare_keys(one, other);
}

static void
sort(PlannedWrites *writes, int (*compare) (const void *, const void *))
{
	if (writes->count > 1)
		qsort(writes->items, writes->count, sizeof(*writes->items), compare);
}

/* The versions; those that may cover others in descending order, so that an older one is there before a newer one looks. */
static int
write_versions(MDB_cursor *cursor, Plan *plan, size_t *found)
{
	uint8_t		stored[STORED_KEY_BYTES_MAX];

	sort(&plan->puts, compare_stored);
	sort(&plan->puts_that_may_cover, compare_stored_descending);
	for (size_t number = 0; number < plan->puts.count; number++)
	{
		const PlannedWrite *write = &plan->puts.items[number];
		MDB_val		key,
					value = octets(write->value, write->value_size);
		int			status;

		if (write->key_size + SUFFIX_BYTES > sizeof(stored))
			return MDB_BAD_VALSIZE;
		key = make_stored_key(stored, write->key, write->key_size, write->timestamp);
		status = mdb_cursor_put(cursor, &key, &value, 0);
		if (status != 0)
			return status;
	}
	for (size_t number = 0; number < plan->puts_that_may_cover.count; number++)
	{
		const PlannedWrite *write = &plan->puts_that_may_cover.items[number];
		uint8_t		is_over;
		int			status;

		if (write->key_size + SUFFIX_BYTES > sizeof(stored))
			return MDB_BAD_VALSIZE;
		status = put_over(cursor, make_stored_key(stored, write->key, write->key_size, write->timestamp),
						  octets(write->value, write->value_size), &is_over);
		if (status != 0)
			return status;
		if (is_over)
		{
			if (!reserve_writes(&plan->covered, 1))
				return ENOMEM;
			plan->covered.items[plan->covered.count++] = *write;
			++*found;
		}
	}
	return 0;
}

static int
write_progress(MDB_txn *transaction, const Map *map, const Plan *plan)
{
	static const char *const names[] = {"position", "timestamp"};
	const uint64_t before[] = {plan->before.position, plan->before.timestamp},
				after[] = {plan->after.position, plan->after.timestamp};

	for (int number = 0; number < 2; number++)
	{
		MDB_val		key = octets(names[number], strlen(names[number])),
					value = octets(&after[number], sizeof(after[number]));
		int			status = after[number] == before[number] ? 0
			: mdb_put(transaction, map->tables[TABLE_META], &key, &value, 0);

		if (status != 0)
			return status;
	}
	return 0;
}

int
plan_write(Plan *plan, Map *map, RelationSet *unpublished)
{
	size_t		known = plan->covered.count,
				found = 0;
	MDB_txn    *transaction;
	MDB_cursor *cursor;
	int			status = mdb_txn_begin(map->environment, NULL, 0, &transaction);

	if (status != 0)
		return status;
	status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);
	if (status == 0)
	{
		status = write_versions(cursor, plan, &found);
		mdb_cursor_close(cursor);
	}
	if (status == 0)
		status = write_sizes(transaction, map, &plan->deltas, unpublished);
	if (status == 0)
		status = write_progress(transaction, map, plan);
	if (status == 0)
		status = mdb_txn_commit(transaction);
	else
		mdb_txn_abort(transaction);
	if (status != 0)
		plan->covered.count = known;
	else if (found > 0)
		sort(&plan->covered, compare_covered);
	return status;
}
