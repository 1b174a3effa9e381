/*
 * stream.c
 *	  Frames on the journal socket.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "bytes.h"
#include "stream.h"

#define RECEIVE_BYTES		((size_t) 1 << 18)
#define ERROR_BYTES_MAX		((uint64_t) 1 << 16)
#define GONE_BYTES			8

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

void
stream_open(Stream *stream, int descriptor)
{
	stream_close(stream);
	stream->descriptor = descriptor;
}

void
stream_close(Stream *stream)
{
	free(stream->arrived);
	free(stream->unsent);
	*stream = (Stream) {.descriptor = -1, .batch_bytes_max = stream->batch_bytes_max};
}

FrameState
stream_look(const Stream *stream, size_t offset, Frame *frame)
{
	const uint8_t *at = stream->arrived + stream->start + offset;
	size_t		arrived = stream->end - stream->start - offset;
	uint64_t	longest;

	if (arrived < FRAME_HEADER_BYTES)
		return FRAME_INCOMPLETE;
	*frame = (Frame) {at[4], at + FRAME_HEADER_BYTES, load_u32(at)};
	if (at[5] != 0 || at[6] != 0 || at[7] != 0)
		return FRAME_RESERVED_NOT_ZERO;
	switch (frame->type)
	{
		case FRAME_BATCH:
			longest = stream->batch_bytes_max;
			break;
		case FRAME_GONE:
			longest = GONE_BYTES;
			break;
		case FRAME_ERROR:
			longest = ERROR_BYTES_MAX;
			break;
		default:
			return FRAME_UNKNOWN_TYPE;
	}
	if (frame->size > longest)
		return FRAME_TOO_LONG;
	return arrived - FRAME_HEADER_BYTES < frame->size ? FRAME_INCOMPLETE : FRAME_WHOLE;
}

void
stream_skip(Stream *stream, size_t bytes)
{
	stream->start += bytes;
	if (stream->start < stream->end)
		return;
	stream->start = stream->end = 0;
	/* A giant does not stay allocated. */
	if (stream->room > 4 * RECEIVE_BYTES)
	{
		free(stream->arrived);
		stream->arrived = NULL;
		stream->room = 0;
	}
}

/* Room for some more bytes at the end. */
static int
make_room(Stream *stream, size_t bytes)
{
	size_t		kept = stream->end - stream->start,
				room = stream->room == 0 ? 2 * RECEIVE_BYTES : stream->room;
	uint8_t    *grown;

	if (stream->room - stream->end >= bytes)
		return 0;
	if (stream->room - kept >= bytes && stream->start >= kept)
	{
		memcpy(stream->arrived, stream->arrived + stream->start, kept);
		stream->start = 0;
		stream->end = kept;
		return 0;
	}
	while (room - stream->end < bytes)
		room *= 2;
	grown = realloc(stream->arrived, room);
	if (grown == NULL)
		return ENOMEM;
	stream->arrived = grown;
	stream->room = room;
	return 0;
}

int
stream_receive(Stream *stream, bool *is_over)
{
	ssize_t		received;
	int			status = make_room(stream, RECEIVE_BYTES);

	*is_over = false;
	if (status != 0)
		return status;
	received = recv(stream->descriptor, stream->arrived + stream->end, stream->room - stream->end, MSG_DONTWAIT);
	if (received < 0)
		return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : errno;
	*is_over = received == 0;
	stream->end += (size_t) received;
	return 0;
}

int
stream_feed(Stream *stream, const uint8_t *data, size_t size)
{
	int			status = make_room(stream, size);

	if (status != 0 || size == 0)
		return status;
	memcpy(stream->arrived + stream->end, data, size);
	stream->end += size;
	return 0;
}

int
stream_flush(Stream *stream)
{
	while (stream->unsent_bytes > 0)
	{
		ssize_t		sent = send(stream->descriptor, stream->unsent, stream->unsent_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0)
			return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? 0 : errno;
		stream->unsent_bytes -= (size_t) sent;
		memmove(stream->unsent, stream->unsent + sent, stream->unsent_bytes);
	}
	return 0;
}

int
stream_send(Stream *stream, const uint8_t *data, size_t size)
{
	uint8_t    *grown = realloc(stream->unsent, stream->unsent_bytes + size);

	if (grown == NULL)
		return ENOMEM;
	memcpy(grown + stream->unsent_bytes, data, size);
	stream->unsent = grown;
	stream->unsent_bytes += size;
	return stream_flush(stream);
}
