/* What S3 answers when it does not do what it was asked. */
#include "s3_error.h"

#include <stdbool.h>
#include <string.h>

#include "s3_url.h"
#include "xml_reader.h"

/* A row with an empty code is for the status alone; status 0 is for any. Rows of a code come first. */
struct meaning {
    const char *code;
    long status;
    enum s3_verdict verdict;
    const char *advice;
};

static const struct meaning meanings[] = {
    {"InvalidAccessKeyId", 0, S3_FINAL,
     "the server does not know this access key: check AWS_ACCESS_KEY_ID and that the endpoint is the right one"},
    {"SignatureDoesNotMatch", 0, S3_FINAL,
     "the secret does not belong to this access key: check AWS_SECRET_ACCESS_KEY for missing or extra characters, and "
     "AWS_DEFAULT_REGION"},
    {"AccessDenied", 0, S3_FINAL,
     "these credentials may not do this: they need s3:ListBucket on the bucket and s3:GetObject on its objects"},
    {"ExpiredToken", 0, S3_FINAL, "the session token has expired: get new temporary credentials and start again"},
    {"InvalidToken", 0, S3_FINAL,
     "the session token is not valid for this access key: check AWS_SESSION_TOKEN, or unset it for permanent keys"},
    {"TokenRefreshRequired", 0, S3_FINAL, "the session token has expired: get new temporary credentials"},
    {"RequestTimeTooSkewed", 0, S3_SKEWED, "this machine's clock is wrong: set it"},
    {"NoSuchBucket", 0, S3_FINAL, "there is no such bucket: check S3_BUCKET_URL and the endpoint"},
    {"InvalidBucketName", 0, S3_FINAL, "the server refuses this bucket's name: check S3_BUCKET_URL"},
    {"NoSuchKey", 0, S3_MISSING, "there is no such object"},
    {"NoSuchVersion", 0, S3_MISSING, "there is no such version of the object"},
    {"InvalidObjectState", 0, S3_FINAL,
     "the object is in an archive tier (Glacier): restore it there first, for example with aws s3api restore-object"},
    {"PreconditionFailed", 0, S3_REPLACED, "the object was replaced while it was being downloaded: start again"},
    {"InvalidRange", 0, S3_REPLACED, "the object was replaced while it was being downloaded: start again"},
    {"AuthorizationHeaderMalformed", 0, S3_REGION, "check AWS_DEFAULT_REGION: the bucket may be in another region"},
    {"PermanentRedirect", 0, S3_REGION, "check AWS_DEFAULT_REGION and AWS_ENDPOINT_URL: the bucket is elsewhere"},
    {"TemporaryRedirect", 0, S3_REGION, "the bucket is being moved; set AWS_ENDPOINT_URL to its region's endpoint"},
    {"IllegalLocationConstraintException", 0, S3_REGION, "check AWS_DEFAULT_REGION: the bucket is in another region"},
    {"NotImplemented", 0, S3_FINAL, "the server does not support this request; it needs ListObjectsV2 and ranges"},
    {"SlowDown", 0, S3_RETRY, "the server is overloaded: try again later"},
    {"ServiceUnavailable", 0, S3_RETRY, "the server is overloaded: try again later"},
    {"Throttling", 0, S3_RETRY, "the server is overloaded: try again later"},
    {"ThrottlingException", 0, S3_RETRY, "the server is overloaded: try again later"},
    {"RequestLimitExceeded", 0, S3_RETRY, "the server is overloaded: try again later"},
    {"InternalError", 0, S3_RETRY, "the server has trouble of its own: try again later"},
    {"RequestTimeout", 0, S3_RETRY, "the server waited too long for the request: check the network"},
    {"", 301, S3_REGION, "check AWS_DEFAULT_REGION and AWS_ENDPOINT_URL: the bucket is elsewhere"},
    {"", 302, S3_REGION, "redirects are not followed: set AWS_ENDPOINT_URL to the right address"},
    {"", 307, S3_REGION, "redirects are not followed: set AWS_ENDPOINT_URL to the right address"},
    {"", 308, S3_REGION, "redirects are not followed: set AWS_ENDPOINT_URL to the right address"},
    {"", 400, S3_REGION,
     "the server refuses the request: check the endpoint's scheme and port, and AWS_DEFAULT_REGION"},
    {"", 401, S3_FINAL, "the server wants another kind of login: is this the S3 endpoint? Check AWS_ENDPOINT_URL"},
    {"", 403, S3_FINAL, "access is denied: check the credentials, the bucket and the endpoint"},
    {"", 404, S3_FINAL, "is AWS_ENDPOINT_URL the address of the S3 service, and not of a console or web page?"},
    {"", 405, S3_FINAL, "is AWS_ENDPOINT_URL the address of the S3 service, and not of a console or web page?"},
    {"", 407, S3_FINAL, "the proxy wants a login"},
    {"", 408, S3_RETRY, "the server waited too long for the request: check the network"},
    {"", 412, S3_REPLACED, "the object was replaced while it was being downloaded: start again"},
    {"", 416, S3_REPLACED, "the object was replaced while it was being downloaded: start again"},
    {"", 429, S3_RETRY, "the server is overloaded: try again later"},
    {"", 501, S3_FINAL, "the server does not support this request; it needs ListObjectsV2 and ranges"},
};

static const struct meaning *meaning_of(long status, const char *code)
{
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++) {
        const struct meaning *meaning = &meanings[i];
        bool by_code = meaning->code[0] != '\0' && strcmp(meaning->code, code) == 0;
        if (by_code || (meaning->code[0] == '\0' && meaning->status == status)) {
            return meaning;
        }
    }
    return NULL;
}

/* Printable ASCII alone, so that a server cannot draw on a terminal or start a line of its own. */
static void copy_printable(char *out, size_t size, const char *text)
{
    size_t used = 0;
    for (; *text != '\0' && used + 1 < size; text++) {
        out[used++] = *text >= ' ' && *text <= '~' ? *text : '?';
    }
    out[used] = '\0';
}

static void copy_name(char *out, size_t size, const char *text)
{
    copy_printable(out, size, text);
    out[strspn(out, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")] = '\0';
}

static int take_element(void *context, struct xml_element *element)
{
    struct s3_error *error = context;
    if (xml_is(element, 2, "Error", "Code")) {
        copy_name(error->code, sizeof error->code, element->text);
    } else if (xml_is(element, 2, "Error", "Message")) {
        copy_printable(error->message, sizeof error->message, element->text);
    } else if (xml_is(element, 2, "Error", "Region") && s3_region_valid(element->text)) {
        copy_name(error->region, sizeof error->region, element->text);
    }
    return 0;
}

void s3_error_read(const char *body, size_t size, struct s3_error *error)
{
    *error = (struct s3_error){0};
    if (size > 0 && xml_read(body, size, take_element, error) != NULL && error->code[0] == '\0') {
        *error = (struct s3_error){0};
    }
}

enum s3_verdict s3_error_verdict(long status, const char *code)
{
    const struct meaning *meaning = meaning_of(status, code);
    if (meaning != NULL) {
        return meaning->verdict;
    }
    return status >= 500 ? S3_RETRY : S3_FINAL;
}

int s3_error_throttles(long status, const char *code)
{
    return status == 503 || status == 429 || strcmp(code, "SlowDown") == 0;
}

const char *s3_error_advice(long status, const char *code)
{
    const struct meaning *meaning = meaning_of(status, code);
    if (meaning != NULL) {
        return meaning->advice;
    }
    return status >= 500 ? "the server has trouble of its own: try again later"
                         : "check S3_BUCKET_URL, AWS_ENDPOINT_URL and the credentials";
}

long s3_backoff(unsigned failures, long retry_after_seconds, unsigned chance)
{
    const long first = 250, longest = 20 * 1000, longest_asked = 60 * 1000;
    unsigned doublings = failures > 0 ? failures - 1 : 0;
    long wait = doublings < 7 ? first << doublings : longest;
    wait = wait < longest ? wait : longest;
    wait = wait / 2 + (long)(chance % (unsigned)(wait / 2 + 1));
    long asked = retry_after_seconds < 60 ? retry_after_seconds * 1000 : longest_asked;
    return asked > wait ? asked : wait;
}
