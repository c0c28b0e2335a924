/* Small XML documents of a server that is not trusted. */
#include "xml_reader.h"

#include <expat.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY_MAX (4U << 20) /* of the parser: far above what a list of 1000 keys takes */

struct reader {
    XML_Parser parser;
    xml_handler handler;
    void *context;
    const char *refused;
    struct xml_element element;
};

/*
 * Expat's memory, counted: a document made to blow it up ends in 'no memory' instead of in a call for more heap,
 * which the sandbox would answer with a kill. One parser at a time.
 */
static size_t memory_used;

static void *counted_malloc(size_t size)
{
    if (size > MEMORY_MAX || memory_used + size > MEMORY_MAX) {
        return NULL;
    }
    max_align_t *block = malloc(sizeof *block + size);
    if (block == NULL) {
        return NULL;
    }
    memcpy(block, &size, sizeof size);
    memory_used += size;
    return block + 1;
}

static void counted_free(void *memory)
{
    if (memory == NULL) {
        return;
    }
    max_align_t *block = (max_align_t *)memory - 1;
    size_t size;
    memcpy(&size, block, sizeof size);
    memory_used -= size;
    free(block);
}

static void *counted_realloc(void *memory, size_t size)
{
    void *grown = counted_malloc(size);
    if (grown == NULL || memory == NULL) {
        return grown;
    }
    size_t before;
    memcpy(&before, (max_align_t *)memory - 1, sizeof before);
    memcpy(grown, memory, before < size ? before : size);
    counted_free(memory);
    return grown;
}

static void refuse(struct reader *reader, const char *reason)
{
    reader->refused = reason;
    XML_StopParser(reader->parser, XML_FALSE);
}

static void XMLCALL on_start(void *data, const XML_Char *name, const XML_Char **attributes)
{
    (void)attributes;
    struct reader *reader = data;
    struct xml_element *element = &reader->element;
    if (element->depth == XML_DEPTH_MAX || strlen(name) > XML_NAME_MAX) {
        refuse(reader, "nested too deeply, or a name too long");
        return;
    }
    strcpy(element->path[element->depth++], name);
    element->size = 0;
    element->cut = false;
}

static void XMLCALL on_text(void *data, const XML_Char *text, int length)
{
    struct xml_element *element = &((struct reader *)data)->element;
    size_t size = (size_t)length;
    if (size > XML_TEXT_MAX - element->size || memchr(text, '\0', size) != NULL) {
        element->cut = true;
        return;
    }
    memcpy(element->text + element->size, text, size);
    element->size += size;
}

static void XMLCALL on_end(void *data, const XML_Char *name)
{
    (void)name;
    struct reader *reader = data;
    struct xml_element *element = &reader->element;
    element->text[element->size] = '\0';
    if (reader->handler(reader->context, element) != 0) {
        refuse(reader, "stopped");
        return;
    }
    element->depth--;
    element->size = 0;
    element->cut = false;
}

static void XMLCALL on_doctype(void *data, const XML_Char *name, const XML_Char *system, const XML_Char *public_id,
                               int internal)
{
    (void)name, (void)system, (void)public_id, (void)internal;
    refuse(data, "a document type declaration, which S3 never sends");
}

bool xml_is(const struct xml_element *element, size_t depth, ...)
{
    if (element->depth != depth) {
        return false;
    }
    bool same = true;
    va_list names;
    va_start(names, depth);
    for (size_t i = 0; i < depth; i++) {
        same = same && strcmp(element->path[i], va_arg(names, const char *)) == 0;
    }
    va_end(names);
    return same;
}

const char *xml_read(const char *document, size_t size, xml_handler handler, void *context)
{
    static const XML_Memory_Handling_Suite memory = {counted_malloc, counted_realloc, counted_free};
    static struct reader reader;
    reader = (struct reader){.handler = handler, .context = context};
    reader.parser = XML_ParserCreate_MM("UTF-8", &memory, NULL);
    unsigned long salt = 0;
    if (reader.parser == NULL || size > INT32_MAX) {
        return "no memory";
    }
    RAND_bytes((unsigned char *)&salt, sizeof salt);
    XML_SetHashSalt(reader.parser, salt | 1); /* else expat asks the kernel for one */
    XML_SetUserData(reader.parser, &reader);
    XML_SetElementHandler(reader.parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader.parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader.parser, on_doctype);
    enum XML_Status status = XML_Parse(reader.parser, document, (int)size, XML_TRUE);
    if (status != XML_STATUS_OK && reader.refused == NULL) {
        reader.refused = XML_ErrorString(XML_GetErrorCode(reader.parser));
    }
    XML_ParserFree(reader.parser);
    return reader.refused;
}
