/*
 * crc32.c
 *	  Eight bytes at a time, with eight tables ("slicing by 8", Kounavis and Berry 2005).
 */
#include <string.h>

#include "crc32.h"

#define POLYNOMIAL 0xEDB88320u

static uint32_t tables[8][256];

__attribute__((constructor))
static void
make_tables(void)
{
	for (uint32_t byte = 0; byte < 256; byte++)
	{
		uint32_t	remainder = byte;

		for (int bit = 0; bit < 8; bit++)
			remainder = (remainder >> 1) ^ (remainder & 1 ? POLYNOMIAL : 0);
		tables[0][byte] = remainder;
	}
	for (int table = 1; table < 8; table++)
		for (int byte = 0; byte < 256; byte++)
			tables[table][byte] = (tables[table - 1][byte] >> 8) ^ tables[0][tables[table - 1][byte] & 0xFF];
}

uint32_t
borealis_crc32(uint32_t checksum, const uint8_t *data, size_t size)
{
	uint32_t	crc = ~checksum;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (; size >= 8; data += 8, size -= 8)
	{
		uint32_t	low,
					high;

		memcpy(&low, data, sizeof(low));
		memcpy(&high, data + 4, sizeof(high));
		low ^= crc;
		crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
			tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^ tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
	}
#endif
	for (; size > 0; data++, size--)
		crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xFF];
	return ~crc;
}
