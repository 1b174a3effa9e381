/*
 * session.c
 *	  Life of a session, its keys and its unread bytes.
 */
#include "session.h"

#include <stdlib.h>
#include <string.h>

/* AES-GCM is good for 2^24.5 full records under one key (RFC 8446 section 5.5). */
#define REKEY_AFTER_DEFAULT		(UINT64_C(1) << 23)

Session *
make_session(const Suite *suite)
{
	Session    *session = calloc(1, sizeof(Session));

	if (session == NULL)
		return NULL;
	session->suite = suite;
	session->write.is_writing = 1;
	session->rekey_after = REKEY_AFTER_DEFAULT;
	return session;
}

void
close_session(Session *session)
{
	release_cipher(&session->read);
	release_cipher(&session->write);
	free(session->unread);
	openssl.OPENSSL_cleanse(session, sizeof(Session));
	free(session);
}

int
derive_traffic_key(const Suite *suite, Direction *direction)
{
	release_cipher(direction);
	direction->sequence = 0;
	return expand_label(suite, direction->secret, "key", NULL, 0, direction->key, suite->key_bytes) &&
		expand_label(suite, direction->secret, "iv", NULL, 0, direction->nonce, NONCE_BYTES);
}

int
advance_traffic_key(const Suite *suite, Direction *direction)
{
	return expand_label(suite, direction->secret, "traffic upd", NULL, 0, direction->secret, suite->hash_bytes) &&
		derive_traffic_key(suite, direction);
}

/* The buffer follows what has really arrived, not what a header announces. */
int
keep_unread(Session *session, const unsigned char *data, size_t bytes)
{
	size_t		needed = session->unread_bytes + bytes;

	if (bytes == 0)
		return 1;
	if (needed > session->unread_size)
	{
		size_t		size = session->unread_size < 128 ? 256 : 2 * (size_t) session->unread_size;
		unsigned char *grown;

		if (size < needed)
			size = needed;
		if (size > UINT32_MAX || (grown = realloc(session->unread, size)) == NULL)
			return 0;
		session->unread = grown;
		session->unread_size = (uint32_t) size;
	}
	memcpy(session->unread + session->unread_bytes, data, bytes);
	session->unread_bytes = (uint32_t) needed;
	return 1;
}

void
nonce_of_sequence(const Direction *direction, unsigned char *nonce)
{
	put_u64(nonce + NONCE_BYTES - 8, direction->sequence);
	memcpy(nonce, direction->nonce, NONCE_BYTES - 8);
	for (int i = NONCE_BYTES - 8; i < NONCE_BYTES; i++)
		nonce[i] ^= direction->nonce[i];
}

void
put_u16(unsigned char *at, unsigned value)
{
	at[0] = (unsigned char) (value >> 8);
	at[1] = (unsigned char) value;
}

void
put_u64(unsigned char *at, uint64_t value)
{
	for (int i = 7; i >= 0; i--, value >>= 8)
		at[i] = (unsigned char) value;
}
