/*
 * restore-fetcher: lists, looks at and downloads objects of one S3 bucket (or of a directory).
 *
 *   holds        the S3 credentials, from their message to the end of the process
 *   reads        HTTP(S) answers of the endpoint, wholly untrusted; frames of the supervisor
 *   never has    files (but the store's directory in file mode), exec, unix sockets, Docker, what is in the archive
 *   compromised  reads of one bucket with these credentials; wrong bytes fail the unpacker's checks
 *
 * Order: configuration (nothing secret) - name resolved, CA bundle read, memory taken - lock-down - `ready` -
 * credentials - verbs. Another host (a redirect to another region) takes another fetcher.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <locale.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"
#include "directory.h"
#include "exit_codes.h"
#include "identities.h"
#include "identity.h"
#include "ipc.h"
#include "log.h"
#include "ranges.h"
#include "s3.h"
#include "sandbox.h"
#include "secret.h"
#include "tls.h"

#define HEAP_RESERVE (32U << 20) /* address space, not memory: what is not touched costs nothing */
#define PIPE_SIZE (1 << 20)
#define DESCRIPTORS 64
#define DEFAULT_CONNECT_TIMEOUT 10
#define DEFAULT_STALL_TIMEOUT 30

struct fetcher {
    struct channel channel;
    bool directory; /* the store is a directory, not S3 */
    struct s3 s3;
    char prefix[S3_KEY_MAX + 1];
    uint64_t objects; /* listed by the verb that runs */
};

static void protocol_violation(const struct fetcher *fetcher)
{
    log_error("protocol violation: %s", fetcher->channel.violation);
    _exit(EXIT_WORKER);
}

static void decode(struct fetcher *fetcher, const struct frame *frame, enum message_type type, void *message)
{
    if (channel_decode(&fetcher->channel, frame, type, message) != IPC_OK) {
        protocol_violation(fetcher);
    }
}

/* Where an answer cannot be sent the supervisor would wait for it: it sees us end. */
static void answered(const struct fetcher *fetcher, enum ipc_result result)
{
    if (result == IPC_VIOLATION) {
        protocol_violation(fetcher);
    }
    if (result != IPC_OK) {
        log_error("cannot write to the supervisor: %s", strerror(errno));
        _exit(EXIT_WORKER);
    }
}

/* A field beyond its bound came from a server: that ends the verb, not the protocol. */
static int sent(const struct fetcher *fetcher, enum ipc_result result)
{
    if (result == IPC_VIOLATION) {
        return -1;
    }
    answered(fetcher, result);
    return 0;
}

/* Ends a verb that did not end well. */
static void conclude(struct fetcher *fetcher, enum outcome outcome, const struct problem *problem)
{
    if (outcome == OUTCOME_REDIRECTED) {
        answered(fetcher, SEND(&fetcher->channel, redirected, .region = text_of(problem->region)));
    } else if (outcome == OUTCOME_FAILED) {
        answered(fetcher, channel_fail(&fetcher->channel, problem->code, "%s", problem->text));
    }
}

static void on_credentials(struct fetcher *fetcher, const struct frame *frame)
{
    struct msg_credentials message;
    struct problem problem = {0};
    decode(fetcher, frame, MESSAGE_credentials, &message);
    enum outcome outcome = s3_set_credentials(&fetcher->s3, message.access_key_id.data, message.secret_access_key.data,
                                              message.session_token.data, &problem);
    channel_wipe(&fetcher->channel);
    conclude(fetcher, outcome, &problem);
}

static int send_object(void *context, const struct s3_listed *listed)
{
    struct fetcher *fetcher = context;
    fetcher->objects++;
    return sent(fetcher, SEND(&fetcher->channel, object, .key = text_of(listed->key), .size = listed->size,
                              .modified = listed->modified, .etag = text_of(listed->etag),
                              .version_id = text_of(listed->version_id)));
}

static void on_list(struct fetcher *fetcher, const struct frame *frame)
{
    struct msg_list message;
    struct problem problem = {0};
    char name[160];
    decode(fetcher, frame, MESSAGE_list, &message);
    snprintf(name, sizeof name, "backup_%s_", message.project.data);
    fetcher->objects = 0;
    enum outcome outcome = fetcher->directory ? directory_list(fetcher->prefix, name, send_object, fetcher, &problem)
                                              : s3_list(&fetcher->s3, fetcher->prefix, name, message.as_of, send_object,
                                                        fetcher, &problem);
    if (outcome == OUTCOME_OK) {
        answered(fetcher, SEND(&fetcher->channel, list_end, .objects = fetcher->objects));
    }
    conclude(fetcher, outcome, &problem);
}

static void on_head(struct fetcher *fetcher, const struct frame *frame)
{
    struct msg_head message;
    struct problem problem = {0};
    struct answer answer = {0};
    char key[S3_KEY_MAX + 1], version_id[257];
    decode(fetcher, frame, MESSAGE_head, &message);
    strcpy(key, message.key.data);
    strcpy(version_id, message.version_id.data);
    enum outcome outcome = fetcher->directory ? directory_head(key, &answer, &problem)
                                              : s3_head(&fetcher->s3, key, version_id, &answer, &problem);
    if (outcome == OUTCOME_OK || outcome == OUTCOME_MISSING) {
        enum ipc_result result =
            SEND(&fetcher->channel, object_info, .exists = outcome == OUTCOME_OK, .size = answer.size,
                 .modified = answer.modified, .etag = text_of(answer.etag), .version_id = text_of(answer.version_id),
                 .storage_class = text_of(answer.storage_class), .restore = text_of(answer.restore));
        answered(fetcher, result);
    }
    conclude(fetcher, outcome, &problem);
}

static void on_read_object(struct fetcher *fetcher, const struct frame *frame)
{
    static uint8_t bytes[4096]; /* as much as its message takes */
    struct msg_read_object message;
    struct problem problem = {0};
    size_t size = 0;
    char key[S3_KEY_MAX + 1];
    decode(fetcher, frame, MESSAGE_read_object, &message);
    strcpy(key, message.key.data);
    enum outcome outcome = fetcher->directory ? directory_read(key, bytes, sizeof bytes, &size, &problem)
                                              : s3_read(&fetcher->s3, key, bytes, sizeof bytes, &size, &problem);
    if (outcome == OUTCOME_OK || outcome == OUTCOME_MISSING) {
        bool exists = outcome == OUTCOME_OK;
        SEND(&fetcher->channel, object_bytes, .exists = exists, .bytes = {(const char *)bytes, exists ? size : 0});
    }
    conclude(fetcher, outcome, &problem);
}

static int send_fetched(void *context, uint64_t bytes)
{
    struct fetcher *fetcher = context;
    return sent(fetcher, SEND(&fetcher->channel, fetched, .bytes = bytes));
}

static void on_get(struct fetcher *fetcher, const struct frame *frame)
{
    struct msg_get message;
    struct problem problem = {0};
    uint64_t resumed = 0;
    char key[S3_KEY_MAX + 1], etag[257], version_id[257];
    decode(fetcher, frame, MESSAGE_get, &message);
    strcpy(key, message.key.data);
    strcpy(etag, message.etag.data);
    strcpy(version_id, message.version_id.data);
    struct ranges_object object = {key, message.size, etag, version_id};
    enum outcome outcome =
        fetcher->directory ? directory_get(&object, FD_DATA_OUT, send_fetched, fetcher, &problem)
                           : ranges_get(&fetcher->s3, &object, FD_DATA_OUT, send_fetched, fetcher, &resumed, &problem);
    if (outcome == OUTCOME_OK) {
        answered(fetcher, SEND(&fetcher->channel, got, .bytes = object.size, .resumed = resumed));
    }
    conclude(fetcher, outcome, &problem);
}

static enum outcome configure(struct fetcher *fetcher, const struct msg_fetcher_config *config, struct problem *problem)
{
    struct s3_settings settings = {
        .endpoint = config->endpoint.data,
        .bucket = config->bucket.data,
        .region = config->region.data,
        .addressing = (enum s3_addressing)config->addressing,
        .network = {config->ca_bundle.data, config->proxy.data, (unsigned)config->connect_timeout,
                    (unsigned)config->stall_timeout},
        .attempts = (unsigned)config->attempts,
        .interrupt_fd = FD_CONTROL_IN,
    };
    settings.network.connect_timeout += config->connect_timeout == 0 ? DEFAULT_CONNECT_TIMEOUT : 0;
    settings.network.stall_timeout += config->stall_timeout == 0 ? DEFAULT_STALL_TIMEOUT : 0;
    snprintf(fetcher->prefix, sizeof fetcher->prefix, "%s", config->prefix.data);
    fetcher->directory = strncmp(config->endpoint.data, "file:", 5) == 0;
    return fetcher->directory ? directory_open(config->bucket.data, problem)
                              : s3_open(&fetcher->s3, &settings, problem);
}

/* The heap is grown once and never shrinks nor maps: the policy has no call for memory. */
static void reserve_heap(void)
{
    mallopt(M_MMAP_MAX, 0);
    mallopt(M_TRIM_THRESHOLD, INT32_MAX);
    void *volatile reserve = malloc(HEAP_RESERVE); /* volatile: else the compiler leaves both calls out */
    if (reserve == NULL) {
        log_error("the heap cannot be grown before the lock-down");
        _exit(EXIT_SANDBOX);
    }
    free(reserve);
}

/* Downloads write without blocking, beside their connections; copies from a directory have nothing else to do. */
static void prepare_pipe(bool blocking)
{
    int flags = fcntl(FD_DATA_OUT, F_GETFL);
    fcntl(FD_DATA_OUT, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    fcntl(FD_DATA_OUT, F_SETPIPE_SZ, PIPE_SIZE); /* as large as the system lets it be */
}

/*
 * A store may hold what root alone can read. Its files are opened later, one by one: the right to read them is kept,
 * and Landlock closes all others; where there is none to keep, so is the user.
 */
static void choose_identity(const struct fetcher *fetcher, struct sandbox_plan *plan)
{
    uint64_t held = identity_capabilities();
    if (fetcher->directory) {
        const uint64_t reads = 1ULL << CAP_DAC_READ_SEARCH, overrides = 1ULL << CAP_DAC_OVERRIDE;
        plan->capabilities = (held & reads) != 0 ? reads : held & overrides;
    }
    if (!identity_may_change(FETCHER_USER)) {
        return;
    }
    if (fetcher->directory && plan->capabilities == 0) {
        log_info("stays user %u: as another it could not read what that one alone may read in the store", getuid());
        return;
    }
    plan->user = FETCHER_USER;
    plan->group = FETCHER_USER;
}

static void lock_down(struct fetcher *fetcher, const char *store)
{
    const struct sandbox_path path = {store, LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR};
    struct sandbox_plan plan = {.policy = fetcher->directory ? &policy_fetcher_file : &policy_fetcher,
                                .paths = &path,
                                .path_count = fetcher->directory ? 1 : 0,
                                .descriptor_limit = DESCRIPTORS,
                                .connects_by_tcp = !fetcher->directory};
    choose_identity(fetcher, &plan);
    struct sandbox_report report;
    if (sandbox_lock(&plan, &report) != 0) {
        log_error("lock-down failed: %s", report.error);
        _exit(EXIT_SANDBOX);
    }
    if (SEND(&fetcher->channel, ready, .layers = report.layers, .missing = text_of(report.missing),
             .filter = filter_text(&report)) != IPC_OK) {
        _exit(EXIT_INTERNAL);
    }
}

static void start(struct fetcher *fetcher)
{
    struct frame frame;
    struct msg_fetcher_config config;
    struct problem problem = {0};
    enum ipc_result result = channel_receive(&fetcher->channel, &frame);
    if (result == IPC_VIOLATION) {
        protocol_violation(fetcher);
    }
    if (result != IPC_OK) {
        _exit(EXIT_INTERNAL);
    }
    decode(fetcher, &frame, MESSAGE_fetcher_config, &config);
    if (configure(fetcher, &config, &problem) != OUTCOME_OK) {
        channel_fail(&fetcher->channel, problem.code, "%s", problem.text);
        _exit((int)problem.code);
    }
    prepare_pipe(fetcher->directory);
    reserve_heap();
    secret_keep(fetcher, sizeof *fetcher); /* credentials, and the frame they come in */
    lock_down(fetcher, config.bucket.data);
}

static void serve(struct fetcher *fetcher)
{
    static const struct {
        enum message_type type;
        void (*verb)(struct fetcher *fetcher, const struct frame *frame);
    } verbs[] = {
        {MESSAGE_credentials, on_credentials}, {MESSAGE_list, on_list}, {MESSAGE_head, on_head}, {MESSAGE_get, on_get},
        {MESSAGE_read_object, on_read_object},
    };
    struct frame frame;
    enum ipc_result result;
    while ((result = channel_receive(&fetcher->channel, &frame)) == IPC_OK) {
        for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
            if (verbs[i].type == frame.type) {
                verbs[i].verb(fetcher, &frame);
            }
        }
    }
    if (result == IPC_VIOLATION) {
        protocol_violation(fetcher);
    }
    if (result != IPC_EOF) {
        log_error("cannot read from the supervisor: %s", strerror(errno));
        _exit(EXIT_WORKER);
    }
}

int main(void)
{
    static struct fetcher fetcher;
    setlocale(LC_CTYPE, "C.UTF-8"); /* with LC_MESSAGES too, strerror would look for translations in files */
    signal(SIGPIPE, SIG_IGN);
    sandbox_close_from(FD_FIRST_FREE);
    if (tls_check_memory() != 0) {
        log_error("libcrypto took memory before it could be told whose");
        _exit(EXIT_INTERNAL);
    }
    channel_init(&fetcher.channel, FD_CONTROL_IN, FD_CONTROL_OUT, PARTY_FETCHER, PARTY_SUPERVISOR);
    start(&fetcher);
    serve(&fetcher);
    if (!fetcher.directory) {
        s3_close(&fetcher.s3);
    }
    _exit(0); /* the libraries' exit handlers would make calls that the policy lacks */
}
