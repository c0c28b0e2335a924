/* Where a bucket is and what its URLs are. */
#include "s3_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <curl/curl.h>
#include <stdio.h>
#include <string.h>

/* A string that is put together in a fixed buffer; `full` once something did not fit. */
struct builder {
    char *text;
    size_t size;
    size_t used;
    bool full;
};

static void add_char(struct builder *builder, char character)
{
    if (builder->used + 1 >= builder->size) {
        builder->full = true;
        return;
    }
    builder->text[builder->used++] = character;
    builder->text[builder->used] = '\0';
}

static void add(struct builder *builder, const char *text)
{
    for (; *text != '\0'; text++) {
        add_char(builder, *text);
    }
}

static bool unreserved(char character)
{
    return isascii(character) && (isalnum((unsigned char)character) || strchr("-._~", character) != NULL);
}

static void add_encoded(struct builder *builder, const char *text, bool keep_slash)
{
    static const char digits[] = "0123456789ABCDEF";
    for (; *text != '\0'; text++) {
        if (unreserved(*text) || (keep_slash && *text == '/')) {
            add_char(builder, *text);
            continue;
        }
        unsigned byte = (unsigned char)*text;
        add_char(builder, '%');
        add_char(builder, digits[byte >> 4]);
        add_char(builder, digits[byte & 15]);
    }
}

/* The parts of an endpoint that are used. */
struct endpoint {
    char host[256];
    char port[6];
    bool port_given;
    bool https;
    char path[512];
};

/* A part of the URL into a fixed buffer; absent parts are empty. */
static int take(CURLU *url, CURLUPart part, unsigned flags, char *out, size_t size)
{
    char *value = NULL;
    out[0] = '\0';
    if (curl_url_get(url, part, &value, flags) != CURLUE_OK) {
        return 0;
    }
    int length = snprintf(out, size, "%s", value);
    curl_free(value);
    return length < 0 || (size_t)length >= size ? -1 : 0;
}

static const char *split(CURLU *url, struct endpoint *endpoint)
{
    char scheme[16], unwanted[8], given[6];
    if (take(url, CURLUPART_SCHEME, 0, scheme, sizeof scheme) != 0 ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)) {
        return "the endpoint URL must begin with http:// or https://";
    }
    static const CURLUPart refused[] = {CURLUPART_USER, CURLUPART_PASSWORD, CURLUPART_QUERY, CURLUPART_FRAGMENT};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (take(url, refused[i], 0, unwanted, sizeof unwanted) != 0 || unwanted[0] != '\0') {
            return "the endpoint URL may hold no user, password, query or fragment";
        }
    }
    if (take(url, CURLUPART_HOST, 0, endpoint->host, sizeof endpoint->host) != 0 ||
        take(url, CURLUPART_PORT, CURLU_DEFAULT_PORT, endpoint->port, sizeof endpoint->port) != 0 ||
        take(url, CURLUPART_PORT, 0, given, sizeof given) != 0 ||
        take(url, CURLUPART_PATH, 0, endpoint->path, sizeof endpoint->path) != 0) {
        return "the endpoint URL is too long";
    }
    endpoint->https = strcmp(scheme, "https") == 0;
    endpoint->port_given = given[0] != '\0';
    for (size_t length = strlen(endpoint->path); length > 0 && endpoint->path[length - 1] == '/'; length--) {
        endpoint->path[length - 1] = '\0';
    }
    return NULL;
}

static const char *parse_endpoint(const char *text, struct endpoint *endpoint)
{
    CURLU *url = curl_url();
    if (url == NULL) {
        return "no memory";
    }
    const char *wrong = "the endpoint URL is not a URL like https://s3.example.com:9000";
    if (strstr(text, "://") != NULL && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK) {
        wrong = split(url, endpoint);
    }
    curl_url_cleanup(url);
    return wrong;
}

static const char *aws_endpoint(const char *region, struct endpoint *endpoint)
{
    const char *suffix = strncmp(region, "cn-", 3) == 0 ? ".cn" : "";
    snprintf(endpoint->host, sizeof endpoint->host, "s3.%s.amazonaws.com%s", region, suffix);
    snprintf(endpoint->port, sizeof endpoint->port, "443");
    endpoint->port_given = false;
    endpoint->https = true;
    endpoint->path[0] = '\0';
    return NULL;
}

/* A bucket that can be a label of a host name, and that a wildcard certificate covers: no dots. */
static bool fits_host_name(const char *bucket)
{
    size_t length = strlen(bucket);
    return length >= 3 && length <= 63 && strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789-") == length;
}

static bool is_address(const char *host)
{
    struct in_addr v4;
    return host[0] == '[' || inet_pton(AF_INET, host, &v4) == 1;
}

static bool use_virtual_host(const char *endpoint, const char *host, const char *bucket, enum s3_addressing addressing)
{
    if (is_address(host) || addressing == ADDRESSING_PATH) {
        return false;
    }
    return addressing == ADDRESSING_VIRTUAL || (endpoint[0] == '\0' && fits_host_name(bucket));
}

static void strip_brackets(char *host)
{
    size_t length = strlen(host);
    if (host[0] == '[' && host[length - 1] == ']') {
        memmove(host, host + 1, length - 2);
        host[length - 2] = '\0';
    }
}

static const char *check_names(const char *bucket, const char *region)
{
    if (bucket[0] == '\0' || strlen(bucket) > 255 || strpbrk(bucket, "/?#@:\\ ") != NULL) {
        return "the bucket's name is empty, too long, or holds a character that no bucket's name may have";
    }
    return s3_region_valid(region) ? NULL : "the region must be a name like us-east-1";
}

const char *s3_locate(struct s3_location *location, const char *endpoint, const char *bucket, const char *region,
                      enum s3_addressing addressing)
{
    struct endpoint found;
    const char *wrong = check_names(bucket, region);
    if (wrong == NULL) {
        wrong = endpoint[0] == '\0' ? aws_endpoint(region, &found) : parse_endpoint(endpoint, &found);
    }
    if (wrong != NULL) {
        return wrong;
    }
    bool virtual_host = use_virtual_host(endpoint, found.host, bucket, addressing);
    const char *scheme = found.https ? "https" : "http";
    const char *colon = found.port_given ? ":" : "";
    const char *port = found.port_given ? found.port : "";
    snprintf(location->host, sizeof location->host, "%s%s%s", virtual_host ? bucket : "", virtual_host ? "." : "",
             found.host);
    snprintf(location->shown, sizeof location->shown, "bucket '%s' at %s://%s%s%s%s", bucket, scheme, found.host, colon,
             port, found.path);
    snprintf(location->port, sizeof location->port, "%s", found.port);
    location->https = found.https;
    struct builder base = {location->base, sizeof location->base, 0, false};
    add(&base, scheme);
    add(&base, "://");
    add(&base, location->host);
    add(&base, colon);
    add(&base, port);
    add(&base, found.path);
    if (!virtual_host) {
        add(&base, "/");
        add_encoded(&base, bucket, false);
    }
    strip_brackets(location->host);
    return base.full ? "the endpoint URL and the bucket's name are too long" : NULL;
}

int s3_object_url(const struct s3_location *location, const char *key, const char *version_id, char *url, size_t size)
{
    struct builder builder = {url, size, 0, false};
    add(&builder, location->base);
    add(&builder, "/");
    add_encoded(&builder, key, true);
    if (version_id[0] != '\0') {
        add(&builder, "?versionId=");
        add_encoded(&builder, version_id, false);
    }
    return builder.full ? -1 : 0;
}

int s3_list_url(const struct s3_location *location, const char *prefix, const char *token, char *url, size_t size)
{
    struct builder builder = {url, size, 0, false};
    add(&builder, location->base);
    add(&builder, "/?");
    if (token[0] != '\0') {
        add(&builder, "continuation-token=");
        add_encoded(&builder, token, false);
        add(&builder, "&");
    }
    add(&builder, "encoding-type=url&list-type=2&prefix=");
    add_encoded(&builder, prefix, false);
    return builder.full ? -1 : 0;
}

int s3_versions_url(const struct s3_location *location, const char *prefix, const char *key, const char *version,
                    char *url, size_t size)
{
    struct builder builder = {url, size, 0, false};
    add(&builder, location->base);
    add(&builder, "/?encoding-type=url&");
    if (key[0] != '\0') {
        add(&builder, "key-marker=");
        add_encoded(&builder, key, false);
        add(&builder, "&");
    }
    add(&builder, "prefix=");
    add_encoded(&builder, prefix, false);
    if (version[0] != '\0') {
        add(&builder, "&version-id-marker=");
        add_encoded(&builder, version, false);
    }
    add(&builder, "&versions="); /* with the sign, as signing needs it */
    return builder.full ? -1 : 0;
}

static int hex_value(char digit)
{
    static const char digits[] = "0123456789abcdef";
    const char *found = digit == '\0' ? NULL : strchr(digits, tolower((unsigned char)digit));
    return found == NULL ? -1 : (int)(found - digits);
}

long s3_decode(char *text)
{
    char *out = text;
    for (const char *in = text; *in != '\0'; in++) {
        if (*in != '%') {
            *out++ = *in == '+' ? ' ' : *in;
            continue;
        }
        int high = hex_value(in[1]);
        int low = high < 0 ? -1 : hex_value(in[2]);
        if (low < 0 || high + low == 0) {
            return -1;
        }
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return out - text;
}

bool s3_region_valid(const char *region)
{
    size_t length = strlen(region);
    return length >= 1 && length <= 64 && strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-_") == length;
}
