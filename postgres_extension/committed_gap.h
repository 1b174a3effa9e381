/*
 * committed_gap.h
 *	  Whether a key has a live committed version, asked for many keys in
 *	  ascending order.
 */
#ifndef BOREALIS_COMMITTED_GAP_H
#define BOREALIS_COMMITTED_GAP_H

#include "borealis.h"

/* At the transaction's read timestamp. */
extern bool committed_key_exists(const uint8 *key, uint32 key_size);

#endif							/* BOREALIS_COMMITTED_GAP_H */
