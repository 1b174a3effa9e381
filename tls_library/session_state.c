/*
 * session_state.c
 *	  A session on its way to another process (docs/formats.md, "TLS state").
 */
#include "doors.h"

#include <string.h>

#define SECRET_BYTES		64
#define STATE_HEADER_BYTES	168
#define STATE_BYTES_MAX		(1 << 15)
#define MESSAGE_BYTES		(KEY_UPDATE_BYTES - 1)

enum
{
	VERSION_AT = 0,
	SUITE_AT = 2,
	MESSAGE_BYTES_AT = 4,
	FLAGS_AT = 5,
	ZERO_AT = 6,
	READ_SEQUENCE_AT = 8,
	WRITE_SEQUENCE_AT = 16,
	EXPLICIT_NONCE_AT = 24,
	READ_SECRET_AT = 32,
	WRITE_SECRET_AT = READ_SECRET_AT + SECRET_BYTES,
	UNREAD_BYTES_AT = WRITE_SECRET_AT + SECRET_BYTES,
	MESSAGE_AT = UNREAD_BYTES_AT + 4,
};

_Static_assert(MESSAGE_AT + MESSAGE_BYTES == STATE_HEADER_BYTES, "docs/formats.md");
_Static_assert(KEY_BYTES_MAX + NONCE_BYTES <= SECRET_BYTES && HASH_BYTES_MAX <= SECRET_BYTES, "docs/formats.md");

static void
put_little(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++, value >>= 8)
		at[i] = (unsigned char) value;
}

static uint64_t
get_little(const unsigned char *at, int bytes)
{
	uint64_t	value = 0;

	for (int i = bytes - 1; i >= 0; i--)
		value = value << 8 | at[i];
	return value;
}

static int
is_zero(const unsigned char *at, size_t bytes)
{
	unsigned char seen = 0;

	for (size_t i = 0; i < bytes; i++)
		seen |= at[i];
	return seen == 0;
}

static void
put_secret(unsigned char *at, const Suite *suite, const Direction *direction)
{
	memset(at, 0, SECRET_BYTES);
	if (suite->version == TLS1_3_VERSION)
	{
		memcpy(at, direction->secret, suite->hash_bytes);
		return;
	}
	memcpy(at, direction->key, suite->key_bytes);
	memcpy(at + suite->key_bytes, direction->nonce, suite->fixed_nonce_bytes);
}

static int
get_secret(const unsigned char *at, const Suite *suite, Direction *direction)
{
	size_t		bytes = suite->version == TLS1_3_VERSION ? suite->hash_bytes
		: (size_t) suite->key_bytes + suite->fixed_nonce_bytes;

	if (!is_zero(at + bytes, SECRET_BYTES - bytes))
		return 0;
	if (suite->version == TLS1_3_VERSION)
	{
		memcpy(direction->secret, at, suite->hash_bytes);
		return derive_traffic_key(suite, direction);
	}
	memcpy(direction->key, at, suite->key_bytes);
	memcpy(direction->nonce, at + suite->key_bytes, suite->fixed_nonce_bytes);
	return 1;
}

DOOR size_t
tls_session_state_bytes(const Session *session)
{
	return STATE_HEADER_BYTES + session->unread_bytes;
}

DOOR int
tls_session_export(Session *session, unsigned char *state, size_t bytes)
{
	if (session->flags & (HAS_FAILED | IS_FROZEN | WE_HAVE_CLOSED) || bytes != tls_session_state_bytes(session) ||
		bytes > STATE_BYTES_MAX)
		return 0;
	put_little(state + VERSION_AT, session->suite->version, 2);
	put_little(state + SUITE_AT, session->suite->number, 2);
	state[MESSAGE_BYTES_AT] = session->message_bytes;
	state[FLAGS_AT] = session->flags & EXPORTED_FLAGS;
	put_little(state + ZERO_AT, 0, 2);
	put_little(state + READ_SEQUENCE_AT, session->read.sequence, 8);
	put_little(state + WRITE_SEQUENCE_AT, session->write.sequence, 8);
	put_little(state + EXPLICIT_NONCE_AT, session->explicit_nonce, 8);
	put_secret(state + READ_SECRET_AT, session->suite, &session->read);
	put_secret(state + WRITE_SECRET_AT, session->suite, &session->write);
	put_little(state + UNREAD_BYTES_AT, session->unread_bytes, 4);
	memset(state + MESSAGE_AT, 0, MESSAGE_BYTES);
	memcpy(state + MESSAGE_AT, session->message, session->message_bytes);
	if (session->unread_bytes > 0)
		memcpy(state + STATE_HEADER_BYTES, session->unread, session->unread_bytes);
	session->flags |= IS_FROZEN;
	release_cipher(&session->read);
	release_cipher(&session->write);
	return 1;
}

DOOR int
tls_session_reclaim(Session *session)
{
	if (!(session->flags & IS_FROZEN))
		return 0;
	session->flags &= ~IS_FROZEN;
	return 1;
}

static int
fill_session(Session *session, const unsigned char *state, size_t bytes)
{
	const Suite *suite = session->suite;
	uint64_t	read_sequence = get_little(state + READ_SEQUENCE_AT, 8);
	uint64_t	write_sequence = get_little(state + WRITE_SEQUENCE_AT, 8);
	size_t		message_bytes = state[MESSAGE_BYTES_AT];

	if (message_bytes > MESSAGE_BYTES || (state[FLAGS_AT] & ~EXPORTED_FLAGS) || !is_zero(state + ZERO_AT, 2) ||
		!is_zero(state + MESSAGE_AT + message_bytes, MESSAGE_BYTES - message_bytes) ||
		get_little(state + UNREAD_BYTES_AT, 4) != bytes - STATE_HEADER_BYTES)
		return 0;
	if (suite->version != TLS1_3_VERSION && (message_bytes > 0 || (state[FLAGS_AT] & ~PEER_HAS_CLOSED)))
		return 0;
	session->flags = state[FLAGS_AT];
	session->message_bytes = (uint8_t) message_bytes;
	memcpy(session->message, state + MESSAGE_AT, message_bytes);
	session->explicit_nonce = get_little(state + EXPLICIT_NONCE_AT, 8);
	if (suite->explicit_nonce_bytes == 0 && session->explicit_nonce != 0)
		return 0;
	if (!get_secret(state + READ_SECRET_AT, suite, &session->read) ||
		!get_secret(state + WRITE_SECRET_AT, suite, &session->write))
		return 0;
	/* After the keys: deriving them starts the count. */
	session->read.sequence = read_sequence;
	session->write.sequence = write_sequence;
	return keep_unread(session, state + STATE_HEADER_BYTES, bytes - STATE_HEADER_BYTES);
}

DOOR Session *
tls_session_adopt(const unsigned char *state, size_t bytes)
{
	const Suite *suite;
	Session    *session;

	if (bytes < STATE_HEADER_BYTES || bytes > STATE_BYTES_MAX)
		return NULL;
	suite = find_suite((uint16_t) get_little(state + VERSION_AT, 2), (uint16_t) get_little(state + SUITE_AT, 2));
	if (suite == NULL)
		return NULL;
	session = make_session(suite);
	if (session != NULL && !fill_session(session, state, bytes))
	{
		close_session(session);
		return NULL;
	}
	return session;
}

DOOR size_t
tls_session_unread_bytes(const Session *session)
{
	return session->unread_bytes;
}

DOOR unsigned
tls_session_version(const Session *session)
{
	return session->suite->version;
}

DOOR unsigned
tls_session_suite(const Session *session)
{
	return session->suite->number;
}

DOOR void
tls_session_set_rekey_after(Session *session, uint64_t records)
{
	session->rekey_after = records;
}

DOOR void
tls_session_close(Session *session)
{
	close_session(session);
}
