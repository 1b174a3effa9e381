#include "outcomes.h"

#include "memory.h"

#define GENERATIONS 8
#define ENTRIES_MIN 64

struct id_entry
{
	uint8_t		id[TX_ID_BYTES];
	uint64_t	value; /* 0: free */
};

static struct id_entry *
id_table_slot(const struct id_table *table, const uint8_t *id)
{
	size_t		slot = hash_bytes(id, TX_ID_BYTES, table->seed) & table->mask;

	while (table->entries[slot].value != 0 && memcmp(table->entries[slot].id, id, TX_ID_BYTES) != 0)
		slot = (slot + 1) & table->mask;
	return &table->entries[slot];
}

static uint64_t
id_table_find(const struct id_table *table, const uint8_t *id)
{
	return table->count == 0 ? 0 : id_table_slot(table, id)->value;
}

static void
id_table_put(struct id_table *table, const uint8_t *id, uint64_t value)
{
	struct id_entry *entry;

	if (table->entries == NULL || (table->count + 1) * 2 > table->mask + 1)
	{
		struct id_entry *before = table->entries;
		size_t		size = before == NULL ? 0 : table->mask + 1;

		table->mask = size == 0 ? ENTRIES_MIN - 1 : 2 * size - 1;
		table->entries = tx_allocate(table->mask + 1, sizeof *table->entries);
		for (size_t slot = 0; slot < size; slot++)
			if (before[slot].value != 0)
				*id_table_slot(table, before[slot].id) = before[slot];
		free(before);
	}
	entry = id_table_slot(table, id);
	if (entry->value == 0)
	{
		memcpy(entry->id, id, TX_ID_BYTES);
		table->count++;
	}
	entry->value = value;
}

static void
id_table_clear(struct id_table *table)
{
	free(table->entries);
	table->entries = NULL;
	table->count = table->mask = 0;
}

static struct outcome_generation *
newest_generation(const struct outcomes *outcomes)
{
	return &outcomes->generations[outcomes->count - 1];
}

static void
begin_generation(struct outcomes *outcomes)
{
	if (outcomes->count == outcomes->capacity)
	{
		outcomes->capacity = outcomes->capacity == 0 ? 2 * GENERATIONS : outcomes->capacity * 2;
		outcomes->generations = tx_resize(outcomes->generations, outcomes->capacity, sizeof *outcomes->generations);
	}
	memset(&outcomes->generations[outcomes->count], 0, sizeof *outcomes->generations);
	outcomes->generations[outcomes->count++].committed.seed = outcomes->seed;
}

void
outcomes_open(struct outcomes *outcomes, const struct tx_limits *limits, uint64_t since, uint64_t catalog_version,
			  uint64_t seed)
{
	memset(outcomes, 0, sizeof *outcomes);
	outcomes->age_ns_max = limits->outcome_age_ns_max;
	outcomes->outcomes_max = limits->outcomes_max;
	outcomes->fences_max = limits->fences_max;
	outcomes->seed = outcomes->fences.seed = seed;
	outcomes->since = since;
	begin_generation(outcomes);
	outcomes_note_version(outcomes, catalog_version, since);
}

void
outcomes_close(struct outcomes *outcomes)
{
	for (size_t number = 0; number < outcomes->count; number++)
		id_table_clear(&outcomes->generations[number].committed);
	id_table_clear(&outcomes->fences);
	free(outcomes->generations);
	free(outcomes->versions);
}

/* How many of the versions began at a timestamp or before. */
static size_t
versions_up_to(const struct outcomes *outcomes, uint64_t timestamp)
{
	size_t		count = outcomes->version_count;

	while (count > 0 && outcomes->versions[count - 1].start > timestamp)
		count--;
	return count;
}

/* Commits come after reads: older generations are not asked, and a commit before the read is not this one's. */
int
outcomes_find(const struct outcomes *outcomes, const uint8_t *id, uint64_t read_timestamp, uint64_t *timestamp,
			  uint64_t *catalog_version)
{
	for (size_t number = outcomes->count; number-- > 0;)
	{
		const struct outcome_generation *generation = &outcomes->generations[number];

		if (generation->newest <= read_timestamp)
		{
			if (generation->newest != 0)
				break;
			continue;
		}
		*timestamp = id_table_find(&generation->committed, id);
		if (*timestamp > read_timestamp)
		{
			size_t		versions = versions_up_to(outcomes, *timestamp);

			*catalog_version = outcomes->versions[versions > 0 ? versions - 1 : 0].version;
			return 1;
		}
	}
	return 0;
}

int
outcomes_is_fenced(const struct outcomes *outcomes, const uint8_t *id)
{
	return id_table_find(&outcomes->fences, id) != 0;
}

int
outcomes_fence(struct outcomes *outcomes, const uint8_t *id, uint64_t read_timestamp)
{
	if (outcomes->fences.count >= outcomes->fences_max && !outcomes_is_fenced(outcomes, id))
		return 0;
	/* A read timestamp is at most the newest commit's, far below the largest number. */
	id_table_put(&outcomes->fences, id, read_timestamp + (read_timestamp < UINT64_MAX));
	return 1;
}

void
outcomes_drop_fences(struct outcomes *outcomes, uint64_t below)
{
	struct id_table before = outcomes->fences;

	outcomes->fences.entries = NULL;
	outcomes->fences.count = outcomes->fences.mask = 0;
	for (size_t slot = 0; before.entries != NULL && slot <= before.mask; slot++)
		if (before.entries[slot].value > below)
			id_table_put(&outcomes->fences, before.entries[slot].id, before.entries[slot].value);
	free(before.entries);
}

void
outcomes_remember(struct outcomes *outcomes, const uint8_t *id, uint64_t timestamp)
{
	struct outcome_generation *current = newest_generation(outcomes);

	id_table_put(&current->committed, id, timestamp);
	current->newest = timestamp;
	if (current->oldest == 0)
		current->oldest = timestamp;
}

void
outcomes_note_version(struct outcomes *outcomes, uint64_t version, uint64_t start)
{
	if (outcomes->version_count == outcomes->version_capacity)
	{
		outcomes->version_capacity = outcomes->version_capacity == 0 ? 16 : outcomes->version_capacity * 2;
		outcomes->versions = tx_resize(outcomes->versions, outcomes->version_capacity, sizeof *outcomes->versions);
	}
	outcomes->versions[outcomes->version_count].start = start;
	outcomes->versions[outcomes->version_count++].version = version;
}

void
outcomes_seal(struct outcomes *outcomes)
{
	const struct outcome_generation *current = newest_generation(outcomes);
	uint64_t	newest = current->newest;

	if (current->committed.count * GENERATIONS < outcomes->outcomes_max &&
		(newest - current->oldest) * GENERATIONS < outcomes->age_ns_max)
		return;
	begin_generation(outcomes);
	outcomes_forget(outcomes, newest);
}

int
outcomes_is_empty(const struct outcomes *outcomes)
{
	return outcomes->generations[0].newest == 0;
}

void
outcomes_forget(struct outcomes *outcomes, uint64_t now)
{
	uint64_t	count = 0;
	size_t		versions;

	for (size_t number = 0; number < outcomes->count; number++)
		count += outcomes->generations[number].committed.count;
	while (outcomes->generations[0].newest != 0)
	{
		struct outcome_generation *oldest = &outcomes->generations[0];

		if (count <= outcomes->outcomes_max && (now < oldest->newest || now - oldest->newest <= outcomes->age_ns_max))
			break;
		count -= oldest->committed.count;
		if (oldest->newest > outcomes->since)
			outcomes->since = oldest->newest;
		id_table_clear(&oldest->committed);
		outcomes->count--;
		memmove(outcomes->generations, outcomes->generations + 1, outcomes->count * sizeof *outcomes->generations);
		if (outcomes->count == 0)
			begin_generation(outcomes);
	}
	versions = versions_up_to(outcomes, outcomes->since);
	if (versions > 1)
	{
		outcomes->version_count -= versions - 1;
		memmove(outcomes->versions, outcomes->versions + versions - 1,
				outcomes->version_count * sizeof *outcomes->versions);
	}
}
