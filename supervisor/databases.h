/* What of the databases is done before their phase. */
#ifndef DATABASES_H
#define DATABASES_H

#include "run.h"

/* The cold copies for undo: after the stop, before the first rename of the run, so that one undo brings back all. */
int copy_data_directories(struct run *run);

#endif
