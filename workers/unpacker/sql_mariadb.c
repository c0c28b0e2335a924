/*
 * The SQL lexer for MariaDB: strings, comments and delimiters as the batch client reads them (add_line() and
 * find_command() of client/mysql.cc), and the few statements that matter.
 *
 * mariadb --binary-mode knows no client command but DELIMITER and \C; older clients and ones without the option know
 * more, so what any of them would take for one is refused. A statement of which nothing matters any more but its end
 * is skipped over by a table of bytes (`fast`): it may be an INSERT of hundreds of megabytes.
 */
#include "sql_parts.h"

#include <string.h>
#include <strings.h>

typedef const unsigned char *place;

#define TRAILER "-- Dump completed"
#define VERSION_LINE "-- Server version\t"

/* Enough to tell apart whatever begins with the same byte: the longest is the sandbox line's start. */
#define LOOKAHEAD 16

static bool is_space(unsigned char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool is_word_part(unsigned char byte)
{
    return sql_is_letter(byte) || sql_is_digit(byte) || byte == '$' || byte == '@' || byte == '.';
}

static void use_delimiter(struct mariadb_state *mariadb, const char *delimiter, size_t size)
{
    memcpy(mariadb->delimiter, delimiter, size);
    mariadb->delimiter[size] = '\0';
    mariadb->delimiter_size = size;
    memset(mariadb->special, 0, sizeof mariadb->special);
    for (const char *byte = "'\"`\\/-#*"; *byte != '\0'; byte++) {
        mariadb->special[(unsigned char)*byte] = true;
    }
    mariadb->special[0] = true;
    mariadb->special[(unsigned char)*delimiter] = true;
}

void sql_mariadb_init(struct sql_lexer *lexer)
{
    lexer->dialect = &sql_mariadb;
    use_delimiter(&lexer->mariadb, ";", 1);
}

static bool is_word(const struct sql_lexer *lexer, size_t index, const char *word)
{
    return sql_token_is(lexer, index, TOKEN_WORD, word);
}

static place begin_token(struct sql_lexer *lexer, place at, enum sql_state state)
{
    if (lexer->complete) {
        return sql_fail(lexer, at, "there is SQL after the line that ends the dump: use another backup");
    }
    sql_text_begin(lexer);
    lexer->line_start = false;
    lexer->state = state;
    return at;
}

/* First words that some client takes for a command of its own; USE is harmless, and also SQL. */
static bool is_client_command(const char *word)
{
    static const char *const commands[] = {"clear",
                                           "connect",
                                           "charset",
                                           "delimiter",
                                           "edit",
                                           "ego",
                                           "exit",
                                           "go",
                                           "help",
                                           "nopager",
                                           "notee",
                                           "nowarning",
                                           "pager",
                                           "print",
                                           "prompt",
                                           "query_attributes",
                                           "quit",
                                           "rehash",
                                           "resetconnection",
                                           "sandbox",
                                           "source",
                                           "ssl_session_data_print",
                                           "status",
                                           "system",
                                           "tee",
                                           "warnings"};
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        if (strcmp(word, commands[i]) == 0) {
            return true;
        }
    }
    return false;
}

static bool sets_ansi_quotes(const char *mode)
{
    static const char *const modes[] = {"ansi", "db2", "maxdb", "mssql", "oracle", "postgresql"};
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        if (strcasestr(mode, modes[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* sql_mode decides what a backslash and a double quote mean, to the client too. */
static place judge_mode(struct sql_lexer *lexer, place at, const struct sql_token *value)
{
    struct mariadb_state *mariadb = &lexer->mariadb;
    bool saved = value->kind == TOKEN_WORD &&
                 (strcmp(value->text, "@saved_sql_mode") == 0 || strcmp(value->text, "@old_sql_mode") == 0);
    bool literal = value->kind == TOKEN_STRING && !value->cut;
    bool no_escapes = literal && strcasestr(value->text, "no_backslash_escapes") != NULL;
    bool ansi = literal && sets_ansi_quotes(value->text);
    if (!saved && !literal) {
        return sql_fail(lexer, at,
                        "sql_mode is set in a way that mariadb-dump does not use: use a dump of mariadb-dump");
    }
    if ((no_escapes || ansi) && mariadb->in_versioned && mariadb->versioned_number > 50999) {
        return sql_fail(lexer, at, "sql_mode is set for some versions of the server alone: use a dump of mariadb-dump");
    }
    mariadb->no_backslash_escapes = no_escapes;
    mariadb->ansi_quotes = ansi;
    return at;
}

static place judge_charset(struct sql_lexer *lexer, place at, const struct sql_token *value)
{
    bool variable = value->kind == TOKEN_WORD && value->text[0] == '@';
    if (!variable && (value->cut || !sql_encoding_is_safe(value->text))) {
        return sql_fail(lexer, at,
                        "the client's character set is set to `%.40s`, in which part of a character can look "
                        "like a backslash, or which is not known: make the dump with "
                        "--default-character-set=utf8mb4",
                        value->text);
    }
    return at;
}

static const char *after_prefix(const char *word, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(word, prefix, size) == 0 ? word + size : word;
}

/* What a variable announces whose name may stand before a `=`. */
static enum awaited_value candidate_of(const struct sql_token *token)
{
    const char *name = after_prefix(after_prefix(after_prefix(token->text, "@@"), "session."), "local.");
    if (token->kind != TOKEN_WORD && token->kind != TOKEN_NAME) {
        return AWAIT_NONE;
    }
    if (strcasecmp(name, "character_set_client") == 0) {
        return AWAIT_CHARSET;
    }
    return strcasecmp(name, "sql_mode") == 0 ? AWAIT_MODE : AWAIT_NONE;
}

/* SET NAMES x, SET CHARACTER SET x, SET CHARSET x, SET ..., sql_mode = 'x', character_set_client = x. */
static place follow_set(struct sql_lexer *lexer, place at, const struct sql_token *token)
{
    struct mariadb_state *mariadb = &lexer->mariadb;
    if (token->kind == TOKEN_PUNCTUATION) {
        if (token->text[0] == '=' && mariadb->candidate != AWAIT_NONE) {
            mariadb->awaited = mariadb->candidate;
        }
        mariadb->candidate = token->text[0] == ':' ? mariadb->candidate : AWAIT_NONE;
        return at;
    }
    enum awaited_value awaited = mariadb->awaited;
    mariadb->awaited = AWAIT_NONE;
    if (awaited != AWAIT_NONE) {
        return awaited == AWAIT_MODE ? judge_mode(lexer, at, token) : judge_charset(lexer, at, token);
    }
    const char *word = token->kind == TOKEN_WORD ? token->text : "";
    bool character_set = mariadb->awaits_set && strcmp(word, "set") == 0;
    mariadb->awaits_set = strcmp(word, "character") == 0;
    if (character_set || strcmp(word, "names") == 0 || strcmp(word, "charset") == 0) {
        mariadb->awaited = AWAIT_CHARSET;
    }
    mariadb->candidate = candidate_of(token);
    return at;
}

/* The first tokens decide whether the rest has to be looked at. */
static place judge_token(struct sql_lexer *lexer, place at, enum sql_token_kind kind)
{
    struct mariadb_state *mariadb = &lexer->mariadb;
    bool first = lexer->token_count == 0;
    if (!first && is_word(lexer, 0, "set")) {
        lexer->token_count = 1; /* a SET may be long: keep its first word and the token at hand */
    }
    const struct sql_token *token = sql_token_add(lexer, kind);
    if (first && kind == TOKEN_WORD && is_client_command(token->text)) {
        return sql_fail(lexer, at, "a statement begins with the client command `%.40s`: use a dump of mariadb-dump",
                        token->text);
    }
    if (first && kind == TOKEN_WORD && strcmp(token->text, "load") == 0) {
        return sql_fail(lexer, at, "LOAD reads files, and mariadb-dump does not write it: use a dump of mariadb-dump");
    }
    if (first && token->text[0] == '?') {
        return sql_fail(lexer, at, "a statement begins with the client command `?`: use a dump of mariadb-dump");
    }
    if (is_word(lexer, 0, "set")) {
        return first || token == NULL ? at : follow_set(lexer, at, token);
    }
    mariadb->fast = token == NULL || !(is_word(lexer, 0, "create") || is_word(lexer, 0, "use"));
    return at;
}

/* CREATE [OR REPLACE] {DATABASE | SCHEMA} [IF NOT EXISTS] name, USE name: the name, or NULL. */
static const char *database_of(const struct sql_lexer *lexer)
{
    if (is_word(lexer, 0, "use")) {
        return sql_token_name(lexer, 1);
    }
    size_t at = is_word(lexer, 1, "or") && is_word(lexer, 2, "replace") ? 3 : 1;
    if (!is_word(lexer, 0, "create") || !(is_word(lexer, at, "database") || is_word(lexer, at, "schema"))) {
        return NULL;
    }
    at += is_word(lexer, at + 1, "if") && is_word(lexer, at + 2, "not") ? 4 : 1;
    return sql_token_name(lexer, at);
}

static place end_statement(struct sql_lexer *lexer, place at)
{
    struct mariadb_state *mariadb = &lexer->mariadb;
    const char *name = database_of(lexer);
    if (name != NULL && strcmp(name, mariadb->last_database) != 0) {
        strncpy(mariadb->last_database, name, SQL_NAME_MAX);
        if (sql_report(lexer, at, lexer->sink.database, name) != 0) {
            return NULL;
        }
    }
    lexer->token_count = 0;
    mariadb->fast = false;
    mariadb->awaited = AWAIT_NONE;
    mariadb->candidate = AWAIT_NONE;
    mariadb->awaits_set = false;
    return at;
}

static place end_token(struct sql_lexer *lexer, place at, enum sql_token_kind kind)
{
    lexer->state = IN_CODE;
    return lexer->mariadb.fast ? at : judge_token(lexer, at, kind);
}

static place scan_word(struct sql_lexer *lexer, place at, place end)
{
    place stop = at;
    while (stop < end && is_word_part(*stop) && *stop != (unsigned char)lexer->mariadb.delimiter[0]) {
        stop++;
    }
    sql_text_add(lexer, at, stop);
    return stop == end && !lexer->final ? stop : end_token(lexer, stop, TOKEN_WORD);
}

static bool has_escapes(const struct mariadb_state *mariadb, unsigned char quote)
{
    return quote != '`' && !mariadb->no_backslash_escapes && !(quote == '"' && mariadb->ansi_quotes);
}

static place scan_string(struct sql_lexer *lexer, place at, place end)
{
    unsigned char quote = lexer->mariadb.quote;
    bool escapes = has_escapes(&lexer->mariadb, quote);
    place stop = at;
    while (stop < end && *stop != quote && (*stop != '\\' || !escapes)) {
        stop++;
    }
    sql_text_add(lexer, at, stop);
    if (end - stop < 2 && !lexer->final) {
        return stop;
    }
    if (stop == end) {
        return end;
    }
    if (*stop == '\\') {
        if (stop + 1 < end && stop[1] == '\0') {
            return sql_fail(lexer, stop,
                            "a NUL byte follows a backslash, where the client would lose the line's rest: "
                            "use a dump of mariadb-dump");
        }
        place after = stop + 1 < end ? stop + 2 : end;
        sql_text_add(lexer, stop, after);
        return after;
    }
    if (stop + 1 < end && stop[1] == quote) {
        sql_text_add(lexer, stop, stop + 1);
        return stop + 2;
    }
    bool is_name = quote == '`' || (quote == '"' && lexer->mariadb.ansi_quotes);
    return end_token(lexer, stop + 1, is_name ? TOKEN_NAME : TOKEN_STRING);
}

/* A comment that is a line of its own may be the trailer, or tell the version. */
static place end_comment(struct sql_lexer *lexer, place at)
{
    const char *comment = lexer->text.data;
    if (!lexer->line_start || lexer->token_count > 0) {
        return at;
    }
    if (strcmp(comment, TRAILER) == 0 || strncmp(comment, TRAILER " on ", strlen(TRAILER " on ")) == 0) {
        lexer->complete = true;
        return at;
    }
    if (strncmp(comment, VERSION_LINE, strlen(VERSION_LINE)) == 0 && strlen(comment) < 128 + strlen(VERSION_LINE)) {
        return sql_report_version(lexer, at, comment + strlen(VERSION_LINE)) == 0 ? at : NULL;
    }
    return at;
}

static place scan_line_comment(struct sql_lexer *lexer, place at, place end)
{
    place newline = memchr(at, '\n', (size_t)(end - at));
    place stop = newline != NULL ? newline : end;
    sql_text_add(lexer, at, stop);
    if (newline == NULL && !lexer->final) {
        return stop;
    }
    lexer->state = IN_CODE;
    return end_comment(lexer, stop);
}

static place scan_block_comment(struct sql_lexer *lexer, place at, place end)
{
    place star = memchr(at, '*', (size_t)(end - at));
    if (star == NULL) {
        return end;
    }
    if (end - star < 2) {
        return lexer->final ? end : star;
    }
    if (star[1] == '/') {
        lexer->state = IN_CODE;
        return star + 2;
    }
    return star + 1;
}

/* DELIMITER x: what is left of the line after the word. */
static place end_delimiter_line(struct sql_lexer *lexer, place at)
{
    const char *argument = lexer->text.data + strlen("delimiter");
    argument += strspn(argument, " \t");
    size_t size = strspn(argument, ";/|$");
    if (size == 0 || size > SQL_DELIMITER_MAX || argument[size + strspn(argument + size, " \t")] != '\0' ||
        strlen(lexer->text.data) != lexer->text.size) {
        return sql_fail(lexer, at, "a DELIMITER line other than mariadb-dump's: use a dump of mariadb-dump");
    }
    use_delimiter(&lexer->mariadb, argument, size);
    return sql_put(lexer, lexer->text.data, lexer->text.size) == 0 ? at : NULL;
}

/* The sandbox line is one comment, which ends on its line. */
static place end_sandbox_line(struct sql_lexer *lexer, place at)
{
    const char *close = strstr(lexer->text.data, "*/");
    if (close == NULL || close[2 + strspn(close + 2, " \t\r")] != '\0' ||
        strlen(lexer->text.data) != lexer->text.size) {
        return sql_fail(lexer, at,
                        "the sandbox line is not the one that mariadb-dump writes: use a dump of mariadb-dump");
    }
    return at;
}

static place scan_client_line(struct sql_lexer *lexer, place at, place end)
{
    place newline = memchr(at, '\n', (size_t)(end - at));
    place stop = newline != NULL ? newline : end;
    sql_text_add(lexer, at, stop);
    sql_leave_out(lexer, stop);
    if (lexer->text.cut) {
        return sql_fail(lexer, at, "a line for the client is longer than %d bytes: use a dump of mariadb-dump",
                        SQL_LINE_MAX);
    }
    if (newline == NULL && !lexer->final) {
        return stop;
    }
    lexer->state = IN_CODE;
    return lexer->mariadb.line_kind == LINE_SANDBOX ? end_sandbox_line(lexer, stop) : end_delimiter_line(lexer, stop);
}

static place begin_client_line(struct sql_lexer *lexer, place at, enum client_line kind)
{
    if (!lexer->line_start) {
        return sql_fail(lexer, at,
                        "a line for the client does not begin where a line does: use a dump of mariadb-dump");
    }
    if (begin_token(lexer, at, IN_CLIENT_LINE) == NULL || sql_pass(lexer, at) != 0) {
        return NULL;
    }
    lexer->mariadb.line_kind = kind;
    return at;
}

static bool begins_with(place at, place end, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(end - at) >= size && strncasecmp((const char *)at, text, size) == 0;
}

/* Where the statement is empty and one of the client's lines begins; `at` where none does. */
static place scan_statement_start(struct sql_lexer *lexer, place at, place end)
{
    if (begins_with(at, end, "/*!999999\\-") || begins_with(at, end, "/*M!999999\\-")) {
        return begin_client_line(lexer, at, LINE_SANDBOX);
    }
    if (begins_with(at, end, "delimiter") && end - at > 9 && (at[9] == ' ' || at[9] == '\t')) {
        return begin_client_line(lexer, at, LINE_DELIMITER);
    }
    return at;
}

/* At "/" followed by "*": versioned comments are code, others are skipped. */
static place begin_comment(struct sql_lexer *lexer, place at, place end)
{
    place mark = at + 2 + (end - at > 2 && at[2] == 'M');
    if (mark >= end || *mark != '!') {
        lexer->line_start = false;
        lexer->state = IN_BLOCK_COMMENT;
        return at + 2;
    }
    if (begin_token(lexer, at, IN_CODE) == NULL) {
        return NULL;
    }
    unsigned number = 0;
    place stop = mark + 1;
    for (; stop < end && sql_is_digit(*stop) && stop - mark <= 6; stop++) {
        number = number * 10 + (unsigned)(*stop - '0');
    }
    lexer->mariadb.in_versioned = true;
    lexer->mariadb.versioned_number = number;
    return stop;
}

/* `--` begins a comment before a space or at the start of a statement, `#` everywhere. */
static bool is_line_comment(const struct sql_lexer *lexer, place at, place end)
{
    if (*at == '#') {
        return true;
    }
    if (end - at < 2 || at[1] != '-') {
        return false;
    }
    return lexer->token_count == 0 || end - at == 2 || is_space(at[2]);
}

static place scan_backslash(struct sql_lexer *lexer, place at, place end)
{
    if (end - at >= 2 && at[1] == 'N') {
        return at + 2; /* NULL */
    }
    return sql_fail(lexer, at,
                    "a backslash stands outside of quotes, which the client takes for a command: use a dump "
                    "of mariadb-dump");
}

/* A byte of the table, or any one where the statement is still looked at. */
static place scan_special(struct sql_lexer *lexer, place at, place end)
{
    struct mariadb_state *mariadb = &lexer->mariadb;
    if ((size_t)(end - at) >= mariadb->delimiter_size && memcmp(at, mariadb->delimiter, mariadb->delimiter_size) == 0) {
        lexer->line_start = false;
        return end_statement(lexer, at + mariadb->delimiter_size);
    }
    if (*at == '/' && end - at >= 2 && at[1] == '*') {
        return begin_comment(lexer, at, end);
    }
    if (*at == '*' && mariadb->in_versioned && end - at >= 2 && at[1] == '/') {
        mariadb->in_versioned = false;
        return at + 2;
    }
    if ((*at == '#' || *at == '-') && is_line_comment(lexer, at, end)) {
        sql_text_begin(lexer);
        lexer->state = IN_LINE_COMMENT;
        return at;
    }
    if (*at == '\\') {
        return scan_backslash(lexer, at, end);
    }
    if (*at == '\0') {
        return sql_fail(lexer, at, "there is a NUL byte outside of a string: use another backup");
    }
    bool word = is_word_part(*at) && *at != (unsigned char)mariadb->delimiter[0];
    bool quoted = *at == '\'' || *at == '"' || *at == '`';
    if (begin_token(lexer, at, quoted ? IN_STRING : word ? IN_WORD : IN_CODE) == NULL) {
        return NULL;
    }
    mariadb->quote = *at;
    if (quoted || word) {
        return quoted ? at + 1 : at;
    }
    sql_text_add(lexer, at, at + 1);
    return end_token(lexer, at + 1, TOKEN_PUNCTUATION);
}

/* The end of the string that begins at `at`, or NULL where it is not simply to be had from what is there. */
static place skip_string(const struct mariadb_state *mariadb, place at, place end)
{
    unsigned char quote = *at;
    unsigned char escape = has_escapes(mariadb, quote) ? '\\' : quote;
    place stop = at + 1;
    for (;;) {
        while (stop < end && *stop != quote && *stop != escape) {
            stop++;
        }
        if (stop == end || (*stop != quote && (end - stop < 2 || stop[1] == '\0'))) {
            return NULL;
        }
        if (*stop == quote) {
            return stop + 1;
        }
        stop += 2;
    }
}

/* To the next byte that matters for where the statement ends. */
static place skip_fast(const struct mariadb_state *mariadb, place at, place end)
{
    const bool *special = mariadb->special;
    for (;;) {
        while (at < end && !special[*at]) {
            at++;
        }
        if (at == end || (*at != '\'' && *at != '"' && *at != '`')) {
            return at;
        }
        place after = skip_string(mariadb, at, end);
        if (after == NULL) {
            return at;
        }
        at = after;
    }
}

static place scan_code(struct sql_lexer *lexer, place at, place end)
{
    if (lexer->mariadb.fast) {
        lexer->line_start = false;
        at = skip_fast(&lexer->mariadb, at, end);
        if (at == end) {
            return at;
        }
    }
    if (is_space(*at)) {
        for (; at < end && is_space(*at); at++) {
            lexer->line_start = *at == '\n';
        }
        return at;
    }
    if (!lexer->final && end - at < LOOKAHEAD) {
        return at;
    }
    place after = lexer->token_count == 0 ? scan_statement_start(lexer, at, end) : at;
    if (after == NULL || lexer->state != IN_CODE) {
        return after;
    }
    return scan_special(lexer, at, end);
}

static place scan(struct sql_lexer *lexer, place at, place end, bool final)
{
    lexer->final = final;
    while (at < end) {
        enum sql_state state = lexer->state;
        place next = at;
        switch (state) {
        case IN_WORD:
            next = scan_word(lexer, at, end);
            break;
        case IN_STRING:
            next = scan_string(lexer, at, end);
            break;
        case IN_LINE_COMMENT:
            next = scan_line_comment(lexer, at, end);
            break;
        case IN_BLOCK_COMMENT:
            next = scan_block_comment(lexer, at, end);
            break;
        case IN_CLIENT_LINE:
            next = scan_client_line(lexer, at, end);
            break;
        default:
            next = scan_code(lexer, at, end);
        }
        if (next == NULL || (next == at && state == lexer->state)) {
            return next;
        }
        at = next;
    }
    return at;
}

static const char *unfinished(const struct sql_lexer *lexer)
{
    bool comment = lexer->state == IN_LINE_COMMENT;
    if ((lexer->state != IN_CODE && !comment) || lexer->token_count > 0) {
        return "in the midst of a statement";
    }
    return lexer->complete ? NULL : "`-- Dump completed` is missing";
}

const struct sql_dialect sql_mariadb = {.name = "MariaDB", .scan = scan, .unfinished = unfinished};
