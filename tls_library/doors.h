/*
 * doors.h
 *	  Everything that the library exports; src/borealis/tls/library.py calls it.
 *
 * No function is called by two threads at once, and none keeps a pointer to
 * a buffer of its caller.
 */
#ifndef BOREALIS_TLS_DOORS_H
#define BOREALIS_TLS_DOORS_H

#include "context.h"
#include "handshake.h"
#include "session.h"

#define DOOR __attribute__((visibility("default")))

/* Opens OpenSSL.  Returns NULL, or why the library cannot be used.  To be called once, first. */
DOOR extern const char *tls_open(void);
DOOR extern const char *tls_openssl_version(void);
DOOR extern void tls_cleanse(void *data, size_t bytes);
/* For tests and for tuning. */
DOOR extern void tls_set_cipher_contexts_max(size_t count);

/*
 * AES-256-GCM of a whole text.  The key has 32 bytes, the nonce 12; what is
 * sealed is TAG_BYTES longer than the text, and `out` holds whichever comes out.
 * Returns 0 if it cannot be done; of what does not open nothing is left in `out`.
 */
DOOR extern int tls_seal(const unsigned char *key, const unsigned char *nonce, const unsigned char *associated,
						 size_t associated_bytes, const unsigned char *text, size_t bytes, unsigned char *out);
DOOR extern int tls_unseal(const unsigned char *key, const unsigned char *nonce, const unsigned char *associated,
						   size_t associated_bytes, const unsigned char *sealed, size_t bytes,
						   unsigned char *out);

/* Both files are PEM.  NULL: `problem` says why, in at most `problem_size` bytes. */
DOOR extern Context *tls_context_open(const char *chain_path, const char *key_path, char *problem,
									  size_t problem_size);
DOOR extern Context *tls_channel_context_open(int is_client, const char *chain_path, const char *key_path,
											  const char *authority_path, char *problem, size_t problem_size);
/* Handshakes under way go on with what they have. */
DOOR extern void tls_context_close(Context *context);

DOOR extern Handshake *tls_handshake_open(const Context *context, int is_direct);
/* The server's name must be in its certificate; the server's own handshakes have NULL here. */
DOOR extern Handshake *tls_channel_handshake_open(const Context *context, const char *server_name);
/* What a client says first. */
DOOR extern int64_t tls_handshake_start(Handshake *handshake, unsigned char *out, size_t out_size);
DOOR extern int64_t tls_handshake_feed(Handshake *handshake, const unsigned char *data, size_t bytes,
									   unsigned char *out, size_t out_size);
DOOR extern const char *tls_handshake_problem(const Handshake *handshake);
DOOR extern const char *tls_handshake_server_name(const Handshake *handshake);
DOOR extern int tls_handshake_has_alpn(const Handshake *handshake);
/* The session, if the handshake is done; the handshake has to be closed all the same. */
DOOR extern Session *tls_handshake_finish(Handshake *handshake);
DOOR extern void tls_handshake_close(Handshake *handshake);

DOOR extern int64_t tls_session_decrypt(Session *session, const unsigned char *data, size_t bytes,
										unsigned char *out);
DOOR extern int64_t tls_session_encrypt(Session *session, const unsigned char *data, size_t bytes,
										unsigned char *out);
DOOR extern int64_t tls_session_close_notify(Session *session, unsigned char *out);
DOOR extern int64_t tls_session_alert(Session *session, unsigned char *out);
DOOR extern size_t tls_session_unread_bytes(const Session *session);
DOOR extern unsigned tls_session_version(const Session *session);
DOOR extern unsigned tls_session_suite(const Session *session);
DOOR extern void tls_session_set_rekey_after(Session *session, uint64_t records);
DOOR extern void tls_session_close(Session *session);

/*
 * A new built-in function (python_calls.c: the Call of this number), which puts its
 * results into `results`; NULL without an exception: this is no CPython.
 */
DOOR extern void *tls_python_function(int number, unsigned char *results);

/* State (docs/formats.md, "TLS state"). */
DOOR extern size_t tls_session_state_bytes(const Session *session);
/* Returns 0 if `bytes` is not what it takes, or the session cannot be exported; else nobody may use it any more. */
DOOR extern int tls_session_export(Session *session, unsigned char *state, size_t bytes);
/* Takes an export back that nobody has used.  Returns 0 if there was none. */
DOOR extern int tls_session_reclaim(Session *session);
/* NULL if the state breaks a rule, or without memory. */
DOOR extern Session *tls_session_adopt(const unsigned char *state, size_t bytes);

#endif							/* BOREALIS_TLS_DOORS_H */
