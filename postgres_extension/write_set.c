/*
 * write_set.c
 *	  The current transaction's writes and locks: an ordered map from keys to
 *	  stacks of versions, with undo for subtransactions.
 *
 * Owns every byte it hands out: entries and versions live in two arenas of this
 * file and go away together in write_set_reset.
 *
 * The map is a skip list (expected four entries per step up).  Entries are
 * never unlinked: one whose versions were all rolled back stays, empty.  That
 * keeps pointers of scans valid, and lets fingers work: for each relfilenode
 * written lately we remember the way to the last key inserted, and a search for
 * a key behind it starts there.  All entries on such a way stay smaller than
 * the key, so an outdated way costs steps, never correctness.  Loading a table
 * in key order, with its indexes' entries in between, so costs the same for
 * every row.
 *
 * Numbers of versions index the log.  Rolling back takes a version out of the
 * log but leaves its place empty, so a number never names two versions in one
 * transaction: a row handle that outlives its subtransaction finds nothing
 * instead of another row.  That is eight bytes per version rolled back; the
 * versions' own memory is taken back, because the version arena is a stack like
 * the subtransactions.
 *
 * Assumes one thread, and that command ids never decrease in a transaction.
 */
#include "postgres.h"

#include "access/xact.h"
#include "common/pg_prng.h"
#include "port/pg_bitutils.h"
#include "utils/memutils.h"

#include "arena.h"
#include "key_order.h"
#include "write_set.h"

#define HEIGHT_MAX 14			/* plenty for 4^14 entries */
#define FINGERS 16				/* power of two */
#define ARRAY_FIRST_CAPACITY 256

/* What the record spends on a write beside key and value, and on a lock beside key. */
#define RECORD_WRITE_OVERHEAD (sizeof(uint8) + 2 * sizeof(uint32))
#define RECORD_LOCK_OVERHEAD (sizeof(uint8) + sizeof(uint32))

/* Way to the place before an entry: at each level the last smaller entry. */
typedef struct Finger
{
	WriteEntry *entry;			/* NULL: free */
	int			levels;
	WriteEntry *path[HEIGHT_MAX];
} Finger;

typedef struct LockUndo
{
	WriteEntry *entry;
	uint8		mode_before;
} LockUndo;

/* State at the start of a subtransaction. */
typedef struct SubtransactionMark
{
	SubTransactionId id;
	uint64		versions;
	uint64		lock_undos;
	uint64		dropped;
	ArenaMark	arena;
} SubtransactionMark;

/* Memory of the arrays and arenas, except the arenas' first blocks. */
static MemoryContext write_set_context = NULL;

static Arena entry_arena;
static Arena version_arena;

/* The entry before all others; only its tower is used. */
static union
{
	WriteEntry	entry;
	char		space[offsetof(WriteEntry, next) + HEIGHT_MAX * sizeof(WriteEntry *)];
}			head;
static int	levels_used;		/* height of the highest tower */
static Finger fingers[FINGERS];
static bool fingers_used;

static WriteVersion **version_log;
static uint64 version_log_size;
static uint64 version_log_capacity;

/* Only kept inside subtransactions: nobody undoes the top one's locks. */
static LockUndo *lock_undos;
static uint64 lock_undos_size;
static uint64 lock_undos_capacity;

static SubtransactionMark *marks;
static uint64 marks_size;
static uint64 marks_capacity;

static Oid *dropped;
static uint64 dropped_size;
static uint64 dropped_capacity;

/* Every version from this number on has been rolled back. */
static uint64 live_versions_end;
static uint64 live_versions;
static uint64 live_locks;
static uint64 record_bytes;

StaticAssertDecl(offsetof(WriteVersion, value) == MAXALIGN(offsetof(WriteVersion, value)),
				 "a version's value must be aligned for any type");

/* ---------------------------------------------------------------- memory */

/* Makes room for one more element. */
static void *
array_grow(void *array, uint64 *capacity, Size element_size)
{
	uint64		capacity_new = *capacity == 0 ? ARRAY_FIRST_CAPACITY : *capacity * 2;

	if (array == NULL)
		array = MemoryContextAllocHuge(write_set_context, capacity_new * element_size);
	else
		array = repalloc_huge(array, capacity_new * element_size);
	*capacity = capacity_new;
	return array;
}

static void
write_set_init(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "Borealis write set",
												  ALLOCSET_DEFAULT_SIZES);

	arena_init(&entry_arena, context);
	arena_init(&version_arena, context);
	write_set_context = context;
}

/* ------------------------------------------------------------- skip list */

static inline int
entry_compare(const WriteEntry *entry, const uint8 *key, uint32 key_size)
{
	return key_compare(write_entry_key(entry), entry->key_size, key, key_size);
}

/* The finger for keys of the same namespace and, mostly, relfilenode. */
static inline Finger *
finger_of(const uint8 *key, uint32 key_size)
{
	if (key_size < KEY_PREFIX_SIZE)
		return &fingers[0];
	return &fingers[((key[0] >> 4) + key[4] * 3) % FINGERS];
}

/*
 * Finds, at each level in use, the last entry smaller than the key.  Returns
 * the entry of the key, or NULL.
 */
static WriteEntry *
locate(const uint8 *key, uint32 key_size, WriteEntry **path)
{
	const Finger *finger = finger_of(key, key_size);
	WriteEntry *entry = &head.entry;
	WriteEntry *not_smaller = NULL; /* nearest entry known to be >= the key */
	bool		is_equal = false;	/* is it the key's? */
	int			finger_order = 1;

	if (finger->entry != NULL)
		finger_order = entry_compare(finger->entry, key, key_size);

	for (int level = levels_used - 1; level >= 0; level--)
	{
		WriteEntry *next;

		if (finger_order <= 0 && level < finger->levels)
			entry = finger_order < 0 && level < finger->entry->height
				? finger->entry : finger->path[level];
		while ((next = entry->next[level]) != NULL && next != not_smaller)
		{
			int			order = entry_compare(next, key, key_size);

			if (order >= 0)
			{
				not_smaller = next;
				is_equal = (order == 0);
				break;
			}
			entry = next;
			finger_order = 1;	/* we are ahead of the finger's way */
		}
		path[level] = entry;
	}
	return is_equal ? not_smaller : NULL;
}

/* Each level is a quarter as likely as the one below. */
static inline int
random_height(void)
{
	uint64		bits = pg_prng_uint64(&pg_global_prng_state);
	int			height = 1 + pg_rightmost_one_pos64(bits | (UINT64CONST(1) << 62)) / 2;

	return Min(height, HEIGHT_MAX);
}

static WriteEntry *
find_or_insert(const uint8 *key, uint32 key_size)
{
	WriteEntry *path[HEIGHT_MAX];
	WriteEntry *entry;
	Finger	   *finger;
	int			height;

	if (key_size == 0 || key_size > KEY_SIZE_MAX)
		elog(ERROR, "key of %u bytes in a write set", key_size);
	/* workers would not see it */
	if (unlikely(IsInParallelMode()))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot write or lock rows during a parallel operation")));
	if (unlikely(write_set_context == NULL))
		write_set_init();

	entry = locate(key, key_size, path);
	if (entry != NULL)
		return entry;

	height = random_height();
	entry = arena_allocate(&entry_arena,
						   offsetof(WriteEntry, next) + height * sizeof(WriteEntry *) + key_size);
	entry->newest = NULL;
	entry->key_size = (uint16) key_size;
	entry->height = (uint8) height;
	entry->lock_mode = KEY_LOCK_NONE;
	entry->net_operation = 0;
	entry->net_lock = 0;
	memcpy(&entry->next[height], key, key_size);

	while (levels_used < height)
	{
		head.entry.next[levels_used] = NULL;
		path[levels_used++] = &head.entry;
	}
	for (int level = 0; level < height; level++)
	{
		entry->next[level] = path[level]->next[level];
		path[level]->next[level] = entry;
	}

	finger = finger_of(key, key_size);
	finger->entry = entry;
	finger->levels = levels_used;
	memcpy(finger->path, path, levels_used * sizeof(WriteEntry *));
	fingers_used = true;
	return entry;
}

WriteEntry *
write_set_find(const uint8 *key, uint32 key_size)
{
	WriteEntry *path[HEIGHT_MAX];

	return locate(key, key_size, path);
}

WriteEntry *
write_set_first(void)
{
	return levels_used == 0 ? NULL : head.entry.next[0];
}

WriteEntry *
write_set_seek(const uint8 *key, uint32 key_size, bool exclusive)
{
	WriteEntry *path[HEIGHT_MAX];
	WriteEntry *entry;

	if (levels_used == 0)
		return NULL;
	if (key_size == 0)
		return head.entry.next[0];
	entry = locate(key, key_size, path);
	if (entry == NULL)
		return path[0]->next[0];
	return exclusive ? entry->next[0] : entry;
}

WriteEntry *
write_set_seek_before(const uint8 *key, uint32 key_size, bool inclusive)
{
	WriteEntry *path[HEIGHT_MAX];
	WriteEntry *entry;

	if (levels_used == 0 || key_size == 0)
		return NULL;
	entry = locate(key, key_size, path);
	if (entry != NULL && inclusive)
		return entry;
	return path[0] == &head.entry ? NULL : path[0];
}

/* ------------------------------------------------------ versions and locks */

/* Bytes of the record that an entry takes with this version as its newest. */
static inline uint64
version_record_bytes(const WriteVersion *version)
{
	if (version == NULL)
		return 0;
	return RECORD_WRITE_OVERHEAD + version->entry->key_size + version->value_size;
}

WriteVersion *
write_set_reserve(const uint8 *key, uint32 key_size, WriteOperation operation,
				  CommandId cid, TransactionId xid, uint32 value_size)
{
	WriteEntry *entry = find_or_insert(key, key_size);
	WriteVersion *version;

	Assert(operation >= WRITE_INSERT && operation <= WRITE_INDEX_DELETE);
	Assert((value_size == 0) == (operation == WRITE_DELETE || operation == WRITE_INDEX_DELETE));

	/* All that can fail comes before the first change. */
	if (version_log_size == version_log_capacity)
		version_log = array_grow(version_log, &version_log_capacity, sizeof(WriteVersion *));
	version = arena_allocate(&version_arena, offsetof(WriteVersion, value) + (Size) value_size);

	version->older = entry->newest;
	version->entry = entry;
	version->cid = cid;
	version->cmax = InvalidCommandId;
	version->xid = xid;
	version->operation = (uint8) operation;
	version->is_moved = false;
	version->value_size = value_size;
	version->replaced_size = 0;
	version->number = version_log_size;

	record_bytes += version_record_bytes(version) - version_record_bytes(entry->newest);
	if (entry->newest != NULL)
		entry->newest->cmax = cid;
	entry->newest = version;
	version_log[version_log_size++] = version;
	live_versions_end = version_log_size;
	live_versions++;
	return version;
}

WriteVersion *
write_set_put(const uint8 *key, uint32 key_size, WriteOperation operation,
			  CommandId cid, TransactionId xid, const uint8 *value, uint32 value_size)
{
	WriteVersion *version = write_set_reserve(key, key_size, operation, cid, xid, value_size);

	if (value_size > 0)
		memcpy(version->value, value, value_size);
	return version;
}

WriteVersion *
write_set_version(uint64 number)
{
	return number < version_log_size ? version_log[number] : NULL;
}

static inline void
entry_set_lock_mode(WriteEntry *entry, uint8 mode)
{
	int			locks = (mode != KEY_LOCK_NONE) - (entry->lock_mode != KEY_LOCK_NONE);

	live_locks += locks;
	record_bytes += (int64) locks * (int64) (RECORD_LOCK_OVERHEAD + entry->key_size);
	entry->lock_mode = mode;
}

void
write_set_lock(const uint8 *key, uint32 key_size, KeyLockMode mode)
{
	WriteEntry *entry = find_or_insert(key, key_size);

	Assert(mode >= KEY_LOCK_KEY_SHARE && mode <= KEY_LOCK_EXCLUSIVE);
	if (entry->lock_mode >= mode)
		return;
	if (marks_size > 0)
	{
		if (lock_undos_size == lock_undos_capacity)
			lock_undos = array_grow(lock_undos, &lock_undos_capacity, sizeof(LockUndo));
		lock_undos[lock_undos_size].entry = entry;
		lock_undos[lock_undos_size].mode_before = entry->lock_mode;
		lock_undos_size++;
	}
	entry_set_lock_mode(entry, (uint8) mode);
}

bool
write_set_is_empty(void)
{
	return live_versions == 0 && live_locks == 0;
}

uint64
write_set_bytes(void)
{
	return record_bytes;
}

void
write_set_drop_relfilenode(Oid relfilenode)
{
	if (write_set_context == NULL)
		write_set_init();
	if (dropped_size == dropped_capacity)
		dropped = array_grow(dropped, &dropped_capacity, sizeof(Oid));
	dropped[dropped_size++] = relfilenode;
}

const Oid *
write_set_dropped(uint64 *count)
{
	*count = dropped_size;
	return dropped;
}

/* -------------------------------------------------- ends of (sub)transactions */

void
write_set_reset(void)
{
	if (write_set_context == NULL)
		return;

	arena_reset(&entry_arena);
	arena_reset(&version_arena);
	/* Costs nothing if nothing was allocated since the last time. */
	MemoryContextReset(write_set_context);
	version_log = NULL;
	version_log_size = version_log_capacity = 0;
	lock_undos = NULL;
	lock_undos_size = lock_undos_capacity = 0;
	marks = NULL;
	marks_size = marks_capacity = 0;
	dropped = NULL;
	dropped_size = dropped_capacity = 0;
	if (fingers_used)
		for (int i = 0; i < FINGERS; i++)
			fingers[i].entry = NULL;
	fingers_used = false;
	levels_used = 0;
	live_versions_end = live_versions = live_locks = record_bytes = 0;
}

void
write_set_subtransaction_start(SubTransactionId id)
{
	SubtransactionMark *mark;

	if (write_set_context == NULL)
		write_set_init();
	if (marks_size == marks_capacity)
		marks = array_grow(marks, &marks_capacity, sizeof(SubtransactionMark));
	mark = &marks[marks_size++];
	mark->id = id;
	mark->versions = version_log_size;
	mark->lock_undos = lock_undos_size;
	mark->dropped = dropped_size;
	mark->arena = arena_mark(&version_arena);
}

/*
 * Everything since the mark now lies behind the parent's mark, which is all
 * that belonging to the parent means.
 */
void
write_set_subtransaction_commit(SubTransactionId id, SubTransactionId parent)
{
	if (marks_size == 0 || marks[marks_size - 1].id != id)
		elog(ERROR, "subtransaction %u ends out of turn in the write set", id);
	marks_size--;
	if (marks_size == 0)
		lock_undos_size = 0;
}

void
write_set_subtransaction_abort(SubTransactionId id)
{
	SubtransactionMark *mark;

	/* One that failed before it was announced has left nothing behind. */
	if (marks_size == 0 || marks[marks_size - 1].id != id)
		return;
	mark = &marks[--marks_size];

	for (; live_versions_end > mark->versions; live_versions_end--)
	{
		WriteVersion *version = version_log[live_versions_end - 1];
		WriteEntry *entry;

		if (version == NULL)
			continue;			/* rolled back with a subtransaction of this one */
		entry = version->entry;
		Assert(entry->newest == version);
		record_bytes += version_record_bytes(version->older) - version_record_bytes(version);
		entry->newest = version->older;
		if (entry->newest != NULL)
			entry->newest->cmax = InvalidCommandId;
		version_log[live_versions_end - 1] = NULL;
		live_versions--;
	}
	arena_rewind(&version_arena, mark->arena);

	while (lock_undos_size > mark->lock_undos)
	{
		LockUndo   *undo = &lock_undos[--lock_undos_size];

		entry_set_lock_mode(undo->entry, undo->mode_before);
	}
	dropped_size = mark->dropped;
}
