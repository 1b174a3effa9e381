/*
 * context.c
 *	  Contexts, and the callbacks that OpenSSL makes during a handshake.
 *
 * A session is never resumed: there are no tickets, no cache, no early data.
 * After the hand-over nobody is left who could keep such a promise.
 */
#include "doors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "key_log.h"

static const unsigned char postgresql[] = "postgresql";

#define POSTGRESQL_BYTES (sizeof(postgresql) - 1)

int			handshake_index;

int
context_init(void)
{
	handshake_index = openssl.CRYPTO_get_ex_new_index(CRYPTO_EX_INDEX_SSL, 0, NULL, NULL, NULL, NULL);
	return handshake_index >= 0;
}

static Handshake *
handshake_of(const SSL *ssl)
{
	return openssl.SSL_get_ex_data(ssl, handshake_index);
}

/* A key with a passphrase is refused: OpenSSL would ask at the terminal. */
static int
refuse_passphrase(char *buffer, int size, int is_writing, void *argument)
{
	(void) buffer, (void) size, (void) is_writing, (void) argument;
	return -1;
}

static void
take_key_log_line(const SSL *ssl, const char *line)
{
	key_log_take(&handshake_of(ssl)->key_log, line);
}

/* Direct TLS needs ALPN, so that no other protocol's client can be made to talk to us (as PostgreSQL 17). */
static int
inspect_client_hello(SSL *ssl, int *alert, void *argument)
{
	const unsigned char *extension;
	size_t		bytes;

	(void) argument;
	if (handshake_of(ssl)->is_direct &&
		!openssl.SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &extension,
										   &bytes))
	{
		*alert = SSL_AD_NO_APPLICATION_PROTOCOL;
		return SSL_CLIENT_HELLO_ERROR;
	}
	return SSL_CLIENT_HELLO_SUCCESS;
}

static int
select_protocol(SSL *ssl, const unsigned char **selected, unsigned char *selected_bytes,
				const unsigned char *offered, unsigned int offered_bytes, void *argument)
{
	unsigned int at = 0;

	(void) argument;
	/* OpenSSL has checked the list; the bounds are checked here once more. */
	while (at < offered_bytes && at + 1 + offered[at] <= offered_bytes)
	{
		if (offered[at] == POSTGRESQL_BYTES && memcmp(offered + at + 1, postgresql, POSTGRESQL_BYTES) == 0)
		{
			*selected = offered + at + 1;
			*selected_bytes = offered[at];
			handshake_of(ssl)->has_alpn = 1;
			return SSL_TLSEXT_ERR_OK;
		}
		at += 1 + offered[at];
	}
	return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static int
take_server_name(SSL *ssl, int *alert, void *argument)
{
	Handshake  *handshake = handshake_of(ssl);
	const char *name = openssl.SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void) alert, (void) argument;
	if (name == NULL)
		return SSL_TLSEXT_ERR_NOACK;
	snprintf(handshake->server_name, sizeof(handshake->server_name), "%s", name);
	return SSL_TLSEXT_ERR_OK;
}

/* What the client of a database may choose. */
static int
configure_for_clients(SSL_CTX *context)
{
	openssl.SSL_CTX_set_client_hello_cb(context, inspect_client_hello, NULL);
	openssl.SSL_CTX_set_alpn_select_cb(context, select_protocol, NULL);
	openssl.SSL_CTX_callback_ctrl(context, SSL_CTRL_SET_TLSEXT_SERVERNAME_CB, (void (*) (void)) take_server_name);
	return openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_2_VERSION, NULL) == 1 &&
		openssl.SSL_CTX_set_cipher_list(context, tls12_suite_names) == 1;
}

/*
 * OpenSSL compares the purpose of a certificate with the role of who shows it:
 * one that is for servers only cannot open a channel.
 */
static int
configure_for_channel(SSL_CTX *context, const char *authority_path)
{
	openssl.SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MIN_PROTO_VERSION, TLS1_3_VERSION, NULL) == 1 &&
		openssl.SSL_CTX_load_verify_locations(context, authority_path, NULL) == 1;
}

static int
configure(SSL_CTX *context)
{
	openssl.SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
								SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
	openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_SESS_CACHE_MODE, SSL_SESS_CACHE_OFF, NULL);
	openssl.SSL_CTX_ctrl(context, SSL_CTRL_MODE, SSL_MODE_RELEASE_BUFFERS, NULL);
	openssl.SSL_CTX_set_default_passwd_cb(context, refuse_passphrase);
	openssl.SSL_CTX_set_keylog_callback(context, take_key_log_line);
	return openssl.SSL_CTX_set_num_tickets(context, 0) == 1 &&
		openssl.SSL_CTX_ctrl(context, SSL_CTRL_SET_MAX_PROTO_VERSION, TLS1_3_VERSION, NULL) == 1 &&
		openssl.SSL_CTX_set_ciphersuites(context, tls13_suite_names) == 1;
}

/* NULL, or what cannot be done. */
static const char *
load_certificate(SSL_CTX *context, const char *chain_path, const char *key_path)
{
	if (openssl.SSL_CTX_use_certificate_chain_file(context, chain_path) != 1)
		return "the certificate chain cannot be read";
	if (openssl.SSL_CTX_use_PrivateKey_file(context, key_path, SSL_FILETYPE_PEM) != 1)
		return "the private key cannot be read";
	if (openssl.SSL_CTX_check_private_key(context) != 1)
		return "the private key is not that of the certificate";
	return NULL;
}

static Context *
open_context(ContextKind kind, const char *chain_path, const char *key_path, const char *authority_path,
			 char *problem, size_t problem_size)
{
	Context    *context = calloc(1, sizeof(Context));
	const char *failed = "there is no memory";

	openssl.ERR_clear_error();
	if (context != NULL)
	{
		context->kind = kind;
		context->ssl_context = openssl.SSL_CTX_new(kind == FOR_CHANNEL_CLIENT ? openssl.TLS_client_method()
												   : openssl.TLS_server_method());
	}
	if (context != NULL && context->ssl_context != NULL)
	{
		if (!configure(context->ssl_context) ||
			(kind == FOR_CLIENTS && !configure_for_clients(context->ssl_context)))
			failed = "OpenSSL does not support what is needed";
		else if (kind != FOR_CLIENTS && !configure_for_channel(context->ssl_context, authority_path))
			failed = "the certificate of the authority cannot be read";
		else
			failed = load_certificate(context->ssl_context, chain_path, key_path);
		if (failed == NULL)
			return context;
	}
	snprintf(problem, problem_size, "%s: %s", failed, openssl_reason());
	if (context != NULL)
		tls_context_close(context);
	return NULL;
}

DOOR Context *
tls_context_open(const char *chain_path, const char *key_path, char *problem, size_t problem_size)
{
	return open_context(FOR_CLIENTS, chain_path, key_path, NULL, problem, problem_size);
}

DOOR Context *
tls_channel_context_open(int is_client, const char *chain_path, const char *key_path, const char *authority_path,
						 char *problem, size_t problem_size)
{
	return open_context(is_client ? FOR_CHANNEL_CLIENT : FOR_CHANNEL_SERVER, chain_path, key_path, authority_path,
						problem, problem_size);
}

DOOR void
tls_context_close(Context *context)
{
	openssl.SSL_CTX_free(context->ssl_context);
	free(context);
}
