/*
 * The decisions of the transaction service: which transactions commit, at what timestamp, in which order; and the journal
 * batch that says so. Pure: no file, no socket, no clock is touched here, so that the service, the simulation and the tests
 * drive the same code.
 *
 * A group is decided between tx_group_begin and tx_group_confirm. What it admits is entered into the memory of conflicts
 * and outcomes at once, but published only by tx_group_confirm, which is called when the batch is durable. A group that has
 * admitted anything is made durable, or the process ends: there is no way back. tx_group_complete has the order of the steps.
 *
 * Guarantee: strong snapshot isolation, first committer wins. A commit timestamp is greater than every timestamp that a
 * reader may have been given. Formats and the conflict matrix: docs/formats.md. The same rules in Python, to compare with:
 * simulation/reference. One thread.
 */
#ifndef TRANSACTION_CORE_H
#define TRANSACTION_CORE_H

#include <stddef.h>
#include <stdint.h>

#define TX_API __attribute__((visibility("default")))

#define TX_ID_BYTES 16
#define TX_TEXT_BYTES 112
#define TX_BATCH_HEADER_BYTES 40

/* Numbers of borealis.foundation.errors.Reason. */
enum tx_reason
{
	TX_DATA_CONFLICT = 1,
	TX_SCHEMA_CONFLICT = 2,
	TX_FORGOTTEN = 3,
	TX_MALFORMED = 4,
	TX_DISK_FULL = 5,
	TX_STORAGE_BEHIND = 6,
	TX_TOO_LARGE = 7,
	TX_TOO_OLD = 8
};

enum tx_answer_kind
{
	TX_COMMITTED = 1,
	TX_REFUSED = 2,
	TX_UNKNOWN = 3
};

/* Bounds on what is remembered and admitted; times in nanoseconds. */
struct tx_limits
{
	uint64_t window_bytes_max;
	uint64_t generation_bytes_max;
	uint64_t generation_span_ns_max;
	uint64_t outcome_age_ns_max;
	uint64_t outcomes_max;
	uint64_t fences_max;
	uint64_t transaction_age_ns_max;
};

struct tx_answer
{
	uint32_t	kind;
	uint32_t	reason; /* when refused */
	uint64_t	timestamp; /* when committed */
	uint64_t	catalog_version; /* when committed */
	char		text[TX_TEXT_BYTES]; /* when refused; ends with a zero */
};

/* What others may know. Changes with every call that changes the core. */
struct tx_state
{
	uint64_t	acknowledged; /* with the two versions: the words of the shared page */
	uint64_t	schema_version;
	uint64_t	catalog_version;
	uint64_t	lease_start;
	uint64_t	transactions; /* in the journal since its beginning */
	uint64_t	window_bytes;
	uint64_t	window_floor; /* conflicts with commits at or below it may have been forgotten */
	uint64_t	outcomes_since; /* outcomes of commits after it are remembered */
	uint64_t	has_memories; /* tx_forget will have something to do, now or later */
	uint64_t	has_fences;
};

/* The group under decision; after tx_group_seal, its batch. */
struct tx_group
{
	uint64_t	transactions; /* admitted */
	uint64_t	records; /* of the batch, with those of tx_group_add */
	uint64_t	last_timestamp;
	uint64_t	schema_version;
	uint64_t	catalog_version;
	uint64_t	dropped_count;
	const uint32_t *dropped; /* relfilenodes */
	uint64_t	position; /* of the sealed batch in the journal */
	uint64_t	batch_bytes;
	const uint8_t *batch;
};

/*
 * What a group does to the world. Effects return 0; after anything else nothing more is done, and the process must end.
 * The bytes of the batch stay where they are until the last effect has returned.
 */
struct tx_effects
{
	void	   *context;
	int			(*persist) (void *context, uint64_t position, const uint8_t *batch, size_t length);
	int			(*publish) (void *context, const struct tx_state *state);
	int			(*feed) (void *context, uint64_t position, const uint8_t *batch, size_t length);
};

struct tx_core;

/* `seed`: for the hash tables, anything. */
TX_API struct tx_core *tx_open(const struct tx_limits *limits, uint64_t last_timestamp, uint64_t schema_version,
							   uint64_t catalog_version, uint64_t transactions, uint64_t seed);
TX_API void tx_close(struct tx_core *core);
TX_API const struct tx_state *tx_state(const struct tx_core *core);
TX_API const struct tx_group *tx_group(const struct tx_core *core);

/* Recovery: the commits of the journal in their order, then where it ends. */
TX_API void tx_replay_commit(struct tx_core *core, const uint8_t *id, uint64_t timestamp);
TX_API void tx_replay_catalog_version(struct tx_core *core, uint64_t version, uint64_t timestamp);
TX_API void tx_replay_published(struct tx_core *core, uint64_t timestamp, uint64_t schema_version, uint64_t catalog_version);
/* The lease record is durable: from here on everything that began before it is refused. */
TX_API void tx_begin_lease(struct tx_core *core, uint64_t timestamp);

/* NULL if these bytes are a transaction record that obeys every rule; else the rule that is broken. */
TX_API const char *tx_check_record(const uint8_t *record, size_t length);

TX_API void tx_group_begin(struct tx_core *core, uint64_t now);
/* Decide one transaction. The record has passed tx_check_record; it is copied where it is needed. */
TX_API void tx_group_decide(struct tx_core *core, const uint8_t *record, size_t length, struct tx_answer *answer);
/* What has become of a transaction: fences it if it has not committed. Needs no group. */
TX_API void tx_ask(struct tx_core *core, const uint8_t *id, uint64_t read_timestamp, struct tx_answer *answer);
/* Whether a transaction is known to have committed: then that is the answer. Changes nothing, needs no group. */
TX_API int	tx_find_committed(const struct tx_core *core, const uint8_t *id, uint64_t read_timestamp, struct tx_answer *answer);
/* A record of the service's own behind what has been decided so far. */
TX_API void tx_group_add(struct tx_core *core, uint32_t kind, const uint8_t *payload, size_t length);
/* Finish the batch for this place in the journal; there is at least one record. */
TX_API void tx_group_seal(struct tx_core *core, uint64_t position, uint64_t epoch);
/* The batch is durable, or there is none: it has happened. */
TX_API void tx_group_confirm(struct tx_core *core);
/*
 * All that follows the decision, in its order: make the batch durable, confirm, publish, feed those who follow the journal.
 * The answers may leave when it has returned 0. Else it returns what an effect did.
 */
TX_API int	tx_group_complete(struct tx_core *core, const struct tx_effects *effects);

/* Fence a transaction that is refused undecided; 0 if there is no room for a fence, so that nothing may be promised. */
TX_API int	tx_give_up(struct tx_core *core, const uint8_t *id, uint64_t read_timestamp);

/* Drop what no transaction needs, given a lower bound on the read timestamps in use. */
TX_API void tx_forget(struct tx_core *core, uint64_t now, uint64_t oldest_active);

#endif
