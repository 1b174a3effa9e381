/*
 * record_cipher.h
 *	  Encryption of one record in one direction, and OpenSSL's contexts for it.
 *
 * A context with its key schedule takes about 1 kB, a key 32 bytes.  So
 * contexts belong to a pool of bounded size, and a direction that has not been
 * used for longest loses its context to the one that needs one now; setting a
 * key costs less than a microsecond.  A session at rest keeps only its keys.
 *
 * Nothing in this library is called by two threads at once.
 */
#ifndef BOREALIS_TLS_RECORD_CIPHER_H
#define BOREALIS_TLS_RECORD_CIPHER_H

#include "suites.h"

typedef struct CipherSlot CipherSlot;

typedef struct Direction
{
	CipherSlot *slot;			/* NULL: no context at present */
	uint64_t	sequence;		/* of the next record */
	uint8_t		is_writing;
	unsigned char key[KEY_BYTES_MAX];
	unsigned char nonce[NONCE_BYTES];	/* the fixed part, zeros behind it */
	unsigned char secret[HASH_BYTES_MAX];	/* TLS 1.3: what keys come from */
} Direction;

/* Gives the context back: at the end, and whenever the key changes. */
extern void release_cipher(Direction *direction);

/*
 * Encrypts `bytes` and then `tail_bytes` at `in` and `tail` to `out`, the tag
 * behind it.  Returns 0 if OpenSSL fails.
 */
extern int	seal_record(Direction *direction, const Suite *suite, const unsigned char *nonce,
						const unsigned char *header, size_t header_bytes,
						const unsigned char *in, size_t bytes,
						const unsigned char *tail, size_t tail_bytes, unsigned char *out);

/*
 * Decrypts `bytes` (without the tag behind them) to `out`.  Returns 0, and
 * leaves nothing in `out`, if the tag is wrong.
 */
extern int	open_record(Direction *direction, const Suite *suite, const unsigned char *nonce,
						const unsigned char *header, size_t header_bytes,
						const unsigned char *in, size_t bytes, unsigned char *out);

/* How many contexts there may be at once, from now on. */
extern void set_cipher_contexts_max(size_t count);

#endif							/* BOREALIS_TLS_RECORD_CIPHER_H */
