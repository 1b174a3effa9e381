/* CRC-32 as zlib computes it (polynomial 0xEDB88320), eight bytes at a step ("slicing by 8", Kounavis and Berry 2005). */
#include "core.h"

#include <string.h>

static uint32_t table[8][256];

__attribute__((constructor)) static void
fill_table(void)
{
	for (uint32_t byte = 0; byte < 256; byte++)
	{
		uint32_t	value = byte;

		for (int bit = 0; bit < 8; bit++)
			value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0);
		table[0][byte] = value;
	}
	for (uint32_t byte = 0; byte < 256; byte++)
		for (int slice = 1; slice < 8; slice++)
			table[slice][byte] = (table[slice - 1][byte] >> 8) ^ table[0][table[slice - 1][byte] & 0xFF];
}

uint32_t
tx_crc32(uint32_t checksum, const uint8_t *data, size_t length)
{
	uint32_t	value = ~checksum;

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (; length >= 8; data += 8, length -= 8)
	{
		uint32_t	low;
		uint32_t	high;

		memcpy(&low, data, 4);
		memcpy(&high, data + 4, 4);
		low ^= value;
		value = table[7][low & 0xFF] ^ table[6][low >> 8 & 0xFF] ^ table[5][low >> 16 & 0xFF] ^ table[4][low >> 24] ^
			table[3][high & 0xFF] ^ table[2][high >> 8 & 0xFF] ^ table[1][high >> 16 & 0xFF] ^ table[0][high >> 24];
	}
#endif
	for (; length > 0; data++, length--)
		value = value >> 8 ^ table[0][(value ^ *data) & 0xFF];
	return ~value;
}
