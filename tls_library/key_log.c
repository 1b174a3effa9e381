/*
 * key_log.c
 *	  Reads lines of the NSS key log format.
 */
#include "key_log.h"

#include <string.h>

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Returns the bytes that were written; 0 if the text is no such number. */
static uint8_t
decode_hex(const char *text, unsigned char *out, size_t out_bytes)
{
	size_t		bytes = 0;

	while (hex_digit(text[0]) >= 0 && hex_digit(text[1]) >= 0)
	{
		if (bytes == out_bytes)
			return 0;
		out[bytes++] = (unsigned char) (hex_digit(text[0]) << 4 | hex_digit(text[1]));
		text += 2;
	}
	return text[0] == '\0' ? (uint8_t) bytes : 0;
}

void
key_log_take(KeyLog *log, const char *line)
{
	const struct
	{
		const char *label;
		unsigned char *secret;
		uint8_t    *bytes;
	}			kinds[] = {
		{"CLIENT_TRAFFIC_SECRET_0 ", log->client, &log->client_bytes},
		{"SERVER_TRAFFIC_SECRET_0 ", log->server, &log->server_bytes},
		{"CLIENT_RANDOM ", log->master, &log->master_bytes},
	};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
	{
		size_t		label_bytes = strlen(kinds[i].label);
		const char *secret;

		if (strncmp(line, kinds[i].label, label_bytes) != 0)
			continue;
		secret = strchr(line + label_bytes, ' ');
		if (secret != NULL)
			*kinds[i].bytes = decode_hex(secret + 1, kinds[i].secret, HASH_BYTES_MAX);
		return;
	}
}

_Static_assert(MASTER_SECRET_BYTES == HASH_BYTES_MAX, "one size of buffer for all secrets");
