/* libcurl as this worker uses it. */
#include "network.h"

#include <malloc.h>
#include <netdb.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exit_codes.h"
#include "secret.h"
#include "tls.h"

/* Bytes a second below which a transfer counts as stalled: no server that works is that slow, one that drips is. */
#define STALL_SPEED 512L
#define CURL_BUFFER (128L * 1024)

/* libcurl copies credentials and signed headers into its heap: whatever it frees is wiped. */
static void wiping_free(void *memory)
{
    if (memory != NULL) {
        secret_wipe(memory, malloc_usable_size(memory));
        free(memory);
    }
}

static void *wiping_realloc(void *memory, size_t size)
{
    void *grown = malloc(size);
    if (grown == NULL || memory == NULL) {
        return grown;
    }
    size_t before = malloc_usable_size(memory);
    memcpy(grown, memory, before < size ? before : size);
    wiping_free(memory);
    return grown;
}

/* host:port:ADDRESS,[ADDRESS],… as CURLOPT_RESOLVE wants it, so that libcurl never resolves. */
static int add_addresses(struct network *network, const char *host, const char *port, const struct addrinfo *found)
{
    char entry[8192];
    size_t used = (size_t)snprintf(entry, sizeof entry, "%s:%s:", host, port);
    const char *comma = "";
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        char address[64];
        if (getnameinfo(one->ai_addr, one->ai_addrlen, address, sizeof address, NULL, 0, NI_NUMERICHOST) != 0 ||
            used + sizeof address + 4 > sizeof entry) {
            continue;
        }
        const char *form = one->ai_family == AF_INET6 ? "%s[%s]" : "%s%s";
        used += (size_t)snprintf(entry + used, sizeof entry - used, form, comma, address);
        comma = ",";
    }
    network->addresses = curl_slist_append(NULL, entry);
    return network->addresses == NULL ? -1 : 0;
}

static enum outcome resolve(struct network *network, const char *host, const char *port, struct problem *problem)
{
    setenv("RES_OPTIONS", "timeout:2 attempts:2", 0); /* a dead name server is to be named before we are given up */
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int result = getaddrinfo(host, port, &hints, &found);
    if (result != 0) {
        return problem_set(problem, EXIT_STORAGE,
                           "S3: the name '%s' cannot be resolved (%s): check AWS_ENDPOINT_URL, the region and the "
                           "name server",
                           host, gai_strerror(result));
    }
    int added = add_addresses(network, host, port, found);
    freeaddrinfo(found);
    return added == 0 ? OUTCOME_OK : problem_set(problem, EXIT_INTERNAL, "no memory");
}

static enum outcome resolve_proxy(struct network *network, struct problem *problem)
{
    CURLU *url = curl_url();
    char *host = NULL, *port = NULL, *scheme = NULL;
    enum outcome outcome = OUTCOME_FAILED;
    if (curl_url_set(url, CURLUPART_URL, network->proxy, CURLU_DEFAULT_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_SCHEME, &scheme, CURLU_DEFAULT_SCHEME) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK && strncmp(scheme, "http", 4) == 0) {
        /* where the URL names no port, libcurl takes 1080 for an http proxy and 443 for an https one */
        const char *standard = strcmp(scheme, "https") == 0 ? "443" : "1080";
        bool given = curl_url_get(url, CURLUPART_PORT, &port, 0) == CURLUE_OK;
        outcome = resolve(network, host, given ? port : standard, problem);
    } else {
        problem_set(problem, EXIT_USAGE, "the proxy must be a URL like http://proxy.example.com:3128");
    }
    curl_free(host);
    curl_free(port);
    curl_free(scheme);
    curl_url_cleanup(url);
    return outcome;
}

static CURLcode use_authorities(CURL *handle, void *context, void *authorities)
{
    (void)handle;
    SSL_CTX_set1_cert_store(context, authorities);
    return CURLE_OK;
}

int network_prepare(const struct network *network, CURL *handle)
{
    curl_easy_reset(handle);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(handle, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(handle, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(handle, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(handle, CURLOPT_RESOLVE, network->addresses);
    curl_easy_setopt(handle, CURLOPT_BUFFERSIZE, CURL_BUFFER);
    curl_easy_setopt(handle, CURLOPT_TCP_NODELAY, 0L); /* requests are single writes: one call less in the policy */
    curl_easy_setopt(handle, CURLOPT_CONNECTTIMEOUT, (long)network->connect_timeout);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_LIMIT, STALL_SPEED);
    curl_easy_setopt(handle, CURLOPT_LOW_SPEED_TIME, (long)network->stall_timeout);
    curl_easy_setopt(handle, CURLOPT_CAINFO, NULL);
    curl_easy_setopt(handle, CURLOPT_CAPATH, NULL);
    curl_easy_setopt(handle, CURLOPT_PROXY_CAINFO, NULL);
    curl_easy_setopt(handle, CURLOPT_PROXY_CAPATH, NULL);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_FUNCTION, use_authorities);
    curl_easy_setopt(handle, CURLOPT_SSL_CTX_DATA, network->authorities);
    /* libcurl copies these, and may have no memory for them */
    bool complete = curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
                    curl_easy_setopt(handle, CURLOPT_PROXY, network->proxy) == CURLE_OK &&
                    curl_easy_setopt(handle, CURLOPT_NOPROXY, "") == CURLE_OK &&
                    curl_easy_setopt(handle, CURLOPT_USERAGENT, "restore/" RESTORE_VERSION) == CURLE_OK;
    return complete ? 0 : -1;
}

static enum outcome init_tls(struct network *network, const char *ca_bundle, struct problem *problem)
{
    snprintf(network->ca_bundle, sizeof network->ca_bundle, "%s", ca_bundle[0] == '\0' ? TLS_SYSTEM_BUNDLE : ca_bundle);
    const char *wrong = NULL;
    network->authorities = tls_read_bundle(network->ca_bundle, &wrong);
    if (network->authorities == NULL) {
        return problem_set(problem, EXIT_USAGE,
                           "the CA bundle '%s' cannot be used: %s; set AWS_CA_BUNDLE to a PEM file of the CA "
                           "certificates to trust",
                           network->ca_bundle, wrong);
    }
    return tls_warm_up() == 0 ? OUTCOME_OK : problem_set(problem, EXIT_INTERNAL, "TLS could not be initialised");
}

static enum outcome init_handles(struct network *network, struct problem *problem)
{
    network->multi = curl_multi_init(); /* has a socket pair, which is why it is made here */
    bool complete = network->multi != NULL;
    for (size_t i = 0; i < NETWORK_HANDLES && complete; i++) {
        network->handles[i] = curl_easy_init();
        complete = network->handles[i] != NULL;
        curl_easy_setopt(network->handles[i], CURLOPT_NOSIGNAL, 1L); /* else its cleanup would set a signal's action */
    }
    if (!complete) {
        return problem_set(problem, EXIT_INTERNAL, "libcurl could not be initialised");
    }
    curl_multi_setopt(network->multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
    curl_multi_setopt(network->multi, CURLMOPT_MAXCONNECTS, (long)NETWORK_HANDLES);
    return OUTCOME_OK;
}

enum outcome network_init(struct network *network, const struct s3_location *location,
                          const struct network_settings *settings, struct problem *problem)
{
    unsetenv("SSLKEYLOGFILE"); /* libcurl would write the keys of every connection there */
    tzset();
    network->connect_timeout = settings->connect_timeout;
    network->stall_timeout = settings->stall_timeout;
    snprintf(network->proxy, sizeof network->proxy, "%s", settings->proxy);
    if (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup, calloc) != CURLE_OK ||
        tls_seed_once() != 0) {
        return problem_set(problem, EXIT_INTERNAL, "libcurl could not be initialised");
    }
    enum outcome outcome = network->proxy[0] == '\0' ? resolve(network, location->host, location->port, problem)
                                                     : resolve_proxy(network, problem);
    if (outcome == OUTCOME_OK && (location->https || strncmp(network->proxy, "https:", 6) == 0)) {
        outcome = init_tls(network, settings->ca_bundle, problem);
    }
    return outcome == OUTCOME_OK ? init_handles(network, problem) : outcome;
}

void network_wipe(struct network *network)
{
    for (size_t i = 0; i < NETWORK_HANDLES; i++) {
        curl_easy_cleanup(network->handles[i]);
        network->handles[i] = NULL;
    }
}
