/* The policies as arrays, generated from the .def files of policies; included by sandbox.c and policy tests alone. */
#ifndef POLICY_TABLES_H
#define POLICY_TABLES_H

#include <fcntl.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "descriptors.h"

#define POLICY(identifier, text, rules)                                                                                \
    const struct policy policy_##identifier = {text, rules, sizeof(rules) / sizeof(rules)[0]}

static const struct policy_rule supervisor_rules[] = {
#include "supervisor.def"
};
POLICY(supervisor, "supervisor", supervisor_rules);

static const struct policy_rule fetcher_rules[] = {
#include "fetcher.def"
};
POLICY(fetcher, "fetcher", fetcher_rules);

static const struct policy_rule fetcher_file_rules[] = {
#include "fetcher_file.def"
};
POLICY(fetcher_file, "fetcher_file", fetcher_file_rules);

static const struct policy_rule unpacker_rules[] = {
#include "unpacker.def"
};
POLICY(unpacker, "unpacker", unpacker_rules);

static const struct policy_rule docker_agent_rules[] = {
#include "docker_agent.def"
};
POLICY(docker_agent, "docker_agent", docker_agent_rules);

static const struct policy_rule stager_rules[] = {
#include "stager.def"
};
POLICY(stager, "stager", stager_rules);

static const struct policy_rule stretcher_rules[] = {
#include "stretcher.def"
};
POLICY(stretcher, "stretcher", stretcher_rules);

#endif
