/*
 * crc32.h
 *	  CRC-32 as zlib computes it.
 */
#ifndef BOREALIS_STORAGE_CRC32_H
#define BOREALIS_STORAGE_CRC32_H

#include <stddef.h>
#include <stdint.h>

extern uint32_t crc32_of(const uint8_t *data, size_t size);

#endif							/* BOREALIS_STORAGE_CRC32_H */
