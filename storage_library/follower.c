/*
 * follower.c
 *	  The loop.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bytes.h"
#include "doors.h"

#define NANOSECONDS_PER_SECOND		INT64_C(1000000000)
#define NANOSECONDS_PER_MILLISECOND	INT64_C(1000000)
/* A slice deletes at most so many versions for each key that it may look at. */
#define DELETES_PER_KEY				4

/* The clock of Python's time.monotonic_ns(). */
#ifdef __APPLE__
#define MONOTONIC_CLOCK CLOCK_UPTIME_RAW
#else
#define MONOTONIC_CLOCK CLOCK_MONOTONIC
#endif

static int64_t
monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(MONOTONIC_CLOCK, &now);
	return now.tv_sec * NANOSECONDS_PER_SECOND + now.tv_nsec;
}

/* Opening and closing */

DOOR Follower *
storage_follower_open(Map *map, uint64_t *page, uint64_t queue_keys_max, uint64_t busy_overwrites,
					  uint64_t collect_keys_max, uint64_t batch_bytes_max)
{
	Follower   *follower = calloc(1, sizeof(*follower));

	if (follower == NULL)
		return NULL;
	follower->map = map;
	follower->page = page;
	follower->stream.descriptor = -1;
	follower->stream.batch_bytes_max = batch_bytes_max;
	follower->state.collect_keys_max = collect_keys_max;
	follower->queue = queue_open(queue_keys_max, busy_overwrites);
	follower->taken = malloc((collect_keys_max + 1) * sizeof(*follower->taken));
	if (follower->queue != NULL && follower->taken != NULL)
		return follower;
	storage_follower_close(follower);
	return NULL;
}

DOOR void
storage_follower_close(Follower *follower)
{
	if (follower->queue != NULL)
		queue_close(follower->queue);
	stream_close(&follower->stream);
	plan_close(&follower->plan);
	free(follower->unpublished.items);
	free(follower->taken);
	free(follower);
}

DOOR FollowerState *
storage_follower_state(Follower *follower)
{
	return &follower->state;
}

/* Relations whose published size is behind, at most `room` of them; they are forgotten here. */
DOOR size_t
storage_take_unpublished(Follower *follower, uint32_t *relations, size_t room)
{
	RelationSet *unpublished = &follower->unpublished;
	size_t		count = unpublished->count < room ? unpublished->count : room;

	unpublished->count -= count;
	if (count > 0)
		memcpy(relations, unpublished->items + unpublished->count, count * sizeof(*relations));
	return count;
}

/* The connection */

DOOR void
storage_connect(Follower *follower, int descriptor)
{
	stream_open(&follower->stream, descriptor);
	follower->hands_out = false;
}

DOOR void
storage_disconnect(Follower *follower)
{
	stream_close(&follower->stream);
	follower->hands_out = false;
	follower->state.report_pending_since_ns = 0;
}

DOOR int
storage_send(Follower *follower, const uint8_t *data, size_t size)
{
	return stream_send(&follower->stream, data, size);
}

/* Say how far the map is.  What cannot be sent now is said later. */
DOOR int
storage_report(Follower *follower)
{
	FollowerState *state = &follower->state;
	struct
	{
		uint32_t	payload_size;
		uint32_t	type;
		uint64_t	request;
		uint64_t	position;
		uint64_t	timestamp;
	}			applied = {16, FRAME_APPLIED, 0, state->progress.position, state->progress.timestamp};
	int			status = stream_flush(&follower->stream);

	if (status != 0 || follower->stream.unsent_bytes > 0)
		return status;
	state->reported_position = state->progress.position;
	state->report_pending_since_ns = 0;
	return stream_send(&follower->stream, (const uint8_t *) &applied, sizeof(applied));
}

/*
 * The map has moved: somebody must hear of it, though not of each commit, since a report costs both sides a system call.
 * The service needs it only to hold commits back and to truncate.
 */
DOOR int
storage_note_applied(Follower *follower)
{
	FollowerState *state = &follower->state;
	int64_t		now = monotonic_ns();

	if (state->report_pending_since_ns == 0)
		state->report_pending_since_ns = now;
	if (follower->stream.descriptor < 0)
		return 0;
	if (state->progress.position - state->reported_position >= state->report_bytes ||
		now - state->report_pending_since_ns >= (int64_t) state->report_delay_ns)
		return storage_report(follower);
	return 0;
}

/* Applying */

/* What was written over waits to be collected, but for what was cleaned with it. */
static void
note_written_over(Queue *queue, const Plan *plan, uint64_t horizon)
{
	const KeyList *cleaned = &plan->cleaning.cleaned;
	const uint8_t *key = cleaned->blob;

	for (size_t number = 0; number < cleaned->count; key += cleaned->sizes[number++])
		queue_note_clean(queue, horizon, key, cleaned->sizes[number]);
	for (size_t number = 0; number < plan->covered.count; number++)
	{
		const PlannedWrite *write = &plan->covered.items[number];

		queue_add(queue, write->timestamp, write->key, write->key_size);
	}
}

static int
write_plan(Follower *follower)
{
	FollowerState *state = &follower->state;
	Plan	   *plan = &follower->plan;
	uint64_t	horizon = queue_length(follower->queue) > 0 ? state->collect_up_to : 0;
	int			status = plan_write(plan, follower->map, &follower->unpublished, horizon);

	if (status != 0)
		return status;
	/* Committed: only now may memory follow, and others see it. */
	state->progress = plan->after;
	if (plan->cleaning.deleted > 0 && horizon > state->collected_horizon)
		state->collected_horizon = horizon;
	state->plain_batches += plan->batches;
	state->uncollected_writes += plan_writes(plan);
	if (follower->page != NULL)
		page_publish(follower->page, plan->after.position, plan->after.timestamp, plan->wake_bits);
	note_written_over(follower->queue, plan, horizon);
	return 0;
}

/* Write what is planned, which is what lies in the first `bytes`.  What cannot be written is handed out instead. */
static int
finish_plan(Follower *follower, size_t *bytes)
{
	if (follower->plan.batches > 0 && write_plan(follower) != 0)
	{
		follower->hands_out = true;
		return 0;
	}
	if (*bytes > 0)
		stream_skip(&follower->stream, *bytes);
	*bytes = 0;
	if (follower->plan.batches == 0)
		return 0;
	plan_start(&follower->plan, &follower->state.progress);
	return storage_note_applied(follower);
}

/* Apply the plain batches that are whole, up to one that is not.  An event, or -1 if there is nothing to say. */
static int
apply_arrived(Follower *follower)
{
	FollowerState *state = &follower->state;
	Limits		limits = {state->giant_bytes, state->plan_writes_max};
	size_t		planned = 0;	/* bytes that the plan points into */
	FrameState	found = FRAME_INCOMPLETE;
	int			status = 0;

	plan_start(&follower->plan, &state->progress);
	while (!follower->hands_out && status == 0)
	{
		Frame		frame;
		Fit			fit;

		found = stream_look(&follower->stream, planned, &frame);
		if (found != FRAME_WHOLE)
			break;
		fit = frame.type == FRAME_BATCH ? plan_add(&follower->plan, frame.payload, frame.size, &limits) : FIT_NOT_PLAIN;
		if (fit == FIT_NOT_PLAIN)
		{
			status = finish_plan(follower, &planned);
			follower->hands_out = true;
			break;
		}
		planned += FRAME_HEADER_BYTES + frame.size;
		if (plan_writes(&follower->plan) >= state->plan_writes_max)
			status = finish_plan(follower, &planned);
	}
	if (!follower->hands_out && status == 0)
		status = finish_plan(follower, &planned);
	state->error = status;
	if (status != 0)
		return EVENT_LOST;
	if (follower->hands_out)
		return EVENT_FRAME;
	if (found != FRAME_INCOMPLETE && found != FRAME_WHOLE)
	{
		state->error = found;
		return EVENT_BROKEN;
	}
	return -1;
}

/* The frame that is to go the general way, and where it lies until the next call.  False: there is none. */
DOOR int
storage_next_frame(Follower *follower, uint8_t *type, const uint8_t **payload, size_t *size)
{
	Frame		frame;

	if (!follower->hands_out || stream_look(&follower->stream, 0, &frame) != FRAME_WHOLE)
		return 0;
	*type = frame.type;
	*payload = frame.payload;
	*size = frame.size;
	return 1;
}

/* It has been copied. */
DOOR void
storage_drop_frame(Follower *follower)
{
	Frame		frame;

	if (stream_look(&follower->stream, 0, &frame) == FRAME_WHOLE)
		stream_skip(&follower->stream, FRAME_HEADER_BYTES + frame.size);
	follower->hands_out = false;
}

/* Collecting */

/* Clear the keys in one transaction; those that are not done come first in `keys` afterwards. */
static int
clear_keys(Follower *follower, TakenKey **keys, size_t count, uint64_t deletes_max, size_t *left)
{
	const FollowerState *state = &follower->state;
	uint64_t	horizon = state->collect_up_to,
				deleted = 0;
	MDB_txn    *transaction;
	MDB_cursor *cursor;
	bool	   *is_all = calloc(count, sizeof(*is_all));
	int			status;

	*left = count;
	if (is_all == NULL)
		return ENOMEM;
	status = mdb_txn_begin(follower->map->environment, NULL, 0, &transaction);
	if (status != 0)
	{
		free(is_all);
		return status;
	}
	status = mdb_cursor_open(transaction, follower->map->tables[TABLE_VERSIONS], &cursor);
	if (status == 0)
	{
		for (size_t number = 0; status == 0 && number < count; number++)
			status = clear_key(cursor, keys[number]->key, keys[number]->size, horizon, deletes_max, &deleted,
							   &is_all[number]);
		mdb_cursor_close(cursor);
	}
	if (status == 0 && horizon > state->collected_horizon)
		status = remember_horizon(transaction, follower->map, horizon);
	if (status == 0)
		status = mdb_txn_commit(transaction);
	else
		mdb_txn_abort(transaction);
	if (status == 0)
	{
		*left = 0;
		for (size_t number = 0; number < count; number++)
		{
			if (is_all[number])
				free(keys[number]);
			else
				keys[(*left)++] = keys[number];
		}
	}
	free(is_all);
	return status;
}

/* One slice of the queue at the horizon `collect_up_to`. */
static int
collect(Follower *follower, uint64_t settled, uint64_t keys_max, uint64_t deletes_max)
{
	FollowerState *state = &follower->state;
	bool		was_in_pass = queue_pass_left(follower->queue) > 0;
	size_t		count,
				left;
	int			status;

	if (keys_max > state->collect_keys_max)
		keys_max = state->collect_keys_max;
	count = queue_take(follower->queue, state->collect_up_to, settled, keys_max, follower->taken);
	if (!was_in_pass && queue_pass_left(follower->queue) > 0)
		state->pass_began = state->collect_up_to;
	if (count == 0)
		return 0;
	status = clear_keys(follower, follower->taken, count, deletes_max, &left);
	queue_put_back(follower->queue, follower->taken, left);
	if (status == 0 && state->collect_up_to > state->collected_horizon)
		state->collected_horizon = state->collect_up_to;
	return status;
}

/* Up to `limit` keys; a pass may begin with those that were first written over at or below `settled`. */
DOOR int
storage_collect(Follower *follower, uint64_t settled, size_t limit)
{
	return collect(follower, settled, limit, DELETES_PER_KEY * limit);
}

/*
 * How many keys are due.  Most garbage goes when the leaf that it lies in is written again, so keys wait for that: a pass
 * begins when some have waited for long enough, and takes as long again.
 */
static uint64_t
keys_due(const Follower *follower, uint64_t settled)
{
	const FollowerState *state = &follower->state;
	const Queue *queue = follower->queue;
	uint64_t	urgent = queue_urgent(queue, state->collect_up_to),
				size = queue_pass_size(queue),
				done = size - queue_pass_left(queue),
				passed = state->collect_up_to - state->pass_began,
				goal = passed < state->collect_delay_ns ? (double) passed / state->collect_delay_ns * size : size;

	if (done == size)
		return passed < state->collect_delay_ns || !queue_is_ready(queue, settled) ? urgent
			: urgent + state->collect_keys_min;
	return goal < size && goal < done + state->collect_keys_min ? urgent : urgent + goal - done;
}

/* Collection keeps up with apply whatever else there is to do: two keys for each write, if so many are due. */
static int
collect_if_due(Follower *follower)
{
	FollowerState *state = &follower->state;
	uint64_t	horizon = state->collect_up_to,
				keys_max = 2 * state->uncollected_writes,
				settled = horizon > state->collect_delay_ns ? horizon - state->collect_delay_ns : 0,
				due;

	if (horizon == 0 || state->uncollected_writes < state->collect_keys_min)
		return 0;
	if (queue_is_crowded(follower->queue))
	{
		settled = horizon;
		due = keys_max;
	}
	else
		due = keys_due(follower, settled);
	if (due == 0)
		return 0;
	state->uncollected_writes = 0;
	return collect(follower, settled, due < keys_max ? due : keys_max, DELETES_PER_KEY * keys_max);
}

DOOR uint64_t
storage_queue_length(Follower *follower)
{
	return queue_length(follower->queue);
}

DOOR int
storage_queue_is_incomplete(Follower *follower)
{
	return queue_is_incomplete(follower->queue);
}

DOOR void
storage_queue_set_incomplete(Follower *follower, int is_incomplete)
{
	queue_set_incomplete(follower->queue, is_incomplete != 0);
}

DOOR int
storage_queue_is_ready(Follower *follower, uint64_t settled)
{
	return queue_is_ready(follower->queue, settled);
}

DOOR void
storage_queue_add(Follower *follower, const uint64_t *timestamps, const uint8_t *blob, const uint32_t *sizes, size_t keys)
{
	for (; keys > 0; keys--, timestamps++, sizes++)
	{
		queue_add(follower->queue, *timestamps, blob, *sizes);
		blob += *sizes;
	}
}

/* Waiting */

static int
timeout_ms(int64_t now, int64_t due_ns)
{
	int64_t		rest = due_ns - now;

	if (rest <= 0)
		return 0;
	rest = (rest + NANOSECONDS_PER_MILLISECOND - 1) / NANOSECONDS_PER_MILLISECOND;
	return rest > INT32_MAX ? INT32_MAX : (int) rest;
}

static int64_t
earlier(int64_t one, int64_t other)
{
	return one < other ? one : other;
}

/* One read of the socket and what follows from it. */
static int
receive(Follower *follower)
{
	bool		is_over;
	int			status = stream_receive(&follower->stream, &is_over),
				event = apply_arrived(follower);

	if (event >= 0)
		return event;			/* what is wrong with the connection shows again */
	follower->state.error = status;
	return status != 0 || is_over ? EVENT_LOST : -1;
}

/*
 * Follow the journal until there is something else to do.  Times are monotonic.  With `listens` 0 batches stay where
 * they are, which holds commits back.
 */
DOOR int
storage_follow(Follower *follower, int wake_descriptor, int listens, int64_t due_ns, int64_t idle_due_ns)
{
	FollowerState *state = &follower->state;

	if (listens && follower->stream.end > follower->stream.start)
	{
		/* What is behind a frame that was handed out. */
		int			event = apply_arrived(follower);

		if (event >= 0)
			return event;
	}
	if ((state->error = collect_if_due(follower)) != 0)
		return EVENT_COLLECTING_FAILED;
	for (;;)
	{
		struct pollfd polled[2] = {{wake_descriptor, POLLIN, 0}, {follower->stream.descriptor, POLLIN, 0}};
		bool		is_connected = follower->stream.descriptor >= 0;
		int64_t		now = monotonic_ns(),
					next = earlier(due_ns, idle_due_ns);
		int			status;

		if (is_connected && state->report_pending_since_ns != 0)
		{
			int64_t		report_due_ns = state->report_pending_since_ns + (int64_t) state->report_delay_ns;

			if (now >= report_due_ns)
			{
				status = storage_report(follower);
				if (status != 0)
				{
					state->error = status;
					return EVENT_LOST;
				}
				/* The socket is full: try again a delay later. */
				if (state->report_pending_since_ns != 0)
					state->report_pending_since_ns = now;
				report_due_ns = now + (int64_t) state->report_delay_ns;
			}
			if (state->report_pending_since_ns != 0)
				next = earlier(next, report_due_ns);
		}
		status = poll(polled, is_connected && listens ? 2 : 1, timeout_ms(now, next));
		if (status > 0 && is_connected && listens && polled[1].revents != 0)
		{
			int			event = receive(follower);

			if (event >= 0)
				return event;
			if ((state->error = collect_if_due(follower)) != 0)
				return EVENT_COLLECTING_FAILED;
			if (polled[0].revents != 0)
				return EVENT_WAKE;
			if (monotonic_ns() >= due_ns)
				return EVENT_DUE;
			continue;
		}
		if (polled[0].revents != 0 || (status < 0 && errno == EINTR))
			return EVENT_WAKE;
		now = monotonic_ns();
		if (now >= due_ns)
			return EVENT_DUE;
		if (now >= idle_due_ns)
			return EVENT_IDLE_DUE;
	}
}

/* Apply what a test or a simulation brings, as if it had arrived.  An event, or -1. */
DOOR int
storage_feed(Follower *follower, const uint8_t *data, size_t size)
{
	int			status = stream_feed(&follower->stream, data, size);

	if (status == 0)
		return apply_arrived(follower);
	follower->state.error = status;
	return EVENT_LOST;
}
