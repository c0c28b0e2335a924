/*
 * Names of backups: backup_{PROJECT}_{YYYYMMDD-HHMMSS}_{UUID}.tar.zst (archive-format.md, 'Object names'); other
 * endings say how else the tar is compressed, and how it is encrypted.
 */
#ifndef BACKUP_NAME_H
#define BACKUP_NAME_H

#include <stdbool.h>
#include <stddef.h>

#include "messages.h"

enum encryption { ENCRYPTION_NONE, ENCRYPTION_AGE, ENCRYPTION_GPG };

struct backup_name {
    const char *project; /* points into the name */
    size_t project_size;
    char stamp[16]; /* YYYYMMDD-HHMMSS, of the backup host's local time; the year begins with 1 or 2 */
    enum archive_format format;
    enum encryption encryption;
};

/* Parse from the right-hand end, since a project may contain '_'. False: not a backup's name. */
bool backup_name_parse(const char *name, struct backup_name *parsed);

/* Whether the name is a backup of exactly this project. */
bool backup_name_is_of(const char *name, const char *project, struct backup_name *parsed);

/* A time as people write it (2023-11-05, 2023-11-05T12:00[:30], 20231105-120000) as a stamp of names. */
bool backup_stamp_parse(const char *text, char stamp[16]);

#endif
