/* Where a bucket is, how its URLs are encoded, and times. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/fetcher/s3_time.h"
#include "workers/fetcher/s3_url.h"

static struct s3_location locate(const char *endpoint, const char *bucket, const char *region,
                                 enum s3_addressing addressing)
{
    struct s3_location location;
    assert_null(s3_locate(&location, endpoint, bucket, region, addressing));
    return location;
}

static void assert_base(const char *endpoint, const char *bucket, enum s3_addressing addressing, const char *base)
{
    struct s3_location location = locate(endpoint, bucket, "eu-west-1", addressing);
    assert_string_equal(location.base, base);
}

static void custom_endpoints_are_path_style(void **state)
{
    (void)state;
    assert_base("https://minio.example.com", "bucket", ADDRESSING_AUTO, "https://minio.example.com/bucket");
    assert_base("http://minio.example.com:9000/", "bucket", ADDRESSING_AUTO, "http://minio.example.com:9000/bucket");
    assert_base("https://gate.example.com/s3/", "bucket", ADDRESSING_AUTO, "https://gate.example.com/s3/bucket");
    assert_base("http://[::1]:9000", "bucket", ADDRESSING_AUTO, "http://[::1]:9000/bucket");
}

static void aws_is_virtual_host_style_where_the_bucket_allows_it(void **state)
{
    (void)state;
    assert_base("", "bucket", ADDRESSING_AUTO, "https://bucket.s3.eu-west-1.amazonaws.com");
    assert_base("", "dotted.bucket", ADDRESSING_AUTO, "https://s3.eu-west-1.amazonaws.com/dotted.bucket");
    assert_base("", "Old_Bucket", ADDRESSING_AUTO, "https://s3.eu-west-1.amazonaws.com/Old_Bucket");
    assert_base("", "bucket", ADDRESSING_PATH, "https://s3.eu-west-1.amazonaws.com/bucket");
    struct s3_location china = locate("", "bucket", "cn-north-1", ADDRESSING_AUTO);
    assert_string_equal(china.host, "bucket.s3.cn-north-1.amazonaws.com.cn");
    assert_string_equal(china.port, "443");
}

static void virtual_host_style_is_forced_but_for_addresses(void **state)
{
    (void)state;
    assert_base("http://s3.test:81", "bucket", ADDRESSING_VIRTUAL, "http://bucket.s3.test:81");
    assert_base("http://127.0.0.1:81", "bucket", ADDRESSING_VIRTUAL, "http://127.0.0.1:81/bucket");
    assert_base("http://[fe80::1]", "bucket", ADDRESSING_VIRTUAL, "http://[fe80::1]/bucket");
}

static void hosts_and_ports_are_taken_apart(void **state)
{
    (void)state;
    struct s3_location location = locate("http://[::1]:9000", "bucket", "r", ADDRESSING_AUTO);
    assert_string_equal(location.host, "::1");
    assert_string_equal(location.port, "9000");
    assert_false(location.https);
    assert_string_equal(location.shown, "bucket 'bucket' at http://[::1]:9000");
    location = locate("https://h", "bucket", "r", ADDRESSING_AUTO);
    assert_string_equal(location.port, "443");
    assert_true(location.https);
}

static void bad_configurations_are_refused(void **state)
{
    (void)state;
    struct s3_location location;
    static const char *const endpoints[] = {"minio:9000",    "ftp://h",     "http://",        "http://u:p@h",
                                            "http://h/?a=b", "http://h/#f", "unix:///x.sock", "http://h:99999"};
    for (size_t i = 0; i < sizeof endpoints / sizeof endpoints[0]; i++) {
        assert_non_null(s3_locate(&location, endpoints[i], "bucket", "r", ADDRESSING_AUTO));
    }
    static const char *const buckets[] = {"", "a/b", "a?b", "a b", "a@b", "a:b"};
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++) {
        assert_non_null(s3_locate(&location, "http://h", buckets[i], "r", ADDRESSING_AUTO));
    }
    static const char *const regions[] = {"", "a b", "eu:west", "a/b", "a\nb", "EU"};
    for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++) {
        assert_non_null(s3_locate(&location, "http://h", "bucket", regions[i], ADDRESSING_AUTO));
    }
}

static void keys_are_encoded_as_they_are_signed(void **state)
{
    (void)state;
    struct s3_location location = locate("http://h", "bucket", "r", ADDRESSING_AUTO);
    char url[S3_URL_MAX];
    assert_int_equal(s3_object_url(&location, "a b/c+d=\xc3\xa9~_-.(1)'!*$&@:", "", url, sizeof url), 0);
    assert_string_equal(url, "http://h/bucket/a%20b/c%2Bd%3D%C3%A9~_-.%281%29%27%21%2A%24%26%40%3A");
    assert_int_equal(s3_object_url(&location, "k", "v/1+", url, sizeof url), 0);
    assert_string_equal(url, "http://h/bucket/k?versionId=v%2F1%2B");
    assert_int_equal(s3_object_url(&location, "key", "", url, 10), -1);
}

static void parameters_of_a_list_are_sorted_and_encoded(void **state)
{
    (void)state;
    struct s3_location location = locate("http://h", "bucket", "r", ADDRESSING_AUTO);
    char url[S3_URL_MAX];
    assert_int_equal(s3_list_url(&location, "p/backup_a_", "", url, sizeof url), 0);
    assert_string_equal(url, "http://h/bucket/?encoding-type=url&list-type=2&prefix=p%2Fbackup_a_");
    assert_int_equal(s3_list_url(&location, "", "t/+=", url, sizeof url), 0);
    assert_string_equal(url, "http://h/bucket/?continuation-token=t%2F%2B%3D&encoding-type=url&list-type=2&prefix=");
}

static void the_longest_key_and_token_fit(void **state)
{
    (void)state;
    struct s3_location location = locate("http://h", "bucket", "r", ADDRESSING_AUTO);
    char url[S3_URL_MAX], key[S3_KEY_MAX + 1], token[S3_TOKEN_MAX + 1];
    memset(key, '+', S3_KEY_MAX);
    memset(token, '+', S3_TOKEN_MAX);
    key[S3_KEY_MAX] = token[S3_TOKEN_MAX] = '\0';
    assert_int_equal(s3_object_url(&location, key, key, url, sizeof url), 0);
    assert_int_equal(s3_list_url(&location, key, token, url, sizeof url), 0);
}

static void assert_decoded(const char *text, long length, const char *decoded)
{
    char buffer[64];
    strcpy(buffer, text);
    assert_int_equal(s3_decode(buffer), length);
    if (length >= 0) {
        assert_string_equal(buffer, decoded);
    }
}

static void names_are_decoded(void **state)
{
    (void)state;
    assert_decoded("a%2Fb+c%2bd", 7, "a/b c+d");
    assert_decoded("%C3%a9", 2, "\xc3\xa9");
    assert_decoded("", 0, "");
    assert_decoded("%00", -1, "");
    assert_decoded("a%", -1, "");
    assert_decoded("a%4", -1, "");
    assert_decoded("a%4g", -1, "");
}

static void times_are_read(void **state)
{
    (void)state;
    assert_int_equal(s3_time_iso("1970-01-01T00:00:00Z"), 0);
    assert_int_equal(s3_time_iso("2023-11-05T12:00:00.000Z"), 1699185600);
    assert_int_equal(s3_time_iso("2024-02-29T23:59:59.123456Z"), 1709251199);
    assert_int_equal(s3_time_iso("2100-03-01T00:00:00Z"), 4107542400);
    static const char *const wrong[] = {"",
                                        "2023-11-05",
                                        "2023-11-05T12:00:00",
                                        "2023-11-05T12:00:00+01:00",
                                        "2023-13-05T12:00:00Z",
                                        "2023-00-05T12:00:00Z",
                                        "2023-11-32T12:00:00Z",
                                        "2023-11-05T24:00:00Z",
                                        "1969-12-31T23:59:59Z",
                                        "2023-11-05T12:00:00Zx",
                                        "nonsense"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(s3_time_iso(wrong[i]), -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(custom_endpoints_are_path_style),
        cmocka_unit_test(aws_is_virtual_host_style_where_the_bucket_allows_it),
        cmocka_unit_test(virtual_host_style_is_forced_but_for_addresses),
        cmocka_unit_test(hosts_and_ports_are_taken_apart),
        cmocka_unit_test(bad_configurations_are_refused),
        cmocka_unit_test(keys_are_encoded_as_they_are_signed),
        cmocka_unit_test(parameters_of_a_list_are_sorted_and_encoded),
        cmocka_unit_test(the_longest_key_and_token_fit),
        cmocka_unit_test(names_are_decoded),
        cmocka_unit_test(times_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
