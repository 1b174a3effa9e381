/*
 * queue.h
 *	  Keys that have garbage once the horizon passes a timestamp.
 *
 * The same as CollectionQueue of collector.py: each key once, bounded, handed
 * out in passes over all of them in their order, so that neighbours share
 * pages; and before that those that are written over all the time.
 */
#ifndef BOREALIS_STORAGE_QUEUE_H
#define BOREALIS_STORAGE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A key that was handed out.  Who takes it owns it, until it is put back or freed. */
typedef struct TakenKey
{
	uint32_t	size;
	uint8_t		key[];
} TakenKey;

typedef struct Queue Queue;

/* `busy_overwrites`: who is written over so often is busy.  NULL: no memory. */
extern Queue *queue_open(uint64_t keys_max, uint64_t busy_overwrites);
extern void queue_close(Queue *queue);
extern uint64_t queue_length(const Queue *queue);
extern bool queue_is_crowded(const Queue *queue);
/* Garbage may exist that is not in the queue. */
extern bool queue_is_incomplete(const Queue *queue);
extern void queue_set_incomplete(Queue *queue, bool is_incomplete);
/* Timestamps do not fall. */
extern void queue_add(Queue *queue, uint64_t timestamp, const uint8_t *key, size_t key_size);
/* Somebody has deleted the garbage that a key had at a horizon. */
extern void queue_note_clean(Queue *queue, uint64_t horizon, const uint8_t *key, size_t key_size);

/* How many keys the pass under way had at its beginning, and has left. */
extern size_t queue_pass_size(const Queue *queue);
extern size_t queue_pass_left(const Queue *queue);
/* How many do not wait for a pass: busy ones, and those that were put back. */
extern size_t queue_urgent(const Queue *queue, uint64_t horizon);
/* Whether a pass is under way, or one can begin with keys that were first written over at or below `settled`. */
extern bool queue_is_ready(const Queue *queue, uint64_t settled);
/*
 * Up to `limit` keys with garbage at the horizon, in key order, into `taken`; how many.  Busy ones come first, then those
 * of the pass.
 */
extern size_t queue_take(Queue *queue, uint64_t horizon, uint64_t settled, size_t limit, TakenKey **taken);
/* They come before all others. */
extern void queue_put_back(Queue *queue, TakenKey **keys, size_t count);

#endif							/* BOREALIS_STORAGE_QUEUE_H */
