/* What the files of the SQL lexer share: the state of a lexer, and the dialects' ends of it. */
#ifndef SQL_PARTS_H
#define SQL_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "sql_lexer.h"

enum {
    SQL_TOKENS_MAX = 8,    /* of a statement's first tokens, the ones that are kept */
    SQL_TEXT_MAX = 1024,   /* of one kept token; longer ones are cut and marked */
    SQL_NAME_MAX = 255,    /* bytes of a database's or role's name: the bound of dump_database and dump_role */
    SQL_HELD_MAX = 2048,   /* of a statement that may have to be rewritten */
    SQL_LINE_MAX = 2048,   /* of a client command or a comment that matters */
    SQL_LOOKAHEAD = 256,   /* a scanner leaves at most this much of its input for the next time */
    SQL_TAG_MAX = 128,     /* of $tag$ */
    SQL_DELIMITER_MAX = 8, /* of DELIMITER */
};

enum sql_token_kind {
    TOKEN_WORD,        /* unquoted; ASCII letters in lower case */
    TOKEN_NAME,        /* a quoted identifier, unquoted */
    TOKEN_STRING,      /* what is between the quotes, as it stands */
    TOKEN_NUMBER,      /* digits and what is joined to them */
    TOKEN_PUNCTUATION, /* one character */
};

struct sql_token {
    enum sql_token_kind kind;
    bool cut;
    char text[SQL_TEXT_MAX];
};

/* A buffer for the start of something; `cut` once it did not fit. */
struct sql_text {
    size_t size;
    bool cut;
    char data[SQL_LINE_MAX];
};

enum sql_state {
    IN_CODE,
    IN_WORD,
    IN_NUMBER,
    IN_STRING,
    IN_NAME, /* a quoted identifier */
    IN_TAG,  /* after a $ that may open a dollar quote */
    IN_DOLLAR_QUOTE,
    IN_LINE_COMMENT,
    IN_BLOCK_COMMENT,
    IN_CLIENT_LINE, /* a line for the client, which is judged at its end */
    AFTER_COPY,     /* COPY ... FROM stdin; was read, its newline not yet */
    IN_ROWS,
};

enum copy_step { COPY_NONE, COPY_TARGET, COPY_FROM, COPY_STDIN };

struct postgres_state {
    char login[SQL_NAME_MAX + 1];
    bool encoding_known; /* since the last \connect */
    bool strings_known;
    bool backslash_escapes; /* standard_conforming_strings is off */
    bool escapes;           /* of the string we are in */
    bool after_escape_string;
    bool newline_after_string;
    unsigned comment_depth;
    uint64_t parentheses;
    uint64_t begin_depth;      /* BEGIN ATOMIC ... END in a function's body, by psql's own heuristic */
    unsigned identifier_count; /* of this statement, as far as the heuristic looks */
    char identifiers[4];
    bool after_inner_semicolon;
    enum copy_step copy;
    size_t tag_size;
    char tag[SQL_TAG_MAX + 2]; /* with both $ */
};

enum client_line { LINE_DELIMITER, LINE_SANDBOX };
enum awaited_value { AWAIT_NONE, AWAIT_CHARSET, AWAIT_MODE };

struct mariadb_state {
    bool fast; /* nothing of this statement matters any more but where it ends */
    bool special[256];
    char delimiter[SQL_DELIMITER_MAX + 1];
    size_t delimiter_size;
    unsigned char quote;
    bool ansi_quotes;
    bool no_backslash_escapes;
    bool in_versioned; /* within a versioned comment */
    unsigned versioned_number;
    enum client_line line_kind;
    enum awaited_value candidate; /* the variable just named, before its '=' */
    enum awaited_value awaited;   /* the value that follows */
    bool awaits_set;              /* CHARACTER was read, SET makes it a character set */
    char last_database[SQL_NAME_MAX + 1];
};

struct sql_dialect {
    const char *name;
    /*
     * Reads from `at` up to `end`, or to where it needs more than is there (at most SQL_LOOKAHEAD bytes before `end`;
     * never where `final`). Returns where it stopped, or NULL after sql_fail().
     */
    const unsigned char *(*scan)(struct sql_lexer *lexer, const unsigned char *at, const unsigned char *end,
                                 bool final);
    /* Why the dump may not end here, or NULL. */
    const char *(*unfinished)(const struct sql_lexer *lexer);
};

struct sql_lexer {
    const struct sql_dialect *dialect;
    struct sql_sink sink;
    enum sql_state state;
    bool line_start;   /* the last byte was a newline, or there was none */
    bool complete;     /* the trailer was seen */
    bool version_told; /* sink.version was called */
    bool final;        /* no input will follow */
    bool failed;
    uint64_t line;            /* number of the line that `counted` lies in */
    const unsigned char *run; /* not yet output from here on */
    const unsigned char *counted;
    size_t carried; /* bytes kept for the next feed */
    unsigned char carry[2 * SQL_LOOKAHEAD];

    bool holding; /* the statement goes to `held` until it is clear what becomes of it */
    size_t held_size;
    unsigned char held[SQL_HELD_MAX];

    size_t token_count; /* of this statement; the first SQL_TOKENS_MAX are kept */
    struct sql_token tokens[SQL_TOKENS_MAX];
    struct sql_text text; /* of the token, comment or line being read */

    union {
        struct postgres_state postgres;
        struct mariadb_state mariadb;
    };
    char error[512];
};

extern const struct sql_dialect sql_postgres;
extern const struct sql_dialect sql_mariadb;
void sql_postgres_init(struct sql_lexer *lexer, const char *login);
void sql_mariadb_init(struct sql_lexer *lexer);

/* Fail at `at`, in whose line the reason lies. Always returns NULL. */
const unsigned char *sql_fail(struct sql_lexer *lexer, const unsigned char *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Output what was read up to `at`. Returns 0, or -1 after sql_fail(). */
int sql_pass(struct sql_lexer *lexer, const unsigned char *at);

/* Leave out what was read since the last output up to `at`. */
void sql_leave_out(struct sql_lexer *lexer, const unsigned char *at);

/* Output bytes of our own, after all that was passed. Returns 0, or -1 after sql_fail(). */
int sql_put(struct sql_lexer *lexer, const void *data, size_t size);

/* From `at` on, output is held back until sql_release() or sql_discard(), or until it outgrows the buffer. */
int sql_hold(struct sql_lexer *lexer, const unsigned char *at);
int sql_release(struct sql_lexer *lexer);
void sql_discard(struct sql_lexer *lexer);

/* lexer->text: begin anew, and add what lies between two places. */
void sql_text_begin(struct sql_lexer *lexer);
void sql_text_add(struct sql_lexer *lexer, const unsigned char *from, const unsigned char *to);

/* Count a token and keep lexer->text as its text. Returns it, or NULL where so many are not kept. */
const struct sql_token *sql_token_add(struct sql_lexer *lexer, enum sql_token_kind kind);
bool sql_token_is(const struct sql_lexer *lexer, size_t index, enum sql_token_kind kind, const char *text);

/* The name that token `index` is, or NULL: no such token, no name, or longer than SQL_NAME_MAX. */
const char *sql_token_name(const struct sql_lexer *lexer, size_t index);

/* Whether a client may use the encoding: no byte of its characters but the first looks like ASCII. */
bool sql_encoding_is_safe(const char *name);

/* Report where the sink wants to know. 0, or -1 after sql_fail(). */
int sql_report(struct sql_lexer *lexer, const unsigned char *at, int (*report)(void *, const char *), const char *text);
int sql_report_version(struct sql_lexer *lexer, const unsigned char *at, const char *text);

static inline bool sql_is_digit(unsigned char byte)
{
    return byte >= '0' && byte <= '9';
}

static inline bool sql_is_letter(unsigned char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') || byte == '_' || byte >= 0x80;
}

static inline unsigned char sql_lower(unsigned char byte)
{
    return byte >= 'A' && byte <= 'Z' ? (unsigned char)(byte + ('a' - 'A')) : byte;
}

#endif
