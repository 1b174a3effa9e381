/*
 * read_set.h
 *	  What the current transaction has read of the committed state, as long as
 *	  that is little.
 *
 * With it a transaction can find out that everything it has read is still the
 * same at a later timestamp, and go on from there as if it had begun then
 * (transaction_advance).  The functions that read the map note what they
 * covered; a transaction that has read much is never moved, and pays nothing.
 */
#ifndef BOREALIS_READ_SET_H
#define BOREALIS_READ_SET_H

#include "borealis.h"

/* Keys in [lower, upper); an empty upper means no upper bound. */
extern void read_set_add(const uint8 *lower, uint32 lower_size,
						 const uint8 *upper, uint32 upper_size);
extern void read_set_add_key(const uint8 *key, uint32 key_size);
/* Something was read that cannot be noted: the set stays too large until the end. */
extern void read_set_add_unknown(void);

extern bool read_set_is_too_large(void);
/* What is added from here on can be taken back, by who reads it anew. */
extern int	read_set_mark(void);
extern void read_set_take_back(int mark);

/*
 * True if no key that was read has a version newer than the timestamp in the
 * map as it is now.  May say false where that would take long to find out.
 */
extern bool read_set_is_unchanged(BorealisTimestamp since);

/* At the end of a transaction. */
extern void read_set_reset(void);

#endif							/* BOREALIS_READ_SET_H */
