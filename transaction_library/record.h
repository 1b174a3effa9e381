/* The transaction record (docs/formats.md): its layout and every rule about a single record. */
#ifndef TRANSACTION_RECORD_H
#define TRANSACTION_RECORD_H

#include "core.h"

#define KEY_BYTES_MAX 1962
/* Namespace and relfilenode come first in every key; a lock on a whole table has nothing else. */
#define TABLE_KEY_BYTES 5

enum operation
{
	INSERT = 1,
	UPDATE,
	KEY_UPDATE,
	DELETE,
	PUT_UNCHECKED,
	DELETE_UNCHECKED
};

enum lock_mode
{
	LOCK_KEY_SHARE = 1,
	LOCK_SHARE,
	LOCK_NON_KEY_UPDATE,
	LOCK_EXCLUSIVE
};

/* One array of keys: key n ends where end n says, and begins where the one before it ends. */
struct key_array
{
	uint32_t	count;
	const uint8_t *codes; /* operation or lock mode of each */
	const uint8_t *ends; /* u32 each */
	const uint8_t *keys;
};

struct record
{
	const uint8_t *id;
	uint64_t	read_timestamp;
	uint64_t	schema_version;
	uint64_t	follows_catalog_version;
	struct key_array writes;
	struct key_array locks;
	uint32_t	entry_bytes;
	uint32_t	dropped_count;
	const uint8_t *dropped; /* u32 each */
	int			invalidates_running;
};

/* Take a record apart that has passed tx_check_record, whose length is `length`. */
extern void open_record(const uint8_t *data, size_t length, struct record *record);

static inline uint32_t
key_end(const struct key_array *array, uint32_t number)
{
	const uint8_t *at = array->ends + 4 * (size_t) number;

	return (uint32_t) at[0] | (uint32_t) at[1] << 8 | (uint32_t) at[2] << 16 | (uint32_t) at[3] << 24;
}

#endif
