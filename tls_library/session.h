/*
 * session.h
 *	  The record layer of one established TLS session.
 *
 * Promises: what is decrypted is exactly what the peer's keys vouch for, in
 * order; after the first failure nothing is decrypted or encrypted any more but
 * the alert that says why; no nonce is used twice.  Whatever the peer sends, a
 * session holds no more than one record of it.
 */
#ifndef BOREALIS_TLS_SESSION_H
#define BOREALIS_TLS_SESSION_H

#include "key_schedule.h"
#include "record_cipher.h"

#define RECORD_HEADER_BYTES		5
#define PLAINTEXT_BYTES_MAX		(1 << 14)
/* Of the part behind the header: TLS 1.3 allows more padding and type bytes than we would use. */
#define TLS13_RECORD_BYTES_MAX	(PLAINTEXT_BYTES_MAX + 256)
/* Header, explicit nonce, type byte, tag. */
#define RECORD_OVERHEAD_MAX		(RECORD_HEADER_BYTES + EXPLICIT_NONCE_BYTES + 1 + TAG_BYTES)
#define KEY_UPDATE_BYTES		5

typedef enum ContentType
{
	CHANGE_CIPHER_SPEC = 20,
	ALERT = 21,
	HANDSHAKE = 22,
	APPLICATION_DATA = 23
} ContentType;

typedef enum Alert
{
	ALERT_CLOSE_NOTIFY = 0,
	ALERT_UNEXPECTED_MESSAGE = 10,
	ALERT_BAD_RECORD_MAC = 20,
	ALERT_RECORD_OVERFLOW = 22,
	ALERT_HANDSHAKE_FAILURE = 40,
	ALERT_ILLEGAL_PARAMETER = 47,
	ALERT_DECODE_ERROR = 50,
	ALERT_INTERNAL_ERROR = 80,
	ALERT_USER_CANCELED = 90
} Alert;

typedef enum SessionFlag
{
	/* In the exported state, docs/formats.md. */
	PEER_WANTS_NEW_KEYS = 1,
	WE_WANT_NEW_KEYS = 2,
	PEER_HAS_CLOSED = 4,
	EXPORTED_FLAGS = 7,
	/* Only here. */
	WE_HAVE_CLOSED = 8,
	IS_FROZEN = 16,				/* exported: the keys are somebody else's */
	HAS_FAILED = 32,
	ALERT_IS_DUE = 64
} SessionFlag;

typedef struct Session
{
	const Suite *suite;
	Direction	read;
	Direction	write;
	uint64_t	explicit_nonce; /* of the next record to be written */
	uint64_t	rekey_after;	/* records under one key */
	unsigned char *unread;		/* ciphertext, normally less than a record */
	uint32_t	unread_bytes;
	uint32_t	unread_size;
	uint8_t		flags;
	uint8_t		alert;			/* if ALERT_IS_DUE */
	uint8_t		fruitless;		/* records in a row that brought no data */
	uint8_t		message_bytes;	/* of a handshake message that is not complete */
	unsigned char message[KEY_UPDATE_BYTES];
} Session;

/* Results below zero: what went wrong.  -1 to -255: we send this alert. */
#define PEER_ALERT			(-256)	/* minus the alert that the peer sent */
#define SESSION_UNUSABLE	(-600)	/* failed, closed or exported before */
#define OUT_OF_MEMORY		(-601)
#define STREAM_ENDED		(-602)	/* the peer's, with or without its close_notify */
/* Beside the number of bytes. */
#define RESULT_PEER_CLOSED	(INT64_C(1) << 40)

/* A session whose sequence numbers and keys are set by its maker; NULL without memory. */
extern Session *make_session(const Suite *suite);
extern void close_session(Session *session);

/* TLS 1.3: takes key and nonce of a direction from its secret, and begins to count anew. */
extern int	derive_traffic_key(const Suite *suite, Direction *direction);
/* TLS 1.3: the next secret, RFC 8446 section 7.2. */
extern int	advance_traffic_key(const Suite *suite, Direction *direction);

extern int	keep_unread(Session *session, const unsigned char *data, size_t bytes);

/* The nonce of a direction's next record, unless it is sent with the record. */
extern void nonce_of_sequence(const Direction *direction, unsigned char *nonce);

extern void put_u16(unsigned char *at, unsigned value);
extern void put_u64(unsigned char *at, uint64_t value);

#endif							/* BOREALIS_TLS_SESSION_H */
