/*
 * commit_client.h
 *	  One backend's connection to the transaction service (docs/formats.md,
 *	  "Commit socket").
 */
#ifndef BOREALIS_COMMIT_CLIENT_H
#define BOREALIS_COMMIT_CLIENT_H

#include "borealis.h"
#include "lib/stringinfo.h"

#define TRANSACTION_ID_SIZE 16

typedef struct CommitResult
{
	BorealisTimestamp commit_timestamp;
	uint64		catalog_version;	/* after this commit */
} CommitResult;

/*
 * Sends a transaction record and waits for the decision.
 *
 * Returns: committed.  ERROR: certainly not committed (40001 with OC000 or
 * OC001 in the message, 53100, 54000, 57P03 when the service cannot be reached
 * before anything was sent, 57014 when cancelled before anything was sent).
 * A connection lost after the record was sent is resolved by asking for the
 * transaction id on new connections until borealis.commit_timeout; if that
 * cannot be answered: FATAL 08007, and the session ends.
 *
 * From the last byte sent on, interrupts are held until the decision, and after
 * a positive one until outcome_transaction_ended (outcome.h).
 */
extern void commit_client_commit(const char *record, Size size,
								 BorealisTimestamp read_timestamp,
								 CommitResult *result);

/* Largest transaction record that the service takes, in bytes. */
extern uint64 commit_client_size_max(void);

/* Fills 16 random bytes. */
extern void commit_client_new_transaction_id(uint8 *id);

/*
 * Reserves tables for this session's transaction, which is about to read them as a
 * whole: commits of others on them are held, for a bounded time each, until
 * commit_client_end_reservation.  What was committed before, a read timestamp that
 * is taken afterwards includes.  Only a promise of the service to hold others up:
 * lost with the connection, and then conflicts are conflicts.
 */
extern void commit_client_reserve(const uint32 *relfilenodes, int count);
extern void commit_client_end_reservation(void);

typedef enum SequenceOperation
{
	SEQUENCE_NEXT = 1,
	SEQUENCE_SET = 2,
	SEQUENCE_LOOK = 3,
	SEQUENCE_GIVE_BACK = 4
} SequenceOperation;

typedef struct SequenceRequest
{
	Oid			relfilenode;
	SequenceOperation operation;
	bool		cycle;
	bool		start_is_called;
	bool		value_is_called;
	int64		start;
	int64		increment;
	int64		minimum;
	int64		maximum;
	int64		value;			/* SET; GIVE_BACK: the first one */
	uint64		count;			/* NEXT: how many are wanted; GIVE_BACK: how many */
} SequenceRequest;

typedef struct SequenceReply
{
	int64		first;
	uint64		count;			/* granted; 0 = the sequence is exhausted */
	bool		is_called;		/* LOOK */
} SequenceReply;

/*
 * ERROR 2200H at the sequence's limit, 57P03 and others as for commits.  A lost
 * connection is tried again, except by SET (ERROR) and GIVE_BACK (count 0): a
 * second time they might undo what others did meanwhile.
 */
extern void commit_client_sequence(const SequenceRequest *request,
								   SequenceReply *reply);

#endif							/* BOREALIS_COMMIT_CLIENT_H */
