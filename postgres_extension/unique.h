/*
 * unique.h
 *	  Uniqueness of primary keys and unique indexes.
 */
#ifndef BOREALIS_UNIQUE_H
#define BOREALIS_UNIQUE_H

#include "borealis.h"

#include "lib/stringinfo.h"
#include "write_set.h"

/* ERROR 23505 as Postgres words it. */
extern void unique_report_violation(Relation table, Relation index,
									const Datum *values, const bool *isnull) pg_attribute_noreturn();
/* The same for a violation found while the index is built. */
extern void unique_report_build_violation(Relation table, Relation index,
										  const Datum *values, const bool *isnull) pg_attribute_noreturn();

/* True if a live row with this key exists, own commands included. */
extern bool row_key_is_taken(Relation table, const uint8 *key, uint32 key_size);

/* True if there was one when this version was written to it. */
extern bool row_key_was_taken(Relation table, const WriteVersion *version);

/*
 * True if the index has a live entry with these columns for another row than
 * the given one.  key is the entry's key, of which tail bytes are prefix and columns.
 */
extern bool unique_entry_is_taken(Relation index, const StringInfoData *key, uint32 tail);

#endif							/* BOREALIS_UNIQUE_H */
