/*
 * Answers of an S3 server: pages of a list and error documents. Whatever comes, keys are within their bounds, texts
 * for messages are printable, and the parser gives back all of its memory (the sanitizer sees leaks).
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "workers/fetcher/s3_error.h"
#include "workers/fetcher/s3_list.h"

static int check_object(void *context, const struct s3_listed *object)
{
    (void)context;
    size_t length = strlen(object->key);
    if (length < 1 || length > S3_KEY_MAX || strlen(object->etag) > 256) {
        abort();
    }
    return 0;
}

static void check_printable(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text < ' ' || *text > '~') {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct s3_page page;
    struct s3_error error;
    const char *refused = s3_list_page((const char *)data, size, check_object, NULL, &page);
    if (strlen(page.token) > S3_TOKEN_MAX || (refused == NULL && page.truncated && page.token[0] == '\0')) {
        abort();
    }
    s3_error_read((const char *)data, size, &error);
    check_printable(error.code);
    check_printable(error.message);
    if (error.region[0] != '\0' && !s3_region_valid(error.region)) {
        abort();
    }
    return 0;
}
