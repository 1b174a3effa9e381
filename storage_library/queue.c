/*
 * queue.c
 *	  A hash table of the keys, and a ring with the order in which they come.
 *
 * Memory that runs out costs no key: the queue says that it is incomplete.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue.h"

#define BUCKETS_MIN 1024

typedef struct Place
{
	uint64_t	timestamp;
	QueuedKey  *key;
} Place;

struct Queue
{
	uint64_t	keys_max;
	bool		is_incomplete;
	QueuedKey **buckets;
	size_t		bucket_count;	/* a power of two */
	size_t		keys;
	Place	   *ring;			/* room for each of the keys */
	size_t		ring_size;		/* a power of two */
	size_t		first;
	uint64_t	seed;
	QueuedKey **unfinished;		/* taken and put back: not in the table */
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
queue_open(uint64_t keys_max)
{
	Queue	   *queue = calloc(1, sizeof(*queue));
	struct timespec now;

	if (queue == NULL)
		return NULL;
	clock_gettime(CLOCK_MONOTONIC, &now);
	queue->seed = mix((uint64_t) now.tv_nsec << 32 ^ (uint64_t) now.tv_sec, (uintptr_t) queue);
	queue->keys_max = keys_max;
	queue->bucket_count = queue->ring_size = BUCKETS_MIN;
	queue->buckets = calloc(queue->bucket_count, sizeof(*queue->buckets));
	queue->ring = malloc(queue->ring_size * sizeof(*queue->ring));
	if (queue->buckets == NULL || queue->ring == NULL)
	{
		queue_close(queue);
		return NULL;
	}
	return queue;
}

static Place *
place_at(const Queue *queue, size_t number)
{
	return &queue->ring[(queue->first + number) & (queue->ring_size - 1)];
}

void
queue_close(Queue *queue)
{
	for (size_t number = 0; number < queue->keys; number++)
		free(place_at(queue, number)->key);
	for (size_t number = 0; number < queue->unfinished_count; number++)
		free(queue->unfinished[number]);
	free(queue->unfinished);
	free(queue->buckets);
	free(queue->ring);
	free(queue);
}

uint64_t
queue_length(const Queue *queue)
{
	return queue->keys + queue->unfinished_count;
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

/* Room for one more key. */
static bool
grow(Queue *queue)
{
	size_t		size = 2 * queue->ring_size;
	QueuedKey **buckets;
	Place	   *ring;

	if (queue->keys < queue->ring_size)
		return true;
	buckets = calloc(size, sizeof(*buckets));
	ring = malloc(size * sizeof(*ring));
	if (buckets == NULL || ring == NULL)
	{
		free(buckets);
		free(ring);
		return false;
	}
	for (size_t number = 0; number < queue->keys; number++)
	{
		Place		place = *place_at(queue, number);
		QueuedKey **bucket = &buckets[place.key->hash & (size - 1)];

		place.key->next_in_bucket = *bucket;
		*bucket = place.key;
		ring[number] = place;
	}
	free(queue->buckets);
	free(queue->ring);
	queue->buckets = buckets;
	queue->ring = ring;
	queue->bucket_count = queue->ring_size = size;
	queue->first = 0;
	return true;
}

void
queue_add(Queue *queue, uint64_t timestamp, const uint8_t *key, size_t key_size)
{
	uint64_t	hash = hash_key(queue, key, key_size);
	QueuedKey  *found = queue->buckets[hash & (queue->bucket_count - 1)],
			  **bucket;

	while (found != NULL &&
		   (found->hash != hash || found->size != key_size || memcmp(found->key, key, key_size) != 0))
		found = found->next_in_bucket;
	if (found != NULL)
	{
		found->last = timestamp;
		return;
	}
	if (queue->keys >= queue->keys_max || !grow(queue) || (found = malloc(sizeof(*found) + key_size)) == NULL)
	{
		queue->is_incomplete = true;
		return;
	}
	bucket = &queue->buckets[hash & (queue->bucket_count - 1)];
	found->next_in_bucket = *bucket;
	found->hash = hash;
	found->last = timestamp;
	found->size = (uint32_t) key_size;
	memcpy(found->key, key, key_size);
	*bucket = found;
	*place_at(queue, queue->keys++) = (Place) {timestamp, found};
}

bool
queue_is_ready(const Queue *queue, uint64_t horizon)
{
	return queue->unfinished_count > 0 || (queue->keys > 0 && queue->ring[queue->first].timestamp <= horizon);
}

static void
remove_from_table(Queue *queue, QueuedKey *key)
{
	QueuedKey **link = &queue->buckets[key->hash & (queue->bucket_count - 1)];

	while (*link != key)
		link = &(*link)->next_in_bucket;
	*link = key->next_in_bucket;
}

static int
compare_keys(const void *left, const void *right)
{
	const QueuedKey *one = *(QueuedKey *const *) left,
			   *other = *(QueuedKey *const *) right;
	int			order = memcmp(one->key, other->key, one->size < other->size ? one->size : other->size);

	return order != 0 ? order : (one->size > other->size) - (one->size < other->size);
}

/* The oldest key, out of the ring. */
static Place
take_first(Queue *queue)
{
	Place		place = *place_at(queue, 0);

	queue->first = (queue->first + 1) & (queue->ring_size - 1);
	queue->keys--;
	return place;
}

static QueuedKey *
copy_key(const QueuedKey *key)
{
	size_t		bytes = sizeof(*key) + key->size;
	QueuedKey  *copy = malloc(bytes);

	if (copy != NULL)
		memcpy(copy, key, bytes);
	return copy;
}

size_t
queue_take(Queue *queue, uint64_t horizon, size_t limit, QueuedKey **taken)
{
	size_t		count = queue->unfinished_count < limit ? queue->unfinished_count : limit,
				distinct = 0;

	if (count > 0)
	{
		memcpy(taken, queue->unfinished, count * sizeof(*taken));
		queue->unfinished_count -= count;
		memmove(queue->unfinished, queue->unfinished + count, queue->unfinished_count * sizeof(*taken));
	}
	while (count < limit && queue->keys > 0 && place_at(queue, 0)->timestamp <= horizon)
	{
		QueuedKey  *key = take_first(queue).key;

		if (key->last <= horizon)
		{
			remove_from_table(queue, key);
			taken[count++] = key;
		}
		else
		{
			*place_at(queue, queue->keys++) = (Place) {key->last, key};
			taken[count] = copy_key(key);
			if (taken[count] != NULL)
				count++;
			/* else it is collected when its turn comes again */
		}
	}
	qsort(taken, count, sizeof(*taken), compare_keys);
	for (size_t number = 0; number < count; number++)
	{
		if (distinct > 0 && compare_keys(&taken[distinct - 1], &taken[number]) == 0)
			free(taken[number]);
		else
			taken[distinct++] = taken[number];
	}
	return distinct;
}

void
queue_put_back(Queue *queue, QueuedKey **keys, size_t count)
{
	size_t		wanted = queue->unfinished_count + count;

	if (wanted > queue->unfinished_size)
	{
		QueuedKey **grown = realloc(queue->unfinished, 2 * wanted * sizeof(*grown));

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
