/*
 * reader_benchmark.c
 *	  Times point reads from inside, where a call costs nothing.
 */
#include "postgres.h"

#include "common/pg_prng.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "../storage_reader.h"

PG_FUNCTION_INFO_V1(units_read_often);

/*
 * Reads rows of table 1 with a bigint key below rows, at random or, if stride is
 * not 0, with that distance between keys.
 *
 * (rows bigint, stride bigint, ts bigint, count bigint) -> number found
 */
Datum
units_read_often(PG_FUNCTION_ARGS)
{
	static ValueBuffer buffer;
	uint64		rows = (uint64) PG_GETARG_INT64(0);
	uint64		stride = (uint64) PG_GETARG_INT64(1);
	uint64		timestamp = (uint64) PG_GETARG_INT64(2);
	int64		count = PG_GETARG_INT64(3);
	int64		found = 0;
	pg_prng_state state;

	pg_prng_seed(&state, 1);
	buffer.context = TopMemoryContext;
	for (int64 i = 0; i < count; i++)
	{
		uint8		key[18] = {KEY_NAMESPACE_ROW, 0, 0, 0, 1, 0, 0, 0, 77, 2};
		uint64		number = (stride == 0 ? pg_prng_uint64(&state) : i * stride) % rows;
		uint32		value_size;

		CHECK_FOR_INTERRUPTS();
		for (int byte = 0; byte < 8; byte++)
			key[10 + byte] = (uint8) (number >> (8 * (7 - byte)));
		found += storage_read(key, sizeof(key), timestamp, &buffer, &value_size);
	}
	PG_RETURN_INT64(found);
}
