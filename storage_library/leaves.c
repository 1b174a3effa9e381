/*
 * leaves.c
 *	  What is done to a leaf besides the writing of a version.
 *
 * Cleaning: in a map that is updated everywhere each old version would cost a
 * leaf and a branch page of its own if it were looked for.  The leaf is written
 * again before long, and then they go for nothing.
 *
 * Tails: LMDB fills the leaves of ascending keys to the brim only where nothing
 * follows in the last of them; else it divides each in the middle.  What
 * follows is taken out while a run of keys is written before it.
 */
#include <errno.h>

#include "../postgres_extension/map_leaf.h"
#include "leaves.h"

/* So many versions make a run. */
#define RUN_MIN 32
/* Values that lie outside of their leaf are moved, too. */
#define TAIL_BYTES_MAX 65536

void
cleaning_start(Cleaning *cleaning, uint64_t horizon)
{
	cleaning->horizon = horizon;
	cleaning->deleted = 0;
	cleaning->last_leaf = NULL;
	empty_keys(&cleaning->cleaned);
}

void
cleaning_close(Cleaning *cleaning)
{
	free_keys(&cleaning->cleaned);
	free_keys(&cleaning->garbage);
}

static int
compare_octets(const MDB_val *one, const MDB_val *other)
{
	int			order = memcmp(one->mv_data, other->mv_data,
							   one->mv_size < other->mv_size ? one->mv_size : other->mv_size);

	return order != 0 ? order : (one->mv_size > other->mv_size) - (one->mv_size < other->mv_size);
}

static bool
is_same_key(const MDB_val *one, const MDB_val *other)
{
	return one->mv_size == other->mv_size && one->mv_size >= SUFFIX_BYTES &&
		memcmp(one->mv_data, other->mv_data, one->mv_size - SUFFIX_BYTES) == 0;
}

/* Whether `next`, which is not before `stored`, is an older version of its key. */
static bool
is_under(const MDB_val *stored, const MDB_val *next)
{
	return is_same_key(stored, next) && compare_octets(stored, next) != 0;
}

/* The leaf and the place where something follows that is not before `stored`.  At place 0 `stored` may go elsewhere. */
static int
find_place(MDB_cursor *cursor, MDB_val stored, MapLeaf *leaf)
{
	MDB_val		ignored;
	int			status = mdb_cursor_get(cursor, &stored, &ignored, MDB_SET_RANGE);

	return status != 0 ? status : map_leaf_find(cursor, leaf);
}

/* Cleaning */

/* The versions of one key in a leaf. */
typedef struct Run
{
	MDB_val		anchor;			/* the newest at or below the horizon, as far as this leaf shows */
	size_t		garbage;		/* found before this run */
	bool		is_anchored;
	bool		is_tombstone;
	bool		is_begun_here;
} Run;

/* Behind the last version of a key.  A tombstone at the horizon goes with what is under it. */
static bool
leave_run(const Run *run, Cleaning *cleaning)
{
	if (!run->is_anchored)
		return true;
	if (run->is_tombstone && !add_key(&cleaning->garbage, run->anchor.mv_data, run->anchor.mv_size))
		return false;
	return cleaning->garbage.count == run->garbage || !run->is_begun_here ||
		add_key(&cleaning->cleaned, run->anchor.mv_data, run->anchor.mv_size - SUFFIX_BYTES);
}

/* Of the keys at both ends the versions in other leaves are not known: what is found is garbage, but may not be all. */
static int
find_garbage_in_leaf(const MapLeaf *leaf, Cleaning *cleaning)
{
	uint8_t		horizon_suffix[SUFFIX_BYTES];
	MDB_val		previous = {0, NULL};
	Run			run = {.is_anchored = false};

	make_suffix(horizon_suffix, cleaning->horizon);
	for (unsigned index = 0; index < leaf->count; index++)
	{
		const uint8_t *node = map_leaf_node(leaf, index);
		MDB_val		stored;

		map_node_key(node, &stored);
		if (stored.mv_size < SUFFIX_BYTES)
			return MDB_CORRUPTED;
		if (!is_same_key(&stored, &previous))
		{
			if (!leave_run(&run, cleaning))
				return ENOMEM;
			run = (Run) {.garbage = cleaning->garbage.count, .is_begun_here = index > 0};
		}
		if (run.is_anchored)
		{
			if (!add_key(&cleaning->garbage, stored.mv_data, stored.mv_size))
				return ENOMEM;
		}
		else if (memcmp((const uint8_t *) stored.mv_data + stored.mv_size - SUFFIX_BYTES, horizon_suffix, SUFFIX_BYTES) >= 0)
		{
			run.is_anchored = true;
			run.is_tombstone = map_node_value_size(node) == 0;
			run.anchor = stored;
		}
		previous = stored;
	}
	return 0;
}

static int
delete_keys(MDB_cursor *cursor, const KeyList *keys)
{
	const uint8_t *at = keys->blob;

	for (size_t number = 0; number < keys->count; at += keys->sizes[number++])
	{
		MDB_val		stored = octets(at, keys->sizes[number]),
					ignored;
		int			status = mdb_cursor_get(cursor, &stored, &ignored, MDB_SET);

		if (status == 0)
			status = mdb_cursor_del(cursor, 0);
		if (status != 0)
			return status;
	}
	return 0;
}

/* Clean the leaf that a version is about to be written to. */
static int
clean_leaf(MDB_cursor *cursor, const MapLeaf *leaf, Cleaning *cleaning)
{
	int			status;

	empty_keys(&cleaning->garbage);
	if (leaf->index == 0 || leaf->page == cleaning->last_leaf)
		return 0;
	status = find_garbage_in_leaf(leaf, cleaning);
	if (status == 0 && cleaning->garbage.count > 0)
		status = delete_keys(cursor, &cleaning->garbage);
	if (status == 0)
		cleaning->deleted += cleaning->garbage.count;
	return status;
}

/* Tails */

/* How many of the versions, from the first on, ascend and come before `bound`. */
static size_t
count_run(const Version *versions, size_t count, MDB_val bound)
{
	size_t		run = 0;

	while (run < count && compare_octets(&versions[run].stored, &bound) < 0 &&
		   (run == 0 || compare_octets(&versions[run - 1].stored, &versions[run].stored) < 0))
		run++;
	return run;
}

/* What a leaf holds from its place on, `key · value` in turn.  Nothing if that is very much. */
static int
copy_tail(MapLeaf leaf, KeyList *tail)
{
	for (; leaf.index < leaf.count; leaf.index++)
	{
		MDB_val		key,
					value;
		int			status = map_leaf_get(&leaf, &key, &value);

		if (status != 0)
			return status;
		if (tail->bytes + key.mv_size + value.mv_size > TAIL_BYTES_MAX)
		{
			empty_keys(tail);
			return 0;
		}
		if (!add_key(tail, key.mv_data, key.mv_size) || !add_key(tail, value.mv_data, value.mv_size))
			return ENOMEM;
	}
	return 0;
}

static int
delete_tail(MDB_cursor *cursor, const KeyList *tail)
{
	const uint8_t *at = tail->blob;
	int			status = 0;

	for (size_t number = 0; status == 0 && number < tail->count; number += 2)
	{
		MDB_val		key = octets(at, tail->sizes[number]),
					ignored;

		status = mdb_cursor_get(cursor, &key, &ignored, MDB_SET);
		if (status == 0)
			status = mdb_cursor_del(cursor, 0);
		at += (size_t) tail->sizes[number] + tail->sizes[number + 1];
	}
	return status;
}

static int
write_tail(MDB_cursor *cursor, const KeyList *tail)
{
	const uint8_t *at = tail->blob;
	int			status = 0;

	for (size_t number = 0; status == 0 && number < tail->count; number += 2)
	{
		MDB_val		key = octets(at, tail->sizes[number]),
					value = octets(at + tail->sizes[number], tail->sizes[number + 1]);

		status = mdb_cursor_put(cursor, &key, &value, 0);
		at += (size_t) tail->sizes[number] + tail->sizes[number + 1];
	}
	return status;
}

/* Writing */

/* `next`: what is to follow it, as far as it is not in the map yet; or NULL. */
static int
write_version(MDB_cursor *cursor, Version *version, const MDB_val *next, Cleaning *cleaning)
{
	MDB_val		behind,
				ignored;
	MapLeaf		leaf;
	int			status = mdb_cursor_put(cursor, &version->stored, &version->value, 0);

	if (status == 0 && cleaning != NULL && map_leaf_find(cursor, &leaf) == 0)
		cleaning->last_leaf = leaf.page;
	if (status != 0 || !version->may_cover)
		return status;
	version->is_over = next != NULL && is_under(&version->stored, next);
	if (version->is_over)
		return 0;
	status = mdb_cursor_get(cursor, &behind, &ignored, MDB_NEXT);
	if (status == 0)
		version->is_over = is_under(&version->stored, &behind);
	return status == MDB_NOTFOUND ? 0 : status;
}

/* Write a run of versions before what follows in the leaf. */
static int
write_run(MDB_cursor *cursor, const MapLeaf *leaf, Version *versions, size_t count, Cleaning *cleaning)
{
	KeyList		tail = {0};
	int			status = copy_tail(*leaf, &tail);
	MDB_val		behind;

	if (status == 0)
		status = delete_tail(cursor, &tail);
	if (tail.count > 0)
		behind = octets(tail.blob, tail.sizes[0]);
	for (size_t number = 0; status == 0 && number < count; number++)
		status = write_version(cursor, &versions[number],
							   number + 1 < count ? &versions[number + 1].stored : tail.count > 0 ? &behind : NULL,
							   cleaning);
	if (status == 0)
		status = write_tail(cursor, &tail);
	free_keys(&tail);
	return status;
}

/* Clean the leaf that the first of the versions goes to, and find the place behind it.  MDB_NOTFOUND: nothing is there. */
static int
prepare_place(MDB_cursor *cursor, MDB_val stored, Cleaning *cleaning, MapLeaf *leaf)
{
	int			status = find_place(cursor, stored, leaf);

	if (status != 0 || cleaning == NULL || cleaning->horizon == 0)
		return status;
	status = clean_leaf(cursor, leaf, cleaning);
	return status == 0 && cleaning->garbage.count > 0 ? find_place(cursor, stored, leaf) : status;
}

/* Write the first of the versions, and those that make a run with it. */
static int
write_some(MDB_cursor *cursor, Version *versions, size_t count, Cleaning *cleaning, size_t *written)
{
	MapLeaf		leaf;
	MDB_val		behind;
	int			status = MDB_NOTFOUND;

	if (count >= RUN_MIN || (cleaning != NULL && cleaning->horizon != 0))
		status = prepare_place(cursor, versions->stored, cleaning, &leaf);
	if (status != 0 && status != MDB_NOTFOUND)
		return status;
	if (status == 0 && leaf.index > 0 && count >= RUN_MIN)
	{
		map_node_key(map_leaf_node(&leaf, leaf.index), &behind);
		*written = count_run(versions, count, behind);
		if (*written >= RUN_MIN)
			return write_run(cursor, &leaf, versions, *written, cleaning);
	}
	*written = 1;
	return write_version(cursor, versions, count > 1 ? &versions[1].stored : NULL, cleaning);
}

int
write_versions(MDB_cursor *cursor, Version *versions, size_t count, Cleaning *cleaning)
{
	int			status = 0;

	while (status == 0 && count > 0)
	{
		size_t		written;

		status = write_some(cursor, versions, count, cleaning, &written);
		versions += written;
		count -= written;
	}
	return status;
}
