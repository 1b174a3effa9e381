/*
 * read_set.c
 *	  See read_set.h.
 */
#include "borealis.h"

#include "key_order.h"
#include "read_set.h"
#include "storage_map.h"

/* What counts as little.  To look at all of it again takes some 50 us at most. */
#define RANGES_MAX 32
#define BYTES_MAX 4096
#define VISITS_MAX 64

typedef struct ReadRange
{
	uint16		at;				/* lower bound, then upper bound */
	uint16		lower_size;
	uint16		upper_size;		/* 0: only the key that is the lower bound */
} ReadRange;

static struct
{
	bool		is_too_large;
	int			count;
	int			size;
	ReadRange	ranges[RANGES_MAX];
	uint8		bytes[BYTES_MAX];
}			read_set;

static inline const uint8 *
lower_of(const ReadRange *range)
{
	return &read_set.bytes[range->at];
}

static inline const uint8 *
upper_of(const ReadRange *range)
{
	return &read_set.bytes[range->at + range->lower_size];
}

static void
add(const uint8 *lower, uint32 lower_size, const uint8 *upper, uint32 upper_size)
{
	ReadRange  *range;

	if (read_set.count == RANGES_MAX || read_set.size + lower_size + upper_size > BYTES_MAX)
	{
		read_set.is_too_large = true;
		return;
	}
	range = &read_set.ranges[read_set.count++];
	range->at = read_set.size;
	range->lower_size = lower_size;
	range->upper_size = upper_size;
	memcpy(&read_set.bytes[read_set.size], lower, lower_size);
	memcpy(&read_set.bytes[read_set.size + lower_size], upper, upper_size);
	read_set.size += lower_size + upper_size;
}

/* A row is often read again right after it was found. */
static bool
was_read_last(const uint8 *key, uint32 key_size)
{
	const ReadRange *last;

	if (read_set.count == 0)
		return false;
	last = &read_set.ranges[read_set.count - 1];
	return last->lower_size == key_size && memcmp(lower_of(last), key, key_size) == 0;
}

void
read_set_add(const uint8 *lower, uint32 lower_size, const uint8 *upper, uint32 upper_size)
{
	if (read_set.is_too_large)
		return;
	if (lower_size == 0 || upper_size == 0)
		read_set.is_too_large = true;
	else
		add(lower, lower_size, upper, upper_size);
}

void
read_set_add_key(const uint8 *key, uint32 key_size)
{
	if (!read_set.is_too_large && !was_read_last(key, key_size))
		add(key, key_size, NULL, 0);
}

void
read_set_add_unknown(void)
{
	read_set.is_too_large = true;
}

bool
read_set_is_too_large(void)
{
	return read_set.is_too_large;
}

int
read_set_mark(void)
{
	return read_set.count;
}

void
read_set_take_back(int mark)
{
	Assert(mark <= read_set.count);
	if (mark == read_set.count)
		return;
	read_set.size = read_set.ranges[mark].at;
	read_set.count = mark;
}

static bool
key_is_unchanged(const ReadRange *range, uint64 inverted_since, int *status)
{
	StoredVersion version;

	*status = storage_map_seek(lower_of(range), range->lower_size, 0, &version);
	return *status != 0 ||
		!stored_version_has_key(&version, lower_of(range), range->lower_size) ||
		version.inverted_timestamp >= inverted_since;
}

static bool
range_is_unchanged(const ReadRange *range, uint64 inverted_since, int *visits, int *status)
{
	StoredVersion version;

	*status = storage_map_seek_bound(lower_of(range), range->lower_size, &version);
	while (*status == 0 &&
		   key_compare(version.key, version.key_size, upper_of(range), range->upper_size) < 0)
	{
		if (version.inverted_timestamp < inverted_since || --*visits < 0)
			return false;
		*status = storage_map_seek_behind(version.key, version.key_size, &version);
	}
	return true;
}

bool
read_set_is_unchanged(BorealisTimestamp since)
{
	uint64		inverted_since = INVERT_TIMESTAMP(since);
	bool		is_unchanged;
	int			status;

	do
	{
		int			visits = VISITS_MAX;

		is_unchanged = !read_set.is_too_large;
		status = 0;
		storage_map_begin();
		for (int i = 0; i < read_set.count && is_unchanged; i++)
		{
			const ReadRange *range = &read_set.ranges[i];

			is_unchanged = range->upper_size == 0
				? key_is_unchanged(range, inverted_since, &status)
				: range_is_unchanged(range, inverted_since, &visits, &status);
			if (status != 0 && status != MDB_NOTFOUND)
				break;
		}
		storage_map_end();
	} while (storage_map_doubts(status));
	if (status != 0 && status != MDB_NOTFOUND)
		storage_map_report(status);
	return is_unchanged;
}

void
read_set_reset(void)
{
	read_set.is_too_large = false;
	read_set.count = 0;
	read_set.size = 0;
}
