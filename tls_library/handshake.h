/*
 * handshake.h
 *	  One side of a TLS handshake, over memory: a server's, but for channels.
 */
#ifndef BOREALIS_TLS_HANDSHAKE_H
#define BOREALIS_TLS_HANDSHAKE_H

#include "key_log.h"

#define SERVER_NAME_SIZE	256		/* a name of DNS, with its end */

typedef struct Handshake
{
	SSL		   *ssl;
	BIO		   *input;			/* both belong to ssl */
	BIO		   *output;
	uint8_t		is_client;
	uint8_t		is_direct;
	uint8_t		has_alpn;
	uint8_t		is_done;
	uint8_t		has_failed;
	uint8_t		is_cleansed;	/* the SSL object holds no secret any more */
	uint8_t		cipher_is_changed;	/* TLS 1.2: our ChangeCipherSpec is out */
	unsigned char *unread;		/* not yet given to OpenSSL: part of a record, or what follows the handshake */
	size_t		unread_bytes;
	size_t		total_bytes;	/* that OpenSSL was given */
	uint64_t	records_written;	/* under the keys that go on */
	uint64_t	explicit_nonce; /* of the last of them */
	const char *problem;
	KeyLog		key_log;
	char		server_name[SERVER_NAME_SIZE];
} Handshake;

/* Results of tls_handshake_feed, beside the number of bytes to send. */
#define RESULT_DONE			(INT64_C(1) << 40)
#define RESULT_FAILED		(INT64_C(1) << 41)

#endif							/* BOREALIS_TLS_HANDSHAKE_H */
