/*
 * queue.h
 *	  Keys that have garbage once the horizon passes a timestamp.
 *
 * The same as CollectionQueue of collector.py: oldest first, each key once,
 * bounded; a key that is written again above the horizon stays queued.
 */
#ifndef BOREALIS_STORAGE_QUEUE_H
#define BOREALIS_STORAGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key of the queue.  Who takes it owns it, until it is put back or freed. */
typedef struct QueuedKey
{
	struct QueuedKey *next_in_bucket;
	uint64_t	hash;
	uint64_t	last;			/* when it was written over last */
	uint32_t	size;
	uint8_t		key[];
} QueuedKey;

typedef struct Queue Queue;

/* NULL: no memory. */
extern Queue *queue_open(uint64_t keys_max);
extern void queue_close(Queue *queue);
extern uint64_t queue_length(const Queue *queue);
/* Garbage may exist that is not in the queue. */
extern bool queue_is_incomplete(const Queue *queue);
extern void queue_set_incomplete(Queue *queue, bool is_incomplete);
/* Timestamps do not fall. */
extern void queue_add(Queue *queue, uint64_t timestamp, const uint8_t *key, size_t key_size);
extern bool queue_is_ready(const Queue *queue, uint64_t horizon);
/* Up to `limit` keys that are ready, in key order, into `taken`; how many. */
extern size_t queue_take(Queue *queue, uint64_t horizon, size_t limit, QueuedKey **taken);
/* They come first. */
extern void queue_put_back(Queue *queue, QueuedKey **keys, size_t count);

#endif							/* BOREALIS_STORAGE_QUEUE_H */
