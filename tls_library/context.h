/*
 * context.h
 *	  What the handshakes of one server have in common: certificate, key, rules.
 */
#ifndef BOREALIS_TLS_CONTEXT_H
#define BOREALIS_TLS_CONTEXT_H

#include "openssl.h"

typedef struct Context
{
	SSL_CTX    *ssl_context;
} Context;

/* The index at which an SSL object carries its Handshake. */
extern int	handshake_index;

/* After openssl_load.  Returns 0 if OpenSSL fails. */
extern int	context_init(void);

#endif							/* BOREALIS_TLS_CONTEXT_H */
