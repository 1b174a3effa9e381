/*
 * page.c
 *	  The words of the page that move with each commit.
 */
#include <limits.h>
#include <stddef.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#include "doors.h"

enum Word
{
	WORD_APPLIED = 1,
	WORD_FUTEX = 3,
	WORD_APPLIED_POSITION = 5
};

static void
wake(uint32_t *futex, uint32_t bits)
{
#ifdef __linux__
	syscall(SYS_futex, futex, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, bits);
#else
	/* Readers poll. */
	(void) futex;
	(void) bits;
#endif
}

void
page_publish(uint64_t *page, uint64_t position, uint64_t timestamp, uint32_t wake_bits)
{
	uint32_t   *futex = (uint32_t *) &page[WORD_FUTEX];

	__atomic_store_n(&page[WORD_APPLIED_POSITION], position, __ATOMIC_SEQ_CST);
	__atomic_store_n(&page[WORD_APPLIED], timestamp, __ATOMIC_SEQ_CST);
	/* The upper half of the word stays zero. */
	__atomic_store_n(&page[WORD_FUTEX], (uint64_t) (uint32_t) (*futex + 1), __ATOMIC_SEQ_CST);
	wake(futex, wake_bits);
}

DOOR void
storage_publish(uint64_t *page, uint64_t position, uint64_t timestamp, uint32_t wake_bits)
{
	page_publish(page, position, timestamp, wake_bits);
}
