/*
 * page.h
 *	  storage.page: saying how far the map is, and waking who waits for it (docs/formats.md, "Shared pages").
 */
#ifndef BOREALIS_STORAGE_PAGE_H
#define BOREALIS_STORAGE_PAGE_H

#include <stdint.h>

/* What has been committed to the map, and only that.  `wake_bits`: those of the timestamps that have been reached. */
extern void page_publish(uint64_t *page, uint64_t position, uint64_t timestamp, uint32_t wake_bits);

#endif							/* BOREALIS_STORAGE_PAGE_H */
