/*
 * The commit desk: the connections of query processors on the commit socket (docs/formats.md, "Commit socket"). Reads and
 * checks what arrives, queues the transactions, has the core decide them, sends the answers. The event loop, the journal and
 * all other requests are Python's.
 *
 * Promises: bytes that break a rule cost their sender its connection and nobody else anything; memory grows only with bytes
 * that have arrived, and all connections together stay below one bound; each connection has one request under way.
 */
#ifndef TRANSACTION_DESK_H
#define TRANSACTION_DESK_H

#include "core.h"

struct tx_desk_limits
{
	uint64_t	transaction_bytes_max; /* payload of a COMMIT */
	uint64_t	intake_bytes_max; /* bytes that arrive or wait, over all connections; small requests do not count */
	uint64_t	queued_max; /* transactions; one more is refused at once, with TX_STORAGE_BEHIND, after fencing it */
	uint64_t	reservation_ns_max; /* a reservation ends then, whatever its connection does */
};

/* A request that Python answers (OUTCOME, SEQUENCE), or a connection that was dismissed (type 0; `payload` says why). */
struct tx_event
{
	uint64_t	connection; /* never used again for another */
	uint64_t	request;
	uint32_t	type;
	uint32_t	length;
	const uint8_t *payload; /* until the next call */
};

struct tx_desk_state
{
	uint64_t	queued; /* transactions that wait to be decided, without those that are held */
	uint64_t	queued_bytes; /* what a batch of all of them takes at most, without the batch's header */
	uint64_t	oldest_arrival; /* the least of those that wait; 0 if none does */
	uint64_t	held; /* transactions that a reservation holds (reservations.h) */
	uint64_t	oldest_held; /* the least of their arrivals; 0 if there is none */
	uint64_t	connections;
	uint64_t	events;
	const struct tx_event *event; /* array of `events`: of the last tx_desk_receive, and dismissals since */
};

struct tx_desk;

/* NULL with errno if the system refuses. */
TX_API struct tx_desk *tx_desk_open(struct tx_core *core, const struct tx_desk_limits *limits);
TX_API void tx_desk_close(struct tx_desk *desk);
TX_API const struct tx_desk_state *tx_desk_state(const struct tx_desk *desk);
/* A descriptor that is readable when there is something to receive. */
TX_API int	tx_desk_descriptor(const struct tx_desk *desk);
/* Takes over an accepted socket. 0, or an errno (then the socket is closed). */
TX_API int	tx_desk_adopt(struct tx_desk *desk, int descriptor);
/* Read what has arrived. Transactions are queued, the rest becomes events. Greetings are answered at once. */
TX_API void tx_desk_receive(struct tx_desk *desk, uint64_t now);
/* Decide queued transactions in their order, inside a group of the core, until the next would take the batch over `bytes_max`
 * (one at least). Returns how many. */
TX_API uint64_t tx_desk_decide(struct tx_desk *desk, uint64_t bytes_max);
/* Bytes that a batch of what tx_desk_decide(bytes_max) would take now can have at most, without the header. */
TX_API uint64_t tx_desk_decidable_bytes(const struct tx_desk *desk, uint64_t bytes_max);
/* Send the answers to what was decided. */
TX_API void tx_desk_answer(struct tx_desk *desk);
/* Send Python's answer, a whole frame, to the request of a connection that is under way; nothing happens if it is gone. */
TX_API void tx_desk_reply(struct tx_desk *desk, uint64_t connection, const uint8_t *frame, size_t length);
/* The same, at any time, and the connection is closed; no event tells of it. */
TX_API void tx_desk_dismiss(struct tx_desk *desk, uint64_t connection, const uint8_t *frame, size_t length);
/* Refuse those that have waited since `arrived_at_most` or longer, after fencing each. Returns how many. */
TX_API uint64_t tx_desk_refuse(struct tx_desk *desk, uint64_t arrived_at_most, uint32_t reason, const char *text);
/* The same for those that are held. */
TX_API uint64_t tx_desk_refuse_held(struct tx_desk *desk, uint64_t arrived_at_most, uint32_t reason, const char *text);
/* End reservations that are too old; what they held is queued. */
TX_API void tx_desk_release_aged(struct tx_desk *desk, uint64_t now);

#endif
