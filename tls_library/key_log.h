/*
 * key_log.h
 *	  The secrets of a handshake, as OpenSSL's key log tells them.
 */
#ifndef BOREALIS_TLS_KEY_LOG_H
#define BOREALIS_TLS_KEY_LOG_H

#include "key_schedule.h"

/* Bytes of each secret; 0: not heard of. */
typedef struct KeyLog
{
	uint8_t		client_bytes;
	uint8_t		server_bytes;
	uint8_t		master_bytes;
	unsigned char client[HASH_BYTES_MAX];	/* TLS 1.3, application traffic */
	unsigned char server[HASH_BYTES_MAX];
	unsigned char master[MASTER_SECRET_BYTES];	/* TLS 1.2 */
} KeyLog;

/* One line of the NSS format: label, client random, secret.  Others are passed over. */
extern void key_log_take(KeyLog *log, const char *line);

#endif							/* BOREALIS_TLS_KEY_LOG_H */
