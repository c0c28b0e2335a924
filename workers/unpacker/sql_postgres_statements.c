/*
 * The SQL lexer for PostgreSQL: what becomes of statements, comments and backslash commands once they are read.
 * sql_lexer.h says which are rewritten, and why.
 */
#include "sql_postgres.h"

#include <string.h>
#include <strings.h>

typedef const unsigned char *place;

#define TRAILER "-- PostgreSQL database cluster dump complete"
#define VERSION_LINE "-- Dumped from database version "

/* Of a DO block: what is done about the memberships of a role that the dump is going to grant anew. */
#define REVOKE_MEMBERSHIPS                                                                                             \
    "membership record; BEGIN SET LOCAL client_min_messages = error; FOR membership IN SELECT r.rolname AS granted, "  \
    "m.rolname AS member, g.rolname AS grantor FROM pg_catalog.pg_auth_members a "                                     \
    "JOIN pg_catalog.pg_roles r ON r.oid = a.roleid JOIN pg_catalog.pg_roles m ON m.oid = a.member "                   \
    "LEFT JOIN pg_catalog.pg_roles g ON g.oid = a.grantor WHERE cleared IN (r.rolname, m.rolname) LOOP "               \
    "IF pg_catalog.current_setting('server_version_num')::integer >= 160000 THEN "                                     \
    "EXECUTE pg_catalog.format('REVOKE %I FROM %I GRANTED BY %I CASCADE', "                                            \
    "membership.granted, membership.member, membership.grantor); ELSE "                                                \
    "EXECUTE pg_catalog.format('REVOKE %I FROM %I CASCADE', membership.granted, membership.member); "                  \
    "END IF; END LOOP; "
#define CLEAR_SETTINGS                                                                                                 \
    "EXECUTE pg_catalog.format('ALTER ROLE %I RESET ALL', cleared); "                                                  \
    "EXECUTE pg_catalog.format('ALTER ROLE %I CONNECTION LIMIT -1', cleared); "                                        \
    "EXECUTE pg_catalog.format('COMMENT ON ROLE %I IS NULL', cleared); "                                               \
    "IF EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = cleared AND rolvaliduntil IS NOT NULL) THEN "        \
    "EXECUTE pg_catalog.format('ALTER ROLE %I VALID UNTIL ''infinity''', cleared); END IF; "
#define DROP_OR_CLEAR                                                                                                  \
    "BEGIN EXECUTE pg_catalog.format('DROP ROLE IF EXISTS %I', cleared); "                                             \
    "EXCEPTION WHEN dependent_objects_still_exist THEN "                                                               \
    "EXECUTE pg_catalog.format('ALTER ROLE %I PASSWORD NULL', cleared); " CLEAR_SETTINGS "END; "
/* The body of a DO block, before it is quoted. */
struct body {
    size_t size;
    char data[8192];
};

static void add(struct body *body, const char *text)
{
    size_t size = strlen(text);
    memcpy(body->data + body->size, text, size);
    body->size += size;
}

/* As an E'' literal, which reads the same with and without standard_conforming_strings. */
static size_t escape(const char *text, size_t size, char *out)
{
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\'' || text[i] == '\\') {
            out[used++] = text[i];
        }
        out[used++] = text[i];
    }
    return used;
}

static void add_literal(struct body *body, const char *text)
{
    add(body, "E'");
    body->size += escape(text, strlen(text), body->data + body->size);
    add(body, "'");
}

static bool is_word(const struct sql_lexer *lexer, size_t index, const char *word)
{
    return sql_token_is(lexer, index, TOKEN_WORD, word);
}

static int put_text(struct sql_lexer *lexer, const char *text)
{
    return sql_put(lexer, text, strlen(text));
}

static int put_literal(struct sql_lexer *lexer, const char *text, size_t size)
{
    char escaped[2 * sizeof((struct body *)0)->data];
    size_t used = escape(text, size, escaped);
    return put_text(lexer, "E'") != 0 || sql_put(lexer, escaped, used) != 0 ? -1 : put_text(lexer, "'");
}

static int put_identifier(struct sql_lexer *lexer, const char *name)
{
    char quoted[2 * SQL_NAME_MAX + 2];
    size_t used = 0;
    quoted[used++] = '"';
    for (; *name != '\0'; name++) {
        if (*name == '"') {
            quoted[used++] = '"';
        }
        quoted[used++] = *name;
    }
    quoted[used++] = '"';
    return sql_put(lexer, quoted, used);
}

static int put_block(struct sql_lexer *lexer, const struct body *body)
{
    return put_text(lexer, "DO ") != 0 || put_literal(lexer, body->data, body->size) != 0 ? -1 : put_text(lexer, ";");
}

static int drop_role(struct sql_lexer *lexer, const char *name)
{
    struct body body = {0};
    add(&body, "DECLARE cleared CONSTANT pg_catalog.name := ");
    add_literal(&body, name);
    add(&body, "; " REVOKE_MEMBERSHIPS);
    add(&body, strcmp(name, lexer->postgres.login) == 0 ? CLEAR_SETTINGS : DROP_OR_CLEAR);
    add(&body, "END");
    sql_discard(lexer);
    return put_block(lexer, &body);
}

static int create_role(struct sql_lexer *lexer, const char *name)
{
    struct body body = {0};
    add(&body, "BEGIN IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_roles WHERE rolname = ");
    add_literal(&body, name);
    add(&body, ") THEN EXECUTE pg_catalog.format('CREATE ROLE %I', ");
    add_literal(&body, name);
    add(&body, "); END IF; END");
    sql_discard(lexer);
    return put_block(lexer, &body);
}

static int drop_database(struct sql_lexer *lexer, const char *name, bool if_exists)
{
    const char *unmark = "UPDATE pg_catalog.pg_database SET datistemplate = false WHERE datistemplate AND datname = ";
    const char *drop = if_exists ? "; DROP DATABASE IF EXISTS " : "; DROP DATABASE ";
    sql_discard(lexer);
    if (put_text(lexer, unmark) != 0 || put_literal(lexer, name, strlen(name)) != 0 || put_text(lexer, drop) != 0 ||
        put_identifier(lexer, name) != 0) {
        return -1;
    }
    return put_text(lexer, ";");
}

/*
 * CREATE TABLESPACE cannot be run by a DO block: psql is given the statement as the result of a query, or no result.
 * The statement is the one held back, whose semicolon is its last byte.
 */
static int create_tablespace(struct sql_lexer *lexer)
{
    char statement[SQL_HELD_MAX];
    size_t size = lexer->held_size - 1;
    memcpy(statement, lexer->held, size);
    const char *name = sql_token_name(lexer, 2), *owner = sql_token_name(lexer, 4);
    sql_discard(lexer);
    if (put_text(lexer, "SELECT ") != 0 || put_literal(lexer, statement, size) != 0 ||
        put_text(lexer, " WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_tablespace WHERE spcname = ") != 0 ||
        put_literal(lexer, name, strlen(name)) != 0 || put_text(lexer, ") \\gexec \\\\ ALTER TABLESPACE ") != 0 ||
        put_identifier(lexer, name) != 0 || put_text(lexer, " OWNER TO ") != 0 || put_identifier(lexer, owner) != 0) {
        return -1;
    }
    return put_text(lexer, ";");
}

/* CREATE TABLESPACE name OWNER owner LOCATION '...'; as pg_dumpall writes it, and short enough to be held back. */
static bool is_create_tablespace(const struct sql_lexer *lexer)
{
    return lexer->holding && lexer->token_count == 7 && is_word(lexer, 1, "tablespace") &&
           sql_token_name(lexer, 2) != NULL && is_word(lexer, 3, "owner") && sql_token_name(lexer, 4) != NULL &&
           is_word(lexer, 5, "location") && lexer->tokens[6].kind == TOKEN_STRING;
}

/* DROP ROLE | DATABASE | TABLESPACE [IF EXISTS] name; -- anything longer passes as it is. */
static int judge_drop(struct sql_lexer *lexer)
{
    bool if_exists = is_word(lexer, 2, "if") && is_word(lexer, 3, "exists") && lexer->token_count == 5;
    const char *name = sql_token_name(lexer, if_exists ? 4 : 2);
    if (name == NULL || lexer->token_count != (if_exists ? 5 : 3)) {
        return 0;
    }
    if (is_word(lexer, 1, "role")) {
        return drop_role(lexer, name);
    }
    if (is_word(lexer, 1, "tablespace")) {
        sql_discard(lexer);
        return 0;
    }
    return is_word(lexer, 1, "database") ? drop_database(lexer, name, if_exists) : 0;
}

static int judge_create(struct sql_lexer *lexer, place at)
{
    bool role = is_word(lexer, 1, "role"), database = is_word(lexer, 1, "database");
    if (is_create_tablespace(lexer)) {
        return create_tablespace(lexer);
    }
    if (!role && !database) {
        return 0;
    }
    const char *name = sql_token_name(lexer, 2);
    if (name == NULL) {
        sql_fail(lexer, at, "the name in a CREATE %s is missing or longer than %d bytes: use a dump of pg_dumpall",
                 role ? "ROLE" : "DATABASE", SQL_NAME_MAX);
        return -1;
    }
    if (sql_report(lexer, at, role ? lexer->sink.role : lexer->sink.database, name) != 0) {
        return -1;
    }
    return role && lexer->token_count == 3 ? create_role(lexer, name) : 0;
}

static int judge_encoding(struct sql_lexer *lexer, place at, size_t value)
{
    bool known = value < lexer->token_count && value < SQL_TOKENS_MAX && lexer->token_count == value + 1 &&
                 lexer->tokens[value].kind == TOKEN_STRING && !lexer->tokens[value].cut;
    if (!known || !sql_encoding_is_safe(lexer->tokens[value].text)) {
        sql_fail(lexer, at,
                 "client_encoding is set to one in which part of a character can look like a backslash, or "
                 "that is not known: make the dump with --encoding=UTF8");
        return -1;
    }
    lexer->postgres.encoding_known = true;
    return 0;
}

static int judge_strings(struct sql_lexer *lexer, place at, size_t value)
{
    bool on = is_word(lexer, value, "on"), off = is_word(lexer, value, "off");
    if ((!on && !off) || lexer->token_count != value + 1) {
        sql_fail(lexer, at, "standard_conforming_strings is set to neither on nor off: use a dump of pg_dumpall");
        return -1;
    }
    lexer->postgres.strings_known = true;
    lexer->postgres.backslash_escapes = off;
    return 0;
}

static bool names_reading_setting(const struct sql_token *token)
{
    return strcasecmp(token->text, "client_encoding") == 0 || strcasecmp(token->text, "names") == 0 ||
           strcasecmp(token->text, "standard_conforming_strings") == 0;
}

/* SET [SESSION] variable {=|TO} value; of the two settings on which our reading depends. */
static int judge_set(struct sql_lexer *lexer, place at)
{
    size_t variable = is_word(lexer, 1, "session") ? 2 : 1;
    bool assigned = sql_token_is(lexer, variable + 1, TOKEN_PUNCTUATION, "=") || is_word(lexer, variable + 1, "to");
    if (is_word(lexer, variable, "client_encoding") && assigned) {
        return judge_encoding(lexer, at, variable + 2);
    }
    if (is_word(lexer, variable, "names")) {
        return judge_encoding(lexer, at, variable + 1);
    }
    if (is_word(lexer, variable, "standard_conforming_strings") && assigned) {
        return judge_strings(lexer, at, variable + 2);
    }
    for (size_t i = 1; i < 3 && i < lexer->token_count; i++) {
        if (names_reading_setting(&lexer->tokens[i])) {
            sql_fail(lexer, at,
                     "a setting on which the reading of the dump depends is made in an unusual way: use a "
                     "dump of pg_dumpall");
            return -1;
        }
    }
    return 0;
}

/* SELECT pg_catalog.set_config('search_path', ...) is pg_dump's; the same of our two settings is not. */
static int judge_select(struct sql_lexer *lexer, place at)
{
    for (size_t i = 1; i + 2 < lexer->token_count && i + 2 < SQL_TOKENS_MAX; i++) {
        const struct sql_token *argument = &lexer->tokens[i + 2];
        bool literal = argument->kind == TOKEN_STRING && sql_token_is(lexer, i + 3, TOKEN_PUNCTUATION, ",");
        if (is_word(lexer, i, "set_config") && (!literal || names_reading_setting(argument))) {
            sql_fail(lexer, at,
                     "set_config() of a setting on which the reading of the dump depends: use a dump of "
                     "pg_dumpall");
            return -1;
        }
    }
    return 0;
}

static void forget_settings(struct sql_lexer *lexer)
{
    lexer->postgres.encoding_known = false;
    lexer->postgres.strings_known = false;
    lexer->postgres.backslash_escapes = false;
}

static int judge(struct sql_lexer *lexer, place at)
{
    static const char *const forgetting[] = {"reset", "discard", "rollback", "abort"};
    for (size_t i = 0; i < sizeof forgetting / sizeof forgetting[0]; i++) {
        if (is_word(lexer, 0, forgetting[i])) {
            forget_settings(lexer);
        }
    }
    if (is_word(lexer, 0, "drop")) {
        return judge_drop(lexer);
    }
    if (is_word(lexer, 0, "create")) {
        return judge_create(lexer, at);
    }
    if (is_word(lexer, 0, "set")) {
        return judge_set(lexer, at);
    }
    return is_word(lexer, 0, "select") ? judge_select(lexer, at) : 0;
}

place sql_postgres_statement(struct sql_lexer *lexer, place at)
{
    struct postgres_state *postgres = &lexer->postgres;
    if (postgres->copy != COPY_NONE && postgres->copy != COPY_STDIN) {
        return sql_fail(lexer, at, "a COPY that is not FROM stdin: use a dump of pg_dumpall");
    }
    if (sql_pass(lexer, at) != 0 || judge(lexer, at) != 0 || sql_release(lexer) != 0) {
        return NULL;
    }
    lexer->state = postgres->copy == COPY_STDIN ? AFTER_COPY : IN_CODE;
    lexer->token_count = 0;
    postgres->copy = COPY_NONE;
    postgres->identifier_count = 0;
    return at;
}

/* psql's heuristic for BEGIN ATOMIC: CREATE [OR REPLACE] {FUNCTION | PROCEDURE}, then BEGIN or CASE against END. */
static void follow_begin(struct sql_lexer *lexer, const char *word)
{
    struct postgres_state *postgres = &lexer->postgres;
    char *first = postgres->identifiers;
    if (postgres->identifier_count == 0) {
        memset(first, 0, sizeof postgres->identifiers);
    }
    if (postgres->identifier_count < sizeof postgres->identifiers) {
        bool counts = strcmp(word, "create") == 0 || strcmp(word, "function") == 0 || strcmp(word, "procedure") == 0 ||
                      strcmp(word, "or") == 0 || strcmp(word, "replace") == 0;
        first[postgres->identifier_count++] = counts ? word[0] : '-';
    }
    if (first[0] != 'c' || postgres->parentheses > 0) {
        return;
    }
    size_t kind = first[1] == 'o' && first[2] == 'r' ? 3 : 1;
    if (first[kind] != 'f' && first[kind] != 'p') {
        return;
    }
    if (strcmp(word, "begin") == 0 || (strcmp(word, "case") == 0 && postgres->begin_depth > 0)) {
        postgres->begin_depth++;
    } else if (strcmp(word, "end") == 0 && postgres->begin_depth > 0) {
        postgres->begin_depth--;
    }
}

/* COPY name [(columns)] [WITH OIDS] FROM stdin, and nothing else. */
static place follow_copy(struct sql_lexer *lexer, place at, enum sql_token_kind kind, const char *word)
{
    struct postgres_state *postgres = &lexer->postgres;
    if (postgres->copy == COPY_STDIN) {
        return sql_fail(lexer, at, "a COPY with options, which pg_dump does not write: use a dump of pg_dumpall");
    }
    if (postgres->copy == COPY_FROM) {
        postgres->copy = COPY_STDIN;
        return strcmp(word, "stdin") == 0 ? at
                                          : sql_fail(lexer, at,
                                                     "a COPY from a file or program of the server, which "
                                                     "pg_dump does not write: use a dump of pg_dumpall");
    }
    if (kind != TOKEN_WORD || postgres->parentheses > 0) {
        return at;
    }
    if (strcmp(word, "to") == 0) {
        return sql_fail(lexer, at, "a COPY that writes, which pg_dump does not use: use a dump of pg_dumpall");
    }
    if (strcmp(word, "from") == 0) {
        postgres->copy = COPY_FROM;
    }
    return at;
}

/* Whether the statement may still have to be rewritten. */
static bool may_be_rewritten(const struct sql_lexer *lexer)
{
    bool drop = is_word(lexer, 0, "drop"), create = is_word(lexer, 0, "create");
    if (lexer->token_count == 1) {
        return drop || create;
    }
    bool shared = is_word(lexer, 1, "role") || is_word(lexer, 1, "tablespace");
    return (drop || create) && (shared || (drop && is_word(lexer, 1, "database")));
}

place sql_postgres_token(struct sql_lexer *lexer, place at, enum sql_token_kind kind)
{
    struct postgres_state *postgres = &lexer->postgres;
    char *word = lexer->text.data;
    if (kind == TOKEN_WORD) {
        for (char *byte = word; *byte != '\0'; byte++) {
            *byte = (char)sql_lower((unsigned char)*byte);
        }
        follow_begin(lexer, word);
        if (postgres->after_inner_semicolon && strcmp(word, "copy") == 0) {
            return sql_fail(lexer, at, "a COPY within another statement: use a dump of pg_dumpall");
        }
    }
    postgres->after_inner_semicolon = false;
    if (lexer->holding && !may_be_rewritten(lexer) && (sql_pass(lexer, at) != 0 || sql_release(lexer) != 0)) {
        return NULL;
    }
    if (lexer->token_count == 1) {
        postgres->copy = is_word(lexer, 0, "copy") ? COPY_TARGET : COPY_NONE;
        return at;
    }
    return postgres->copy == COPY_NONE ? at : follow_copy(lexer, at, kind, kind == TOKEN_WORD ? word : "");
}

place sql_postgres_comment(struct sql_lexer *lexer, place at)
{
    const char *comment = lexer->text.data;
    if (!lexer->line_start || lexer->token_count > 0) {
        return at;
    }
    if (strcmp(comment, TRAILER) == 0) {
        lexer->complete = true;
        return at;
    }
    if (strncmp(comment, VERSION_LINE, strlen(VERSION_LINE)) == 0 && strlen(comment) < 128 + strlen(VERSION_LINE)) {
        return sql_report_version(lexer, at, comment + strlen(VERSION_LINE)) == 0 ? at : NULL;
    }
    return at;
}

/* What a bare argument may consist of: nothing that psql would expand or take for a connection string. */
static bool is_bare(const char *text, const char *others)
{
    for (; *text != '\0'; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte >= 0x80 || (!sql_is_letter(byte) && !sql_is_digit(byte) && strchr(others, byte) == NULL)) {
            return false;
        }
    }
    return true;
}

/* Unquotes "...", which has to be all of `text`. Returns false where it is not. */
static bool unquote(const char *text, char *out)
{
    if (*text++ != '"') {
        return false;
    }
    for (; *text != '\0'; *out++ = *text++) {
        if (*text == '"' && *++text != '"') {
            *out = '\0';
            return *text == '\0';
        }
    }
    return false;
}

/* dbname=VALUE, with libpq's quoting, and no other key. */
static bool names_database_alone(const char *connection)
{
    const char *key = "dbname=";
    if (strncmp(connection, key, strlen(key)) != 0) {
        return false;
    }
    const char *value = connection + strlen(key);
    if (*value != '\'') {
        return *value != '\0' && is_bare(value, ".");
    }
    for (value++; *value != '\0' && *value != '\''; value++) {
        if (*value == '\\' && *++value == '\0') {
            return false;
        }
    }
    return value[0] == '\'' && value[1] == '\0';
}

static bool connect_is_sound(const char *argument)
{
    static const char again[] = "-reuse-previous=on ";
    char name[SQL_LINE_MAX];
    if (strncmp(argument, again, strlen(again)) == 0) {
        return unquote(argument + strlen(again), name) && names_database_alone(name);
    }
    if (*argument == '"') {
        return unquote(argument, name) && strchr(name, '=') == NULL && strncmp(name, "postgres://", 11) != 0 &&
               strncmp(name, "postgresql://", 13) != 0;
    }
    return *argument != '\0' && is_bare(argument, ".");
}

static place command_connect(struct sql_lexer *lexer, place at, const char *argument)
{
    if (!connect_is_sound(argument)) {
        return sql_fail(lexer, at, "\\connect with more than the name of a database: use a dump of pg_dumpall");
    }
    forget_settings(lexer);
    return sql_put(lexer, lexer->text.data, lexer->text.size) == 0 ? at : NULL;
}

static place command_encoding(struct sql_lexer *lexer, place at, const char *argument)
{
    if (!is_bare(argument, "-") || !sql_encoding_is_safe(argument)) {
        return sql_fail(lexer, at,
                        "\\encoding of one in which part of a character can look like a backslash, or that "
                        "is not known: make the dump with --encoding=UTF8");
    }
    lexer->postgres.encoding_known = true;
    return sql_put(lexer, lexer->text.data, lexer->text.size) == 0 ? at : NULL;
}

/* What follows `command` and a space, or NULL where the line is another command. */
static const char *argument_of(const char *line, const char *command)
{
    size_t size = strlen(command);
    return strncmp(line, command, size) == 0 && line[size] == ' ' ? line + size + 1 : NULL;
}

place sql_postgres_command(struct sql_lexer *lexer, place at)
{
    const char *line = lexer->text.data;
    if (argument_of(line, "\\restrict") != NULL || argument_of(line, "\\unrestrict") != NULL) {
        return at;
    }
    if (lexer->complete) {
        return sql_fail(lexer, at, "there is a psql command after the line that ends the dump: use another backup");
    }
    const char *argument = argument_of(line, "\\connect");
    if (argument != NULL) {
        return command_connect(lexer, at, argument);
    }
    argument = argument_of(line, "\\encoding");
    if (argument != NULL) {
        return command_encoding(lexer, at, argument);
    }
    return sql_fail(lexer, at, "the psql command `%.40s` has no place in a dump: use a dump of pg_dumpall", line);
}
