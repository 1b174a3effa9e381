/*
 * Reservations: the turn of a schema change at tables that others write all the time.
 *
 * A schema change that reads a whole table fails if anybody commits a row of it between its read timestamp and its own commit.
 * So its connection reserves the tables before it takes the timestamp: from then on commits of rows of these tables that come
 * from others are held, until the connection ends or the reservation is too old. Nothing is decided here: whoever comes
 * through is judged as ever.
 */
#ifndef TRANSACTION_RESERVATIONS_H
#define TRANSACTION_RESERVATIONS_H

#include "core.h"

struct reservation;

struct reservations
{
	struct reservation *first;
};

/* `tables`: relfilenodes, u32 each. Takes the place of the owner's earlier one. */
extern void reserve(struct reservations *reservations, uint64_t owner, uint64_t now, const uint8_t *tables, uint32_t count);
/* 0 if the owner had none. */
extern int	release_reservation(struct reservations *reservations, uint64_t owner);
/* Ends those that were made at `since_at_most` or before; whether there was one. */
extern int	release_aged_reservations(struct reservations *reservations, uint64_t since_at_most);
/*
 * Whether somebody else has reserved a table that a transaction writes or locks rows of. Schema changes are not held: two of
 * them that reserve the same table would hold each other, and at most one of them can commit anyway.
 */
extern int	is_held_back(const struct reservations *reservations, uint64_t sender, const uint8_t *record, size_t length);

#endif
