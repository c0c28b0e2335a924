/* The journal of a run: append-only batches of checked records. */
#include "journal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "tree.h"

#define CHECKSUM_DIGITS 16
#define JOURNAL_SIZE_MAX (64U << 20) /* 1024 areas and their mount points need far less */

static uint64_t checksum(const char *bytes, size_t size)
{
    uint64_t sum = 0xcbf29ce484222325ULL;
    for (size_t i = 0; i < size; i++) {
        sum = (sum ^ (unsigned char)bytes[i]) * 0x100000001b3ULL;
    }
    return sum;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static bool decode_word(char *word)
{
    char *out = word;
    if (strcmp(word, "%") == 0) {
        *word = '\0';
        return true;
    }
    for (; *word != '\0'; word++) {
        if (*word != '%') {
            *out++ = *word;
            continue;
        }
        int high = hex_digit(word[1]);
        int low = high < 0 ? -1 : hex_digit(word[2]);
        if (low < 0) {
            return false;
        }
        *out++ = (char)(high << 4 | low);
        word += 2;
    }
    *out = '\0';
    return true;
}

/* Checks a line (without its end) and reads its batch. Returns the words' start, or NULL. */
static char *check_line(char *line, size_t size, uint64_t *batch)
{
    if (size < CHECKSUM_DIGITS + 4 || line[CHECKSUM_DIGITS] != ' ' || memchr(line, 0, size) != NULL) {
        return NULL;
    }
    char digits[CHECKSUM_DIGITS + 1];
    const char *text = line + CHECKSUM_DIGITS + 1;
    snprintf(digits, sizeof digits, "%016" PRIx64, checksum(text, size - CHECKSUM_DIGITS - 1));
    if (memcmp(digits, line, CHECKSUM_DIGITS) != 0) {
        return NULL;
    }
    char *end;
    *batch = strtoull(text, &end, 10);
    return *end == ' ' ? end + 1 : NULL;
}

static int hand_over(char *text, journal_reader reader, void *context)
{
    char *words[JOURNAL_WORDS_MAX];
    size_t count = 0;
    char *rest = NULL;
    for (char *word = strtok_r(text, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest)) {
        if (count == JOURNAL_WORDS_MAX || !decode_word(word)) {
            return -2;
        }
        words[count++] = word;
    }
    return count > 0 && reader(context, words, count) == 0 ? 0 : -2;
}

/* A batch is ended by the start of the next or by its record `end`: only then was it written whole. */
struct scan {
    size_t sound;   /* bytes up to the end of the last whole batch */
    uint64_t batch; /* its number */
};

static char *next_line(char *at, const char *end, size_t *size)
{
    char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
    *size = newline == NULL ? 0 : (size_t)(newline - at);
    return newline;
}

/* Finds how far the batches are whole. Returns 0, or -2 where a later batch lies behind a damaged record. */
static int scan_batches(char *text, size_t size, struct scan *scan)
{
    const char *end = text + size;
    bool broken = false;
    size_t length;
    for (char *at = text, *newline; (newline = next_line(at, end, &length)) != NULL; at = newline + 1) {
        uint64_t batch = 0;
        char *words = check_line(at, length, &batch);
        bool last = words != NULL && (size_t)(newline - words) == 3 && memcmp(words, "end", 3) == 0;
        if (words == NULL || batch != scan->batch + 1) {
            if (words != NULL && batch > scan->batch + 1) {
                return -2;
            }
            broken = true;
        }
        if (last && !broken) {
            scan->sound = (size_t)(newline + 1 - text);
            scan->batch = batch;
        }
    }
    return 0;
}

static int replay(char *text, size_t size, journal_reader reader, void *context)
{
    size_t length;
    for (char *at = text, *newline; (newline = next_line(at, text + size, &length)) != NULL; at = newline + 1) {
        uint64_t batch;
        char *words = check_line(at, length, &batch);
        *newline = '\0';
        if (strcmp(words, "end") != 0 && hand_over(words, reader, context) != 0) {
            return -2;
        }
    }
    return 0;
}

static int load(struct journal *journal, journal_reader reader, void *context)
{
    struct stat status;
    if (fstat(journal->fd, &status) != 0) {
        return -1;
    }
    if (status.st_size > JOURNAL_SIZE_MAX) {
        return -2;
    }
    cleanup_free char *text = malloc((size_t)status.st_size + 1);
    if (text == NULL) {
        return -1;
    }
    ssize_t size = read_full(journal->fd, text, (size_t)status.st_size);
    if (size < 0) {
        return -1;
    }
    struct scan scan = {0, 0};
    if (scan_batches(text, (size_t)size, &scan) != 0 || replay(text, scan.sound, reader, context) != 0) {
        return -2;
    }
    journal->batch = scan.batch;
    journal->length = scan.sound;
    return ftruncate(journal->fd, (off_t)scan.sound);
}

int journal_open(struct journal *journal, int directory, journal_reader reader, void *context)
{
    *journal = (struct journal){.directory = directory, .fd = -1};
    journal->fd = tree_open(directory, "journal", O_RDWR | O_NOFOLLOW);
    if (journal->fd < 0) {
        return errno == ENOENT ? 0 : -1;
    }
    return load(journal, reader, context);
}

static int append(struct journal *journal, const char *bytes, size_t size)
{
    if (journal->pending_size + size > journal->pending_capacity) {
        size_t capacity = (journal->pending_size + size) * 2;
        char *grown = realloc(journal->pending, capacity);
        if (grown == NULL) {
            return -1;
        }
        journal->pending = grown;
        journal->pending_capacity = capacity;
    }
    memcpy(journal->pending + journal->pending_size, bytes, size);
    journal->pending_size += size;
    return 0;
}

static int append_word(struct journal *journal, const char *word)
{
    if (append(journal, " ", 1) != 0 || (*word == '\0' && append(journal, "%", 1) != 0)) {
        return -1;
    }
    for (; *word != '\0'; word++) {
        unsigned char byte = (unsigned char)*word;
        char escaped[4];
        int length = byte <= ' ' || byte == '%' || byte >= 0x7f ? snprintf(escaped, sizeof escaped, "%%%02x", byte)
                                                                : snprintf(escaped, sizeof escaped, "%c", byte);
        if (append(journal, escaped, (size_t)length) != 0) {
            return -1;
        }
    }
    return 0;
}

int journal_add(struct journal *journal, const char *word, ...)
{
    size_t start = journal->pending_size;
    char head[CHECKSUM_DIGITS + 24];
    int length = snprintf(head, sizeof head, "%016d %" PRIu64, 0, journal->batch + 1);
    int result = append(journal, head, (size_t)length);
    va_list words;
    va_start(words, word);
    for (const char *next = word; next != NULL && result == 0; next = va_arg(words, const char *)) {
        result = append_word(journal, next);
    }
    va_end(words);
    if (result != 0 || append(journal, "\n", 1) != 0) {
        journal->pending_size = start;
        return -1;
    }
    char *text = journal->pending + start + CHECKSUM_DIGITS + 1;
    size_t size = journal->pending_size - start - CHECKSUM_DIGITS - 2;
    snprintf(head, sizeof head, "%016" PRIx64, checksum(text, size));
    memcpy(journal->pending + start, head, CHECKSUM_DIGITS);
    return 0;
}

static int create(struct journal *journal)
{
    journal->fd = tree_create(journal->directory, "journal", O_RDWR | O_EXCL | O_NOFOLLOW, 0600);
    return journal->fd < 0 ? -1 : fsync(journal->directory);
}

static int write_batch(struct journal *journal)
{
    if (journal_add(journal, "end", NULL) != 0 || (journal->fd < 0 && create(journal) != 0)) {
        return -1;
    }
    if (lseek(journal->fd, (off_t)journal->length, SEEK_SET) < 0 ||
        write_full(journal->fd, journal->pending, journal->pending_size) != 0 || fdatasync(journal->fd) != 0) {
        return -1;
    }
    journal->length += journal->pending_size;
    journal->batch++;
    return 0;
}

int journal_commit(struct journal *journal)
{
    if (journal->pending_size == 0) {
        return 0;
    }
    int result = write_batch(journal);
    journal->pending_size = 0;
    return result;
}

void journal_close(struct journal *journal)
{
    if (journal->fd >= 0) {
        close(journal->fd);
    }
    free(journal->pending);
    *journal = (struct journal){.fd = -1};
}
