/*
 * object_ids.c
 *	  See object_ids.h.
 *
 * The server draws OIDs and relfilenodes from one counter in shared memory, in
 * ShmemVariableCache, which every session advances (also for out-of-line values
 * of temporary tables).  DDL needs numbers that are unique in the cluster, so a
 * process that runs DDL must draw from elsewhere for a while.
 *
 * ShmemVariableCache is a pointer variable of each process, and the counter is
 * the first thing in what it points to.  The structure is moved to where a page
 * boundary runs between the counter and the rest, and is mapped twice:
 *
 *		shared view		[ page S: nextOid, oidCount | page R: everything else ]
 *		private view	[ page P: nextOid, oidCount | page R: everything else ]
 *
 * S and R are the same for all processes, P is each process's own.  Turning the
 * pointer switches the source of OIDs and nothing else.
 *
 * The numbers come from the transaction service, as values of a sequence with
 * the reserved relfilenode 1.  The instance leases them in chunks; a statement
 * reserves a part of a chunk and gives the unused end back.
 */
#include "borealis.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/transam.h"
#include "catalog/objectaccess.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "storage/lwlock.h"

#include "catalog_state.h"
#include "commit_client.h"
#include "object_ids.h"

#define OID_SEQUENCE_RELFILENODE 1

/* Leased from the service at a time. */
#define LEASE_SIZE 8192
/* Reserved for a statement, and when its rest must be replaced by a new one. */
#define RESERVATION_SIZE 1024
#define RESERVATION_LOW 256

#define LOCAL_OID_FIRST (SHARED_OID_LAST + 1)

static VariableCache shared_view = NULL;
static VariableCache private_view = NULL;
static char *mapping = NULL;	/* four pages: S R, then P R */
static Size mapping_size = 0;

static int	depth = 0;
static Oid	reservation_end;	/* first OID that is not ours */

static object_access_hook_type previous_object_access = NULL;

/* ---- the two views ---- */

/* An unnamed file of shared memory. */
static int
create_memory_file(Size size)
{
	int			fd;

#ifdef __linux__
	fd = memfd_create("borealis object ids", MFD_CLOEXEC);
#else
	char		name[32];

	snprintf(name, sizeof(name), "/borealis.%d", (int) getpid());
	fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
	if (fd >= 0)
		shm_unlink(name);
#endif
	if (fd < 0 || ftruncate(fd, size) != 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("borealis cannot create shared memory: %m")));
	return fd;
}

static void
map_page(char *address, Size page, int flags, int fd, off_t offset)
{
	if (mmap(address, page, PROT_READ | PROT_WRITE, MAP_FIXED | flags, fd, offset) == MAP_FAILED)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("borealis cannot map shared memory: %m")));
}

void
object_ids_startup(void)
{
	const Size	counter_size = offsetof(VariableCacheData, nextXid);
	Size		page = sysconf(_SC_PAGESIZE);
	int			fd;

	StaticAssertStmt(offsetof(VariableCacheData, nextOid) == 0, "server layout");
	StaticAssertStmt(offsetof(VariableCacheData, oidCount) == sizeof(Oid), "server layout");
	StaticAssertStmt(offsetof(VariableCacheData, nextXid) == 2 * sizeof(uint32), "server layout");

	/* The server makes its shared memory again after a crash of a backend. */
	if (mapping != NULL)
		munmap(mapping, mapping_size);
	mapping_size = 4 * page;
	mapping = mmap(NULL, mapping_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapping == MAP_FAILED)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("borealis cannot map shared memory: %m")));

	fd = create_memory_file(2 * page);
	map_page(mapping, page, MAP_SHARED, fd, 0);
	map_page(mapping + page, page, MAP_SHARED, fd, page);
	map_page(mapping + 2 * page, page, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map_page(mapping + 3 * page, page, MAP_SHARED, fd, page);
	close(fd);

	shared_view = (VariableCache) (mapping + page - counter_size);
	private_view = (VariableCache) (mapping + 3 * page - counter_size);
	memcpy(shared_view, ShmemVariableCache, sizeof(VariableCacheData));
	ShmemVariableCache = shared_view;
}

void
object_ids_start_local(void)
{
	LWLockAcquire(OidGenLock, LW_EXCLUSIVE);
	if (shared_view->nextOid < LOCAL_OID_FIRST)
	{
		shared_view->nextOid = LOCAL_OID_FIRST;
		shared_view->oidCount = 0;
	}
	LWLockRelease(OidGenLock);
}

/* ---- numbers of the cluster ---- */

static Oid
lease_from_service(uint64 *count)
{
	SequenceRequest request = {
		.relfilenode = OID_SEQUENCE_RELFILENODE,
		.operation = SEQUENCE_NEXT,
		.start = SHARED_OID_FIRST,
		.increment = 1,
		.minimum = SHARED_OID_FIRST,
		.maximum = SHARED_OID_LAST,
		.count = LEASE_SIZE
	};
	SequenceReply reply;

	commit_client_sequence(&request, &reply);
	if (reply.count < RESERVATION_SIZE ||
		reply.first < SHARED_OID_FIRST || reply.first + reply.count - 1 > SHARED_OID_LAST)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the cluster has no object identifiers left"),
				 errhint("Dump the database and restore it into a new cluster.")));
	*count = reply.count;
	return reply.first;
}

static void
reserve(void)
{
	Oid			start;

	while ((start = object_id_chunk_take(RESERVATION_SIZE)) == InvalidOid)
	{
		uint64		count;
		Oid			first = lease_from_service(&count);

		object_id_chunk_offer(first, first + count);
	}
	private_view->nextOid = start;
	/* The server logs nothing, and asks for nothing, until these are used up. */
	private_view->oidCount = RESERVATION_SIZE;
	reservation_end = start + RESERVATION_SIZE;
}

/* A statement that draws more than was reserved has gone on into other's numbers. */
static void
check_reservation(void)
{
	if (private_view->nextOid > reservation_end)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("the statement makes too many objects at once"),
				 errhint("Split it into several statements.")));
}

static void
reserve_if_low(void)
{
	check_reservation();
	if (reservation_end - private_view->nextOid < RESERVATION_LOW)
		reserve();
}

void
object_ids_enter(void)
{
	if (shared_view == NULL)
		return;					/* not an instance of a cluster */
	if (depth == 0)
		reserve();
	else
		reserve_if_low();
	depth++;
	ShmemVariableCache = private_view;
}

void
object_ids_abandon(void)
{
	if (depth > 0 && --depth == 0)
	{
		ShmemVariableCache = shared_view;
		if (private_view->nextOid <= reservation_end)
			object_id_chunk_return(private_view->nextOid, reservation_end);
	}
}

void
object_ids_leave(void)
{
	if (depth == 0)
		return;
	check_reservation();
	object_ids_abandon();
}

/* One statement may make many objects, one after the other. */
static void
object_access(ObjectAccessType access, Oid classId, Oid objectId, int subId, void *arg)
{
	if (previous_object_access)
		previous_object_access(access, classId, objectId, subId, arg);
	if (depth > 0 && (access == OAT_POST_CREATE || access == OAT_TRUNCATE))
		reserve_if_low();
}

void
object_ids_init(void)
{
	previous_object_access = object_access_hook;
	object_access_hook = object_access;
}

/*
 * What makes the seed numbers its objects by this.
 */
PG_FUNCTION_INFO_V1(borealis_number_from);

Datum
borealis_number_from(PG_FUNCTION_ARGS)
{
	if (IsUnderPostmaster)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("only the server that makes the seed can choose its object numbers")));
	LWLockAcquire(OidGenLock, LW_EXCLUSIVE);
	ShmemVariableCache->nextOid = PG_GETARG_OID(0);
	ShmemVariableCache->oidCount = 0;
	LWLockRelease(OidGenLock);
	PG_RETURN_VOID();
}
