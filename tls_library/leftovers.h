/*
 * leftovers.h
 *	  Secrets that OpenSSL would leave in memory that it has given back.
 */
#ifndef BOREALIS_TLS_LEFTOVERS_H
#define BOREALIS_TLS_LEFTOVERS_H

#include "key_log.h"

/*
 * To be called before SSL_free, after which nothing else may be done with the
 * SSL.  Returns 0 if this OpenSSL does not keep its secrets where we know them.
 */
extern int	cleanse_leftovers(SSL *ssl, const Suite *suite, const KeyLog *log);

#endif							/* BOREALIS_TLS_LEFTOVERS_H */
