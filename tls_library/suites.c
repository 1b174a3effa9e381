/*
 * suites.c
 *	  The cipher suites that a session can have: AEADs with forward secrecy only.
 */
#include "suites.h"

const char	tls13_suite_names[] = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
const char	tls12_suite_names[] =
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

/* The order of the ciphers below, used while the table is filled in. */
enum
{
	AES_128_GCM,
	AES_256_GCM,
	CHACHA20_POLY1305,
	CIPHERS
};

static Suite suites[] = {
	{0x1301, TLS1_3_VERSION, 16, 32, 12, 0},
	{0x1302, TLS1_3_VERSION, 32, 48, 12, 0},
	{0x1303, TLS1_3_VERSION, 32, 32, 12, 0},
	{0xC02B, TLS1_2_VERSION, 16, 32, 4, EXPLICIT_NONCE_BYTES},	/* ECDHE-ECDSA-AES128-GCM-SHA256 */
	{0xC02F, TLS1_2_VERSION, 16, 32, 4, EXPLICIT_NONCE_BYTES},	/* ECDHE-RSA-AES128-GCM-SHA256 */
	{0xC02C, TLS1_2_VERSION, 32, 48, 4, EXPLICIT_NONCE_BYTES},	/* ECDHE-ECDSA-AES256-GCM-SHA384 */
	{0xC030, TLS1_2_VERSION, 32, 48, 4, EXPLICIT_NONCE_BYTES},	/* ECDHE-RSA-AES256-GCM-SHA384 */
	{0xCCA9, TLS1_2_VERSION, 32, 32, 12, 0},	/* ECDHE-ECDSA-CHACHA20-POLY1305 */
	{0xCCA8, TLS1_2_VERSION, 32, 32, 12, 0},	/* ECDHE-RSA-CHACHA20-POLY1305 */
};

#define SUITES_COUNT (sizeof(suites) / sizeof(suites[0]))

static int
cipher_of(const Suite *suite)
{
	if (suite->number == 0x1303 || (suite->number & 0xFF00) == 0xCC00)
		return CHACHA20_POLY1305;
	return suite->key_bytes == 16 ? AES_128_GCM : AES_256_GCM;
}

int
suites_init(void)
{
	const EVP_CIPHER *ciphers[CIPHERS];
	const EVP_MD *sha256;
	const EVP_MD *sha384;

	if (openssl.EVP_CIPHER_fetch != NULL && openssl.EVP_MD_fetch != NULL)
	{
		/* Never given back: they live as long as the process. */
		ciphers[AES_128_GCM] = openssl.EVP_CIPHER_fetch(NULL, "AES-128-GCM", NULL);
		ciphers[AES_256_GCM] = openssl.EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
		ciphers[CHACHA20_POLY1305] = openssl.EVP_CIPHER_fetch(NULL, "ChaCha20-Poly1305", NULL);
		sha256 = openssl.EVP_MD_fetch(NULL, "SHA256", NULL);
		sha384 = openssl.EVP_MD_fetch(NULL, "SHA384", NULL);
	}
	else
	{
		ciphers[AES_128_GCM] = openssl.EVP_aes_128_gcm();
		ciphers[AES_256_GCM] = openssl.EVP_aes_256_gcm();
		ciphers[CHACHA20_POLY1305] = openssl.EVP_chacha20_poly1305();
		sha256 = openssl.EVP_sha256();
		sha384 = openssl.EVP_sha384();
	}
	for (size_t i = 0; i < SUITES_COUNT; i++)
	{
		suites[i].cipher = ciphers[cipher_of(&suites[i])];
		suites[i].hash = suites[i].hash_bytes == 32 ? sha256 : sha384;
		if (suites[i].cipher == NULL || suites[i].hash == NULL)
			return 0;
	}
	return 1;
}

const Suite *
find_suite(uint16_t version, uint16_t number)
{
	for (size_t i = 0; i < SUITES_COUNT; i++)
	{
		if (suites[i].number == number && suites[i].version == version)
			return &suites[i];
	}
	return NULL;
}
