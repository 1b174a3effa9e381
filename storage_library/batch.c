/*
 * batch.c
 *	  Journal batches as storage needs them (docs/formats.md, "Journal", "Transaction record").
 *
 * A record has passed every check when it was admitted, and its batch carries a
 * checksum; what is looked at here is what keeps this process within the bytes
 * that it was given, as in journalled.py.
 */
#include <stdlib.h>

#include "bytes.h"
#include "crc32.h"
#include "plan.h"

#define BATCH_MAGIC			0x424A5242u
#define BATCH_HEADER_BYTES	40
#define RECORD_HEADER_BYTES	24
#define ALIGNMENT			8

#define TRANSACTION_HEADER_BYTES 64
#define WRITE_BYTES			9
#define LOCK_BYTES			5
#define DELTA_BYTES			20

enum RecordKind
{
	TRANSACTION = 1,
	EPOCH = 2,
	SEQUENCES = 3
};

enum Operation
{
	INSERT = 1,
	UPDATE = 2,
	KEY_UPDATE = 3,
	DELETE = 4,
	PUT_UNCHECKED = 5,
	DELETE_UNCHECKED = 6
};

typedef struct TransactionHeader
{
	uint32_t	writes;
	uint32_t	locks;
	uint32_t	catalog_entry_bytes;
	uint32_t	drops;
	uint32_t	deltas;
	uint32_t	flags;
} TransactionHeader;

bool
reserve_writes(PlannedWrites *writes, size_t more)
{
	size_t		wanted = writes->count + more,
				room = writes->room == 0 ? 256 : writes->room;
	PlannedWrite *grown;

	if (wanted <= writes->room)
		return true;
	while (room < wanted)
		room *= 2;
	grown = realloc(writes->items, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	writes->items = grown;
	writes->room = room;
	return true;
}

static bool
reserve_deltas(Deltas *deltas, size_t more)
{
	size_t		wanted = deltas->count + more,
				room = deltas->room == 0 ? 64 : deltas->room;
	Delta	   *grown;

	if (wanted <= deltas->room)
		return true;
	while (room < wanted)
		room *= 2;
	grown = realloc(deltas->items, room * sizeof(*grown));
	if (grown == NULL)
		return false;
	deltas->items = grown;
	deltas->room = room;
	return true;
}

static bool
is_over(uint8_t operation)
{
	return operation == UPDATE || operation == KEY_UPDATE || operation == DELETE || operation == DELETE_UNCHECKED;
}

/* Add the writes of a record, whose arrays lie within it; false where an end is not. */
static bool
add_writes(Plan *plan, const uint8_t *operations, uint32_t count, uint64_t timestamp)
{
	const uint8_t *key_ends = operations + count,
			   *value_ends = key_ends + 4 * (size_t) count,
			   *keys = value_ends + 4 * (size_t) count,
			   *values = keys + load_u32(value_ends - 4);
	uint32_t	key_at = 0,
				value_at = 0;

	if (!reserve_writes(&plan->puts, count) || !reserve_writes(&plan->puts_that_may_cover, count) ||
		!reserve_writes(&plan->covered, count))
		return false;
	for (uint32_t number = 0; number < count; number++)
	{
		uint32_t	key_end = load_u32(key_ends + 4 * (size_t) number),
					value_end = load_u32(value_ends + 4 * (size_t) number);
		PlannedWrite write = {keys + key_at, values + value_at, key_end - key_at, value_end - value_at, timestamp};

		if (key_end <= key_at || value_end < value_at || keys + key_end > values)
			return false;
		if (operations[number] == PUT_UNCHECKED)
			plan->puts_that_may_cover.items[plan->puts_that_may_cover.count++] = write;
		else
		{
			plan->puts.items[plan->puts.count++] = write;
			if (is_over(operations[number]))
				plan->covered.items[plan->covered.count++] = write;
		}
		key_at = key_end;
		value_at = value_end;
	}
	return true;
}

/* Add what is behind the writes, at `at`; false where it is not as the header says. */
static bool
add_remainder(Plan *plan, const uint8_t *at, const uint8_t *end, const TransactionHeader *header)
{
	if (header->locks > 0)
	{
		size_t		lock_bytes = LOCK_BYTES * (size_t) header->locks;

		if (lock_bytes > (size_t) (end - at))
			return false;
		at += lock_bytes;
		if (load_u32(at - 4) > (size_t) (end - at))
			return false;
		at += load_u32(at - 4);
	}
	if ((size_t) (end - at) != DELTA_BYTES * (size_t) header->deltas || !reserve_deltas(&plan->deltas, header->deltas))
		return false;
	for (; at < end; at += DELTA_BYTES)
		plan->deltas.items[plan->deltas.count++] = (Delta) {load_u32(at), load_i64(at + 4), load_i64(at + 12)};
	return true;
}

static bool
add_transaction(Plan *plan, const uint8_t *record, size_t size, uint64_t timestamp, const Limits *limits)
{
	TransactionHeader header;
	const uint8_t *end = record + size,
			   *operations = record + TRANSACTION_HEADER_BYTES,
			   *at = operations;

	if (size < TRANSACTION_HEADER_BYTES || size >= limits->giant_bytes)
		return false;
	memcpy(&header, record + 40, sizeof(header));
	if (header.catalog_entry_bytes != 0 || header.drops != 0 || header.writes > limits->writes_max)
		return false;
	if (header.writes > 0)
	{
		size_t		arrays_bytes = WRITE_BYTES * (size_t) header.writes;
		uint32_t	keys_bytes,
					values_bytes;

		if (arrays_bytes > (size_t) (end - at))
			return false;
		at += arrays_bytes;
		keys_bytes = load_u32(operations + 5 * (size_t) header.writes - 4);
		values_bytes = load_u32(at - 4);
		if ((uint64_t) keys_bytes + values_bytes > (size_t) (end - at))
			return false;
		at += (size_t) keys_bytes + values_bytes;
		if (!add_writes(plan, operations, header.writes, timestamp))
			return false;
	}
	/* Locks alone are of no interest. */
	return header.deltas == 0 || add_remainder(plan, at, end, &header);
}

static bool
add_records(Plan *plan, const uint8_t *batch, size_t size, uint32_t records, const Limits *limits)
{
	size_t		at = BATCH_HEADER_BYTES;

	for (; records > 0; records--)
	{
		uint32_t	record_size,
					kind;
		size_t		padded;

		if (size - at < RECORD_HEADER_BYTES)
			return false;
		record_size = load_u32(batch + at);
		kind = load_u32(batch + at + 4);
		padded = ((size_t) record_size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
		if (padded > size - at - RECORD_HEADER_BYTES)
			return false;
		if (kind == TRANSACTION)
		{
			if (!add_transaction(plan, batch + at + RECORD_HEADER_BYTES, record_size, load_u64(batch + at + 8), limits))
				return false;
		}
		else if (kind != EPOCH && kind != SEQUENCES)
			return false;
		at += RECORD_HEADER_BYTES + padded;
	}
	return at == size;
}

Fit
plan_add(Plan *plan, const uint8_t *batch, size_t size, const Limits *limits)
{
	size_t		puts = plan->puts.count,
				puts_that_may_cover = plan->puts_that_may_cover.count,
				covered = plan->covered.count,
				deltas = plan->deltas.count;
	uint64_t	position,
				last_timestamp;

	if (size < BATCH_HEADER_BYTES + RECORD_HEADER_BYTES || size % ALIGNMENT != 0 || load_u32(batch) != BATCH_MAGIC ||
		load_u32(batch + 8) != size || load_u32(batch + 12) == 0)
		return FIT_NOT_PLAIN;
	position = load_u64(batch + 16);
	last_timestamp = load_u64(batch + 32);
	if (position > UINT64_MAX - size || borealis_crc32(0, batch + 8, size - 8) != load_u32(batch + 4))
		return FIT_NOT_PLAIN;
	if (position + size <= plan->after.position)
		return FIT_APPLIED_BEFORE;
	if (position != plan->after.position || last_timestamp < plan->after.timestamp)
		return FIT_NOT_PLAIN;
	if (!add_records(plan, batch, size, load_u32(batch + 12), limits))
	{
		plan->puts.count = puts;
		plan->puts_that_may_cover.count = puts_that_may_cover;
		plan->covered.count = covered;
		plan->deltas.count = deltas;
		return FIT_NOT_PLAIN;
	}
	plan->after.position = position + size;
	plan->after.timestamp = last_timestamp;
	plan->wake_bits |= 1u << (last_timestamp & 31);
	plan->batches++;
	return FIT_TAKEN;
}
