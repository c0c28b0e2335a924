/* One page of ListObjectsV2 or ListObjectVersions. */
#include "s3_list.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "s3_time.h"
#include "xml_reader.h"

#define OBJECTS "ListBucketResult"
#define VERSIONS "ListVersionsResult"

struct reading {
    s3_listed_handler handler;
    void *context;
    struct s3_page *page;
    bool encoded; /* keys are percent-encoded, as we asked */
    bool is_list;
    const char *wrong;
    struct s3_listed object;
    bool has_key, has_size, has_time, unusable;
    char key[S3_KEY_MAX + 1];
    char etag[257];
    char version_id[257];
};

static int wrong(struct reading *reading, const char *reason)
{
    reading->wrong = reason;
    return -1;
}

static void take_key(struct reading *reading, struct xml_element *element)
{
    long length = reading->encoded ? s3_decode(element->text) : (long)element->size;
    reading->has_key = true;
    bool fits = !element->cut && length >= 1 && length <= S3_KEY_MAX;
    reading->unusable = reading->unusable || !fits;
    if (fits) {
        memcpy(reading->key, element->text, (size_t)length + 1);
    }
}

static int take_size(struct reading *reading, const char *text)
{
    char *end;
    errno = 0;
    reading->object.size = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0) {
        return wrong(reading, "an object's size is not a number");
    }
    reading->has_size = true;
    return 0;
}

static int take_time(struct reading *reading, const char *text)
{
    int64_t modified = s3_time_iso(text);
    if (modified < 0) {
        return wrong(reading, "an object's time is not like 2023-11-05T12:00:00.000Z");
    }
    reading->object.modified = (uint64_t)modified;
    reading->has_time = true;
    return 0;
}

/* The end of <Contents>, <Version> or <DeleteMarker>: one object is complete. */
static int give_object(struct reading *reading, bool deleted)
{
    if (!reading->has_key || (!reading->has_size && !deleted) || !reading->has_time) {
        return wrong(reading, "an object lacks its key, size or time");
    }
    reading->object.key = reading->key;
    reading->object.etag = reading->etag;
    reading->object.version_id = reading->version_id;
    reading->object.deleted = deleted;
    int result = reading->unusable ? 0 : reading->handler(reading->context, &reading->object);
    reading->has_key = reading->has_size = reading->has_time = reading->unusable = false;
    reading->object.size = 0;
    reading->etag[0] = '\0';
    reading->version_id[0] = '\0';
    return result;
}

static int take_member(struct reading *reading, struct xml_element *element)
{
    const char *name = element->path[2];
    if (strcmp(name, "Key") == 0) {
        take_key(reading, element);
        return 0;
    }
    if (strcmp(name, "Size") == 0) {
        return take_size(reading, element->text);
    }
    if (strcmp(name, "LastModified") == 0) {
        return take_time(reading, element->text);
    }
    if (strcmp(name, "ETag") == 0) {
        snprintf(reading->etag, sizeof reading->etag, "%.256s", element->text);
    }
    if (strcmp(name, "VersionId") == 0) {
        reading->unusable = reading->unusable || element->size >= sizeof reading->version_id;
        snprintf(reading->version_id, sizeof reading->version_id, "%.256s", element->text);
    }
    return 0;
}

/* Where the next page begins. */
static int take_marker(struct reading *reading, char *marker, struct xml_element *element, bool is_key)
{
    if (is_key && reading->encoded && s3_decode(element->text) < 0) {
        return wrong(reading, "the key of the next page is not encoded as announced");
    }
    snprintf(marker, S3_TOKEN_MAX + 1, "%s", element->text);
    return element->cut ? wrong(reading, "the token of the next page is too long") : 0;
}

static bool is_item(const char *name)
{
    return strcmp(name, "Contents") == 0 || strcmp(name, "Version") == 0 || strcmp(name, "DeleteMarker") == 0;
}

static int take_below_root(struct reading *reading, struct xml_element *element)
{
    const char *name = element->path[1];
    if (is_item(name)) {
        return give_object(reading, strcmp(name, "DeleteMarker") == 0);
    }
    if (strcmp(name, "IsTruncated") == 0) {
        reading->page->truncated = strcmp(element->text, "true") == 0;
        return 0;
    }
    if (strcmp(name, "NextContinuationToken") == 0) {
        return take_marker(reading, reading->page->token, element, false);
    }
    if (strcmp(name, "NextKeyMarker") == 0) {
        return take_marker(reading, reading->page->token, element, true);
    }
    return strcmp(name, "NextVersionIdMarker") == 0 ? take_marker(reading, reading->page->version, element, false) : 0;
}

static int take_element(void *context, struct xml_element *element)
{
    struct reading *reading = context;
    if (strcmp(element->path[0], OBJECTS) != 0 && strcmp(element->path[0], VERSIONS) != 0) {
        return 0;
    }
    if (element->depth == 1) {
        reading->is_list = true;
        return 0;
    }
    if (element->depth == 2) {
        return take_below_root(reading, element);
    }
    return element->depth == 3 && is_item(element->path[1]) ? take_member(reading, element) : 0;
}

const char *s3_list_page(const char *document, size_t size, s3_listed_handler handler, void *context,
                         struct s3_page *page)
{
    static const char encoding[] = "<EncodingType>url<";
    static struct reading reading;
    reading = (struct reading){.handler = handler, .context = context, .page = page};
    /* looked for beforehand because a server may name it after the keys; in a key this text cannot stand unescaped */
    reading.encoded = memmem(document, size, encoding, sizeof encoding - 1) != NULL;
    page->truncated = false;
    page->token[0] = '\0';
    page->version[0] = '\0';
    const char *refused = xml_read(document, size, take_element, &reading);
    if (reading.wrong != NULL) {
        return reading.wrong;
    }
    if (refused != NULL) {
        return refused;
    }
    if (!reading.is_list) {
        return "the document is no list of objects";
    }
    return page->truncated && page->token[0] == '\0' ? "more pages are announced without a token for the next" : NULL;
}
