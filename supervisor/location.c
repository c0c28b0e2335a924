/* Parses S3_BUCKET_URL and chooses endpoint and region as the AWS command line does. */
#include "location.h"

#include <stdlib.h>
#include <string.h>

static char *without_slashes(const char *text)
{
    text += strspn(text, "/");
    size_t size = strlen(text);
    while (size > 0 && text[size - 1] == '/') {
        size--;
    }
    return strndup(text, size);
}

static int parse_directory(struct run *run, const char *path)
{
    if (path[0] != '/') {
        return run_fail(run, EXIT_USAGE, "S3_BUCKET_URL: '%s' is not file:///DIRECTORY with an absolute path",
                        run->options.bucket_url);
    }
    run->file_store = true;
    run->bucket = strdup(path);
    run->prefix = strdup("");
    run->endpoint = strdup("file:");
    run->region = strdup("");
    return 0;
}

static int choose_region(struct run *run)
{
    const struct options *options = &run->options;
    const char *region = options->region != NULL ? options->region : options->default_region;
    if (region == NULL && run->endpoint[0] == '\0') {
        return run_fail(run, EXIT_USAGE, "Required environment variable AWS_DEFAULT_REGION is not set: S3 region");
    }
    run->region = strdup(region == NULL ? "us-east-1" : region); /* what S3-compatible servers expect by default */
    return 0;
}

int location_parse(struct run *run)
{
    const char *url = run->options.bucket_url;
    if (strncmp(url, "file:", 5) == 0) {
        const char *path = strncmp(url, "file://", 7) == 0 ? url + 7 : url + 5;
        return parse_directory(run, path);
    }
    if (strncmp(url, "s3://", 5) != 0 || url[5] == '\0' || url[5] == '/') {
        return run_fail(run, EXIT_USAGE, "S3_BUCKET_URL: '%s' is not s3://BUCKET/PREFIX or file:///DIRECTORY", url);
    }
    size_t bucket = strcspn(url + 5, "/");
    run->bucket = strndup(url + 5, bucket);
    run->prefix = without_slashes(url + 5 + bucket);
    const char *endpoint =
        run->options.endpoint_url_s3 != NULL ? run->options.endpoint_url_s3 : run->options.endpoint_url;
    if (endpoint != NULL && strncmp(endpoint, "http://", 7) != 0 && strncmp(endpoint, "https://", 8) != 0) {
        return run_fail(run, EXIT_USAGE, "AWS_ENDPOINT_URL: '%s' does not start with http:// or https://", endpoint);
    }
    run->endpoint = strdup(endpoint == NULL ? "" : endpoint);
    return choose_region(run);
}
