/*
 * The SQL lexer's common part: cutting the input where a scanner needs to see more, output, tokens, errors.
 * What the text means is the dialects' affair (sql_postgres.c, sql_mariadb.c).
 */
#include "sql_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sql_lexer *sql_lexer_new(enum section_kind kind, const char *login, const struct sql_sink *sink)
{
    if (kind != SECTION_POSTGRES && kind != SECTION_MARIADB) {
        return NULL;
    }
    struct sql_lexer *lexer = calloc(1, sizeof *lexer);
    if (lexer == NULL) {
        return NULL;
    }
    lexer->sink = *sink;
    lexer->line = 1;
    lexer->line_start = true;
    if (kind == SECTION_POSTGRES) {
        sql_postgres_init(lexer, login);
    } else {
        sql_mariadb_init(lexer);
    }
    return lexer;
}

void sql_lexer_free(struct sql_lexer *lexer)
{
    free(lexer);
}

const char *sql_lexer_error(const struct sql_lexer *lexer)
{
    return lexer->error;
}

static void count_lines(struct sql_lexer *lexer, const unsigned char *to)
{
    const unsigned char *at = lexer->counted;
    while (at < to && (at = memchr(at, '\n', (size_t)(to - at))) != NULL) {
        lexer->line++;
        at++;
    }
    lexer->counted = to;
}

const unsigned char *sql_fail(struct sql_lexer *lexer, const unsigned char *at, const char *format, ...)
{
    if (lexer->failed) {
        return NULL;
    }
    lexer->failed = true;
    if (at != NULL) {
        count_lines(lexer, at);
    }
    int used = snprintf(lexer->error, sizeof lexer->error, "%s dump, line %llu: ", lexer->dialect->name,
                        (unsigned long long)lexer->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(lexer->error + used, sizeof lexer->error - (size_t)used, format, arguments);
    va_end(arguments);
    for (char *byte = lexer->error; *byte != '\0'; byte++) {
        if ((unsigned char)*byte < ' ' || *byte == 0x7f) {
            *byte = '?';
        }
    }
    return NULL;
}

static int to_sink(struct sql_lexer *lexer, const void *data, size_t size)
{
    if (size > 0 && lexer->sink.sql(lexer->sink.context, data, size) != 0) {
        sql_fail(lexer, NULL, "what is to be loaded could not be passed on");
        return -1;
    }
    return 0;
}

int sql_release(struct sql_lexer *lexer)
{
    lexer->holding = false;
    size_t size = lexer->held_size;
    lexer->held_size = 0;
    return to_sink(lexer, lexer->held, size);
}

void sql_discard(struct sql_lexer *lexer)
{
    lexer->holding = false;
    lexer->held_size = 0;
}

int sql_put(struct sql_lexer *lexer, const void *data, size_t size)
{
    if (lexer->holding && size <= sizeof lexer->held - lexer->held_size) {
        memcpy(lexer->held + lexer->held_size, data, size);
        lexer->held_size += size;
        return 0;
    }
    if (lexer->holding && sql_release(lexer) != 0) {
        return -1;
    }
    return to_sink(lexer, data, size);
}

int sql_pass(struct sql_lexer *lexer, const unsigned char *at)
{
    const unsigned char *from = lexer->run;
    lexer->run = at;
    return sql_put(lexer, from, (size_t)(at - from));
}

void sql_leave_out(struct sql_lexer *lexer, const unsigned char *at)
{
    lexer->run = at;
}

int sql_hold(struct sql_lexer *lexer, const unsigned char *at)
{
    if (sql_pass(lexer, at) != 0) {
        return -1;
    }
    lexer->holding = true;
    return 0;
}

void sql_text_begin(struct sql_lexer *lexer)
{
    lexer->text.size = 0;
    lexer->text.cut = false;
    lexer->text.data[0] = '\0';
}

void sql_text_add(struct sql_lexer *lexer, const unsigned char *from, const unsigned char *to)
{
    struct sql_text *text = &lexer->text;
    size_t size = (size_t)(to - from);
    size_t room = sizeof text->data - 1 - text->size;
    if (size > room) {
        text->cut = true;
        size = room;
    }
    memcpy(text->data + text->size, from, size);
    text->size += size;
    text->data[text->size] = '\0';
}

const struct sql_token *sql_token_add(struct sql_lexer *lexer, enum sql_token_kind kind)
{
    if (lexer->token_count >= SQL_TOKENS_MAX) {
        lexer->token_count++;
        return NULL;
    }
    struct sql_token *token = &lexer->tokens[lexer->token_count++];
    size_t size = lexer->text.size;
    token->kind = kind;
    token->cut = lexer->text.cut || size >= sizeof token->text;
    size = token->cut ? sizeof token->text - 1 : size;
    for (size_t i = 0; i < size; i++) {
        unsigned char byte = (unsigned char)lexer->text.data[i];
        token->text[i] = (char)(kind == TOKEN_WORD ? sql_lower(byte) : byte);
    }
    token->text[size] = '\0';
    return token;
}

bool sql_token_is(const struct sql_lexer *lexer, size_t index, enum sql_token_kind kind, const char *text)
{
    return index < lexer->token_count && index < SQL_TOKENS_MAX && lexer->tokens[index].kind == kind &&
           strcmp(lexer->tokens[index].text, text) == 0;
}

const char *sql_token_name(const struct sql_lexer *lexer, size_t index)
{
    if (index >= lexer->token_count || index >= SQL_TOKENS_MAX) {
        return NULL;
    }
    const struct sql_token *token = &lexer->tokens[index];
    bool is_name = token->kind == TOKEN_WORD || token->kind == TOKEN_NAME;
    return is_name && !token->cut && strlen(token->text) <= SQL_NAME_MAX ? token->text : NULL;
}

/* Letters and digits alone, in lower case: PostgreSQL takes SHIFT_JIS_2004, shiftjis2004 and Shift-JIS-2004 alike. */
static void simplify(const char *name, char *out, size_t capacity)
{
    size_t used = 0;
    for (; *name != '\0' && used < capacity - 1; name++) {
        unsigned char byte = sql_lower((unsigned char)*name);
        if (sql_is_digit(byte) || (byte >= 'a' && byte <= 'z')) {
            out[used++] = (char)byte;
        }
    }
    out[used] = '\0';
}

bool sql_encoding_is_safe(const char *name)
{
    static const char *const safe[] = {
        /* PostgreSQL: every encoding that a server may have, and Unicode's old name */
        "sqlascii", "utf8", "unicode", "eucjp", "euccn", "euckr", "euctw", "eucjis2004", "muleinternal", "koi8",
        "koi8r", "koi8u", "win", "win866", "win874", "win1250", "win1251", "win1252", "win1253", "win1254", "win1255",
        "win1256", "win1257", "win1258", "alt", "abc", "tcvn", "tcvn5712", "vscii", "windows866", "windows874",
        "windows1250", "windows1251", "windows1252", "windows1253", "windows1254", "windows1255", "windows1256",
        "windows1257", "windows1258", "latin1", "latin2", "latin3", "latin4", "latin5", "latin6", "latin7", "latin8",
        "latin9", "latin10", "iso88591", "iso88592", "iso88593", "iso88594", "iso88595", "iso88596", "iso88597",
        "iso88598", "iso88599", "iso885910", "iso885913", "iso885914", "iso885915", "iso885916",
        /* MariaDB */
        "utf8mb3", "utf8mb4", "ascii", "binary", "dec8", "cp850", "cp852", "cp866", "cp1250", "cp1251", "cp1256",
        "cp1257", "hp8", "swe7", "hebrew", "tis620", "greek", "armscii8", "geostd8", "keybcs2", "macce", "macroman",
        "ujis", "eucjpms", "gb2312"};
    char simple[32];
    simplify(name, simple, sizeof simple);
    for (size_t i = 0; i < sizeof safe / sizeof safe[0]; i++) {
        if (strcmp(simple, safe[i]) == 0) {
            return true;
        }
    }
    return false;
}

int sql_report(struct sql_lexer *lexer, const unsigned char *at, int (*report)(void *, const char *), const char *text)
{
    if (report(lexer->sink.context, text) == 0) {
        return 0;
    }
    sql_fail(lexer, at, "what the dump contains could not be passed on");
    return -1;
}

int sql_report_version(struct sql_lexer *lexer, const unsigned char *at, const char *text)
{
    if (lexer->version_told) {
        return 0;
    }
    lexer->version_told = true;
    return sql_report(lexer, at, lexer->sink.version, text);
}

/* Scan, pass and count a stretch of input. Returns where the scanner stopped, or NULL. */
static const unsigned char *scan_stretch(struct sql_lexer *lexer, const unsigned char *data, size_t size, bool final)
{
    lexer->run = data;
    lexer->counted = data;
    const unsigned char *stop = lexer->dialect->scan(lexer, data, data + size, final);
    if (stop == NULL || sql_pass(lexer, stop) != 0) {
        return NULL;
    }
    count_lines(lexer, stop);
    return stop;
}

/*
 * Go on with what the last feed left over, completed by as much of the new data as the scanner may want to see.
 * Returns how much of the new data is done with, or -1.
 */
static ptrdiff_t feed_carried(struct sql_lexer *lexer, const unsigned char *data, size_t size)
{
    size_t old = lexer->carried;
    size_t room = sizeof lexer->carry - old;
    size_t taken = size < room ? size : room;
    memcpy(lexer->carry + old, data, taken);
    const unsigned char *stop = scan_stretch(lexer, lexer->carry, old + taken, false);
    if (stop == NULL) {
        return -1;
    }
    size_t done = (size_t)(stop - lexer->carry);
    if (done >= old) {
        lexer->carried = 0;
        return (ptrdiff_t)(done - old);
    }
    lexer->carried = old + taken - done;
    memmove(lexer->carry, stop, lexer->carried);
    return (ptrdiff_t)taken;
}

int sql_lexer_feed(struct sql_lexer *lexer, const void *data, size_t size)
{
    const unsigned char *at = data, *end = at + size;
    while (!lexer->failed && lexer->carried > 0 && at < end) {
        ptrdiff_t done = feed_carried(lexer, at, (size_t)(end - at));
        at += done < 0 ? 0 : done;
    }
    if (lexer->failed) {
        return -1;
    }
    if (at == end) {
        return 0;
    }
    const unsigned char *stop = scan_stretch(lexer, at, (size_t)(end - at), false);
    if (stop == NULL) {
        return -1;
    }
    lexer->carried = (size_t)(end - stop);
    memcpy(lexer->carry, stop, lexer->carried);
    return 0;
}

int sql_lexer_end(struct sql_lexer *lexer)
{
    if (lexer->failed || scan_stretch(lexer, lexer->carry, lexer->carried, true) == NULL) {
        return -1;
    }
    lexer->carried = 0;
    const char *reason = lexer->dialect->unfinished(lexer);
    if (reason != NULL) {
        sql_fail(lexer, NULL, "the dump ends too early (%s); it is not whole: use another backup", reason);
        return -1;
    }
    return sql_release(lexer);
}
