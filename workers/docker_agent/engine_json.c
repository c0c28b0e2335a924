/* Members of the Engine's JSON, with the defaults that spare every caller the checks. Pure. */
#include <math.h>
#include <string.h>

#include "engine_api.h"

const cJSON *json_member(const cJSON *object, const char *path)
{
    while (object != NULL) {
        size_t length = strcspn(path, ".");
        char name[64];
        if (length >= sizeof name) {
            return NULL;
        }
        memcpy(name, path, length);
        name[length] = '\0';
        object = cJSON_GetObjectItemCaseSensitive(object, name);
        if (path[length] == '\0') {
            return object;
        }
        path += length + 1;
    }
    return NULL;
}

const char *json_text(const cJSON *object, const char *path)
{
    const cJSON *member = json_member(object, path);
    return cJSON_IsString(member) ? member->valuestring : "";
}

uint64_t json_number(const cJSON *object, const char *path)
{
    const cJSON *member = json_member(object, path);
    if (!cJSON_IsNumber(member) || !isfinite(member->valuedouble) || member->valuedouble < 0 ||
        member->valuedouble > 9007199254740992.0) {
        return 0;
    }
    return (uint64_t)member->valuedouble;
}

bool json_true(const cJSON *object, const char *path)
{
    return cJSON_IsTrue(json_member(object, path));
}

const char *json_label(const cJSON *labels, const char *name)
{
    const cJSON *label = cJSON_GetObjectItemCaseSensitive(labels, name);
    return cJSON_IsString(label) ? label->valuestring : "";
}
