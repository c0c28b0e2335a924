/* The closed list of requests to the Docker Engine; see engine_requests.h. Pure: no Engine needed. */
#include "engine_requests.h"

#include <stddef.h>
#include <string.h>

#define FULL_ID 64
#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

struct permitted {
    const char *method;
    const char *path;
    const char *query;
};

static const struct permitted table[] = {
#define ENGINE_REQUEST(method, path, query, purpose, when) {method, path, query},
#include "engine_requests.def"
#undef ENGINE_REQUEST
};

/* Whether all of a part of a path consists of `allowed`; it is not empty and begins with no dot. */
static bool consists_of(const char *part, size_t length, const char *allowed)
{
    return length > 0 && part[0] != '.' && strspn(part, allowed) >= length;
}

/* A name of an image, percent-encoded: words joined by ':', '/' or '@'. */
static bool is_image(const char *part, size_t length)
{
    for (;;) {
        size_t word = strspn(part, DIGITS LETTERS "_.-");
        if (word >= length) {
            return consists_of(part, length, DIGITS LETTERS "_.-");
        }
        bool joined = length - word > 3 && (strncmp(part + word, "%3A", 3) == 0 ||
                                            strncmp(part + word, "%2F", 3) == 0 || strncmp(part + word, "%40", 3) == 0);
        if (word == 0 || part[0] == '.' || !joined) {
            return false;
        }
        part += word + 3;
        length -= word + 3;
    }
}

static bool fits(const char *wanted, size_t wanted_length, const char *part, size_t length)
{
    if (strncmp(wanted, "{id}", wanted_length) == 0) {
        return length == FULL_ID && consists_of(part, length, DIGITS "abcdef");
    }
    if (strncmp(wanted, "{name}", wanted_length) == 0) {
        return consists_of(part, length, DIGITS LETTERS "_.-");
    }
    if (strncmp(wanted, "{image}", wanted_length) == 0) {
        return is_image(part, length);
    }
    return length == wanted_length && strncmp(wanted, part, length) == 0;
}

static bool path_fits(const char *wanted, const char *path, size_t length)
{
    const char *end = path + length;
    while (*wanted == '/' && path < end && *path == '/') {
        wanted++;
        path++;
        size_t wanted_length = strcspn(wanted, "/");
        const char *slash = memchr(path, '/', (size_t)(end - path));
        size_t part = (size_t)((slash == NULL ? end : slash) - path);
        if (!fits(wanted, wanted_length, path, part)) {
            return false;
        }
        wanted += wanted_length;
        path += part;
    }
    return *wanted == '\0' && path == end;
}

static bool has_word(const char *words, const char *word, size_t length)
{
    for (const char *at = words; *at != '\0'; at += strspn(at, " ")) {
        size_t found = strcspn(at, " ");
        if (found == length && strncmp(at, word, length) == 0) {
            return true;
        }
        at += found;
    }
    return false;
}

/* Each parameter of the query is one of the names, or a name with the very value. */
static bool query_fits(const char *names, const char *query)
{
    while (*query != '\0') {
        if (!has_word(names, query, strcspn(query, "=&")) && !has_word(names, query, strcspn(query, "&"))) {
            return false;
        }
        query += strcspn(query, "&");
        query += *query == '&' ? 1 : 0;
    }
    return true;
}

bool engine_request_permitted(const char *method, const char *path)
{
    size_t length = strcspn(path, "?");
    const char *query = path[length] == '?' ? path + length + 1 : "";
    if (strpbrk(path, "# \r\n") != NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i].method, method) == 0 && path_fits(table[i].path, path, length) &&
            query_fits(table[i].query, query)) {
            return true;
        }
    }
    return false;
}
