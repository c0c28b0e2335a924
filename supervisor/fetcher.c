/* The supervisor's side of the fetcher. */
#include "fetcher.h"

#include <stdlib.h>
#include <string.h>

#include "output.h"
#include "spawn.h"
#include "workers.h"

#define BACKOFF_MOST 30

double fetcher_patience(const struct run *run)
{
    const struct options *options = &run->options;
    uint64_t attempt = options->connect_timeout + options->stall_timeout + BACKOFF_MOST;
    return 30 + (double)(options->attempts * attempt);
}

static struct text text_or_empty(const char *string)
{
    return text_of(string == NULL ? "" : string);
}

int fetcher_start(struct run *run)
{
    struct options *options = &run->options;
    if (spawn_worker(run, PROCESS_FETCHER) != 0 ||
        TELL(run, PROCESS_FETCHER, fetcher_config, .endpoint = text_of(run->endpoint), .bucket = text_of(run->bucket),
             .prefix = text_of(run->prefix), .region = text_of(run->region), .addressing = options->addressing,
             .ca_bundle = text_or_empty(options->ca_bundle), .proxy = text_or_empty(options->proxy),
             .connect_timeout = options->connect_timeout, .stall_timeout = options->stall_timeout,
             .attempts = options->attempts) != 0 ||
        worker_ready(run, PROCESS_FETCHER) != 0) {
        return -1;
    }
    if (run->file_store) {
        return 0;
    }
    int result = TELL(run, PROCESS_FETCHER, credentials, .access_key_id = text_or_empty(options->access_key_id),
                      .secret_access_key = text_or_empty(options->secret_access_key),
                      .session_token = text_or_empty(options->session_token));
    channel_wipe(&run->workers[PROCESS_FETCHER].channel);
    return result;
}

int fetcher_follow(struct run *run, enum process from, const struct frame *frame)
{
    static bool followed;
    struct msg_redirected redirected;
    if (monitor_decode(run, from, frame, &redirected) != 0) {
        return -1;
    }
    if (followed || redirected.region.size == 0) {
        return run_fail(run, EXIT_STORAGE, "The bucket '%s' is in another region than '%s'. Set AWS_DEFAULT_REGION",
                        run->bucket, run->region);
    }
    followed = true;
    say("The bucket is in region '%s', not '%s': asking there", redirected.region.data, run->region);
    free(run->region);
    run->region = copy_text(redirected.region);
    end_worker(run, PROCESS_FETCHER);
    return fetcher_start(run);
}
