#include "answers.h"

#include "memory.h"

size_t
encode_header(uint8_t *frame, uint64_t request, uint8_t type, size_t payload_bytes)
{
	store_u32(frame, (uint32_t) payload_bytes);
	frame[4] = type;
	frame[5] = frame[6] = frame[7] = 0;
	store_u64(frame + 8, request);
	return FRAME_HEADER_BYTES + payload_bytes;
}

static size_t
encode_two_words(uint8_t *frame, uint64_t request, enum frame_type type, uint64_t first, uint64_t second)
{
	store_u64(frame + FRAME_HEADER_BYTES, first);
	store_u64(frame + FRAME_HEADER_BYTES + 8, second);
	return encode_header(frame, request, type, 16);
}

size_t
encode_empty(uint8_t *frame, uint64_t request, enum frame_type type)
{
	return encode_header(frame, request, type, 0);
}

size_t
encode_greeting(uint8_t *frame, uint64_t request, uint64_t lease_start, uint64_t transaction_bytes_max)
{
	return encode_two_words(frame, request, FRAME_HELLO_OK, lease_start, transaction_bytes_max);
}

size_t
encode_refusal(uint8_t *frame, uint64_t request, enum frame_type type, uint32_t reason, const char *text)
{
	size_t		length = strnlen(text, TX_TEXT_BYTES - 1);
	uint8_t    *at = frame + FRAME_HEADER_BYTES;

	at[0] = (uint8_t) reason;
	at[1] = (uint8_t) (reason >> 8);
	at[2] = (uint8_t) length;
	at[3] = (uint8_t) (length >> 8);
	memcpy(at + 4, text, length);
	return encode_header(frame, request, type, 4 + length);
}

size_t
encode_answer(uint8_t *frame, uint64_t request, const struct tx_answer *answer)
{
	switch (answer->kind)
	{
		case TX_COMMITTED:
			return encode_two_words(frame, request, FRAME_COMMITTED, answer->timestamp, answer->catalog_version);
		case TX_REFUSED:
			return encode_refusal(frame, request, FRAME_REJECTED, answer->reason, answer->text);
		case TX_UNKNOWN:
			return encode_empty(frame, request, FRAME_UNKNOWN);
	}
	abort();
}
