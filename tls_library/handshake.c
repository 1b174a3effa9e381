/*
 * handshake.c
 *	  One side of a TLS handshake.
 *
 * OpenSSL reads ahead within what it is given: it gets one record at a time,
 * and no more once it is done, so that every byte behind the handshake is still
 * here.  What it writes is looked at for the same reason: records that it wrote
 * under the session's keys count in the sequence numbers that go on.
 */
#include "doors.h"

#include <stdlib.h>
#include <string.h>

#include "leftovers.h"

/* Everything the peer may send before the handshake is done; a ClientHello with many key shares is 2 kB. */
#define HANDSHAKE_BYTES_MAX		(64 * 1024)

static Handshake *
open_handshake(const Context *context)
{
	Handshake  *handshake = calloc(1, sizeof(Handshake));
	BIO		   *input;
	BIO		   *output;

	if (handshake == NULL)
		return NULL;
	openssl.ERR_clear_error();
	handshake->is_client = context->kind == FOR_CHANNEL_CLIENT;
	handshake->ssl = openssl.SSL_new(context->ssl_context);
	input = openssl.BIO_new(openssl.BIO_s_mem());
	output = openssl.BIO_new(openssl.BIO_s_mem());
	if (handshake->ssl == NULL || input == NULL || output == NULL ||
		!openssl.SSL_set_ex_data(handshake->ssl, handshake_index, handshake))
	{
		openssl.BIO_free(input);
		openssl.BIO_free(output);
		tls_handshake_close(handshake);
		openssl.ERR_clear_error();
		return NULL;
	}
	openssl.SSL_set_bio(handshake->ssl, input, output);
	handshake->input = input;
	handshake->output = output;
	if (handshake->is_client)
		openssl.SSL_set_connect_state(handshake->ssl);
	else
		openssl.SSL_set_accept_state(handshake->ssl);
	return handshake;
}

DOOR Handshake *
tls_handshake_open(const Context *context, int is_direct)
{
	Handshake  *handshake = open_handshake(context);

	if (handshake != NULL)
		handshake->is_direct = is_direct != 0;
	return handshake;
}

DOOR Handshake *
tls_channel_handshake_open(const Context *context, const char *server_name)
{
	Handshake  *handshake;

	/* A client that does not say whom it wants would be content with anybody. */
	if ((context->kind == FOR_CHANNEL_CLIENT) != (server_name != NULL && server_name[0] != '\0'))
		return NULL;
	handshake = open_handshake(context);
	if (handshake != NULL && handshake->is_client && openssl.SSL_set1_host(handshake->ssl, server_name) != 1)
	{
		tls_handshake_close(handshake);
		openssl.ERR_clear_error();
		return NULL;
	}
	return handshake;
}

/* Counts the records among `data` that were written under the session's keys. */
static void
look_at_output(Handshake *handshake, int was_done, const unsigned char *data, size_t bytes)
{
	int			is_tls13 = openssl.SSL_version(handshake->ssl) == TLS1_3_VERSION;

	/* What a client writes last, its Finished, is still under the keys of the handshake. */
	if (handshake->is_client)
		return;
	while (bytes >= RECORD_HEADER_BYTES)
	{
		size_t		length = RECORD_HEADER_BYTES + ((size_t) data[3] << 8 | data[4]);

		if (length > bytes)
			break;
		/* TLS 1.3: what is written in the step that ends the handshake. */
		if (is_tls13 ? was_done && data[0] == APPLICATION_DATA : handshake->cipher_is_changed)
		{
			handshake->records_written++;
			if (length >= RECORD_HEADER_BYTES + EXPLICIT_NONCE_BYTES)
			{
				handshake->explicit_nonce = 0;
				for (int i = 0; i < EXPLICIT_NONCE_BYTES; i++)
					handshake->explicit_nonce = handshake->explicit_nonce << 8 | data[RECORD_HEADER_BYTES + i];
			}
		}
		if (!is_tls13 && data[0] == CHANGE_CIPHER_SPEC)
			handshake->cipher_is_changed = 1;
		data += length;
		bytes -= length;
	}
}

static void
fail_handshake(Handshake *handshake, const char *problem)
{
	handshake->has_failed = 1;
	handshake->problem = problem;
}

/* Gives OpenSSL these bytes and lets it go on; its answers are appended to `out`. */
static size_t
step(Handshake *handshake, const unsigned char *data, size_t bytes, unsigned char *out, size_t out_size)
{
	int			result;
	int			error;
	size_t		pending;

	openssl.ERR_clear_error();
	if (bytes > 0 && openssl.BIO_write(handshake->input, data, (int) bytes) != (int) bytes)
	{
		fail_handshake(handshake, "there is no memory");
		return 0;
	}
	result = openssl.SSL_do_handshake(handshake->ssl);
	error = openssl.SSL_get_error(handshake->ssl, result);
	if (result == 1)
		handshake->is_done = 1;
	else if (error != SSL_ERROR_WANT_READ)
		fail_handshake(handshake, openssl_reason());
	openssl.ERR_clear_error();

	pending = openssl.BIO_ctrl_pending(handshake->output);
	if (pending == 0)
		return 0;
	if (pending > out_size || openssl.BIO_read(handshake->output, out, (int) pending) != (int) pending)
	{
		fail_handshake(handshake, "the answer is too long");
		return 0;
	}
	look_at_output(handshake, handshake->is_done, out, pending);
	return pending;
}

/*
 * The bytes of the record that begins here; 0 as long as its header is not
 * complete.  What cannot be a header is given to OpenSSL as it is, which says
 * so to the client.
 */
static size_t
handshake_record_length(const unsigned char *data, size_t bytes, int *is_record)
{
	size_t		length;

	*is_record = 1;
	if (bytes < RECORD_HEADER_BYTES)
		return 0;
	length = (size_t) data[3] << 8 | data[4];
	if (data[0] < CHANGE_CIPHER_SPEC || data[0] > APPLICATION_DATA || data[1] != 3 ||
		length > TLS13_RECORD_BYTES_MAX)
	{
		*is_record = 0;
		return RECORD_HEADER_BYTES;
	}
	return RECORD_HEADER_BYTES + length;
}

static int
append_unread(Handshake *handshake, const unsigned char *data, size_t bytes)
{
	unsigned char *grown;

	if (bytes == 0)
		return 1;
	grown = realloc(handshake->unread, handshake->unread_bytes + bytes);
	if (grown == NULL)
		return 0;
	memcpy(grown + handshake->unread_bytes, data, bytes);
	handshake->unread = grown;
	handshake->unread_bytes += bytes;
	return 1;
}

DOOR int64_t
tls_handshake_start(Handshake *handshake, unsigned char *out, size_t out_size)
{
	size_t		produced = step(handshake, NULL, 0, out, out_size);

	return (int64_t) produced | (handshake->has_failed ? RESULT_FAILED : 0);
}

/*
 * Takes what the peer sent.  Returns how many bytes at `out` are to be sent,
 * with RESULT_DONE or RESULT_FAILED.
 */
DOOR int64_t
tls_handshake_feed(Handshake *handshake, const unsigned char *data, size_t bytes, unsigned char *out,
				   size_t out_size)
{
	size_t		produced = 0;
	size_t		at = 0;

	if (handshake->has_failed || handshake->ssl == NULL)
		return RESULT_FAILED;
	if (!append_unread(handshake, data, bytes))
		fail_handshake(handshake, "there is no memory");
	while (!handshake->is_done && !handshake->has_failed)
	{
		int			is_record;
		size_t		left = handshake->unread_bytes - at;
		size_t		length = handshake_record_length(handshake->unread + at, left, &is_record);

		if (length == 0 || length > left)
			break;
		handshake->total_bytes += length;
		if (handshake->total_bytes > HANDSHAKE_BYTES_MAX)
		{
			fail_handshake(handshake, "the peer sends too much");
			break;
		}
		produced += step(handshake, handshake->unread + at, length, out + produced, out_size - produced);
		at += length;
		if (!is_record && !handshake->has_failed)
			fail_handshake(handshake, "this is not TLS");
	}
	if (at > 0)
	{
		handshake->unread_bytes -= at;
		memmove(handshake->unread, handshake->unread + at, handshake->unread_bytes);
	}
	return (int64_t) produced | (handshake->has_failed ? RESULT_FAILED : handshake->is_done ? RESULT_DONE : 0);
}

DOOR const char *
tls_handshake_problem(const Handshake *handshake)
{
	return handshake->problem == NULL ? "" : handshake->problem;
}

DOOR const char *
tls_handshake_server_name(const Handshake *handshake)
{
	return handshake->server_name;
}

DOOR int
tls_handshake_has_alpn(const Handshake *handshake)
{
	return handshake->has_alpn;
}

/* TLS 1.2: cuts the key block into keys and fixed nonces, in that order (RFC 5246 section 6.3). */
static int
take_key_block(Handshake *handshake, Session *session)
{
	const Suite *suite = session->suite;
	unsigned char client_random[RANDOM_BYTES];
	unsigned char server_random[RANDOM_BYTES];
	unsigned char block[2 * (KEY_BYTES_MAX + NONCE_BYTES)];
	const unsigned char *at = block;
	int			ok;

	ok = handshake->key_log.master_bytes == MASTER_SECRET_BYTES &&
		openssl.SSL_get_client_random(handshake->ssl, client_random, RANDOM_BYTES) == RANDOM_BYTES &&
		openssl.SSL_get_server_random(handshake->ssl, server_random, RANDOM_BYTES) == RANDOM_BYTES &&
		derive_key_block(suite, handshake->key_log.master, client_random, server_random, block,
						 2 * ((size_t) suite->key_bytes + suite->fixed_nonce_bytes));
	if (ok)
	{
		memcpy(session->read.key, at, suite->key_bytes);
		at += suite->key_bytes;
		memcpy(session->write.key, at, suite->key_bytes);
		at += suite->key_bytes;
		memcpy(session->read.nonce, at, suite->fixed_nonce_bytes);
		at += suite->fixed_nonce_bytes;
		memcpy(session->write.nonce, at, suite->fixed_nonce_bytes);
		/* The client's Finished was the first record under its key. */
		session->read.sequence = 1;
		if (suite->explicit_nonce_bytes > 0)
			session->explicit_nonce = handshake->explicit_nonce + 1;
	}
	openssl.OPENSSL_cleanse(block, sizeof(block));
	return ok;
}

static int
take_traffic_secrets(Handshake *handshake, Session *session)
{
	const Suite *suite = session->suite;
	const KeyLog *log = &handshake->key_log;
	Direction  *of_client = handshake->is_client ? &session->write : &session->read;
	Direction  *of_server = handshake->is_client ? &session->read : &session->write;

	if (log->client_bytes != suite->hash_bytes || log->server_bytes != suite->hash_bytes)
		return 0;
	memcpy(of_client->secret, log->client, suite->hash_bytes);
	memcpy(of_server->secret, log->server, suite->hash_bytes);
	return derive_traffic_key(suite, &session->read) && derive_traffic_key(suite, &session->write);
}

static const Suite *
suite_of(const Handshake *handshake)
{
	const SSL_CIPHER *cipher = openssl.SSL_get_current_cipher(handshake->ssl);

	if (cipher == NULL)
		return NULL;
	return find_suite((uint16_t) openssl.SSL_version(handshake->ssl), openssl.SSL_CIPHER_get_protocol_id(cipher));
}

DOOR Session *
tls_handshake_finish(Handshake *handshake)
{
	const Suite *suite;
	Session    *session;
	int			ok;

	if (!handshake->is_done || handshake->has_failed || openssl.BIO_ctrl_pending(handshake->input) != 0)
		return NULL;
	suite = suite_of(handshake);
	session = suite == NULL ? NULL : make_session(suite);
	if (session == NULL)
		return NULL;
	ok = suite->version == TLS1_3_VERSION ? take_traffic_secrets(handshake, session)
		: take_key_block(handshake, session);
	session->write.sequence = handshake->records_written;
	ok = ok && cleanse_leftovers(handshake->ssl, suite, &handshake->key_log) &&
		keep_unread(session, handshake->unread, handshake->unread_bytes);
	handshake->is_cleansed = 1;
	if (!ok)
	{
		close_session(session);
		fail_handshake(handshake, "the keys of the session cannot be taken from OpenSSL without a trace");
		return NULL;
	}
	return session;
}

DOOR void
tls_handshake_close(Handshake *handshake)
{
	const Suite *suite = handshake->ssl == NULL || handshake->is_cleansed ? NULL : suite_of(handshake);

	/* A handshake that was given up half-way may know its secrets already. */
	if (suite != NULL && handshake->key_log.client_bytes == suite->hash_bytes &&
		handshake->key_log.server_bytes == suite->hash_bytes)
		cleanse_leftovers(handshake->ssl, suite, &handshake->key_log);
	if (handshake->ssl != NULL)
		openssl.SSL_free(handshake->ssl);
	free(handshake->unread);
	openssl.OPENSSL_cleanse(handshake, sizeof(Handshake));
	free(handshake);
}
