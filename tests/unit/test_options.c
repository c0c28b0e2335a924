/* The option table: values as people write them, errors that name the variable, secrets out of the environment. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "supervisor/options.h"

static char error[600];
static struct options options;

/* Parsing takes the secrets out of the environment, so a second parse needs them anew. */
static int parse(void)
{
    error[0] = '\0';
    static char secret[] = "AWS_SECRET_ACCESS_KEY";
    if (getenv(secret) != NULL) {
        setenv(secret, "planted-secret", 1);
    }
    if (getenv("AWS_ACCESS_KEY_ID") != NULL) {
        setenv("AWS_ACCESS_KEY_ID", "key", 1);
    }
    return options_parse(&options, error, sizeof error);
}

static int set_required(void **state)
{
    (void)state;
    clearenv();
    setenv("PROJECT_NAME", "myapp", 1);
    setenv("S3_BUCKET_URL", "s3://bucket/backups", 1);
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "planted-secret", 1);
    return 0;
}

static void defaults_are_the_specification_s(void **state)
{
    (void)state;
    assert_int_equal(parse(), 0);
    assert_int_equal(options.mode, MODE_LATEST);
    assert_false(options.skip_stop);
    assert_false(options.skip_start);
    assert_int_equal(options.stop_timeout, 30);
    assert_int_equal(options.db_timeout, 30);
    assert_int_equal(options.min_free_space, 5000000000);
    assert_string_equal(options.docker_host, "unix:///var/run/docker.sock");
}

static void booleans_are_what_a_person_writes(void **state)
{
    (void)state;
    const char *const yes[] = {"true", "TRUE", "yes", "Yes", "1", "on"};
    const char *const no[] = {"false", "No", "0", "OFF", ""};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        setenv("SKIP_STOP", yes[i], 1);
        assert_int_equal(parse(), 0);
        assert_true(options.skip_stop);
    }
    for (size_t i = 0; i < sizeof no / sizeof no[0]; i++) {
        setenv("SKIP_STOP", no[i], 1);
        assert_int_equal(parse(), 0);
        assert_false(options.skip_stop);
    }
}

static void unknown_values_name_the_choices(void **state)
{
    (void)state;
    setenv("SKIP_START", "maybe", 1);
    assert_int_equal(parse(), -1);
    assert_string_equal(error, "SKIP_START: unknown value 'maybe'. Choose one of: true|false");
    unsetenv("SKIP_START");
    setenv("RESTORE_MODE", "newest", 1);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "RESTORE_MODE: unknown value 'newest'"));
    assert_non_null(strstr(error, "latest|specific|list"));
}

static void choices_ignore_case(void **state)
{
    (void)state;
    setenv("RESTORE_MODE", "LIST", 1);
    assert_int_equal(parse(), 0);
    assert_int_equal(options.mode, MODE_LIST);
}

static void an_empty_variable_counts_as_unset(void **state)
{
    (void)state;
    setenv("RESTORE_MODE", "", 1);
    setenv("BACKUP_FILE", "", 1);
    assert_int_equal(parse(), 0);
    assert_int_equal(options.mode, MODE_LATEST);
    assert_null(options.backup_file);
    setenv("PROJECT_NAME", "", 1);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "PROJECT_NAME is not set"));
}

static void a_file_store_needs_no_credentials(void **state)
{
    (void)state;
    unsetenv("AWS_ACCESS_KEY_ID");
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "AWS_ACCESS_KEY_ID"));
    setenv("S3_BUCKET_URL", "file:///backups", 1);
    assert_int_equal(parse(), 0);
}

static void times_and_sizes_have_units(void **state)
{
    (void)state;
    setenv("STOP_TIMEOUT", "5m", 1);
    setenv("MIN_FREE_SPACE", "500MiB", 1);
    assert_int_equal(parse(), 0);
    assert_int_equal(options.stop_timeout, 300);
    assert_int_equal(options.min_free_space, 500ULL << 20);
    const char *const bad[] = {"0", "-1", "5x", "99999999999999999999", "1e3", " 5", "25h"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        setenv("STOP_TIMEOUT", bad[i], 1);
        assert_int_equal(parse(), -1);
        assert_non_null(strstr(error, "STOP_TIMEOUT"));
    }
}

static void sizes_that_overflow_are_refused(void **state)
{
    (void)state;
    uint64_t bytes;
    assert_int_equal(parse_size("18446744073709551615", &bytes), 0);
    assert_int_equal(parse_size("18446744073709551616", &bytes), -1);
    assert_int_equal(parse_size("18446744073709551615K", &bytes), -1);
    assert_int_equal(parse_size("5 GB", &bytes), -1);
}

static void secrets_leave_the_environment(void **state)
{
    (void)state;
    const char *original = getenv("AWS_SECRET_ACCESS_KEY");
    assert_int_equal(parse(), 0);
    assert_string_equal(options.secret_access_key, "planted-secret");
    assert_int_equal(original[0], '\0');
    options_wipe_secrets(&options);
    assert_null(options.secret_access_key);
}

static void secrets_leave_the_environment_after_an_error_too(void **state)
{
    (void)state;
    const char *original = getenv("AWS_SECRET_ACCESS_KEY");
    setenv("RESTORE_MODE", "nonsense", 1);
    assert_int_equal(parse(), -1);
    assert_int_equal(original[0], '\0');
    options_wipe_secrets(&options);
}

static void a_secret_may_come_from_a_file(void **state)
{
    (void)state;
    char path[] = "/tmp/restore-secret-XXXXXX";
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "from a file\n", 12), 12);
    close(fd);
    unsetenv("AWS_SECRET_ACCESS_KEY");
    setenv("AWS_SECRET_ACCESS_KEY_FILE", path, 1);
    assert_int_equal(parse(), 0);
    assert_string_equal(options.secret_access_key, "from a file");
    options_wipe_secrets(&options);
    unlink(path);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "AWS_SECRET_ACCESS_KEY_FILE"));
}

/* Writes a file below a new HOME and returns its path. */
static const char *home_file(const char *name, const char *text)
{
    static char home[] = "/tmp/restore-home-XXXXXX";
    static char path[128];
    if (strstr(home, "XXXXXX") != NULL) {
        assert_non_null(mkdtemp(home));
    }
    setenv("HOME", home, 1);
    snprintf(path, sizeof path, "%s/.aws", home);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/.aws/%s", home, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    return path;
}

static int set_profile(void **state)
{
    set_required(state);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    home_file("config", "[default]\nregion = eu-west-1\n[profile backup]\nregion=eu-north-1\ns3 =\n  region = no\n");
    home_file("credentials", "# keys\n[default]\naws_access_key_id = A\naws_secret_access_key = a=b #c\n\n[backup]\r\n"
                             "aws_access_key_id=B\r\naws_secret_access_key= bb \r\naws_session_token = T\r\n");
    return 0;
}

static void credentials_come_from_the_default_profile(void **state)
{
    (void)state;
    assert_int_equal(parse(), 0);
    assert_string_equal(options.access_key_id, "A");
    assert_string_equal(options.secret_access_key, "a=b #c");
    assert_null(options.session_token);
    assert_string_equal(options.default_region, "eu-west-1");
    options_wipe_secrets(&options);
}

static void a_profile_is_named(void **state)
{
    (void)state;
    setenv("AWS_PROFILE", "backup", 1);
    assert_int_equal(parse(), 0);
    assert_string_equal(options.access_key_id, "B");
    assert_string_equal(options.secret_access_key, "bb");
    assert_string_equal(options.session_token, "T");
    assert_string_equal(options.default_region, "eu-north-1");
    options_wipe_secrets(&options);
    setenv("AWS_PROFILE", "back", 1);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "AWS_PROFILE: there is no profile 'back'"));
}

static void the_environment_wins_over_profiles(void **state)
{
    (void)state;
    setenv("AWS_ACCESS_KEY_ID", "key", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "planted-secret", 1);
    setenv("AWS_PROFILE", "backup", 1);
    assert_int_equal(parse(), 0);
    assert_string_equal(options.access_key_id, "key");
    assert_null(options.session_token);
    options_wipe_secrets(&options);
}

static void files_that_are_named_must_be_there(void **state)
{
    (void)state;
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/keys", 1);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "AWS_SHARED_CREDENTIALS_FILE: cannot read '/nonexistent/keys'"));
    setenv("AWS_SHARED_CREDENTIALS_FILE",
           home_file("other", "[default]\naws_access_key_id=C\naws_secret_access_key=c\n"), 1);
    assert_int_equal(parse(), 0);
    assert_string_equal(options.access_key_id, "C");
    options_wipe_secrets(&options);
}

static void credentials_from_elsewhere_are_said_to_be(void **state)
{
    (void)state;
    home_file("config", "[profile role]\nrole_arn = arn:aws:iam::1:role/r\nsource_profile = default\n");
    setenv("AWS_PROFILE", "role", 1);
    assert_int_equal(parse(), -1);
    assert_non_null(strstr(error, "profile 'role' gets its credentials by role_arn"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_the_specification_s, set_required),
        cmocka_unit_test_setup(booleans_are_what_a_person_writes, set_required),
        cmocka_unit_test_setup(unknown_values_name_the_choices, set_required),
        cmocka_unit_test_setup(choices_ignore_case, set_required),
        cmocka_unit_test_setup(an_empty_variable_counts_as_unset, set_required),
        cmocka_unit_test_setup(a_file_store_needs_no_credentials, set_required),
        cmocka_unit_test_setup(times_and_sizes_have_units, set_required),
        cmocka_unit_test_setup(sizes_that_overflow_are_refused, set_required),
        cmocka_unit_test_setup(secrets_leave_the_environment, set_required),
        cmocka_unit_test_setup(secrets_leave_the_environment_after_an_error_too, set_required),
        cmocka_unit_test_setup(a_secret_may_come_from_a_file, set_required),
        cmocka_unit_test_setup(credentials_come_from_the_default_profile, set_profile),
        cmocka_unit_test_setup(a_profile_is_named, set_profile),
        cmocka_unit_test_setup(the_environment_wins_over_profiles, set_profile),
        cmocka_unit_test_setup(files_that_are_named_must_be_there, set_profile),
        cmocka_unit_test_setup(credentials_from_elsewhere_are_said_to_be, set_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
