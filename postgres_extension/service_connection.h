/*
 * service_connection.h
 *	  One backend's connection to the transaction service: frames and time
 *	  limits (docs/formats.md, "Commit socket").
 *
 * Knows no request's meaning.  What a lost answer means is the caller's to say.
 */
#ifndef BOREALIS_SERVICE_CONNECTION_H
#define BOREALIS_SERVICE_CONNECTION_H

#include "borealis.h"

typedef enum FrameType
{
	FRAME_HELLO = 1,
	FRAME_COMMIT = 2,
	FRAME_OUTCOME = 3,
	FRAME_SEQUENCE = 4,
	FRAME_RESERVE = 5,
	FRAME_HELLO_OK = 65,
	FRAME_COMMITTED = 66,
	FRAME_REJECTED = 67,
	FRAME_UNKNOWN = 68,
	FRAME_SEQUENCE_OK = 69,
	FRAME_ERROR = 70,
	FRAME_RESERVED = 71
} FrameType;

/* Payload of REJECTED and ERROR: u16 reason, u16 text length, text. */
typedef enum RefusalReason
{
	REASON_DATA_CONFLICT = 1,
	REASON_SCHEMA_CONFLICT = 2,
	REASON_BEGAN_BEFORE_LEASE = 3,
	REASON_MALFORMED = 4,
	REASON_DISK_FULL = 5,
	REASON_STORAGE_BEHIND = 6,
	REASON_TOO_LARGE = 7,
	REASON_TOO_OLD = 8,
	REASON_SEQUENCE_LIMIT = 9
} RefusalReason;

typedef struct Frame
{
	uint8		type;			/* FrameType */
	uint32		size;			/* checked against the type */
	const uint8 *payload;		/* valid until the next call */
} Frame;

/* How long a call may take, and whether it may be interrupted. */
typedef struct Patience
{
	int64		deadline_us;	/* on the monotonic clock */
	bool		is_interruptible;	/* CHECK_FOR_INTERRUPTS while waiting */
	bool		is_ending;		/* the session was told to end: deadline moved up */
} Patience;

extern void patience_start(Patience *patience, int seconds, bool is_interruptible);
extern bool patience_is_over(const Patience *patience);

/*
 * Connects and says hello, unless connected.  False: no attempt succeeded in
 * time, errno (0: no answer) says why the last one failed.
 */
extern bool service_connect(Patience *patience);
extern void service_disconnect(void);
/* Largest transaction, as the service said at the last hello; 0: never met. */
extern uint64 service_transaction_size_max(void);

/*
 * Sends one request frame made of two parts.  False: the connection was lost
 * and is closed, and the service cannot have seen the whole frame.  May return
 * true early, when the service answers what it has seen so far.
 */
extern bool service_send(FrameType type, const void *head, Size head_size,
						 const void *body, Size body_size, Patience *patience);
/*
 * Receives the answer to the request sent last.  False: the connection was lost,
 * the answer broke a rule, or time is up; the connection is closed.
 */
extern bool service_receive(Frame *answer, Patience *patience);

#endif							/* BOREALIS_SERVICE_CONNECTION_H */
