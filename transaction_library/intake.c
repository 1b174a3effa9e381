/* What arrives at the desk: bytes are read and cut into frames, and each frame is taken. */
#include "connection.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#include "event_set.h"
#include "memory.h"

#define BUFFER_BYTES_LEAST 2048
/* A buffer grows faster up to here. */
#define BUFFER_BYTES_CHEAP 65536
/* What is read of one connection before the others have their turn; less when the turns have grown long. */
#define TURN_BYTES_MAX (256 * 1024)
#define TURN_BYTES_SHORT (64 * 1024)
#define ROUND_BYTES_LONG (16 * 1024 * 1024)

/* Room for at least one more byte: memory grows with what has arrived, whatever has been announced. */
static int
make_space(struct connection *connection)
{
	size_t		capacity = connection->capacity;
	size_t		cut_off = connection->filled - connection->next;
	uint8_t    *grown;

	if (connection->filled < capacity)
		return 1;
	if (capacity == 0)
		capacity = BUFFER_BYTES_LEAST;
	else
		capacity *= capacity < BUFFER_BYTES_CHEAP ? 8 : 2;
	if (cut_off >= FRAME_HEADER_BYTES)
	{
		/* No more than this frame needs, and a little: the read that completes it also shows that nothing follows. */
		size_t		enough = connection->next + FRAME_HEADER_BYTES +
			(size_t) load_u32(connection->buffer + connection->next) + BUFFER_BYTES_LEAST;

		if (enough < capacity && enough > connection->filled)
			capacity = enough;
	}
	grown = realloc(connection->buffer, capacity);
	if (grown == NULL)
		return 0;
	connection->buffer = grown;
	connection->capacity = capacity;
	return 1;
}

/* Longest payload of a type that may arrive now; -1: none may. */
static int64_t
payload_bytes_max(const struct tx_desk *desk, const struct connection *connection, uint8_t type)
{
	if (connection->stage == UNGREETED)
		return type == FRAME_HELLO ? HELLO_BYTES : -1;
	switch (type)
	{
		case FRAME_COMMIT:
			return (int64_t) desk->limits.transaction_bytes_max;
		case FRAME_OUTCOME:
			return OUTCOME_BYTES;
		case FRAME_SEQUENCE:
			return SEQUENCE_BYTES;
		case FRAME_RESERVE:
			return RESERVE_BYTES_MAX;
		default:
			return -1;
	}
}

static int
greet(struct tx_desk *desk, struct connection *connection, uint64_t request, const uint8_t *payload, uint32_t length)
{
	uint8_t		frame[ANSWER_BYTES_MAX];
	char		text[TX_TEXT_BYTES];

	if (length != HELLO_BYTES)
		return dismiss(desk, connection, request, TX_MALFORMED, "a HELLO has the wrong length");
	if (load_u32(payload) != PROTOCOL_VERSION)
	{
		snprintf(text, sizeof(text), "protocol version %" PRIu32 " is not spoken here, only %d", load_u32(payload),
				 PROTOCOL_VERSION);
		return dismiss(desk, connection, request, TX_MALFORMED, text);
	}
	connection->stage = IDLE;
	return send_frame(desk, connection, frame,
					  encode_greeting(frame, request, tx_state(desk->core)->lease_start,
									  desk->limits.transaction_bytes_max));
}

/* A whole frame, within its limit, that has just been cut. */
static int
take_frame(struct tx_desk *desk, struct connection *connection, const uint8_t *frame, uint64_t now)
{
	uint32_t	length = load_u32(frame);
	uint64_t	request = load_u64(frame + 8);
	const uint8_t *payload = frame + FRAME_HEADER_BYTES;

	if (connection->stage == UNGREETED)
		return greet(desk, connection, request, payload, length);
	if (connection->stage != IDLE)
		return dismiss(desk, connection, request, TX_MALFORMED,
					   "a second request came before the first was answered");
	if (frame[4] == FRAME_RESERVE)
		return take_reservation(desk, connection, request, payload, length, now);
	connection->frame_type = frame[4];
	connection->request = request;
	connection->payload_at = (size_t) (payload - connection->buffer);
	connection->payload_bytes = length;
	if (connection->frame_type == FRAME_COMMIT)
	{
		const char *problem = tx_check_record(payload, length);

		if (problem != NULL)
			return dismiss(desk, connection, request, TX_MALFORMED, problem);
		return queue_transaction(desk, connection, now);
	}
	connection->stage = ASKED;
	return 1;
}

static int
cut_frames(struct tx_desk *desk, struct connection *connection, uint64_t now, uint64_t *request)
{
	char		text[TX_TEXT_BYTES];

	while (connection->filled - connection->next >= FRAME_HEADER_BYTES)
	{
		const uint8_t *frame = connection->buffer + connection->next;
		uint32_t	length = load_u32(frame);
		int64_t		length_max = payload_bytes_max(desk, connection, frame[4]);

		if (frame[5] != 0 || frame[6] != 0 || frame[7] != 0)
			return dismiss(desk, connection, 0, TX_MALFORMED, "the reserved bytes of a frame header are not zero");
		if (length_max < 0)
		{
			snprintf(text, sizeof(text), "frame type %d is not known here", frame[4]);
			return dismiss(desk, connection, 0, TX_MALFORMED, text);
		}
		if (length > length_max)
		{
			snprintf(text, sizeof(text), "a payload of %" PRIu32 " bytes is over the limit of %" PRId64, length, length_max);
			return dismiss(desk, connection, 0, TX_TOO_LARGE, text);
		}
		if (connection->filled - connection->next - FRAME_HEADER_BYTES < length)
			break;
		*request = load_u64(frame + 8);
		connection->next += FRAME_HEADER_BYTES + (size_t) length;
		if (!take_frame(desk, connection, frame, now))
			return 0;
	}
	return 1;
}

/* Returns the bytes that were read. */
static size_t
receive_from(struct tx_desk *desk, struct connection *connection, uint64_t now, size_t turn_bytes)
{
	int			was_asked = connection->stage == ASKED;
	uint64_t	request = 0;
	size_t		received = 0;

	while (received < turn_bytes)
	{
		size_t		space;
		ssize_t		got;

		if (!make_space(connection))
		{
			dismiss(desk, connection, request, TX_STORAGE_BEHIND, "there is no memory for the request");
			return received;
		}
		space = connection->capacity - connection->filled;
		if (space > turn_bytes - received)
			space = turn_bytes - received;
		do
			got = recv(connection->descriptor, connection->buffer + connection->filled, space, MSG_DONTWAIT);
		while (got < 0 && errno == EINTR);
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			break;
		if (got <= 0)
		{
			close_connection(desk, connection);
			return received;
		}
		received += (size_t) got;
		connection->filled += (size_t) got;
		if (!cut_frames(desk, connection, now, &request))
			return received;
		if ((size_t) got < space)
			break; /* if there is more already, it is reported again */
	}
	/* Not before: a small request that has come whole does not count, and what is too much lasts for this turn only. */
	if (!count_held_bytes(desk, connection))
	{
		dismiss(desk, connection, request, TX_STORAGE_BEHIND, "too many bytes are waiting to be committed");
		return received;
	}
	if (connection->stage == ASKED && !was_asked)
		add_event(desk, connection->id, connection->request, connection->frame_type,
				  connection->buffer + connection->payload_at, connection->payload_bytes);
	return received;
}

void
tx_desk_receive(struct tx_desk *desk, uint64_t now)
{
	uint64_t	ids[EVENT_SET_TAGS_MAX];
	int			count = event_set_take(desk->event_set, ids);
	size_t		received = 0;

	desk->state.events = 0;
	for (int number = 0; number < count; number++)
	{
		struct connection *connection = find_connection(desk, ids[number]);

		if (connection != NULL)
			received += receive_from(desk, connection, now,
									 received < ROUND_BYTES_LONG ? TURN_BYTES_MAX : TURN_BYTES_SHORT);
	}
	settle(desk);
}
