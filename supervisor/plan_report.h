/*
 * What a restore is going to do, as text, as JSON and as a hash. The hash covers the JSON object `plan`, byte for byte
 * as it is printed: the archive, the containers that stop and start, the volumes and databases that are replaced and
 * the options that bear on them. What changes by itself (free space, how many files there are now) stands beside it, in
 * `now`.
 */
#ifndef PLAN_REPORT_H
#define PLAN_REPORT_H

#include "run.h"

/*
 * The end of phase 3, where everything is known and nothing has happened: prints the plan where that was asked for, and
 * refuses to go on where APPROVED_PLAN_SHA256 is another one's. Returns 0, or -1.
 */
int settle_plan(struct run *run);

#endif
