/*
 * The process table.
 *
 *   S3 <--> fetcher --PIPE_ARCHIVE--> unpacker --PIPE_STREAMS--> docker-agent <--> docker.sock
 *                                                                     |
 *                                                        stager (in helper containers)
 *
 * A stretcher, where the archive is encrypted with a passphrase, lives for as long as it takes to make a key of it.
 *
 * Control is one pipe each way between the supervisor and each worker.
 *
 * Starts: a fetcher again for another region, an unpacker and a stretcher again for the second pass, a docker-agent
 * again for the undo.
 */
#include "proctable.h"

#include "identities.h"

const struct process_rule process_table[PROCESS_COUNT] = {
    [PROCESS_FETCHER] = {"fetcher", "restore-fetcher", &policy_fetcher, &policy_fetcher_file, PARTY_FETCHER, PIPE_NONE,
                         PIPE_ARCHIVE, false, SECRET_NONE, 2, FETCHER_USER, "S3 credentials",
                         "files, exec, unix sockets, Docker"},
    [PROCESS_UNPACKER] = {"unpacker", "restore-unpacker", &policy_unpacker, NULL, PARTY_UNPACKER, PIPE_ARCHIVE,
                          PIPE_STREAMS, false, SECRET_AGE_IDENTITY, 2, UNPACKER_USER,
                          "the archive's bytes; the identities that decrypt them",
                          "network, files, clock, exec, secrets of others"},
    [PROCESS_AGENT] = {"docker-agent", "restore-docker-agent", &policy_docker_agent, NULL, PARTY_AGENT, PIPE_STREAMS,
                       PIPE_NONE, true, SECRET_NONE, 2, AGENT_USER,
                       "the Docker socket; database credentials for moments",
                       "S3 credentials, TCP, the archive's structure"},
    [PROCESS_STRETCHER] = {"stretcher", "restore-stretcher", &policy_stretcher, NULL, PARTY_STRETCHER, PIPE_NONE,
                           PIPE_NONE, false, SECRET_AGE_PASSPHRASE, 2, STRETCHER_USER,
                           "the passphrase of an encrypted archive, while it makes a key of it",
                           "the archive, network, other files, exec"},
};
