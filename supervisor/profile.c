/* Reads ~/.aws/credentials and ~/.aws/config. */
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "secret.h"

#define FILE_MAX_SIZE (1024 * 1024)
#define BLANKS " \t\r"

/* One of the two files. */
struct source_file {
    const char *variable;
    const char *path; /* as named by the user, or NULL */
    const char *fallback;
    bool is_config; /* sections are [profile NAME], but [default] */
};

struct search {
    const char *name;
    struct profile *profile;
    bool found;
    char elsewhere[64]; /* the setting by which credentials come from elsewhere */
};

static char *trim(char *text)
{
    text += strspn(text, BLANKS);
    size_t size = strlen(text);
    while (size > 0 && strchr(BLANKS, text[size - 1]) != NULL) {
        text[--size] = '\0';
    }
    return text;
}

/* Whether "[...]" is the section that is looked for. The closing bracket is cut off. */
static bool is_section(char *line, const struct source_file *file, const char *name)
{
    char *end = strrchr(line, ']');
    if (end == NULL) {
        return false;
    }
    *end = '\0';
    char *title = trim(line + 1);
    static const char prefix[] = "profile";
    size_t length = sizeof prefix - 1;
    bool prefixed = file->is_config && strncmp(title, prefix, length) == 0 && title[length] != '\0' &&
                    strchr(BLANKS, title[length]) != NULL;
    bool plain = !file->is_config || strcmp(name, "default") == 0;
    return strcmp(prefixed ? trim(title + length) : title, name) == 0 && (prefixed || plain);
}

/* The first file that has a setting wins. */
static void keep(char **setting, const char *value)
{
    if (*setting == NULL && value[0] != '\0') {
        *setting = strdup(value);
    }
}

static void take_setting(struct search *search, const char *key, const char *value)
{
    static const char *const elsewhere[] = {"role_arn", "credential_process", "sso_session", "sso_start_url",
                                            "web_identity_token_file"};
    struct profile *profile = search->profile;
    if (strcmp(key, "aws_access_key_id") == 0) {
        keep(&profile->access_key_id, value);
    } else if (strcmp(key, "aws_secret_access_key") == 0) {
        keep(&profile->secret_access_key, value);
    } else if (strcmp(key, "aws_session_token") == 0) {
        keep(&profile->session_token, value);
    } else if (strcmp(key, "region") == 0) {
        keep(&profile->region, value);
    }
    for (size_t i = 0; i < sizeof elsewhere / sizeof elsewhere[0]; i++) {
        if (strcmp(key, elsewhere[i]) == 0 && search->elsewhere[0] == '\0') {
            snprintf(search->elsewhere, sizeof search->elsewhere, "%s", key);
        }
    }
}

/* Lines that are indented belong to a setting with parts (s3 =), none of which is ours. */
static void read_lines(struct search *search, const struct source_file *file, char *text)
{
    bool inside = false;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (line[0] == '[') {
            inside = is_section(line, file, search->name);
            search->found = search->found || inside;
            continue;
        }
        char *equals = strchr(line, '=');
        bool setting = inside && equals != NULL && line[0] != '#' && line[0] != ';' && strchr(BLANKS, line[0]) == NULL;
        if (setting) {
            *equals = '\0';
            take_setting(search, trim(line), trim(equals + 1));
        }
    }
}

static int read_text(const char *path, char **text, size_t *size)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    *text = fd < 0 ? NULL : calloc(1, FILE_MAX_SIZE + 1);
    if (*text == NULL) {
        return -1;
    }
    ssize_t got = read_full(fd, *text, FILE_MAX_SIZE);
    *size = got < 0 ? 0 : (size_t)got;
    return got < 0 ? -1 : 0;
}

/* A file that nobody named may be missing. */
static int search_file(struct search *search, const struct source_file *file, char *error, size_t error_size)
{
    char path[PATH_MAX];
    const char *home = getenv("HOME");
    if (file->path == NULL && home == NULL) {
        return 0;
    }
    snprintf(path, sizeof path, "%s%s", file->path != NULL ? file->path : home,
             file->path != NULL ? "" : file->fallback);
    char *text;
    size_t size = 0;
    int result = read_text(path, &text, &size);
    if (result == 0) {
        read_lines(search, file, text);
    } else if (file->path != NULL || (errno != ENOENT && errno != ENOTDIR)) {
        snprintf(error, error_size, "%s: cannot read '%s': %s", file->variable, path, strerror(errno));
    } else {
        result = 0;
    }
    secret_wipe(text, size);
    free(text);
    return result;
}

int profile_read(const struct profile_source *source, struct profile *profile, char *error, size_t error_size)
{
    const struct source_file files[] = {
        {"AWS_SHARED_CREDENTIALS_FILE", source->credentials_file, "/.aws/credentials", false},
        {"AWS_CONFIG_FILE", source->config_file, "/.aws/config", true},
    };
    struct search search = {.name = source->name != NULL ? source->name : "default", .profile = profile};
    *profile = (struct profile){0};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        if (search_file(&search, &files[i], error, error_size) != 0) {
            return -1;
        }
    }
    if (source->name != NULL && !search.found) {
        snprintf(error, error_size, "AWS_PROFILE: there is no profile '%s' in the AWS credentials or config file",
                 source->name);
        return -1;
    }
    if (profile->access_key_id == NULL && search.elsewhere[0] != '\0') {
        snprintf(error, error_size,
                 "AWS_PROFILE: profile '%s' gets its credentials by %s, which is not supported. Export them: eval "
                 "\"$(aws configure export-credentials --format env)\"",
                 search.name, search.elsewhere);
        return -1;
    }
    return 0;
}
