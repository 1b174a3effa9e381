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
	free(plan->versions);
	free(plan->stored_keys);
	cleaning_close(&plan->cleaning);
}

static int
compare_octets(const void *one, size_t one_size, const void *other, size_t other_size)
{
	size_t		common = one_size < other_size ? one_size : other_size;
	int			order = common == 0 ? 0 : memcmp(one, other, common);

	return order != 0 ? order : (one_size > other_size) - (one_size < other_size);
}

/* By their stored keys.  Of one that is written twice, which nobody does, the same is left as in apply.py. */
static int
compare_versions(const void *left, const void *right)
{
	const Version *one = left,
			   *other = right;
	int			order = compare_octets(one->stored.mv_data, one->stored.mv_size, other->stored.mv_data,
									   other->stored.mv_size);

	if (order != 0)
		return order;
	if (one->may_cover != other->may_cover)
		return one->may_cover ? 1 : -1;
	order = compare_octets(one->value.mv_data, one->value.mv_size, other->value.mv_data, other->value.mv_size);
	return one->may_cover ? -order : order;
}

static int
compare_covered(const void *left, const void *right)
{
	const PlannedWrite *one = left,
			   *other = right;

	if (one->timestamp != other->timestamp)
		return one->timestamp < other->timestamp ? -1 : 1;
	return compare_octets(one->key, one->key_size, other->key, other->key_size);
}

/* `items`, or something larger that holds nothing; NULL if there is no room for what is wanted. */
static void *
make_room(void *items, size_t *room, size_t wanted, size_t item_bytes)
{
	if (wanted <= *room)
		return items;
	free(items);
	items = malloc(2 * wanted * item_bytes);
	*room = items == NULL ? 0 : 2 * wanted;
	return items;
}

static size_t
stored_keys_bytes(const PlannedWrites *writes)
{
	size_t		bytes = 0;

	for (size_t number = 0; number < writes->count; number++)
		bytes += writes->items[number].key_size + SUFFIX_BYTES;
	return bytes;
}

/* The versions in the order of their stored keys; of one key the newest comes first. */
static int
order_versions(Plan *plan)
{
	const PlannedWrites *kinds[] = {&plan->puts, &plan->puts_that_may_cover};
	size_t		bytes = stored_keys_bytes(kinds[0]) + stored_keys_bytes(kinds[1]);
	Version    *version;
	uint8_t    *stored;

	version = plan->versions = make_room(plan->versions, &plan->versions_room, plan_writes(plan), sizeof(*version));
	stored = plan->stored_keys = make_room(plan->stored_keys, &plan->stored_keys_room, bytes, 1);
	if (plan->versions_room < plan_writes(plan) || plan->stored_keys_room < bytes)
		return ENOMEM;
	for (int kind = 0; kind < 2; kind++)
		for (size_t number = 0; number < kinds[kind]->count; number++)
		{
			const PlannedWrite *write = &kinds[kind]->items[number];

			if (write->key_size + SUFFIX_BYTES > STORED_KEY_BYTES_MAX)
				return MDB_BAD_VALSIZE;
			*version++ = (Version) {
				.stored = make_stored_key(stored, write->key, write->key_size, write->timestamp),
				.value = octets(write->value, write->value_size),
				.may_cover = kinds[kind] == &plan->puts_that_may_cover
			};
			stored += write->key_size + SUFFIX_BYTES;
		}
	if (version - plan->versions > 1)
		qsort(plan->versions, version - plan->versions, sizeof(*version), compare_versions);
	return 0;
}

static int
write_planned_versions(MDB_txn *transaction, const Map *map, Plan *plan)
{
	MDB_cursor *cursor;
	int			status = order_versions(plan);

	if (status == 0)
		status = mdb_cursor_open(transaction, map->tables[TABLE_VERSIONS], &cursor);
	if (status != 0)
		return status;
	status = write_versions(cursor, plan->versions, plan_writes(plan), &plan->cleaning);
	mdb_cursor_close(cursor);
	return status;
}

/* Those that turned out to be over another version join the others. */
static void
add_covered(Plan *plan)
{
	size_t		known = plan->covered.count;

	for (size_t number = 0; number < plan_writes(plan); number++)
	{
		const Version *version = &plan->versions[number];

		if (version->may_cover && version->is_over)
			plan->covered.items[plan->covered.count++] = (PlannedWrite) {
				.key = version->stored.mv_data,
				.key_size = version->stored.mv_size - SUFFIX_BYTES,
				.timestamp = timestamp_of(&version->stored)
			};
	}
	if (plan->covered.count > known)
		qsort(plan->covered.items, plan->covered.count, sizeof(*plan->covered.items), compare_covered);
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
plan_write(Plan *plan, Map *map, RelationSet *unpublished, uint64_t horizon)
{
	MDB_txn    *transaction;
	int			status = reserve_writes(&plan->covered, plan->puts_that_may_cover.count) ? 0 : ENOMEM;

	if (status == 0)
		status = mdb_txn_begin(map->environment, NULL, 0, &transaction);
	if (status != 0)
		return status;
	cleaning_start(&plan->cleaning, horizon);
	status = write_planned_versions(transaction, map, plan);
	if (status == 0 && plan->cleaning.deleted > 0)
		status = remember_horizon(transaction, map, horizon);
	if (status == 0)
		status = write_sizes(transaction, map, &plan->deltas, unpublished);
	if (status == 0)
		status = write_progress(transaction, map, plan);
	if (status == 0)
		status = mdb_txn_commit(transaction);
	else
		mdb_txn_abort(transaction);
	if (status == 0)
		add_covered(plan);
	return status;
}
