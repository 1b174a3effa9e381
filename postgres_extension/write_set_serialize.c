/*
 * write_set_serialize.c
 *	  The write set as sections of a transaction record (docs/formats.md).
 *
 * What is shipped for a key is the net effect of its surviving versions.  The
 * first of them was written when the transaction saw the committed state of the
 * key and nothing of its own: versions of one key are undone newest first, so
 * whatever lay below it at that moment would have survived with it.  Its
 * operation therefore tells whether a committed version is live at the read
 * timestamp: WRITE_INSERT and WRITE_INDEX_PUT say no, all others say yes.
 */
#include "postgres.h"

#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "commit_client.h"
#include "write_set.h"

#define NET_NOTHING 0			/* no write for this entry */
#define TRANSACTION_RECORD_HEADER_SIZE 64

/* Sizes found by the first pass; the second one fills what they describe. */
typedef struct RecordPlan
{
	WriteSetCounts counts;
	uint64		key_bytes;
	uint64		value_bytes;
	uint64		lock_key_bytes;
	uint64		total;
} RecordPlan;

/* Where the second pass writes next. */
typedef struct RecordCursor
{
	char	   *operations;
	char	   *key_ends;
	char	   *value_ends;
	char	   *keys;
	char	   *values;
	char	   *lock_modes;
	char	   *lock_key_ends;
	char	   *lock_keys;
	uint32		key_end;
	uint32		value_end;
	uint32		lock_key_end;
} RecordCursor;

/* What the transaction changes about a relation's size. */
typedef struct RelationDelta
{
	Oid			relfilenode;
	int64		rows;
	int64		bytes;
} RelationDelta;

typedef struct RelationDeltas
{
	RelationDelta *items;
	int			capacity;
	uint32		count;
} RelationDeltas;

/* The relfilenodes to drop, sorted, each once. */
typedef struct DroppedRelations
{
	Oid		   *items;
	uint32		count;
} DroppedRelations;

static int
oid_compare(const void *a, const void *b)
{
	Oid			left = *(const Oid *) a;
	Oid			right = *(const Oid *) b;

	return (left > right) - (left < right);
}

static DroppedRelations
collect_dropped(void)
{
	DroppedRelations result = {NULL, 0};
	uint64		count;
	const Oid  *dropped = write_set_dropped(&count);

	if (count == 0)
		return result;
	result.items = MemoryContextAllocHuge(CurrentMemoryContext, count * sizeof(Oid));
	memcpy(result.items, dropped, count * sizeof(Oid));
	qsort(result.items, count, sizeof(Oid), oid_compare);
	for (uint64 i = 0; i < count; i++)
		if (i == 0 || result.items[i] != result.items[i - 1])
			result.items[result.count++] = result.items[i];
	return result;
}

static Oid
key_relfilenode(const WriteEntry *entry)
{
	uint32		relfilenode;

	if (entry->key_size < KEY_PREFIX_SIZE)
		elog(ERROR, "key of %u bytes has no relfilenode", entry->key_size);
	memcpy(&relfilenode, write_entry_key(entry) + 1, sizeof(relfilenode));
	return pg_ntoh32(relfilenode);
}

/*
 * The operation that takes the key from the committed state to the newest
 * version, or NET_NOTHING.
 */
static uint8
net_operation(const WriteEntry *entry)
{
	const WriteVersion *newest = entry->newest;
	const WriteVersion *oldest = newest;
	bool		is_update = true;

	if (newest == NULL)
		return NET_NOTHING;
	for (const WriteVersion *version = newest; version != NULL; version = version->older)
	{
		is_update = is_update && version->operation == WRITE_UPDATE;
		oldest = version;
	}

	switch ((WriteOperation) newest->operation)
	{
		case WRITE_INDEX_PUT:
			return WRITE_INDEX_PUT;
		case WRITE_INDEX_DELETE:
			return oldest->operation == WRITE_INDEX_PUT ? NET_NOTHING : WRITE_INDEX_DELETE;
		case WRITE_DELETE:
			return oldest->operation == WRITE_INSERT ? NET_NOTHING : WRITE_DELETE;
		case WRITE_INSERT:
		case WRITE_UPDATE:
		case WRITE_KEY_UPDATE:
			if (oldest->operation == WRITE_INSERT)
				return WRITE_INSERT;
			/* Deleted and inserted again, too, replaces a committed row. */
			return is_update ? WRITE_UPDATE : WRITE_KEY_UPDATE;
	}
	elog(ERROR, "write set holds operation %d", newest->operation);
	return NET_NOTHING;
}

/*
 * The lock to ship beside the write, or KEY_LOCK_NONE if the write's own
 * conflict class covers it.
 *
 * A row inserted and deleted again leaves no write, but that it could be
 * inserted at all rests on the key being free: nobody else may have taken it in
 * the meantime, so the claim is shipped as a lock.  An index entry that comes
 * and goes needs none: it is named after its row, whose key is in the record.
 */
static uint8
net_lock(const WriteEntry *entry)
{
	switch (entry->net_operation)
	{
		case NET_NOTHING:
			if (entry->newest != NULL && entry->newest->operation == WRITE_DELETE)
				return KEY_LOCK_EXCLUSIVE;
			return entry->lock_mode;
		case WRITE_UPDATE:
			return entry->lock_mode > KEY_LOCK_UPDATE ? entry->lock_mode : KEY_LOCK_NONE;
		case WRITE_INDEX_PUT:
		case WRITE_INDEX_DELETE:
			return entry->lock_mode;
		default:
			return KEY_LOCK_NONE;
	}
}

/* Entries come in key order: those of one table or index follow each other. */
static RelationDelta *
delta_of(RelationDeltas *deltas, Oid relfilenode)
{
	if (deltas->count == 0 || deltas->items[deltas->count - 1].relfilenode != relfilenode)
	{
		if (deltas->count == deltas->capacity)
		{
			deltas->capacity = Max(16, deltas->capacity * 2);
			deltas->items = deltas->items == NULL
				? palloc_array(RelationDelta, deltas->capacity)
				: repalloc_array(deltas->items, RelationDelta, deltas->capacity);
		}
		deltas->items[deltas->count++] = (RelationDelta) {.relfilenode = relfilenode};
	}
	return &deltas->items[deltas->count - 1];
}

static void
count_entry(RelationDeltas *deltas, const WriteEntry *entry, Oid relfilenode)
{
	RelationDelta *delta = delta_of(deltas, relfilenode);
	const WriteVersion *oldest = entry->newest;
	bool		is_new;

	while (oldest->older != NULL)
		oldest = oldest->older;
	is_new = oldest->operation == WRITE_INSERT || oldest->operation == WRITE_INDEX_PUT;
	if (entry->net_operation == WRITE_DELETE || entry->net_operation == WRITE_INDEX_DELETE)
	{
		delta->rows--;
		if (oldest->replaced_size > 0)
			delta->bytes -= entry->key_size + (int64) oldest->replaced_size;
	}
	else if (is_new)
	{
		delta->rows++;
		delta->bytes += entry->key_size + (int64) entry->newest->value_size;
	}
	else if (oldest->replaced_size > 0)
		delta->bytes += (int64) entry->newest->value_size - (int64) oldest->replaced_size;
}

/* An update that leaves sizes as they are is nothing that storage has to write. */
static void
forget_zero_deltas(RelationDeltas *deltas)
{
	uint32		kept = 0;

	for (uint32 i = 0; i < deltas->count; i++)
	{
		if (deltas->items[i].rows != 0 || deltas->items[i].bytes != 0)
			deltas->items[kept++] = deltas->items[i];
	}
	deltas->count = kept;
}

/* First pass: decides what is shipped for each entry, and adds up. */
static void
plan_record(RecordPlan *plan, RelationDeltas *deltas, const DroppedRelations *dropped)
{
	bool		is_first = true;
	bool		is_dropped = false;
	Oid			relfilenode_before = InvalidOid;

	for (WriteEntry *entry = write_set_first(); entry != NULL; entry = write_entry_next(entry))
	{
		Oid			relfilenode = key_relfilenode(entry);

		if (is_first || relfilenode != relfilenode_before)
		{
			is_dropped = dropped->count > 0 &&
				bsearch(&relfilenode, dropped->items, dropped->count, sizeof(Oid), oid_compare) != NULL;
			relfilenode_before = relfilenode;
			is_first = false;
		}

		entry->net_operation = is_dropped ? NET_NOTHING : net_operation(entry);
		/* that the rows of a rewritten table were read still counts */
		entry->net_lock = is_dropped && entry->key_size > KEY_PREFIX_SIZE ?
			KEY_LOCK_NONE : net_lock(entry);
		if (entry->net_operation != NET_NOTHING)
		{
			plan->counts.writes++;
			plan->key_bytes += entry->key_size;
			plan->value_bytes += entry->newest->value_size;
			count_entry(deltas, entry, relfilenode);
		}
		if (entry->net_lock != KEY_LOCK_NONE)
		{
			plan->counts.locks++;
			plan->lock_key_bytes += entry->key_size;
		}
	}
}

static uint64
record_size_max(int used)
{
	uint64		service = commit_client_size_max();

	/* A StringInfo's bytes are one memory chunk, which ends in a zero byte. */
	return Min(service, (uint64) MaxAllocSize - 1 - used);
}

static inline void
put_u32(char **position, uint32 value)
{
#ifdef WORDS_BIGENDIAN
	value = pg_bswap32(value);
#endif
	memcpy(*position, &value, sizeof(value));
	*position += sizeof(value);
}

static inline void
put_i64(char **position, int64 signed_value)
{
	uint64		value = (uint64) signed_value;

#ifdef WORDS_BIGENDIAN
	value = pg_bswap64(value);
#endif
	memcpy(*position, &value, sizeof(value));
	*position += sizeof(value);
}

static inline void
put_bytes(char **position, const void *bytes, Size size)
{
	memcpy(*position, bytes, size);
	*position += size;
}

/* Second pass over the entries. */
static void
fill_entries(RecordCursor *cursor)
{
	for (WriteEntry *entry = write_set_first(); entry != NULL; entry = write_entry_next(entry))
	{
		const uint8 *key = write_entry_key(entry);

		if (entry->net_operation != NET_NOTHING)
		{
			*cursor->operations++ = (char) entry->net_operation;
			cursor->key_end += entry->key_size;
			put_u32(&cursor->key_ends, cursor->key_end);
			cursor->value_end += entry->newest->value_size;
			put_u32(&cursor->value_ends, cursor->value_end);
			put_bytes(&cursor->keys, key, entry->key_size);
			put_bytes(&cursor->values, entry->newest->value, entry->newest->value_size);
		}
		if (entry->net_lock != KEY_LOCK_NONE)
		{
			*cursor->lock_modes++ = (char) entry->net_lock;
			cursor->lock_key_end += entry->key_size;
			put_u32(&cursor->lock_key_ends, cursor->lock_key_end);
			put_bytes(&cursor->lock_keys, key, entry->key_size);
		}
	}
}

static void
plan_total(RecordPlan *plan, uint32 catalog_entry_size, int used)
{
	uint64		limit = record_size_max(used);

	plan->total = (uint64) plan->counts.writes * (sizeof(uint8) + 2 * sizeof(uint32))
		+ plan->key_bytes + plan->value_bytes
		+ (uint64) plan->counts.locks * (sizeof(uint8) + sizeof(uint32)) + plan->lock_key_bytes
		+ catalog_entry_size
		+ (uint64) plan->counts.dropped * sizeof(uint32)
		+ (uint64) plan->counts.deltas * (sizeof(uint32) + 2 * sizeof(int64));
	if (plan->total + TRANSACTION_RECORD_HEADER_SIZE > limit)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("transaction size limit exceeded"),
				 errdetail("The transaction has " UINT64_FORMAT " bytes; the limit is " UINT64_FORMAT ".",
						   plan->total + TRANSACTION_RECORD_HEADER_SIZE, limit),
				 errhint("Write less in one transaction.")));
}

void
write_set_serialize(StringInfo out, const char *catalog_entry,
					uint32 catalog_entry_size, WriteSetCounts *counts)
{
	RecordPlan	plan = {0};
	RelationDeltas deltas = {0};
	DroppedRelations dropped = collect_dropped();
	RecordCursor cursor = {0};
	char	   *position;

	plan_record(&plan, &deltas, &dropped);
	forget_zero_deltas(&deltas);
	plan.counts.dropped = dropped.count;
	plan.counts.deltas = deltas.count;
	plan_total(&plan, catalog_entry_size, out->len);
	enlargeStringInfo(out, (int) plan.total);

	cursor.operations = out->data + out->len;
	cursor.key_ends = cursor.operations + plan.counts.writes;
	cursor.value_ends = cursor.key_ends + plan.counts.writes * sizeof(uint32);
	cursor.keys = cursor.value_ends + plan.counts.writes * sizeof(uint32);
	cursor.values = cursor.keys + plan.key_bytes;
	cursor.lock_modes = cursor.values + plan.value_bytes;
	cursor.lock_key_ends = cursor.lock_modes + plan.counts.locks;
	cursor.lock_keys = cursor.lock_key_ends + plan.counts.locks * sizeof(uint32);
	position = cursor.lock_keys + plan.lock_key_bytes;
	fill_entries(&cursor);

	if (catalog_entry_size > 0)
		put_bytes(&position, catalog_entry, catalog_entry_size);
	for (uint32 i = 0; i < dropped.count; i++)
		put_u32(&position, dropped.items[i]);
	for (uint32 i = 0; i < deltas.count; i++)
	{
		put_u32(&position, deltas.items[i].relfilenode);
		put_i64(&position, deltas.items[i].rows);
		put_i64(&position, deltas.items[i].bytes);
	}
	Assert(position == out->data + out->len + plan.total);

	out->len += (int) plan.total;
	out->data[out->len] = '\0';
	if (dropped.items != NULL)
		pfree(dropped.items);
	if (deltas.items != NULL)
		pfree(deltas.items);
	*counts = plan.counts;
}
