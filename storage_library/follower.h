/*
 * follower.h
 *	  Follows the journal: receives, applies, publishes, reports, and collects what was written over.
 *
 * Order matters: commit to the map, then publish, then report.  What is not
 * plain (plan.h) is handed out, frame by frame, in its turn.
 */
#ifndef BOREALIS_STORAGE_FOLLOWER_H
#define BOREALIS_STORAGE_FOLLOWER_H

#include "plan.h"
#include "queue.h"
#include "sizes.h"
#include "stream.h"

/* What both sides read and write, each while the other is not at work; follower.py has the same. */
typedef struct FollowerState
{
	Progress	progress;
	uint64_t	collected_horizon;	/* as the map remembers it */
	uint64_t	collect_up_to;		/* versions below it may be collected now; 0: none may */
	uint64_t	reported_position;
	int64_t		report_pending_since_ns;	/* 0: nothing to report */
	uint64_t	uncollected_writes; /* since the last slice */
	uint64_t	pass_began;			/* the horizon at which the last pass over the queue did */
	uint64_t	plain_batches;		/* how many were applied here */
	int64_t		error;				/* of the last call that said so */

	/* Settings. */
	uint64_t	giant_bytes;
	uint64_t	plan_writes_max;
	uint64_t	report_delay_ns;
	uint64_t	report_bytes;
	uint64_t	collect_keys_min;
	uint64_t	collect_keys_max;
	uint64_t	collect_delay_ns;
} FollowerState;

/* Why storage_follow returned. */
typedef enum Event
{
	EVENT_DUE = 0,				/* the time has come that was given for it */
	EVENT_IDLE_DUE = 1,			/* likewise for what is done when nothing arrives */
	EVENT_WAKE = 2,				/* the descriptor for it is readable */
	EVENT_FRAME = 3,			/* a frame that is not plain comes next: storage_next_frame */
	EVENT_LOST = 4,				/* the connection; error: 0 if the peer closed it */
	EVENT_BROKEN = 5,			/* the protocol; error: a FrameState */
	EVENT_COLLECTING_FAILED = 6 /* error: of LMDB */
} Event;

typedef struct Follower
{
	FollowerState state;		/* comes first */
	Map		   *map;
	uint64_t   *page;			/* NULL: nothing is published */
	Queue	   *queue;
	Stream		stream;
	Plan		plan;
	RelationSet unpublished;
	bool		hands_out;		/* what comes next must go the general way */
	TakenKey  **taken;			/* room for a slice */
} Follower;

#endif							/* BOREALIS_STORAGE_FOLLOWER_H */
