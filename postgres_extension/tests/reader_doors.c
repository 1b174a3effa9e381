/*
 * reader_doors.c
 *	  SQL-callable doors to the storage reader.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "../storage_reader.h"

PG_FUNCTION_INFO_V1(units_read);
PG_FUNCTION_INFO_V1(units_exists);
PG_FUNCTION_INFO_V1(units_read_range);
PG_FUNCTION_INFO_V1(units_scan);
PG_FUNCTION_INFO_V1(units_prefetch);
PG_FUNCTION_INFO_V1(units_statistics);
PG_FUNCTION_INFO_V1(units_boundary);
PG_FUNCTION_INFO_V1(units_count_pages);

static bytea *
make_bytea(const uint8 *bytes, Size size)
{
	bytea	   *result = palloc(VARHDRSZ + size);

	SET_VARSIZE(result, VARHDRSZ + size);
	memcpy(VARDATA(result), bytes, size);
	return result;
}

#define KEY_ARGUMENT(key, n) \
	bytea	   *key = PG_GETARG_BYTEA_PP(n); \
	const uint8 *key##_bytes = (const uint8 *) VARDATA_ANY(key); \
	uint32		key##_size = VARSIZE_ANY_EXHDR(key)

/* (key bytea, ts bigint) -> bytea */
Datum
units_read(PG_FUNCTION_ARGS)
{
	static ValueBuffer buffer;
	uint32		value_size;

	KEY_ARGUMENT(key, 0);

	buffer.context = TopMemoryContext;
	if (!storage_read(key_bytes, key_size, (uint64) PG_GETARG_INT64(1), &buffer, &value_size))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(make_bytea(buffer.data, value_size));
}

/* (key bytea, ts bigint) -> bool */
Datum
units_exists(PG_FUNCTION_ARGS)
{
	KEY_ARGUMENT(key, 0);

	PG_RETURN_BOOL(storage_exists(key_bytes, key_size, (uint64) PG_GETARG_INT64(1)));
}

static Datum
batch_array(const RangeBatch *batch, bool of_keys)
{
	Datum	   *elements = palloc((batch->count + 1) * sizeof(Datum));

	for (int i = 0; i < batch->count; i++)
	{
		const RangeItem *item = &batch->items[i];

		if (item->value_offset % MAXIMUM_ALIGNOF != 0)
			elog(ERROR, "unaligned value");
		elements[i] = PointerGetDatum(of_keys
									  ? make_bytea(batch->data + item->key_offset, item->key_size)
									  : make_bytea(batch->data + item->value_offset, item->value_size));
	}
	return PointerGetDatum(construct_array(elements, batch->count, BYTEAOID, -1, false, TYPALIGN_INT));
}

/*
 * (lower bytea, upper bytea, backward bool, keys_only bool, ts bigint, bytes bigint, items int,
 * OUT keys bytea[], OUT vals bytea[], OUT is_end bool, OUT resume bytea)
 */
Datum
units_read_range(PG_FUNCTION_ARGS)
{
	static RangeBatch batch;
	TupleDesc	description;
	Datum		values[4];
	bool		nulls[4] = {false, false, false, false};

	KEY_ARGUMENT(lower, 0);
	KEY_ARGUMENT(upper, 1);

	if (get_call_result_type(fcinfo, NULL, &description) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "must return a record");
	batch.context = TopMemoryContext;
	storage_read_range(&batch, lower_bytes, lower_size, upper_bytes, upper_size,
					   PG_GETARG_BOOL(2), PG_GETARG_BOOL(3) ? RANGE_KEYS : RANGE_VALUES,
					   (uint64) PG_GETARG_INT64(4),
					   (Size) PG_GETARG_INT64(5), PG_GETARG_INT32(6));
	values[0] = batch_array(&batch, true);
	values[1] = batch_array(&batch, false);
	values[2] = BoolGetDatum(batch.end);
	nulls[3] = batch.end;
	values[3] = batch.end ? (Datum) 0 : PointerGetDatum(make_bytea(batch.resume, batch.resume_size));
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(description, values, nulls)));
}

/*
 * Runs through a range from end to end, as a scan would.
 *
 * (lower bytea, upper bytea, backward bool, ts bigint, bytes bigint, items int) -> rows bigint
 */
Datum
units_scan(PG_FUNCTION_ARGS)
{
	static RangeBatch batch;
	uint8		resume[BOUND_SIZE_MAX];
	int64		rows = 0;
	bool		backward = PG_GETARG_BOOL(2);

	KEY_ARGUMENT(lower, 0);
	KEY_ARGUMENT(upper, 1);

	batch.context = TopMemoryContext;
	do
	{
		CHECK_FOR_INTERRUPTS();
		storage_read_range(&batch, lower_bytes, lower_size, upper_bytes, upper_size, backward, RANGE_VALUES,
						   (uint64) PG_GETARG_INT64(3), (Size) PG_GETARG_INT64(4), PG_GETARG_INT32(5));
		rows += batch.count;
		memcpy(resume, batch.resume, batch.resume_size);
		if (backward)
		{
			upper_bytes = resume;
			upper_size = batch.resume_size;
		}
		else
		{
			lower_bytes = resume;
			lower_size = batch.resume_size;
		}
	} while (!batch.end);
	PG_RETURN_INT64(rows);
}

/* (keys bytea[], ts bigint, bytes bigint) -> bytea[], as many as fit */
Datum
units_prefetch(PG_FUNCTION_ARGS)
{
	static RangeBatch batch;
	Datum	   *elements;
	int			count;
	PrefetchKey *keys;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), BYTEAOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, &count);
	keys = palloc((count + 1) * sizeof(PrefetchKey));
	for (int i = 0; i < count; i++)
	{
		bytea	   *key = DatumGetByteaPP(elements[i]);

		keys[i].key = (const uint8 *) VARDATA_ANY(key);
		keys[i].key_size = VARSIZE_ANY_EXHDR(key);
	}
	batch.context = TopMemoryContext;
	storage_reader_prefetch(&batch, keys, count, (uint64) PG_GETARG_INT64(1), (Size) PG_GETARG_INT64(2));
	for (int i = 0; i < batch.count; i++)
		if (batch.items[i].key_size != keys[i].key_size ||
			memcmp(batch.data + batch.items[i].key_offset, keys[i].key, keys[i].key_size) != 0)
			elog(ERROR, "item %d has another key", i);
	PG_RETURN_DATUM(batch_array(&batch, false));
}

/* (relfilenode oid) -> bigint[] of rows and bytes */
Datum
units_statistics(PG_FUNCTION_ARGS)
{
	int64		rows;
	int64		bytes;
	Datum		elements[2];

	storage_read_statistics(PG_GETARG_OID(0), &rows, &bytes);
	elements[0] = Int64GetDatum(rows);
	elements[1] = Int64GetDatum(bytes);
	PG_RETURN_ARRAYTYPE_P(construct_array_builtin(elements, 2, INT8OID));
}

/* (lower bytea, upper bytea, pages bigint) -> bytea, NULL: the range ends before */
Datum
units_boundary(PG_FUNCTION_ARGS)
{
	uint8		boundary[KEY_SIZE_MAX];
	uint32		size;

	KEY_ARGUMENT(lower, 0);
	KEY_ARGUMENT(upper, 1);

	if (!storage_find_boundary(lower_bytes, lower_size, upper_bytes, upper_size,
							   (uint64) PG_GETARG_INT64(2), boundary, &size))
		PG_RETURN_NULL();
	PG_RETURN_BYTEA_P(make_bytea(boundary, size));
}

/* (lower bytea, upper bytea) -> bigint */
Datum
units_count_pages(PG_FUNCTION_ARGS)
{
	KEY_ARGUMENT(lower, 0);
	KEY_ARGUMENT(upper, 1);

	PG_RETURN_INT64((int64) storage_count_pages(lower_bytes, lower_size, upper_bytes, upper_size));
}
