/*
 * session_read.c
 *	  From ciphertext to plaintext: every byte here comes from the peer.
 */
#include "doors.h"

#include <stdlib.h>
#include <string.h>

#define KEY_UPDATE					24
/* Records in a row without data: KeyUpdates, warnings, empty ones. */
#define FRUITLESS_RECORDS_MAX		32
#define ALERT_LEVEL_WARNING			1

/* Ends the session; `alert` is to be sent. */
static int64_t
fail(Session *session, Alert alert)
{
	session->flags |= HAS_FAILED | ALERT_IS_DUE;
	session->alert = (uint8_t) alert;
	return -(int64_t) alert;
}

/* Bytes of the stream are lost. */
static int64_t
fail_without_memory(Session *session)
{
	fail(session, ALERT_INTERNAL_ERROR);
	return OUT_OF_MEMORY;
}

static int64_t
fail_for_peer(Session *session, uint8_t alert)
{
	session->flags |= HAS_FAILED;
	return PEER_ALERT - (int64_t) alert;
}

/*
 * Bytes of the record that begins here, header included; 0 as long as the
 * header is not complete.  Negative: the peer broke a rule.
 */
static int64_t
record_length(Session *session, const unsigned char *data, size_t bytes)
{
	const Suite *suite = session->suite;
	size_t		length;

	if (bytes < RECORD_HEADER_BYTES)
		return 0;
	length = (size_t) data[3] << 8 | data[4];
	if (suite->version == TLS1_3_VERSION)
	{
		if (data[0] != APPLICATION_DATA)
			return fail(session, ALERT_UNEXPECTED_MESSAGE);
		if (length > TLS13_RECORD_BYTES_MAX)
			return fail(session, ALERT_RECORD_OVERFLOW);
		/* At least its type. */
		if (length < 1 + TAG_BYTES)
			return fail(session, ALERT_BAD_RECORD_MAC);
	}
	else
	{
		if (data[0] < ALERT || data[0] > APPLICATION_DATA)
			return fail(session, ALERT_UNEXPECTED_MESSAGE);
		if (length > (size_t) PLAINTEXT_BYTES_MAX + suite->explicit_nonce_bytes + TAG_BYTES)
			return fail(session, ALERT_RECORD_OVERFLOW);
		if (length < (size_t) suite->explicit_nonce_bytes + TAG_BYTES)
			return fail(session, ALERT_BAD_RECORD_MAC);
	}
	return RECORD_HEADER_BYTES + (int64_t) length;
}

/* Takes the type off a record of TLS 1.3, with the padding behind it; returns the bytes of its content. */
static int64_t
strip_padding(Session *session, const unsigned char *plain, size_t bytes, uint8_t *type)
{
	while (bytes > 0 && plain[bytes - 1] == 0)
		bytes--;
	if (bytes == 0)
		return fail(session, ALERT_UNEXPECTED_MESSAGE);
	*type = plain[bytes - 1];
	if (bytes - 1 > PLAINTEXT_BYTES_MAX)
		return fail(session, ALERT_RECORD_OVERFLOW);
	return (int64_t) bytes - 1;
}

/* Decrypts one whole record to `plain`; returns the bytes of its content. */
static int64_t
decrypt_record(Session *session, const unsigned char *record, size_t bytes, unsigned char *plain, uint8_t *type)
{
	const Suite *suite = session->suite;
	Direction  *direction = &session->read;
	const unsigned char *body = record + RECORD_HEADER_BYTES;
	size_t		content_bytes = bytes - RECORD_HEADER_BYTES - TAG_BYTES - suite->explicit_nonce_bytes;
	unsigned char nonce[NONCE_BYTES];
	unsigned char header[8 + RECORD_HEADER_BYTES];

	if (direction->sequence == UINT64_MAX)
		return fail(session, ALERT_INTERNAL_ERROR);
	if (suite->version == TLS1_3_VERSION)
	{
		nonce_of_sequence(direction, nonce);
		if (!open_record(direction, suite, nonce, record, RECORD_HEADER_BYTES, body, content_bytes, plain))
			return fail(session, ALERT_BAD_RECORD_MAC);
		direction->sequence++;
		return strip_padding(session, plain, content_bytes, type);
	}

	if (suite->explicit_nonce_bytes > 0)
	{
		memcpy(nonce, direction->nonce, suite->fixed_nonce_bytes);
		memcpy(nonce + suite->fixed_nonce_bytes, body, suite->explicit_nonce_bytes);
		body += suite->explicit_nonce_bytes;
	}
	else
		nonce_of_sequence(direction, nonce);
	put_u64(header, direction->sequence);
	memcpy(header + 8, record, 3);
	put_u16(header + 8 + 3, (unsigned) content_bytes);
	if (!open_record(direction, suite, nonce, header, sizeof(header), body, content_bytes, plain))
		return fail(session, ALERT_BAD_RECORD_MAC);
	direction->sequence++;
	*type = record[0];
	return (int64_t) content_bytes;
}

static int64_t
take_alert(Session *session, const unsigned char *content, size_t bytes)
{
	if (bytes != 2)
		return fail(session, ALERT_DECODE_ERROR);
	if (content[1] == ALERT_CLOSE_NOTIFY)
	{
		session->flags |= PEER_HAS_CLOSED;
		return 0;
	}
	/* TLS 1.3 has no warnings but these two, whatever level they come with. */
	if (content[1] == ALERT_USER_CANCELED ||
		(session->suite->version == TLS1_2_VERSION && content[0] == ALERT_LEVEL_WARNING))
		return 0;
	return fail_for_peer(session, content[1]);
}

/*
 * The only handshake message that a client may send after the handshake is
 * KeyUpdate.  It may come in pieces, and must be the last thing in its record:
 * what follows is under the next key.  TLS 1.2 has none at all; a ClientHello
 * here would be the wish to negotiate anew.
 */
static int64_t
take_handshake(Session *session, const unsigned char *content, size_t bytes)
{
	static const unsigned char key_update_header[] = {KEY_UPDATE, 0, 0, 1};
	unsigned char *message = session->message;

	if (session->suite->version != TLS1_3_VERSION)
		return fail(session, ALERT_HANDSHAKE_FAILURE);
	if (bytes == 0 || session->message_bytes + bytes > KEY_UPDATE_BYTES)
		return fail(session, ALERT_UNEXPECTED_MESSAGE);
	memcpy(message + session->message_bytes, content, bytes);
	session->message_bytes += (uint8_t) bytes;
	if (message[0] != KEY_UPDATE)
		return fail(session, ALERT_UNEXPECTED_MESSAGE);
	if (session->message_bytes < KEY_UPDATE_BYTES)
		return 0;

	session->message_bytes = 0;
	if (memcmp(message, key_update_header, sizeof(key_update_header)) != 0)
		return fail(session, ALERT_DECODE_ERROR);
	if (message[4] > 1)
		return fail(session, ALERT_ILLEGAL_PARAMETER);
	if (!advance_traffic_key(session->suite, &session->read))
		return fail(session, ALERT_INTERNAL_ERROR);
	session->flags &= ~WE_WANT_NEW_KEYS;
	/* Answered once, with the next data, however often it was asked. */
	if (message[4] == 1)
		session->flags |= PEER_WANTS_NEW_KEYS;
	return 0;
}

/* Decrypts one record; returns how many bytes of data it adds at `out`. */
static int64_t
take_record(Session *session, const unsigned char *record, size_t bytes, unsigned char *out)
{
	uint8_t		type = 0;
	int64_t		content = decrypt_record(session, record, bytes, out, &type);

	if (content < 0)
		return content;
	/* Pieces of one handshake message must not be parted by anything else. */
	if (session->message_bytes > 0 && type != HANDSHAKE)
		return fail(session, ALERT_UNEXPECTED_MESSAGE);
	if (type == APPLICATION_DATA && content > 0)
	{
		session->fruitless = 0;
		return content;
	}
	if (++session->fruitless > FRUITLESS_RECORDS_MAX)
		return fail(session, ALERT_UNEXPECTED_MESSAGE);
	switch (type)
	{
		case APPLICATION_DATA:
			return 0;
		case ALERT:
			return take_alert(session, out, (size_t) content);
		case HANDSHAKE:
			return take_handshake(session, out, (size_t) content);
		default:
			return fail(session, ALERT_UNEXPECTED_MESSAGE);
	}
}

/*
 * Takes the whole records at `data`.  Returns the bytes of plaintext, or an
 * error; *consumed is how far it came.
 */
static int64_t
take_records(Session *session, const unsigned char *data, size_t bytes, unsigned char *out, size_t *consumed)
{
	int64_t		produced = 0;
	size_t		at = 0;

	while (!(session->flags & PEER_HAS_CLOSED))
	{
		int64_t		length = record_length(session, data + at, bytes - at);
		int64_t		content;

		if (length < 0)
			return length;
		if (length == 0 || (size_t) length > bytes - at)
			break;
		content = take_record(session, data + at, (size_t) length, out + produced);
		if (content < 0)
			return content;
		produced += content;
		at += (size_t) length;
	}
	*consumed = at;
	return produced;
}

static void
forget_unread(Session *session)
{
	free(session->unread);
	session->unread = NULL;
	session->unread_bytes = 0;
	session->unread_size = 0;
}

/*
 * Takes what was left unread before, completed from `data`; *used is what it
 * needed of that.
 */
static int64_t
take_unread(Session *session, const unsigned char *data, size_t bytes, unsigned char *out, size_t *used)
{
	int64_t		produced = 0;

	*used = 0;
	while (session->unread_bytes > 0 && !(session->flags & PEER_HAS_CLOSED))
	{
		size_t		consumed = 0;
		size_t		wanted;
		int64_t		length;
		int64_t		content = take_records(session, session->unread, session->unread_bytes, out + produced,
										   &consumed);

		if (content < 0)
			return content;
		produced += content;
		session->unread_bytes -= (uint32_t) consumed;
		if (session->unread_bytes == 0)
			break;
		memmove(session->unread, session->unread + consumed, session->unread_bytes);

		length = record_length(session, session->unread, session->unread_bytes);
		if (length < 0)
			return length;
		wanted = (length > 0 ? (size_t) length : RECORD_HEADER_BYTES) - session->unread_bytes;
		if (wanted > bytes - *used)
			wanted = bytes - *used;
		if (wanted == 0)
			return produced;
		if (!keep_unread(session, data + *used, wanted))
			return fail_without_memory(session);
		*used += wanted;
	}
	forget_unread(session);
	return produced;
}

/*
 * Decrypts all records that are complete now.  `out` has room for the unread
 * bytes and `bytes` together: never more comes out than went in.
 */
DOOR int64_t
tls_session_decrypt(Session *session, const unsigned char *data, size_t bytes, unsigned char *out)
{
	size_t		used = 0;
	size_t		consumed = 0;
	int64_t		produced = 0;
	int64_t		content;

	if (session == NULL || session->flags & (HAS_FAILED | IS_FROZEN))
		return SESSION_UNUSABLE;
	if (session->unread_bytes > 0)
	{
		produced = take_unread(session, data, bytes, out, &used);
		if (produced < 0)
			return produced;
	}
	if (session->unread_bytes == 0 && !(session->flags & PEER_HAS_CLOSED))
	{
		content = take_records(session, data + used, bytes - used, out + produced, &consumed);
		if (content < 0)
			return content;
		produced += content;
		used += consumed;
		if (!(session->flags & PEER_HAS_CLOSED) && !keep_unread(session, data + used, bytes - used))
			return fail_without_memory(session);
	}
	return produced | (session->flags & PEER_HAS_CLOSED ? RESULT_PEER_CLOSED : 0);
}
