/*
 * restore-stager: lays data down beside the live data, swaps and undoes.
 *
 * Holds       the mounts of the targets below /mounts and the run's own volume at /run-volume, and the capabilities
 * that writing owners and modes needs (CHOWN, DAC_OVERRIDE, FOWNER, FSETID). Reads       frames on stdin, relayed by
 * the docker-agent: from the supervisor what to do, from the unpacker the clean tar of each volume and the SQL. It
 * distrusts both, and the trees in the mounts. Never has   a network, the Docker socket, any secret, another program to
 * start. Compromise  yields those mounts, and nothing else.
 *
 * It is the only file of its image, is started anew at will, and after a kill knows from the journal on the run's
 * volume what it has done (journal.h).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "area.h"
#include "cleanup.h"
#include "copy.h"
#include "descriptors.h"
#include "ipc.h"
#include "layer.h"
#include "log.h"
#include "probe.h"
#include "sandbox.h"
#include "spool.h"
#include "stage.h"
#include "survey.h"
#include "swap.h"

#define MOUNTS "/mounts"
#define RUN_VOLUME "/run-volume"

struct stager {
    struct channel channel;
    struct problem problem;
    struct areas areas;
    struct swap swap;
    struct stage stage;
    struct root roots[MAX_ROOTS + 1];
    int note_part;  /* the note being written; -1: none */
    int spool_in;   /* the spool being received; -1: none, or given up */
    bool receiving; /* spool_fill belongs to a spool_receive that has not failed */
    uint64_t received;
};

/* Fails the verb that runs: returns -1 with stager->problem set. 0: done. */
typedef int (*handler)(struct stager *stager, const struct frame *frame);

static _Noreturn void end(int code)
{
    _exit(code); /* nothing is buffered, and exit handlers are not worth a syscall */
}

static _Noreturn void end_for_violation(const struct stager *stager)
{
    log_error("protocol violation: %s", stager->channel.violation == NULL ? "?" : stager->channel.violation);
    end(EXIT_WORKER);
}

static void decode(struct stager *stager, const struct frame *frame, enum message_type type, void *message)
{
    if (channel_decode(&stager->channel, frame, type, message) != IPC_OK) {
        end_for_violation(stager);
    }
}

/* What a send came to: a supervisor that is gone ends the process, whatever else is going on. */
static int sent(struct stager *stager, enum ipc_result result)
{
    if (result == IPC_VIOLATION) {
        end_for_violation(stager);
    }
    return result == IPC_OK ? 0 : problem_errno(&stager->problem, "cannot write", "frames");
}

static int send_counts(struct stager *stager, const struct swap_counts *counts)
{
    return sent(stager, SEND(&stager->channel, swapped, .roots = counts->areas, .entries = counts->entries,
                             .bytes = counts->bytes));
}

static int on_root(struct stager *stager, const struct frame *frame)
{
    struct msg_stager_root message;
    decode(stager, frame, MESSAGE_stager_root, &message);
    struct root *root = &stager->roots[message.root];
    free(root->subpath);
    *root = (struct root){false, (unsigned)message.mount, strdup(message.subpath.data)};
    if (root->subpath == NULL) {
        return problem_errno(&stager->problem, "cannot remember", "a root");
    }
    if (!tree_path_is_sound(root->subpath)) {
        return problem_set(&stager->problem, EXIT_WORKER, "the path of root %llu is not sound",
                           (unsigned long long)message.root);
    }
    root->declared = true;
    return 0;
}

static int on_probe(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct statvfs space;
    if (probe_roots(&stager->areas, stager->roots, &stager->channel, &stager->problem) != 0) {
        return -1;
    }
    if (fstatvfs(stager->areas.run_volume, &space) != 0) {
        return problem_errno(&stager->problem, "cannot look at", "the run's volume");
    }
    uint64_t inodes = space.f_files == 0 ? UINT64_MAX : space.f_favail;
    return sent(stager, SEND(&stager->channel, probe_end, .run_volume_free = (uint64_t)space.f_bavail * space.f_frsize,
                             .run_volume_inodes = inodes));
}

static int on_stream(struct stager *stager, const struct frame *frame)
{
    struct msg_stager_stream message;
    decode(stager, frame, MESSAGE_stager_stream, &message);
    return stage_declare(&stager->stage, &message);
}

static int on_stage(struct stager *stager, const struct frame *frame)
{
    struct msg_stage message;
    decode(stager, frame, MESSAGE_stage, &message);
    if (swap_has_begun(&stager->swap)) {
        return problem_set(&stager->problem, EXIT_RECOVERY, "this run's swap has begun: nothing more is staged");
    }
    return stage_begin(&stager->stage, stager->roots, message.reserve_bytes);
}

static int on_stream_data(struct stager *stager, const struct frame *frame)
{
    struct msg_stream_data message;
    decode(stager, frame, MESSAGE_stream_data, &message);
    if (stager->stage.broken) {
        return 0;
    }
    return stage_data(&stager->stage, (unsigned)message.stream, message.bytes.data, message.bytes.size);
}

static int on_stream_end(struct stager *stager, const struct frame *frame)
{
    struct msg_stream_end message;
    decode(stager, frame, MESSAGE_stream_end, &message);
    return stager->stage.broken ? 0 : stage_stream_end(&stager->stage, (unsigned)message.stream);
}

static int on_streams_end(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    if (stager->stage.broken) {
        stager->stage.broken = false;
        return 0;
    }
    if (stage_finish(&stager->stage) != 0) {
        return -1;
    }
    return sent(stager, SEND(&stager->channel, stage_end));
}

static int on_note(struct stager *stager, const struct frame *frame)
{
    struct msg_note message;
    decode(stager, frame, MESSAGE_note, &message);
    if (note_write(stager->areas.run_volume, &stager->note_part, message.text.data, message.text.size,
                   (int)message.last, &stager->problem) != 0) {
        return -1;
    }
    return sent(stager, SEND(&stager->channel, noted));
}

static int on_read_note(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    return note_send(&stager->channel, stager->areas.run_volume, &stager->problem);
}

static int on_copy_root(struct stager *stager, const struct frame *frame)
{
    struct msg_copy_root message;
    decode(stager, frame, MESSAGE_copy_root, &message);
    const struct root *root = &stager->roots[message.root];
    struct swap_counts counts = {0};
    char base[TREE_PATH_MAX];
    struct area *area;
    if (!root->declared || swap_has_begun(&stager->swap)) {
        return problem_set(&stager->problem, EXIT_INTERNAL, "this root was not declared, or the swap has begun");
    }
    if (areas_resolve(&stager->areas, root->mount, root->subpath, &area, base, &stager->problem) != 0) {
        return -1;
    }
    if (*base != '\0') {
        return problem_set(&stager->problem, EXIT_DATABASE, "the data directory /mounts/%u/%.1000s does not exist",
                           root->mount, root->subpath);
    }
    if (copy_area(&stager->areas, area, &counts, &stager->problem) != 0 ||
        (message.more == 0 && copies_settle(&stager->areas, &stager->problem) != 0)) {
        return -1;
    }
    return send_counts(stager, &counts);
}

static int on_commit(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct swap_counts counts = {0};
    int result = swap_commit(&stager->areas, &stager->swap, &counts, &stager->problem);
    return result != 0 ? -1 : send_counts(stager, &counts);
}

static int on_undo(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct swap_counts counts = {0};
    int result = swap_undo(&stager->areas, &stager->swap, &counts, &stager->problem);
    return result != 0 ? -1 : send_counts(stager, &counts);
}

static int on_conclude(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct swap_counts counts = {0};
    int result = swap_conclude(&stager->areas, &stager->swap, &stager->problem);
    return result != 0 ? -1 : send_counts(stager, &counts);
}

/* What `old` of each area holds, for the record. What cannot be surveyed is told without a digest: it stops nothing. */
static int on_survey(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct swap_counts counts = {0};
    for (size_t i = 0; i < stager->areas.count; i++) {
        const struct area *area = stager->areas.list[i];
        struct problem ignored = {0};
        struct survey survey = {0};
        cleanup_close int live = area->work ? area_open(&stager->areas, area, &ignored) : -1;
        cleanup_close int work = live < 0 ? -1 : area_open_work(&stager->areas, area, live, &ignored);
        cleanup_close int old = work < 0 ? -1 : tree_open(work, "old", O_RDONLY | O_DIRECTORY);
        if (old >= 0 && survey_tree(old, &survey) != 0) {
            survey.sha256[0] = '\0';
        }
        if (old >= 0 && sent(stager, SEND(&stager->channel, former, .mount = area->mount, .path = text_of(area->path),
                                          .entries = survey.entries, .bytes = survey.bytes,
                                          .sha256 = text_of(survey.sha256))) != 0) {
            return -1;
        }
        counts.areas += old >= 0 ? 1 : 0;
    }
    return send_counts(stager, &counts);
}

static int on_clean(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    struct swap_counts counts = {0};
    int result = swap_clean(&stager->areas, &stager->swap, &counts, &stager->problem);
    return result != 0 ? -1 : send_counts(stager, &counts);
}

static int on_read_journal(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    return sent(stager, SEND(&stager->channel, journal, .phase = swap_phase(&stager->areas, &stager->swap),
                             .roots = stager->areas.count));
}

static int on_spool_send(struct stager *stager, const struct frame *frame)
{
    struct msg_spool_send message;
    decode(stager, frame, MESSAGE_spool_send, &message);
    return spool_send(&stager->channel, stager->areas.run_volume, (unsigned)message.stream, &stager->problem);
}

static int on_spool_receive(struct stager *stager, const struct frame *frame)
{
    struct msg_spool_receive message;
    decode(stager, frame, MESSAGE_spool_receive, &message);
    stager->spool_in = spool_create(stager->areas.run_volume, (unsigned)message.stream);
    stager->received = 0;
    stager->receiving = stager->spool_in >= 0;
    return stager->receiving ? 0 : problem_errno(&stager->problem, "cannot make", "a spool on the run's volume");
}

static int on_spool_fill(struct stager *stager, const struct frame *frame)
{
    struct msg_spool_fill message;
    decode(stager, frame, MESSAGE_spool_fill, &message);
    if (!stager->receiving) {
        return 0;
    }
    stager->received += message.bytes.size;
    int result = spool_write(stager->spool_in, message.bytes.data, message.bytes.size);
    return result == 0 ? 0 : problem_errno(&stager->problem, "cannot write", "a spool on the run's volume");
}

static int on_spool_full(struct stager *stager, const struct frame *frame)
{
    (void)frame;
    if (!stager->receiving) {
        return 0;
    }
    if (spool_sync(stager->areas.run_volume, stager->spool_in) != 0) {
        return problem_errno(&stager->problem, "cannot sync", "a spool on the run's volume");
    }
    close(stager->spool_in);
    stager->receiving = false;
    return sent(stager, SEND(&stager->channel, spool_end, .bytes = stager->received));
}

static int on_layer_merge(struct stager *stager, const struct frame *frame)
{
    struct msg_layer_merge message;
    decode(stager, frame, MESSAGE_layer_merge, &message);
    struct swap_counts counts = {0};
    int result = layer_merge(&stager->channel, stager->areas.run_volume, &message, &counts, &stager->problem);
    return result != 0 ? -1 : send_counts(stager, &counts);
}

static const handler handlers[MESSAGE_COUNT] = {
    [MESSAGE_stager_root] = on_root,
    [MESSAGE_probe] = on_probe,
    [MESSAGE_stager_stream] = on_stream,
    [MESSAGE_stage] = on_stage,
    [MESSAGE_stream_data] = on_stream_data,
    [MESSAGE_stream_end] = on_stream_end,
    [MESSAGE_streams_end] = on_streams_end,
    [MESSAGE_note] = on_note,
    [MESSAGE_read_note] = on_read_note,
    [MESSAGE_copy_root] = on_copy_root,
    [MESSAGE_commit] = on_commit,
    [MESSAGE_conclude] = on_conclude,
    [MESSAGE_undo] = on_undo,
    [MESSAGE_survey] = on_survey,
    [MESSAGE_clean] = on_clean,
    [MESSAGE_read_journal] = on_read_journal,
    [MESSAGE_spool_send] = on_spool_send,
    [MESSAGE_spool_receive] = on_spool_receive,
    [MESSAGE_spool_fill] = on_spool_fill,
    [MESSAGE_spool_full] = on_spool_full,
    [MESSAGE_layer_merge] = on_layer_merge,
};

/* Give up the verb that runs: nothing half staged stays, and the supervisor hears why. */
static void fail_verb(struct stager *stager)
{
    if (stager->stage.running) {
        stage_discard(&stager->stage);
    }
    if (stager->receiving) {
        close(stager->spool_in);
        stager->receiving = false;
    }
    if (channel_fail(&stager->channel, stager->problem.code, "%s", stager->problem.text) != IPC_OK) {
        end(EXIT_WORKER);
    }
    stager->problem = (struct problem){0};
}

static _Noreturn void serve(struct stager *stager)
{
    struct frame frame;
    enum ipc_result result;
    while ((result = channel_receive(&stager->channel, &frame)) == IPC_OK) {
        handler handle = handlers[frame.type];
        if (handle == NULL) {
            stager->channel.violation = "message that the stager does not know";
            end_for_violation(stager);
        }
        if (handle(stager, &frame) != 0) {
            fail_verb(stager);
        }
    }
    if (stager->stage.running) {
        stage_discard(&stager->stage);
    }
    if (result == IPC_VIOLATION) {
        end_for_violation(stager);
    }
    if (result != IPC_EOF) {
        log_error("cannot read frames: %s", strerror(errno));
        end(EXIT_WORKER);
    }
    end(0);
}

static int read_record(void *context, char **words, size_t count)
{
    struct stager *stager = context;
    if (strcmp(words[0], "run") == 0) {
        const char *own = stager->areas.work_name + sizeof WORK_PREFIX - 1;
        return count == 2 && strcmp(words[1], own) == 0 ? 0 : -1;
    }
    if (strcmp(words[0], "state") == 0) {
        return count == 2 ? swap_read_record(&stager->swap, words[1]) : -1;
    }
    return areas_read_record(&stager->areas, words, count) == 0 ? 0 : -1;
}

static int open_journal(struct stager *stager)
{
    struct journal *journal = &stager->areas.journal;
    int result = journal_open(journal, stager->areas.run_volume, read_record, stager);
    if (result == 0 && journal->fd < 0) {
        /* written with the first batch */
        result = journal_add(journal, "run", stager->areas.work_name + sizeof WORK_PREFIX - 1, NULL);
    }
    return result;
}

static _Noreturn void cannot_start(const char *what, const char *path)
{
    log_error("%s %s: %s", what, path, strerror(errno));
    end(EXIT_SANDBOX);
}

static int open_directory(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0) {
        cannot_start("cannot open", path);
    }
    return fd;
}

/* The first frame; what needs paths outside the mounts is done before the lock-down. */
static bool configure(struct stager *stager)
{
    struct frame frame;
    struct msg_stager_config message;
    enum ipc_result result = channel_receive(&stager->channel, &frame);
    if (result == IPC_EOF) {
        end(0);
    }
    if (result == IPC_ERROR) {
        log_error("cannot read frames: %s", strerror(errno));
        end(EXIT_WORKER);
    }
    if (result != IPC_OK) {
        end_for_violation(stager);
    }
    decode(stager, &frame, MESSAGE_stager_config, &message);
    if (!tree_path_is_sound(message.run.data) || message.run.size == 0 || strchr(message.run.data, '/') != NULL) {
        stager->channel.violation = "the run's name is not sound";
        end_for_violation(stager);
    }
    stpcpy(stpcpy(stager->areas.work_name, WORK_PREFIX), message.run.data);
    stager->areas.run_volume = open_directory(RUN_VOLUME);
    stager->areas.mounts = message.spool_only != 0 ? -1 : open_directory(MOUNTS);
    if (message.spool_only == 0 && areas_read_mounts(&stager->areas) != 0) {
        cannot_start("cannot read", "/proc/self/mountinfo");
    }
    return message.spool_only != 0;
}

static void lock_down(bool spool_only, struct sandbox_report *report)
{
    const uint64_t refer = 1ULL << 13, truncate = 1ULL << 14; /* Landlock ABI 2 and 3 */
    const uint64_t all = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
                         LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                         LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | refer | truncate;
    /* live trees hold sockets, FIFOs and nodes that move with the rest; none of them is ever opened */
    const uint64_t special = LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                             LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK;
    const uint64_t capabilities = 1ULL << CAP_CHOWN | 1ULL << CAP_DAC_OVERRIDE | 1ULL << CAP_FOWNER |
                                  1ULL << CAP_FSETID | 1ULL << CAP_MKNOD; /* the last where devices are wanted */
    const struct sandbox_path paths[] = {{RUN_VOLUME, all}, {MOUNTS, all | special}};
    const struct sandbox_plan plan = {
        .policy = &policy_stager,
        .paths = paths,
        .path_count = spool_only ? 1 : 2,
        .file_size_limit = RLIM_INFINITY,
        .descriptor_limit = 1024,
        .may_fork = false,
        .capabilities = capabilities,
    };
    if (sandbox_lock(&plan, report) != 0) {
        log_error("sandbox: %s", report->error);
        end(EXIT_SANDBOX);
    }
}

int main(void)
{
    static struct stager stager;
    umask(0);
    if (sandbox_close_from(FD_LOG + 1) != 0) {
        cannot_start("cannot close", "inherited descriptors");
    }
    stager.note_part = -1;
    stager.spool_in = -1;
    stager.stage = (struct stage){.areas = &stager.areas, .channel = &stager.channel, .problem = &stager.problem};
    channel_init(&stager.channel, STDIN_FILENO, STDOUT_FILENO, PARTY_STAGER, PARTY_SUPERVISOR);
    channel_hear_many(&stager.channel);
    struct sandbox_report report;
    lock_down(configure(&stager), &report);
    int opened = open_journal(&stager);
    if (SEND(&stager.channel, stager_ready, .layers = report.layers, .missing = text_of(report.missing),
             .filter = filter_text(&report)) != IPC_OK) {
        end(EXIT_WORKER);
    }
    if (opened != 0) {
        channel_fail(&stager.channel, EXIT_RECOVERY,
                     "the journal of this run is damaged or unreadable: its .restore-* "
                     "folders have to be looked at by hand");
        end(EXIT_RECOVERY);
    }
    serve(&stager);
}
