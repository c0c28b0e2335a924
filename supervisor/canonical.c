/* JSON in one form only. */
#include "canonical.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define LARGEST_INTEGER 9007199254740992.0 /* 2^53: what a number of JSON carries everywhere */

static void print_value(FILE *out, const cJSON *value);

size_t utf8_character(const unsigned char *at)
{
    size_t length = at[0] < 0x80                     ? 1
                    : at[0] >= 0xc2 && at[0] <= 0xdf ? 2
                    : at[0] >= 0xe0 && at[0] <= 0xef ? 3
                    : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                     : 0;
    for (size_t i = 1; i < length; i++) {
        if ((at[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    /* longer than needed, surrogates, beyond U+10FFFF */
    bool wrong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
                 (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f);
    return wrong ? 0 : length;
}

static void print_escaped(FILE *out, unsigned char byte)
{
    static const char shorts[] = "\bb\tt\nn\ff\rr\"\"\\\\";
    for (size_t i = 0; i + 1 < sizeof shorts; i += 2) {
        if ((unsigned char)shorts[i] == byte) {
            fprintf(out, "\\%c", shorts[i + 1]);
            return;
        }
    }
    fprintf(out, "\\u%04x", byte);
}

static void print_string(FILE *out, const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    fputc('"', out);
    while (*at != '\0') {
        size_t length = utf8_character(at);
        if (length == 0) {
            fprintf(out, "\\\\x%02x", *at);
            at++;
            continue;
        }
        if (*at < 0x20 || *at == '"' || *at == '\\') {
            print_escaped(out, *at);
        } else {
            fwrite(at, 1, length, out);
        }
        at += length;
    }
    fputc('"', out);
}

static void print_number(FILE *out, double number)
{
    if (!isfinite(number) || fabs(number) > LARGEST_INTEGER) {
        fputs("null", out);
        return;
    }
    char text[64];
    snprintf(text, sizeof text, "%.3f", number);
    if (strcmp(text, "-0.000") == 0) {
        memmove(text, text + 1, strlen(text));
    }
    size_t size = strlen(text);
    while (text[size - 1] == '0') {
        size--;
    }
    size -= text[size - 1] == '.' ? 1 : 0;
    fwrite(text, 1, size, out);
}

/* The member whose name follows `after` (NULL: the first), by the bytes of the names. */
static const cJSON *next_member(const cJSON *object, const char *after)
{
    const cJSON *found = NULL;
    const cJSON *item;
    cJSON_ArrayForEach(item, object)
    {
        bool behind = after == NULL || strcmp(item->string, after) > 0;
        if (behind && (found == NULL || strcmp(item->string, found->string) < 0)) {
            found = item;
        }
    }
    return found;
}

static void print_object(FILE *out, const cJSON *object)
{
    const char *separator = "";
    fputc('{', out);
    for (const cJSON *item = next_member(object, NULL); item != NULL; item = next_member(object, item->string)) {
        fputs(separator, out);
        print_string(out, item->string);
        fputc(':', out);
        print_value(out, item);
        separator = ",";
    }
    fputc('}', out);
}

static void print_array(FILE *out, const cJSON *array)
{
    const char *separator = "";
    const cJSON *item;
    fputc('[', out);
    cJSON_ArrayForEach(item, array)
    {
        fputs(separator, out);
        print_value(out, item);
        separator = ",";
    }
    fputc(']', out);
}

static void print_value(FILE *out, const cJSON *value)
{
    if (cJSON_IsObject(value)) {
        print_object(out, value);
    } else if (cJSON_IsArray(value)) {
        print_array(out, value);
    } else if (cJSON_IsString(value)) {
        print_string(out, value->valuestring);
    } else if (cJSON_IsNumber(value)) {
        print_number(out, value->valuedouble);
    } else {
        fputs(cJSON_IsTrue(value) ? "true" : cJSON_IsFalse(value) ? "false" : "null", out);
    }
}

char *canonical_json(const cJSON *value)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL) {
        return NULL;
    }
    print_value(out, value);
    bool failed = ferror(out) != 0;
    if (fclose(out) != 0 || failed) {
        free(text);
        return NULL;
    }
    return text;
}

cJSON *canonical_parse(const char *text, size_t size)
{
    cJSON *value = cJSON_ParseWithLength(text, size);
    cleanup_free char *again = value == NULL ? NULL : canonical_json(value);
    if (again == NULL || strlen(again) != size || memcmp(again, text, size) != 0) {
        cJSON_Delete(value);
        return NULL;
    }
    return value;
}
