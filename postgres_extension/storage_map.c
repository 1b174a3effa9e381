/*
 * storage_map.c
 *	  Opens storage's LMDB environment in this backend and walks in it.
 *
 * Owns the backend's environment, its one read transaction, renewed for each
 * call and reset after it, and the cursor.  The environment is opened at the
 * first read, never in the postmaster (LMDB must not cross a fork), and closed
 * before the process leaves shared memory, which gives back the reader slot.
 * A process that dies otherwise leaves its slot to storage's check for dead
 * readers.
 *
 * Assumes that storage creates the map before it publishes its generation, and
 * takes that back before it replaces the files.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/fd.h"
#include "storage/ipc.h"

#include "shared_pages.h"
#include "storage_map.h"

#define VERSIONS_DATABASE "versions"

/* LMDB keeps the data file and the lock file open behind fd.c's back. */
#define FILES_OPEN 2

static MDB_env *environment = NULL;
static uint64 opened_generation;

/* The pass before met damage, and is being repeated. */
bool		storage_map_has_doubted = false;
static MDB_txn *transaction;
static MDB_cursor *cursor;

void
storage_map_report(int status)
{
	switch (status)
	{
		case MDB_READERS_FULL:
			ereport(ERROR,
					(errcode(ERRCODE_TOO_MANY_CONNECTIONS),
					 errmsg("all reader slots of the storage map are in use"),
					 errhint("Use fewer connections, or start storage with more reader slots.")));
		case ENOENT:
		case MDB_NOTFOUND:
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("storage has not made its map yet"),
					 errdetail("Map directory: \"%s\".", borealis_map_directory)));
		case ENOMEM:
			ereport(ERROR,
					(errcode(ERRCODE_OUT_OF_MEMORY),
					 errmsg("out of memory"),
					 errdetail("The storage map cannot be mapped.")));
		case MDB_CORRUPTED:
		case MDB_PAGE_NOTFOUND:
		case MDB_INVALID:
		case MDB_VERSION_MISMATCH:
		case MDB_INCOMPATIBLE:
		case MDB_PROBLEM:
			ereport(ERROR,
					(errcode(ERRCODE_DATA_CORRUPTED),
					 errmsg("the storage map is damaged: %s", mdb_strerror(status))));
		default:
			ereport(ERROR,
					(errcode(ERRCODE_INTERNAL_ERROR),
					 errmsg("cannot read the storage map: %s", mdb_strerror(status))));
	}
	pg_unreachable();
}

/*
 * LMDB would abort() next, which takes the whole instance down; the damage
 * concerns this reader.
 */
static void
report_assertion(MDB_env *failed, const char *message)
{
	ereport(FATAL,
			(errcode(ERRCODE_DATA_CORRUPTED),
			 errmsg("the storage map is damaged: %s", message)));
}

static void
close_map(bool owns_slot)
{
	if (environment == NULL)
		return;
	if (cursor != NULL)
		mdb_cursor_close(cursor);

	/*
	 * Ending the transaction writes into its reader slot.  If that has become
	 * somebody else's, the transaction's memory is left behind instead.
	 */
	if (transaction != NULL && owns_slot)
		mdb_txn_abort(transaction);
	mdb_env_close(environment);
	for (int i = 0; i < FILES_OPEN; i++)
		ReleaseExternalFD();
	cursor = NULL;
	transaction = NULL;
	environment = NULL;
}

static void
close_at_exit(int code, Datum arg)
{
	close_map(true);
}

/* Begins a transaction, after clearing dead readers' slots if all are taken. */
static int
begin_transaction(MDB_txn **result)
{
	int			status = mdb_txn_begin(environment, NULL, MDB_RDONLY, result);

	if (status == MDB_READERS_FULL)
	{
		int			dead;

		mdb_reader_check(environment, &dead);
		status = mdb_txn_begin(environment, NULL, MDB_RDONLY, result);
	}
	return status;
}

/*
 * The database's handle survives only a transaction that commits, and the
 * cursor wants one that goes on: hence two.
 */
static int
open_versions(void)
{
	MDB_dbi		versions;
	MDB_txn    *first;
	int			status = begin_transaction(&first);

	if (status != 0)
		return status;
	status = mdb_dbi_open(first, VERSIONS_DATABASE, 0, &versions);
	if (status != 0)
	{
		mdb_txn_abort(first);
		return status;
	}
	status = mdb_txn_commit(first);
	if (status == 0)
		status = begin_transaction(&transaction);
	if (status == 0)
		status = mdb_cursor_open(transaction, versions, &cursor);
	if (status == 0)
		mdb_txn_reset(transaction);
	return status;
}

static void
open_map(void)
{
	static bool closes_at_exit = false;
	uint64		map_size = shared_map_size();
	uint32		readers_max = shared_map_readers_max();
	int			status;

	Assert(MyProcPid != PostmasterPid);
	if (borealis_map_directory == NULL || borealis_map_directory[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_CONFIG_FILE_ERROR),
				 errmsg("borealis.map_directory is not set")));
	if (!closes_at_exit)
	{
		before_shmem_exit(close_at_exit, (Datum) 0);
		closes_at_exit = true;
	}

	status = mdb_env_create(&environment);
	if (status != 0)
		storage_map_report(status);
	for (int i = 0; i < FILES_OPEN; i++)
		ReserveExternalFD();
	mdb_env_set_assert(environment, report_assertion);
	mdb_env_set_mapsize(environment, map_size);
	mdb_env_set_maxreaders(environment, readers_max);
	mdb_env_set_maxdbs(environment, 1);
	/* MDB_NOTLS: the slot belongs to the transaction, not to a thread. */
	status = mdb_env_open(environment, borealis_map_directory, MDB_RDONLY | MDB_NOTLS, 0600);
	if (status == 0)
		status = open_versions();
	if (status != 0)
	{
		close_map(true);
		storage_map_report(status);
	}
}

/*
 * The first time, and when storage has put another map in the place of the one that
 * is open.  What has been acknowledged is in the new one a moment later.
 */
static pg_noinline void
open_current_map(void)
{
	bool		is_replaced = environment != NULL;

	close_map(true);
	for (;;)
	{
		opened_generation = shared_wait_map();
		open_map();
		if (shared_map_generation() == opened_generation)
			break;
		close_map(true);
	}
	if (is_replaced)
		shared_wait_applied(shared_acknowledged_timestamp());
}

/* Renews the transaction after the obstacles that a retry can overcome. */
static int
renew_again(int status)
{
	if (status == MDB_MAP_RESIZED)
	{
		/* Storage was started anew with a larger map. */
		status = mdb_env_set_mapsize(environment, shared_map_size());
		if (status == 0)
			status = mdb_txn_renew(transaction);
	}
	else if (status == MDB_BAD_RSLOT)
	{
		/*
		 * The slot was taken for a dead reader's: the lock that proves that we
		 * live is lost when anything in this process closes the lock file.
		 */
		close_map(false);
		open_map();
		status = mdb_txn_renew(transaction);
	}
	return status;
}

void
storage_map_begin(void)
{
	int			status;

	if (unlikely(environment == NULL || shared_map_generation() != opened_generation))
		open_current_map();
	status = mdb_txn_renew(transaction);
	if (unlikely(status != 0))
	{
		status = renew_again(status);
		if (status != 0)
		{
			close_map(status != MDB_BAD_RSLOT);
			storage_map_report(status);
		}
	}
	status = mdb_cursor_renew(transaction, cursor);
	if (unlikely(status != 0))
	{
		mdb_txn_reset(transaction);
		storage_map_report(status);
	}
}

void
storage_map_end(void)
{
	mdb_txn_reset(transaction);
}

bool
storage_map_doubts_error(int status)
{
	switch (status)
	{
		case MDB_CORRUPTED:
		case MDB_PAGE_NOTFOUND:
		case MDB_BAD_TXN:
			storage_map_has_doubted = !storage_map_has_doubted;
			return storage_map_has_doubted;
		default:
			storage_map_has_doubted = false;
			return false;
	}
}

static inline int
get(MDB_cursor_op operation, MDB_val *key, StoredVersion *version)
{
	MDB_val		value;
	int			status = mdb_cursor_get(cursor, key, &value, operation);

	if (unlikely(status != 0))
		return status;
	return stored_version_parse(key, &value, version);
}

int
storage_map_seek(const uint8 *key, uint32 key_size, uint64 inverted_timestamp,
				 StoredVersion *version)
{
	uint8		target[KEY_SIZE_MAX + STORED_TIMESTAMP_SIZE];
	MDB_val		target_value = {.mv_data = target,.mv_size = key_size + STORED_TIMESTAMP_SIZE};
	uint64		inverted = pg_hton64(inverted_timestamp);

	if (key_size == 0 || key_size > KEY_SIZE_MAX)
		return MDB_BAD_VALSIZE;
	memcpy(target, key, key_size);
	memcpy(target + key_size, &inverted, STORED_TIMESTAMP_SIZE);
	return get(MDB_SET_RANGE, &target_value, version);
}

int
storage_map_seek_behind(const uint8 *key, uint32 key_size, StoredVersion *version)
{
	int			status = storage_map_seek(key, key_size, PG_UINT64_MAX, version);

	/* Only a version with timestamp 0 lies exactly there. */
	if (status == 0 && stored_version_has_key(version, key, key_size))
		status = storage_map_next(version);
	return status;
}

int
storage_map_seek_bound(const uint8 *bound, uint32 bound_size, StoredVersion *version)
{
	MDB_val		target = {.mv_data = unconstify(uint8 *, bound),.mv_size = bound_size};
	int			status;

	if (bound_size == 0)
		return get(MDB_FIRST, &target, version);
	status = get(MDB_SET_RANGE, &target, version);

	/*
	 * A key that the bound begins with is smaller than the bound, but its
	 * timestamp may have put the stored key behind it.
	 */
	while (status == 0 && version->key_size < bound_size &&
		   memcmp(version->key, bound, version->key_size) == 0)
		status = storage_map_seek_behind(version->key, version->key_size, version);
	return status;
}

int
storage_map_next(StoredVersion *version)
{
	MDB_val		key;

	return get(MDB_NEXT, &key, version);
}

int
storage_map_previous(StoredVersion *version)
{
	MDB_val		key;

	return get(MDB_PREV, &key, version);
}

int
storage_map_last(StoredVersion *version)
{
	MDB_val		key;

	return get(MDB_LAST, &key, version);
}

int
storage_map_find_live(const uint8 *key, uint32 key_size, BorealisTimestamp timestamp,
					  StoredVersion *version)
{
	int			status = storage_map_seek(key, key_size, INVERT_TIMESTAMP(timestamp), version);

	if (status == 0 &&
		(!stored_version_has_key(version, key, key_size) || version->value_size == 0))
		status = MDB_NOTFOUND;
	return status;
}

int
storage_map_leaf(MapLeaf *leaf)
{
	return map_leaf_find(cursor, leaf);
}
