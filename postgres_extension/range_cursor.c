/*
 * range_cursor.c
 *	  See range_cursor.h.
 */
#include "borealis.h"

#include "key_codec.h"
#include "range_cursor.h"

void
range_cursor_init(RangeCursor *cursor, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(cursor, 0, sizeof(*cursor));
	merge_scan_init(&cursor->item, context);
	key_buffer_init(&cursor->position_key);
	key_buffer_init(&cursor->mark_key);
	cursor->direction = NoMovementScanDirection;
	MemoryContextSwitchTo(old);
}

void
range_cursor_start(RangeCursor *cursor, const KeyRange *ranges, int nranges,
				   bool has_committed, RangeContent content, CommandId curcid,
				   int items_expected)
{
	cursor->ranges = ranges;
	cursor->nranges = nranges;
	cursor->has_committed = has_committed;
	cursor->content = content;
	cursor->curcid = curcid;
	cursor->items_expected = items_expected;
	cursor->position = CURSOR_BEFORE_FIRST;
	cursor->direction = NoMovementScanDirection;
	cursor->has_mark = false;
}

/* Starts the merge in the current range: whole, or from the current item on. */
static void
start_merge(RangeCursor *cursor, ScanDirection direction)
{
	KeyRange	range = cursor->ranges[cursor->range];

	if (cursor->position == CURSOR_ON_ITEM)
	{
		StringInfo	key = &cursor->position_key;

		range.is_key = false;
		resetStringInfo(key);
		appendBinaryStringInfoNT(key, (const char *) cursor->item.key, cursor->item.key_size);
		if (ScanDirectionIsForward(direction))
		{
			/* the first key after it */
			appendStringInfoCharMacro(key, '\0');
			range.lower = (uint8 *) key->data;
			range.lower_size = key->len;
		}
		else
		{
			range.upper = (uint8 *) key->data;
			range.upper_size = key->len;
		}
	}
	if (range.is_key)
	{
		merge_scan_start_key(&cursor->item, range.lower, range.lower_size,
							 cursor->has_committed, cursor->content, cursor->curcid);
		return;
	}
	merge_scan_start(&cursor->item, range.lower, range.lower_size, range.upper, range.upper_size,
					 ScanDirectionIsBackward(direction), cursor->has_committed, cursor->content,
					 cursor->curcid, cursor->items_expected);
}

bool
range_cursor_next(RangeCursor *cursor, ScanDirection direction)
{
	bool		is_forward = !ScanDirectionIsBackward(direction);
	CursorPosition end = is_forward ? CURSOR_AFTER_LAST : CURSOR_BEFORE_FIRST;

	if (cursor->nranges == 0)
		return false;
	if (cursor->direction != direction)
	{
		if (cursor->direction != NoMovementScanDirection && cursor->position == end)
			return false;
		if (cursor->position != CURSOR_ON_ITEM)
			cursor->range = is_forward ? 0 : cursor->nranges - 1;
		start_merge(cursor, direction);
		cursor->direction = direction;
	}
	else if (cursor->position == end)
		return false;

	while (!merge_scan_next(&cursor->item))
	{
		cursor->position = end;
		cursor->range += is_forward ? 1 : -1;
		if (cursor->range < 0 || cursor->range >= cursor->nranges)
			return false;
		start_merge(cursor, direction);
	}
	cursor->position = CURSOR_ON_ITEM;
	return true;
}

void
range_cursor_mark(RangeCursor *cursor)
{
	cursor->has_mark = cursor->position == CURSOR_ON_ITEM;
	if (!cursor->has_mark)
		return;
	cursor->mark_range = cursor->range;
	resetStringInfo(&cursor->mark_key);
	appendBinaryStringInfoNT(&cursor->mark_key, (const char *) cursor->item.key,
							 cursor->item.key_size);
}

void
range_cursor_restore(RangeCursor *cursor)
{
	if (!cursor->has_mark)
	{
		cursor->direction = ForwardScanDirection;
		cursor->position = CURSOR_AFTER_LAST;
		return;
	}
	cursor->direction = NoMovementScanDirection;
	cursor->position = CURSOR_ON_ITEM;
	cursor->range = cursor->mark_range;
	cursor->item.key = (uint8 *) cursor->mark_key.data;
	cursor->item.key_size = cursor->mark_key.len;
}

void
range_cursor_free(RangeCursor *cursor)
{
	merge_scan_free(&cursor->item);
	pfree(cursor->position_key.data);
	pfree(cursor->mark_key.data);
}
