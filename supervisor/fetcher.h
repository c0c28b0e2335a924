/* The supervisor's side of the fetcher: start it, hand over the credentials, follow a redirect to another region. */
#ifndef SUPERVISOR_FETCHER_H
#define SUPERVISOR_FETCHER_H

#include "monitor.h"

/* Start the fetcher, wait until it is confined, then give it the credentials. */
int fetcher_start(struct run *run);

/* After `redirected`: a fresh fetcher for the region that it names; a second redirect is an error. */
int fetcher_follow(struct run *run, enum process from, const struct frame *frame);

/* Seconds within which the fetcher must have said something: it has deadlines of its own, this is beyond them all. */
double fetcher_patience(const struct run *run);

#endif
