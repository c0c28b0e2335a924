/* The cold copy of a stopped server's data directory, for undo: with owners, modes, times, attributes, hard links. */
#ifndef COPY_H
#define COPY_H

#include "area.h"
#include "swap.h"

/*
 * Copy the area into its .restore-RUN/old, sharing blocks where the file system can. What leads out of the directory
 * (absolute symlinks: tablespaces, moved databases) cannot be undone this way and is refused. -1: problem.
 */
int copy_area(struct areas *areas, struct area *area, struct swap_counts *counts, struct problem *problem);

/* Sync what copy_area() made, each file system once, then say in the journal that the copies are there: only from then
 * on does an undo use them. -1: problem. */
int copies_settle(struct areas *areas, struct problem *problem);

#endif
