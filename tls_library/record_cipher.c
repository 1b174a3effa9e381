/*
 * record_cipher.c
 *	  Encryption of one record, and the pool of OpenSSL's contexts.
 */
#include "record_cipher.h"

#include <stdlib.h>

#define CONTEXTS_MAX_DEFAULT	2048

struct CipherSlot
{
	EVP_CIPHER_CTX *context;
	Direction  *owner;
	CipherSlot *newer;
	CipherSlot *older;
};

/* By last use. */
static CipherSlot *newest = NULL;
static CipherSlot *oldest = NULL;
static size_t slots_count = 0;
static size_t slots_max = CONTEXTS_MAX_DEFAULT;

static void
unlink_slot(CipherSlot *slot)
{
	*(slot->newer != NULL ? &slot->newer->older : &newest) = slot->older;
	*(slot->older != NULL ? &slot->older->newer : &oldest) = slot->newer;
}

static void
link_as_newest(CipherSlot *slot)
{
	slot->newer = NULL;
	slot->older = newest;
	*(newest != NULL ? &newest->newer : &oldest) = slot;
	newest = slot;
}

/* OpenSSL cleanses a context, key schedule included, when it frees it. */
static void
free_slot(CipherSlot *slot)
{
	unlink_slot(slot);
	slots_count--;
	openssl.EVP_CIPHER_CTX_free(slot->context);
	free(slot);
}

void
release_cipher(Direction *direction)
{
	if (direction->slot == NULL)
		return;
	free_slot(direction->slot);
	direction->slot = NULL;
}

void
set_cipher_contexts_max(size_t count)
{
	slots_max = count > 1 ? count : 1;
	while (slots_count > slots_max)
		release_cipher(oldest->owner);
}

static CipherSlot *
make_slot(void)
{
	CipherSlot *slot = calloc(1, sizeof(CipherSlot));

	if (slot == NULL)
		return NULL;
	slot->context = openssl.EVP_CIPHER_CTX_new();
	if (slot->context == NULL)
	{
		free(slot);
		return NULL;
	}
	slots_count++;
	link_as_newest(slot);
	return slot;
}

static EVP_CIPHER_CTX *
context_of(Direction *direction, const Suite *suite)
{
	CipherSlot *slot = direction->slot;

	if (slot != NULL)
	{
		if (slot != newest)
		{
			unlink_slot(slot);
			link_as_newest(slot);
		}
		return slot->context;
	}
	if (slots_count >= slots_max)
		release_cipher(oldest->owner);
	slot = make_slot();
	if (slot == NULL)
		return NULL;
	slot->owner = direction;
	direction->slot = slot;
	if (!openssl.EVP_CipherInit_ex(slot->context, suite->cipher, NULL, direction->key, NULL, direction->is_writing))
	{
		release_cipher(direction);
		return NULL;
	}
	return slot->context;
}

int
seal_record(Direction *direction, const Suite *suite, const unsigned char *nonce,
			const unsigned char *header, size_t header_bytes,
			const unsigned char *in, size_t bytes,
			const unsigned char *tail, size_t tail_bytes, unsigned char *out)
{
	EVP_CIPHER_CTX *context = context_of(direction, suite);
	int			n;

	if (context == NULL || !openssl.EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1) ||
		!openssl.EVP_CipherUpdate(context, NULL, &n, header, (int) header_bytes))
		return 0;
	if (bytes > 0 && !openssl.EVP_CipherUpdate(context, out, &n, in, (int) bytes))
		return 0;
	if (tail_bytes > 0 && !openssl.EVP_CipherUpdate(context, out + bytes, &n, tail, (int) tail_bytes))
		return 0;
	out += bytes + tail_bytes;
	return openssl.EVP_CipherFinal_ex(context, out, &n) &&
		openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out);
}

int
open_record(Direction *direction, const Suite *suite, const unsigned char *nonce,
			const unsigned char *header, size_t header_bytes,
			const unsigned char *in, size_t bytes, unsigned char *out)
{
	EVP_CIPHER_CTX *context = context_of(direction, suite);
	int			n;

	if (context != NULL && openssl.EVP_CipherInit_ex(context, NULL, NULL, NULL, nonce, -1) &&
		openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, (void *) (in + bytes)) &&
		openssl.EVP_CipherUpdate(context, NULL, &n, header, (int) header_bytes) &&
		(bytes == 0 || openssl.EVP_CipherUpdate(context, out, &n, in, (int) bytes)) &&
		openssl.EVP_CipherFinal_ex(context, out + bytes, &n))
		return 1;
	openssl.OPENSSL_cleanse(out, bytes);
	return 0;
}
