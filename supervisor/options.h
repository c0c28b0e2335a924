/* The options: read from the environment by the table in options.def. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum restore_mode { MODE_LATEST, MODE_SPECIFIC, MODE_LIST, MODE_VERIFY, MODE_PLAN, MODE_RECOVER };
enum stop_scope { SCOPE_STACK, SCOPE_AFFECTED };
enum log_format { LOG_TEXT, LOG_JSON };

/* Texts point into the environment, or are defaults; secrets are copies that options_wipe_secrets() wipes. */
struct options {
#define TEXT_OPTION(variable, member, fallback, flags, help) const char *member;
#define BOOL_OPTION(variable, member, fallback, help) bool member;
#define CHOICE_OPTION(variable, member, fallback, choices, help) unsigned member;
#define SECONDS_OPTION(variable, member, fallback, help) uint64_t member;
#define COUNT_OPTION(variable, member, fallback, help) uint64_t member;
#define SIZE_OPTION(variable, member, fallback, help) uint64_t member;
#include "options.def"
#undef TEXT_OPTION
#undef BOOL_OPTION
#undef CHOICE_OPTION
#undef SECONDS_OPTION
#undef COUNT_OPTION
#undef SIZE_OPTION
};

/*
 * Parse the environment. Returns 0, or -1 with one line in `error` that names the variable, what is wrong and what to
 * do. Every secret is moved out of the environment's memory, whatever the outcome.
 */
int options_parse(struct options *options, char *error, size_t error_size);

/* The stack that is restored: TARGET_PROJECT_NAME, else the one whose backup it is. */
const char *target_project(const struct options *options);

/* RESTORE_MODE as it is written. */
void options_mode_name(const struct options *options, char *out, size_t size);

/* Overwrite and free the secrets, once the fetcher has them. */
void options_wipe_secrets(struct options *options);

/* Calls `take` with each option but the secrets, as text, in the table's order; texts that are not set are left out. */
void options_each(const struct options *options, void (*take)(void *context, const char *variable, const char *value),
                  void *context);

/* The table as text, for --help. */
void options_help(FILE *out);

/* "5GB", "500MiB", "1024": bytes. Returns 0, or -1. */
int parse_size(const char *text, uint64_t *bytes);

#endif
