/*
 * bytes.h
 *	  Numbers in little-endian bytes, wherever they lie.
 */
#ifndef BOREALIS_STORAGE_BYTES_H
#define BOREALIS_STORAGE_BYTES_H

#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the formats are those of a little-endian machine");

static inline uint32_t
load_u32(const uint8_t *at)
{
	uint32_t	number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static inline uint64_t
load_u64(const uint8_t *at)
{
	uint64_t	number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static inline int64_t
load_i64(const uint8_t *at)
{
	return (int64_t) load_u64(at);
}

#endif							/* BOREALIS_STORAGE_BYTES_H */
