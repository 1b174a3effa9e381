/*
 * pages.c
 *	  LMDB with the extension's view of its leaves, writing its pages one by one.
 *
 * Linux caches in one folio what was written with one call, and ext4 walks over
 * all blocks of a folio to overwrite any page of it: 1 us for a page that was
 * written alone, 3 in a folio of 64 kB, 25 in one of a megabyte.  LMDB writes
 * neighbours with one call, as loads bring them; commits overwrite single
 * pages, which lie anywhere, for as long as the file is cached.
 */
#define _GNU_SOURCE 1
#include <errno.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __linux__

#define PAGE_BYTES ((size_t) 4096)

/* The rest of a write that found no room is not tried: LMDB takes a short one for what it is. */
static ssize_t
pwrite_pages(int descriptor, const void *data, size_t size, off_t at)
{
	size_t		written = 0;

	while (written < size)
	{
		size_t		piece = size - written < PAGE_BYTES ? size - written : PAGE_BYTES;
		ssize_t		done = pwrite(descriptor, (const char *) data + written, piece, at + (off_t) written);

		if (done < 0 && errno == EINTR)
			continue;
		if (done < 0 && written == 0)
			return -1;
		if (done > 0)
			written += (size_t) done;
		if (done != (ssize_t) piece)
			break;
	}
	return (ssize_t) written;
}

/* In the place of writev() behind lseek(). */
static ssize_t
write_pages(int descriptor, const struct iovec *pages, int count)
{
	off_t		at = lseek(descriptor, 0, SEEK_CUR);
	size_t		written = 0;

	if (at < 0)
		return -1;
	for (int number = 0; number < count; number++)
	{
		ssize_t		done = pwrite_pages(descriptor, pages[number].iov_base, pages[number].iov_len, at + (off_t) written);

		if (done < 0 && written == 0)
			return -1;
		if (done > 0)
			written += (size_t) done;
		if (done != (ssize_t) pages[number].iov_len)
			break;
	}
	return (ssize_t) written;
}

#define pwrite pwrite_pages
#define writev write_pages

#endif							/* __linux__ */

#include "../../postgres_extension/lmdb/map_leaf.c"
