/*
 * The conflict window: which keys were touched lately, when, and in which class (docs/formats.md, conflict matrix).
 *
 * Owns the memory that "first committer wins" needs. Promises: a transaction is found in conflict exactly when another one
 * that committed after its read timestamp touched one of its keys in a class that excludes its own; memory stays below a
 * bound. What has been forgotten is covered by the floor: a transaction that read below it must be refused unseen.
 *
 * Keys are kept in generations, dropped whole. A generation is passed over once nothing in it is newer than the read
 * timestamp, so that a short transaction looks at the newest generation only.
 */
#ifndef TRANSACTION_WINDOW_H
#define TRANSACTION_WINDOW_H

#include "record.h"

struct generation;

struct window
{
	uint64_t	bytes_max;
	uint64_t	generation_bytes_max;
	uint64_t	generation_span_ns_max;
	uint64_t	seed;
	uint64_t	floor; /* conflicts with commits at or below it may have been forgotten */
	uint64_t	cost_bytes;
	size_t		count;
	size_t		capacity;
	struct generation **generations; /* oldest first; the last one grows */
};

extern void window_open(struct window *window, const struct tx_limits *limits, uint64_t seed);
/* Forget everything: whoever read before `floor` is refused. */
extern void window_restart(struct window *window, uint64_t floor);
extern void window_close(struct window *window);

/*
 * Whether a key is in conflict, and the relfilenode of one that is. The caller has made sure that the record did not read below the floor.
 * A table that a schema change locks conflicts with every row of it that was written.
 */
extern int	window_find_conflict(const struct window *window, const struct record *record, uint32_t *relfilenode);
/* Remember what a transaction touches. Timestamps ascend. */
extern void window_touch(struct window *window, const struct record *record, uint64_t timestamp);
/* A group is complete: begin another generation if this one is full. */
extern void window_seal(struct window *window);
/* Drop what no transaction can conflict with any more: all of them read at `oldest_active` or later. */
extern void window_forget(struct window *window, uint64_t oldest_active);

#endif
