/* Errors of S3: what is read from them, what they mean, and how long to wait. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/fetcher/s3_error.h"

static struct s3_error read_error(const char *body)
{
    struct s3_error error;
    s3_error_read(body, strlen(body), &error);
    return error;
}

static void documents_are_read(void **state)
{
    (void)state;
    struct s3_error error = read_error("<?xml version='1.0'?><Error><Code>AuthorizationHeaderMalformed</Code><Message>"
                                       "the region</Message><Region>eu-west-1</Region></Error>");
    assert_string_equal(error.code, "AuthorizationHeaderMalformed");
    assert_string_equal(error.message, "the region");
    assert_string_equal(error.region, "eu-west-1");
    error = read_error("<Error><Code>AccessDenied</Code><Message/></Error>");
    assert_string_equal(error.code, "AccessDenied");
    assert_string_equal(error.message, "");
}

static void other_bodies_are_empty(void **state)
{
    (void)state;
    static const char *const bodies[] = {"", "<html><Code>x</Code></html>", "plain", "<!DOCTYPE a><Error/>", "<Error>"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct s3_error error = read_error(bodies[i]);
        assert_string_equal(error.code, "");
        assert_string_equal(error.message, "");
    }
    struct s3_error cut = read_error("<Error><Code>SlowDown</Code><Mess");
    assert_string_equal(cut.code, "SlowDown");
}

static void text_of_a_server_cannot_leave_its_line(void **state)
{
    (void)state;
    struct s3_error error = read_error("<Error><Code>A\nB</Code><Message>a\nb\t&#x9b;31m\xc3\xa9</Message>"
                                       "<Region>eu west</Region></Error>");
    assert_string_equal(error.code, "A");
    assert_string_equal(error.message, "a?b???31m??");
    assert_string_equal(error.region, "");
}

static void verdicts(void **state)
{
    (void)state;
    static const struct {
        long status;
        const char *code;
        enum s3_verdict verdict;
    } cases[] = {
        {500, "", S3_RETRY},
        {502, "", S3_RETRY},
        {503, "SlowDown", S3_RETRY},
        {503, "", S3_RETRY},
        {504, "", S3_RETRY},
        {429, "", S3_RETRY},
        {408, "", S3_RETRY},
        {400, "RequestTimeout", S3_RETRY},
        {501, "NotImplemented", S3_FINAL},
        {501, "", S3_FINAL},
        {403, "AccessDenied", S3_FINAL},
        {403, "", S3_FINAL},
        {403, "RequestTimeTooSkewed", S3_SKEWED},
        {404, "NoSuchKey", S3_MISSING},
        {404, "NoSuchVersion", S3_MISSING},
        {404, "NoSuchBucket", S3_FINAL},
        {404, "", S3_FINAL},
        {412, "PreconditionFailed", S3_REPLACED},
        {412, "", S3_REPLACED},
        {416, "", S3_REPLACED},
        {301, "PermanentRedirect", S3_REGION},
        {301, "", S3_REGION},
        {307, "TemporaryRedirect", S3_REGION},
        {400, "AuthorizationHeaderMalformed", S3_REGION},
        {400, "", S3_REGION},
        {400, "ExpiredToken", S3_FINAL},
        {418, "", S3_FINAL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(s3_error_verdict(cases[i].status, cases[i].code), cases[i].verdict);
        assert_true(strlen(s3_error_advice(cases[i].status, cases[i].code)) > 10);
    }
}

static void throttling_is_known(void **state)
{
    (void)state;
    assert_true(s3_error_throttles(503, ""));
    assert_true(s3_error_throttles(429, ""));
    assert_true(s3_error_throttles(400, "SlowDown"));
    assert_false(s3_error_throttles(500, "InternalError"));
}

static void waits_grow_and_are_bounded(void **state)
{
    (void)state;
    long longest = 0;
    for (unsigned failures = 0; failures < 100; failures++) {
        long least = s3_backoff(failures, 0, 0);
        long most = least;
        for (unsigned chance = 0; chance < 100000; chance += 7) {
            long wait = s3_backoff(failures, 0, chance);
            assert_true(wait >= least);
            most = wait > most ? wait : most;
        }
        assert_true(most > least && least >= 125 && most <= 20000);
        assert_true(most >= longest);
        longest = most;
    }
    assert_true(longest > 19000);
    assert_true(s3_backoff(1, 0, ~0U) <= 250);
}

static void retry_after_is_honoured_up_to_a_minute(void **state)
{
    (void)state;
    assert_int_equal(s3_backoff(1, 5, 0), 5000);
    assert_int_equal(s3_backoff(1, 1000000, 0), 60000);
    assert_true(s3_backoff(50, 1, 0) >= 10000);
    assert_int_equal(s3_backoff(1, -1, 0), s3_backoff(1, 0, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(documents_are_read),
        cmocka_unit_test(other_bodies_are_empty),
        cmocka_unit_test(text_of_a_server_cannot_leave_its_line),
        cmocka_unit_test(verdicts),
        cmocka_unit_test(throttling_is_known),
        cmocka_unit_test(waits_grow_and_are_bounded),
        cmocka_unit_test(retry_after_is_honoured_up_to_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
