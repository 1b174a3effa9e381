/*
 * openssl.c
 *	  Finds OpenSSL's functions.
 */
#include "openssl.h"

#include <dlfcn.h>
#include <stdio.h>

OpenSSLFunctions openssl;

typedef struct LibraryNames
{
	const char *ssl;
	const char *crypto;
} LibraryNames;

static const LibraryNames library_names[] = {
#ifdef __APPLE__
	{"libssl.3.dylib", "libcrypto.3.dylib"},
	{"libssl.1.1.dylib", "libcrypto.1.1.dylib"},
#else
	{"libssl.so.3", "libcrypto.so.3"},
	{"libssl.so.1.1", "libcrypto.so.1.1"},
#endif
};

#define LIBRARY_NAMES_COUNT (sizeof(library_names) / sizeof(library_names[0]))

static char problem[256];

static int
resolve(void *library, const char *name, void *function, int is_optional)
{
	void	   *found = dlsym(library, name);

	*(void **) function = found;
	if (found != NULL || is_optional)
		return 1;
	snprintf(problem, sizeof(problem), "OpenSSL has no function %s", name);
	return 0;
}

static int
resolve_all(void *ssl, void *crypto)
{
#define RESOLVE_SSL(result, name, parameters) && resolve(ssl, #name, &openssl.name, 0)
#define RESOLVE_CRYPTO(result, name, parameters) && resolve(crypto, #name, &openssl.name, 0)
#define RESOLVE_OPTIONAL(result, name, parameters) && resolve(crypto, #name, &openssl.name, 1)
	return 1 OPENSSL_SSL_FUNCTIONS(RESOLVE_SSL) OPENSSL_CRYPTO_FUNCTIONS(RESOLVE_CRYPTO)
		OPENSSL_OPTIONAL_FUNCTIONS(RESOLVE_OPTIONAL);
}

const char *
openssl_load(void)
{
	static const int ways[] = {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD, RTLD_NOW | RTLD_LOCAL};

	for (size_t way = 0; way < sizeof(ways) / sizeof(ways[0]); way++)
	{
		for (size_t i = 0; i < LIBRARY_NAMES_COUNT; i++)
		{
			void	   *ssl = dlopen(library_names[i].ssl, ways[way]);
			void	   *crypto = ssl == NULL ? NULL : dlopen(library_names[i].crypto, ways[way]);

			if (crypto != NULL)
				return resolve_all(ssl, crypto) ? NULL : problem;
		}
	}
	return "there is no shared OpenSSL library (libssl) of version 3 or 1.1.1 for this Python: Borealis needs the one of "
		"the operating system, or a Python that is linked to it";
}

const char *
openssl_reason(void)
{
	unsigned long error = openssl.ERR_peek_error();
	const char *reason = error == 0 ? NULL : openssl.ERR_reason_error_string(error);

	openssl.ERR_clear_error();
	return reason == NULL ? "no reason was given" : reason;
}
