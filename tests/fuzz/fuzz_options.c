/* The option parser: any value of any variable is taken or refused in one line that is not empty. */
#include <stdlib.h>
#include <string.h>

#include "supervisor/options.h"

static const char *const variables[] = {
#define TEXT_OPTION(variable, member, fallback, flags, help) #variable,
#define BOOL_OPTION(variable, member, fallback, help) #variable,
#define CHOICE_OPTION(variable, member, fallback, choices, help) #variable,
#define SECONDS_OPTION(variable, member, fallback, help) #variable,
#define COUNT_OPTION(variable, member, fallback, help) #variable,
#define SIZE_OPTION(variable, member, fallback, help) #variable,
#include "supervisor/options.def"
};
#define VARIABLE_COUNT (sizeof variables / sizeof variables[0])

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1) {
        return 0;
    }
    clearenv();
    setenv("PROJECT_NAME", "p", 1);
    setenv("S3_BUCKET_URL", "file:///b", 1);
    char *value = strndup((const char *)data + 1, size - 1);
    setenv(variables[data[0] % VARIABLE_COUNT], value, 1);
    free(value);
    struct options options;
    char error[600] = "";
    if (options_parse(&options, error, sizeof error) != 0 && (error[0] == '\0' || strchr(error, '\0') == NULL)) {
        abort();
    }
    options_wipe_secrets(&options);
    return 0;
}
