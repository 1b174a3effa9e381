/*
 * crc32.c
 *	  Eight bytes at a time, with eight tables ("slicing by 8").
 */
#include <string.h>

#include "bytes.h"
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
crc32_of(const uint8_t *data, size_t size)
{
	uint32_t	crc = UINT32_MAX;

	for (; size >= 8; data += 8, size -= 8)
	{
		uint32_t	low = load_u32(data) ^ crc,
					high = load_u32(data + 4);

		crc = tables[7][low & 0xFF] ^ tables[6][low >> 8 & 0xFF] ^ tables[5][low >> 16 & 0xFF] ^ tables[4][low >> 24] ^
			tables[3][high & 0xFF] ^ tables[2][high >> 8 & 0xFF] ^ tables[1][high >> 16 & 0xFF] ^ tables[0][high >> 24];
	}
	for (; size > 0; data++, size--)
		crc = (crc >> 8) ^ tables[0][(crc ^ *data) & 0xFF];
	return ~crc;
}
