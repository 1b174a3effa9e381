/*
 * range_cursor.h
 *	  A scan over one or more key ranges that can turn round, be marked and
 *	  restored: what table scans and index scans have in common.
 */
#ifndef BOREALIS_RANGE_CURSOR_H
#define BOREALIS_RANGE_CURSOR_H

#include "borealis.h"

#include "access/sdir.h"
#include "merge_scan.h"

/* Keys in [lower, upper). */
typedef struct KeyRange
{
	uint8	   *lower;
	uint8	   *upper;
	uint32		lower_size;
	uint32		upper_size;
	bool		is_key;			/* nothing but the key that is the lower bound can be in it */
} KeyRange;

typedef enum CursorPosition
{
	CURSOR_BEFORE_FIRST,
	CURSOR_ON_ITEM,
	CURSOR_AFTER_LAST
} CursorPosition;

typedef struct RangeCursor
{
	MergeScan	item;			/* the current item */

	/* private */
	const KeyRange *ranges;		/* ascending, disjoint; the caller's */
	int			nranges;
	bool		has_committed;
	RangeContent content;
	CommandId	curcid;
	int			items_expected;
	int			range;
	CursorPosition position;
	ScanDirection direction;	/* NoMovement: the merge is not started */
	StringInfoData position_key;
	bool		has_mark;
	int			mark_range;
	StringInfoData mark_key;
} RangeCursor;

extern void range_cursor_init(RangeCursor *cursor, MemoryContext context);
extern void range_cursor_start(RangeCursor *cursor, const KeyRange *ranges, int nranges,
							   bool has_committed, RangeContent content, CommandId curcid,
							   int items_expected);

/* Moves to the next item in the direction; false at that end. */
extern bool range_cursor_next(RangeCursor *cursor, ScanDirection direction);

/* A shortcut for most steps; false says nothing. */
static inline bool
range_cursor_next_of_batch(RangeCursor *cursor, ScanDirection direction)
{
	return likely(cursor->position == CURSOR_ON_ITEM && cursor->direction == direction) &&
		merge_scan_next_of_batch(&cursor->item);
}

extern void range_cursor_mark(RangeCursor *cursor);
/* The next step goes on from the marked item. */
extern void range_cursor_restore(RangeCursor *cursor);

extern void range_cursor_free(RangeCursor *cursor);

#endif							/* BOREALIS_RANGE_CURSOR_H */
