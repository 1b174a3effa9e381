#include "record.h"

#include "memory.h"

#define HEADER_BYTES 64
#define WRITE_BYTES 9
#define LOCK_BYTES 5
#define DROP_BYTES 4
#define DELTA_BYTES 20
#define KEEPS_RUNNING_TRANSACTIONS 1

/* First bytes of keys. */
#define NAMESPACE_ROW 0x10
#define NAMESPACE_INDEX 0x20
#define NAMESPACE_CATALOG 0x30
#define NAMESPACE_STATISTICS 0x40

struct sizes
{
	uint32_t	writes;
	uint32_t	locks;
	uint32_t	entry_bytes;
	uint32_t	drops;
	uint32_t	deltas;
	uint32_t	flags;
};

static struct sizes
load_sizes(const uint8_t *data)
{
	struct sizes sizes = {load_u32(data + 40), load_u32(data + 44), load_u32(data + 48),
						  load_u32(data + 52), load_u32(data + 56), load_u32(data + 60)};

	return sizes;
}

static struct key_array
key_array_at(const uint8_t *at, uint32_t count, size_t ends_bytes)
{
	struct key_array array = {count, at, at + count, at + count + ends_bytes};

	return array;
}

/* The bytes of all keys; there is at least one. */
static size_t
keys_bytes(const struct key_array *array)
{
	return key_end(array, array->count - 1);
}

static const char *
check_codes(const struct key_array *array, uint8_t most, const char *problem)
{
	for (uint32_t number = 0; number < array->count; number++)
		if (array->codes[number] < 1 || array->codes[number] > most)
			return problem;
	return NULL;
}

/* The last end is known to lie within the record. */
static const char *
check_keys(const struct key_array *array, uint32_t least_bytes, int is_of_writes)
{
	uint32_t	start = 0;

	for (uint32_t number = 0; number < array->count; number++)
	{
		uint32_t	end = key_end(array, number);
		uint8_t		first;

		if (end < start || end - start < least_bytes || end - start > KEY_BYTES_MAX || end > keys_bytes(array))
			return is_of_writes ? "a key is not 6 to 1962 bytes long" : "a key is not 5 to 1962 bytes long";
		first = array->keys[start];
		if (first != NAMESPACE_ROW && first != NAMESPACE_INDEX &&
			(is_of_writes || (first != NAMESPACE_CATALOG && first != NAMESPACE_STATISTICS)))
			return "a key is outside of the namespaces that are allowed";
		start = end;
	}
	return NULL;
}

static int
compare_keys(const uint8_t *left, size_t left_bytes, const uint8_t *right, size_t right_bytes)
{
	int			order = memcmp(left, right, left_bytes < right_bytes ? left_bytes : right_bytes);

	return order != 0 ? order : left_bytes < right_bytes ? -1 : left_bytes > right_bytes;
}

/* What compare_numbers looks at: qsort has no room for it. */
static __thread const struct key_array *compared;

static int
compare_numbers(const void *left, const void *right)
{
	const struct key_array *array = compared;
	uint32_t	numbers[2] = {*(const uint32_t *) left, *(const uint32_t *) right};
	size_t		starts[2];

	for (int side = 0; side < 2; side++)
		starts[side] = numbers[side] == 0 ? 0 : key_end(array, numbers[side] - 1);
	return compare_keys(array->keys + starts[0], key_end(array, numbers[0]) - starts[0], array->keys + starts[1],
						key_end(array, numbers[1]) - starts[1]);
}

/* Query processors write keys in ascending order; nothing relies on it, but others have to be sorted first. */
static int
are_ascending(const struct key_array *array)
{
	size_t		before = 0;
	size_t		start;

	for (uint32_t number = 1; number < array->count; number++)
	{
		start = key_end(array, number - 1);
		if (compare_keys(array->keys + before, start - before, array->keys + start, key_end(array, number) - start) >= 0)
			return 0;
		before = start;
	}
	return 1;
}

static int
are_distinct(const struct key_array *array)
{
	uint32_t   *numbers;
	int			is_distinct = 1;

	if (are_ascending(array))
		return 1;
	numbers = tx_resize(NULL, array->count, sizeof *numbers);
	for (uint32_t number = 0; number < array->count; number++)
		numbers[number] = number;
	compared = array;
	qsort(numbers, array->count, sizeof *numbers, compare_numbers);
	for (uint32_t number = 1; number < array->count && is_distinct; number++)
		is_distinct = compare_numbers(&numbers[number - 1], &numbers[number]) != 0;
	free(numbers);
	return is_distinct;
}

static const char *
check_values(const struct key_array *writes, const uint8_t *ends)
{
	uint32_t	start = 0;
	int			is_misplaced = 0;

	for (uint32_t number = 0; number < writes->count; number++)
	{
		uint32_t	end = load_u32(ends + 4 * (size_t) number);
		uint8_t		operation = writes->codes[number];
		int			has_value = operation != DELETE && operation != DELETE_UNCHECKED;

		if (end < start)
			return "the value ends fall";
		is_misplaced |= (end > start) != has_value;
		start = end;
	}
	return is_misplaced ? "a value is empty where it must not be, or the other way round" : NULL;
}

static const char *
check_writes(const uint8_t *data, size_t length, uint32_t count, size_t *at)
{
	struct key_array writes = key_array_at(data + HEADER_BYTES, count, 8 * (size_t) count);
	const uint8_t *value_ends = writes.ends + 4 * (size_t) count;
	const char *problem = check_codes(&writes, DELETE_UNCHECKED, "an operation is not known");
	size_t		end;

	if (problem != NULL)
		return problem;
	end = HEADER_BYTES + WRITE_BYTES * (size_t) count + keys_bytes(&writes) + load_u32(value_ends + 4 * (size_t) (count - 1));
	if (end > length)
		return "the keys and values reach beyond the record";
	problem = check_keys(&writes, TABLE_KEY_BYTES + 1, 1);
	if (problem == NULL && !are_distinct(&writes))
		problem = "a key occurs twice among the writes";
	if (problem == NULL)
		problem = check_values(&writes, value_ends);
	*at = end;
	return problem;
}

static const char *
check_locks(const uint8_t *data, size_t length, uint32_t count, size_t *at)
{
	struct key_array locks = key_array_at(data + *at, count, 4 * (size_t) count);
	size_t		keys_at = *at + LOCK_BYTES * (size_t) count;
	const char *problem;
	size_t		start = 0;

	if (keys_at > length)
		return "the locks reach beyond the record";
	problem = check_codes(&locks, LOCK_EXCLUSIVE, "a lock mode is not known");
	if (problem != NULL)
		return problem;
	if (keys_at + keys_bytes(&locks) > length)
		return "the lock keys reach beyond the record";
	problem = check_keys(&locks, TABLE_KEY_BYTES, 0);
	if (problem != NULL)
		return problem;
	for (uint32_t number = 0; number < count; number++)
	{
		size_t		end = key_end(&locks, number);

		if (end - start == TABLE_KEY_BYTES &&
			(locks.codes[number] != LOCK_EXCLUSIVE || locks.keys[start] != NAMESPACE_ROW))
			return "a whole table can only be locked in exclusive mode";
		start = end;
	}
	*at = keys_at + start;
	return NULL;
}

static const char *
check_relations(const uint8_t *data, size_t length, const struct sizes *sizes, size_t *at)
{
	size_t		deltas_at = *at + DROP_BYTES * (size_t) sizes->drops;
	size_t		end = deltas_at + DELTA_BYTES * (size_t) sizes->deltas;

	if (end > length)
		return "the relations reach beyond the record";
	for (; *at < deltas_at; *at += DROP_BYTES)
		if (load_u32(data + *at) == 0)
			return "a dropped relfilenode is zero";
	for (; *at < end; *at += DELTA_BYTES)
		if (load_u32(data + *at) == 0)
			return "the relfilenode of a delta is zero";
	return NULL;
}

const char *
tx_check_record(const uint8_t *data, size_t length)
{
	struct sizes sizes;
	size_t		at = HEADER_BYTES;
	const char *problem;

	if (length < HEADER_BYTES)
		return "a transaction record is shorter than its header";
	sizes = load_sizes(data);
	if (HEADER_BYTES + WRITE_BYTES * (uint64_t) sizes.writes + LOCK_BYTES * (uint64_t) sizes.locks + sizes.entry_bytes +
		DROP_BYTES * (uint64_t) sizes.drops + DELTA_BYTES * (uint64_t) sizes.deltas > length)
		return "a transaction record is shorter than its header announces";
	if (sizes.writes > 0 && (problem = check_writes(data, length, sizes.writes, &at)) != NULL)
		return problem;
	if (sizes.locks > 0 && (problem = check_locks(data, length, sizes.locks, &at)) != NULL)
		return problem;
	if (sizes.flags & ~KEEPS_RUNNING_TRANSACTIONS)
		return "a flag is not known";
	if (sizes.entry_bytes == 0 && (sizes.flags != 0 || load_u64(data + 32) != 0))
		return "a catalog version or flag is given without a catalog entry";
	if (sizes.entry_bytes > length - at)
		return "the catalog entry reaches beyond the record";
	at += sizes.entry_bytes;
	if ((problem = check_relations(data, length, &sizes, &at)) != NULL)
		return problem;
	return at == length ? NULL : "a transaction record does not end where its header says";
}

void
open_record(const uint8_t *data, size_t length, struct record *record)
{
	struct sizes sizes = load_sizes(data);
	size_t		at = HEADER_BYTES;

	record->id = data;
	record->read_timestamp = load_u64(data + 16);
	record->schema_version = load_u64(data + 24);
	record->follows_catalog_version = load_u64(data + 32);
	record->writes = key_array_at(data + at, sizes.writes, 8 * (size_t) sizes.writes);
	if (sizes.writes > 0)
		at += WRITE_BYTES * (size_t) sizes.writes + keys_bytes(&record->writes) +
			load_u32(record->writes.ends + 4 * (size_t) (2 * (size_t) sizes.writes - 1));
	record->locks = key_array_at(data + at, sizes.locks, 4 * (size_t) sizes.locks);
	record->entry_bytes = sizes.entry_bytes;
	record->dropped_count = sizes.drops;
	record->dropped = data + length - DELTA_BYTES * (size_t) sizes.deltas - DROP_BYTES * (size_t) sizes.drops;
	record->invalidates_running = sizes.entry_bytes > 0 && sizes.flags == 0;
}
