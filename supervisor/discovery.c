/* Phase 2: list the backups in S3, select one, and look at the object. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "audit.h"
#include "backup_name.h"
#include "fetcher.h"
#include "monitor.h"
#include "output.h"
#include "phases.h"

#define DAY 86400
#define LIST_BYTES_MOST (48U << 20) /* more than 100000 backups of one project */

struct backup_list {
    struct backup *items;
    size_t count;
    size_t room;
    size_t bytes; /* of all that it holds */
};

/* The part of a key behind the configured prefix, or NULL. */
static const char *name_of_key(const struct run *run, const char *key)
{
    size_t prefix = strlen(run->prefix);
    if (prefix == 0) {
        return key;
    }
    return strncmp(key, run->prefix, prefix) == 0 && key[prefix] == '/' ? key + prefix + 1 : NULL;
}

static int keep_backup(struct run *run, struct backup_list *list, const struct msg_object *object)
{
    struct backup_name parsed;
    const char *name = name_of_key(run, object->key.data);
    if (name == NULL || !backup_name_is_of(name, run->options.project_name, &parsed)) {
        return 0;
    }
    list->bytes += sizeof *list->items + object->key.size + strlen(name) + object->etag.size;
    if (list->bytes > LIST_BYTES_MOST) {
        return monitor_violation(run, PROCESS_FETCHER, "a list without end");
    }
    bool too_new = run->before[0] != '\0' && strcmp(parsed.stamp, run->before) >= 0;
    if (too_new && run->options.backup_file == NULL) {
        return 0;
    }
    if (list->count == list->room) {
        size_t room = list->room == 0 ? 64 : list->room * 2;
        struct backup *items = reallocarray(list->items, room, sizeof *items);
        if (items == NULL) {
            return run_fail(run, EXIT_INTERNAL, "Out of memory while listing backups");
        }
        list->items = items;
        list->room = room;
    }
    struct backup *backup = &list->items[list->count++];
    *backup = (struct backup){.key = copy_text(object->key),
                              .size = object->size,
                              .modified = object->modified,
                              .etag = copy_text(object->etag),
                              .version_id = copy_text(object->version_id)};
    backup->name = strdup(name);
    memcpy(backup->stamp, parsed.stamp, sizeof backup->stamp);
    backup->format = parsed.format;
    backup->encryption = parsed.encryption;
    return 0;
}

static int newest_first(const void *left, const void *right)
{
    const struct backup *a = left;
    const struct backup *b = right;
    int order = strcmp(b->stamp, a->stamp);
    if (order != 0) {
        return order;
    }
    if (a->modified != b->modified) {
        return a->modified < b->modified ? 1 : -1;
    }
    return strcmp(a->name, b->name);
}

static int list_backups(struct run *run, struct backup_list *list)
{
    if (TELL(run, PROCESS_FETCHER, list, .project = text_of(run->options.project_name), .as_of = run->as_of) != 0) {
        return -1;
    }
    for (;;) {
        enum process from;
        struct frame frame;
        if (monitor_next(run, fetcher_patience(run), &from, &frame) != 0) {
            return -1;
        }
        switch (frame.type) {
        case MESSAGE_object: {
            struct msg_object object;
            if (monitor_decode(run, from, &frame, &object) != 0 || keep_backup(run, list, &object) != 0) {
                return -1;
            }
            break;
        }
        case MESSAGE_redirected:
            list->count = 0;
            if (fetcher_follow(run, from, &frame) != 0 ||
                TELL(run, PROCESS_FETCHER, list, .project = text_of(run->options.project_name), .as_of = run->as_of) !=
                    0) {
                return -1;
            }
            break;
        case MESSAGE_list_end:
            if (list->count > 1) {
                qsort(list->items, list->count, sizeof *list->items, newest_first);
            }
            return 0;
        default:
            return monitor_violation(run, from, "another message than those of a list");
        }
    }
}

static int no_backups(struct run *run)
{
    const char *before = run->options.backup_before;
    return run_fail(run, EXIT_NO_BACKUP, "No backups found for project '%s' in S3 bucket%s%s",
                    run->options.project_name, before == NULL ? "" : " before ", before == NULL ? "" : before);
}

static void print_list(const struct run *run, const struct backup_list *list)
{
    output_result("Available backups of project '%s', newest first:\n", run->options.project_name);
    for (size_t i = 0; i < list->count; i++) {
        const struct backup *backup = &list->items[i];
        const char *at = backup->stamp;
        output_result("%.4s-%.2s-%.2s %.2s:%.2s:%.2s  %10s  %s\n", at, at + 4, at + 6, at + 9, at + 11, at + 13,
                      human_bytes(backup->size), backup->name);
    }
    output_result("%zu backups\n", list->count);
}

static void print_list_json(const struct backup_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct backup *backup = &list->items[i];
        /* names hold nothing that JSON escapes: backup_name_parse() and the project's own characters see to it */
        output_result("{\"name\":\"%s\",\"timestamp\":\"%s\",\"size\":%llu,\"modified\":%llu}\n", backup->name,
                      backup->stamp, (unsigned long long)backup->size, (unsigned long long)backup->modified);
    }
}

/* The timestamp in the name decides; an object that S3 got more than a day later is worth a word. */
static void warn_about_order(const struct backup_list *list)
{
    const struct backup *chosen = &list->items[0];
    for (size_t i = 1; i < list->count; i++) {
        if (list->items[i].modified > chosen->modified + DAY) {
            say_warning("'%s' is the newest by its name, but '%s' was uploaded more than a day after it", chosen->name,
                        list->items[i].name);
            return;
        }
    }
}

/* BACKUP_FILE, checked against project and list. Not a pattern: compared as it is. */
static int find_named(struct run *run, const struct backup_list *list, struct backup *found)
{
    const char *wanted = run->options.backup_file;
    struct backup_name parsed;
    const char *slash = strrchr(wanted, '/');
    const char *name = slash == NULL ? wanted : slash + 1;
    if (!backup_name_parse(name, &parsed)) {
        return run_fail(
            run, EXIT_USAGE,
            "BACKUP_FILE: '%s' is not a backup's name (backup_PROJECT_YYYYMMDD-HHMMSS_ID.tar.zst, or .tar.gz, "
            ".tar.xz, .tar)",
            wanted);
    }
    if (!backup_name_is_of(name, run->options.project_name, &parsed)) {
        return run_fail(run, EXIT_USAGE, "BACKUP_FILE: '%s' is a backup of project '%.*s', not of '%s'", name,
                        (int)parsed.project_size, parsed.project, run->options.project_name);
    }
    for (size_t i = 0; i < list->count; i++) {
        if (strcmp(list->items[i].name, name) == 0) {
            *found = list->items[i];
            return 0;
        }
    }
    return run_fail(run, EXIT_NO_BACKUP, "Backup '%s' not found in S3 bucket. RESTORE_MODE=list shows what is there",
                    name);
}

/* What is listed but cannot be restored. */
static int check_encryption(struct run *run)
{
    const char *name = run->backup.name;
    if (run->backup.encryption == ENCRYPTION_GPG) {
        return run_fail(run, EXIT_USAGE,
                        "Backup '%s' is encrypted with GnuPG, which is not decrypted here. Decrypt it (gpg --decrypt) "
                        "and store the result beside it without .gpg, then restore that with BACKUP_FILE",
                        name);
    }
    const struct options *options = &run->options;
    if (run->backup.encryption == ENCRYPTION_AGE && options->age_identity_file == NULL &&
        options->age_passphrase_file == NULL) {
        return run_fail(run, EXIT_USAGE,
                        "Backup '%s' is encrypted with age: set AGE_IDENTITY_FILE to the file of its identity, or "
                        "AGE_PASSPHRASE_FILE to that of its passphrase",
                        name);
    }
    return 0;
}

static int look_at_object(struct run *run)
{
    struct msg_object_info info;
    struct backup *backup = &run->backup;
    if (TELL(run, PROCESS_FETCHER, head, .key = text_of(backup->key), .version_id = text_of(backup->version_id)) != 0 ||
        EXPECT(run, object_info, fetcher_patience(run), &info) != 0) {
        return -1;
    }
    if (info.exists == 0) {
        return run_fail(run, EXIT_NO_BACKUP, "Backup '%s' is no longer in S3 bucket", backup->name);
    }
    bool archived =
        strncmp(info.storage_class.data, "GLACIER", 7) == 0 || strcmp(info.storage_class.data, "DEEP_ARCHIVE") == 0;
    bool available = strcmp(info.storage_class.data, "GLACIER_IR") == 0 ||
                     strstr(info.restore.data, "ongoing-request=\"false\"") != NULL;
    if (archived && !available) {
        return run_fail(run, EXIT_STORAGE,
                        "Backup '%s' is archived (%s). Make it available first: aws s3api restore-object --bucket %s "
                        "--key %s --restore-request Days=2",
                        backup->name, info.storage_class.data, run->bucket, backup->key);
    }
    backup->size = info.size;
    backup->etag = copy_text(info.etag);
    if (info.version_id.size > 0) {
        backup->version_id = copy_text(info.version_id);
    }
    return 0;
}

/* Where signatures are required, a backup without one is refused before anything of it is read. */
static int fetch_signature(struct run *run)
{
    struct backup *backup = &run->backup;
    struct msg_object_bytes object;
    char key[1200];
    if (run->minisign_key[0] == '\0') {
        return 0;
    }
    snprintf(key, sizeof key, "%s.minisig", backup->key);
    if (TELL(run, PROCESS_FETCHER, read_object, .key = text_of(key)) != 0 ||
        EXPECT(run, object_bytes, fetcher_patience(run), &object) != 0) {
        return -1;
    }
    if (object.exists == 0) {
        return run_fail(run, EXIT_INTEGRITY,
                        "Archive integrity check failed: backup '%s' has no signature beside it (%s.minisig), which "
                        "MINISIGN_PUBLIC_KEY requires",
                        backup->name, backup->name);
    }
    backup->signature = malloc(object.bytes.size + 1);
    if (backup->signature == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    memcpy(backup->signature, object.bytes.data, object.bytes.size);
    backup->signature_size = object.bytes.size;
    return 0;
}

int phase_discovery(struct run *run)
{
    struct backup_list list = {0};
    const struct options *options = &run->options;
    int listed = list_backups(run, &list);
    options_wipe_secrets(&run->options); /* the bucket answered, so no other fetcher is started */
    if (listed != 0) {
        return -1;
    }
    if (list.count == 0 && options->backup_file == NULL) {
        return no_backups(run);
    }
    if (options->mode == MODE_LIST && options->backup_file == NULL) {
        options->log_format == LOG_JSON ? print_list_json(&list) : print_list(run, &list);
        return 0;
    }
    if (options->backup_file != NULL) {
        if (find_named(run, &list, &run->backup) != 0) {
            return -1;
        }
    } else {
        warn_about_order(&list);
        run->backup = list.items[0];
    }
    if (check_encryption(run) != 0 || look_at_object(run) != 0 || fetch_signature(run) != 0) {
        return -1;
    }
    audit_source(run);
    say("Selected backup: %s (%s)", run->backup.name, human_bytes(run->backup.size));
    return 0;
}
