/*
 * The passphrase of an encrypted archive: the unpacker finds a salt and a work factor in the header, a stretcher makes
 * the key of them, and the key goes back. The supervisor passes it on and keeps none of it; it never has the
 * passphrase.
 */
#ifndef STRETCHING_H
#define STRETCHING_H

#include "monitor.h"

/* Frames of the exchange. Each returns 0, or -1 (run_fail). */
int take_passphrase_wanted(struct run *run, enum process from, const struct frame *frame);
int take_stretcher_ready(struct run *run, enum process from, const struct frame *frame);
int take_stretched(struct run *run, enum process from, const struct frame *frame);

#endif
