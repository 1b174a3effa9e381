/*
 * storage_range.c
 *	  Many keys of the committed state at a timestamp, batch by batch.
 *
 * A batch is filled in passes.  A pass is one LMDB read transaction and ends
 * when the range does, when the batch has what was wanted, after a bounded
 * number of steps, or for want of memory, which is then made larger for the
 * next pass.  The resume key says where that goes on.  See storage_reader.c for
 * the rules that every read follows.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"

#include "key_order.h"
#include "read_set.h"
#include "row_codec.h"
#include "short_copy.h"
#include "storage_map.h"
#include "storage_reader.h"
#include "transaction.h"

/* Versions of one key that are stepped over before it pays to seek. */
#define STEPS_BEFORE_SEEK 16
/* Versions looked at in one read transaction: about a millisecond. */
#define VISITS_MAX 16384
#define BATCH_FIRST_CAPACITY 2048
#define BATCH_FIRST_ITEMS 16
/* Parents of leaf pages that are visited within one read transaction. */
#define PARENTS_MAX 256
/* Memory for the row of a single key, unless it is larger. */
#define KEY_CAPACITY 256

typedef enum FillResult
{
	FILL_END,					/* nothing is left in the range */
	FILL_PAUSED,				/* enough in the batch, or enough looked at */
	FILL_NO_ROOM,				/* the batch's memory is too small */
	FILL_DAMAGED_ROW,
	FILL_FAILED
} FillResult;

/* One pass over a range, within one read transaction. */
typedef struct RangePass
{
	RangeBatch *batch;
	const uint8 *lower;
	const uint8 *upper;
	uint32		lower_size;
	uint32		upper_size;
	RangeContent content;
	uint64		inverted;		/* of the read timestamp */
	Size		bytes_wanted;
	int			items_wanted;

	int			status;			/* of the last step in the map */
	int			visits;			/* steps in the map */
	int			count_before;	/* of the batch, when the pass began */
	Size		size_before;
	StoredVersion version;		/* where we stand, if status is 0 */
	MapLeaf		leaf;			/* its page, in passes that ascend */
	bool		leaf_is_inside;	/* no key in the page is at or above the upper bound */
	Size		size_needed;	/* FILL_NO_ROOM: capacity the next item needs */
} RangePass;

#define CACHE_LINE 64
/* of a page of 4 kB; of larger ones the first part is fetched */
#define PAGE_LINES 64

/* Called for each page that is entered. */
static void
enter_leaf(RangePass *pass)
{
	MDB_val		last;

	if (pass->status == 0)
		pass->status = storage_map_leaf(&pass->leaf);
	if (pass->status != 0)
		return;
	map_node_key(map_leaf_node(&pass->leaf, pass->leaf.count - 1), &last);
	pass->leaf_is_inside = pass->upper_size == 0 ||
		(last.mv_size > STORED_TIMESTAMP_SIZE &&
		 key_compare(last.mv_data, last.mv_size - STORED_TIMESTAMP_SIZE,
					 pass->upper, pass->upper_size) < 0);
}

static pg_noinline bool
step_to_next_leaf(RangePass *pass)
{
	pass->status = map_leaf_next(&pass->leaf);
	enter_leaf(pass);
	if (pass->status == 0)
		pass->status = stored_version_at(&pass->leaf, &pass->version);
	return pass->status == 0;
}

static inline bool
step_forward(RangePass *pass)
{
	MapLeaf    *leaf = &pass->leaf;

	pass->visits++;
	if (unlikely(leaf->index + 1 >= leaf->count))
		return step_to_next_leaf(pass);
	leaf->index++;
	/* spread over the first entries of this page: two lines for each */
	if (leaf->next_page != NULL && leaf->index < PAGE_LINES / 2)
	{
		__builtin_prefetch(leaf->next_page + leaf->index * 2 * CACHE_LINE);
		__builtin_prefetch(leaf->next_page + (leaf->index * 2 + 1) * CACHE_LINE);
	}
	pass->status = stored_version_at(leaf, &pass->version);
	return pass->status == 0;
}

static inline bool
step_backward(RangePass *pass)
{
	pass->visits++;
	pass->status = storage_map_previous(&pass->version);
	return pass->status == 0;
}

/* FILL_PAUSED: added. */
static pg_attribute_always_inline FillResult
add_item(RangePass *pass, const StoredVersion *version)
{
	RangeBatch *batch = pass->batch;
	Size		value_offset = MAXALIGN(batch->size);
	Size		value_size = 0;
	Size		key_offset;
	RowLayout	layout = {0};
	RangeItem  *item;

	if (pass->content == RANGE_ROWS)
	{
		if (unlikely(!row_layout_read(&layout, version->value, version->value_size)))
		{
			pass->size_needed = version->value_size;
			return FILL_DAMAGED_ROW;
		}
		value_size = row_layout_tuple_size(&layout);
	}
	else if (pass->content == RANGE_VALUES)
		value_size = version->value_size;

	key_offset = value_offset + value_size;
	pass->size_needed = key_offset + version->key_size;
	if (unlikely(pass->size_needed > batch->capacity || batch->count >= batch->item_capacity))
		return FILL_NO_ROOM;

	item = &batch->items[batch->count++];
	item->value_offset = (uint32) value_offset;
	item->value_size = (uint32) value_size;
	item->key_offset = (uint32) key_offset;
	item->key_size = (uint16) version->key_size;
	if (pass->content == RANGE_ROWS)
		row_form_tuple(&layout, version->value, (HeapTupleHeader) (batch->data + value_offset));
	else if (value_size > 0)
		copy_short(batch->data + value_offset, version->value, value_size);
	copy_short(batch->data + key_offset, version->key, version->key_size);
	batch->size = pass->size_needed;
	return FILL_PAUSED;
}

static void
set_resume(RangeBatch *batch, const uint8 *bound, uint32 bound_size)
{
	/* The pass may have started from the resume key itself. */
	memmove(batch->resume, bound, bound_size);
	batch->resume_size = (uint16) bound_size;
}

static inline bool
has_enough(const RangePass *pass)
{
	return pass->batch->count >= pass->items_wanted ||
		pass->batch->size >= pass->bytes_wanted ||
		pass->visits >= VISITS_MAX;
}

static inline FillResult
end_of_walk(const RangePass *pass)
{
	return pass->status == MDB_NOTFOUND ? FILL_END : FILL_FAILED;
}

/*
 * From a version newer than the timestamp to the next one of the same key that
 * is not, or to the next key.
 */
static bool
skip_newer(RangePass *pass)
{
	const StoredVersion first = pass->version;

	for (int steps = 0; steps < STEPS_BEFORE_SEEK; steps++)
	{
		if (!step_forward(pass))
			return false;
		if (pass->version.inverted_timestamp >= pass->inverted ||
			!stored_version_has_key(&pass->version, first.key, first.key_size))
			return true;
	}
	pass->status = storage_map_seek(first.key, first.key_size, pass->inverted, &pass->version);
	enter_leaf(pass);
	return pass->status == 0;
}

/* From any version of a key to the next key. */
static bool
skip_rest(RangePass *pass)
{
	const StoredVersion first = pass->version;

	for (int steps = 0; steps < STEPS_BEFORE_SEEK; steps++)
	{
		if (!step_forward(pass))
			return false;
		if (!stored_version_has_key(&pass->version, first.key, first.key_size))
			return true;
	}
	pass->status = storage_map_seek_behind(first.key, first.key_size, &pass->version);
	enter_leaf(pass);
	return pass->status == 0;
}

/* Versions of a key come newest first: the first that is old enough counts. */
static FillResult
fill_ascending(RangePass *pass)
{
	pass->status = storage_map_seek_bound(pass->lower, pass->lower_size, &pass->version);
	enter_leaf(pass);

	/* Each turn stands on the newest version of a key. */
	while (pass->status == 0)
	{
		const uint8 *key = pass->version.key;
		uint32		key_size = pass->version.key_size;

		if (!pass->leaf_is_inside && key_compare(key, key_size, pass->upper, pass->upper_size) >= 0)
			return FILL_END;
		if (has_enough(pass))
		{
			set_resume(pass->batch, key, key_size);
			return FILL_PAUSED;
		}

		if (pass->version.inverted_timestamp < pass->inverted)
		{
			if (!skip_newer(pass))
				break;
			if (!stored_version_has_key(&pass->version, key, key_size))
				continue;
		}
		if (pass->version.value_size > 0)
		{
			FillResult	result = add_item(pass, &pass->version);

			if (unlikely(result != FILL_PAUSED))
			{
				set_resume(pass->batch, key, key_size);
				return result;
			}
		}
		if (!step_forward(pass))
			break;
		if (unlikely(stored_version_has_key(&pass->version, key, key_size)) && !skip_rest(pass))
			break;
	}
	return end_of_walk(pass);
}

/* To the last version of the last key below the upper bound. */
static void
seek_below_upper(RangePass *pass)
{
	pass->status = MDB_NOTFOUND;
	if (pass->upper_size > 0)
		pass->status = storage_map_seek_bound(pass->upper, pass->upper_size, &pass->version);

	if (pass->status == 0)
		step_backward(pass);
	else if (pass->status == MDB_NOTFOUND)
		pass->status = storage_map_last(&pass->version);
}

/*
 * From the oldest version of a key, finds the newest one that the timestamp
 * sees and leaves the key.  *visible has a NULL key if there is none.
 */
static void
leave_key_backward(RangePass *pass, StoredVersion *visible)
{
	const StoredVersion oldest = pass->version;
	int			steps = 0;

	visible->key = NULL;
	while (pass->version.inverted_timestamp >= pass->inverted)
	{
		if (++steps == STEPS_BEFORE_SEEK)
		{
			pass->status = storage_map_seek(oldest.key, oldest.key_size, pass->inverted,
											&pass->version);
			if (pass->status != 0)
				return;
		}
		*visible = pass->version;
		if (!step_backward(pass) ||
			!stored_version_has_key(&pass->version, oldest.key, oldest.key_size))
			return;
	}

	/* What is left of the key is too new. */
	for (steps = 0; steps < STEPS_BEFORE_SEEK; steps++)
		if (!step_backward(pass) ||
			!stored_version_has_key(&pass->version, oldest.key, oldest.key_size))
			return;
	pass->status = storage_map_seek(oldest.key, oldest.key_size, 0, &pass->version);
	if (pass->status == 0)
		step_backward(pass);
}

/* Versions of a key come oldest first: the last that is old enough counts. */
static FillResult
fill_descending(RangePass *pass)
{
	const uint8 *resume = pass->upper;
	uint32		resume_size = pass->upper_size;

	seek_below_upper(pass);

	/* Each turn stands on the oldest version of a key. */
	while (pass->status == 0)
	{
		const StoredVersion oldest = pass->version;
		StoredVersion visible;

		if (key_compare(oldest.key, oldest.key_size, pass->lower, pass->lower_size) < 0)
			return FILL_END;
		if (has_enough(pass))
		{
			set_resume(pass->batch, resume, resume_size);
			return FILL_PAUSED;
		}

		leave_key_backward(pass, &visible);
		if (pass->status != 0 && pass->status != MDB_NOTFOUND)
			break;
		if (visible.key != NULL && visible.value_size > 0)
		{
			FillResult	result = add_item(pass, &visible);

			if (result != FILL_PAUSED)
			{
				set_resume(pass->batch, resume, resume_size);
				return result;
			}
		}
		resume = oldest.key;
		resume_size = oldest.key_size;
	}
	return end_of_walk(pass);
}

/*
 * Makes room for the next item, and for more to come.  False: the batch is as
 * large as it is wanted, so it is handed out as it is.
 */
static bool
grow_batch(RangeBatch *batch, Size size_needed, Size bytes_wanted, int items_wanted)
{
	if (batch->count >= batch->item_capacity)
	{
		int			capacity = Min(Max((int64) batch->item_capacity * 4, BATCH_FIRST_ITEMS),
								   items_wanted);
		Size		size = capacity * sizeof(RangeItem);

		batch->items = batch->items == NULL
			? MemoryContextAllocHuge(batch->context, size)
			: repalloc_huge(batch->items, size);
		batch->item_capacity = capacity;
	}
	if (size_needed > batch->capacity)
	{
		Size		capacity;

		/* Only a first item may be larger than what is wanted in all. */
		if (batch->count > 0 && size_needed > bytes_wanted)
			return false;
		capacity = Max(size_needed, Min(Max(batch->capacity * 4, BATCH_FIRST_CAPACITY), bytes_wanted));
		batch->data = batch->data == NULL
			? MemoryContextAllocHuge(batch->context, capacity)
			: repalloc_huge(batch->data, capacity);
		batch->capacity = capacity;
	}
	return true;
}

static inline void
begin_pass(RangePass *pass)
{
	pass->visits = 0;
	pass->count_before = pass->batch->count;
	pass->size_before = pass->batch->size;
}

/* True: the pass is undone, and is to begin again. */
static inline bool
is_doubtful(RangePass *pass, FillResult result)
{
	if (likely(!storage_map_doubts(result == FILL_FAILED ? pass->status : 0)))
		return false;
	pass->batch->count = pass->count_before;
	pass->batch->size = pass->size_before;
	return true;
}

/* Nothing is read in vain because the batch is new. */
static inline void
prepare_batch(RangeBatch *batch, Size bytes_wanted, int items_wanted)
{
	batch->size = 0;
	batch->count = 0;
	if (unlikely(batch->data == NULL))
		(void) grow_batch(batch, 1, bytes_wanted, items_wanted);
}

void
storage_read_range(RangeBatch *batch,
				   const uint8 *lower, uint32 lower_size,
				   const uint8 *upper, uint32 upper_size,
				   bool backward, RangeContent content, BorealisTimestamp timestamp,
				   Size bytes_wanted, int items_wanted)
{
	RangePass	pass = {
		.batch = batch,
		.lower = lower,.lower_size = lower_size,
		.upper = upper,.upper_size = upper_size,
		.content = content,
		.inverted = INVERT_TIMESTAMP(timestamp),
		/* Offsets in a batch have 32 bits, and so has a value's size. */
		.bytes_wanted = Min(Max(bytes_wanted, 1), MaxAllocSize),
		.items_wanted = Max(items_wanted, 1)
	};
	FillResult	result;

	if (lower_size > BOUND_SIZE_MAX || upper_size > BOUND_SIZE_MAX)
		elog(ERROR, "bound of %u bytes in a range", Max(lower_size, upper_size));
	read_set_add(lower, lower_size, upper, upper_size);
	if (unlikely(batch->resume == NULL))
		batch->resume = MemoryContextAlloc(batch->context, BOUND_SIZE_MAX);
	prepare_batch(batch, pass.bytes_wanted, pass.items_wanted);
	do
	{
		do
		{
			begin_pass(&pass);
			storage_map_begin();
			result = backward ? fill_descending(&pass) : fill_ascending(&pass);
			storage_map_end();
		} while (unlikely(is_doubtful(&pass, result)));

		if (result == FILL_FAILED)
			storage_map_report(pass.status);
		if (result == FILL_DAMAGED_ROW)
			row_report_damaged((uint32) pass.size_needed);
		if (backward)
		{
			pass.upper = batch->resume;
			pass.upper_size = batch->resume_size;
		}
		else
		{
			pass.lower = batch->resume;
			pass.lower_size = batch->resume_size;
		}
	} while (result == FILL_NO_ROOM &&
			 grow_batch(batch, pass.size_needed, pass.bytes_wanted, pass.items_wanted));
	batch->end = (result == FILL_END);
	transaction_check_horizon();
}

/* ------------------------------------------------------------- single keys */

/* Within a read transaction.  Mostly the newest version is the one that is wanted. */
static FillResult
fill_key(RangePass *pass)
{
	RangeBatch *batch = pass->batch;
	StoredVersion *version = &pass->version;

	pass->status = storage_map_seek(pass->lower, pass->lower_size, 0, version);
	batch->has_newer = pass->status == 0 && version->inverted_timestamp < pass->inverted &&
		stored_version_has_key(version, pass->lower, pass->lower_size);
	if (batch->has_newer)
		pass->status = storage_map_seek(pass->lower, pass->lower_size, pass->inverted, version);
	if (pass->status != 0)
		return end_of_walk(pass);
	if (version->value_size == 0 ||
		!stored_version_has_key(version, pass->lower, pass->lower_size))
		return FILL_END;
	return add_item(pass, version);
}

void
storage_read_key(RangeBatch *batch, const uint8 *key, uint32 key_size,
				 RangeContent content, BorealisTimestamp timestamp)
{
	RangePass	pass = {
		.batch = batch,
		.lower = key,.lower_size = key_size,
		.content = content,
		.inverted = INVERT_TIMESTAMP(timestamp)
	};
	FillResult	result;

	read_set_add_key(key, key_size);
	prepare_batch(batch, KEY_CAPACITY, 1);
	do
	{
		do
		{
			begin_pass(&pass);
			storage_map_begin();
			result = fill_key(&pass);
			storage_map_end();
		} while (unlikely(is_doubtful(&pass, result)));

		if (result == FILL_FAILED)
			storage_map_report(pass.status);
		if (result == FILL_DAMAGED_ROW)
			row_report_damaged((uint32) pass.size_needed);
	} while (result == FILL_NO_ROOM && grow_batch(batch, pass.size_needed, KEY_CAPACITY, 1));
	batch->end = true;
	transaction_check_horizon();
}

/* -------------------------------------------------------------- boundaries */

/* Within a read transaction. */
static int
find_boundary(const uint8 *lower, uint32 lower_size, uint64 pages, StoredVersion *version)
{
	MapLeaf		leaf;
	int			status = storage_map_seek_bound(lower, lower_size, version);

	if (status == 0)
		status = storage_map_leaf(&leaf);
	if (status == 0)
		status = map_leaf_skip(&leaf, pages);
	if (status == 0)
		status = stored_version_at(&leaf, version);
	/* a key with more versions than fit the pages is not divided */
	while (status == 0 && key_compare(version->key, version->key_size, lower, lower_size) <= 0)
	{
		status = map_leaf_next(&leaf);
		if (status == 0)
			status = stored_version_at(&leaf, version);
	}
	return status;
}

bool
storage_find_boundary(const uint8 *lower, uint32 lower_size, const uint8 *upper, uint32 upper_size,
					  uint64 pages, uint8 *boundary, uint32 *boundary_size)
{
	StoredVersion version;
	bool		is_found = false;
	int			status;

	do
	{
		storage_map_begin();
		status = find_boundary(lower, lower_size, pages, &version);
		if (status == 0 && key_compare(version.key, version.key_size, upper, upper_size) < 0)
		{
			memcpy(boundary, version.key, version.key_size);
			*boundary_size = version.key_size;
			is_found = true;
		}
		storage_map_end();
	} while (unlikely(storage_map_doubts(status)));
	if (status != 0 && status != MDB_NOTFOUND)
		storage_map_report(status);
	return is_found;
}

/* Whether a bound is found in a page; then which of its parent's. */
typedef struct PagePlace
{
	bool		is_found;
	const void *parent;
	unsigned	index;
} PagePlace;

/* Within a read transaction. */
static int
find_place(const uint8 *bound, uint32 bound_size, MapLeaf *leaf, PagePlace *place)
{
	StoredVersion version;
	int			status = storage_map_seek_bound(bound, bound_size, &version);

	if (status == 0)
		status = storage_map_leaf(leaf);
	place->is_found = status == 0;
	if (status == 0)
		place->index = map_leaf_place(leaf, &place->parent);
	return status == MDB_NOTFOUND ? 0 : status;
}

/*
 * Adds pages until the upper bound, the end of the map or the limit of a pass.
 * *resume: the first key that was not passed; its size 0: all is counted.
 */
static int
count_pages(const uint8 *lower, uint32 lower_size, const uint8 *upper, uint32 upper_size,
			uint64 *pages, uint8 *resume, uint32 *resume_size)
{
	MapLeaf		leaf;
	PagePlace	end;
	PagePlace	place;
	int			status = find_place(upper, upper_size, &leaf, &end);

	*resume_size = 0;
	if (status == 0)
		status = find_place(lower, lower_size, &leaf, &place);
	if (status != 0 || !place.is_found)
		return status;
	for (int visits = 0; !end.is_found || place.parent != end.parent; visits++)
	{
		unsigned long passed;
		StoredVersion version;

		if (visits == PARENTS_MAX)
		{
			status = stored_version_at(&leaf, &version);
			if (status == 0)
			{
				*resume_size = version.key_size;
				memcpy(resume, version.key, version.key_size);
			}
			return status;
		}
		status = map_leaf_next_parent(&leaf, &passed);
		if (status == MDB_NOTFOUND)
		{
			*pages += passed - 1;
			return 0;
		}
		if (status != 0)
			return status;
		*pages += passed;
		place.index = map_leaf_place(&leaf, &place.parent);
	}
	*pages += end.index - Min(place.index, end.index);
	return 0;
}

uint64
storage_count_pages(const uint8 *lower, uint32 lower_size, const uint8 *upper, uint32 upper_size)
{
	uint8		resume[KEY_SIZE_MAX];
	uint8		from[KEY_SIZE_MAX + 1];
	uint32		from_size = lower_size;
	uint32		resume_size;
	uint64		pages = 0;

	read_set_add(lower, lower_size, upper, upper_size);
	memcpy(from, lower, lower_size);
	do
	{
		uint64		counted;
		int			status;

		CHECK_FOR_INTERRUPTS();
		do
		{
			counted = 0;
			storage_map_begin();
			status = count_pages(from, from_size, upper, upper_size, &counted, resume, &resume_size);
			storage_map_end();
		} while (unlikely(storage_map_doubts(status)));
		if (status != 0)
			storage_map_report(status);
		pages += counted;
		memcpy(from, resume, resume_size);
		from_size = resume_size;
	} while (resume_size > 0);
	return pages;
}

/* -------------------------------------------------------------- prefetch */

/* Looks up keys from the batch's count on.  Within a read transaction. */
static FillResult
fill_prefetch(RangePass *pass, const PrefetchKey *keys, int count, BorealisTimestamp timestamp)
{
	while (pass->batch->count < count)
	{
		const PrefetchKey *key = &keys[pass->batch->count];

		if (has_enough(pass))
			return FILL_PAUSED;
		pass->visits++;
		pass->status = storage_map_find_live(key->key, key->key_size, timestamp, &pass->version);
		if (pass->status == MDB_NOTFOUND)
			pass->version = (StoredVersion) {.key = key->key,.key_size = key->key_size};
		else if (pass->status != 0)
			return FILL_FAILED;
		if (add_item(pass, &pass->version) != FILL_PAUSED)
			return FILL_NO_ROOM;
	}
	return FILL_END;
}

void
storage_reader_prefetch(RangeBatch *batch, const PrefetchKey *keys, int count,
						BorealisTimestamp timestamp, Size bytes_wanted)
{
	RangePass	pass = {
		.batch = batch,
		.content = RANGE_VALUES,
		.bytes_wanted = Min(Max(bytes_wanted, 1), MaxAllocSize),
		.items_wanted = Max(count, 1)
	};
	FillResult	result;

	read_set_add_unknown();
	prepare_batch(batch, pass.bytes_wanted, pass.items_wanted);
	do
	{
		do
		{
			begin_pass(&pass);
			storage_map_begin();
			result = fill_prefetch(&pass, keys, count, timestamp);
			storage_map_end();
		} while (unlikely(is_doubtful(&pass, result)));
		if (result == FILL_FAILED)
			storage_map_report(pass.status);
	} while (result == FILL_NO_ROOM &&
			 grow_batch(batch, pass.size_needed, pass.bytes_wanted, pass.items_wanted));
	batch->end = (result == FILL_END);
	transaction_check_horizon();
}
