/*
 * key_schedule.c
 *	  Derivation of traffic keys.
 *
 * OpenSSL cleanses an HMAC_CTX when it is freed; what is on the stack here is
 * cleansed here.
 */
#include "key_schedule.h"

#include <string.h>

#define LABEL_PREFIX		"tls13 "
/* length (2), label with its length (1 + 255), context with its length, counter */
#define INFO_BYTES_MAX		(2 + 1 + 255 + 1 + HASH_BYTES_MAX + 1)

typedef struct Part
{
	const void *data;
	size_t		bytes;
} Part;

static int
hmac(const Suite *suite, const unsigned char *key, size_t key_bytes, const Part *parts, int count,
	 unsigned char *out)
{
	HMAC_CTX   *context = openssl.HMAC_CTX_new();
	unsigned int out_bytes = 0;
	int			ok;

	ok = context != NULL && openssl.HMAC_Init_ex(context, key, (int) key_bytes, suite->hash, NULL);
	for (int i = 0; ok && i < count; i++)
		ok = openssl.HMAC_Update(context, parts[i].data, parts[i].bytes);
	ok = ok && openssl.HMAC_Final(context, out, &out_bytes) && out_bytes == suite->hash_bytes;
	openssl.HMAC_CTX_free(context);
	return ok;
}

int
expand_label(const Suite *suite, const unsigned char *secret, const char *label,
			 const unsigned char *context, size_t context_bytes,
			 unsigned char *out, size_t out_bytes)
{
	unsigned char info[INFO_BYTES_MAX];
	unsigned char block[HASH_BYTES_MAX];
	size_t		prefix_bytes = sizeof(LABEL_PREFIX) - 1;
	size_t		label_bytes = strlen(label);
	size_t		at = 0;
	Part		part = {info, 0};
	int			ok;

	if (out_bytes > suite->hash_bytes || prefix_bytes + label_bytes > 255 || context_bytes > HASH_BYTES_MAX)
		return 0;
	info[at++] = (unsigned char) (out_bytes >> 8);
	info[at++] = (unsigned char) out_bytes;
	info[at++] = (unsigned char) (prefix_bytes + label_bytes);
	memcpy(info + at, LABEL_PREFIX, prefix_bytes);
	memcpy(info + at + prefix_bytes, label, label_bytes);
	at += prefix_bytes + label_bytes;
	info[at++] = (unsigned char) context_bytes;
	if (context_bytes > 0)
		memcpy(info + at, context, context_bytes);
	at += context_bytes;
	info[at++] = 1;				/* first and only block of HKDF-Expand */
	part.bytes = at;

	ok = hmac(suite, secret, suite->hash_bytes, &part, 1, block);
	if (ok)
		memcpy(out, block, out_bytes);
	openssl.OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

int
derive_key_block(const Suite *suite, const unsigned char *master_secret,
				 const unsigned char *client_random, const unsigned char *server_random,
				 unsigned char *out, size_t out_bytes)
{
	const char	label[] = "key expansion";
	unsigned char chain[HASH_BYTES_MAX];
	unsigned char block[HASH_BYTES_MAX];
	Part		parts[] = {
		{chain, suite->hash_bytes},
		{label, sizeof(label) - 1},
		{server_random, RANDOM_BYTES},
		{client_random, RANDOM_BYTES},
	};
	int			ok;

	/* A(1) = HMAC(seed), A(i) = HMAC(A(i - 1)); output = HMAC(A(1) seed) HMAC(A(2) seed) ... */
	ok = hmac(suite, master_secret, MASTER_SECRET_BYTES, parts + 1, 3, chain);
	while (ok && out_bytes > 0)
	{
		size_t		bytes = out_bytes < suite->hash_bytes ? out_bytes : suite->hash_bytes;

		ok = hmac(suite, master_secret, MASTER_SECRET_BYTES, parts, 4, block);
		if (ok)
			memcpy(out, block, bytes);
		out += bytes;
		out_bytes -= bytes;
		ok = ok && hmac(suite, master_secret, MASTER_SECRET_BYTES, parts, 1, chain);
	}
	openssl.OPENSSL_cleanse(chain, sizeof(chain));
	openssl.OPENSSL_cleanse(block, sizeof(block));
	return ok;
}
