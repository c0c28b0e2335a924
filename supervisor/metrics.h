/*
 * METRICS_FILE: what came of the run, as gauges for Prometheus' text file collector
 * (https://prometheus.io/docs/instrumenting/exposition_formats/). The file is opened before the first phase and gets
 * its name, whole, at the end of the run, whatever its outcome.
 */
#ifndef METRICS_H
#define METRICS_H

#include "run.h"

/* Returns 0, or -1 (run_fail). */
int metrics_open(struct run *run);

/* Writes the file, where one is wanted; the last act of a run. Returns the exit code: a file that is missing is a
 * warning. */
int metrics_write(const struct run *run, int code);

#endif
