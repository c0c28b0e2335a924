/*
 * Small XML documents of a server that is not trusted: depth, lengths and memory are bounded, a document type
 * declaration (entities, external references) is refused. Parsing is expat's.
 */
#ifndef XML_READER_H
#define XML_READER_H

#include <stdbool.h>
#include <stddef.h>

enum { XML_DEPTH_MAX = 8, XML_NAME_MAX = 63, XML_TEXT_MAX = 4096 };

/* An element at its end tag: names from the root down to it, and the text directly before the tag. */
struct xml_element {
    char path[XML_DEPTH_MAX][XML_NAME_MAX + 1];
    size_t depth; /* 1: the root */
    char text[XML_TEXT_MAX + 1];
    size_t size;
    bool cut; /* the text was longer, or held a NUL */
};

/* May change element->text. Returns 0, or another number to stop. */
typedef int (*xml_handler)(void *context, struct xml_element *element);

/* Whether the element is at this path: xml_is(element, 2, "Error", "Code"). */
bool xml_is(const struct xml_element *element, size_t depth, ...);

/* Reads a whole document. Returns NULL, or why it was refused ("stopped" if the handler said so). */
const char *xml_read(const char *document, size_t size, xml_handler handler, void *context);

#endif
