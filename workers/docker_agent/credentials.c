/* Finds a database server's credentials in its container's environment and formats them for the server's client. */
#include "credentials.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret.h"

/* The names of one setting, the one that wins first; NULL ends the list. */
struct setting {
    const char *names[3];
};

static const struct setting postgres_user = {{"POSTGRES_USER", NULL}};
static const struct setting postgres_password = {{"POSTGRES_PASSWORD", NULL}};
static const struct setting postgres_database = {{"POSTGRES_DB", NULL}};
static const struct setting mariadb_root_password = {{"MARIADB_ROOT_PASSWORD", "MYSQL_ROOT_PASSWORD", NULL}};
static const struct setting mariadb_empty_password = {
    {"MARIADB_ALLOW_EMPTY_ROOT_PASSWORD", "MYSQL_ALLOW_EMPTY_PASSWORD", NULL}};
static const struct setting mariadb_user = {{"MARIADB_USER", "MYSQL_USER", NULL}};
static const struct setting mariadb_password = {{"MARIADB_PASSWORD", "MYSQL_PASSWORD", NULL}};
static const struct setting mariadb_database = {{"MARIADB_DATABASE", "MYSQL_DATABASE", NULL}};

/* What a lookup works with. */
struct lookup {
    const struct environment *environment;
    const struct secret_reader *reader;
    char *warning;
    size_t warning_size;
    char *error;
    size_t error_size;
};

/* The value of NAME followed by `suffix`; NULL where it is unset or empty, which the images treat alike. */
static const char *variable(const struct environment *environment, const char *name, const char *suffix)
{
    size_t name_size = strlen(name);
    size_t suffix_size = strlen(suffix);
    for (size_t i = 0; i < environment->count; i++) {
        const char *entry = environment->lines[i];
        if (strncmp(entry, name, name_size) == 0 && strncmp(entry + name_size, suffix, suffix_size) == 0 &&
            entry[name_size + suffix_size] == '=' && entry[name_size + suffix_size + 1] != '\0') {
            return entry + name_size + suffix_size + 1;
        }
    }
    return NULL;
}

static char *copy(const char *text, const struct lookup *lookup)
{
    char *result = strdup(text);
    if (result == NULL) {
        snprintf(lookup->error, lookup->error_size, "out of memory");
    }
    return result;
}

/* Like $(<file) in the images: trailing newlines are not part of the secret. */
static char *read_secret_file(const struct lookup *lookup, const char *name, const char *path)
{
    char reason[256] = "";
    char *text = NULL;
    if (lookup->reader->read(lookup->reader->context, path, &text, reason, sizeof reason) != 0) {
        snprintf(lookup->error, lookup->error_size, "%s_FILE names %s, which cannot be read in the container: %s", name,
                 path, reason);
        return NULL;
    }
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '\n') {
        text[--size] = '\0';
    }
    return text;
}

/*
 * Looks a setting up under each of its names. Returns 0 with *value NULL where it is not set, or a string on the heap;
 * *found is the variable that won. Returns -1 with lookup->error set.
 */
static int find(const struct lookup *lookup, const struct setting *setting, char **value, const char **found)
{
    *value = NULL;
    *found = NULL;
    for (size_t i = 0; setting->names[i] != NULL; i++) {
        const char *name = setting->names[i];
        const char *plain = variable(lookup->environment, name, "");
        const char *path = variable(lookup->environment, name, "_FILE");
        if (plain == NULL && path == NULL) {
            continue;
        }
        if (plain != NULL && path != NULL && lookup->warning != NULL) {
            snprintf(lookup->warning, lookup->warning_size, "%s and %s_FILE are both set; %s is used", name, name,
                     name);
        }
        *value = plain != NULL ? copy(plain, lookup) : read_secret_file(lookup, name, path);
        *found = name;
        return *value == NULL ? -1 : 0;
    }
    return 0;
}

static int find_or(const struct lookup *lookup, const struct setting *setting, const char *fallback, char **value)
{
    const char *found;
    if (find(lookup, setting, value, &found) != 0) {
        return -1;
    }
    if (*value == NULL) {
        *value = copy(fallback, lookup);
    }
    return *value == NULL ? -1 : 0;
}

/* The image's superuser is the application's user as well. */
static int find_postgres(const struct lookup *lookup, struct credentials *credentials)
{
    struct login *superuser = &credentials->superuser;
    struct login *application = &credentials->application;
    if (find_or(lookup, &postgres_user, "postgres", &superuser->user) != 0 ||
        find(lookup, &postgres_password, &superuser->password, &superuser->password_name) != 0 ||
        find_or(lookup, &postgres_database, superuser->user, &application->database) != 0) {
        return -1;
    }
    if (superuser->password == NULL) {
        return 0;
    }
    application->user = copy(superuser->user, lookup);
    application->password = copy(superuser->password, lookup);
    application->password_name = superuser->password_name;
    return application->user == NULL || application->password == NULL ? -1 : 0;
}

/* Root's password may be unknown (random, or given as a hash): then the socket without a password is tried. */
static int find_root(const struct lookup *lookup, struct credentials *credentials)
{
    struct login *root = &credentials->superuser;
    const char *found;
    cleanup_secret char *allow_empty = NULL;
    root->user = copy("root", lookup);
    if (root->user == NULL || find(lookup, &mariadb_root_password, &root->password, &root->password_name) != 0 ||
        find(lookup, &mariadb_empty_password, &allow_empty, &found) != 0) {
        return -1;
    }
    if (root->password == NULL && allow_empty != NULL) {
        root->password = copy("", lookup);
        root->password_name = found;
        return root->password == NULL ? -1 : 0;
    }
    return 0;
}

static int find_mariadb(const struct lookup *lookup, struct credentials *credentials)
{
    struct login *application = &credentials->application;
    const char *found;
    if (find_root(lookup, credentials) != 0 || find(lookup, &mariadb_user, &application->user, &found) != 0 ||
        find(lookup, &mariadb_password, &application->password, &application->password_name) != 0 ||
        find(lookup, &mariadb_database, &application->database, &found) != 0) {
        return -1;
    }
    if (application->user != NULL && application->password == NULL) {
        login_clear(application); /* the images make no user without a password */
    }
    return 0;
}

int credentials_find(enum section_kind kind, const struct environment *environment, const struct secret_reader *reader,
                     struct credentials *credentials)
{
    *credentials = (struct credentials){0};
    struct lookup lookup = {environment,          reader,
                            credentials->warning, sizeof credentials->warning,
                            credentials->error,   sizeof credentials->error};
    return kind == SECTION_POSTGRES ? find_postgres(&lookup, credentials) : find_mariadb(&lookup, credentials);
}

char *credentials_login_name(enum section_kind kind, const struct environment *environment,
                             const struct secret_reader *reader, char *error, size_t error_size)
{
    struct lookup lookup = {environment, reader, NULL, 0, error, error_size};
    if (kind != SECTION_POSTGRES) {
        return copy("root", &lookup);
    }
    char *user = NULL;
    return find_or(&lookup, &postgres_user, "postgres", &user) == 0 ? user : NULL;
}

void login_clear(struct login *login)
{
    secret_free(login->user);
    secret_free(login->password);
    secret_free(login->database);
    *login = (struct login){0};
}

void credentials_clear(struct credentials *credentials)
{
    login_clear(&credentials->superuser);
    login_clear(&credentials->application);
}

/* One field of a .pgpass line: `:` and `\` escaped. Returns the end of what was written. */
static char *put_pgpass_field(char *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == ':' || *text == '\\') {
            *out++ = '\\';
        }
        *out++ = *text;
    }
    return out;
}

/* A value of an option file, in double quotes whatever it holds. */
static char *put_option_value(char *out, const char *text)
{
    *out++ = '"';
    for (; *text != '\0'; text++) {
        static const char special[] = "\\\"\n\r\t\b";
        static const char letters[] = "\\\"nrtb";
        const char *at = strchr(special, *text);
        if (at != NULL) {
            *out++ = '\\';
            *out++ = letters[at - special];
        } else {
            *out++ = *text;
        }
    }
    *out++ = '"';
    return out;
}

static char *put_text(char *out, const char *text)
{
    size_t size = strlen(text);
    memcpy(out, text, size);
    return out + size;
}

static char *pgpass_line(const struct login *login, char *out)
{
    out = put_text(out, "*:*:*:");
    out = put_pgpass_field(out, login->user);
    out = put_text(out, ":");
    out = put_pgpass_field(out, login->password);
    return put_text(out, "\n");
}

static char *option_group(const struct login *login, char *out)
{
    out = put_text(out, "[client]\nuser=");
    out = put_option_value(out, login->user);
    out = put_text(out, "\npassword=");
    out = put_option_value(out, login->password);
    return put_text(out, "\n");
}

char *credentials_file(enum section_kind kind, const struct login *login, char *error, size_t error_size)
{
    if (login->password == NULL) {
        char *none = strdup("");
        if (none == NULL) {
            snprintf(error, error_size, "out of memory");
        }
        return none;
    }
    if (kind == SECTION_POSTGRES && (strpbrk(login->password, "\n") != NULL || strpbrk(login->user, "\n") != NULL)) {
        snprintf(error, error_size, "%s holds a newline, which psql's password file cannot",
                 login->password_name != NULL ? login->password_name : "the password");
        return NULL;
    }
    /* every byte may become two; the fixed text is shorter than 64 bytes */
    char *text = malloc(2 * strlen(login->user) + 2 * strlen(login->password) + 64);
    if (text == NULL) {
        snprintf(error, error_size, "out of memory");
        return NULL;
    }
    char *end = kind == SECTION_POSTGRES ? pgpass_line(login, text) : option_group(login, text);
    *end = '\0';
    return text;
}
