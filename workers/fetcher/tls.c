/* What TLS needs before the lock-down. */
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "cleanup.h"
#include "exit_codes.h"
#include "log.h"

X509_STORE *tls_read_bundle(const char *path, const char **wrong)
{
    cleanup_fclose FILE *file = fopen(path, "re");
    if (file == NULL) {
        *wrong = "it cannot be opened";
        return NULL;
    }
    X509_STORE *store = X509_STORE_new();
    unsigned count = 0;
    for (X509 *certificate; (certificate = PEM_read_X509_AUX(file, NULL, NULL, NULL)) != NULL; count++) {
        X509_STORE_add_cert(store, certificate); /* takes a reference; a duplicate is no error */
        X509_free(certificate);
    }
    unsigned long last = ERR_peek_last_error();
    bool at_end = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    ERR_clear_error();
    if (count > 0 && at_end) {
        X509_STORE_set_flags(store, X509_V_FLAG_TRUSTED_FIRST | X509_V_FLAG_PARTIAL_CHAIN); /* as libcurl does */
        return store;
    }
    *wrong = count > 0 ? "it is damaged" : "it holds no certificate in PEM form";
    X509_STORE_free(store);
    return NULL;
}

int tls_warm_up(void)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *connection = context == NULL ? NULL : SSL_new(context);
    int result = -1;
    if (connection != NULL) {
        SSL_set_bio(connection, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
        SSL_set_tlsext_host_name(connection, "localhost");
        int started = SSL_connect(connection);
        result = SSL_get_error(connection, started) == SSL_ERROR_WANT_READ ? 0 : -1;
    }
    SSL_free(connection);
    SSL_CTX_free(context);
    ERR_clear_error();
    return result;
}

static int never_reseed(EVP_RAND_CTX *generator)
{
    unsigned requests = 0;
    time_t interval = 0;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_uint(OSSL_DRBG_PARAM_RESEED_REQUESTS, &requests),
        OSSL_PARAM_construct_time_t(OSSL_DRBG_PARAM_RESEED_TIME_INTERVAL, &interval),
        OSSL_PARAM_construct_end(),
    };
    return generator != NULL && EVP_RAND_CTX_set_params(generator, parameters) == 1 ? 0 : -1;
}

int tls_seed_once(void)
{
    unsigned char bytes[16];
    if (RAND_bytes(bytes, sizeof bytes) != 1 || RAND_priv_bytes(bytes, sizeof bytes) != 1) {
        return -1;
    }
    return never_reseed(RAND_get0_primary(NULL)) | never_reseed(RAND_get0_public(NULL)) |
           never_reseed(RAND_get0_private(NULL));
}

/* libcurl 7.88.1 signs with a context of libcrypto's without looking whether there was memory for one. */
static void *checked(void *memory, size_t size)
{
    if (memory == NULL && size > 0) {
        log_error("no memory for libcrypto");
        _exit(EXIT_INTERNAL);
    }
    return memory;
}

static void *checked_malloc(size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return checked(malloc(size), size);
}

static void *checked_realloc(void *memory, size_t size, const char *file, int line)
{
    (void)file;
    (void)line;
    return checked(realloc(memory, size), size);
}

static void plain_free(void *memory, const char *file, int line)
{
    (void)file;
    (void)line;
    free(memory);
}

int tls_check_memory(void)
{
    return CRYPTO_set_mem_functions(checked_malloc, checked_realloc, plain_free) == 1 ? 0 : -1;
}
