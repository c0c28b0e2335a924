/*
 * The process table.
 *
 *   S3 <--> fetcher --PIPE_ARCHIVE--> unpacker --PIPE_STREAMS--> docker-agent <--> docker.sock
 *                                                                     |
 *                                                        stager (in helper containers)
 *
 * Control is one pipe each way between the supervisor and each worker.
 */
#include "proctable.h"

const struct process_rule process_table[PROCESS_COUNT] = {
    [PROCESS_FETCHER] = {"fetcher", "restore-fetcher", PARTY_FETCHER, PIPE_NONE, PIPE_ARCHIVE, false, "S3 credentials",
                         "files, exec, unix sockets, Docker"},
    [PROCESS_UNPACKER] = {"unpacker", "restore-unpacker", PARTY_UNPACKER, PIPE_ARCHIVE, PIPE_STREAMS, false,
                          "nothing but the archive's bytes", "network, files, clock, exec, secrets of others"},
    [PROCESS_AGENT] = {"docker-agent", "restore-docker-agent", PARTY_AGENT, PIPE_STREAMS, PIPE_NONE, true,
                       "the Docker socket; database credentials for moments",
                       "S3 credentials, TCP, the archive's structure"},
};
