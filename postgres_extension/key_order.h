/*
 * key_order.h
 *	  The order of keys, which storage's map and the write set share: unsigned
 *	  bytes, a prefix before what it begins.
 */
#ifndef BOREALIS_KEY_ORDER_H
#define BOREALIS_KEY_ORDER_H

#include "postgres.h"

static inline int
key_compare(const uint8 *a, uint32 a_size, const uint8 *b, uint32 b_size)
{
	int			order = memcmp(a, b, Min(a_size, b_size));

	if (order != 0)
		return order;
	return (a_size > b_size) - (a_size < b_size);
}

#endif							/* BOREALIS_KEY_ORDER_H */
