/*
 * session_write.c
 *	  From plaintext to records, alerts and KeyUpdates.
 */
#include "doors.h"

#include <string.h>

#define KEY_UPDATE				24
#define ALERT_LEVEL_WARNING		1
#define ALERT_LEVEL_FATAL		2

/* Writes one record; returns its bytes, or an error. */
static int64_t
write_record(Session *session, ContentType type, const unsigned char *content, size_t bytes, unsigned char *out)
{
	const Suite *suite = session->suite;
	Direction  *direction = &session->write;
	unsigned char nonce[NONCE_BYTES];
	unsigned char header[8 + RECORD_HEADER_BYTES];
	unsigned char inner_type = (unsigned char) type;
	size_t		body_bytes;
	int			ok;

	if (direction->sequence == UINT64_MAX)
		return -ALERT_INTERNAL_ERROR;
	put_u16(out + 1, TLS1_2_VERSION);
	if (suite->version == TLS1_3_VERSION)
	{
		body_bytes = bytes + 1 + TAG_BYTES;
		out[0] = APPLICATION_DATA;
		put_u16(out + 3, (unsigned) body_bytes);
		nonce_of_sequence(direction, nonce);
		ok = seal_record(direction, suite, nonce, out, RECORD_HEADER_BYTES, content, bytes, &inner_type, 1,
						 out + RECORD_HEADER_BYTES);
	}
	else
	{
		unsigned char *body = out + RECORD_HEADER_BYTES + suite->explicit_nonce_bytes;

		body_bytes = suite->explicit_nonce_bytes + bytes + TAG_BYTES;
		out[0] = inner_type;
		put_u16(out + 3, (unsigned) body_bytes);
		if (suite->explicit_nonce_bytes > 0)
		{
			put_u64(out + RECORD_HEADER_BYTES, session->explicit_nonce++);
			memcpy(nonce, direction->nonce, suite->fixed_nonce_bytes);
			memcpy(nonce + suite->fixed_nonce_bytes, out + RECORD_HEADER_BYTES, suite->explicit_nonce_bytes);
		}
		else
			nonce_of_sequence(direction, nonce);
		put_u64(header, direction->sequence);
		memcpy(header + 8, out, 3);
		put_u16(header + 8 + 3, (unsigned) bytes);
		ok = seal_record(direction, suite, nonce, header, sizeof(header), content, bytes, NULL, 0, body);
	}
	if (!ok)
	{
		session->flags |= HAS_FAILED;
		return -ALERT_INTERNAL_ERROR;
	}
	direction->sequence++;
	return RECORD_HEADER_BYTES + (int64_t) body_bytes;
}

/*
 * Changes our key if the peer has asked for it or the key has served its time,
 * and asks for the peer's if that one has.  Returns the bytes written.
 */
static int64_t
refresh_keys(Session *session, unsigned char *out)
{
	int			ask = session->read.sequence >= session->rekey_after && !(session->flags & WE_WANT_NEW_KEYS);
	unsigned char message[KEY_UPDATE_BYTES] = {KEY_UPDATE, 0, 0, 1, (unsigned char) ask};
	int64_t		written;

	if (session->suite->version != TLS1_3_VERSION ||
		(!ask && !(session->flags & PEER_WANTS_NEW_KEYS) && session->write.sequence < session->rekey_after))
		return 0;
	written = write_record(session, HANDSHAKE, message, sizeof(message), out);
	if (written < 0)
		return written;
	session->flags &= ~PEER_WANTS_NEW_KEYS;
	if (ask)
		session->flags |= WE_WANT_NEW_KEYS;
	if (!advance_traffic_key(session->suite, &session->write))
	{
		session->flags |= HAS_FAILED;
		return -ALERT_INTERNAL_ERROR;
	}
	return written;
}

/*
 * Encrypts all of it, in as many records as it takes.  `out` has room for
 * 2 x RECORD_OVERHEAD_MAX + KEY_UPDATE_BYTES for each record beside the data.
 */
DOOR int64_t
tls_session_encrypt(Session *session, const unsigned char *data, size_t bytes, unsigned char *out)
{
	int64_t		produced = 0;

	if (session == NULL || session->flags & (HAS_FAILED | IS_FROZEN | WE_HAVE_CLOSED))
		return SESSION_UNUSABLE;
	while (bytes > 0)
	{
		size_t		piece = bytes < PLAINTEXT_BYTES_MAX ? bytes : PLAINTEXT_BYTES_MAX;
		int64_t		written = refresh_keys(session, out + produced);

		if (written < 0)
			return written;
		produced += written;
		written = write_record(session, APPLICATION_DATA, data, piece, out + produced);
		if (written < 0)
			return written;
		produced += written;
		data += piece;
		bytes -= piece;
	}
	return produced;
}

/* The record that ends our side; nothing if it was ended before. */
DOOR int64_t
tls_session_close_notify(Session *session, unsigned char *out)
{
	const unsigned char content[] = {ALERT_LEVEL_WARNING, ALERT_CLOSE_NOTIFY};

	if (session == NULL || session->flags & IS_FROZEN)
		return SESSION_UNUSABLE;
	if (session->flags & (HAS_FAILED | WE_HAVE_CLOSED))
		return 0;
	session->flags |= WE_HAVE_CLOSED;
	return write_record(session, ALERT, content, sizeof(content), out);
}

/* After a failure: the record that tells the peer, or nothing if there is nothing to tell. */
DOOR int64_t
tls_session_alert(Session *session, unsigned char *out)
{
	const unsigned char content[] = {ALERT_LEVEL_FATAL, session->alert};

	if (!(session->flags & ALERT_IS_DUE) || session->flags & (IS_FROZEN | WE_HAVE_CLOSED))
		return 0;
	session->flags &= ~ALERT_IS_DUE;
	session->flags |= WE_HAVE_CLOSED;
	return write_record(session, ALERT, content, sizeof(content), out);
}
