/*
 * index_range.h
 *	  From scan keys to ranges of the keyspace.
 */
#ifndef BOREALIS_INDEX_RANGE_H
#define BOREALIS_INDEX_RANGE_H

#include "borealis.h"

#include "access/htup.h"
#include "access/skey.h"
#include "layout.h"
#include "range_cursor.h"

/*
 * The ranges that a scan visits, ascending and disjoint, and the keys that
 * they do not express exactly: those must be evaluated for every item.
 */
typedef struct KeyRanges
{
	KeyRange   *ranges;
	int			count;
	ScanKey    *checks;
	int			ncheck;
	bool		at_most_one;	/* a unique key, fully given */
} KeyRanges;

/*
 * prefix is what all keys of the index begin with.  Allocates in the current
 * memory context.
 */
extern void index_ranges_build(KeyRanges *result, Relation index,
							   const IndexLayout *layout,
							   const StringInfoData *prefix,
							   ScanKey keys, int nkeys);

/* Evaluates one scan key on a column's value (rows: on the function's). */
typedef Datum (*ColumnReader) (void *source, AttrNumber column, bool *isnull);
extern bool scan_key_matches(ScanKey key, ColumnReader read, void *source);

#endif							/* BOREALIS_INDEX_RANGE_H */
