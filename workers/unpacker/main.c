/*
 * restore-unpacker: takes the archive apart.
 *
 * Holds: nothing secret; with an encrypted archive, the identities that decrypt it.
 * Reads: the identities from FD_SECRET, before its lock-down; the archive from FD_DATA_IN, wholly untrusted; frames of
 * the supervisor from FD_CONTROL_IN. Must never have: network, files, a clock, memory from the kernel, other programs,
 * the secrets of others. After its lock-down it can read two pipes, write three and end. A compromise yields: a process
 * that can write bytes to those pipes. It can lie about the archive's contents, which whoever could plant such an
 * archive could do as well.
 */
#include <signal.h>
#include <unistd.h>

#include "age_identity.h"
#include "descriptors.h"
#include "exit_codes.h"
#include "heap.h"
#include "identities.h"
#include "identity.h"
#include "io.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"
#include "secret.h"
#include "signature.h"
#include "unpack.h"
#include "untar.h"

static struct channel channel;
static bool locked;

static _Noreturn void end_with(int code, const char *why)
{
    log_error("%s", why);
    _exit(code);
}

static _Noreturn void end_on(enum ipc_result result)
{
    if (result == IPC_EOF) {
        _exit(EXIT_RESTORED); /* the supervisor needs no more of us */
    }
    end_with(EXIT_WORKER, result == IPC_VIOLATION ? channel.violation : "the pipe to the supervisor broke");
}

static void receive(struct frame *frame)
{
    enum ipc_result result = channel_receive(&channel, frame);
    if (result != IPC_OK) {
        end_on(result);
    }
}

static void decode(const struct frame *frame, enum message_type type, void *message)
{
    enum ipc_result result = channel_decode(&channel, frame, type, message);
    if (result != IPC_OK) {
        end_on(result);
    }
}

/* They are read before anything else is, and the file is gone from here then. */
static void read_identities(struct unpacker *unpacker)
{
    static char text[AGE_IDENTITY_FILE_MAX + 1];
    struct failure refused = {0};
    ssize_t size = read_full(FD_SECRET, text, sizeof text);
    dup2(FD_NULL_OUT, FD_SECRET);
    if (size < 0 || size > AGE_IDENTITY_FILE_MAX) {
        fail_with(&refused, EXIT_USAGE, "AGE_IDENTITY_FILE: it cannot be read, or is larger than 16 KiB");
    } else {
        unpacker_take_identities(unpacker, text, (size_t)size, &refused);
    }
    secret_wipe(text, sizeof text);
    if (refused.code != 0) {
        channel_fail(&channel, refused.code, "%s", refused.text);
        _exit((int)refused.code);
    }
}

static struct unpacker *set_up(void)
{
    struct frame frame;
    struct msg_unpacker_config config;
    receive(&frame);
    decode(&frame, MESSAGE_unpacker_config, &config);
    const struct unpack_limits limits = {
        .window_log_max = (unsigned)config.window_log_max,
        .max_entries = config.max_entries,
        .max_bytes = config.max_bytes,
        .restore_devices = config.restore_devices != 0,
    };
    struct unpacker *unpacker = unpacker_new(&channel, &limits, FD_DATA_IN, FD_DATA_OUT);
    if (unpacker == NULL || untar_warm_up() != 0 || signature_warm_up() != 0) {
        end_with(EXIT_INTERNAL, "cannot set up libarchive, zstd and libcrypto, or no address space for the window");
    }
    read_identities(unpacker);
    return unpacker;
}

static void lock_down(void)
{
    const unsigned user = identity_may_change(UNPACKER_USER) ? UNPACKER_USER : 0;
    const struct sandbox_plan plan = {
        .user = user,
        .group = user,
        .policy = &policy_unpacker,
        .file_size_limit = 0,
        .descriptor_limit = FD_FIRST_FREE + 1, /* the lock-down itself opens one */
        .may_fork = false,
    };
    struct sandbox_report report;
    if (heap_grow() != 0) {
        end_with(EXIT_SANDBOX, "the heap cannot be grown before the lock-down");
    }
    if (sandbox_lock(&plan, &report) != 0) {
        end_with(EXIT_SANDBOX, report.error);
    }
    locked = true;
    enum ipc_result result = SEND(&channel, ready, .layers = report.layers, .missing = text_of(report.missing),
                                  .filter = filter_text(&report));
    if (result != IPC_OK) {
        end_on(result);
    }
}

static struct failure failure; /* of the pass that failed, if one did */

static void tell_failure(void)
{
    enum ipc_result result = channel_fail(&channel, failure.code, "%s", failure.text);
    if (result != IPC_OK) {
        end_on(result);
    }
}

/*
 * After a failed pass the rest of its archive lies in the pipe, where a next one would be expected: every other pass
 * fails as the first did, until the supervisor ends the conversation.
 */
static void run(struct unpacker *unpacker, const struct frame *frame)
{
    struct msg_unpack unpack;
    decode(frame, MESSAGE_unpack, &unpack);
    if (failure.code != 0 || unpacker_run(unpacker, &unpack, &failure) != 0) {
        tell_failure();
    }
}

/* A refusal is kept, and told when the pass it belongs to begins. */
static void expect_signature(struct unpacker *unpacker, const struct frame *frame)
{
    struct msg_signature message;
    decode(frame, MESSAGE_signature, &message);
    unpacker_expect_signature(unpacker, &message, &failure);
}

static _Noreturn void serve(struct unpacker *unpacker)
{
    for (;;) {
        struct frame frame;
        receive(&frame);
        if (frame.type == MESSAGE_unpack) {
            run(unpacker, &frame);
            continue;
        }
        if (frame.type == MESSAGE_signature) {
            expect_signature(unpacker, &frame);
            continue;
        }
        struct msg_want want;
        decode(&frame, MESSAGE_want, &want);
        if (unpacker_want(unpacker, &want) != 0) {
            end_with(EXIT_WORKER, "more sections wanted than there are streams");
        }
    }
}

/*
 * libarchive ends the process in places where it has no memory (the linker sends those here): past the budget of
 * heap.c that is the archive's doing, and the supervisor hears it.
 */
_Noreturn void __wrap___archive_errx(int code, const char *text);

_Noreturn void __wrap___archive_errx(int code, const char *text)
{
    (void)code;
    if (!locked) {
        end_with(EXIT_INTERNAL, text);
    }
    fail_integrity(&failure, "an entry's headers need more memory than is given to them (%s)", text);
    tell_failure();
    for (;;) {
        struct frame frame;
        receive(&frame);
        tell_failure();
    }
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN); /* a reader that is gone is an error to report, not an end without a word */
    if (heap_prepare() != 0 || sandbox_close_from(FD_FIRST_FREE) != 0) {
        end_with(EXIT_SANDBOX, "the heap or the descriptors cannot be prepared");
    }
    channel_init(&channel, FD_CONTROL_IN, FD_CONTROL_OUT, PARTY_UNPACKER, PARTY_SUPERVISOR);
    struct unpacker *unpacker = set_up();
    lock_down();
    serve(unpacker);
}
