/*
 * JSON in one form only, so that equal values are equal bytes and a hash of them means something (after RFC 8785):
 *
 *   - members in the order of their names' bytes, each name once; no white space;
 *   - strings in UTF-8; escaped are `"` and `\` by a backslash, \b \t \n \f \r by these, other bytes below 0x20 as
 *     \u00xx; a byte that is no UTF-8 becomes the text \xHH, that is, `\\xHH` in JSON;
 *   - numbers as integers, or with up to three decimals and no zero at their end.
 */
#ifndef CANONICAL_H
#define CANONICAL_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Owned by the caller; NULL where memory is out. */
char *canonical_json(const cJSON *value);

/* The value of a text that is canonical JSON, to be deleted by the caller; NULL for any other. */
cJSON *canonical_parse(const char *text, size_t size);

/* Length of the UTF-8 character at `at`, or 0 where there is none. Reads up to a NUL, never behind it. */
size_t utf8_character(const unsigned char *at);

#endif
