/*
 * The decryption of age files as a filter: age_filter IDENTITY_FILE PASSPHRASE PIECE <file >payload; either may be
 * empty. Ends with the exit code of the failure, and its text on stderr. What was released before it has been written.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "workers/stretcher/scrypt.h"
#include "workers/unpacker/age.h"
#include "workers/unpacker/age_identity.h"

static ssize_t supply(void *context, void *bytes, size_t room, struct failure *failure)
{
    size_t piece = *(size_t *)context;
    ssize_t got = read(STDIN_FILENO, bytes, room < piece ? room : piece);
    return got < 0 ? fail_with(failure, 1, "read: %s", strerror(errno)) : got;
}

static int stretch(void *context, const uint8_t salt[AGE_SALT_SIZE], unsigned work_factor, uint8_t key[AGE_KEY_SIZE],
                   struct failure *failure)
{
    const char *passphrase = context;
    return scrypt_key(passphrase, strlen(passphrase), salt, work_factor, key) == 0 ? 0
                                                                                   : fail_with(failure, 1, "scrypt");
}

int main(int argc, char **argv)
{
    static char text[AGE_IDENTITY_FILE_MAX];
    struct failure failure = {0};
    struct age *age = age_new();
    if (argc != 4 || age == NULL) {
        return 1;
    }
    FILE *file = argv[1][0] == '\0' ? NULL : fopen(argv[1], "r");
    size_t size = file == NULL ? 0 : fread(text, 1, sizeof text, file);
    unsigned line = 0;
    const char *refusal = age_take_identities(age, text, size, &line);
    if (refusal != NULL) {
        fprintf(stderr, "line %u: %s\n", line, refusal);
        return 2;
    }
    size_t piece = strtoul(argv[3], NULL, 10);
    const struct age_stretcher stretcher = {stretch, argv[2]};
    age_start(age, supply, &piece, argv[2][0] == '\0' ? NULL : &stretcher);
    static char buffer[100000];
    ssize_t got;
    while ((got = age_read(age, buffer, sizeof buffer, &failure)) > 0) {
        fwrite(buffer, 1, (size_t)got, stdout);
    }
    fflush(stdout);
    if (got < 0) {
        fprintf(stderr, "%s\n", failure.text);
    }
    age_free(age);
    return got < 0 ? (int)failure.code : 0;
}
