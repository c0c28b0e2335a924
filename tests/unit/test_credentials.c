/* Credentials: which variables count, how files are read, how secrets are quoted for the clients, and the rows of a
 * client's answer. What real clients make of the quoting is shown by tests/e2e/test_databases_agent.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "secret.h"
#include "workers/docker_agent/answer_rows.h"
#include "workers/docker_agent/credentials.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* The container's only secret file. */
static const char *secret_path = "/run/secrets/password";
static const char *secret_text = "from file";

static int read_secret(void *context, const char *path, char **text, char *error, size_t error_size)
{
    (void)context;
    if (strcmp(path, secret_path) != 0) {
        snprintf(error, error_size, "no such file");
        return -1;
    }
    *text = strdup(secret_text);
    return 0;
}

static const struct secret_reader reader = {read_secret, NULL};

static int find(enum section_kind kind, char **lines, size_t count, struct credentials *credentials)
{
    return credentials_find(kind, &(struct environment){lines, count}, &reader, credentials);
}

static void postgres_defaults(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"PATH=/bin", "POSTGRES_PASSWORD=a=b"};
    assert_int_equal(find(SECTION_POSTGRES, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.user, "postgres");
    assert_string_equal(found.superuser.password, "a=b");
    assert_string_equal(found.application.user, "postgres");
    assert_string_equal(found.application.database, "postgres");
    credentials_clear(&found);
    assert_null(found.superuser.password);
}

static void postgres_without_password_has_no_application_login(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"POSTGRES_USER=admin", "POSTGRES_PASSWORD=", "POSTGRES_HOST_AUTH_METHOD=trust"};
    assert_int_equal(find(SECTION_POSTGRES, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.user, "admin");
    assert_null(found.superuser.password);
    assert_null(found.application.user);
    assert_string_equal(found.application.database, "admin");
    credentials_clear(&found);
}

static void names_are_compared_whole(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"MY_POSTGRES_USER=x", "POSTGRES_USERS=y", "POSTGRES_USE=z", "POSTGRES_USER"};
    assert_int_equal(find(SECTION_POSTGRES, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.user, "postgres");
    credentials_clear(&found);
}

static void files_lose_their_trailing_newlines_alone(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"POSTGRES_PASSWORD_FILE=/run/secrets/password", "POSTGRES_USER=u"};
    secret_text = "\n two\nlines \r\n\n";
    assert_int_equal(find(SECTION_POSTGRES, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.password, "\n two\nlines \r");
    assert_string_equal(found.superuser.password_name, "POSTGRES_PASSWORD");
    credentials_clear(&found);
    secret_text = "from file";
}

static void an_unreadable_file_is_named(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"MARIADB_ROOT_PASSWORD_FILE=/run/secrets/other"};
    assert_int_equal(find(SECTION_MARIADB, lines, COUNT(lines), &found), -1);
    assert_string_equal(found.error, "MARIADB_ROOT_PASSWORD_FILE names /run/secrets/other, which cannot be read in the "
                                     "container: no such file");
    credentials_clear(&found);
}

static void a_variable_wins_over_its_file_with_a_warning(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"POSTGRES_PASSWORD_FILE=/run/secrets/password", "POSTGRES_PASSWORD=plain"};
    assert_int_equal(find(SECTION_POSTGRES, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.password, "plain");
    assert_string_equal(found.warning,
                        "POSTGRES_PASSWORD and POSTGRES_PASSWORD_FILE are both set; POSTGRES_PASSWORD is used");
    credentials_clear(&found);
}

static void mariadb_names_win_over_mysql_names(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"MYSQL_ROOT_PASSWORD=old",  "MARIADB_ROOT_PASSWORD_FILE=/run/secrets/password",
                     "MYSQL_USER=app",           "MYSQL_PASSWORD=mysql",
                     "MARIADB_PASSWORD=mariadb", "MYSQL_DATABASE=wiki"};
    assert_int_equal(find(SECTION_MARIADB, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.user, "root");
    assert_string_equal(found.superuser.password, "from file");
    assert_string_equal(found.superuser.password_name, "MARIADB_ROOT_PASSWORD");
    assert_string_equal(found.application.user, "app");
    assert_string_equal(found.application.password, "mariadb");
    assert_string_equal(found.application.database, "wiki");
    credentials_clear(&found);
}

/* The specification's shell version paired MYSQL_USER with root's password. */
static void an_ordinary_user_never_gets_roots_password(void **state)
{
    (void)state;
    struct credentials found;
    char *lines[] = {"MYSQL_USER=app", "MYSQL_ROOT_PASSWORD=secret"};
    assert_int_equal(find(SECTION_MARIADB, lines, COUNT(lines), &found), 0);
    assert_string_equal(found.superuser.user, "root");
    assert_string_equal(found.superuser.password, "secret");
    assert_null(found.application.user);
    credentials_clear(&found);
}

static void an_unknown_root_password_is_not_an_empty_one(void **state)
{
    (void)state;
    struct credentials found;
    char *random[] = {"MARIADB_RANDOM_ROOT_PASSWORD=1", "MARIADB_USER=app", "MARIADB_PASSWORD=x"};
    char *empty[] = {"MYSQL_ALLOW_EMPTY_PASSWORD=yes"};
    assert_int_equal(find(SECTION_MARIADB, random, COUNT(random), &found), 0);
    assert_null(found.superuser.password);
    credentials_clear(&found);
    assert_int_equal(find(SECTION_MARIADB, empty, COUNT(empty), &found), 0);
    assert_string_equal(found.superuser.password, "");
    credentials_clear(&found);
}

static void assert_file(enum section_kind kind, char *user, char *password, const char *expected)
{
    char error[128] = "";
    struct login login = {.user = user, .password = password, .password_name = "POSTGRES_PASSWORD"};
    cleanup_secret char *text = credentials_file(kind, &login, error, sizeof error);
    assert_non_null(text);
    assert_string_equal(text, expected);
}

static void pgpass_escapes_colons_and_backslashes(void **state)
{
    (void)state;
    assert_file(SECTION_POSTGRES, "postgres", "plain", "*:*:*:postgres:plain\n");
    assert_file(SECTION_POSTGRES, "a:b\\c", ":p\\'\"#$%; [x]ü ", "*:*:*:a\\:b\\\\c:\\:p\\\\'\"#$%; [x]ü \n");
    assert_file(SECTION_POSTGRES, "u", NULL, "");
}

static void pgpass_cannot_hold_a_newline(void **state)
{
    (void)state;
    char error[128];
    struct login login = {.user = "u", .password = "a\nb", .password_name = "POSTGRES_PASSWORD"};
    assert_null(credentials_file(SECTION_POSTGRES, &login, error, sizeof error));
    assert_string_equal(error, "POSTGRES_PASSWORD holds a newline, which psql's password file cannot");
}

static void option_files_quote_everything(void **state)
{
    (void)state;
    assert_file(SECTION_MARIADB, "root", "", "[client]\nuser=\"root\"\npassword=\"\"\n");
    assert_file(SECTION_MARIADB, "root", " a#b\\c\"d'e\n\tf ",
                "[client]\nuser=\"root\"\npassword=\" a#b\\\\c\\\"d'e\\n\\tf \"\n");
}

static void rows_hold_any_name(void **state)
{
    (void)state;
    char text[] = "database\t61090a22\nempty\t\nnull\tNULL\nupper\tC3BC\n";
    struct row *rows;
    size_t count;
    assert_int_equal(rows_parse(text, &rows, &count), 0);
    assert_int_equal(count, 4);
    assert_string_equal(rows[0].key, "database");
    assert_string_equal(rows[0].value, "a\t\n\"");
    assert_string_equal(rows[1].value, "");
    assert_string_equal(rows[2].value, "");
    assert_string_equal(rows[3].value, "ü");
    free(rows);
}

static void malformed_rows_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"key\t61", "key 61\n", "key\t6\n", "key\t6g\n", "key\t00\n", "\n"};
    for (size_t i = 0; i < COUNT(texts); i++) {
        char text[32];
        struct row *rows;
        size_t count;
        snprintf(text, sizeof text, "%s", texts[i]);
        assert_int_equal(rows_parse(text, &rows, &count), -1);
        free(rows);
    }
}

static void quoting_doubles_the_quote(void **state)
{
    (void)state;
    struct sql sql = {0};
    sql_add(&sql, "DROP DATABASE ");
    sql_add_quoted(&sql, "a`b'c\n", '`');
    assert_string_equal(sql.text, "DROP DATABASE `a``b'c\n`");
    sql_free(&sql);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(postgres_defaults),
        cmocka_unit_test(postgres_without_password_has_no_application_login),
        cmocka_unit_test(names_are_compared_whole),
        cmocka_unit_test(files_lose_their_trailing_newlines_alone),
        cmocka_unit_test(an_unreadable_file_is_named),
        cmocka_unit_test(a_variable_wins_over_its_file_with_a_warning),
        cmocka_unit_test(mariadb_names_win_over_mysql_names),
        cmocka_unit_test(an_ordinary_user_never_gets_roots_password),
        cmocka_unit_test(an_unknown_root_password_is_not_an_empty_one),
        cmocka_unit_test(pgpass_escapes_colons_and_backslashes),
        cmocka_unit_test(pgpass_cannot_hold_a_newline),
        cmocka_unit_test(option_files_quote_everything),
        cmocka_unit_test(rows_hold_any_name),
        cmocka_unit_test(malformed_rows_are_refused),
        cmocka_unit_test(quoting_doubles_the_quote),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
