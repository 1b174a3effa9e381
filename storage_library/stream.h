/*
 * stream.h
 *	  The two directions of the journal socket: frames that arrive, and what could not be sent yet.
 *
 * Promises: never holds more bytes than have arrived, whatever a header
 * announces, and refuses a type or a length that is not allowed as soon as it
 * has seen the header.  Never blocks.
 */
#ifndef BOREALIS_STORAGE_STREAM_H
#define BOREALIS_STORAGE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_HEADER_BYTES 16

/* docs/formats.md, "Journal socket". */
enum FrameType
{
	FRAME_APPLIED = 2,
	FRAME_BATCH = 65,
	FRAME_GONE = 66,
	FRAME_ERROR = 70
};

typedef enum FrameState
{
	FRAME_WHOLE,
	FRAME_INCOMPLETE,
	FRAME_RESERVED_NOT_ZERO,
	FRAME_UNKNOWN_TYPE,
	FRAME_TOO_LONG
} FrameState;

typedef struct Frame
{
	uint8_t		type;
	const uint8_t *payload;
	uint32_t	size;
} Frame;

typedef struct Stream
{
	int			descriptor;		/* -1: not connected */
	uint64_t	batch_bytes_max;
	uint8_t    *arrived;
	size_t		start;			/* of the first frame that has not been taken */
	size_t		end;
	size_t		room;
	uint8_t    *unsent;
	size_t		unsent_bytes;
} Stream;

extern void stream_open(Stream *stream, int descriptor);
/* Forgets what has arrived; does not close the descriptor. */
extern void stream_close(Stream *stream);

/* The frame that begins `offset` bytes behind the start. */
extern FrameState stream_look(const Stream *stream, size_t offset, Frame *frame);
/* So many bytes from the start on have been dealt with. */
extern void stream_skip(Stream *stream, size_t bytes);
/* One read.  0 or an error number; `is_over` says that the peer has closed. */
extern int	stream_receive(Stream *stream, bool *is_over);
/* Put in what a test brings instead of a socket. */
extern int	stream_feed(Stream *stream, const uint8_t *data, size_t size);

extern int	stream_send(Stream *stream, const uint8_t *data, size_t size);
/* Send on what the socket did not take. */
extern int	stream_flush(Stream *stream);

#endif							/* BOREALIS_STORAGE_STREAM_H */
