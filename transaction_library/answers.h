/* Frames of the commit socket (docs/formats.md): their header, which the journal socket has as well, and the answers. */
#ifndef TRANSACTION_ANSWERS_H
#define TRANSACTION_ANSWERS_H

#include "core.h"

#define FRAME_HEADER_BYTES 16
/* Longest frame that is written here. */
#define ANSWER_BYTES_MAX (FRAME_HEADER_BYTES + 4 + TX_TEXT_BYTES)
#define PROTOCOL_VERSION 1

enum frame_type
{
	FRAME_HELLO = 1,
	FRAME_COMMIT = 2,
	FRAME_OUTCOME = 3,
	FRAME_SEQUENCE = 4,
	FRAME_RESERVE = 5,
	FRAME_HELLO_OK = 65,
	FRAME_COMMITTED = 66,
	FRAME_REJECTED = 67,
	FRAME_UNKNOWN = 68,
	FRAME_ERROR = 70,
	FRAME_RESERVED = 71
};

/* Of the journal socket. */
#define FRAME_BATCH 65

/* Longest payload of each type. */
#define HELLO_BYTES 8
#define OUTCOME_BYTES 24
#define SEQUENCE_BYTES 56
#define RESERVE_BYTES_MAX (4 * 16384)

/* All return the length of the frame. */
extern size_t encode_header(uint8_t *frame, uint64_t request, uint8_t type, size_t payload_bytes);
extern size_t encode_answer(uint8_t *frame, uint64_t request, const struct tx_answer *answer);
extern size_t encode_greeting(uint8_t *frame, uint64_t request, uint64_t lease_start, uint64_t transaction_bytes_max);
/* A frame of this type without a payload. */
extern size_t encode_empty(uint8_t *frame, uint64_t request, enum frame_type type);
/* REJECTED, or the ERROR that precedes the closing of a connection; `text` is shorter than TX_TEXT_BYTES. */
extern size_t encode_refusal(uint8_t *frame, uint64_t request, enum frame_type type, uint32_t reason, const char *text);

#endif
