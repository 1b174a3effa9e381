#include "journal_effects.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "answers.h"
#include "memory.h"

/* A longer batch is left to whoever reads the files: it would fill a socket. */
#define FED_BYTES_MAX 65536

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0
#endif

/* Numbers of borealis.foundation.pages.TransactionsWord. */
enum transactions_word
{
	ACKNOWLEDGED_WORD = 1,
	SCHEMA_VERSION_WORD = 2,
	CATALOG_VERSION_WORD = 3
};

struct tx_journal
{
	struct tx_journal_state state;
	struct tx_effects effects;
	uint64_t   *page;
	uint64_t	first_position; /* of the current segment */
	size_t		zone_count;
	int		   *zones;
	size_t		follower_count;
	int		   *followers;
	struct tx_fallen *fallen;
};

static int
sync_data(int descriptor)
{
#ifdef F_FULLFSYNC
	/* macOS has no fdatasync, and there fsync stops short of the disk's own cache. */
	return fcntl(descriptor, F_FULLFSYNC);
#else
	return fdatasync(descriptor);
#endif
}

static int
write_at(int descriptor, uint64_t offset, const uint8_t *data, size_t length)
{
	while (length > 0)
	{
		ssize_t		written = pwrite(descriptor, data, length, (off_t) offset);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0)
			return errno;
		data += written;
		offset += (uint64_t) written;
		length -= (size_t) written;
	}
	return 0;
}

static int
persist(void *context, uint64_t position, const uint8_t *batch, size_t length)
{
	struct tx_journal *journal = context;
	uint64_t	offset = position - journal->first_position;

	if (journal->zone_count == 0 || position != journal->state.end || length > journal->state.limit - position)
		return TX_MISPLACED;
	for (size_t zone = 0; zone < journal->zone_count; zone++)
	{
		int			problem = write_at(journal->zones[zone], offset, batch, length);

		/* What the disk holds after a sync that failed is not known: it is not tried again. */
		if (problem == 0 && sync_data(journal->zones[zone]) != 0)
			problem = errno;
		if (problem != 0)
			return problem;
	}
	journal->state.end += length;
	return 0;
}

static void
store_word(struct tx_journal *journal, enum transactions_word word, uint64_t value)
{
	__atomic_store_n(&journal->page[word], value, __ATOMIC_RELEASE);
}

static int
publish(void *context, const struct tx_state *state)
{
	struct tx_journal *journal = context;

	/* Readers load the timestamp first. */
	store_word(journal, SCHEMA_VERSION_WORD, state->schema_version);
	store_word(journal, CATALOG_VERSION_WORD, state->catalog_version);
	store_word(journal, ACKNOWLEDGED_WORD, state->acknowledged);
	return 0;
}

/* Followers */

static void
fall_behind(struct tx_journal *journal, int descriptor, uint64_t position, size_t sent)
{
	size_t		number = journal->state.fallen_count++;

	journal->fallen = tx_resize(journal->fallen, number + 1, sizeof(*journal->fallen));
	journal->fallen[number] = (struct tx_fallen) {descriptor, (uint32_t) sent, position};
	journal->state.fallen = journal->fallen;
}

/* Bytes of the frame that the follower has taken. */
static size_t
send_batch(int descriptor, const uint8_t *batch, size_t length)
{
	uint8_t		header[FRAME_HEADER_BYTES];
	struct iovec parts[] = {{header, sizeof(header)}, {(void *) batch, length}};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	ssize_t		sent;

	if (length > FED_BYTES_MAX)
		return 0;
	encode_header(header, 0, FRAME_BATCH, length);
	do
		sent = sendmsg(descriptor, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	return sent < 0 ? 0 : (size_t) sent;
}

static int
feed(void *context, uint64_t position, const uint8_t *batch, size_t length)
{
	struct tx_journal *journal = context;
	size_t		keeping_up = 0;

	for (size_t number = 0; number < journal->follower_count; number++)
	{
		int			descriptor = journal->followers[number];
		size_t		sent = send_batch(descriptor, batch, length);

		if (sent == FRAME_HEADER_BYTES + length)
			journal->followers[keeping_up++] = descriptor;
		else
			fall_behind(journal, descriptor, position, sent);
	}
	journal->follower_count = keeping_up;
	return 0;
}

void
tx_journal_follow(struct tx_journal *journal, int descriptor)
{
	journal->followers = tx_resize(journal->followers, journal->follower_count + 1, sizeof(*journal->followers));
	journal->followers[journal->follower_count++] = descriptor;
}

void
tx_journal_unfollow(struct tx_journal *journal, int descriptor)
{
	size_t		left = 0;

	for (size_t number = 0; number < journal->follower_count; number++)
		if (journal->followers[number] != descriptor)
			journal->followers[left++] = journal->followers[number];
	journal->follower_count = left;
}

void
tx_journal_forget_fallen(struct tx_journal *journal)
{
	journal->state.fallen_count = 0;
}

void
tx_journal_feed(struct tx_journal *journal, uint64_t position, const uint8_t *batch, size_t length)
{
	feed(journal, position, batch, length);
}

/* Opening and closing */

struct tx_journal *
tx_journal_open(uint64_t *page)
{
	struct tx_journal *journal = tx_allocate(1, sizeof(*journal));

	journal->page = page;
	journal->effects = (struct tx_effects) {journal, persist, publish, feed};
	return journal;
}

void
tx_journal_close(struct tx_journal *journal)
{
	free(journal->zones);
	free(journal->followers);
	free(journal->fallen);
	free(journal);
}

const struct tx_journal_state *
tx_journal_state(const struct tx_journal *journal)
{
	return &journal->state;
}

const struct tx_effects *
tx_journal_effects(const struct tx_journal *journal)
{
	return &journal->effects;
}

void
tx_journal_continue_in(struct tx_journal *journal, const int *descriptors, size_t count, uint64_t first_position,
					   uint64_t end, uint64_t limit)
{
	journal->zones = tx_resize(journal->zones, count, sizeof(*journal->zones));
	memcpy(journal->zones, descriptors, count * sizeof(*journal->zones));
	journal->zone_count = count;
	journal->first_position = first_position;
	journal->state.end = end;
	journal->state.limit = limit;
}
