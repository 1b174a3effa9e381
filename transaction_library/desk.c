#include "connection.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "event_set.h"
#include "memory.h"

/* An id is the number of the connection, counted from 1, and its slot. */
#define SLOT_BITS 24
#define SLOT_COUNT_MAX (UINT32_C(1) << SLOT_BITS)
#define NO_SLOT UINT32_MAX
/* A transaction up to this size is not counted while it waits: their number is bounded. */
#define SMALL_BYTES 65536
/* A connection without a request keeps a buffer of at most this size. */
#define KEPT_BYTES_MAX 16384
#define BATCH_RECORD_HEADER_BYTES 24
#define BATCH_ALIGNMENT 8

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

struct tx_desk *
tx_desk_open(struct tx_core *core, const struct tx_desk_limits *limits)
{
	int			event_set = event_set_open();
	struct tx_desk *desk;

	if (event_set < 0)
		return NULL;
	desk = tx_allocate(1, sizeof(*desk));
	desk->limits = *limits;
	desk->core = core;
	desk->event_set = event_set;
	desk->first_free = NO_SLOT;
	return desk;
}

void
tx_desk_close(struct tx_desk *desk)
{
	for (uint32_t slot = 0; slot < desk->slot_count; slot++)
		if (desk->slots[slot].connection != NULL)
			close_connection(desk, desk->slots[slot].connection);
	close(desk->event_set);
	free(desk->slots);
	free(desk->events);
	free(desk->event_texts);
	release_aged_reservations(&desk->reservations, UINT64_MAX);
	free(desk);
}

const struct tx_desk_state *
tx_desk_state(const struct tx_desk *desk)
{
	return &desk->state;
}

int
tx_desk_descriptor(const struct tx_desk *desk)
{
	return desk->event_set;
}

/* Connections */

static uint32_t
take_slot(struct tx_desk *desk)
{
	uint32_t	slot = desk->first_free;

	if (slot != NO_SLOT)
	{
		desk->first_free = desk->slots[slot].next_free;
		return slot;
	}
	if (desk->slot_count == SLOT_COUNT_MAX)
		return NO_SLOT;
	if ((desk->slot_count & (desk->slot_count - 1)) == 0)
		desk->slots = tx_resize(desk->slots, desk->slot_count == 0 ? 1 : 2 * (size_t) desk->slot_count,
								sizeof(*desk->slots));
	return desk->slot_count++;
}

static void
give_slot_back(struct tx_desk *desk, uint32_t slot)
{
	desk->slots[slot].connection = NULL;
	desk->slots[slot].next_free = desk->first_free;
	desk->first_free = slot;
}

struct connection *
find_connection(const struct tx_desk *desk, uint64_t id)
{
	uint64_t	slot = id & (SLOT_COUNT_MAX - 1);
	struct connection *connection = slot < desk->slot_count ? desk->slots[slot].connection : NULL;

	return connection != NULL && connection->id == id ? connection : NULL;
}

int
tx_desk_adopt(struct tx_desk *desk, int descriptor)
{
	uint32_t	slot = take_slot(desk);
	struct connection *connection;
	int			problem;

	if (slot == NO_SLOT)
	{
		close(descriptor);
		return EMFILE;
	}
#ifdef SO_NOSIGPIPE
	setsockopt(descriptor, SOL_SOCKET, SO_NOSIGPIPE, &(int) {1}, sizeof(int));
#endif
	connection = tx_allocate(1, sizeof(*connection));
	connection->id = ++desk->adopted << SLOT_BITS | slot;
	connection->descriptor = descriptor;
	problem = event_set_add(desk->event_set, descriptor, connection->id);
	if (problem != 0)
	{
		give_slot_back(desk, slot);
		free(connection);
		close(descriptor);
		return problem;
	}
	desk->slots[slot].connection = connection;
	desk->state.connections++;
	return 0;
}

static void
link_last(struct connection_list *list, struct connection *connection)
{
	connection->before = list->last;
	connection->after = NULL;
	*(list->last != NULL ? &list->last->after : &list->first) = connection;
	list->last = connection;
}

static void
unlink_from(struct connection_list *list, struct connection *connection)
{
	*(connection->before != NULL ? &connection->before->after : &list->first) = connection->after;
	*(connection->after != NULL ? &connection->after->before : &list->last) = connection->before;
}

/* What a transaction takes of a batch, at most. */
static uint64_t
batch_bytes_of(const struct connection *connection)
{
	return BATCH_RECORD_HEADER_BYTES +
		((connection->payload_bytes + BATCH_ALIGNMENT - 1) & ~(uint64_t) (BATCH_ALIGNMENT - 1));
}

static void
unhold(struct tx_desk *desk, struct connection *connection)
{
	unlink_from(&desk->held, connection);
	desk->state.held--;
	if (connection->arrival == desk->state.oldest_held)
		desk->is_oldest_held_gone = 1;
}

static void
hold(struct tx_desk *desk, struct connection *connection)
{
	connection->stage = HELD;
	link_last(&desk->held, connection);
	desk->state.held++;
	if (desk->state.held == 1 || connection->arrival < desk->state.oldest_held)
		desk->state.oldest_held = connection->arrival;
}

static void
unqueue(struct tx_desk *desk, struct connection *connection)
{
	unlink_from(&desk->queued, connection);
	desk->state.queued--;
	desk->state.queued_bytes -= batch_bytes_of(connection);
	if (connection->arrival == desk->state.oldest_arrival)
		desk->is_oldest_gone = 1;
}

static void
enqueue(struct tx_desk *desk, struct connection *connection)
{
	connection->stage = QUEUED;
	link_last(&desk->queued, connection);
	if (desk->state.queued == 0 || connection->arrival < desk->state.oldest_arrival)
	{
		desk->state.oldest_arrival = connection->arrival;
		desk->is_oldest_gone = 0;
	}
	desk->state.queued++;
	desk->state.queued_bytes += batch_bytes_of(connection);
}

static int
must_be_held(const struct tx_desk *desk, const struct connection *connection)
{
	return is_held_back(&desk->reservations, connection->id, connection->buffer + connection->payload_at,
						connection->payload_bytes);
}

/* A reservation has ended: queue what no other one holds. */
static void
let_go(struct tx_desk *desk)
{
	for (struct connection *each = desk->held.first, *after; each != NULL; each = after)
	{
		after = each->after;
		if (must_be_held(desk, each))
			continue;
		unhold(desk, each);
		enqueue(desk, each);
	}
}

int
take_reservation(struct tx_desk *desk, struct connection *connection, uint64_t request, const uint8_t *tables,
				 uint32_t length, uint64_t now)
{
	uint8_t		frame[ANSWER_BYTES_MAX];

	if (length == 0 || length % 4 != 0)
		return dismiss(desk, connection, request, TX_MALFORMED, "a RESERVE has the wrong length");
	for (uint32_t at = 0; at < length; at += 4)
		if (load_u32(tables + at) == 0)
			return dismiss(desk, connection, request, TX_MALFORMED, "a relfilenode to reserve is zero");
	reserve(&desk->reservations, connection->id, now, tables, length / 4);
	let_go(desk); /* of an earlier one */
	for (struct connection *each = desk->queued.first, *after; each != NULL; each = after)
	{
		after = each->after;
		if (!must_be_held(desk, each))
			continue;
		unqueue(desk, each);
		hold(desk, each);
	}
	release_request(desk, connection);
	return send_frame(desk, connection, frame, encode_empty(frame, request, FRAME_RESERVED));
}

void
tx_desk_release_aged(struct tx_desk *desk, uint64_t now)
{
	uint64_t	age = desk->limits.reservation_ns_max;

	if (now >= age && release_aged_reservations(&desk->reservations, now - age))
		desk->is_reservation_gone = 1;
	settle(desk);
}

void
close_connection(struct tx_desk *desk, struct connection *connection)
{
	if (connection->stage == QUEUED)
		unqueue(desk, connection);
	else if (connection->stage == HELD)
		unhold(desk, connection);
	else if (connection->stage == DECIDED)
		unlink_from(&desk->decided, connection);
	desk->intake_bytes -= connection->counted_bytes;
	event_set_remove(desk->event_set, connection->descriptor);
	close(connection->descriptor);
	give_slot_back(desk, (uint32_t) (connection->id & (SLOT_COUNT_MAX - 1)));
	desk->state.connections--;
	if (release_reservation(&desk->reservations, connection->id))
		desk->is_reservation_gone = 1;
	free(connection->buffer);
	free(connection);
}

/* Memory */

int
count_held_bytes(struct tx_desk *desk, struct connection *connection)
{
	uint64_t	held = connection->filled - connection->next;

	if (connection->payload_bytes > SMALL_BYTES)
		held += connection->payload_bytes;
	if (held > connection->counted_bytes &&
		held - connection->counted_bytes > desk->limits.intake_bytes_max - desk->intake_bytes)
		return 0;
	desk->intake_bytes = desk->intake_bytes - connection->counted_bytes + held;
	connection->counted_bytes = held;
	return 1;
}

void
release_request(struct tx_desk *desk, struct connection *connection)
{
	size_t		rest = connection->filled - connection->next;

	connection->payload_at = 0;
	connection->payload_bytes = 0;
	if (rest > 0 && connection->next > 0)
		memmove(connection->buffer, connection->buffer + connection->next, rest);
	connection->next = 0;
	connection->filled = rest;
	if (connection->capacity > KEPT_BYTES_MAX && rest <= connection->capacity / 4)
	{
		connection->capacity = rest > KEPT_BYTES_MAX ? rest : KEPT_BYTES_MAX;
		connection->buffer = tx_resize(connection->buffer, connection->capacity, 1);
	}
	count_held_bytes(desk, connection);
}

/* Events */

void
add_event(struct tx_desk *desk, uint64_t connection, uint64_t request, uint32_t type, const void *payload, size_t length)
{
	size_t		number = desk->state.events;

	if (number == desk->events_max)
	{
		desk->events_max = number == 0 ? 64 : 2 * number;
		desk->events = tx_resize(desk->events, desk->events_max, sizeof(*desk->events));
		desk->event_texts = tx_resize(desk->event_texts, desk->events_max, sizeof(*desk->event_texts));
		for (size_t moved = 0; moved < number; moved++)
			desk->events[moved].payload = desk->event_texts[moved].bytes;
		desk->state.event = desk->events;
	}
	if (length > sizeof(desk->event_texts[number].bytes))
		length = sizeof(desk->event_texts[number].bytes);
	memcpy(desk->event_texts[number].bytes, payload, length);
	desk->events[number] = (struct tx_event) {connection, request, type, (uint32_t) length,
											  desk->event_texts[number].bytes};
	desk->state.events++;
}

/* Sending */

static int
is_sent(const struct connection *connection, const uint8_t *frame, size_t length)
{
	ssize_t		sent;

	do
		sent = send(connection->descriptor, frame, length, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent >= 0 && (size_t) sent < length)
		errno = EAGAIN;
	return sent >= 0 && (size_t) sent == length;
}

/*
 * Answers are small, and each has its request: a socket that has no room for one belongs to a peer that has asked many
 * times and read nothing.
 */
int
send_frame(struct tx_desk *desk, struct connection *connection, const uint8_t *frame, size_t length)
{
	static const char not_read[] = "its answers are not read";

	if (is_sent(connection, frame, length))
		return 1;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		add_event(desk, connection->id, 0, 0, not_read, sizeof(not_read) - 1);
	close_connection(desk, connection);
	return 0;
}

int
dismiss(struct tx_desk *desk, struct connection *connection, uint64_t request, uint32_t reason, const char *text)
{
	uint8_t		frame[ANSWER_BYTES_MAX];

	add_event(desk, connection->id, request, 0, text, strlen(text));
	is_sent(connection, frame, encode_refusal(frame, request, FRAME_ERROR, reason, text));
	close_connection(desk, connection);
	return 0;
}

int
send_answer(struct tx_desk *desk, struct connection *connection, const struct tx_answer *answer)
{
	uint8_t		frame[ANSWER_BYTES_MAX];

	connection->stage = IDLE;
	if (answer->kind == TX_REFUSED && answer->reason == TX_MALFORMED)
		return dismiss(desk, connection, connection->request, answer->reason, answer->text);
	return send_frame(desk, connection, frame, encode_answer(frame, connection->request, answer));
}

void
tx_desk_answer(struct tx_desk *desk)
{
	struct connection *connection;

	while ((connection = desk->decided.first) != NULL)
	{
		unlink_from(&desk->decided, connection);
		send_answer(desk, connection, &connection->answer);
	}
	settle(desk);
}

void
tx_desk_reply(struct tx_desk *desk, uint64_t id, const uint8_t *frame, size_t length)
{
	struct connection *connection = find_connection(desk, id);

	if (connection == NULL || connection->stage != ASKED)
		return;
	connection->stage = IDLE;
	release_request(desk, connection);
	send_frame(desk, connection, frame, length);
	settle(desk);
}

void
tx_desk_dismiss(struct tx_desk *desk, uint64_t id, const uint8_t *frame, size_t length)
{
	struct connection *connection = find_connection(desk, id);

	if (connection == NULL)
		return;
	is_sent(connection, frame, length);
	close_connection(desk, connection);
	settle(desk);
}

/* The queue */

/* The clock may step backwards: the first need not be the oldest. */
static uint64_t
oldest_of(const struct connection_list *list)
{
	uint64_t	oldest = UINT64_MAX;

	for (const struct connection *each = list->first; each != NULL; each = each->after)
		if (each->arrival < oldest)
			oldest = each->arrival;
	return list->first != NULL ? oldest : 0;
}

void
settle(struct tx_desk *desk)
{
	if (desk->is_reservation_gone)
		let_go(desk);
	desk->is_reservation_gone = 0;
	if (desk->is_oldest_gone)
		desk->state.oldest_arrival = oldest_of(&desk->queued);
	if (desk->is_oldest_held_gone)
		desk->state.oldest_held = oldest_of(&desk->held);
	desk->is_oldest_gone = desk->is_oldest_held_gone = 0;
}

/* Refuse a transaction undecided, fenced, so that no copy that is still on its way can get in. */
static int
turn_away(struct tx_desk *desk, struct connection *connection, uint32_t reason, const char *text)
{
	const uint8_t *record = connection->buffer + connection->payload_at;
	struct tx_answer answer = {.kind = TX_UNKNOWN};

	/* A copy of one that has committed is told so. Where it cannot be fenced, nothing is promised. */
	if (!tx_find_committed(desk->core, record, load_u64(record + TX_ID_BYTES), &answer) &&
		tx_give_up(desk->core, record, load_u64(record + TX_ID_BYTES)))
	{
		answer.kind = TX_REFUSED;
		answer.reason = reason;
		memcpy(answer.text, text, strnlen(text, TX_TEXT_BYTES - 1));
	}
	release_request(desk, connection);
	return send_answer(desk, connection, &answer);
}

int
queue_transaction(struct tx_desk *desk, struct connection *connection, uint64_t now)
{
	if (desk->state.queued + desk->state.held >= desk->limits.queued_max)
		return turn_away(desk, connection, TX_STORAGE_BEHIND, "storage is too far behind the journal; try again later");
	connection->arrival = now;
	if (must_be_held(desk, connection))
		hold(desk, connection);
	else
		enqueue(desk, connection);
	return 1;
}

uint64_t
tx_desk_decidable_bytes(const struct tx_desk *desk, uint64_t bytes_max)
{
	uint64_t	bytes = 0;

	if (desk->state.queued_bytes <= bytes_max)
		return desk->state.queued_bytes;
	for (const struct connection *each = desk->queued.first; each != NULL; each = each->after)
	{
		uint64_t	cost = batch_bytes_of(each);

		if (bytes > 0 && bytes + cost > bytes_max)
			break;
		bytes += cost;
	}
	return bytes;
}

uint64_t
tx_desk_decide(struct tx_desk *desk, uint64_t bytes_max)
{
	struct connection *connection;
	uint64_t	bytes = 0;
	uint64_t	count = 0;

	while ((connection = desk->queued.first) != NULL)
	{
		uint64_t	cost = batch_bytes_of(connection);

		if (bytes > 0 && bytes + cost > bytes_max)
			break;
		bytes += cost;
		count++;
		tx_group_decide(desk->core, connection->buffer + connection->payload_at, connection->payload_bytes,
						&connection->answer);
		unqueue(desk, connection);
		link_last(&desk->decided, connection);
		connection->stage = DECIDED;
		release_request(desk, connection);
	}
	settle(desk);
	return count;
}

static uint64_t
refuse_of(struct tx_desk *desk, struct connection_list *list, void (*take_out) (struct tx_desk *, struct connection *),
		  uint64_t arrived_at_most, uint32_t reason, const char *text)
{
	uint64_t	count = 0;

	for (struct connection *each = list->first, *after; each != NULL; each = after)
	{
		after = each->after;
		if (each->arrival > arrived_at_most)
			continue;
		take_out(desk, each);
		turn_away(desk, each, reason, text);
		count++;
	}
	settle(desk);
	return count;
}

uint64_t
tx_desk_refuse(struct tx_desk *desk, uint64_t arrived_at_most, uint32_t reason, const char *text)
{
	return refuse_of(desk, &desk->queued, unqueue, arrived_at_most, reason, text);
}

uint64_t
tx_desk_refuse_held(struct tx_desk *desk, uint64_t arrived_at_most, uint32_t reason, const char *text)
{
	return refuse_of(desk, &desk->held, unhold, arrived_at_most, reason, text);
}
