/*
 * committed_gap.c
 *	  See committed_gap.h.
 *
 * A load in key order asks for each key in turn and gets "no" each time.  The
 * committed versions at one timestamp never change, so one look at what comes next in
 * the map answers for all keys up to there.
 */
#include "borealis.h"

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "committed_gap.h"
#include "layout.h"
#include "read_set.h"
#include "storage_reader.h"
#include "transaction.h"

static struct
{
	bool		is_made;
	BorealisTimestamp timestamp;
	StringInfoData last;		/* the key asked for last */
	StringInfoData lower;		/* no live key in [lower, upper) */
	StringInfoData upper;		/* empty: no gap is known */
	RangeBatch	batch;
}			gap;

static void
make_gap(void)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	initStringInfo(&gap.last);
	initStringInfo(&gap.lower);
	initStringInfo(&gap.upper);
	gap.batch.context = TopMemoryContext;
	gap.is_made = true;
	MemoryContextSwitchTo(old);
}

static void
set_bytes(StringInfo bytes, const uint8 *data, uint32 size)
{
	resetStringInfo(bytes);
	appendBinaryStringInfoNT(bytes, (const char *) data, size);
}

static int
compare(const uint8 *key, uint32 key_size, const StringInfoData *other)
{
	int			order = memcmp(key, other->data, Min(key_size, (uint32) other->len));

	return order != 0 ? order : (int) key_size - other->len;
}

/* Is this the next step of a load in key order? */
static bool
is_ascending(const uint8 *key, uint32 key_size)
{
	return gap.last.len > KEY_PREFIX_SIZE && key_size > KEY_PREFIX_SIZE &&
		memcmp(gap.last.data, key, KEY_PREFIX_SIZE) == 0 &&
		compare(key, key_size, &gap.last) > 0;
}

/* Finds the gap that begins at the key; false if the key itself is live. */
static bool
find_gap(const uint8 *key, uint32 key_size)
{
	const RangeItem *next;

	set_bytes(&gap.upper, key, KEY_PREFIX_SIZE);
	key_make_successor(&gap.upper);
	storage_read_range(&gap.batch, key, key_size, (uint8 *) gap.upper.data, gap.upper.len,
					   false, RANGE_KEYS, gap.timestamp, 1, 1);
	set_bytes(&gap.lower, key, key_size);
	if (gap.batch.count > 0)
	{
		next = &gap.batch.items[0];
		set_bytes(&gap.upper, gap.batch.data + next->key_offset, next->key_size);
		return compare(key, key_size, &gap.upper) != 0;
	}
	if (!gap.batch.end)
		set_bytes(&gap.upper, gap.batch.resume, gap.batch.resume_size);
	return true;
}

bool
committed_key_exists(const uint8 *key, uint32 key_size)
{
	BorealisTimestamp timestamp = transaction_read_timestamp();
	bool		looks_ahead;

	if (!gap.is_made)
		make_gap();
	if (timestamp != gap.timestamp)
	{
		resetStringInfo(&gap.last);
		resetStringInfo(&gap.upper);
		gap.timestamp = timestamp;
	}
	if (gap.upper.len > 0 && compare(key, key_size, &gap.upper) < 0 &&
		compare(key, key_size, &gap.lower) >= 0)
	{
		/* the gap may have been found by an earlier transaction */
		read_set_add_key(key, key_size);
		return false;
	}

	looks_ahead = is_ascending(key, key_size);
	set_bytes(&gap.last, key, key_size);
	resetStringInfo(&gap.upper);
	if (looks_ahead)
		return !find_gap(key, key_size);
	return storage_exists(key, key_size, timestamp);
}
