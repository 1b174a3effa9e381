/*
 * short_copy.h
 *	  memcpy for keys and rows: most are so short that a call costs more than
 *	  the copying.
 */
#ifndef BOREALIS_SHORT_COPY_H
#define BOREALIS_SHORT_COPY_H

#include "postgres.h"

/* Touches nothing but the bytes to be copied; the last step overlaps the one before. */
static inline void
copy_short(void *to, const void *from, Size size)
{
	char	   *target = to;
	const char *source = from;

	if (size < 8 || size > 64)
		memcpy(target, source, size);
	else if (size <= 16)
	{
		memcpy(target, source, 8);
		memcpy(target + size - 8, source + size - 8, 8);
	}
	else
	{
		memcpy(target, source, 16);
		if (size > 32)
			memcpy(target + 16, source + 16, 16);
		if (size > 48)
			memcpy(target + 32, source + 32, 16);
		memcpy(target + size - 16, source + size - 16, 16);
	}
}

#endif							/* BOREALIS_SHORT_COPY_H */
