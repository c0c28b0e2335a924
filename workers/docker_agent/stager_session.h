/*
 * Conversations with stagers: attached helper containers whose stdin and stdout carry frames.
 *
 * The run's stager (restore-PROJECT-RUN-1) is the supervisor's: its frames are relayed (relay.c). A spool is a helper
 * of the agent's own (restore-PROJECT-RUN-N) that has the run's volume alone; through it the agent reads and writes the
 * files that the stager keeps there by stream number.
 */
#ifndef STAGER_SESSION_H
#define STAGER_SESSION_H

#include <stddef.h>
#include <stdint.h>

#include "agent.h"
#include "demux.h"

struct spool;

/*
 * Creates and starts a helper for the run and waits until it is ready. Several may be open at once.
 * 0 and *out (end with spool_close()), or -1 with agent->engine.error.
 */
int spool_open(struct agent *agent, const char *run, struct spool **out);

/* Ends the helper and removes its container. NULL is allowed. */
void spool_close(struct spool *spool);
#define cleanup_spool __attribute__((cleanup(cleanup_spool_value)))
static inline void cleanup_spool_value(struct spool **spool)
{
    spool_close(*spool);
}

/* Out of the spool: ask for the file of a stream; its bytes come by spool_next(). 0, or -1 with agent->engine.error. */
int spool_request(struct spool *spool, unsigned stream);

/* Non-blocking, for poll (POLLIN) alone: call spool_next() until SPOOL_AGAIN before polling, since a piece may be held
 * already. */
int spool_fd(const struct spool *spool);

enum spool_result {
    SPOOL_CHUNK, /* *data and *size; good until the next call */
    SPOOL_AGAIN, /* nothing there yet: poll */
    SPOOL_END,   /* the whole file came, checked against the count that the stager gives; another may be asked for */
    SPOOL_ERROR, /* agent->engine.error says why */
};
enum spool_result spool_next(struct spool *spool, const uint8_t **data, size_t *size);

/* The same, waiting for at most agent->timeout seconds; never SPOOL_AGAIN. */
enum spool_result spool_wait(struct spool *spool, const uint8_t **data, size_t *size);

/*
 * Into the spool: spool_receive() opens the file of a stream, spool_fill() writes bytes of any count (waits, at most
 * agent->timeout seconds without progress), spool_full() ends it and checks that the stager counted as many bytes.
 * 0, or -1 with agent->engine.error.
 */
int spool_receive(struct spool *spool, unsigned stream);
int spool_fill(struct spool *spool, const uint8_t *data, size_t size);
int spool_full(struct spool *spool);

#endif
