#include "window.h"

#include "memory.h"

enum conflict_class
{
	EXCLUSIVE_CLASS,
	UPDATE_CLASS,
	SHARE_CLASS,
	KEY_SHARE_CLASS,
	CONFLICT_CLASSES
};

#define NO_CLASS (-1)

/* For each class, the classes that exclude it, a bit each. */
static const unsigned excluding[CONFLICT_CLASSES] = {
	[EXCLUSIVE_CLASS] = 1 << EXCLUSIVE_CLASS | 1 << UPDATE_CLASS | 1 << SHARE_CLASS | 1 << KEY_SHARE_CLASS,
	[UPDATE_CLASS] = 1 << EXCLUSIVE_CLASS | 1 << UPDATE_CLASS | 1 << SHARE_CLASS,
	[SHARE_CLASS] = 1 << EXCLUSIVE_CLASS | 1 << UPDATE_CLASS,
	[KEY_SHARE_CLASS] = 1 << EXCLUSIVE_CLASS,
};

/* Unchecked operations have no class. */
static const int class_of_operation[] = {
	[0] = NO_CLASS,
	[INSERT] = EXCLUSIVE_CLASS,
	[UPDATE] = UPDATE_CLASS,
	[KEY_UPDATE] = EXCLUSIVE_CLASS,
	[DELETE] = EXCLUSIVE_CLASS,
	[PUT_UNCHECKED] = NO_CLASS,
	[DELETE_UNCHECKED] = NO_CLASS,
};
static const int class_of_lock[] = {
	[0] = NO_CLASS,
	[LOCK_KEY_SHARE] = KEY_SHARE_CLASS,
	[LOCK_SHARE] = SHARE_CLASS,
	[LOCK_NON_KEY_UPDATE] = UPDATE_CLASS,
	[LOCK_EXCLUSIVE] = EXCLUSIVE_CLASS,
};

/* A key, with the newest timestamp of each class in which it was touched. */
struct touched
{
	uint64_t	newest[CONFLICT_CLASSES];
	uint64_t	hash;
	uint32_t	length;
	const uint8_t *key;
};

/* What a key costs besides its own bytes. */
#define KEY_OVERHEAD_BYTES 64
#define SLOTS_MIN 64
#define CHUNK_BYTES 65536

struct chunk
{
	struct chunk *before;
	uint8_t		bytes[];
};

struct generation
{
	uint64_t	newest;
	uint64_t	oldest;
	uint64_t	cost_bytes;
	uint32_t	count;
	uint32_t	capacity;
	struct touched *touched; /* in the order in which they came */
	uint32_t	slot_mask;
	uint32_t   *slots; /* number in `touched` plus one, at the key's hash or behind it */
	struct chunk *chunk; /* keys */
	size_t		chunk_left;
	uint8_t    *chunk_at;
};

static struct generation *
generation_open(void)
{
	struct generation *generation = tx_allocate(1, sizeof *generation);

	generation->slot_mask = SLOTS_MIN - 1;
	generation->slots = tx_allocate(SLOTS_MIN, sizeof *generation->slots);
	return generation;
}

static void
generation_close(struct generation *generation)
{
	while (generation->chunk != NULL)
	{
		struct chunk *chunk = generation->chunk;

		generation->chunk = chunk->before;
		free(chunk);
	}
	free(generation->touched);
	free(generation->slots);
	free(generation);
}

static struct touched *
generation_find(const struct generation *generation, const uint8_t *key, uint32_t length, uint64_t hash)
{
	uint32_t	slot = (uint32_t) hash & generation->slot_mask;

	for (; generation->slots[slot] != 0; slot = (slot + 1) & generation->slot_mask)
	{
		struct touched *touched = &generation->touched[generation->slots[slot] - 1];

		if (touched->hash == hash && touched->length == length && memcmp(touched->key, key, length) == 0)
			return touched;
	}
	return NULL;
}

static void
put_in_slot(struct generation *generation, uint64_t hash, uint32_t number)
{
	uint32_t	slot = (uint32_t) hash & generation->slot_mask;

	while (generation->slots[slot] != 0)
		slot = (slot + 1) & generation->slot_mask;
	generation->slots[slot] = number + 1;
}

/* At most half of the slots are taken. */
static void
grow_slots(struct generation *generation)
{
	size_t		slots = ((size_t) generation->slot_mask + 1) * 2;

	free(generation->slots);
	generation->slots = tx_allocate(slots, sizeof *generation->slots);
	generation->slot_mask = (uint32_t) (slots - 1);
	for (uint32_t number = 0; number < generation->count; number++)
		put_in_slot(generation, generation->touched[number].hash, number);
}

static const uint8_t *
keep_key(struct generation *generation, const uint8_t *key, uint32_t length)
{
	uint8_t    *kept;

	if (length > generation->chunk_left)
	{
		struct chunk *chunk = tx_resize(NULL, 1, sizeof *chunk + CHUNK_BYTES);

		chunk->before = generation->chunk;
		generation->chunk = chunk;
		generation->chunk_at = chunk->bytes;
		generation->chunk_left = CHUNK_BYTES;
	}
	kept = memcpy(generation->chunk_at, key, length);
	generation->chunk_at += length;
	generation->chunk_left -= length;
	return kept;
}

static struct touched *
generation_add(struct generation *generation, const uint8_t *key, uint32_t length, uint64_t hash)
{
	struct touched *touched;

	if (generation->count == generation->capacity)
	{
		generation->capacity = generation->capacity == 0 ? SLOTS_MIN / 2 : generation->capacity * 2;
		generation->touched = tx_resize(generation->touched, generation->capacity, sizeof *generation->touched);
	}
	if ((generation->count + 1) * (uint64_t) 2 > (uint64_t) generation->slot_mask + 1)
		grow_slots(generation);
	touched = &generation->touched[generation->count];
	memset(touched, 0, sizeof *touched);
	touched->hash = hash;
	touched->length = length;
	touched->key = keep_key(generation, key, length);
	put_in_slot(generation, hash, generation->count);
	generation->count++;
	generation->cost_bytes += length + KEY_OVERHEAD_BYTES;
	return touched;
}

void
window_open(struct window *window, const struct tx_limits *limits, uint64_t seed)
{
	memset(window, 0, sizeof *window);
	window->bytes_max = limits->window_bytes_max;
	window->generation_bytes_max = limits->generation_bytes_max;
	window->generation_span_ns_max = limits->generation_span_ns_max;
	window->seed = seed;
}

static struct generation *
newest_generation(const struct window *window)
{
	return window->generations[window->count - 1];
}

static void
begin_generation(struct window *window)
{
	if (window->count == window->capacity)
	{
		window->capacity = window->capacity == 0 ? 8 : window->capacity * 2;
		window->generations = tx_resize(window->generations, window->capacity, sizeof *window->generations);
	}
	window->generations[window->count++] = generation_open();
}

void
window_close(struct window *window)
{
	for (size_t number = 0; number < window->count; number++)
		generation_close(window->generations[number]);
	free(window->generations);
	window->generations = NULL;
	window->count = window->capacity = 0;
	window->cost_bytes = 0;
}

void
window_restart(struct window *window, uint64_t floor)
{
	window_close(window);
	window->floor = floor;
	begin_generation(window);
}

static uint32_t
relfilenode_of(const uint8_t *key)
{
	return (uint32_t) key[1] << 24 | (uint32_t) key[2] << 16 | (uint32_t) key[3] << 8 | key[4];
}

static const uint8_t *
find_key(const struct generation *generation, const struct window *window, const struct key_array *array,
		 const int *class_of, uint64_t read_timestamp)
{
	uint32_t	start = 0;

	for (uint32_t number = 0; number < array->count; number++)
	{
		uint32_t	end = key_end(array, number);
		int			its_class = class_of[array->codes[number]];
		const uint8_t *key = array->keys + start;
		uint32_t	length = end - start;
		const struct touched *touched;

		start = end;
		if (its_class == NO_CLASS)
			continue;
		touched = generation_find(generation, key, length, hash_bytes(key, length, window->seed));
		if (touched == NULL)
			continue;
		for (int other = 0; other < CONFLICT_CLASSES; other++)
			if (excluding[its_class] & 1u << other && touched->newest[other] > read_timestamp)
				return key;
	}
	return NULL;
}

/* A row that was written in a table which the record locks as a whole. Looks at everything: for schema changes only. */
static const uint8_t *
find_row(const struct generation *generation, const struct record *record)
{
	for (uint32_t number = 0; number < generation->count; number++)
	{
		const struct touched *touched = &generation->touched[number];
		uint32_t	start = 0;

		if (touched->length <= TABLE_KEY_BYTES || (touched->newest[EXCLUSIVE_CLASS] <= record->read_timestamp &&
												   touched->newest[UPDATE_CLASS] <= record->read_timestamp))
			continue;
		for (uint32_t lock = 0; lock < record->locks.count; lock++)
		{
			uint32_t	end = key_end(&record->locks, lock);

			if (end - start == TABLE_KEY_BYTES &&
				memcmp(record->locks.keys + start, touched->key, TABLE_KEY_BYTES) == 0)
				return touched->key;
			start = end;
		}
	}
	return NULL;
}

int
window_find_conflict(const struct window *window, const struct record *record, uint32_t *relfilenode)
{
	const uint8_t *key;

	for (size_t number = window->count; number-- > 0;)
	{
		const struct generation *generation = window->generations[number];

		if (generation->newest <= record->read_timestamp)
		{
			if (generation->newest != 0)
				break;
			continue;
		}
		key = find_key(generation, window, &record->writes, class_of_operation, record->read_timestamp);
		if (key == NULL && record->locks.count > 0)
			key = find_key(generation, window, &record->locks, class_of_lock, record->read_timestamp);
		if (key == NULL && record->entry_bytes > 0 && record->locks.count > 0)
			key = find_row(generation, record);
		if (key != NULL)
		{
			*relfilenode = relfilenode_of(key);
			return 1;
		}
	}
	return 0;
}

static void
touch_keys(struct window *window, const struct key_array *array, const int *class_of, uint64_t timestamp)
{
	struct generation *generation = newest_generation(window);
	uint32_t	start = 0;

	for (uint32_t number = 0; number < array->count; number++)
	{
		uint32_t	end = key_end(array, number);
		int			its_class = class_of[array->codes[number]];
		const uint8_t *key = array->keys + start;
		uint32_t	length = end - start;
		uint64_t	hash;
		struct touched *touched;

		start = end;
		if (its_class == NO_CLASS)
			continue;
		hash = hash_bytes(key, length, window->seed);
		touched = generation_find(generation, key, length, hash);
		if (touched == NULL)
			touched = generation_add(generation, key, length, hash);
		touched->newest[its_class] = timestamp;
	}
}

void
window_touch(struct window *window, const struct record *record, uint64_t timestamp)
{
	struct generation *generation = newest_generation(window);
	uint64_t	cost_before = generation->cost_bytes;

	touch_keys(window, &record->writes, class_of_operation, timestamp);
	touch_keys(window, &record->locks, class_of_lock, timestamp);
	window->cost_bytes += generation->cost_bytes - cost_before;
	generation->newest = timestamp;
	if (generation->oldest == 0)
		generation->oldest = timestamp;
}

static void
forget_oldest(struct window *window)
{
	struct generation *generation = window->generations[0];

	if (generation->newest > window->floor)
		window->floor = generation->newest;
	window->cost_bytes -= generation->cost_bytes;
	generation_close(generation);
	window->count--;
	memmove(window->generations, window->generations + 1, window->count * sizeof *window->generations);
	if (window->count == 0)
		begin_generation(window);
}

void
window_seal(struct window *window)
{
	const struct generation *current = newest_generation(window);

	if (current->cost_bytes < window->generation_bytes_max &&
		current->newest - current->oldest < window->generation_span_ns_max)
		return;
	begin_generation(window);
	while (window->cost_bytes > window->bytes_max)
		forget_oldest(window);
}

void
window_forget(struct window *window, uint64_t oldest_active)
{
	while (window->generations[0]->newest != 0 && window->generations[0]->newest <= oldest_active)
		forget_oldest(window);
}
