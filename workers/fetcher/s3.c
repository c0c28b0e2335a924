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
/*
 * Stamps of names begin with 1 or 2 (backup_name.c), so these two prefixes have all backups of a project, and leave out
 * the pages of projects whose names go on where this one's ends. Both are asked for at once.
 */
#define STAMP_STARTS 2
/* The longest folder and name (messages.def): more than a key can have, and none of it is cut off. */
#define PREFIX_SIZE (S3_KEY_MAX + 256)

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

/* The objects under one prefix: their pages come one after the other. */
struct listing {
    struct selection selection;
    struct exchange exchange;
    CURL *handle;
    struct body body;
    struct s3_page page;
    unsigned pages;
    char subject[PREFIX_SIZE + 32];
    char url[S3_URL_MAX];
};

static int page_url(const struct s3 *s3, struct listing *listing)
{
    const struct selection *selection = &listing->selection;
    const struct s3_page *page = &listing->page;
    return selection->as_of == 0
               ? s3_list_url(&s3->location, selection->prefix, page->token, listing->url, sizeof listing->url)
               : s3_versions_url(&s3->location, selection->prefix, page->token, page->version, listing->url,
                                 sizeof listing->url);
}

static enum outcome ask_page(struct s3 *s3, struct listing *listing, struct problem *problem)
{
    if (page_url(s3, listing) != 0) {
        return problem_set(problem, EXIT_USAGE, "S3: the prefix of S3_BUCKET_URL is too long");
    }
    struct request request = {.subject = listing->subject,
                              .url = listing->url,
                              .etag = "",
                              .alone = !s3->location.https,
                              .size = S3_PAGE_MAX,
                              .sink = take_page,
                              .context = &listing->body};
    exchange_begin(&listing->exchange, s3, listing->handle, &request);
    return OUTCOME_OK;
}

/* Asks for the first page of listing `number`. */
static enum outcome begin_listing(struct s3 *s3, struct listing *listing, unsigned number,
                                  const struct selection *wanted, struct problem *problem)
{
    *listing = (struct listing){.selection = *wanted,
                                .handle = s3->network.handles[number],
                                .body = {s3->arena + (size_t)number * S3_PAGE_MAX, 0}};
    snprintf(listing->subject, sizeof listing->subject, "listing '%s'", wanted->prefix);
    return ask_page(s3, listing, problem);
}

/* A page that has come: its objects go to the handler. */
static enum outcome read_page(const struct s3 *s3, struct listing *listing, struct problem *problem)
{
    if (listing->exchange.outcome != OUTCOME_OK) {
        *problem = listing->exchange.problem;
        /* 'no such key' for a bucket: not what an empty list looks like */
        return listing->exchange.outcome == OUTCOME_MISSING ? OUTCOME_FAILED : listing->exchange.outcome;
    }
    const char *refused = s3_list_page((const char *)listing->body.bytes, listing->body.size, select_object,
                                       &listing->selection, &listing->page);
    if (refused != NULL) {
        return problem_set(problem, EXIT_STORAGE,
                           "S3: %s in %s: the answer is not a list of S3 (%s): is AWS_ENDPOINT_URL the "
                           "address of the S3 service, and not of a console or web page?",
                           listing->subject, s3->location.shown, refused);
    }
    return OUTCOME_OK;
}

/* Reads the page that has come, and asks for the next, where there is one. */
static enum outcome turn_page(struct s3 *s3, struct listing *listing, struct problem *problem)
{
    struct s3_page before = listing->page;
    listing->exchange.state = EXCHANGE_IDLE;
    enum outcome outcome = read_page(s3, listing, problem);
    if (outcome != OUTCOME_OK || !listing->page.truncated) {
        return outcome;
    }
    bool repeated =
        strcmp(before.token, listing->page.token) == 0 && strcmp(before.version, listing->page.version) == 0;
    if (repeated || ++listing->pages == PAGES_MAX) {
        return problem_set(problem, EXIT_STORAGE, "S3: %s in %s: the server repeats itself without an end",
                           listing->subject, s3->location.shown);
    }
    return ask_page(s3, listing, problem);
}

/* One move of all listings. *left: how many have pages to come. */
static enum outcome turn_listings(struct s3 *s3, struct listing *listings, size_t *left, struct problem *problem)
{
    struct exchange *exchanges[STAMP_STARTS];
    for (size_t i = 0; i < STAMP_STARTS; i++) {
        exchanges[i] = &listings[i].exchange;
    }
    enum outcome outcome = exchange_turn(s3, exchanges, STAMP_STARTS, -1, EXCHANGE_SLICE_MS);
    *left = 0;
    for (size_t i = 0; i < STAMP_STARTS && outcome == OUTCOME_OK; i++) {
        if (listings[i].exchange.state == EXCHANGE_ENDED) {
            outcome = turn_page(s3, &listings[i], problem);
        }
        *left += listings[i].exchange.state != EXCHANGE_IDLE;
    }
    return outcome;
}

enum outcome s3_list(struct s3 *s3, const char *folder, const char *name, uint64_t as_of, s3_listed_handler handler,
                     void *context, struct problem *problem)
{
    static struct listing listings[STAMP_STARTS];
    static char prefixes[STAMP_STARTS][PREFIX_SIZE];
    const char *slash = folder[0] == '\0' ? "" : "/";
    enum outcome outcome = need_credentials(s3, problem);
    memset(listings, 0, sizeof listings);
    for (unsigned i = 0; i < STAMP_STARTS && outcome == OUTCOME_OK; i++) {
        snprintf(prefixes[i], sizeof prefixes[i], "%s%s%s%u", folder, slash, name, i + 1);
        const struct selection wanted = {prefixes[i], strlen(folder) + strlen(slash), handler, context, as_of, ""};
        outcome = begin_listing(s3, &listings[i], i, &wanted, problem);
    }
    for (size_t left = STAMP_STARTS; left > 0 && outcome == OUTCOME_OK;) {
        outcome = turn_listings(s3, listings, &left, problem);
    }
    for (size_t i = 0; i < STAMP_STARTS; i++) {
        exchange_abort(&listings[i].exchange);
    }
    return outcome;
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
    struct listing listing; /* on the stack: it points to what is there */
    const struct selection wanted = {sought->key, strlen(sought->key), compare_key, sought, 0, ""};
    enum outcome outcome = begin_listing(s3, &listing, 0, &wanted, problem);
    if (outcome == OUTCOME_OK) {
        outcome = exchange_complete(&listing.exchange, s3);
    }
    return outcome == OUTCOME_OK ? read_page(s3, &listing, problem) : outcome;
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
