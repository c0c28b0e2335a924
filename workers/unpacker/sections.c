/* Sections by kind, service and name; both tables are fixed, since memory does not grow after the lock-down. */
#include "sections.h"

#include <string.h>

int sections_want(struct sections *sections, const struct msg_want *message)
{
    if (sections->want_count == MAX_WANTS) {
        return -1;
    }
    struct want *want = &sections->wants[sections->want_count++];
    want->stream = message->stream;
    want->kind = (enum section_kind)message->kind;
    memcpy(want->service, message->service.data, message->service.size + 1);
    memcpy(want->login, message->login.data, message->login.size + 1);
    bool volume = want->kind == SECTION_VOLUME;
    memcpy(want->name, volume ? message->name.data : "", volume ? message->name.size + 1 : 1);
    return 0;
}

void sections_clear(struct sections *sections)
{
    sections->count = 0;
    sections->last = 0;
    sections->want_count = 0;
}

static const struct want *find_want(const struct sections *sections, enum section_kind kind, const char *service,
                                    const char *name)
{
    for (size_t i = 0; i < sections->want_count; i++) {
        const struct want *want = &sections->wants[i];
        if (want->kind == kind && strcmp(want->service, service) == 0 && strcmp(want->name, name) == 0) {
            return want;
        }
    }
    return NULL;
}

static bool is_section(const struct section *section, enum section_kind kind, const char *service, const char *name)
{
    return section->kind == kind && strcmp(section->service, service) == 0 && strcmp(section->name, name) == 0;
}

struct section *sections_find(struct sections *sections, enum section_kind kind, const char *service, const char *name,
                              bool *is_new)
{
    *is_new = false;
    for (size_t i = 0; i < sections->count; i++) {
        size_t at = (sections->last + i) % sections->count;
        if (is_section(&sections->found[at], kind, service, name)) {
            sections->last = at;
            return &sections->found[at];
        }
    }
    if (sections->count == MAX_SECTIONS) {
        return NULL;
    }
    *is_new = true;
    sections->last = sections->count++;
    struct section *section = &sections->found[sections->last];
    *section = (struct section){.kind = kind, .want = find_want(sections, kind, service, name)};
    SHA256_Init(&section->hash);
    strcpy(section->service, service);
    strcpy(section->name, name);
    return section;
}
