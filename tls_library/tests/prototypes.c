/*
 * prototypes.c
 *	  Compares the prototypes and constants of openssl.h with OpenSSL's own
 *	  headers.  It is only ever compiled, and only where the headers are.
 */
#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>

#define BOREALIS_OPENSSL_TYPES_DECLARED
#include "../openssl.h"

#define COMPARE(result, name, parameters) \
	_Static_assert(__builtin_types_compatible_p(__typeof__(name), result parameters), #name);

OPENSSL_SSL_FUNCTIONS(COMPARE)
OPENSSL_CRYPTO_FUNCTIONS(COMPARE)
OPENSSL_OPTIONAL_FUNCTIONS(COMPARE)
