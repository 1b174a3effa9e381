/* Memory that cannot be had ends the process: what is durable is all that counts, and a new one recovers from it. */
#ifndef TRANSACTION_MEMORY_H
#define TRANSACTION_MEMORY_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void *
tx_must(void *memory)
{
	if (memory == NULL)
	{
		fputs("the transaction service is out of memory\n", stderr);
		abort();
	}
	return memory;
}

/* Zeroed. */
static inline void *
tx_allocate(size_t count, size_t size)
{
	return tx_must(calloc(count, size));
}

static inline void *
tx_resize(void *memory, size_t count, size_t size)
{
	size_t		bytes;

	if (__builtin_mul_overflow(count, size, &bytes))
		tx_must(NULL);
	return tx_must(realloc(memory, bytes));
}

static inline uint16_t
load_u16(const uint8_t *at)
{
	return (uint16_t) (at[0] | at[1] << 8);
}

static inline uint32_t
load_u32(const uint8_t *at)
{
	return (uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

static inline uint64_t
load_u64(const uint8_t *at)
{
	return (uint64_t) load_u32(at) | (uint64_t) load_u32(at + 4) << 32;
}

static inline void
store_u32(uint8_t *at, uint32_t value)
{
	for (int byte = 0; byte < 4; byte++)
		at[byte] = (uint8_t) (value >> 8 * byte);
}

static inline void
store_u64(uint8_t *at, uint64_t value)
{
	for (int byte = 0; byte < 8; byte++)
		at[byte] = (uint8_t) (value >> 8 * byte);
}

/* A hash of bytes for tables in memory, after MurmurHash64A (Appleby, public domain). */
static inline uint64_t
hash_bytes(const uint8_t *data, size_t length, uint64_t seed)
{
	const uint64_t multiplier = 0xc6a4a7935bd1e995u;
	uint64_t	hash = seed ^ length * multiplier;

	for (; length >= 8; data += 8, length -= 8)
	{
		uint64_t	word;

		memcpy(&word, data, 8);
		word *= multiplier;
		word ^= word >> 47;
		word *= multiplier;
		hash = (hash ^ word) * multiplier;
	}
	if (length > 0)
	{
		uint64_t	word = 0;

		memcpy(&word, data, length);
		hash = (hash ^ word) * multiplier;
	}
	hash ^= hash >> 47;
	hash *= multiplier;
	return hash ^ hash >> 47;
}

#endif
