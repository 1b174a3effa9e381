/*
 * The memory of outcomes: which transaction ids have committed, and which ones have been refused for good.
 *
 * Promises: whoever asks about a transaction gets committed or refused only if that is true and stays true; otherwise the
 * answer is "unknown". An id that is asked for before it was admitted is fenced: it will never be admitted. Fences need not
 * survive a restart, because a new lease refuses every transaction that began before it. A second copy of a commit that
 * arrives when the first one has been forgotten conflicts with its own writes.
 *
 * Bounded by age and by number: beyond them the oldest generation is dropped and `since` rises.
 */
#ifndef TRANSACTION_OUTCOMES_H
#define TRANSACTION_OUTCOMES_H

#include "core.h"

/* Transaction id -> a timestamp, which is never 0. */
struct id_table
{
	uint64_t	seed;
	size_t		count;
	size_t		mask;
	struct id_entry *entries;
};

struct outcome_generation
{
	struct id_table committed;
	uint64_t	oldest;
	uint64_t	newest;
};

/* The catalog version in force from a timestamp on. */
struct version_start
{
	uint64_t	start;
	uint64_t	version;
};

struct outcomes
{
	uint64_t	age_ns_max;
	uint64_t	outcomes_max;
	uint64_t	fences_max;
	uint64_t	seed;
	uint64_t	since; /* every commit after it is remembered */
	size_t		count;
	size_t		capacity;
	struct outcome_generation *generations; /* oldest first; the last one grows */
	size_t		version_count;
	size_t		version_capacity;
	struct version_start *versions; /* ascending; the first covers everything remembered before */
	struct id_table fences; /* id -> read timestamp + 1 */
};

extern void outcomes_open(struct outcomes *outcomes, const struct tx_limits *limits, uint64_t since,
						  uint64_t catalog_version, uint64_t seed);
extern void outcomes_close(struct outcomes *outcomes);

/* Whether it is known to have committed; then when, and the catalog version of that moment. */
extern int	outcomes_find(const struct outcomes *outcomes, const uint8_t *id, uint64_t read_timestamp, uint64_t *timestamp,
						  uint64_t *catalog_version);
extern int	outcomes_is_fenced(const struct outcomes *outcomes, const uint8_t *id);
/* Refuse this id from now on. 0 if there are too many fences: then nothing may be promised. */
extern int	outcomes_fence(struct outcomes *outcomes, const uint8_t *id, uint64_t read_timestamp);
/* Forget fences of transactions that read below a timestamp from which on they are refused anyway. */
extern void outcomes_drop_fences(struct outcomes *outcomes, uint64_t below);
/* Add a commit, newer than all before. */
extern void outcomes_remember(struct outcomes *outcomes, const uint8_t *id, uint64_t timestamp);
extern void outcomes_note_version(struct outcomes *outcomes, uint64_t version, uint64_t start);
/* A group is complete: begin another generation if this one is full. */
extern void outcomes_seal(struct outcomes *outcomes);
/* Drop what is too old or too much. */
extern void outcomes_forget(struct outcomes *outcomes, uint64_t now);
extern int	outcomes_is_empty(const struct outcomes *outcomes);

#endif
