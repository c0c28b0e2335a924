/*
 * The SQL lexer for PostgreSQL: the states of psqlscan.l, psql's way with COPY, and its backslash commands.
 *
 * psql reads a script line by line; what it makes of a byte outside of quotes, dollar quotes and comments is decided
 * here in the same way. Where its versions differ (a string that follows a number, one continued on another line), the
 * dump is refused: pg_dump writes no such thing.
 * What becomes of whole statements is in sql_postgres_statements.c.
 */
#include "sql_postgres.h"

#include <string.h>

typedef const unsigned char *place;

static bool is_space(unsigned char byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r' || byte == '\f' || byte == '\v';
}

static bool is_word_part(unsigned char byte)
{
    return sql_is_letter(byte) || sql_is_digit(byte) || byte == '$';
}

static bool statement_is_empty(const struct sql_lexer *lexer)
{
    return lexer->token_count == 0;
}

void sql_postgres_init(struct sql_lexer *lexer, const char *login)
{
    lexer->dialect = &sql_postgres;
    strncpy(lexer->postgres.login, login, sizeof lexer->postgres.login - 1);
}

/* The first byte whose reading depends on a setting that was not made yet, or NULL. */
static place find_dependent(const struct sql_lexer *lexer, place from, place to)
{
    const struct postgres_state *postgres = &lexer->postgres;
    if (postgres->encoding_known && postgres->strings_known) {
        return NULL;
    }
    for (place at = from; at < to; at++) {
        bool backslash = *at == '\\' && lexer->state == IN_STRING;
        if ((*at >= 0x80 && !postgres->encoding_known) || (backslash && !postgres->strings_known)) {
            return at;
        }
    }
    return NULL;
}

static place add_text(struct sql_lexer *lexer, place from, place to)
{
    place dependent = find_dependent(lexer, from, to);
    if (dependent != NULL) {
        return sql_fail(lexer, dependent,
                        "text that depends on client_encoding or standard_conforming_strings comes "
                        "before these are set; pg_dump sets them first: use a dump of pg_dumpall");
    }
    sql_text_add(lexer, from, to);
    return to;
}

/* The first token of a statement: pg_dumpall's trailer must not have come yet. */
static place begin_token(struct sql_lexer *lexer, place at, enum sql_state state)
{
    if (lexer->complete) {
        return sql_fail(lexer, at, "there is SQL after the line that ends the dump: use another backup");
    }
    if (statement_is_empty(lexer) && !lexer->holding && sql_hold(lexer, at) != 0) {
        return NULL;
    }
    sql_text_begin(lexer);
    lexer->postgres.after_escape_string = false;
    lexer->state = state;
    return at;
}

static place end_token(struct sql_lexer *lexer, place at, enum sql_token_kind kind)
{
    lexer->state = IN_CODE;
    sql_token_add(lexer, kind);
    return sql_postgres_token(lexer, at, kind);
}

static place scan_word(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && is_word_part(*stop)) {
        stop++;
    }
    if (add_text(lexer, at, stop) == NULL) {
        return NULL;
    }
    if (stop == end && !lexer->final) {
        return stop;
    }
    bool opens_escape_string = stop < end && *stop == '\'' && lexer->text.size == 1 &&
                               (lexer->text.data[0] == 'e' || lexer->text.data[0] == 'E');
    lexer->postgres.escapes = opens_escape_string;
    return end_token(lexer, stop, TOKEN_WORD);
}

static place scan_number(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && (is_word_part(*stop) || *stop == '.') && *stop != '$') {
        stop++;
    }
    if (add_text(lexer, at, stop) == NULL) {
        return NULL;
    }
    if (stop == end && !lexer->final) {
        return stop;
    }
    unsigned char last = (unsigned char)lexer->text.data[lexer->text.size - 1];
    if (stop < end && *stop == '\'' && sql_is_letter(last)) {
        return sql_fail(lexer, stop,
                        "a string follows a number without a space; versions of psql read this "
                        "differently: use a dump of pg_dumpall");
    }
    return end_token(lexer, stop, TOKEN_NUMBER);
}

/* After the quote that ends a string or name, or the first of two that stand for one. */
static place scan_quote(struct sql_lexer *lexer, place at, place end, unsigned char quote)
{
    if (at + 1 == end && !lexer->final) {
        return at;
    }
    if (at + 1 < end && at[1] == quote) {
        sql_text_add(lexer, at, at + 1);
        return at + 2;
    }
    lexer->postgres.after_escape_string = quote == '\'' && lexer->postgres.escapes;
    lexer->postgres.newline_after_string = false;
    lexer->postgres.escapes = false;
    return end_token(lexer, at + 1, quote == '"' ? TOKEN_NAME : TOKEN_STRING);
}

static place scan_name(struct sql_lexer *lexer, place at, place end)
{
    place quote = memchr(at, '"', (size_t)(end - at));
    place stop = quote != NULL ? quote : end;
    if (add_text(lexer, at, stop) == NULL) {
        return NULL;
    }
    return quote != NULL ? scan_quote(lexer, quote, end, '"') : stop;
}

static place scan_string(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    if (lexer->postgres.escapes) {
        while (stop < end && *stop != '\'' && *stop != '\\') {
            stop++;
        }
    } else {
        place quote = memchr(at, '\'', (size_t)(end - at));
        stop = quote != NULL ? quote : end;
    }
    if (add_text(lexer, at, stop) == NULL || stop == end) {
        return lexer->failed ? NULL : stop;
    }
    if (*stop == '\'') {
        return scan_quote(lexer, stop, end, '\'');
    }
    if (end - stop < 2 && !lexer->final) {
        return stop;
    }
    place after = end - stop < 2 ? end : stop + 2;
    sql_text_add(lexer, stop, after);
    return after;
}

/* $1, $tag$ or a lone $: what is between was read as the start of a word, and stays one without the second $. */
static place scan_tag(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && (sql_is_letter(*stop) || (sql_is_digit(*stop) && (lexer->text.size > 0 || stop > at)))) {
        stop++;
    }
    if (add_text(lexer, at, stop) == NULL) {
        return NULL;
    }
    if (stop == end && !lexer->final) {
        return stop;
    }
    if (stop == end || *stop != '$') {
        lexer->state = lexer->text.size > 0 ? IN_WORD : IN_CODE;
        return stop;
    }
    struct postgres_state *postgres = &lexer->postgres;
    if (lexer->text.size > SQL_TAG_MAX) {
        return sql_fail(lexer, stop, "the tag of a dollar quote is longer than %d bytes: use a dump of pg_dumpall",
                        SQL_TAG_MAX);
    }
    postgres->tag[0] = '$';
    memcpy(postgres->tag + 1, lexer->text.data, lexer->text.size);
    postgres->tag[lexer->text.size + 1] = '$';
    postgres->tag_size = lexer->text.size + 2;
    sql_text_begin(lexer);
    lexer->state = IN_DOLLAR_QUOTE;
    return stop + 1;
}

static place scan_dollar_quote(struct sql_lexer *lexer, place at, place end)
{
    const struct postgres_state *postgres = &lexer->postgres;
    place dollar = memchr(at, '$', (size_t)(end - at));
    place stop = dollar != NULL ? dollar : end;
    if (add_text(lexer, at, stop) == NULL) {
        return NULL;
    }
    if (dollar == NULL) {
        return end;
    }
    size_t left = (size_t)(end - dollar);
    if (left < postgres->tag_size && !lexer->final) {
        return memcmp(dollar, postgres->tag, left) == 0 ? dollar : dollar + 1;
    }
    if (left < postgres->tag_size || memcmp(dollar, postgres->tag, postgres->tag_size) != 0) {
        return dollar + 1;
    }
    return end_token(lexer, dollar + postgres->tag_size, TOKEN_STRING);
}

static place scan_line_comment(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && *stop != '\n' && *stop != '\r') {
        stop++;
    }
    sql_text_add(lexer, at, stop);
    if (stop == end && !lexer->final) {
        return stop;
    }
    lexer->state = IN_CODE;
    return sql_postgres_comment(lexer, stop);
}

static place scan_block_comment(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && *stop != '*' && *stop != '/') {
        stop++;
    }
    if (stop == end) {
        return stop;
    }
    if (end - stop < 2) {
        return lexer->final ? end : stop;
    }
    if (stop[0] == '/' && stop[1] == '*') {
        lexer->postgres.comment_depth++;
        return stop + 2;
    }
    if (stop[0] == '*' && stop[1] == '/') {
        lexer->postgres.comment_depth--;
        lexer->state = lexer->postgres.comment_depth == 0 ? IN_CODE : IN_BLOCK_COMMENT;
        return stop + 2;
    }
    return stop + 1;
}

/* A backslash command: collected, then passed or dropped as a whole. */
static place scan_client_line(struct sql_lexer *lexer, place at, place end)
{
    place newline = memchr(at, '\n', (size_t)(end - at));
    place stop = newline != NULL ? newline : end;
    sql_text_add(lexer, at, stop);
    sql_leave_out(lexer, stop);
    if (lexer->text.cut) {
        return sql_fail(lexer, at, "a psql command is longer than %d bytes: use a dump of pg_dumpall", SQL_LINE_MAX);
    }
    if (newline == NULL && !lexer->final) {
        return stop;
    }
    lexer->state = IN_CODE;
    return sql_postgres_command(lexer, stop);
}

static place scan_after_copy(struct sql_lexer *lexer, place at)
{
    if (*at != '\n') {
        return sql_fail(lexer, at, "there is text after `COPY ... FROM stdin;` on its line: use a dump of pg_dumpall");
    }
    lexer->state = IN_ROWS;
    lexer->line_start = true;
    return at + 1;
}

static place scan_rows(struct sql_lexer *lexer, place at, place end)
{
    while (at < end) {
        if (lexer->line_start && *at == '\\') {
            if (end - at < 3 && !lexer->final) {
                return at;
            }
            if (end - at >= 3 && at[1] == '.' && at[2] == '\n') {
                lexer->state = IN_CODE;
                return at + 3;
            }
            if (end - at >= 2 && at[1] == '.') {
                return sql_fail(lexer, at, "a row of COPY begins with the mark that ends the rows: use another backup");
            }
        }
        place newline = memchr(at, '\n', (size_t)(end - at));
        lexer->line_start = newline != NULL;
        at = newline != NULL ? newline + 1 : end;
    }
    return at;
}

static place begin_string(struct sql_lexer *lexer, place at)
{
    struct postgres_state *postgres = &lexer->postgres;
    if (postgres->after_escape_string && postgres->newline_after_string) {
        return sql_fail(lexer, at,
                        "a string is continued on another line; psql and the server read this "
                        "differently: use a dump of pg_dumpall");
    }
    postgres->escapes = postgres->escapes || postgres->backslash_escapes;
    return begin_token(lexer, at, IN_STRING) == NULL ? NULL : at + 1;
}

/* :NAME would be replaced by psql with the value of its variable, and read again. Its own variables are upper-case. */
static place scan_colon(struct sql_lexer *lexer, place at, place end)
{
    place stop = at + 1;
    bool upper = false, lower = false;
    while (stop < end && (sql_is_letter(*stop) || sql_is_digit(*stop)) && stop - at < SQL_LOOKAHEAD / 2) {
        upper = upper || (*stop >= 'A' && *stop <= 'Z');
        lower = lower || (*stop >= 'a' && *stop <= 'z') || *stop >= 0x80;
        stop++;
    }
    if (stop == end && !lexer->final) {
        return at;
    }
    if (stop == at + 1 && stop < end && *stop == ':') {
        return at + 2; /* a cast: the name that follows is a type */
    }
    if (upper && !lower) {
        return sql_fail(lexer, at,
                        "psql would put the value of a variable of its own in here: use a dump of pg_dumpall");
    }
    return at + 1;
}

static place scan_semicolon(struct sql_lexer *lexer, place at)
{
    struct postgres_state *postgres = &lexer->postgres;
    if (postgres->parentheses > 0 || postgres->begin_depth > 0) {
        postgres->after_inner_semicolon = true;
        return at + 1;
    }
    return sql_postgres_statement(lexer, at + 1);
}

static place scan_punctuation(struct sql_lexer *lexer, place at)
{
    struct postgres_state *postgres = &lexer->postgres;
    if (*at == '(') {
        postgres->parentheses++;
    } else if (*at == ')' && postgres->parentheses > 0) {
        postgres->parentheses--;
    }
    if (begin_token(lexer, at, IN_CODE) == NULL) {
        return NULL;
    }
    sql_text_add(lexer, at, at + 1);
    return end_token(lexer, at + 1, TOKEN_PUNCTUATION);
}

static place scan_spaces(struct sql_lexer *lexer, place at, place end)
{
    for (; at < end && is_space(*at); at++) {
        lexer->line_start = *at == '\n';
        lexer->postgres.newline_after_string |= lexer->line_start || *at == '\r';
    }
    return at;
}

static place begin_client_line(struct sql_lexer *lexer, place at)
{
    if (!lexer->line_start || !statement_is_empty(lexer)) {
        return sql_fail(lexer, at,
                        "a backslash stands outside of quotes, which psql takes for a command: use a dump "
                        "of pg_dumpall");
    }
    if (sql_pass(lexer, at) != 0) {
        return NULL;
    }
    sql_text_begin(lexer);
    lexer->state = IN_CLIENT_LINE;
    return at;
}

static place begin_comment(struct sql_lexer *lexer, place at)
{
    sql_text_begin(lexer);
    if (*at == '/') {
        lexer->postgres.comment_depth = 1;
        lexer->state = IN_BLOCK_COMMENT;
        lexer->line_start = false;
        return at + 2;
    }
    /* line_start stays, so that sql_postgres_comment() knows a comment that is a line of its own */
    lexer->state = IN_LINE_COMMENT;
    return at;
}

static place scan_code(struct sql_lexer *lexer, place at, place end)
{
    if (is_space(*at)) {
        return scan_spaces(lexer, at, end);
    }
    if (*at == '-' || *at == '/') {
        if (end - at < 2 && !lexer->final) {
            return at;
        }
        if (end - at >= 2 && at[1] == (*at == '-' ? '-' : '*')) {
            return begin_comment(lexer, at);
        }
    }
    if (*at == '\\') {
        return begin_client_line(lexer, at);
    }
    if (*at == ':') {
        place after = scan_colon(lexer, at, end);
        if (after != at + 1) {
            return after;
        }
    }
    lexer->line_start = false;
    if (*at == '\'') {
        return begin_string(lexer, at);
    }
    if (*at == '"') {
        return begin_token(lexer, at, IN_NAME) == NULL ? NULL : at + 1;
    }
    if (*at == '$') {
        return begin_token(lexer, at, IN_TAG) == NULL ? NULL : at + 1;
    }
    if (sql_is_letter(*at)) {
        return begin_token(lexer, at, IN_WORD);
    }
    if (sql_is_digit(*at)) {
        return begin_token(lexer, at, IN_NUMBER);
    }
    return *at == ';' ? scan_semicolon(lexer, at) : scan_punctuation(lexer, at);
}

static place scan_next(struct sql_lexer *lexer, place at, place end)
{
    switch (lexer->state) {
    case IN_ROWS:
        return scan_rows(lexer, at, end);
    case IN_WORD:
        return scan_word(lexer, at, end);
    case IN_NUMBER:
        return scan_number(lexer, at, end);
    case IN_STRING:
        return scan_string(lexer, at, end);
    case IN_NAME:
        return scan_name(lexer, at, end);
    case IN_TAG:
        return scan_tag(lexer, at, end);
    case IN_DOLLAR_QUOTE:
        return scan_dollar_quote(lexer, at, end);
    case IN_LINE_COMMENT:
        return scan_line_comment(lexer, at, end);
    case IN_BLOCK_COMMENT:
        return scan_block_comment(lexer, at, end);
    case IN_CLIENT_LINE:
        return scan_client_line(lexer, at, end);
    case AFTER_COPY:
        return scan_after_copy(lexer, at);
    case IN_CODE:
        break;
    }
    return scan_code(lexer, at, end);
}

static place scan_all(struct sql_lexer *lexer, place at, place end)
{
    while (at < end) {
        enum sql_state state = lexer->state;
        place next = scan_next(lexer, at, end);
        if (next == NULL || (next == at && state == lexer->state)) {
            return next;
        }
        at = next;
    }
    return at;
}

static place scan(struct sql_lexer *lexer, place at, place end, bool final)
{
    lexer->final = final;
    /* psql reads lines as C strings: what follows a NUL on its line would be lost to it. */
    place nul = memchr(at, '\0', (size_t)(end - at));
    place stop = scan_all(lexer, at, nul != NULL ? nul : end);
    if (nul != NULL) {
        return sql_fail(lexer, nul, "there is a NUL byte in the dump: use another backup");
    }
    return stop;
}

static const char *unfinished(const struct sql_lexer *lexer)
{
    if (lexer->state != IN_CODE || !statement_is_empty(lexer)) {
        return "in the midst of a statement";
    }
    return lexer->complete ? NULL : "`-- PostgreSQL database cluster dump complete` is missing";
}

const struct sql_dialect sql_postgres = {.name = "PostgreSQL", .scan = scan, .unfinished = unfinished};
