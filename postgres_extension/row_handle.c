/*
 * row_handle.c
 *	  See row_handle.h.
 *
 * An ItemPointer offers 32 bits of block number and, because bitmaps refuse
 * offsets above MaxHeapTuplesPerPage, 8 bits of offset (1..256): a number of
 * 40 bits, of which the top one marks own versions.
 */
#include "borealis.h"

#include "access/htup_details.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "row_handle.h"

#define OWN_BIT			(UINT64CONST(1) << 39)
#define INTERNED_FIRST	16
#define NUMBER_MASK		(OWN_BIT - 1)
/* the last block number means "invalid" */
#define NUMBER_MAX		(NUMBER_MASK - ROW_HANDLE_OFFSETS)

StaticAssertDecl(sizeof(BlockIdData) == sizeof(BlockNumber), "block number as it is stored");
StaticAssertDecl(ROW_HANDLE_OFFSETS <= MaxHeapTuplesPerPage, "bitmaps refuse such offsets");

typedef struct InternedKey
{
	uint64		number;
	uint32		hash;
	uint32		size;
	uint8		key[FLEXIBLE_ARRAY_MEMBER];
} InternedKey;

typedef struct KeyProbe
{
	const uint8 *key;
	uint32		size;
} KeyProbe;

typedef struct InternedEntry
{
	KeyProbe	probe;
	InternedKey *interned;
	char		status;
} InternedEntry;

static inline bool
probes_equal(KeyProbe a, KeyProbe b)
{
	return a.size == b.size && memcmp(a.key, b.key, a.size) == 0;
}

#define SH_PREFIX interned
#define SH_ELEMENT_TYPE InternedEntry
#define SH_KEY_TYPE KeyProbe
#define SH_KEY probe
#define SH_HASH_KEY(table, a) hash_bytes((a).key, (a).size)
#define SH_EQUAL(table, a, b) probes_equal(a, b)
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

CurrentRow	current_row;
bool		row_handles_are_kept = false;

static MemoryContext handle_context = NULL;
static interned_hash *interned_keys = NULL;
static InternedKey **interned_by_number = NULL;
static uint64 interned_count = 0;
static uint64 interned_capacity = 0;
uint32		row_handle_transient_next = 0;

static bool
get_number(const ItemPointerData *handle, uint64 *number)
{
	OffsetNumber offset = ItemPointerGetOffsetNumberNoCheck(handle);

	if (offset < 1 || offset > ROW_HANDLE_OFFSETS)
		return false;
	*number = (uint64) ItemPointerGetBlockNumberNoCheck(handle) * ROW_HANDLE_OFFSETS + offset - 1;
	return true;
}

void
row_handle_for_version(const WriteVersion *version, ItemPointer handle)
{
	if (unlikely(version->number > NUMBER_MAX))
		elog(ERROR, "too many row versions in one transaction");
	row_handle_set_number(handle, version->number | OWN_BIT);
}

void
row_handle_for_order(uint64 number, ItemPointer handle)
{
	row_handle_set_number(handle, Min(number, NUMBER_MAX));
}

bool
row_handle_is_transient(const ItemPointerData *handle)
{
	uint64		number;

	return get_number(handle, &number) && number < ROW_HANDLE_TRANSIENTS;
}

void
row_handle_intern(const uint8 *key, uint32 key_size, ItemPointer handle)
{
	KeyProbe	probe = {key, key_size};
	InternedEntry *entry;
	InternedKey *interned;
	bool		found;

	if (interned_keys == NULL)
	{
		if (handle_context == NULL)
			handle_context = AllocSetContextCreate(TopMemoryContext, "borealis row handles",
												   ALLOCSET_DEFAULT_SIZES);
		interned_keys = interned_create(handle_context, INTERNED_FIRST, NULL);
		interned_capacity = INTERNED_FIRST;
		interned_count = 0;
		interned_by_number = MemoryContextAlloc(handle_context,
												interned_capacity * sizeof(InternedKey *));
	}

	entry = interned_lookup(interned_keys, probe);
	if (entry != NULL)
	{
		row_handle_set_number(handle, entry->interned->number);
		return;
	}

	if (interned_count == interned_capacity)
	{
		interned_by_number = repalloc_huge(interned_by_number,
										   interned_capacity * 2 * sizeof(InternedKey *));
		interned_capacity *= 2;
	}
	interned = MemoryContextAlloc(handle_context, offsetof(InternedKey, key) + key_size);
	interned->number = ROW_HANDLE_TRANSIENTS + interned_count;
	interned->size = key_size;
	memcpy(interned->key, key, key_size);
	if (unlikely(interned->number > NUMBER_MAX))
		elog(ERROR, "too many row handles in one transaction");

	probe.key = interned->key;
	entry = interned_insert(interned_keys, probe, &found);
	Assert(!found);
	entry->interned = interned;
	interned_by_number[interned_count++] = interned;
	row_handle_set_number(handle, interned->number);
}

bool
row_handle_resolve(const ItemPointerData *handle, RowAddress *address)
{
	uint64		number;

	if (!get_number(handle, &number))
		return false;

	if (number & OWN_BIT)
	{
		WriteVersion *version = write_set_version(number & NUMBER_MASK);

		if (version == NULL)
			return false;
		address->version = version;
		address->key = write_entry_key(version->entry);
		address->key_size = version->entry->key_size;
		return true;
	}

	if (number < ROW_HANDLE_TRANSIENTS)
		return false;
	number -= ROW_HANDLE_TRANSIENTS;
	if (number >= interned_count)
		return false;
	address->version = NULL;
	address->key = interned_by_number[number]->key;
	address->key_size = interned_by_number[number]->size;
	return true;
}

void
row_handles_reset(void)
{
	forget_current_row();
	row_handles_are_kept = false;
	if (interned_keys != NULL)
	{
		interned_keys = NULL;
		interned_by_number = NULL;
		interned_count = 0;
		interned_capacity = 0;
		MemoryContextReset(handle_context);
	}
}
