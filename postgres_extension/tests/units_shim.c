/*
 * units_shim.c
 *	  Settings, shared pages and transaction of the units under test, as the
 *	  test sets them.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "../commit_client.h"
#include "../shared_pages.h"
#include "../transaction.h"
#include "units_shim.h"

#include <lmdb.h>

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(units_configure);
PG_FUNCTION_INFO_V1(units_replace_map);
PG_FUNCTION_INFO_V1(units_fail_reads);

char	   *borealis_map_directory = NULL;

ShimState	shim_state = {.map_generation = 1,.record_size_max = PG_UINT64_MAX};

uint64
shared_map_size(void)
{
	return shim_state.map_size;
}

uint32
shared_map_readers_max(void)
{
	return shim_state.readers_max;
}

uint64
shared_map_generation(void)
{
	return shim_state.map_generation;
}

uint64
shared_wait_map(void)
{
	return shim_state.map_generation;
}

BorealisTimestamp
shared_acknowledged_timestamp(void)
{
	return 1;
}

void
shared_wait_applied(BorealisTimestamp timestamp)
{
}

void
transaction_check_horizon(void)
{
	if (shim_state.is_below_horizon)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("below the horizon")));
}

uint64
commit_client_size_max(void)
{
	return shim_state.record_size_max;
}

/* (map_directory text, map_size bigint, readers_max int, is_below_horizon bool, record_size_max bigint) */
Datum
units_configure(PG_FUNCTION_ARGS)
{
	if (borealis_map_directory != NULL)
		pfree(borealis_map_directory);
	borealis_map_directory = MemoryContextStrdup(TopMemoryContext,
												 text_to_cstring(PG_GETARG_TEXT_PP(0)));
	shim_state.map_size = (uint64) PG_GETARG_INT64(1);
	shim_state.readers_max = (uint32) PG_GETARG_INT32(2);
	shim_state.is_below_horizon = PG_GETARG_BOOL(3);
	shim_state.record_size_max = (uint64) PG_GETARG_INT64(4);
	PG_RETURN_VOID();
}

/* () : the files of the map directory are others now */
Datum
units_replace_map(PG_FUNCTION_ARGS)
{
	shim_state.map_generation++;
	PG_RETURN_VOID();
}

/* (count integer): LMDB calls so many reads damaged */
Datum
units_fail_reads(PG_FUNCTION_ARGS)
{
	shim_state.failing_reads = PG_GETARG_INT32(0);
	PG_RETURN_VOID();
}

/* The linker puts it between the reader and LMDB. */
extern int	__real_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op operation);
extern int	__wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op operation);

int
__wrap_mdb_cursor_get(MDB_cursor *cursor, MDB_val *key, MDB_val *data, MDB_cursor_op operation)
{
	if (shim_state.failing_reads == 0)
		return __real_mdb_cursor_get(cursor, key, data, operation);
	shim_state.failing_reads--;
	return MDB_CORRUPTED;
}
