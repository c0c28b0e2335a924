/* The chain of an audit log: finding its end, adding to it. */
#include "audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "canonical.h"
#include "cleanup.h"
#include "io.h"

#define TAIL_MAX (8U * 1024 * 1024) /* a record is far shorter, a plan of a thousand containers included */
#define TORN_MAX (1024U * 1024)     /* of lines that could not be written whole, before giving up */

static int fail(char *error, size_t size, const char *path, const char *what)
{
    snprintf(error, size, "AUDIT_LOG: '%s' %s", path, what);
    return -1;
}

const char *audit_text(const cJSON *record, const char *member)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, member));
    return text == NULL ? "" : text;
}

bool audit_is_record(const cJSON *record, uint64_t *seq)
{
    const cJSON *number = cJSON_GetObjectItemCaseSensitive(record, "seq");
    if (!cJSON_IsNumber(number) || number->valuedouble < 1 || strlen(audit_text(record, "prev")) != 64 ||
        audit_text(record, "event")[0] == '\0' || audit_text(record, "run")[0] == '\0') {
        return false;
    }
    *seq = (uint64_t)number->valuedouble;
    return true;
}

static bool take_record(struct audit_log *log, const char *line, size_t size)
{
    cJSON *record = canonical_parse(line, size);
    bool taken = record != NULL && audit_is_record(record, &log->seq) && sha256_hex(line, size, log->head) == 0;
    cJSON_Delete(record);
    return taken;
}

/* The start of the line that ends at `end`. */
static size_t line_start(const char *text, size_t end)
{
    while (end > 0 && text[end - 1] != '\n') {
        end--;
    }
    return end;
}

/*
 * The last record in the file's tail. What is not ended by a line feed is torn, and so are lines before it that are no
 * records: a record of a torn line can be torn itself. Everything else that is no record is not ours.
 */
static int find_end(struct audit_log *log, const char *tail, size_t size, bool whole_file)
{
    size_t end = size;
    bool torn = size > 0 && tail[size - 1] != '\n';
    if (torn) {
        end = line_start(tail, size);
    }
    while (end > 0) {
        size_t start = line_start(tail, end - 1);
        if (start == 0 && !whole_file) {
            return -1;
        }
        if (take_record(log, tail + start, end - 1 - start)) {
            break;
        }
        if (!torn) {
            return -1;
        }
        end = start;
    }
    if (end == 0 && !whole_file) {
        return -1;
    }
    if (!torn) {
        return 0;
    }
    log->torn_size = size - end;
    log->torn = malloc(log->torn_size);
    if (log->torn == NULL) {
        return -1;
    }
    memcpy(log->torn, tail + end, log->torn_size);
    return 0;
}

static int read_end(struct audit_log *log, const char *path, char *error, size_t error_size)
{
    off_t size = lseek(log->fd, 0, SEEK_END);
    size_t wanted = size < (off_t)TAIL_MAX ? (size_t)size : TAIL_MAX;
    cleanup_free char *tail = malloc(wanted + 1);
    if (size < 0 || tail == NULL || lseek(log->fd, size - (off_t)wanted, SEEK_SET) < 0 ||
        read_full(log->fd, tail, wanted) != (ssize_t)wanted) {
        return fail(error, error_size, path, "cannot be read");
    }
    memcpy(log->head, AUDIT_PREV_OF_FIRST, sizeof log->head);
    if (find_end(log, tail, wanted, (off_t)wanted == size) != 0) {
        return fail(error, error_size, path,
                    "does not end in a record of an audit log: it is another file, or was changed. "
                    "restore audit verify shows where");
    }
    return 0;
}

/* The name of a new file is on disk as well. */
static void sync_directory(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    cleanup_close int directory = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory >= 0) {
        fsync(directory); /* a file system that cannot is none of the record's concern */
    }
}

int audit_log_open(struct audit_log *log, const char *path, char *error, size_t error_size)
{
    struct stat status;
    *log = (struct audit_log){.fd = -1};
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0600);
    if (fd < 0) {
        snprintf(error, error_size, "AUDIT_LOG: cannot open '%s': %s", path,
                 errno == ELOOP ? "it is a symbolic link" : strerror(errno));
        return -1;
    }
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        close(fd);
        return fail(error, error_size, path, "is no regular file");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int cause = errno;
        close(fd);
        return cause == EWOULDBLOCK ? 1 : fail(error, error_size, path, "cannot be locked");
    }
    log->fd = fd;
    if (read_end(log, path, error, error_size) != 0) {
        close(fd);
        log->fd = -1;
        return -1;
    }
    sync_directory(path);
    return 0;
}

/* What was written of a line that did not fit is behind the last record, and the next one says so. Where that cannot
 * be remembered, nothing more is written: it would not chain. */
static void keep_torn(struct audit_log *log, const char *part, size_t size)
{
    if (size == 0) {
        return;
    }
    char *torn = log->torn_size + size > TORN_MAX ? NULL : realloc(log->torn, log->torn_size + size);
    if (torn == NULL) {
        log->fd = -1;
        return;
    }
    memcpy(torn + log->torn_size, part, size);
    log->torn = torn;
    log->torn_size += size;
}

static int write_line(struct audit_log *log, const char *line, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t put = write(log->fd, line + done, size - done);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            log->error = put == 0 ? EIO : errno;
            keep_torn(log, line, done);
            return -1;
        }
        done += (size_t)put;
    }
    return 0;
}

/* `lead`: what goes before the line, so that both are one write. */
static int append_line(struct audit_log *log, const char *lead, uint64_t seq, const char *prev, cJSON *record)
{
    cJSON_DeleteItemFromObjectCaseSensitive(record, "seq");
    cJSON_DeleteItemFromObjectCaseSensitive(record, "prev");
    cJSON_AddNumberToObject(record, "seq", (double)seq);
    cJSON_AddStringToObject(record, "prev", prev);
    cleanup_free char *text = canonical_json(record);
    size_t before = strlen(lead);
    size_t size = text == NULL ? 0 : strlen(text);
    cleanup_free char *line = malloc(before + size + 2);
    char head[SHA256_HEX_SIZE];
    if (text == NULL || line == NULL || sha256_hex(text, size, head) != 0) {
        log->error = ENOMEM;
        return -1;
    }
    memcpy(line, lead, before);
    memcpy(line + before, text, size);
    line[before + size] = '\n';
    if (write_line(log, line, before + size + 1) != 0) {
        return -1;
    }
    log->seq = seq;
    memcpy(log->head, head, sizeof head);
    return 0;
}

/* Ends the torn line and says what it was. */
static int append_torn(struct audit_log *log, void (*stamp)(cJSON *record, void *context), void *context)
{
    char sha256[SHA256_HEX_SIZE];
    char prev[SHA256_HEX_SIZE];
    uint64_t lines = 1;
    for (size_t i = 0; i < log->torn_size; i++) {
        lines += log->torn[i] == '\n' ? 1 : 0;
    }
    size_t last = line_start(log->torn, log->torn_size);
    if (sha256_hex(log->torn, log->torn_size, sha256) != 0 ||
        sha256_hex(log->torn + last, log->torn_size - last, prev) != 0) {
        log->error = ENOMEM;
        return -1;
    }
    cJSON *record = cJSON_CreateObject();
    cJSON_AddStringToObject(record, "event", "torn");
    cJSON_AddNumberToObject(record, "torn_from", (double)(log->seq + 1));
    cJSON_AddNumberToObject(record, "torn_bytes", (double)log->torn_size);
    cJSON_AddStringToObject(record, "torn_sha256", sha256);
    cJSON_AddStringToObject(record, "torn_prev", log->head);
    stamp(record, context);
    int result = append_line(log, "\n", log->seq + lines + 1, prev, record);
    cJSON_Delete(record);
    if (result == 0) {
        free(log->torn);
        log->torn = NULL;
        log->torn_size = 0;
    }
    return result;
}

int audit_log_append(struct audit_log *log, cJSON *record, bool sync, void (*stamp)(cJSON *record, void *context),
                     void *context)
{
    log->error = 0;
    stamp(record, context);
    if (log->torn_size > 0 && append_torn(log, stamp, context) != 0) {
        return -1;
    }
    char prev[SHA256_HEX_SIZE];
    memcpy(prev, log->head, sizeof prev);
    if (append_line(log, "", log->seq + 1, prev, record) != 0) {
        return -1;
    }
    if (sync && fdatasync(log->fd) != 0) {
        log->error = errno;
        return -1;
    }
    return 0;
}
