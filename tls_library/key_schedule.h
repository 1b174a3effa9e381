/*
 * key_schedule.h
 *	  Derivation of traffic keys (RFC 8446 section 7, RFC 5246 section 6.3).
 */
#ifndef BOREALIS_TLS_KEY_SCHEDULE_H
#define BOREALIS_TLS_KEY_SCHEDULE_H

#include "suites.h"

#define RANDOM_BYTES		32
#define MASTER_SECRET_BYTES 48

/*
 * HKDF-Expand-Label for outputs of at most one hash; `label` without its
 * "tls13 ".  All functions return 0 if OpenSSL fails.
 */
extern int	expand_label(const Suite *suite, const unsigned char *secret, const char *label,
						 const unsigned char *context, size_t context_bytes,
						 unsigned char *out, size_t out_bytes);

/* TLS 1.2: the first `out_bytes` of the key block. */
extern int	derive_key_block(const Suite *suite, const unsigned char *master_secret,
							 const unsigned char *client_random, const unsigned char *server_random,
							 unsigned char *out, size_t out_bytes);

#endif							/* BOREALIS_TLS_KEY_SCHEDULE_H */
