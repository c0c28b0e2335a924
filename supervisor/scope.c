/* Which containers a run stops and starts. */
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

bool is_of_stack(const struct container *container)
{
    return !container->self && !container->oneoff;
}

bool is_concerned(const struct container *container)
{
    return is_of_stack(container) && !container->apart;
}

static bool ran_at_all(const struct run *run)
{
    for (unsigned i = 0; i < run->plan.container_count; i++) {
        if (is_of_stack(&run->plan.containers[i]) && run->plan.containers[i].was_running) {
            return true;
        }
    }
    return false;
}

bool is_stopped(const struct run *run, const struct container *container)
{
    return is_concerned(container) && container->was_running && !run->options.skip_stop;
}

bool is_started(const struct run *run, const struct container *container)
{
    return is_concerned(container) && !run->options.skip_start && (container->was_running || !ran_at_all(run));
}

static bool is_restored(const struct run *run, const char *service)
{
    for (unsigned i = 0; i < run->plan.stream_count; i++) {
        if (run->plan.streams[i].seen && strcmp(run->plan.streams[i].service, service) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether it depends on a container that is concerned. */
static bool depends_on_concerned(const struct plan *plan, const struct container *container, const bool *concerned)
{
    for (unsigned i = 0; i < plan->container_count; i++) {
        if (concerned[i] &&
            dependency_condition(container->depends_on, plan->containers[i].service) != CONDITION_NONE) {
            return true;
        }
    }
    return false;
}

/* Those that depend on these as well, until there are no more. */
static void add_dependents(const struct plan *plan, bool *concerned)
{
    for (bool grew = true; grew;) {
        grew = false;
        for (unsigned i = 0; i < plan->container_count; i++) {
            if (!concerned[i] && depends_on_concerned(plan, &plan->containers[i], concerned)) {
                concerned[i] = grew = true;
            }
        }
    }
}

int settle_scope(struct run *run)
{
    struct plan *plan = &run->plan;
    if (run->options.stop_scope != SCOPE_AFFECTED) {
        return 0;
    }
    cleanup_free bool *concerned = calloc(plan->container_count + 1, sizeof *concerned);
    if (concerned == NULL) {
        return run_fail(run, EXIT_INTERNAL, "Out of memory");
    }
    for (unsigned i = 0; i < plan->container_count; i++) {
        const struct container *container = &plan->containers[i];
        concerned[i] = !container->was_running || container->uses_target || is_restored(run, container->service);
    }
    add_dependents(plan, concerned);
    for (unsigned i = 0; i < plan->container_count; i++) {
        plan->containers[i].apart = !concerned[i];
    }
    return 0;
}
