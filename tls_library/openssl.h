/*
 * openssl.h
 *	  What the library uses of OpenSSL, declared here.
 *
 * OpenSSL is the one that the process has already loaded, because Python's ssl
 * module uses it: found when the library is opened, not when it is linked.  Its
 * headers are not on a user's machine, so these are the prototypes, the same
 * in every release from 1.1.1 on; tests/prototypes.c compares them with the
 * headers where there are some.  Constants are written into OpenSSL's ABI.
 */
#ifndef BOREALIS_TLS_OPENSSL_H
#define BOREALIS_TLS_OPENSSL_H

#include <stddef.h>
#include <stdint.h>

#ifndef BOREALIS_OPENSSL_TYPES_DECLARED
typedef struct ssl_st SSL;
typedef struct ssl_ctx_st SSL_CTX;
typedef struct ssl_method_st SSL_METHOD;
typedef struct ssl_cipher_st SSL_CIPHER;
typedef struct bio_st BIO;
typedef struct bio_method_st BIO_METHOD;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct evp_md_st EVP_MD;
typedef struct hmac_ctx_st HMAC_CTX;
typedef struct engine_st ENGINE;
typedef struct ossl_lib_ctx_st OSSL_LIB_CTX;
typedef struct crypto_ex_data_st CRYPTO_EX_DATA;

typedef void CRYPTO_EX_new(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp);
typedef void CRYPTO_EX_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl, void *argp);
typedef int CRYPTO_EX_dup(CRYPTO_EX_DATA *to, const CRYPTO_EX_DATA *from, void **from_d, int idx, long argl,
						  void *argp);
typedef struct x509_store_ctx_st X509_STORE_CTX;
typedef int (*SSL_verify_cb) (int preverify_ok, X509_STORE_CTX *x509_ctx);
typedef int pem_password_cb(char *buf, int size, int rwflag, void *userdata);
typedef int (*SSL_CTX_alpn_select_cb_func) (SSL *ssl, const unsigned char **out, unsigned char *outlen,
											const unsigned char *in, unsigned int inlen, void *arg);
typedef int (*SSL_client_hello_cb_fn) (SSL *ssl, int *al, void *arg);
typedef void (*SSL_CTX_keylog_cb_func) (const SSL *ssl, const char *line);
#endif

/* F(result, name, parameters) for each function of libssl. */
#define OPENSSL_SSL_FUNCTIONS(F) \
	F(const SSL_METHOD *, TLS_server_method, (void)) \
	F(const SSL_METHOD *, TLS_client_method, (void)) \
	F(SSL_CTX *, SSL_CTX_new, (const SSL_METHOD *method)) \
	F(void, SSL_CTX_free, (SSL_CTX *ctx)) \
	F(long, SSL_CTX_ctrl, (SSL_CTX *ctx, int cmd, long larg, void *parg)) \
	F(long, SSL_CTX_callback_ctrl, (SSL_CTX *ctx, int cmd, void (*callback) (void))) \
	F(uint64_t, SSL_CTX_set_options, (SSL_CTX *ctx, uint64_t op)) \
	F(int, SSL_CTX_set_cipher_list, (SSL_CTX *ctx, const char *list)) \
	F(int, SSL_CTX_set_ciphersuites, (SSL_CTX *ctx, const char *list)) \
	F(int, SSL_CTX_set_num_tickets, (SSL_CTX *ctx, size_t num_tickets)) \
	F(void, SSL_CTX_set_default_passwd_cb, (SSL_CTX *ctx, pem_password_cb *cb)) \
	F(int, SSL_CTX_use_certificate_chain_file, (SSL_CTX *ctx, const char *file)) \
	F(int, SSL_CTX_use_PrivateKey_file, (SSL_CTX *ctx, const char *file, int type)) \
	F(int, SSL_CTX_check_private_key, (const SSL_CTX *ctx)) \
	F(int, SSL_CTX_load_verify_locations, (SSL_CTX *ctx, const char *CAfile, const char *CApath)) \
	F(void, SSL_CTX_set_verify, (SSL_CTX *ctx, int mode, SSL_verify_cb callback)) \
	F(void, SSL_CTX_set_keylog_callback, (SSL_CTX *ctx, SSL_CTX_keylog_cb_func cb)) \
	F(void, SSL_CTX_set_alpn_select_cb, (SSL_CTX *ctx, SSL_CTX_alpn_select_cb_func cb, void *arg)) \
	F(void, SSL_CTX_set_client_hello_cb, (SSL_CTX *ctx, SSL_client_hello_cb_fn cb, void *arg)) \
	F(int, SSL_client_hello_get0_ext, (SSL *ssl, unsigned int type, const unsigned char **out, size_t *outlen)) \
	F(SSL *, SSL_new, (SSL_CTX *ctx)) \
	F(void, SSL_free, (SSL *ssl)) \
	F(void, SSL_set_bio, (SSL *ssl, BIO *rbio, BIO *wbio)) \
	F(void, SSL_set_accept_state, (SSL *ssl)) \
	F(void, SSL_set_connect_state, (SSL *ssl)) \
	F(int, SSL_set1_host, (SSL *ssl, const char *hostname)) \
	F(int, SSL_do_handshake, (SSL *ssl)) \
	F(int, SSL_get_error, (const SSL *ssl, int ret)) \
	F(int, SSL_version, (const SSL *ssl)) \
	F(const SSL_CIPHER *, SSL_get_current_cipher, (const SSL *ssl)) \
	F(uint16_t, SSL_CIPHER_get_protocol_id, (const SSL_CIPHER *cipher)) \
	F(size_t, SSL_get_client_random, (const SSL *ssl, unsigned char *out, size_t outlen)) \
	F(size_t, SSL_get_server_random, (const SSL *ssl, unsigned char *out, size_t outlen)) \
	F(const char *, SSL_get_servername, (const SSL *ssl, int type)) \
	F(int, SSL_set_ex_data, (SSL *ssl, int idx, void *data)) \
	F(void *, SSL_get_ex_data, (const SSL *ssl, int idx))

/* The same for libcrypto. */
#define OPENSSL_CRYPTO_FUNCTIONS(F) \
	F(const char *, OpenSSL_version, (int type)) \
	F(void, OPENSSL_cleanse, (void *ptr, size_t len)) \
	F(int, CRYPTO_memcmp, (const void *in_a, const void *in_b, size_t len)) \
	F(int, CRYPTO_get_ex_new_index, (int class_index, long argl, void *argp, CRYPTO_EX_new *new_func, \
									 CRYPTO_EX_dup *dup_func, CRYPTO_EX_free *free_func)) \
	F(void, ERR_clear_error, (void)) \
	F(unsigned long, ERR_peek_error, (void)) \
	F(const char *, ERR_reason_error_string, (unsigned long e)) \
	F(const BIO_METHOD *, BIO_s_mem, (void)) \
	F(BIO *, BIO_new, (const BIO_METHOD *type)) \
	F(int, BIO_free, (BIO *bio)) \
	F(int, BIO_read, (BIO *bio, void *data, int dlen)) \
	F(int, BIO_write, (BIO *bio, const void *data, int dlen)) \
	F(size_t, BIO_ctrl_pending, (BIO *bio)) \
	F(const EVP_CIPHER *, EVP_aes_128_gcm, (void)) \
	F(const EVP_CIPHER *, EVP_aes_256_gcm, (void)) \
	F(const EVP_CIPHER *, EVP_chacha20_poly1305, (void)) \
	F(EVP_CIPHER_CTX *, EVP_CIPHER_CTX_new, (void)) \
	F(void, EVP_CIPHER_CTX_free, (EVP_CIPHER_CTX *ctx)) \
	F(int, EVP_CIPHER_CTX_ctrl, (EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr)) \
	F(int, EVP_CipherInit_ex, (EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl, \
							   const unsigned char *key, const unsigned char *iv, int enc)) \
	F(int, EVP_CipherUpdate, (EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, \
							  int inl)) \
	F(int, EVP_CipherFinal_ex, (EVP_CIPHER_CTX *ctx, unsigned char *outm, int *outl)) \
	F(const EVP_MD *, EVP_sha256, (void)) \
	F(const EVP_MD *, EVP_sha384, (void)) \
	F(HMAC_CTX *, HMAC_CTX_new, (void)) \
	F(void, HMAC_CTX_free, (HMAC_CTX *ctx)) \
	F(int, HMAC_Init_ex, (HMAC_CTX *ctx, const void *key, int len, const EVP_MD *md, ENGINE *impl)) \
	F(int, HMAC_Update, (HMAC_CTX *ctx, const unsigned char *data, size_t len)) \
	F(int, HMAC_Final, (HMAC_CTX *ctx, unsigned char *md, unsigned int *len))

/* New in 3.0: looking an algorithm up once is cheaper than each time. */
#define OPENSSL_OPTIONAL_FUNCTIONS(F) \
	F(EVP_CIPHER *, EVP_CIPHER_fetch, (OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties)) \
	F(EVP_MD *, EVP_MD_fetch, (OSSL_LIB_CTX *ctx, const char *algorithm, const char *properties))

#define OPENSSL_DECLARE(result, name, parameters) result (*name) parameters;

typedef struct OpenSSLFunctions
{
	OPENSSL_SSL_FUNCTIONS(OPENSSL_DECLARE)
	OPENSSL_CRYPTO_FUNCTIONS(OPENSSL_DECLARE)
	OPENSSL_OPTIONAL_FUNCTIONS(OPENSSL_DECLARE)
} OpenSSLFunctions;

/* Valid once openssl_load has succeeded. */
extern OpenSSLFunctions openssl;

/*
 * Finds OpenSSL, preferably where the process has it already.  Returns NULL,
 * or what is missing.
 */
extern const char *openssl_load(void);

/* The first reason in OpenSSL's error queue, in words; empties the queue. */
extern const char *openssl_reason(void);

#ifndef BOREALIS_OPENSSL_TYPES_DECLARED
#define TLS1_2_VERSION				0x0303
#define TLS1_3_VERSION				0x0304
#define SSL_ERROR_WANT_READ			2
#define SSL_FILETYPE_PEM			1
#define SSL_CTRL_SET_SESS_CACHE_MODE	44
#define SSL_CTRL_MODE				33
#define SSL_CTRL_SET_TLSEXT_SERVERNAME_CB	53
#define SSL_CTRL_SET_MIN_PROTO_VERSION	123
#define SSL_CTRL_SET_MAX_PROTO_VERSION	124
#define SSL_SESS_CACHE_OFF			0
#define SSL_VERIFY_PEER				1
#define SSL_VERIFY_FAIL_IF_NO_PEER_CERT	2
#define SSL_MODE_RELEASE_BUFFERS	0x10
#define SSL_OP_NO_TICKET			(UINT64_C(1) << 14)
#define SSL_OP_NO_COMPRESSION		(UINT64_C(1) << 17)
#define SSL_OP_NO_RENEGOTIATION		(UINT64_C(1) << 30)
#define SSL_OP_PRIORITIZE_CHACHA	(UINT64_C(1) << 21)
#define SSL_OP_CIPHER_SERVER_PREFERENCE	(UINT64_C(1) << 22)
#define SSL_CLIENT_HELLO_SUCCESS	1
#define SSL_CLIENT_HELLO_ERROR		0
#define SSL_TLSEXT_ERR_OK			0
#define SSL_TLSEXT_ERR_ALERT_FATAL	2
#define SSL_TLSEXT_ERR_NOACK		3
#define TLSEXT_NAMETYPE_host_name	0
#define TLSEXT_TYPE_application_layer_protocol_negotiation	16
#define SSL_AD_NO_APPLICATION_PROTOCOL	120
#define CRYPTO_EX_INDEX_SSL			0
#define EVP_CTRL_AEAD_GET_TAG		0x10
#define EVP_CTRL_AEAD_SET_TAG		0x11
#endif

#endif							/* BOREALIS_TLS_OPENSSL_H */
