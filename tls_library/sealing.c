/*
 * sealing.c
 *	  AES-256-GCM of whole texts: secrets at rest, which have nothing to do with
 *	  TLS but with the same OpenSSL.
 */
#include "doors.h"

#include <limits.h>

static EVP_CIPHER_CTX *
begin(int is_sealing, const unsigned char *key, const unsigned char *nonce,
	  const unsigned char *associated, size_t associated_bytes)
{
	EVP_CIPHER_CTX *context = openssl.EVP_CIPHER_CTX_new();
	int			n;

	if (context != NULL &&
		openssl.EVP_CipherInit_ex(context, openssl.EVP_aes_256_gcm(), NULL, key, nonce, is_sealing) &&
		(associated_bytes == 0 ||
		 openssl.EVP_CipherUpdate(context, NULL, &n, associated, (int) associated_bytes)))
		return context;
	/* It cleanses the key schedule. */
	openssl.EVP_CIPHER_CTX_free(context);
	return NULL;
}

DOOR int
tls_seal(const unsigned char *key, const unsigned char *nonce, const unsigned char *associated,
		 size_t associated_bytes, const unsigned char *text, size_t bytes, unsigned char *out)
{
	EVP_CIPHER_CTX *context;
	int			n;
	int			is_done;

	if (associated_bytes > INT_MAX || bytes > INT_MAX - TAG_BYTES)
		return 0;
	context = begin(1, key, nonce, associated, associated_bytes);
	if (context == NULL)
		return 0;
	is_done = (bytes == 0 || openssl.EVP_CipherUpdate(context, out, &n, text, (int) bytes)) &&
		openssl.EVP_CipherFinal_ex(context, out + bytes, &n) &&
		openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, out + bytes);
	openssl.EVP_CIPHER_CTX_free(context);
	return is_done;
}

DOOR int
tls_unseal(const unsigned char *key, const unsigned char *nonce, const unsigned char *associated,
		   size_t associated_bytes, const unsigned char *sealed, size_t bytes, unsigned char *out)
{
	EVP_CIPHER_CTX *context;
	int			n;
	int			is_done;

	if (associated_bytes > INT_MAX || bytes > INT_MAX || bytes < TAG_BYTES)
		return 0;
	bytes -= TAG_BYTES;
	context = begin(0, key, nonce, associated, associated_bytes);
	if (context == NULL)
		return 0;
	is_done = openssl.EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, (void *) (sealed + bytes)) &&
		(bytes == 0 || openssl.EVP_CipherUpdate(context, out, &n, sealed, (int) bytes)) &&
		openssl.EVP_CipherFinal_ex(context, out + bytes, &n);
	if (!is_done)
		openssl.OPENSSL_cleanse(out, bytes);
	openssl.EVP_CIPHER_CTX_free(context);
	return is_done;
}
