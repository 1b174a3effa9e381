/*
 * queue.c
 *	  A hash table of the keys, a list of the busy ones, and a heap of those that the pass has before it.
 *
 * Memory that runs out costs no key: the queue says that it is incomplete.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue.h"

#define BUCKETS_MIN 1024

typedef struct QueuedKey
{
	struct QueuedKey *next_in_bucket;
	struct QueuedKey *busy_before;
	struct QueuedKey *busy_behind;
	uint64_t	hash;
	uint64_t	first;			/* when it was written over, since it was clean; */
	uint64_t	last;			/* the first time and the last, */
	uint64_t	overwrites;		/* and how often */
	uint32_t	size;
	bool		is_busy;		/* in the list */
	bool		is_in_pass;
	bool		is_gone;		/* from the table: only the pass still has it */
	uint8_t		key[];
} QueuedKey;

struct Queue
{
	uint64_t	keys_max;
	uint64_t	busy_overwrites;
	bool		is_incomplete;
	QueuedKey **buckets;
	size_t		bucket_count;	/* a power of two */
	size_t		keys;
	uint64_t	seed;
	uint64_t	oldest;			/* no key outside of the pass was written over before */
	QueuedKey  *first_busy;
	QueuedKey  *last_busy;
	size_t		busy;
	QueuedKey **heap;			/* NULL: no pass is under way */
	size_t		heap_count;
	size_t		pass_size;
	size_t		pass_left;		/* those in the heap that are not gone */
	TakenKey  **unfinished;		/* taken and put back: not in the table */
	size_t		unfinished_count;
	size_t		unfinished_size;
};

static uint64_t
mix(uint64_t hash, uint64_t word)
{
	__uint128_t product = (__uint128_t) (hash ^ word) * 0x9E3779B97F4A7C15u;

	return (uint64_t) product ^ (uint64_t) (product >> 64);
}

static uint64_t
hash_key(const Queue *queue, const uint8_t *key, size_t size)
{
	uint64_t	hash = queue->seed ^ size,
				word;

	for (; size >= sizeof(word); key += sizeof(word), size -= sizeof(word))
	{
		memcpy(&word, key, sizeof(word));
		hash = mix(hash, word);
	}
	word = 0;
	memcpy(&word, key, size);
	return mix(mix(hash, word), queue->seed);
}

Queue *
queue_open(uint64_t keys_max, uint64_t busy_overwrites)
{
	Queue	   *queue = calloc(1, sizeof(*queue));
	struct timespec now;

	if (queue == NULL)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	queue->seed = mix((uint64_t) now.tv_nsec << 32 ^ (uint64_t) now.tv_sec, (uintptr_t) queue);
	queue->keys_max = keys_max;
	queue->busy_overwrites = busy_overwrites;
	queue->oldest = UINT64_MAX;
	queue->bucket_count = BUCKETS_MIN;
	queue->buckets = calloc(queue->bucket_count, sizeof(*queue->buckets));
	if (queue->buckets == NULL)
	{
		queue_close(queue);
		return NULL;
	}
	return queue;
}

void
queue_close(Queue *queue)
{
	for (size_t number = 0; number < queue->heap_count; number++)
		if (queue->heap[number]->is_gone)
			free(queue->heap[number]);
	for (size_t bucket = 0; queue->buckets != NULL && bucket < queue->bucket_count; bucket++)
		for (QueuedKey *key = queue->buckets[bucket], *next; key != NULL; key = next)
		{
			next = key->next_in_bucket;
			free(key);
		}
	for (size_t number = 0; number < queue->unfinished_count; number++)
		free(queue->unfinished[number]);
	free(queue->unfinished);
	free(queue->heap);
	free(queue->buckets);
	free(queue);
}

uint64_t
queue_length(const Queue *queue)
{
	return queue->keys + queue->unfinished_count;
}

bool
queue_is_crowded(const Queue *queue)
{
	return queue->keys > queue->keys_max / 2;
}

bool
queue_is_incomplete(const Queue *queue)
{
	return queue->is_incomplete;
}

void
queue_set_incomplete(Queue *queue, bool is_incomplete)
{
	queue->is_incomplete = is_incomplete;
}

/* The table */

/* Room for one more key. */
static bool
grow(Queue *queue)
{
	size_t		count = 2 * queue->bucket_count;
	QueuedKey **buckets;

	if (queue->keys < queue->bucket_count)
		return true;
	buckets = calloc(count, sizeof(*buckets));
	if (buckets == NULL)
		return false;
	for (size_t bucket = 0; bucket < queue->bucket_count; bucket++)
		for (QueuedKey *key = queue->buckets[bucket], *next; key != NULL; key = next)
		{
			QueuedKey **link = &buckets[key->hash & (count - 1)];

			next = key->next_in_bucket;
			key->next_in_bucket = *link;
			*link = key;
		}
	free(queue->buckets);
	queue->buckets = buckets;
	queue->bucket_count = count;
	return true;
}

static QueuedKey *
find_key(const Queue *queue, uint64_t hash, const uint8_t *key, size_t key_size)
{
	QueuedKey  *found = queue->buckets[hash & (queue->bucket_count - 1)];

	while (found != NULL &&
		   (found->hash != hash || found->size != key_size || memcmp(found->key, key, key_size) != 0))
		found = found->next_in_bucket;
	return found;
}

static void
note_oldest(Queue *queue, uint64_t timestamp)
{
	if (timestamp < queue->oldest)
		queue->oldest = timestamp;
}

/* Who is at rest has no use for the room that a busy day took. */
static void
shrink(Queue *queue)
{
	QueuedKey **buckets = queue->keys > 0 || queue->bucket_count == BUCKETS_MIN ? NULL
		: calloc(BUCKETS_MIN, sizeof(*buckets));

	if (buckets == NULL)
		return;
	free(queue->buckets);
	queue->buckets = buckets;
	queue->bucket_count = BUCKETS_MIN;
}

static void
leave_busy(Queue *queue, QueuedKey *key)
{
	if (!key->is_busy)
		return;
	*(key->busy_before == NULL ? &queue->first_busy : &key->busy_before->busy_behind) = key->busy_behind;
	*(key->busy_behind == NULL ? &queue->last_busy : &key->busy_behind->busy_before) = key->busy_before;
	key->is_busy = false;
	queue->busy--;
}

static void
join_busy(Queue *queue, QueuedKey *key)
{
	key->busy_before = queue->last_busy;
	key->busy_behind = NULL;
	*(queue->last_busy == NULL ? &queue->first_busy : &queue->last_busy->busy_behind) = key;
	queue->last_busy = key;
	key->is_busy = true;
	queue->busy++;
}

static void
remove_key(Queue *queue, QueuedKey *key)
{
	QueuedKey **link = &queue->buckets[key->hash & (queue->bucket_count - 1)];

	while (*link != key)
		link = &(*link)->next_in_bucket;
	*link = key->next_in_bucket;
	queue->keys--;
	shrink(queue);
	leave_busy(queue, key);
	if (key->is_in_pass)
	{
		key->is_gone = true;
		queue->pass_left--;
	}
	else
		free(key);
}

/* Nothing is left of its garbage at the horizon. */
static void
note_clean(Queue *queue, QueuedKey *key, uint64_t horizon)
{
	if (key->last <= horizon)
	{
		remove_key(queue, key);
		return;
	}
	key->first = key->last;
	key->overwrites = 0;
	note_oldest(queue, key->first);
	leave_busy(queue, key);
}

void
queue_add(Queue *queue, uint64_t timestamp, const uint8_t *key, size_t key_size)
{
	uint64_t	hash = hash_key(queue, key, key_size);
	QueuedKey  *found = find_key(queue, hash, key, key_size),
			  **bucket;

	if (found == NULL)
	{
		if (queue->keys >= queue->keys_max || !grow(queue) || (found = malloc(sizeof(*found) + key_size)) == NULL)
		{
			queue->is_incomplete = true;
			return;
		}
		bucket = &queue->buckets[hash & (queue->bucket_count - 1)];
		*found = (QueuedKey) {.next_in_bucket = *bucket, .hash = hash, .first = timestamp, .size = (uint32_t) key_size};
		memcpy(found->key, key, key_size);
		*bucket = found;
		queue->keys++;
		note_oldest(queue, timestamp);
	}
	found->last = timestamp;
	if (++found->overwrites >= queue->busy_overwrites && !found->is_busy)
		join_busy(queue, found);
}

void
queue_note_clean(Queue *queue, uint64_t horizon, const uint8_t *key, size_t key_size)
{
	QueuedKey  *found = find_key(queue, hash_key(queue, key, key_size), key, key_size);

	if (found != NULL)
		note_clean(queue, found, horizon);
}

/* The pass */

static int
compare_keys(const uint8_t *one, uint32_t one_size, const uint8_t *other, uint32_t other_size)
{
	int			order = memcmp(one, other, one_size < other_size ? one_size : other_size);

	return order != 0 ? order : (one_size > other_size) - (one_size < other_size);
}

static bool
is_before(const QueuedKey *one, const QueuedKey *other)
{
	return compare_keys(one->key, one->size, other->key, other->size) < 0;
}

/* Let the key at a place of the heap sink to where it belongs. */
static void
sink(Queue *queue, size_t place)
{
	QueuedKey  *key = queue->heap[place];

	for (size_t below; (below = 2 * place + 1) < queue->heap_count; place = below)
	{
		if (below + 1 < queue->heap_count && is_before(queue->heap[below + 1], queue->heap[below]))
			below++;
		if (!is_before(queue->heap[below], key))
			break;
		queue->heap[place] = queue->heap[below];
	}
	queue->heap[place] = key;
}

static void
end_pass(Queue *queue)
{
	free(queue->heap);
	queue->heap = NULL;
}

/* With all keys that were first written over at or below `settled`; false if there is none. */
static bool
begin_pass(Queue *queue, uint64_t settled)
{
	uint64_t	oldest = UINT64_MAX;

	queue->pass_size = 0;
	if (queue->oldest > settled)
		return false;
	queue->heap = malloc(queue->keys * sizeof(*queue->heap));
	if (queue->heap == NULL)
		return false;
	for (size_t bucket = 0; bucket < queue->bucket_count; bucket++)
		for (QueuedKey *key = queue->buckets[bucket]; key != NULL; key = key->next_in_bucket)
		{
			key->is_in_pass = key->first <= settled;
			if (key->is_in_pass)
				queue->heap[queue->heap_count++] = key;
			else if (key->first < oldest)
				oldest = key->first;
		}
	queue->oldest = oldest;
	for (size_t place = queue->heap_count / 2; place > 0; place--)
		sink(queue, place - 1);
	queue->pass_size = queue->pass_left = queue->heap_count;
	if (queue->pass_size == 0)
		end_pass(queue);
	return queue->pass_size > 0;
}

/* The next key of the pass under way, or NULL. */
static QueuedKey *
next_of_pass(Queue *queue)
{
	while (queue->heap_count > 0)
	{
		QueuedKey  *key = queue->heap[0];

		queue->heap[0] = queue->heap[--queue->heap_count];
		if (queue->heap_count > 0)
			sink(queue, 0);
		key->is_in_pass = false;
		if (!key->is_gone)
		{
			queue->pass_left--;
			return key;
		}
		free(key);
	}
	end_pass(queue);
	return NULL;
}

size_t
queue_pass_size(const Queue *queue)
{
	return queue->pass_size;
}

size_t
queue_pass_left(const Queue *queue)
{
	return queue->pass_left;
}

size_t
queue_urgent(const Queue *queue, uint64_t horizon)
{
	bool		is_ready = queue->first_busy != NULL && queue->first_busy->first <= horizon;

	return queue->unfinished_count + (is_ready ? queue->busy : 0);
}

/* Handing out */

bool
queue_is_ready(const Queue *queue, uint64_t settled)
{
	return queue->unfinished_count > 0 || queue->pass_left > 0 || queue->oldest <= settled;
}

/* Hand out a key.  False without memory: its turn comes again. */
static bool
take_key(Queue *queue, QueuedKey *key, uint64_t horizon, TakenKey **taken)
{
	*taken = malloc(sizeof(**taken) + key->size);
	if (*taken == NULL)
	{
		note_oldest(queue, key->first);
		return false;
	}
	(*taken)->size = key->size;
	memcpy((*taken)->key, key->key, key->size);
	note_clean(queue, key, horizon);
	return true;
}

static int
compare_taken(const void *left, const void *right)
{
	const TakenKey *one = *(TakenKey *const *) left,
			   *other = *(TakenKey *const *) right;

	return compare_keys(one->key, one->size, other->key, other->size);
}

/* In key order, each once. */
static size_t
order_taken(TakenKey **taken, size_t count)
{
	size_t		distinct = 0;

	qsort(taken, count, sizeof(*taken), compare_taken);
	for (size_t number = 0; number < count; number++)
	{
		if (distinct > 0 && compare_taken(&taken[distinct - 1], &taken[number]) == 0)
			free(taken[number]);
		else
			taken[distinct++] = taken[number];
	}
	return distinct;
}

size_t
queue_take(Queue *queue, uint64_t horizon, uint64_t settled, size_t limit, TakenKey **taken)
{
	size_t		count = queue->unfinished_count < limit ? queue->unfinished_count : limit;

	if (count > 0)
	{
		memcpy(taken, queue->unfinished, count * sizeof(*taken));
		queue->unfinished_count -= count;
		memmove(queue->unfinished, queue->unfinished + count, queue->unfinished_count * sizeof(*taken));
	}
	while (count < limit && queue->first_busy != NULL && queue->first_busy->first <= horizon)
	{
		if (!take_key(queue, queue->first_busy, horizon, &taken[count]))
			break;
		count++;
	}
	while (count < limit)
	{
		QueuedKey  *key = next_of_pass(queue);

		if (key == NULL && !begin_pass(queue, settled))
			break;
		if (key == NULL)
			continue;
		if (key->first > horizon)
			note_oldest(queue, key->first);	/* cleaned in the meantime, and written over since */
		else if (take_key(queue, key, horizon, &taken[count]))
			count++;
		else
			break;
	}
	return order_taken(taken, count);
}

void
queue_put_back(Queue *queue, TakenKey **keys, size_t count)
{
	size_t		wanted = queue->unfinished_count + count;

	if (wanted > queue->unfinished_size)
	{
		TakenKey  **grown = realloc(queue->unfinished, 2 * wanted * sizeof(*grown));

		if (grown == NULL)
		{
			for (size_t number = 0; number < count; number++)
				free(keys[number]);
			queue->is_incomplete = true;
			return;
		}
		queue->unfinished = grown;
		queue->unfinished_size = 2 * wanted;
	}
	if (count > 0)
		memcpy(queue->unfinished + queue->unfinished_count, keys, count * sizeof(*keys));
	queue->unfinished_count = wanted;
}
