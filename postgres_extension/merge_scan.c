/*
 * merge_scan.c
 *	  See merge_scan.h.
 *
 * Entries of the write set are never moved or freed before the transaction
 * ends, and versions written during a scan carry a command id that the scan's
 * snapshot does not see, so a scan may stand on an entry while rows are
 * written around it.
 */
#include "borealis.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ddl_log.h"
#include "key_codec.h"
#include "key_order.h"
#include "merge_scan.h"
#include "transaction.h"

#define BATCH_ITEMS_MIN		4
#define BATCH_ITEMS_MAX		1024
#define BATCH_BYTES_MIN		2048
#define BATCH_BYTES_MAX		(64 * 1024)
#define BATCH_GROWTH		4
#define ITEM_BYTES_EXPECTED	64

CommandId
snapshot_command(Snapshot snapshot)
{
	if (snapshot != NULL && snapshot->snapshot_type == SNAPSHOT_MVCC)
		return snapshot->curcid;
	return InvalidCommandId;
}

bool
relation_has_committed(Relation relation)
{
	if (ddl_is_replaying())
		return false;
	return relation->rd_createSubid == InvalidSubTransactionId &&
		relation->rd_firstRelfilelocatorSubid == InvalidSubTransactionId;
}

void
merge_scan_init(MergeScan *scan, MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(context);

	memset(scan, 0, sizeof(*scan));
	key_buffer_init(&scan->lower);
	key_buffer_init(&scan->upper);
	scan->batch.context = context;
	MemoryContextSwitchTo(old);
}

static void
set_bound(StringInfo bound, const uint8 *bytes, uint32 size)
{
	resetStringInfo(bound);
	appendBinaryStringInfoNT(bound, (const char *) bytes, size);
}

static bool
own_is_in_range(const MergeScan *scan, const WriteEntry *entry)
{
	const StringInfoData *bound = scan->backward ? &scan->lower : &scan->upper;
	int			order;

	if (entry == NULL)
		return false;
	order = key_compare(write_entry_key(entry), entry->key_size, (const uint8 *) bound->data, bound->len);
	return scan->backward ? order >= 0 : order < 0;
}

static void
set_own(MergeScan *scan, WriteEntry *entry)
{
	scan->own = own_is_in_range(scan, entry) ? entry : NULL;
}

static void
start(MergeScan *scan, bool has_committed, RangeContent content, CommandId curcid)
{
	scan->has_committed = has_committed;
	scan->content = content;
	scan->curcid = curcid;
	scan->timestamp = has_committed ? transaction_read_timestamp() : 0;
	scan->batch.count = 0;
	scan->batch.has_newer = false;
	scan->batch_next = 0;
	scan->batch_last = !has_committed;
}

void
merge_scan_start_key(MergeScan *scan, const uint8 *key, uint32 key_size,
					 bool has_committed, RangeContent content, CommandId curcid)
{
	scan->only_key = key;
	scan->only_key_size = key_size;
	scan->backward = false;
	start(scan, has_committed, content, curcid);
	scan->own = write_set_is_empty() ? NULL : write_set_find(key, key_size);
}

void
merge_scan_start(MergeScan *scan, const uint8 *lower, uint32 lower_size,
				 const uint8 *upper, uint32 upper_size,
				 bool backward, bool has_committed, RangeContent content,
				 CommandId curcid, int items_expected)
{
	set_bound(&scan->lower, lower, lower_size);
	set_bound(&scan->upper, upper, upper_size);
	scan->only_key = NULL;
	scan->backward = backward;
	start(scan, has_committed, content, curcid);
	scan->items_wanted = Max(items_expected, BATCH_ITEMS_MIN);
	scan->bytes_wanted = Min(Max(scan->items_wanted * ITEM_BYTES_EXPECTED, BATCH_BYTES_MIN),
							 BATCH_BYTES_MAX);

	/* Own entries first: the bounds move as batches are read. */
	if (write_set_is_empty())
		scan->own = NULL;
	else if (backward)
		set_own(scan, write_set_seek_before(upper, upper_size, false));
	else
		set_own(scan, write_set_seek(lower, lower_size, false));
}

static const uint8 *
item_key(const MergeScan *scan, int item, uint32 *size)
{
	*size = scan->batch.items[item].key_size;
	return scan->batch.data + scan->batch.items[item].key_offset;
}

/* Makes sure that batch_next is an item, unless the range has no more. */
static bool
fill_batch(MergeScan *scan)
{
	while (scan->batch_next >= scan->batch.count)
	{
		if (scan->batch_last)
			return false;
		CHECK_FOR_INTERRUPTS();
		if (scan->only_key != NULL)
		{
			storage_read_key(&scan->batch, scan->only_key, scan->only_key_size,
							 scan->content, scan->timestamp);
			scan->batch_next = 0;
			scan->batch_last = true;
			continue;
		}
		storage_read_range(&scan->batch,
						   (uint8 *) scan->lower.data, scan->lower.len,
						   (uint8 *) scan->upper.data, scan->upper.len,
						   scan->backward, scan->content, scan->timestamp,
						   scan->bytes_wanted, scan->items_wanted);
		scan->batch_next = 0;
		scan->batch_last = scan->batch.end;
		if (!scan->batch.end)
		{
			StringInfo	bound = scan->backward ? &scan->upper : &scan->lower;

			set_bound(bound, scan->batch.resume, scan->batch.resume_size);
		}
		scan->bytes_wanted = Min(scan->bytes_wanted * BATCH_GROWTH, BATCH_BYTES_MAX);
		scan->items_wanted = Min(scan->items_wanted * BATCH_GROWTH, BATCH_ITEMS_MAX);
	}
	return true;
}

static void
take_committed(MergeScan *scan)
{
	const RangeItem *item = &scan->batch.items[scan->batch_next];

	scan->key = scan->batch.data + item->key_offset;
	scan->key_size = item->key_size;
	scan->value = scan->batch.data + item->value_offset;
	scan->value_size = item->value_size;
	scan->version = NULL;
	scan->batch_next++;
}

static void
step_own(MergeScan *scan)
{
	WriteEntry *entry = scan->own;

	if (scan->only_key != NULL)
		scan->own = NULL;
	else if (scan->backward)
		set_own(scan, write_set_seek_before(write_entry_key(entry), entry->key_size, false));
	else
		set_own(scan, write_entry_next(entry));
}

/* True if the entry's visible version is a live one; it becomes the item. */
static bool
take_own(MergeScan *scan, WriteEntry *entry, WriteVersion *version)
{
	if (version->value_size == 0)
		return false;
	scan->key = write_entry_key(entry);
	scan->key_size = entry->key_size;
	scan->value = version->value;
	scan->value_size = version->value_size;
	scan->version = version;
	return true;
}

bool
merge_scan_next(MergeScan *scan)
{
	for (;;)
	{
		bool		has_committed = fill_batch(scan);
		WriteEntry *own = scan->own;
		WriteVersion *version;
		int			order = -1;

		if (own == NULL)
		{
			if (!has_committed)
				return false;
			take_committed(scan);
			return true;
		}

		if (has_committed)
		{
			uint32		size;
			const uint8 *key = item_key(scan, scan->batch_next, &size);

			order = key_compare(write_entry_key(own), own->key_size, key, size);
			if (scan->backward)
				order = -order;
			if (order > 0)
			{
				take_committed(scan);
				return true;
			}
		}

		/* The own entry comes first or stands on the same key. */
		version = write_entry_visible(own, scan->curcid);
		step_own(scan);
		if (order == 0)
		{
			if (version == NULL)
			{
				take_committed(scan);
				return true;
			}
			scan->batch_next++;
		}
		if (version != NULL && take_own(scan, own, version))
			return true;
	}
}

void
merge_scan_free(MergeScan *scan)
{
	if (scan->lower.data)
		pfree(scan->lower.data);
	if (scan->upper.data)
		pfree(scan->upper.data);
	if (scan->batch.data)
		pfree(scan->batch.data);
	if (scan->batch.items)
		pfree(scan->batch.items);
	if (scan->batch.resume)
		pfree(scan->batch.resume);
	memset(scan, 0, sizeof(*scan));
}

bool
merged_read(const uint8 *key, uint32 key_size, bool has_committed, CommandId curcid,
			const uint8 **value, uint32 *value_size, WriteVersion **version)
{
	static ValueBuffer buffer;

	*version = NULL;
	if (!write_set_is_empty())
	{
		WriteEntry *entry = write_set_find(key, key_size);
		WriteVersion *own = entry ? write_entry_visible(entry, curcid) : NULL;

		if (own != NULL)
		{
			*value = own->value;
			*value_size = own->value_size;
			*version = own;
			return own->value_size > 0;
		}
	}
	if (!has_committed)
		return false;
	if (buffer.context == NULL)
		buffer.context = TopMemoryContext;
	if (!storage_read(key, key_size, transaction_read_timestamp(), &buffer, value_size))
		return false;
	*value = buffer.data;
	return true;
}
