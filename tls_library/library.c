/*
 * library.c
 *	  Opening of the library.
 */
#include "doors.h"

DOOR const char *
tls_open(void)
{
	const char *problem = openssl_load();

	if (problem != NULL)
		return problem;
	if (!suites_init() || !context_init())
	{
		openssl.ERR_clear_error();
		return "OpenSSL lacks a cipher or a hash that is needed";
	}
	return NULL;
}

DOOR const char *
tls_openssl_version(void)
{
	return openssl.OpenSSL_version(0);
}

DOOR void
tls_cleanse(void *data, size_t bytes)
{
	openssl.OPENSSL_cleanse(data, bytes);
}

DOOR void
tls_set_cipher_contexts_max(size_t count)
{
	set_cipher_contexts_max(count);
}
