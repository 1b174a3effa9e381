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

static inline void
sip_round(uint64_t state[4])
{
	state[0] += state[1];
	state[2] += state[3];
	state[1] = (state[1] << 13 | state[1] >> 51) ^ state[0];
	state[3] = (state[3] << 16 | state[3] >> 48) ^ state[2];
	state[0] = state[0] << 32 | state[0] >> 32;
	state[2] += state[1];
	state[0] += state[3];
	state[1] = (state[1] << 17 | state[1] >> 47) ^ state[2];
	state[3] = (state[3] << 21 | state[3] >> 43) ^ state[0];
	state[2] = state[2] << 32 | state[2] >> 32;
}

/*
 * A hash of bytes for tables in memory: SipHash-1-3 (Aumasson and Bernstein 2012) with a key made of the seed. Users choose
 * what is in their keys; with a simpler function they could choose keys that meet in one place of the table, whatever the
 * seed.
 */
static inline uint64_t
hash_bytes(const uint8_t *data, size_t length, uint64_t seed)
{
	uint64_t	state[4] = {0x736f6d6570736575u ^ seed, 0x646f72616e646f6du ^ ~seed, 0x6c7967656e657261u ^ seed,
							0x7465646279746573u ^ ~seed};
	uint64_t	word;
	uint64_t	last = (uint64_t) length << 56;

	for (; length >= 8; data += 8, length -= 8)
	{
		word = load_u64(data);
		state[3] ^= word;
		sip_round(state);
		state[0] ^= word;
	}
	for (size_t byte = 0; byte < length; byte++)
		last |= (uint64_t) data[byte] << 8 * byte;
	state[3] ^= last;
	sip_round(state);
	state[0] ^= last;
	state[2] ^= 0xff;
	for (int round = 0; round < 3; round++)
		sip_round(state);
	return state[0] ^ state[1] ^ state[2] ^ state[3];
}

#endif
