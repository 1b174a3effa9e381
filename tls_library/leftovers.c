/*
 * leftovers.c
 *	  Secrets that OpenSSL would leave behind.
 *
 * OpenSSL cleanses what holds keys when it frees it, with one exception: the
 * SSL object itself, which in TLS 1.3 has the secrets of the key schedule among
 * its fields, is freed as it is.  All releases since 1.1.1 keep them in one row
 * of fields of EVP_MAX_MD_SIZE bytes each.  Where that row is, is found out by
 * looking for the two secrets that the key log has told, and proved by deriving
 * one of them anew from its neighbours; an OpenSSL with another row is not
 * believed.
 */
#include "leftovers.h"

#include <string.h>
#ifdef __APPLE__
#include <malloc/malloc.h>
#define block_bytes(block) malloc_size(block)
#else
#include <malloc.h>
#define block_bytes(block) malloc_usable_size(block)
#endif

#define FIELD_BYTES		64		/* EVP_MAX_MD_SIZE */

/* The row, by fields. */
enum
{
	EARLY_SECRET,
	HANDSHAKE_SECRET,
	MASTER_SECRET,
	RESUMPTION_MASTER_SECRET,
	CLIENT_FINISHED_SECRET,
	SERVER_FINISHED_SECRET,
	SERVER_FINISHED_HASH,
	HANDSHAKE_TRAFFIC_HASH,
	CLIENT_APP_TRAFFIC_SECRET,
	SERVER_APP_TRAFFIC_SECRET,
	EXPORTER_MASTER_SECRET,
	EARLY_EXPORTER_MASTER_SECRET,
	FIELDS
};

#define ROW_BYTES		(FIELDS * FIELD_BYTES)

/* Where the row begins in an SSL object; the same for all of them. */
static size_t row_at = 0;

static int
is_row(const unsigned char *row, const Suite *suite, const KeyLog *log)
{
	return memcmp(row + CLIENT_APP_TRAFFIC_SECRET * FIELD_BYTES, log->client, suite->hash_bytes) == 0 &&
		memcmp(row + SERVER_APP_TRAFFIC_SECRET * FIELD_BYTES, log->server, suite->hash_bytes) == 0;
}

static int
prove_row(const unsigned char *row, const Suite *suite, const KeyLog *log)
{
	unsigned char secret[HASH_BYTES_MAX];
	int			ok;

	ok = expand_label(suite, row + MASTER_SECRET * FIELD_BYTES, "c ap traffic",
					  row + SERVER_FINISHED_HASH * FIELD_BYTES, suite->hash_bytes, secret, suite->hash_bytes) &&
		memcmp(secret, log->client, suite->hash_bytes) == 0;
	openssl.OPENSSL_cleanse(secret, sizeof(secret));
	return ok;
}

static int
find_row(const unsigned char *block, size_t bytes, const Suite *suite, const KeyLog *log)
{
	for (size_t at = sizeof(void *); at + ROW_BYTES <= bytes; at++)
	{
		if (is_row(block + at, suite, log) && prove_row(block + at, suite, log))
		{
			row_at = at;
			return 1;
		}
	}
	return 0;
}

int
cleanse_leftovers(SSL *ssl, const Suite *suite, const KeyLog *log)
{
	unsigned char *block = (unsigned char *) ssl;
	size_t		bytes = block_bytes(block);

	if (suite->version != TLS1_3_VERSION)
		return 1;
	if ((row_at == 0 || row_at + ROW_BYTES > bytes || !is_row(block + row_at, suite, log)) &&
		!find_row(block, bytes, suite, log))
		return 0;
	openssl.OPENSSL_cleanse(block + row_at, ROW_BYTES);
	return 1;
}
