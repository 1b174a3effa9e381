/*
 * service_connection.c
 *	  One backend's connection to the transaction service.
 *
 * Opened on first use, kept until the process ends.  The fast path is one
 * sendmsg and one recv: the socket blocks in recv with a timeout of one round,
 * and sends never block.  Signals end a recv early (a socket with a receive
 * timeout is not restarted), so each round looks at interrupts and the clock.
 *
 * A connection on which a request was interrupted is closed, so that an answer
 * can never be taken for that to a later request.
 */
#include "borealis.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"

#include "service_connection.h"

/* Where it is missing (macOS), the server's ignoring SIGPIPE does the same. */
#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL			0
#endif

#define PROTOCOL_VERSION		1

/* Longest wait between two looks at interrupts and the clock. */
#define ROUND_MS				100
/* Wait before trying to connect again: doubles from the first to the second. */
#define RETRY_FIRST_MS			5
#define RETRY_LAST_MS			100
/* A session that was told to end waits this long for a decision. */
#define ENDING_GRACE_MS			5000

typedef struct FrameHeader
{
	uint32		size;
	uint8		type;
	uint8		zero8;
	uint16		zero16;
	uint64		request;
} FrameHeader;

StaticAssertDecl(sizeof(FrameHeader) == 16, "docs/formats.md");

#define PAYLOAD_SIZE_MAX		(4 + UINT16_MAX)

static int	service_socket = -1;
static uint64 last_request = 0;
/* from before the first byte of a request until after the last of its answer */
static bool is_request_open = false;
/* the open request was answered before all of it was sent */
static bool is_request_cut_short = false;
static uint64 transaction_size_max = 0;
static uint8 received[sizeof(FrameHeader) + PAYLOAD_SIZE_MAX] pg_attribute_aligned(8);

/* ---- time ---- */

static int64
monotonic_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void
patience_start(Patience *patience, int seconds, bool is_interruptible)
{
	patience->deadline_us = monotonic_us() + seconds * INT64CONST(1000000);
	patience->is_interruptible = is_interruptible;
	patience->is_ending = false;
}

bool
patience_is_over(const Patience *patience)
{
	return monotonic_us() >= patience->deadline_us;
}

/*
 * Between two rounds of waiting.  False: time is up.  When an interrupt is to
 * be served, the connection goes first.
 */
static bool
wait_goes_on(Patience *patience)
{
	if (patience->is_interruptible && INTERRUPTS_PENDING_CONDITION())
	{
		service_disconnect();
		CHECK_FOR_INTERRUPTS();
	}
	if (!patience->is_ending && (ProcDiePending || !PostmasterIsAlive()))
	{
		patience->is_ending = true;
		patience->deadline_us = Min(patience->deadline_us,
									monotonic_us() + ENDING_GRACE_MS * INT64CONST(1000));
	}
	return !patience_is_over(patience);
}

static void
wait_before_retry(Patience *patience, int ms)
{
	if (!patience->is_interruptible)
	{
		/* The latch may stay set by an interrupt that is not served here. */
		pg_usleep(ms * 1000L);
		return;
	}
	(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
					 ms, PG_WAIT_EXTENSION);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
}

/* ---- connection ---- */

void
service_disconnect(void)
{
	if (service_socket < 0)
		return;
	close(service_socket);
	service_socket = -1;
	is_request_open = false;
	ReleaseExternalFD();
}

uint64
service_transaction_size_max(void)
{
	return transaction_size_max;
}

/* False with errno set, and no socket. */
static bool
open_socket(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval round = {.tv_usec = ROUND_MS * 1000};
	int			error;

	if (snprintf(address.sun_path, sizeof(address.sun_path), "%s/commit.sock",
				 borealis_run_directory) >= sizeof(address.sun_path))
	{
		errno = ENAMETOOLONG;
		return false;
	}

	service_socket = socket(AF_UNIX, SOCK_STREAM, 0);
	if (service_socket < 0)
		return false;
	ReserveExternalFD();

	/* The send timeout also bounds connect, which waits for a full backlog. */
	if (fcntl(service_socket, F_SETFD, FD_CLOEXEC) == 0 &&
		setsockopt(service_socket, SOL_SOCKET, SO_RCVTIMEO, &round, sizeof(round)) == 0 &&
		setsockopt(service_socket, SOL_SOCKET, SO_SNDTIMEO, &round, sizeof(round)) == 0 &&
		connect(service_socket, (struct sockaddr *) &address, sizeof(address)) == 0)
		return true;

	error = errno;
	service_disconnect();
	errno = error;
	return false;
}

/* False with errno set, 0 if the service did not answer properly. */
static bool
say_hello(Patience *patience)
{
	struct
	{
		uint32		version;
		uint32		instance;
	}			hello = {PROTOCOL_VERSION, borealis_instance};
	Frame		answer;

	errno = 0;
	if (!service_send(FRAME_HELLO, &hello, sizeof(hello), NULL, 0, patience) ||
		!service_receive(&answer, patience))
		return false;

	errno = 0;
	if (answer.type != FRAME_HELLO_OK)
	{
		service_disconnect();
		return false;
	}
	memcpy(&transaction_size_max, answer.payload + 8, 8);
	return true;
}

bool
service_connect(Patience *patience)
{
	int			retry_ms = RETRY_FIRST_MS;

	/* Left by an error that nobody here foresaw. */
	if (unlikely(is_request_open))
		service_disconnect();

	while (service_socket < 0)
	{
		int			error;

		if (open_socket() && say_hello(patience))
			break;
		error = errno;
		if (!wait_goes_on(patience))
		{
			errno = error;
			return false;
		}
		wait_before_retry(patience, retry_ms);
		retry_ms = Min(retry_ms * 2, RETRY_LAST_MS);
	}
	return true;
}

/* ---- frames ---- */

/*
 * Has the service answered without reading the rest?  Even if it has closed the
 * connection since: the answer waits in the receive buffer.
 */
static bool
has_early_answer(void)
{
	uint8		byte;

	return recv(service_socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
}

/*
 * The send buffer is full.  False: give up the connection.  Sets is_answered
 * when there is something to read instead.
 */
static bool
wait_to_send(Patience *patience, bool *is_answered)
{
	struct pollfd waited = {.fd = service_socket, .events = POLLIN | POLLOUT};

	if (poll(&waited, 1, ROUND_MS) > 0)
	{
		/* Readable without an answer: the other end is gone. */
		*is_answered = has_early_answer();
		return *is_answered || (waited.revents & POLLIN) == 0;
	}
	if (!wait_goes_on(patience))
		return false;
	/* Serving an interrupt has closed it. */
	return service_socket >= 0;
}

/* Takes the bytes sent off the parts. */
static void
advance_parts(struct msghdr *message, size_t sent)
{
	while (message->msg_iovlen > 0 && sent >= message->msg_iov->iov_len)
	{
		sent -= message->msg_iov->iov_len;
		message->msg_iov++;
		message->msg_iovlen--;
	}
	if (message->msg_iovlen > 0)
	{
		message->msg_iov->iov_base = (char *) message->msg_iov->iov_base + sent;
		message->msg_iov->iov_len -= sent;
	}
}

bool
service_send(FrameType type, const void *head, Size head_size,
			 const void *body, Size body_size, Patience *patience)
{
	FrameHeader header = {head_size + body_size, type, 0, 0, ++last_request};
	struct iovec parts[3] = {
		{&header, sizeof(header)},
		{unconstify(void *, head), head_size},
		{unconstify(void *, body), body_size},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = body_size > 0 ? 3 : 2};

	Assert(!is_request_open && head_size + body_size <= UINT32_MAX);
	is_request_open = true;
	is_request_cut_short = false;

	while (message.msg_iovlen > 0)
	{
		ssize_t		sent = sendmsg(service_socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
		bool		is_answered = false;

		if (sent >= 0)
			advance_parts(&message, sent);
		else if (errno == EAGAIN || errno == EWOULDBLOCK)
		{
			if (!wait_to_send(patience, &is_answered))
			{
				service_disconnect();
				return false;
			}
		}
		else if (errno != EINTR)
		{
			int			error = errno;

			is_answered = has_early_answer();
			if (!is_answered)
			{
				service_disconnect();
				errno = error;
				return false;
			}
		}
		if (is_answered)
		{
			is_request_cut_short = true;
			break;
		}
	}
	return true;
}

/* Is a payload of this size what the type has? */
static bool
is_payload_size_valid(uint8 type, uint32 size)
{
	switch (type)
	{
		case FRAME_HELLO_OK:
		case FRAME_COMMITTED:
			return size == 16;
		case FRAME_SEQUENCE_OK:
			return size == 24;
		case FRAME_UNKNOWN:
		case FRAME_RESERVED:
			return size == 0;
		case FRAME_REJECTED:
		case FRAME_ERROR:
			return size >= 4 && size <= PAYLOAD_SIZE_MAX;
		default:
			return false;
	}
}

/* Can the bytes received so far be (the start of) the answer? */
static bool
is_answer_valid(Size have)
{
	const FrameHeader *header = (const FrameHeader *) received;

	if (have < sizeof(FrameHeader))
		return true;
	if (header->zero8 != 0 || header->zero16 != 0 || header->request != last_request ||
		!is_payload_size_valid(header->type, header->size) ||
		have > sizeof(FrameHeader) + header->size)
		return false;
	if ((header->type == FRAME_REJECTED || header->type == FRAME_ERROR) &&
		have >= sizeof(FrameHeader) + 4)
	{
		uint16		text_size;

		memcpy(&text_size, received + sizeof(FrameHeader) + 2, 2);
		return header->size == 4 + text_size;
	}
	return true;
}

static bool
is_answer_complete(Size have)
{
	const FrameHeader *header = (const FrameHeader *) received;

	return have >= sizeof(FrameHeader) && have == sizeof(FrameHeader) + header->size;
}

static void
report_bad_answer(void)
{
	const FrameHeader *header = (const FrameHeader *) received;

	/* First, because reports serve interrupts. */
	service_disconnect();
	ereport(LOG,
			(errcode(ERRCODE_PROTOCOL_VIOLATION),
			 errmsg("the transaction service gave an answer that breaks the protocol"),
			 errdetail("Type %u, %u bytes, request " UINT64_FORMAT " of " UINT64_FORMAT ".",
					   header->type, header->size, header->request, last_request)));
}

bool
service_receive(Frame *answer, Patience *patience)
{
	const FrameHeader *header = (const FrameHeader *) received;
	Size		have = 0;
	bool		is_complete = false;

	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	while (!is_complete)
	{
		ssize_t		got = recv(service_socket, received + have, sizeof(received) - have, 0);

		if (got > 0)
		{
			have += got;
			if (!is_answer_valid(have))
			{
				report_bad_answer();
				errno = EPROTO;
				break;
			}
			is_complete = is_answer_complete(have);
		}
		else if (got == 0)
		{
			errno = ECONNRESET;
			break;
		}
		else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		{
			bool		goes_on = wait_goes_on(patience);

			errno = 0;
			if (!goes_on || service_socket < 0)
				break;
		}
		else
			break;
	}
	pgstat_report_wait_end();

	if (!is_complete)
	{
		int			error = errno;

		service_disconnect();
		errno = error;
		return false;
	}
	is_request_open = false;
	/* After an ERROR the service closes it, too. */
	if (is_request_cut_short || header->type == FRAME_ERROR)
		service_disconnect();
	answer->type = header->type;
	answer->size = header->size;
	answer->payload = received + sizeof(FrameHeader);
	return true;
}
