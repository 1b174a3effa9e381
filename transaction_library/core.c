#include "core.h"

#include <inttypes.h>

#include "crc32.h"
#include "memory.h"
#include "outcomes.h"
#include "record.h"
#include "window.h"

#define NANOSECONDS_PER_SECOND 1000000000u
/* Some commit timestamps are kept, spaced out: a transaction that read below one of them began before it. */
#define SAMPLE_SPACING_NS NANOSECONDS_PER_SECOND

#define BATCH_MAGIC 0x424A5242u
#define RECORD_HEADER_BYTES 24
#define ALIGNMENT 8
#define KIND_TRANSACTION 1
/* A batch buffer that has grown beyond this is not kept. */
#define BATCH_BYTES_KEPT (1u << 20)

struct tx_core
{
	struct tx_state state;
	struct tx_group group;
	struct window window;
	struct outcomes outcomes;
	uint64_t	transaction_age_ns_max;
	uint64_t	age_floor;
	size_t		sample_count;
	size_t		sample_capacity;
	uint64_t   *samples; /* ascending */
	uint64_t	next_timestamp;
	uint8_t    *batch;
	size_t		batch_capacity;
	uint32_t   *dropped;
	size_t		dropped_capacity;
};

static void
note_state(struct tx_core *core)
{
	core->state.window_bytes = core->window.cost_bytes;
	core->state.window_floor = core->window.floor;
	core->state.outcomes_since = core->outcomes.since;
	core->state.has_memories = core->window.cost_bytes > 0 || !outcomes_is_empty(&core->outcomes);
	core->state.has_fences = core->outcomes.fences.count > 0;
}

static void
add_sample(struct tx_core *core, uint64_t timestamp)
{
	if (core->sample_count == core->sample_capacity)
	{
		core->sample_capacity = core->sample_capacity == 0 ? 64 : core->sample_capacity * 2;
		core->samples = tx_resize(core->samples, core->sample_capacity, sizeof *core->samples);
	}
	core->samples[core->sample_count++] = timestamp;
}

struct tx_core *
tx_open(const struct tx_limits *limits, uint64_t last_timestamp, uint64_t schema_version, uint64_t catalog_version,
		uint64_t transactions, uint64_t seed)
{
	struct tx_core *core = tx_allocate(1, sizeof *core);

	window_open(&core->window, limits, seed);
	window_restart(&core->window, last_timestamp);
	outcomes_open(&core->outcomes, limits, last_timestamp, catalog_version, seed);
	core->transaction_age_ns_max = limits->transaction_age_ns_max;
	core->state.transactions = transactions;
	tx_replay_published(core, last_timestamp, schema_version, catalog_version);
	return core;
}

void
tx_close(struct tx_core *core)
{
	window_close(&core->window);
	outcomes_close(&core->outcomes);
	free(core->samples);
	free(core->batch);
	free(core->dropped);
	free(core);
}

const struct tx_state *
tx_state(const struct tx_core *core)
{
	return &core->state;
}

const struct tx_group *
tx_group(const struct tx_core *core)
{
	return &core->group;
}

/* Recovery. */

void
tx_replay_commit(struct tx_core *core, const uint8_t *id, uint64_t timestamp)
{
	outcomes_remember(&core->outcomes, id, timestamp);
	outcomes_seal(&core->outcomes);
	core->state.transactions++;
	note_state(core);
}

void
tx_replay_catalog_version(struct tx_core *core, uint64_t version, uint64_t timestamp)
{
	outcomes_note_version(&core->outcomes, version, timestamp);
}

void
tx_replay_published(struct tx_core *core, uint64_t timestamp, uint64_t schema_version, uint64_t catalog_version)
{
	core->state.acknowledged = timestamp;
	core->state.schema_version = schema_version;
	core->state.catalog_version = catalog_version;
	note_state(core);
}

void
tx_begin_lease(struct tx_core *core, uint64_t timestamp)
{
	core->state.lease_start = timestamp;
	core->state.acknowledged = timestamp;
	window_restart(&core->window, timestamp);
	core->sample_count = 0;
	add_sample(core, timestamp);
	note_state(core);
}

/*
 * Raise the floor to the newest known commit that is older than the age limit. A read timestamp is that of the newest
 * commit when the transaction began, and says little about its age on a quiet cluster; but if it lies below a commit, the
 * transaction began before that commit.
 */
static void
advance_age_floor(struct tx_core *core, uint64_t now)
{
	size_t		past = 0;

	if (now >= core->transaction_age_ns_max)
		while (past < core->sample_count && core->samples[past] <= now - core->transaction_age_ns_max)
			core->age_floor = core->samples[past++];
	core->sample_count -= past;
	memmove(core->samples, core->samples + past, core->sample_count * sizeof *core->samples);
	if (core->sample_count == 0)
		add_sample(core, core->age_floor > core->state.lease_start ? core->age_floor : core->state.lease_start);
}

/* Groups. */

static uint8_t *
grow_batch(struct tx_core *core, size_t bytes)
{
	size_t		end;

	/* What can be one group is bounded far below by those who queue it. */
	if (__builtin_add_overflow(core->group.batch_bytes, bytes, &end) || end > UINT32_MAX)
		tx_must(NULL);
	if (end > core->batch_capacity)
	{
		core->batch_capacity = end > 65536 ? end + end / 4 : 65536;
		core->batch = tx_resize(core->batch, core->batch_capacity, 1);
	}
	core->group.batch_bytes = end;
	core->group.batch = core->batch;
	return core->batch + end - bytes;
}

void
tx_group_begin(struct tx_core *core, uint64_t now)
{
	struct tx_group *group = &core->group;

	advance_age_floor(core, now);
	memset(group, 0, sizeof *group);
	group->last_timestamp = core->state.acknowledged;
	group->schema_version = core->state.schema_version;
	group->catalog_version = core->state.catalog_version;
	group->dropped = core->dropped;
	core->next_timestamp = now > core->state.acknowledged ? now : core->state.acknowledged + 1;
	grow_batch(core, TX_BATCH_HEADER_BYTES);
}

static void
append_record(struct tx_core *core, uint32_t kind, const uint8_t *payload, size_t length)
{
	size_t		padding = -length % ALIGNMENT;
	uint8_t    *at = grow_batch(core, RECORD_HEADER_BYTES + length + padding);

	store_u32(at, (uint32_t) length);
	store_u32(at + 4, kind);
	store_u64(at + 8, core->group.last_timestamp);
	store_u64(at + 16, core->group.catalog_version);
	if (length > 0)
		memcpy(at + RECORD_HEADER_BYTES, payload, length);
	memset(at + RECORD_HEADER_BYTES + length, 0, padding);
	core->group.records++;
}

static void
refuse(struct tx_answer *answer, enum tx_reason reason, const char *text)
{
	answer->kind = TX_REFUSED;
	answer->reason = reason;
	snprintf(answer->text, sizeof answer->text, "%s", text);
}

static void
refuse_as_future(struct tx_answer *answer)
{
	refuse(answer, TX_MALFORMED, "the read timestamp lies in the future");
}

int
tx_find_committed(const struct tx_core *core, const uint8_t *id, uint64_t read_timestamp, struct tx_answer *answer)
{
	if (!outcomes_find(&core->outcomes, id, read_timestamp, &answer->timestamp, &answer->catalog_version))
		return 0;
	answer->kind = TX_COMMITTED;
	return 1;
}

/* Whether the record is refused for what it has read. */
static int
is_out_of_time(const struct tx_core *core, const struct record *record, struct tx_answer *answer)
{
	if (record->read_timestamp < core->state.lease_start)
		refuse(answer, TX_FORGOTTEN, "the transaction began before the transaction service was restarted");
	else if (record->read_timestamp < core->age_floor)
	{
		refuse(answer, TX_TOO_OLD, "");
		snprintf(answer->text, sizeof answer->text, "transaction age limit of %" PRIu64 "s exceeded",
				 core->transaction_age_ns_max / NANOSECONDS_PER_SECOND);
	}
	else if (record->read_timestamp < core->window.floor)
		refuse(answer, TX_FORGOTTEN, "too much has been committed since the transaction began");
	else if (outcomes_is_fenced(&core->outcomes, record->id))
		refuse(answer, TX_FORGOTTEN, "the transaction was given up before its commit arrived");
	else if (record->schema_version != core->group.schema_version)
		refuse(answer, TX_SCHEMA_CONFLICT, "the schema has changed since the transaction began");
	else if (record->entry_bytes > 0 && record->follows_catalog_version != core->group.catalog_version)
		refuse(answer, TX_SCHEMA_CONFLICT, "another transaction has changed the catalog");
	else
		return 0;
	return 1;
}

static void
note_dropped(struct tx_core *core, const struct record *record)
{
	size_t		count = core->group.dropped_count + record->dropped_count;

	if (count > core->dropped_capacity)
	{
		core->dropped_capacity = count * 2;
		core->dropped = tx_resize(core->dropped, core->dropped_capacity, sizeof *core->dropped);
		core->group.dropped = core->dropped;
	}
	for (size_t number = 0; number < record->dropped_count; number++)
		core->dropped[core->group.dropped_count++] = load_u32(record->dropped + 4 * number);
}

static void
admit(struct tx_core *core, const struct record *record, const uint8_t *data, size_t length, struct tx_answer *answer)
{
	struct tx_group *group = &core->group;

	group->last_timestamp = core->next_timestamp++;
	group->transactions++;
	window_touch(&core->window, record, group->last_timestamp);
	outcomes_remember(&core->outcomes, record->id, group->last_timestamp);
	if (record->entry_bytes > 0)
	{
		group->catalog_version++;
		outcomes_note_version(&core->outcomes, group->catalog_version, group->last_timestamp);
		if (record->invalidates_running)
			group->schema_version = group->catalog_version;
	}
	if (record->dropped_count > 0)
		note_dropped(core, record);
	append_record(core, KIND_TRANSACTION, data, length);
	answer->kind = TX_COMMITTED;
	answer->timestamp = group->last_timestamp;
	answer->catalog_version = group->catalog_version;
}

void
tx_group_decide(struct tx_core *core, const uint8_t *data, size_t length, struct tx_answer *answer)
{
	struct record record;
	uint32_t	relfilenode;

	open_record(data, length, &record);
	if (record.read_timestamp > core->state.acknowledged)
		refuse_as_future(answer);
	else if (tx_find_committed(core, record.id, record.read_timestamp, answer) || is_out_of_time(core, &record, answer))
		return;
	else if (window_find_conflict(&core->window, &record, &relfilenode))
	{
		refuse(answer, TX_DATA_CONFLICT, "");
		snprintf(answer->text, sizeof answer->text, "another transaction has changed a key of relfilenode %" PRIu32,
				 relfilenode);
	}
	else
		admit(core, &record, data, length, answer);
}

void
tx_ask(struct tx_core *core, const uint8_t *id, uint64_t read_timestamp, struct tx_answer *answer)
{
	if (read_timestamp > core->state.acknowledged)
		refuse_as_future(answer);
	else if (tx_find_committed(core, id, read_timestamp, answer))
		return;
	else if (read_timestamp < core->outcomes.since || !tx_give_up(core, id, read_timestamp))
		answer->kind = TX_UNKNOWN;
	else
		refuse(answer, TX_FORGOTTEN, "the transaction has not been committed");
}

void
tx_group_add(struct tx_core *core, uint32_t kind, const uint8_t *payload, size_t length)
{
	append_record(core, kind, payload, length);
}

/* The header of a batch: magic, checksum of what follows, length, records, position, epoch, last timestamp. */
void
tx_group_seal(struct tx_core *core, uint64_t position, uint64_t epoch)
{
	uint8_t    *batch = core->batch;
	size_t		length = core->group.batch_bytes;

	store_u32(batch, BATCH_MAGIC);
	store_u32(batch + 8, (uint32_t) length);
	store_u32(batch + 12, (uint32_t) core->group.records);
	store_u64(batch + 16, position);
	store_u64(batch + 24, epoch);
	store_u64(batch + 32, core->group.last_timestamp);
	store_u32(batch + 4, borealis_crc32(0, batch + 8, length - 8));
	core->group.position = position;
}

static void
confirm(struct tx_core *core)
{
	const struct tx_group *group = &core->group;

	if (group->transactions > 0)
	{
		window_seal(&core->window);
		outcomes_seal(&core->outcomes);
		core->state.transactions += group->transactions;
		core->state.acknowledged = group->last_timestamp;
		core->state.schema_version = group->schema_version;
		core->state.catalog_version = group->catalog_version;
		if (group->last_timestamp - core->samples[core->sample_count - 1] >= SAMPLE_SPACING_NS)
			add_sample(core, group->last_timestamp);
	}
	note_state(core);
}

static void
let_go_of_batch(struct tx_core *core)
{
	struct tx_group *group = &core->group;

	if (core->batch_capacity > BATCH_BYTES_KEPT)
	{
		free(core->batch);
		core->batch = NULL;
		core->batch_capacity = 0;
	}
	group->batch = NULL;
	group->batch_bytes = group->transactions = group->records = group->dropped_count = 0;
}

void
tx_group_confirm(struct tx_core *core)
{
	confirm(core);
	let_go_of_batch(core);
}

int
tx_group_complete(struct tx_core *core, const struct tx_effects *effects)
{
	const struct tx_group *group = &core->group;
	int			problem = 0;

	if (group->records == 0)
	{
		tx_group_confirm(core);
		return 0;
	}
	/* Persist before anybody can learn of it, publish before the answers: a reader that begins after an answer must find
	 * the timestamp. */
	problem = effects->persist(effects->context, group->position, group->batch, group->batch_bytes);
	if (problem != 0)
		return problem;
	confirm(core);
	problem = effects->publish(effects->context, &core->state);
	if (problem == 0)
		problem = effects->feed(effects->context, group->position, group->batch, group->batch_bytes);
	let_go_of_batch(core);
	return problem;
}

int
tx_give_up(struct tx_core *core, const uint8_t *id, uint64_t read_timestamp)
{
	int			is_fenced = outcomes_fence(&core->outcomes, id, read_timestamp);

	note_state(core);
	return is_fenced;
}

void
tx_forget(struct tx_core *core, uint64_t now, uint64_t oldest_active)
{
	uint64_t	floor = oldest_active < core->state.acknowledged ? oldest_active : core->state.acknowledged;

	advance_age_floor(core, now);
	outcomes_forget(&core->outcomes, now);
	window_forget(&core->window, floor > core->age_floor ? floor : core->age_floor);
	if (core->outcomes.fences.count > 0)
	{
		floor = core->state.lease_start > core->window.floor ? core->state.lease_start : core->window.floor;
		outcomes_drop_fences(&core->outcomes, floor > core->age_floor ? floor : core->age_floor);
	}
	note_state(core);
}
