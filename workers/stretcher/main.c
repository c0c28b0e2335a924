/*
 * restore-stretcher: makes the key of a passphrase, for one archive, and ends.
 *
 * Holds: the passphrase.
 * Reads: the passphrase's file from FD_SECRET before its lock-down; frames of the supervisor from FD_CONTROL_IN: a salt
 * and a work factor, which come from the archive's header and are untrusted.
 * Must never have: the archive, network, other files, other programs. After its lock-down it can read one pipe, write
 * two and end.
 * A compromise yields: the passphrase, to a process that can tell it to the supervisor alone.
 *
 * It is apart from the unpacker because scrypt is meant to take memory: 256 MiB as age makes it, which the unpacker,
 * who reads untrusted bytes all the time, is not given.
 */
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "descriptors.h"
#include "exit_codes.h"
#include "identities.h"
#include "identity.h"
#include "io.h"
#include "ipc.h"
#include "log.h"
#include "sandbox.h"
#include "scrypt.h"
#include "secret.h"

#define PASSPHRASE_MAX 1024
#define HEAP_SLACK ((size_t)4 << 20)

static struct channel channel;
static char passphrase[PASSPHRASE_MAX + 1];

static _Noreturn void refuse(unsigned code, const char *text)
{
    channel_fail(&channel, code, "%s", text);
    _exit((int)code);
}

static void receive(struct frame *frame)
{
    enum ipc_result result = channel_receive(&channel, frame);
    if (result == IPC_VIOLATION) {
        log_error("protocol violation: %s", channel.violation);
        _exit(EXIT_WORKER);
    }
    if (result != IPC_OK) {
        _exit(EXIT_INTERNAL); /* the supervisor is gone */
    }
}

static void decode(const struct frame *frame, enum message_type type, void *message)
{
    if (channel_decode(&channel, frame, type, message) != IPC_OK) {
        log_error("protocol violation: %s", channel.violation);
        _exit(EXIT_WORKER);
    }
}

/* The file's first line. */
static size_t read_passphrase(void)
{
    ssize_t size = read_full(FD_SECRET, passphrase, sizeof passphrase);
    if (size < 0) {
        refuse(EXIT_USAGE, "AGE_PASSPHRASE_FILE: it cannot be read");
    }
    dup2(FD_NULL_OUT, FD_SECRET);
    const char *end = memchr(passphrase, '\n', (size_t)size);
    size_t length = end == NULL ? (size_t)size : (size_t)(end - passphrase);
    length -= length > 0 && passphrase[length - 1] == '\r' ? 1 : 0;
    if (length == 0 || length > PASSPHRASE_MAX) {
        refuse(EXIT_USAGE, "AGE_PASSPHRASE_FILE: its first line is empty, or longer than 1024 bytes");
    }
    return length;
}

/* What the container's memory limit says, where there is one: past it the kernel would kill without a word. */
static uint64_t memory_limit(void)
{
    static const char *const files[] = {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char text[64] = "";
        cleanup_close int fd = open(files[i], O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && read_full(fd, text, sizeof text - 1) > 0 && text[0] >= '0' && text[0] <= '9') {
            return strtoull(text, NULL, 10);
        }
    }
    return UINT64_MAX;
}

/* The heap is grown once and never shrinks nor maps: the policy has no call for memory. */
static void reserve_memory(unsigned work_factor)
{
    char text[256];
    uint64_t needed = scrypt_memory(work_factor) + HEAP_SLACK;
    uint64_t limit = memory_limit();
    void *volatile reserve = NULL; /* volatile: else the compiler leaves both calls out */
    if (limit >= needed) {
        mallopt(M_MMAP_MAX, 0);
        mallopt(M_TRIM_THRESHOLD, INT32_MAX);
        mallopt(M_TOP_PAD, (int)HEAP_SLACK);
        reserve = malloc((size_t)needed);
    }
    if (reserve == NULL) {
        snprintf(text, sizeof text, "The passphrase's work factor of %u takes %llu MiB of memory, which there is not%s",
                 work_factor, (unsigned long long)(needed >> 20),
                 limit < needed ? ": raise the container's memory limit" : "");
        refuse(EXIT_USAGE, text);
    }
    free(reserve);
}

static void lock_down(void)
{
    const unsigned user = identity_may_change(STRETCHER_USER) ? STRETCHER_USER : 0;
    const struct sandbox_plan plan = {
        .policy = &policy_stretcher, .descriptor_limit = FD_FIRST_FREE + 1, .user = user, .group = user};
    struct sandbox_report report;
    if (sandbox_lock(&plan, &report) != 0) {
        log_error("lock-down failed: %s", report.error);
        _exit(EXIT_SANDBOX);
    }
    if (SEND(&channel, ready, .layers = report.layers, .missing = text_of(report.missing),
             .filter = filter_text(&report)) != IPC_OK) {
        _exit(EXIT_INTERNAL);
    }
}

int main(void)
{
    struct frame frame;
    struct msg_stretcher_config config;
    struct msg_stretch stretch;
    uint8_t salt[SCRYPT_SALT_SIZE];
    uint8_t key[SCRYPT_KEY_SIZE];
    signal(SIGPIPE, SIG_IGN);
    sandbox_close_from(FD_FIRST_FREE);
    channel_init(&channel, FD_CONTROL_IN, FD_CONTROL_OUT, PARTY_STRETCHER, PARTY_SUPERVISOR);
    receive(&frame);
    decode(&frame, MESSAGE_stretcher_config, &config);
    if (config.salt.size != sizeof salt || config.work_factor == 0) {
        refuse(EXIT_WORKER, "the salt of the passphrase has another length than 16");
    }
    memcpy(salt, config.salt.data, sizeof salt);
    size_t size = read_passphrase();
    if (scrypt_key("", 0, salt, 1, key) != 0) { /* libcrypto sets itself up here, not after the lock-down */
        refuse(EXIT_INTERNAL, "libcrypto has no scrypt");
    }
    reserve_memory((unsigned)config.work_factor);
    lock_down();
    receive(&frame);
    decode(&frame, MESSAGE_stretch, &stretch);
    if (scrypt_key(passphrase, size, salt, (unsigned)config.work_factor, key) != 0) {
        refuse(EXIT_INTERNAL, "libcrypto could not stretch the passphrase");
    }
    secret_wipe(passphrase, sizeof passphrase);
    SEND(&channel, stretched, .key = {(const char *)key, sizeof key});
    secret_wipe(key, sizeof key);
    channel_wipe(&channel);
    receive(&frame); /* nothing comes any more: the supervisor ends us */
    _exit(EXIT_WORKER);
}
