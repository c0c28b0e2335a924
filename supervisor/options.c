/* Reads the environment by the option table. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "cleanup.h"
#include "io.h"
#include "profile.h"
#include "secret.h"

#define SECRET_FILE_MAX 16384

enum option_flags { REQUIRED = 1, REQUIRED_S3 = 2, SECRET = 4 };
enum option_kind { KIND_TEXT, KIND_BOOL, KIND_CHOICE, KIND_SECONDS, KIND_COUNT, KIND_SIZE };

struct option_rule {
    const char *variable;
    enum option_kind kind;
    size_t offset;
    const char *fallback_text;
    uint64_t fallback;
    unsigned flags;
    const char *choices;
    const char *help;
};

static const struct option_rule rules[] = {
#define MEMBER(member) offsetof(struct options, member)
#define TEXT_OPTION(variable, member, fallback, flags, help)                                                           \
    {#variable, KIND_TEXT, MEMBER(member), fallback, 0, flags, NULL, help},
#define BOOL_OPTION(variable, member, fallback, help)                                                                  \
    {#variable, KIND_BOOL, MEMBER(member), NULL, fallback, 0, "true|false", help},
#define CHOICE_OPTION(variable, member, fallback, choices, help)                                                       \
    {#variable, KIND_CHOICE, MEMBER(member), NULL, fallback, 0, choices, help},
#define SECONDS_OPTION(variable, member, fallback, help)                                                               \
    {#variable, KIND_SECONDS, MEMBER(member), NULL, fallback, 0, NULL, help},
#define COUNT_OPTION(variable, member, fallback, help)                                                                 \
    {#variable, KIND_COUNT, MEMBER(member), NULL, fallback, 0, NULL, help},
#define SIZE_OPTION(variable, member, fallback, help)                                                                  \
    {#variable, KIND_SIZE, MEMBER(member), NULL, fallback, 0, NULL, help},
#include "options.def"
};
#define RULE_COUNT (sizeof rules / sizeof rules[0])
#define LONGEST_TIMEOUT 86400
#define LARGEST_COUNT 100

static bool parse_bool(const char *text, bool *value)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    static const char *const no[] = {"false", "no", "off", "0"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcasecmp(text, yes[i]) == 0 || strcasecmp(text, no[i]) == 0) {
            *value = strcasecmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool parse_choice(const char *text, const char *choices, unsigned *value)
{
    size_t length = strlen(text);
    unsigned index = 0;
    for (const char *at = choices; at != NULL; index++) {
        size_t size = strcspn(at, "|");
        if (size == length && strncasecmp(at, text, size) == 0) {
            *value = index;
            return true;
        }
        at = at[size] == '|' ? at + size + 1 : NULL;
    }
    return false;
}

static bool parse_number(const char *text, uint64_t *value, const char **rest)
{
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    char *end;
    errno = 0;
    *value = strtoull(text, &end, 10);
    *rest = end;
    return errno == 0;
}

int parse_size(const char *text, uint64_t *bytes)
{
    static const struct {
        const char *suffix;
        uint64_t factor;
    } units[] = {
        {"", 1},
        {"B", 1},
        {"K", 1000},
        {"KB", 1000},
        {"KiB", 1ULL << 10},
        {"M", 1000000},
        {"MB", 1000000},
        {"MiB", 1ULL << 20},
        {"G", 1000000000},
        {"GB", 1000000000},
        {"GiB", 1ULL << 30},
        {"T", 1000000000000},
        {"TB", 1000000000000},
        {"TiB", 1ULL << 40},
    };
    const char *rest;
    uint64_t number;
    if (!parse_number(text, &number, &rest)) {
        return -1;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcasecmp(rest, units[i].suffix) == 0) {
            return __builtin_mul_overflow(number, units[i].factor, bytes) ? -1 : 0;
        }
    }
    return -1;
}

/* "30", "30s", "5m", "1h" */
static bool parse_seconds(const char *text, uint64_t *seconds)
{
    const char *rest;
    if (!parse_number(text, seconds, &rest)) {
        return false;
    }
    uint64_t factor = strcmp(rest, "") == 0 || strcmp(rest, "s") == 0 ? 1
                      : strcmp(rest, "m") == 0                        ? 60
                      : strcmp(rest, "h") == 0                        ? 3600
                                                                      : 0;
    return factor != 0 && *seconds <= LONGEST_TIMEOUT / factor && (*seconds *= factor) > 0;
}

/* Move a secret out of the environment: a copy on the heap, the original overwritten. */
static char *take_secret(char *value)
{
    char *copy = strdup(value);
    secret_wipe(value, strlen(value));
    return copy;
}

/* The content of the file that VARIABLE_FILE names, without the newline at its end. NULL with errno. */
static char *read_secret_file(const char *path)
{
    cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return NULL;
    }
    char *content = calloc(1, SECRET_FILE_MAX);
    if (content == NULL) {
        return NULL;
    }
    ssize_t size = read_full(fd, content, SECRET_FILE_MAX - 1);
    if (size < 0) {
        secret_free(content);
        return NULL;
    }
    content[strcspn(content, "\r\n")] = '\0';
    return content;
}

static int find_secret(const struct option_rule *rule, const char **value, char *error, size_t error_size)
{
    char *plain = getenv(rule->variable);
    if (plain != NULL && plain[0] != '\0') {
        *value = take_secret(plain);
        return 0;
    }
    char variable[64];
    snprintf(variable, sizeof variable, "%s_FILE", rule->variable);
    const char *path = getenv(variable);
    if (path == NULL || path[0] == '\0') {
        return 0;
    }
    *value = read_secret_file(path);
    if (*value == NULL) {
        snprintf(error, error_size, "%s: cannot read '%s': %s", variable, path, strerror(errno));
        return -1;
    }
    return 0;
}

static int parse_value(const struct option_rule *rule, const char *text, void *member, char *error, size_t error_size)
{
    switch (rule->kind) {
    case KIND_TEXT:
        *(const char **)member = text;
        return 0;
    case KIND_BOOL:
        if (parse_bool(text, member)) {
            return 0;
        }
        break;
    case KIND_CHOICE:
        if (parse_choice(text, rule->choices, member)) {
            return 0;
        }
        break;
    case KIND_SECONDS:
        if (parse_seconds(text, member)) {
            return 0;
        }
        snprintf(error, error_size, "%s: '%s' is not a time. Use seconds from 1 to 86400, or 5m, 1h", rule->variable,
                 text);
        return -1;
    case KIND_COUNT: {
        const char *rest;
        uint64_t *count = member;
        if (parse_number(text, count, &rest) && rest[0] == '\0' && *count >= 1 && *count <= LARGEST_COUNT) {
            return 0;
        }
        snprintf(error, error_size, "%s: '%s' is not a number from 1 to 100", rule->variable, text);
        return -1;
    }
    case KIND_SIZE:
        if (parse_size(text, member) == 0) {
            return 0;
        }
        snprintf(error, error_size, "%s: '%s' is not a size. Use bytes, or a number with MB, GB, MiB, GiB",
                 rule->variable, text);
        return -1;
    }
    snprintf(error, error_size, "%s: unknown value '%s'. Choose one of: %s", rule->variable, text, rule->choices);
    return -1;
}

static void set_fallback(const struct option_rule *rule, void *member)
{
    switch (rule->kind) {
    case KIND_TEXT:
        *(const char **)member = rule->fallback_text;
        return;
    case KIND_BOOL:
        *(bool *)member = rule->fallback != 0;
        return;
    case KIND_CHOICE:
        *(unsigned *)member = (unsigned)rule->fallback;
        return;
    default:
        *(uint64_t *)member = rule->fallback;
    }
}

/* Later rules are parsed after a failure too: their secrets must leave the environment. The first error stays. */
static int parse_rule(const struct option_rule *rule, void *member, char *error, size_t error_size)
{
    set_fallback(rule, member);
    if ((rule->flags & SECRET) != 0) {
        return find_secret(rule, member, error, error_size);
    }
    const char *text = getenv(rule->variable);
    if (text == NULL || text[0] == '\0') {
        return 0;
    }
    return parse_value(rule, text, member, error, error_size);
}

/* What the environment leaves open is looked for where the AWS command line would look next. */
static int fill_from_profile(struct options *options, char *error, size_t error_size)
{
    bool s3 = options->bucket_url != NULL && strncmp(options->bucket_url, "s3:", 3) == 0;
    if (!s3 || options->access_key_id != NULL || options->secret_access_key != NULL) {
        return 0;
    }
    const struct profile_source source = {options->credentials_file, options->config_file, options->profile};
    struct profile profile;
    if (profile_read(&source, &profile, error, error_size) != 0) {
        return -1;
    }
    options->access_key_id = profile.access_key_id;
    options->secret_access_key = profile.secret_access_key;
    options->session_token = options->session_token != NULL ? options->session_token : profile.session_token;
    if (options->region == NULL && options->default_region == NULL) {
        options->default_region = profile.region;
    }
    return 0;
}

static int check_required(const struct options *options, char *error, size_t error_size)
{
    bool s3 = options->bucket_url == NULL || strncmp(options->bucket_url, "file:", 5) != 0;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct option_rule *rule = &rules[i];
        bool needed = (rule->flags & REQUIRED) != 0 || (s3 && (rule->flags & REQUIRED_S3) != 0);
        const char *value = rule->kind == KIND_TEXT ? *(const char *const *)((const char *)options + rule->offset) : "";
        if (needed && (value == NULL || value[0] == '\0')) {
            snprintf(error, error_size, "Required environment variable %s is not set: %s", rule->variable, rule->help);
            return -1;
        }
    }
    return 0;
}

int options_parse(struct options *options, char *error, size_t error_size)
{
    int result = 0;
    for (size_t i = 0; i < RULE_COUNT; i++) {
        char line[512];
        if (parse_rule(&rules[i], (char *)options + rules[i].offset, line, sizeof line) != 0 && result == 0) {
            snprintf(error, error_size, "%s", line);
            result = -1;
        }
    }
    if (result != 0 || fill_from_profile(options, error, error_size) != 0) {
        return -1;
    }
    return check_required(options, error, error_size);
}

const char *target_project(const struct options *options)
{
    return options->target_project_name != NULL ? options->target_project_name : options->project_name;
}

void options_wipe_secrets(struct options *options)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if ((rules[i].flags & SECRET) != 0) {
            char **member = (char **)((char *)options + rules[i].offset);
            secret_free(*member);
            *member = NULL;
        }
    }
}

static void print_fallback(const struct option_rule *rule, FILE *out)
{
    switch (rule->kind) {
    case KIND_TEXT:
        fprintf(out, "%s", rule->fallback_text == NULL ? "" : rule->fallback_text);
        return;
    case KIND_BOOL:
        fprintf(out, "%s", rule->fallback != 0 ? "true" : "false");
        return;
    case KIND_CHOICE:
        fprintf(out, "%.*s", (int)strcspn(rule->choices, "|"), rule->choices);
        return;
    case KIND_SIZE:
        fprintf(out, "%lluGB", (unsigned long long)(rule->fallback / 1000000000));
        return;
    default:
        fprintf(out, "%llu", (unsigned long long)rule->fallback);
    }
}

static void choice_text(const char *choices, unsigned index, char *out, size_t size)
{
    while (index-- > 0) {
        choices += strcspn(choices, "|") + 1;
    }
    snprintf(out, size, "%.*s", (int)strcspn(choices, "|"), choices);
}

void options_mode_name(const struct options *options, char *out, size_t size)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        if (rules[i].offset == offsetof(struct options, mode)) {
            choice_text(rules[i].choices, options->mode, out, size);
        }
    }
}

void options_each(const struct options *options, void (*take)(void *context, const char *variable, const char *value),
                  void *context)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct option_rule *rule = &rules[i];
        const void *member = (const char *)options + rule->offset;
        char text[64];
        const char *value = text;
        if ((rule->flags & SECRET) != 0) {
            continue;
        }
        switch (rule->kind) {
        case KIND_TEXT:
            value = *(const char *const *)member;
            break;
        case KIND_BOOL:
            value = *(const bool *)member ? "true" : "false";
            break;
        case KIND_CHOICE:
            choice_text(rule->choices, *(const unsigned *)member, text, sizeof text);
            break;
        default:
            snprintf(text, sizeof text, "%llu", (unsigned long long)*(const uint64_t *)member);
        }
        if (value != NULL) {
            take(context, rule->variable, value);
        }
    }
}

void options_help(FILE *out)
{
    for (size_t i = 0; i < RULE_COUNT; i++) {
        const struct option_rule *rule = &rules[i];
        fprintf(out, "  %-22s %s", rule->variable, rule->help);
        if (rule->choices != NULL) {
            fprintf(out, " (%s)", rule->choices);
        }
        if ((rule->flags & (REQUIRED | REQUIRED_S3)) != 0) {
            fprintf(out, " [required%s]", (rule->flags & REQUIRED_S3) != 0 ? " for s3://" : "");
        } else if (rule->kind != KIND_TEXT || rule->fallback_text != NULL) {
            fprintf(out, " [");
            print_fallback(rule, out);
            fprintf(out, "]");
        }
        if ((rule->flags & SECRET) != 0) {
            fprintf(out, "; or %s_FILE names a file with it", rule->variable);
        }
        fprintf(out, "\n");
    }
}
