/*
 * crc32.h
 *	  CRC-32 as zlib computes it.
 */
#ifndef BOREALIS_CRC32_H
#define BOREALIS_CRC32_H

#include <stddef.h>
#include <stdint.h>

/* The checksum of what came before, 0 at first, goes on over these bytes.  Every library exports it for the tests. */
__attribute__((visibility("default"))) extern uint32_t borealis_crc32(uint32_t checksum, const uint8_t *data,
																	   size_t size);

#endif							/* BOREALIS_CRC32_H */
