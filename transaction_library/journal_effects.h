/*
 * The effects of a completed group on this machine: its batch goes to the files of the journal and to the sockets of those who
 * follow it, its timestamp and versions to the shared page (formats: docs/formats.md).
 *
 * Others open the files, begin segments and accept followers. A follower is fed from here only while it keeps up: one whose
 * socket is full, or a batch that is large, is left to others, who read what follows from the files.
 */
#ifndef TRANSACTION_JOURNAL_EFFECTS_H
#define TRANSACTION_JOURNAL_EFFECTS_H

#include "core.h"

/* What tx_effects.persist returns besides errno: the batch is not for this place, or there is no room for it. */
#define TX_MISPLACED (-1)

/* A follower that is not fed any more. */
struct tx_fallen
{
	int32_t		descriptor;
	uint32_t	sent; /* bytes that it has of the frame of this batch, the header's included */
	uint64_t	position; /* of the first batch that it does not have whole */
};

struct tx_journal_state
{
	uint64_t	end; /* everything before it is durable */
	uint64_t	limit; /* of the current segment */
	uint64_t	fallen_count;
	const struct tx_fallen *fallen; /* since tx_journal_forget_fallen */
};

struct tx_journal;

/* `page`: the words of transactions.page. */
TX_API struct tx_journal *tx_journal_open(uint64_t *page);
TX_API void tx_journal_close(struct tx_journal *journal);
TX_API const struct tx_journal_state *tx_journal_state(const struct tx_journal *journal);
TX_API const struct tx_effects *tx_journal_effects(const struct tx_journal *journal);
/* The files of the current segment, one for each zone; they stay the caller's. */
TX_API void tx_journal_continue_in(struct tx_journal *journal, const int *descriptors, size_t count, uint64_t first_position,
								   uint64_t end, uint64_t limit);
/* A follower that has everything up to the end gets all that comes, until it falls behind. The socket stays the caller's. */
TX_API void tx_journal_follow(struct tx_journal *journal, int descriptor);
TX_API void tx_journal_unfollow(struct tx_journal *journal, int descriptor);
TX_API void tx_journal_forget_fallen(struct tx_journal *journal);
/* A batch that somebody else has made durable. */
TX_API void tx_journal_feed(struct tx_journal *journal, uint64_t position, const uint8_t *batch, size_t length);

#endif
