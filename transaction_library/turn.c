#include "turn.h"

#include <time.h>

#include "connection.h"

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (uint64_t) now.tv_sec * UINT64_C(1000000000) + (uint64_t) now.tv_nsec;
}

/* One group of what is queued. */
static enum tx_turn_end
run_group(struct tx_desk *desk, struct tx_journal *journal, const struct tx_turn_limits *limits, uint64_t applied,
		  uint64_t epoch, int *problem)
{
	const struct tx_journal_state *place = tx_journal_state(journal);
	const struct tx_group *group = tx_group(desk->core);
	uint64_t	room = place->limit - place->end;

	if (place->end > applied && place->end - applied > limits->lag_bytes_max)
		return TX_TURN_BEHIND;
	if (TX_BATCH_HEADER_BYTES + tx_desk_decidable_bytes(desk, limits->group_bytes_max) > room)
		return TX_TURN_ROOM;
	tx_group_begin(desk->core, now_ns());
	tx_desk_decide(desk, limits->group_bytes_max);
	if (group->records > 0)
		tx_group_seal(desk->core, place->end, epoch);
	if (group->dropped_count > 0)
		return TX_TURN_DROPPED;
	*problem = tx_group_complete(desk->core, tx_journal_effects(journal));
	if (*problem != 0)
		return TX_TURN_FAILED;
	tx_desk_answer(desk);
	return TX_TURN_DONE;
}

int
tx_turn(struct tx_desk *desk, struct tx_journal *journal, const struct tx_turn_limits *limits, uint64_t applied, uint64_t epoch,
		int *problem)
{
	const struct tx_desk_state *state = tx_desk_state(desk);

	for (uint64_t groups = 0; groups < limits->groups_max; groups++)
	{
		enum tx_turn_end end;

		tx_desk_receive(desk, now_ns());
		if (state->events > 0)
			return TX_TURN_EVENTS;
		if (state->queued == 0)
			return TX_TURN_DONE;
		end = run_group(desk, journal, limits, applied, epoch, problem);
		if (end != TX_TURN_DONE)
			return end;
		if (state->events > 0)
			return TX_TURN_EVENTS;
		/* Followers that are behind are others' to look after. */
		if (tx_journal_state(journal)->fallen_count > 0)
			return TX_TURN_LONG;
	}
	return TX_TURN_LONG;
}
