/*
 * context.h
 *	  What handshakes have in common: certificate, key, rules.
 */
#ifndef BOREALIS_TLS_CONTEXT_H
#define BOREALIS_TLS_CONTEXT_H

#include "openssl.h"

typedef enum ContextKind
{
	FOR_CLIENTS,				/* we are the server of a Postgres client */
	FOR_CHANNEL_SERVER,			/* both sides are ours, and show certificates of our own authority */
	FOR_CHANNEL_CLIENT
} ContextKind;

typedef struct Context
{
	SSL_CTX    *ssl_context;
	ContextKind kind;
} Context;

/* The index at which an SSL object carries its Handshake. */
extern int	handshake_index;

/* After openssl_load.  Returns 0 if OpenSSL fails. */
extern int	context_init(void);

#endif							/* BOREALIS_TLS_CONTEXT_H */
