/* The header of age files: it is refused with a reason, or what it holds is within its bounds and of the input. */
#include <stdlib.h>
#include <string.h>

#include "workers/unpacker/age_header.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct age_header header;
    uint8_t *copy = malloc(size == 0 ? 1 : size); /* of just this size, for the sanitizer to see its end */
    memcpy(copy, data, size);
    const char *refusal = age_header_parse(copy, size, &header);
    if (refusal != NULL) {
        if (refusal[0] == '\0') {
            abort();
        }
    } else {
        size_t stanzas = header.recipient_count + header.others;
        size_t newlines = 0;
        for (size_t i = 0; i < header.size && header.size <= size; i++) {
            newlines += copy[i] == '\n' ? 1 : 0;
        }
        if (header.size > size || header.mac_covers >= header.size || copy[header.size - 1] != '\n' ||
            memcmp(copy + header.mac_covers - 3, "---", 3) != 0 || header.recipient_count > AGE_RECIPIENTS_MAX ||
            header.work_factor > AGE_WORK_FACTOR_MAX || (header.work_factor == 0) != (stanzas != 0) ||
            newlines < 2 + 2 * (stanzas + (header.work_factor != 0 ? 1 : 0))) {
            abort();
        }
    }
    free(copy);
    return 0;
}
