/*
 * shared_pages.c
 *	  Maps the pages that the transaction service and storage publish, and the
 *	  instance's reader slots (docs/formats.md, "Shared pages").
 *
 * The pages are files that are rewritten in place and never replaced, so a
 * backend maps each of them once in its life and goes on with it while their
 * owner restarts.  Their words are read with acquire loads, which pair with
 * the owner's order of stores.
 *
 * A reader slot and the horizon are two flags of the same kind as in Dekker's
 * algorithm: the reader stores its slot and then loads the horizon, storage
 * stores the horizon and then loads the slots, each with a full barrier in
 * between.  So either storage sees the reader or the reader sees the horizon.
 */
#include "borealis.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/s_lock.h"

#include "shared_pages.h"

#define PAGE_SIZE_BYTES		4096

typedef struct TransactionsPage
{
	char		magic[8];
	uint64		acknowledged_timestamp;
	uint64		schema_version;
	uint64		catalog_version;
	uint64		lease_start;
	uint64		process_id;
} TransactionsPage;

typedef struct StoragePage
{
	char		magic[8];
	uint64		applied_timestamp;
	uint64		horizon;
	uint32		futex;
	uint32		unused;
	uint64		map_size;
	uint64		applied_position;
	uint64		process_id;
	uint64		readers_max;
	uint64		state;
	uint64		generation;
} StoragePage;

typedef struct ReaderSlot
{
	uint64		read_timestamp; /* 0: free */
	uint64		process_id;
} ReaderSlot;

typedef struct ReaderSlots
{
	char		magic[8];
	uint64		count;
	uint64		unused[6];
	ReaderSlot	slots[FLEXIBLE_ARRAY_MEMBER];
} ReaderSlots;

StaticAssertDecl(offsetof(TransactionsPage, process_id) == 40, "docs/formats.md");
StaticAssertDecl(offsetof(StoragePage, generation) == 72, "docs/formats.md");
StaticAssertDecl(offsetof(ReaderSlots, slots) == 64, "docs/formats.md");
StaticAssertDecl(sizeof(ReaderSlot) == 16, "docs/formats.md");

/*
 * A wait for storage looks this often before it sleeps: about the time that
 * going to sleep and being woken costs.  On two cores and with eight sessions,
 * not to spin cost a fifth of the throughput of short waits, ten times as many
 * spins a third, eighty times as many more than half of that of all waits.
 */
#define WAIT_SPINS				50
/* Longest sleep between two looks at interrupts and the deadline. */
#define WAIT_ROUND_MS			100
/* The same where there is no futex. */
#define WAIT_POLL_US			100
/* Between two looks whether a map that is being restored is there. */
#define MAP_POLL_US				5000

static const TransactionsPage *transactions_page = NULL;
static const StoragePage *storage_page = NULL;
static ReaderSlot *reader_slot = NULL;

#define load_word(word)		__atomic_load_n(&(word), __ATOMIC_ACQUIRE)

/*
 * Maps the start of a file of the run directory, or returns NULL with errno
 * set.  A file that is too short, or not (yet) what it should be, is ENODATA.
 */
static void *
map_file(const char *name, const char *magic, Size size, bool writable)
{
	char		path[MAXPGPATH];
	struct stat status;
	void	   *address;
	int			fd;
	int			error;

	snprintf(path, sizeof(path), "%s/%s", borealis_run_directory, name);
	fd = BasicOpenFile(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	if (fd < 0)
		return NULL;

	if (fstat(fd, &status) < 0)
		error = errno;
	else if (status.st_size < size)
		error = ENODATA;
	else
	{
		address = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ,
					   MAP_SHARED, fd, 0);
		if (address == MAP_FAILED)
			error = errno;
		else if (memcmp(address, magic, 8) == 0)
		{
			close(fd);
			return address;
		}
		else
		{
			munmap(address, size);
			error = ENODATA;
		}
	}
	close(fd);
	errno = error;
	return NULL;
}

static const void *
map_page(const char *name, const char *magic, const char *owner)
{
	const void *page = map_file(name, magic, PAGE_SIZE_BYTES, false);

	if (page == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("%s is not running", owner),
				 errdetail("Its page \"%s\" in \"%s\" cannot be used: %m.",
						   name, borealis_run_directory),
				 errhint("Wait until Borealis has started, then try again.")));
	return page;
}

static inline const TransactionsPage *
get_transactions_page(void)
{
	if (unlikely(transactions_page == NULL))
		transactions_page = map_page("transactions.page", "BRLSTXN1",
									 "the transaction service");
	return transactions_page;
}

static inline const StoragePage *
get_storage_page(void)
{
	if (unlikely(storage_page == NULL))
		storage_page = map_page("storage.page", "BRLSSTO1", "storage");
	return storage_page;
}

BorealisTimestamp
shared_acknowledged_timestamp(void)
{
	return load_word(get_transactions_page()->acknowledged_timestamp);
}

uint64
shared_schema_version(void)
{
	return load_word(get_transactions_page()->schema_version);
}

uint64
shared_catalog_version(void)
{
	return load_word(get_transactions_page()->catalog_version);
}

BorealisTimestamp
shared_horizon(void)
{
	return load_word(get_storage_page()->horizon);
}

uint64
shared_map_size(void)
{
	return load_word(get_storage_page()->map_size);
}

uint32
shared_map_readers_max(void)
{
	return (uint32) load_word(get_storage_page()->readers_max);
}

uint64
shared_map_generation(void)
{
	return load_word(get_storage_page()->generation);
}

BorealisTimestamp
shared_applied_timestamp(void)
{
	return load_word(get_storage_page()->applied_timestamp);
}

bool
shared_is_applied(BorealisTimestamp timestamp)
{
	return shared_applied_timestamp() >= timestamp;
}

/* ---- waiting for storage ---- */

static int64
monotonic_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * Sleeps until the page's futex word is no longer the given one and the
 * timestamp may have been reached, a signal arrives or a round is over.
 */
static void
sleep_on_page(const StoragePage *page, uint32 seen, BorealisTimestamp timestamp)
{
#ifdef __linux__
	static bool has_futex = true;

	if (has_futex)
	{
		int64		end_ms = monotonic_ms() + WAIT_ROUND_MS;
		struct timespec end = {.tv_sec = end_ms / 1000,.tv_nsec = end_ms % 1000 * 1000000L};

		if (syscall(SYS_futex, &page->futex, FUTEX_WAIT_BITSET, seen, &end, NULL,
					UINT32_C(1) << (timestamp % 32)) == 0 ||
			errno == EAGAIN || errno == EINTR || errno == ETIMEDOUT)
			return;
		/* A sandbox that forbids it, a file system that cannot do it. */
		has_futex = false;
		ereport(LOG,
				(errmsg("cannot sleep on storage's page, polling it from now on: %m")));
	}
#endif
	pg_usleep(WAIT_POLL_US);
}

static void
sleep_until_applied(const StoragePage *page, BorealisTimestamp timestamp)
{
	BorealisTimestamp progress = 0;
	int64		deadline_ms = 0;

	for (;;)
	{
		/* Order matters: storage stores the watermark, then the futex word. */
		uint32		seen = load_word(page->futex);
		BorealisTimestamp applied = load_word(page->applied_timestamp);

		if (applied >= timestamp)
			return;

		if (applied != progress || deadline_ms == 0)
		{
			progress = applied;
			deadline_ms = monotonic_ms() + borealis_commit_timeout_s * 1000L;
		}
		else if (monotonic_ms() > deadline_ms)
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("storage has made no progress for %d seconds",
							borealis_commit_timeout_s),
					 errdetail("The transaction waits for commits that storage has not applied."),
					 errhint("Check that storage runs and that its disk is not full, then retry.")));

		sleep_on_page(page, seen, timestamp);
		CHECK_FOR_INTERRUPTS();
		if (!PostmasterIsAlive())
			proc_exit(1);
	}
}

void
shared_wait_applied(BorealisTimestamp timestamp)
{
	const StoragePage *page = get_storage_page();

	for (int i = 0; i < WAIT_SPINS; i++)
	{
		if (load_word(page->applied_timestamp) >= timestamp)
			return;
		SPIN_DELAY();
	}

	pgstat_report_wait_start(PG_WAIT_EXTENSION);
	sleep_until_applied(page, timestamp);
	pgstat_report_wait_end();
}

uint64
shared_wait_map(void)
{
	int64		deadline_ms = monotonic_ms() + borealis_commit_timeout_s * 1000L;
	uint64		generation;

	while ((generation = shared_map_generation()) == 0)
	{
		if (monotonic_ms() > deadline_ms)
			ereport(ERROR,
					(errcode(ERRCODE_CANNOT_CONNECT_NOW),
					 errmsg("storage has not made its map yet"),
					 errdetail("It is being restored from a snapshot."),
					 errhint("Try again later.")));
		pg_usleep(MAP_POLL_US);
		CHECK_FOR_INTERRUPTS();
		if (!PostmasterIsAlive())
			proc_exit(1);
	}
	return generation;
}

/* ---- reader slots ---- */

static void
reader_slots_name(char *name, Size size)
{
	snprintf(name, size, "instance-%d.readers", borealis_instance);
}

static uint64
reader_slots_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

void
shared_pages_startup(void)
{
	char		name[64];
	char		path[MAXPGPATH];
	ReaderSlots header = {.magic = "BRLSRDR1"};
	char		zeros[PAGE_SIZE_BYTES] = {0};
	struct stat status;
	off_t		size;
	int			fd;

	/* A server outside of a cluster: its tables are local. */
	if (borealis_run_directory == NULL || borealis_run_directory[0] == '\0')
		return;

	header.count = reader_slots_count();
	size = sizeof(header) + header.count * sizeof(ReaderSlot);

	reader_slots_name(name, sizeof(name));
	snprintf(path, sizeof(path), "%s/%s", borealis_run_directory, name);
	fd = BasicOpenFile(path, O_RDWR | O_CREAT | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not open reader slots \"%s\": %m", path)));

	/*
	 * Others may have it mapped: never shorter.  Written, not truncated to
	 * its size, so that no page can be missing when the disk is full later.
	 */
	size = Max(size, status.st_size);
	for (off_t at = 0; at < size; at += sizeof(zeros))
	{
		if (pg_pwrite(fd, zeros, sizeof(zeros), at) != sizeof(zeros))
			ereport(FATAL,
					(errcode_for_file_access(),
					 errmsg("could not write reader slots \"%s\": %m", path)));
	}
	if (pg_pwrite(fd, &header, sizeof(header), 0) != sizeof(header))
		ereport(FATAL,
				(errcode_for_file_access(),
				 errmsg("could not write reader slots \"%s\": %m", path)));
	close(fd);
}

static void
release_reader_slot(int code, Datum arg)
{
	reader_slot_clear();
}

static void
take_reader_slot(void)
{
	char		name[64];
	Size		size = offsetof(ReaderSlots, slots) + reader_slots_count() * sizeof(ReaderSlot);
	ReaderSlots *slots;

	reader_slots_name(name, sizeof(name));
	slots = map_file(name, "BRLSRDR1", size, true);
	if (slots == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_CANNOT_CONNECT_NOW),
				 errmsg("reader slots \"%s/%s\" cannot be used: %m",
						borealis_run_directory, name),
				 errhint("Restart this instance.")));

	/* The process number is this process's own as long as it lives. */
	Assert(MyProc->pgprocno < reader_slots_count());
	reader_slot = &slots->slots[MyProc->pgprocno];
	__atomic_store_n(&reader_slot->process_id, (uint64) MyProcPid, __ATOMIC_RELAXED);
	on_shmem_exit(release_reader_slot, 0);
}

bool
reader_slot_publish(BorealisTimestamp read_timestamp)
{
	const StoragePage *page = get_storage_page();

	if (unlikely(reader_slot == NULL))
		take_reader_slot();

	__atomic_store_n(&reader_slot->read_timestamp, read_timestamp, __ATOMIC_SEQ_CST);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (likely(load_word(page->horizon) <= read_timestamp))
		return true;
	reader_slot_clear();
	return false;
}

void
reader_slot_clear(void)
{
	/* Release: the reads of the transaction come before it. */
	if (reader_slot != NULL)
		__atomic_store_n(&reader_slot->read_timestamp, 0, __ATOMIC_RELEASE);
}
