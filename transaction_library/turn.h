/*
 * A turn of the transaction service as long as there is nothing but plain transactions: receive, decide, complete, answer, one
 * group after the other. Whatever else there is to do ends it.
 */
#ifndef TRANSACTION_TURN_H
#define TRANSACTION_TURN_H

#include "desk.h"
#include "journal_effects.h"

enum tx_turn_end
{
	TX_TURN_DONE, /* all that has arrived is answered, or held */
	TX_TURN_LONG, /* others should have their turn; there may be more to do at once */
	TX_TURN_EVENTS, /* the desk has events; transactions may wait as well */
	TX_TURN_BEHIND, /* transactions wait because storage is too far behind the journal */
	TX_TURN_ROOM, /* they wait for room in the journal */
	TX_TURN_DROPPED, /* a group that drops relations is decided and sealed: to be completed and answered by the caller */
	TX_TURN_FAILED /* an effect failed: the process must end */
};

struct tx_turn_limits
{
	uint64_t	group_bytes_max; /* a group ends before the transaction that would take it over this */
	uint64_t	lag_bytes_max; /* between the end of the journal and what storage has applied */
	uint64_t	groups_max;
};

/* `problem`: where what the effect returned is put after TX_TURN_FAILED. */
TX_API int	tx_turn(struct tx_desk *desk, struct tx_journal *journal, const struct tx_turn_limits *limits, uint64_t applied,
					uint64_t epoch, int *problem);

#endif
