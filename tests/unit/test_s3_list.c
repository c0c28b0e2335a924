/* Pages of a list: what is read from them, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "workers/fetcher/s3_list.h"
#include "workers/fetcher/xml_reader.h"

#define OBJECT(key, size, time)                                                                                        \
    "<Contents><Key>" key "</Key><LastModified>" time "</LastModified><ETag>&quot;e&quot;</ETag><Size>" size           \
    "</Size><Owner><ID>x</ID></Owner></Contents>"
#define LIST(content)                                                                                                  \
    "<?xml version=\"1.0\"?><ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">" content              \
    "</ListBucketResult>"
#define WHEN "2023-11-05T12:00:00.000Z"

static char seen[4096];

static int note(void *context, const struct s3_listed *object)
{
    size_t used = strlen(seen);
    snprintf(seen + used, sizeof seen - used, "[%s|%llu|%llu|%s%s%s%s]", object->key, (unsigned long long)object->size,
             (unsigned long long)object->modified, object->etag, object->version_id[0] != '\0' ? " " : "",
             object->version_id, object->deleted ? " deleted" : "");
    return context == NULL ? 0 : -1;
}

static const char *read_page(const char *document, struct s3_page *page)
{
    seen[0] = '\0';
    return s3_list_page(document, strlen(document), note, NULL, page);
}

static void objects_are_read(void **state)
{
    (void)state;
    struct s3_page page;
    assert_null(read_page(LIST(OBJECT("a&amp;b", "12", WHEN) OBJECT("c", "18446744073709551615", WHEN)), &page));
    assert_string_equal(seen, "[a&b|12|1699185600|\"e\"][c|18446744073709551615|1699185600|\"e\"]");
    assert_false(page.truncated);
    assert_null(read_page(LIST(""), &page));
    assert_string_equal(seen, "");
}

static void keys_are_decoded_wherever_the_encoding_is_named(void **state)
{
    (void)state;
    struct s3_page page;
    assert_null(read_page(LIST("<EncodingType>url</EncodingType>" OBJECT("a%2Fb+c", "1", WHEN)), &page));
    assert_string_equal(seen, "[a/b c|1|1699185600|\"e\"]");
    assert_null(read_page(LIST(OBJECT("a%2Fb+c", "1", WHEN) "<EncodingType>url</EncodingType>"), &page));
    assert_string_equal(seen, "[a/b c|1|1699185600|\"e\"]");
    assert_null(read_page(LIST(OBJECT("a%2Fb+c", "1", WHEN)), &page));
    assert_string_equal(seen, "[a%2Fb+c|1|1699185600|\"e\"]");
}

static void keys_that_no_backup_has_are_left_out(void **state)
{
    (void)state;
    struct s3_page page;
    char document[8192], key[1100];
    memset(key, 'k', sizeof key - 1);
    key[sizeof key - 1] = '\0';
    snprintf(document, sizeof document,
             LIST("<EncodingType>url</EncodingType>%s<Contents><Key>%s</Key>%s</Contents>%s"),
             OBJECT("%00", "1", WHEN) OBJECT("", "1", WHEN), key, "<Size>1</Size><LastModified>" WHEN "</LastModified>",
             OBJECT("last", "1", WHEN));
    assert_null(read_page(document, &page));
    assert_string_equal(seen, "[last|1|1699185600|\"e\"]");
}

static void versions_are_read_with_their_marks(void **state)
{
    (void)state;
    struct s3_page page;
    assert_null(read_page("<ListVersionsResult><EncodingType>url</EncodingType><IsTruncated>true</IsTruncated>"
                          "<NextKeyMarker>a%2Fb</NextKeyMarker><NextVersionIdMarker>v+1</NextVersionIdMarker>"
                          "<Version><Key>a%2Fb</Key><VersionId>v1</VersionId><LastModified>" WHEN
                          "</LastModified><ETag>e</ETag><Size>7</Size></Version>"
                          "<DeleteMarker><Key>c</Key><VersionId>v2</VersionId><LastModified>" WHEN
                          "</LastModified></DeleteMarker></ListVersionsResult>",
                          &page));
    assert_string_equal(seen, "[a/b|7|1699185600|e v1][c|0|1699185600| v2 deleted]");
    assert_true(page.truncated);
    assert_string_equal(page.token, "a/b");
    assert_string_equal(page.version, "v+1");
}

static void the_next_page_is_found(void **state)
{
    (void)state;
    struct s3_page page;
    assert_null(
        read_page(LIST("<IsTruncated>true</IsTruncated><NextContinuationToken>t/1=</NextContinuationToken>"), &page));
    assert_true(page.truncated);
    assert_string_equal(page.token, "t/1=");
    assert_non_null(read_page(LIST("<IsTruncated>true</IsTruncated>"), &page));
    assert_null(read_page(LIST("<IsTruncated>false</IsTruncated>"), &page));
    assert_false(page.truncated);
}

static void what_is_no_list_is_refused(void **state)
{
    (void)state;
    static const char *const documents[] = {
        "",
        "<html><body>hello</body></html>",
        "<!DOCTYPE html><html/>",
        "<Error><Code>NoSuchKey</Code></Error>",
        LIST("<Contents><Key>a</Key></Contents>"),
        LIST("<Contents><Key>a</Key><Size>1</Size></Contents>"),
        LIST("<Contents><Size>1</Size><LastModified>" WHEN "</LastModified></Contents>"),
        LIST(OBJECT("a", "-1", WHEN)),
        LIST(OBJECT("a", "1x", WHEN)),
        LIST(OBJECT("a", "", WHEN)),
        LIST(OBJECT("a", "18446744073709551616", WHEN)),
        LIST(OBJECT("a", "1", "yesterday")),
        LIST("<a><b><c><d><e><f><g><h/></g></f></e></d></c></b></a>"),
        "<ListBucketResult>",
        LIST("") LIST(""),
    };
    struct s3_page page;
    for (size_t i = 0; i < sizeof documents / sizeof documents[0]; i++) {
        assert_non_null(read_page(documents[i], &page));
    }
}

static void every_cut_of_a_page_is_refused(void **state)
{
    (void)state;
    static const char document[] = LIST(OBJECT("a", "1", WHEN) OBJECT("b", "2", WHEN));
    struct s3_page page;
    for (size_t cut = 0; cut + 1 < sizeof document; cut++) {
        assert_non_null(s3_list_page(document, cut, note, NULL, &page));
    }
}

static void a_handler_can_stop(void **state)
{
    (void)state;
    struct s3_page page;
    static const char document[] = LIST(OBJECT("a", "1", WHEN) OBJECT("b", "2", WHEN));
    seen[0] = '\0';
    assert_string_equal(s3_list_page(document, strlen(document), note, &page, &page), "stopped");
    assert_string_equal(seen, "[a|1|1699185600|\"e\"]");
}

static void entities_are_not_expanded(void **state)
{
    (void)state;
    struct s3_page page;
    assert_non_null(read_page("<!DOCTYPE a [<!ENTITY x \"yy\"><!ENTITY z \"&x;&x;\">]><ListBucketResult>&z;"
                              "</ListBucketResult>",
                              &page));
    assert_non_null(read_page("<!DOCTYPE a SYSTEM \"file:///etc/passwd\"><ListBucketResult/>", &page));
    assert_non_null(read_page(LIST("&undefined;"), &page));
}

static void memory_is_bounded(void **state)
{
    (void)state;
    size_t size = 4U << 20;
    char *document = malloc(size);
    size_t used = (size_t)sprintf(document, "<ListBucketResult");
    for (unsigned i = 0; used + 32 < size; i++) {
        used += (size_t)sprintf(document + used, " a%u=''", i);
    }
    used += (size_t)sprintf(document + used, "/>");
    struct s3_page page;
    assert_string_equal(s3_list_page(document, used, note, NULL, &page), "out of memory");
    free(document);
    assert_null(read_page(LIST(OBJECT("a", "1", WHEN)), &page));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_read),
        cmocka_unit_test(keys_are_decoded_wherever_the_encoding_is_named),
        cmocka_unit_test(keys_that_no_backup_has_are_left_out),
        cmocka_unit_test(versions_are_read_with_their_marks),
        cmocka_unit_test(the_next_page_is_found),
        cmocka_unit_test(what_is_no_list_is_refused),
        cmocka_unit_test(every_cut_of_a_page_is_refused),
        cmocka_unit_test(a_handler_can_stop),
        cmocka_unit_test(entities_are_not_expanded),
        cmocka_unit_test(memory_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
