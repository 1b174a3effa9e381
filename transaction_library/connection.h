/*
 * The connections of a desk, and what both of its halves do with them: intake.c reads, desk.c queues and answers.
 *
 * A function that returns an int here says whether the connection still is: after 0 it must not be touched.
 */
#ifndef TRANSACTION_CONNECTION_H
#define TRANSACTION_CONNECTION_H

#include "answers.h"
#include "desk.h"
#include "reservations.h"

enum stage
{
	UNGREETED,
	IDLE, /* no request is under way */
	QUEUED, /* its transaction waits to be decided */
	HELD, /* its transaction waits for the end of a reservation */
	DECIDED, /* it has been, the answer is not sent yet */
	ASKED /* its request is Python's */
};

struct connection
{
	uint64_t	id;
	int			descriptor;
	enum stage	stage;
	/* What has arrived: the frame of the request under way, if its payload is still needed, then the bytes after it. */
	uint8_t    *buffer;
	size_t		capacity;
	size_t		filled;
	size_t		next; /* where the bytes begin that have not been cut into a frame */
	uint32_t	frame_type; /* of the request under way */
	uint64_t	request;
	size_t		payload_at;
	size_t		payload_bytes;
	uint64_t	counted_bytes; /* its share of the intake */
	uint64_t	arrival;
	struct tx_answer answer; /* when decided */
	/* In the list of those that are queued, held, or decided. */
	struct connection *before;
	struct connection *after;
};

struct connection_list
{
	struct connection *first;
	struct connection *last;
};

struct slot
{
	struct connection *connection; /* NULL: free */
	uint32_t	next_free;
};

struct event_text
{
	uint8_t		bytes[TX_TEXT_BYTES];
};

struct tx_desk
{
	struct tx_desk_state state;
	struct tx_desk_limits limits;
	struct tx_core *core;
	int			event_set;
	uint64_t	intake_bytes;
	struct connection_list queued;
	struct connection_list held;
	struct connection_list decided;
	struct reservations reservations;
	int			is_oldest_gone; /* the oldest arrival is to be found again */
	int			is_oldest_held_gone;
	int			is_reservation_gone; /* what it held may be let go */
	struct slot *slots;
	uint32_t	slot_count;
	uint32_t	first_free;
	uint64_t	adopted; /* connections, ever */
	struct tx_event *events;
	struct event_text *event_texts;
	size_t		events_max;
};

extern struct connection *find_connection(const struct tx_desk *desk, uint64_t id);
extern void close_connection(struct tx_desk *desk, struct connection *connection);
/* Tell the sender which rule it has broken, then close. Always returns 0. */
extern int	dismiss(struct tx_desk *desk, struct connection *connection, uint64_t request, uint32_t reason,
					const char *text);
extern int	send_frame(struct tx_desk *desk, struct connection *connection, const uint8_t *frame, size_t length);
extern int	send_answer(struct tx_desk *desk, struct connection *connection, const struct tx_answer *answer);

/* The request has been answered, or copied: let go of its bytes. */
extern void release_request(struct tx_desk *desk, struct connection *connection);
/* Count what this connection holds; 0 if that would be too much for all together. */
extern int	count_held_bytes(struct tx_desk *desk, struct connection *connection);
/* Queue the transaction that is under way, or turn it away. */
extern int	queue_transaction(struct tx_desk *desk, struct connection *connection, uint64_t now);
/* What connections have left behind that were closed: to be called when no list is being walked through. */
extern void settle(struct tx_desk *desk);
/* From here on others' transactions on these tables are held, whatever is queued of them included. */
extern int	take_reservation(struct tx_desk *desk, struct connection *connection, uint64_t request, const uint8_t *tables,
							 uint32_t length, uint64_t now);
extern void add_event(struct tx_desk *desk, uint64_t connection, uint64_t request, uint32_t type, const void *payload,
					  size_t length);

#endif
