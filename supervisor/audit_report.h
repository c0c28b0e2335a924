/* `restore audit report FILE`: an audit log, or a REPORT_FILE, as one page of HTML on standard output. */
#ifndef AUDIT_REPORT_H
#define AUDIT_REPORT_H

#include <stddef.h>
#include <stdio.h>

/* Writes the page. Returns 0; -1 where the text is neither. Everything that comes from the text is escaped. */
int audit_page(const char *text, size_t size, FILE *out);

/* The subcommand; returns the exit code. */
int audit_report_command(const char *path);

#endif
