/*
 * Credentials and region from the files of the AWS command line, where the environment names none. Source of behaviour:
 * AWS CLI's 'Configuration and credential file settings': ~/.aws/credentials with [NAME], ~/.aws/config with [profile
 * NAME] and [default]; the first wins.
 */
#ifndef PROFILE_H
#define PROFILE_H

#include <stddef.h>

/* Texts on the heap, the caller's: secrets by secret_free(). NULL: the profile has none. */
struct profile {
    char *access_key_id;
    char *secret_access_key;
    char *session_token;
    char *region;
};

/* Where to look. Names may be NULL: $HOME/.aws/credentials, $HOME/.aws/config, `default`. */
struct profile_source {
    const char *credentials_file;
    const char *config_file;
    const char *name;
};

/*
 * Returns 0 (with what was found), or -1 with one line in `error`: a profile or file that was named and is not there,
 * or one whose credentials come from elsewhere (roles, processes, single sign-on).
 */
int profile_read(const struct profile_source *source, struct profile *profile, char *error, size_t error_size);

#endif
