/* The second pass of the download. */
#ifndef DOWNLOAD_H
#define DOWNLOAD_H

#include "run.h"

/* After the stop: stage what the first pass only verified, the data directories of live databases. */
int stage_deferred(struct run *run);

#endif
