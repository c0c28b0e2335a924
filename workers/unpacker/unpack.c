/* The pass over an archive; see unpack.h. */
#include "unpack.h"

#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "age.h"
#include "bulk.h"
#include "exit_codes.h"
#include "heap.h"
#include "reader.h"
#include "sections.h"
#include "signature.h"
#include "sql_lexer.h"
#include "tar_writer.h"
#include "untar.h"

#define PROGRESS_BYTES (4 * 1024 * 1024) /* of the archive, between two `unpacking`: there is no clock here */

struct unpacker {
    struct channel *channel;
    int data_in;
    uint64_t max_bytes;
    bool digests;  /* of each section's bytes are wanted */
    uint64_t told; /* bytes of the archive when `unpacking` was sent last */
    struct reader *reader;
    struct tar_writer *writer;
    struct entry_policy policy;
    struct sections sections;
    struct bulk bulk;
    struct signature signature;
    bool is_signed;          /* the next archive has to have that signature */
    struct section *section; /* of the entry in hand */
    struct failure *failure; /* of the running pass */
};

static int lost_supervisor(struct failure *failure)
{
    return fail_with(failure, EXIT_INTERNAL, "the supervisor does not take messages any more");
}

/* TELL(failure, channel, name, fields...): 0, or -1 with the failure. */
#define TELL(failure, channel, name, ...) (SEND((channel), name, __VA_ARGS__) == IPC_OK ? 0 : lost_supervisor(failure))

static int lost_bulk(struct failure *failure)
{
    return fail_with(failure, EXIT_INTERNAL, "writing to the bulk pipe: %s", strerror(errno));
}

/* What is made of the section in hand goes out on its stream; what nobody wants, nowhere. */
static int put_bulk(void *context, const void *data, size_t size)
{
    struct unpacker *unpacker = context;
    const struct want *want = unpacker->section->want;
    if (want == NULL) {
        return 0;
    }
    if (unpacker->digests) {
        SHA256_Update(&unpacker->section->hash, data, size);
    }
    return bulk_put(&unpacker->bulk, want->stream, data, size) == 0 ? 0 : lost_bulk(unpacker->failure);
}

struct unpacker *unpacker_new(struct channel *channel, const struct unpack_limits *limits, int data_in, int data_out)
{
    struct unpacker *unpacker = calloc(1, sizeof *unpacker);
    if (unpacker == NULL) {
        return NULL;
    }
    unpacker->channel = channel;
    unpacker->data_in = data_in;
    unpacker->max_bytes = limits->max_bytes;
    unpacker->policy.max_entries = limits->max_entries;
    unpacker->policy.max_bytes = limits->max_bytes;
    unpacker->policy.restore_devices = limits->restore_devices;
    unpacker->policy.names = name_set_new(limits->max_entries);
    unpacker->reader = reader_new(limits->window_log_max);
    unpacker->writer = tar_writer_new((struct tar_sink){put_bulk, unpacker});
    bulk_init(&unpacker->bulk, data_out);
    if (unpacker->policy.names == NULL || unpacker->reader == NULL || unpacker->writer == NULL) {
        unpacker_free(unpacker);
        return NULL;
    }
    return unpacker;
}

void unpacker_free(struct unpacker *unpacker)
{
    if (unpacker == NULL) {
        return;
    }
    tar_writer_free(unpacker->writer);
    reader_free(unpacker->reader);
    name_set_free(unpacker->policy.names);
    free(unpacker);
}

int unpacker_take_identities(struct unpacker *unpacker, char *text, size_t size, struct failure *failure)
{
    unsigned line = 0;
    const char *refusal = age_take_identities(reader_age(unpacker->reader), text, size, &line);
    return refusal == NULL ? 0 : fail_with(failure, EXIT_USAGE, "AGE_IDENTITY_FILE, line %u: %s", line, refusal);
}

int unpacker_expect_signature(struct unpacker *unpacker, const struct msg_signature *message, struct failure *failure)
{
    const char *refusal = signature_take_key(&unpacker->signature, message->public_key.data);
    if (refusal != NULL) {
        return fail_with(failure, EXIT_USAGE, "MINISIGN_PUBLIC_KEY: %s", refusal);
    }
    refusal = signature_take_file(&unpacker->signature, message->file.data, message->file.size);
    if (refusal != NULL) {
        return fail_integrity(failure, "%s", refusal);
    }
    unpacker->is_signed = true;
    reader_want_blake2b(unpacker->reader);
    return 0;
}

int unpacker_want(struct unpacker *unpacker, const struct msg_want *want)
{
    return sections_want(&unpacker->sections, want);
}

static int tell_progress(void *context, struct failure *failure)
{
    struct unpacker *unpacker = context;
    uint64_t bytes_in = reader_bytes_in(unpacker->reader);
    uint64_t bytes_out = reader_bytes_out(unpacker->reader);
    if (bytes_out > unpacker->max_bytes) {
        return fail_integrity(failure, "it unpacks to more than the %llu bytes allowed",
                              (unsigned long long)unpacker->max_bytes);
    }
    if (bytes_in - unpacker->told < PROGRESS_BYTES) {
        return 0;
    }
    unpacker->told = bytes_in;
    return TELL(failure, unpacker->channel, unpacking, .bytes_in = bytes_in, .bytes_out = bytes_out,
                .entries = unpacker->policy.entries);
}

static struct entry_facts facts_of(struct archive_entry *entry)
{
    const char *path = archive_entry_pathname(entry);
    int64_t size = archive_entry_size(entry);
    return (struct entry_facts){
        .path = path == NULL ? "" : path,
        .hardlink = archive_entry_hardlink(entry),
        .symlink = archive_entry_symlink(entry),
        .type = archive_entry_filetype(entry),
        .size = size < 0 ? UINT64_MAX : (uint64_t)size,
        .uid = archive_entry_uid(entry),
        .gid = archive_entry_gid(entry),
    };
}

static uint64_t stream_of(const struct section *section)
{
    return section->want == NULL ? 0 : section->want->stream;
}

/* The section of the entry in hand; at its first entry the supervisor hears of it. */
static int enter_section(struct unpacker *unpacker, const struct entry_ruling *ruling)
{
    bool is_new = false;
    struct section *section = sections_find(&unpacker->sections, ruling->kind, ruling->service, ruling->name, &is_new);
    if (section == NULL) {
        return fail_integrity(unpacker->failure, "it has more than %d volumes and dumps", MAX_SECTIONS);
    }
    unpacker->section = section;
    if (!is_new) {
        return 0;
    }
    return TELL(unpacker->failure, unpacker->channel, section, .wanted = section->want != NULL,
                .stream = stream_of(section), .kind = section->kind, .service = text_of(section->service),
                .name = text_of(section->name));
}

static int warn_of_attributes(struct unpacker *unpacker, unsigned dropped, const char *path)
{
    struct section *section = unpacker->section;
    if (dropped == 0 || section->warned) {
        return 0;
    }
    section->warned = true;
    char text[SHOWN_SIZE];
    enum ipc_result result =
        channel_warn(unpacker->channel,
                     "Volume '%s' of service '%s' has attributes that are not restored (capabilities, trusted.*, "
                     "security labels, NFSv4 ACLs), first at '%s'",
                     section->name, section->service, shown(text, path));
    return result == IPC_OK ? 0 : lost_supervisor(unpacker->failure);
}

static int fail_writing(const struct unpacker *unpacker)
{
    return fail_with(unpacker->failure, EXIT_INTERNAL, "making the clean tar: %s", tar_writer_error(unpacker->writer));
}

static int copy_contents(struct unpacker *unpacker, struct untar *untar)
{
    const void *data = NULL;
    size_t size = 0;
    int64_t offset = 0;
    int more = 0;
    while ((more = untar_data(untar, &data, &size, &offset)) > 0) {
        if (tar_writer_data(unpacker->writer, data, size, offset) != 0) {
            return fail_writing(unpacker);
        }
    }
    return more;
}

/* Of a volume that nobody wants, libarchive skips the contents: they were decompressed and so verified. */
static int unpack_volume_entry(struct unpacker *unpacker, struct untar *untar, struct archive_entry *entry,
                               const struct entry_facts *facts, const struct entry_ruling *ruling)
{
    struct section *section = unpacker->section;
    bool contents = facts->hardlink == NULL && S_ISREG(facts->type);
    section->entries += ruling->inside[0] == '\0' ? 0 : 1;
    section->bytes += contents ? facts->size : 0;
    if (section->want == NULL) {
        return 0;
    }
    unsigned dropped = 0;
    if (tar_writer_begin(unpacker->writer, entry, ruling, &dropped) != 0) {
        return fail_writing(unpacker);
    }
    if (warn_of_attributes(unpacker, dropped, facts->path) != 0 || (contents && copy_contents(unpacker, untar) != 0)) {
        return -1;
    }
    return tar_writer_end(unpacker->writer) == 0 ? 0 : fail_writing(unpacker);
}

static int take_sql(void *context, const void *data, size_t size)
{
    struct unpacker *unpacker = context;
    unpacker->section->bytes += size;
    return put_bulk(context, data, size);
}

static int take_database(void *context, const char *name)
{
    struct unpacker *unpacker = context;
    if (unpacker->section->want == NULL) {
        return 0;
    }
    return TELL(unpacker->failure, unpacker->channel, dump_database, .stream = stream_of(unpacker->section),
                .name = text_of(name));
}

static int take_role(void *context, const char *name)
{
    struct unpacker *unpacker = context;
    if (unpacker->section->want == NULL) {
        return 0;
    }
    return TELL(unpacker->failure, unpacker->channel, dump_role, .stream = stream_of(unpacker->section),
                .name = text_of(name));
}

static int take_version(void *context, const char *version)
{
    struct unpacker *unpacker = context;
    if (unpacker->section->want == NULL) {
        return 0;
    }
    return TELL(unpacker->failure, unpacker->channel, dump_version, .stream = stream_of(unpacker->section),
                .version = text_of(version));
}

static void cleanup_lexer(struct sql_lexer **lexer)
{
    sql_lexer_free(*lexer);
}

static int refuse_dump(const struct unpacker *unpacker, const struct sql_lexer *lexer, const char *path)
{
    char text[SHOWN_SIZE];
    return fail_integrity(unpacker->failure, "dump '%s': %s", shown(text, path), sql_lexer_error(lexer));
}

static int unpack_dump(struct unpacker *unpacker, struct untar *untar, const char *path)
{
    const struct section *section = unpacker->section;
    const struct sql_sink sink = {take_sql, take_database, take_role, take_version, unpacker};
    struct sql_lexer *lexer __attribute__((cleanup(cleanup_lexer))) =
        sql_lexer_new(section->kind, section->want == NULL ? "" : section->want->login, &sink);
    if (lexer == NULL) {
        return fail_with(unpacker->failure, EXIT_INTERNAL, "no memory for reading a dump");
    }
    unpacker->section->entries = 1;
    const void *data = NULL;
    size_t size = 0;
    int64_t offset = 0;
    int more = 0;
    while ((more = untar_data(untar, &data, &size, &offset)) > 0) {
        if (sql_lexer_feed(lexer, data, size) != 0) {
            return refuse_dump(unpacker, lexer, path);
        }
    }
    if (more < 0) {
        return -1;
    }
    return sql_lexer_end(lexer) == 0 ? 0 : refuse_dump(unpacker, lexer, path);
}

static int unpack_entry(struct unpacker *unpacker, struct untar *untar, struct archive_entry *entry)
{
    const struct entry_facts facts = facts_of(entry);
    struct entry_ruling ruling;
    if (entry_policy_judge(&unpacker->policy, &facts, &ruling, unpacker->failure) != 0) {
        return -1;
    }
    if (ruling.place == PLACE_ABOVE) {
        return 0;
    }
    if (ruling.place == PLACE_DUMP_ERRORS) {
        return TELL(unpacker->failure, unpacker->channel, dump_errors, .path = text_of(unpacker->policy.path));
    }
    if (enter_section(unpacker, &ruling) != 0) {
        return -1;
    }
    if (ruling.skip) {
        return TELL(unpacker->failure, unpacker->channel, skipped, .path = text_of(unpacker->policy.path),
                    .reason = text_of(ruling.reason));
    }
    if (ruling.place == PLACE_DUMP) {
        return unpack_dump(unpacker, untar, facts.path);
    }
    return unpack_volume_entry(unpacker, untar, entry, &facts, &ruling);
}

static void cleanup_untar(struct untar **untar)
{
    untar_free(*untar);
}

/* The whole archive, up to the proof that it is sound. */
static int unpack_all(struct unpacker *unpacker)
{
    const struct untar_watch watch = {tell_progress, unpacker};
    struct untar *untar __attribute__((cleanup(cleanup_untar))) = untar_new(unpacker->reader, watch, unpacker->failure);
    if (untar == NULL) {
        return -1;
    }
    struct archive_entry *entry = NULL;
    int more = 0;
    while ((more = untar_next(untar, &entry)) > 0) {
        if (unpack_entry(unpacker, untar, entry) != 0) {
            return -1;
        }
    }
    return more < 0 ? -1 : untar_finish(untar);
}

/* Asks the supervisor for the key of a passphrase. */
static int ask_for_key(void *context, const uint8_t salt[AGE_SALT_SIZE], unsigned work_factor,
                       uint8_t key[AGE_KEY_SIZE], struct failure *failure)
{
    struct unpacker *unpacker = context;
    struct frame frame;
    struct msg_passphrase_key answer;
    if (TELL(failure, unpacker->channel, passphrase_wanted, .salt = {(const char *)salt, AGE_SALT_SIZE},
             .work_factor = work_factor) != 0) {
        return -1;
    }
    if (channel_receive(unpacker->channel, &frame) != IPC_OK ||
        channel_decode(unpacker->channel, &frame, MESSAGE_passphrase_key, &answer) != IPC_OK ||
        answer.key.size != AGE_KEY_SIZE) {
        return fail_with(failure, EXIT_WORKER, "the supervisor answers with another message than a key");
    }
    memcpy(key, answer.key.data, AGE_KEY_SIZE);
    channel_wipe(unpacker->channel);
    return 0;
}

static int check_digest(struct unpacker *unpacker, const struct msg_unpack *unpack, char digest[SHA256_HEX_SIZE])
{
    if (reader_digest(unpacker->reader, digest) != 0) {
        return fail_with(unpacker->failure, EXIT_INTERNAL, "libcrypto cannot compute SHA-256");
    }
    if (unpack->sha256.size != 0 && strcasecmp(unpack->sha256.data, digest) != 0) {
        return fail_integrity(unpacker->failure, "its SHA-256 is %s, expected was %s", digest, unpack->sha256.data);
    }
    return 0;
}

static int check_signature(struct unpacker *unpacker, const char *sha256)
{
    uint8_t blake2b[BLAKE2B_SIZE];
    if (!unpacker->is_signed) {
        return 0;
    }
    unpacker->is_signed = false;
    if (reader_blake2b(unpacker->reader, blake2b) != 0) {
        return fail_with(unpacker->failure, EXIT_INTERNAL, "libcrypto cannot compute BLAKE2b");
    }
    const char *refusal = signature_check(&unpacker->signature, sha256, blake2b);
    if (refusal != NULL) {
        return fail_integrity(unpacker->failure, "%s", refusal);
    }
    return TELL(unpacker->failure, unpacker->channel, signed_by, .key_id = text_of(unpacker->signature.key_id),
                .comment = text_of(unpacker->signature.comment));
}

static int end_streams(struct unpacker *unpacker)
{
    for (size_t i = 0; i < unpacker->sections.count; i++) {
        unpacker->section = &unpacker->sections.found[i];
        const struct want *want = unpacker->section->want;
        if (want == NULL) {
            continue;
        }
        if (want->kind == SECTION_VOLUME && tar_writer_trailer(unpacker->writer) != 0) {
            return -1;
        }
        if (bulk_end_stream(&unpacker->bulk, want->stream) != 0) {
            return lost_bulk(unpacker->failure);
        }
    }
    return bulk_end(&unpacker->bulk) == 0 ? 0 : lost_bulk(unpacker->failure);
}

/* In hexadecimal, or empty where it was not asked for. */
static void section_digest(const struct unpacker *unpacker, struct section *section, char hex[SHA256_HEX_SIZE])
{
    uint8_t digest[SHA256_DIGEST_LENGTH];
    hex[0] = '\0';
    if (!unpacker->digests || section->want == NULL || SHA256_Final(digest, &section->hash) != 1) {
        return;
    }
    for (size_t i = 0; i < sizeof digest; i++) {
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    }
}

static int tell_totals(struct unpacker *unpacker, const char *digest)
{
    if (heap_was_short()) {
        return fail_with(unpacker->failure, EXIT_INTERNAL, "memory ran out while the archive was read");
    }
    for (size_t i = 0; i < unpacker->sections.count; i++) {
        struct section *section = &unpacker->sections.found[i];
        char sha256[SHA256_HEX_SIZE];
        section_digest(unpacker, section, sha256);
        if (TELL(unpacker->failure, unpacker->channel, section_total, .wanted = section->want != NULL,
                 .stream = stream_of(section), .kind = section->kind, .service = text_of(section->service),
                 .name = text_of(section->name), .entries = section->entries, .bytes = section->bytes,
                 .sha256 = text_of(sha256)) != 0) {
            return -1;
        }
    }
    return TELL(unpacker->failure, unpacker->channel, unpacked, .sha256 = text_of(digest),
                .frames = reader_frames(unpacker->reader), .bytes_out = reader_bytes_out(unpacker->reader),
                .entries = unpacker->policy.entries);
}

int unpacker_run(struct unpacker *unpacker, const struct msg_unpack *unpack, struct failure *failure)
{
    *failure = (struct failure){0};
    char expected[SHA256_HEX_SIZE]; /* the message lies in the channel's buffer */
    char digest[SHA256_HEX_SIZE];
    memcpy(expected, unpack->sha256.data, unpack->sha256.size + 1);
    struct msg_unpack kept = *unpack;
    kept.sha256.data = expected;
    const struct age_stretcher stretcher = {ask_for_key, unpacker};
    unpacker->failure = failure;
    unpacker->digests = unpack->digests != 0;
    unpacker->told = 0;
    entry_policy_start(&unpacker->policy);
    if (reader_start(unpacker->reader, unpacker->data_in, &kept, &stretcher, failure) != 0 ||
        unpack_all(unpacker) != 0 || check_digest(unpacker, &kept, digest) != 0 ||
        check_signature(unpacker, digest) != 0 || end_streams(unpacker) != 0 || tell_totals(unpacker, digest) != 0) {
        return -1;
    }
    sections_clear(&unpacker->sections);
    return 0;
}
