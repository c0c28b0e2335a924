/* Matches services, volumes and databases with the lists of the user. */
#include "choice.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#define SEPARATORS ", \t\n"
#define PATTERN_MAX 512

/* The next pattern of a list, without its '!'. False at the list's end. */
static bool take_pattern(const char **at, char *pattern, size_t size, bool *excludes)
{
    *at += strspn(*at, SEPARATORS);
    size_t length = strcspn(*at, SEPARATORS);
    *excludes = **at == '!';
    size_t skip = *excludes ? 1 : 0;
    snprintf(pattern, size, "%.*s", (int)(length - (length > 0 ? skip : 0)), *at + skip);
    *at += length;
    return length > 0;
}

bool patterns_next(const char **at, char *pattern, unsigned size)
{
    bool excludes;
    while (take_pattern(at, pattern, size, &excludes)) {
        if (!excludes) {
            return true;
        }
    }
    return false;
}

bool patterns_pick(const char *patterns, const char *name, const char *other)
{
    char pattern[PATTERN_MAX];
    bool excludes;
    bool includes = false; /* the list has patterns that include */
    bool picked = false;
    while (take_pattern(&patterns, pattern, sizeof pattern, &excludes)) {
        bool matches = fnmatch(pattern, name, 0) == 0 || (other != NULL && fnmatch(pattern, other, 0) == 0);
        if (matches && excludes) {
            return false;
        }
        includes = includes || !excludes;
        picked = picked || matches;
    }
    return picked || !includes;
}

bool is_chosen(const struct options *options, enum section_kind kind, const char *service, const char *name)
{
    if (options->restore_services != NULL && !patterns_pick(options->restore_services, service, NULL)) {
        return false;
    }
    bool volume = kind == SECTION_VOLUME;
    const char *patterns = volume ? options->restore_volumes : options->restore_databases;
    const char *others = volume ? options->restore_databases : options->restore_volumes;
    if (patterns == NULL) {
        return others == NULL;
    }
    if (!volume) {
        return patterns_pick(patterns, service, NULL);
    }
    char full[PATTERN_MAX + 1];
    snprintf(full, sizeof full, "%s/%s", service, name);
    return patterns_pick(patterns, name, full);
}
