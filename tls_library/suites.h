/*
 * suites.h
 *	  The cipher suites that a session can have.
 */
#ifndef BOREALIS_TLS_SUITES_H
#define BOREALIS_TLS_SUITES_H

#include "openssl.h"

#define KEY_BYTES_MAX		32
#define NONCE_BYTES			12
#define TAG_BYTES			16
#define HASH_BYTES_MAX		48
/* Sent with each record by TLS 1.2 with GCM. */
#define EXPLICIT_NONCE_BYTES	8

typedef struct Suite
{
	uint16_t	number;			/* in the TLS registry */
	uint16_t	version;
	uint8_t		key_bytes;
	uint8_t		hash_bytes;
	uint8_t		fixed_nonce_bytes;
	uint8_t		explicit_nonce_bytes;
	const EVP_CIPHER *cipher;
	const EVP_MD *hash;
} Suite;

/* For OpenSSL, in the order of our preference. */
extern const char tls13_suite_names[];
extern const char tls12_suite_names[];

/* After openssl_load.  Returns 0 if OpenSSL lacks an algorithm. */
extern int	suites_init(void);

/* NULL if the suite is not one of ours, or not for this version. */
extern const Suite *find_suite(uint16_t version, uint16_t number);

#endif							/* BOREALIS_TLS_SUITES_H */
