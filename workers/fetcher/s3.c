/* What the fetcher asks of S3. */
#include "s3.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "exit_codes.h"
#include "secret.h"

#define DEFAULT_REGION "us-east-1"
/* Ten million objects of one project: a server that still has more goes round in circles. */
#define PAGES_MAX 10000

enum outcome s3_open(struct s3 *s3, const struct s3_settings *settings, struct problem *problem)
{
    const char *region = settings->region[0] == '\0' ? DEFAULT_REGION : settings->region;
    const char *wrong = s3_locate(&s3->location, settings->endpoint, settings->bucket, region, settings->addressing);
    if (wrong != NULL) {
        return problem_set(problem, EXIT_USAGE, "S3: %s (AWS_ENDPOINT_URL, S3_BUCKET_URL, AWS_DEFAULT_REGION)", wrong);
    }
    snprintf(s3->region, sizeof s3->region, "%s", region);
    s3->attempts = settings->attempts == 0 ? 1 : settings->attempts;
    s3->interrupt_fd = settings->interrupt_fd;
    s3->arena = mmap(NULL, S3_ARENA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s3->arena == MAP_FAILED) {
        return problem_set(problem, EXIT_INTERNAL, "no memory for downloads");
    }
    return network_init(&s3->network, &s3->location, &settings->network, problem);
}

static bool fits_header(const char *text, size_t size)
{
    for (const char *at = text; *at != '\0'; at++) {
        if (*at <= ' ' || *at > '~') {
            return false;
        }
    }
    return strlen(text) < size;
}

enum outcome s3_set_credentials(struct s3 *s3, const char *access_key_id, const char *secret_access_key,
                                const char *session_token, struct problem *problem)
{
    if (access_key_id[0] == '\0' || secret_access_key[0] == '\0') {
        return problem_set(problem, EXIT_USAGE, "S3: the access key or its secret is empty");
    }
    if (!fits_header(access_key_id, sizeof s3->access_key_id) || strpbrk(access_key_id, ":/") != NULL ||
        !fits_header(secret_access_key, sizeof s3->secret_access_key) ||
        !fits_header(session_token, sizeof s3->session_token)) {
        return problem_set(problem, EXIT_USAGE,
                           "S3: an access key, secret or session token holds a space, a line break or another "
                           "character that none can have: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and "
                           "AWS_SESSION_TOKEN");
    }
    strcpy(s3->access_key_id, access_key_id);
    strcpy(s3->secret_access_key, secret_access_key);
    strcpy(s3->session_token, session_token);
    return OUTCOME_OK;
}

static enum outcome need_credentials(const struct s3 *s3, struct problem *problem)
{
    return s3->access_key_id[0] != '\0' ? OUTCOME_OK : problem_set(problem, EXIT_USAGE, "S3: there are no credentials");
}

/* Objects that a listing gives are passed on if they are where we asked. */
struct selection {
    const char *prefix;
    size_t folder; /* length of the part of prefix that ends in a slash */
    s3_listed_handler handler;
    void *context;
    uint64_t as_of;
    char decided[S3_KEY_MAX + 1]; /* the key whose version of that time was found */
};

/* Versions of one key come newest first: the first that is old enough is the one, or tells that it was deleted. */
static bool was_there(struct selection *selection, const struct s3_listed *object)
{
    if (selection->as_of == 0) {
        return !object->deleted;
    }
    if (object->modified > selection->as_of || strcmp(selection->decided, object->key) == 0) {
        return false;
    }
    strcpy(selection->decided, object->key);
    return !object->deleted;
}

static int select_object(void *context, const struct s3_listed *object)
{
    struct selection *selection = context;
    if (strncmp(object->key, selection->prefix, strlen(selection->prefix)) != 0 ||
        strchr(object->key + selection->folder, '/') != NULL || !was_there(selection, object)) {
        return 0;
    }
    return selection->handler(selection->context, object);
}

/* The page as it comes; a page that broke is read again from its beginning. */
struct body {
    uint8_t *bytes;
    size_t size;
};

static int take_page(void *context, uint64_t offset, const uint8_t *bytes, size_t size)
{
    struct body *body = context;
    memcpy(body->bytes + offset, bytes, size);
    body->size = (size_t)offset + size;
    return 0;
}

static enum outcome list_page(struct s3 *s3, struct selection *selection, const char *url, struct s3_page *page,
                              struct problem *problem)
{
    static struct exchange exchange;
    char subject[1200];
    struct body body = {s3->arena, 0};
    snprintf(subject, sizeof subject, "listing '%s'", selection->prefix);
    struct request request = {
        .subject = subject, .url = url, .etag = "", .size = S3_PAGE_MAX, .sink = take_page, .context = &body};
    enum outcome outcome = exchange_perform(&exchange, s3, &request, problem);
    if (outcome == OUTCOME_MISSING) {
        return OUTCOME_FAILED; /* 'no such key' for a bucket: not what an empty list looks like */
    }
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    const char *refused = s3_list_page((const char *)body.bytes, body.size, select_object, selection, page);
    if (refused != NULL) {
        return problem_set(problem, EXIT_STORAGE,
                           "S3: listing '%s' in %s: the answer is not a list of S3 (%s): is AWS_ENDPOINT_URL the "
                           "address of the S3 service, and not of a console or web page?",
                           selection->prefix, s3->location.shown, refused);
    }
    return OUTCOME_OK;
}

static int page_url(const struct s3 *s3, const struct selection *selection, const struct s3_page *page, char *url,
                    size_t size)
{
    return selection->as_of == 0
               ? s3_list_url(&s3->location, selection->prefix, page->token, url, size)
               : s3_versions_url(&s3->location, selection->prefix, page->token, page->version, url, size);
}

static enum outcome list_pages(struct s3 *s3, struct selection *selection, struct problem *problem)
{
    static struct s3_page page;
    static char url[S3_URL_MAX];
    static struct s3_page before;
    page = (struct s3_page){0};
    for (unsigned number = 0; number < PAGES_MAX; number++) {
        before = page;
        if (page_url(s3, selection, &page, url, sizeof url) != 0) {
            return problem_set(problem, EXIT_USAGE, "S3: the prefix of S3_BUCKET_URL is too long");
        }
        enum outcome outcome = list_page(s3, selection, url, &page, problem);
        if (outcome != OUTCOME_OK || !page.truncated) {
            return outcome;
        }
        if (strcmp(before.token, page.token) == 0 && strcmp(before.version, page.version) == 0) {
            break;
        }
    }
    return problem_set(problem, EXIT_STORAGE, "S3: listing '%s' in %s: the server repeats itself without an end",
                       selection->prefix, s3->location.shown);
}

enum outcome s3_list(struct s3 *s3, const char *folder, const char *name, uint64_t as_of, s3_listed_handler handler,
                     void *context, struct problem *problem)
{
    char prefix[S3_KEY_MAX + 256];
    const char *slash = folder[0] == '\0' ? "" : "/";
    snprintf(prefix, sizeof prefix, "%s%s%s", folder, slash, name);
    struct selection selection = {prefix, strlen(folder) + strlen(slash), handler, context, as_of, ""};
    enum outcome outcome = need_credentials(s3, problem);
    return outcome == OUTCOME_OK ? list_pages(s3, &selection, problem) : outcome;
}

static enum outcome head_once(struct s3 *s3, const char *key, const char *version_id, struct exchange *exchange,
                              struct problem *problem)
{
    static char url[S3_URL_MAX];
    char subject[S3_KEY_MAX + 32];
    snprintf(subject, sizeof subject, "object '%s'", key);
    if (s3_object_url(&s3->location, key, version_id, url, sizeof url) != 0) {
        return problem_set(problem, EXIT_USAGE, "S3: the name of the object is too long");
    }
    struct request request = {.subject = subject, .url = url, .etag = "", .head = true};
    return exchange_perform(exchange, s3, &request, problem);
}

struct sought {
    const char *key;
    bool listed;
};

static int compare_key(void *context, const struct s3_listed *object)
{
    struct sought *sought = context;
    sought->listed = sought->listed || strcmp(sought->key, object->key) == 0;
    return 0;
}

/*
 * An answer to a HEAD has no body, so a refusal does not say why: a missing key, a missing bucket, a wrong signature
 * and a wrong clock look alike. A list that begins at the key tells, and sets the clock right.
 */
static enum outcome ask_why(struct s3 *s3, struct sought *sought, struct problem *problem)
{
    static char url[S3_URL_MAX];
    static struct s3_page page;
    struct selection selection = {sought->key, strlen(sought->key), compare_key, sought, 0, ""};
    if (s3_list_url(&s3->location, sought->key, "", url, sizeof url) != 0) {
        return problem_set(problem, EXIT_USAGE, "S3: the name of the object is too long");
    }
    return list_page(s3, &selection, url, &page, problem);
}

enum outcome s3_head(struct s3 *s3, const char *key, const char *version_id, struct answer *answer,
                     struct problem *problem)
{
    static struct exchange exchange;
    enum outcome outcome = need_credentials(s3, problem);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    outcome = head_once(s3, key, version_id, &exchange, problem);
    if (outcome == OUTCOME_FAILED && exchange.status >= 400 && exchange.status < 405) {
        bool missing = exchange.status == 404;
        struct sought sought = {key, false};
        enum outcome reason = ask_why(s3, &sought, problem);
        if (reason != OUTCOME_OK) {
            return reason;
        }
        if (missing && !sought.listed) {
            return OUTCOME_MISSING;
        }
        outcome = head_once(s3, key, version_id, &exchange, problem);
    }
    *answer = exchange.answer;
    return outcome;
}

enum outcome s3_read(struct s3 *s3, const char *key, uint8_t *bytes, size_t room, size_t *size, struct problem *problem)
{
    static struct exchange exchange;
    static char url[S3_URL_MAX];
    char subject[S3_KEY_MAX + 32];
    struct body body = {bytes, 0};
    enum outcome outcome = need_credentials(s3, problem);
    if (outcome != OUTCOME_OK) {
        return outcome;
    }
    snprintf(subject, sizeof subject, "object '%s'", key);
    if (s3_object_url(&s3->location, key, "", url, sizeof url) != 0) {
        return problem_set(problem, EXIT_USAGE, "S3: the name of the object is too long");
    }
    struct request request = {
        .subject = subject, .url = url, .etag = "", .size = room, .sink = take_page, .context = &body};
    outcome = exchange_perform(&exchange, s3, &request, problem);
    *size = body.size;
    return outcome;
}

void s3_close(struct s3 *s3)
{
    secret_wipe(s3->access_key_id, sizeof s3->access_key_id);
    secret_wipe(s3->secret_access_key, sizeof s3->secret_access_key);
    secret_wipe(s3->session_token, sizeof s3->session_token);
    network_wipe(&s3->network);
}
