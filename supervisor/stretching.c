/* Between unpacker and stretcher. */
#include "stretching.h"

#include "output.h"
#include "spawn.h"
#include "workers.h"

int take_passphrase_wanted(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_passphrase_wanted wanted;
    if (monitor_decode(run, from, frame, &wanted) != 0) {
        return -1;
    }
    if (run->options.age_passphrase_file == NULL || run->workers[PROCESS_STRETCHER].pid > 0) {
        return monitor_violation(run, from, "a passphrase that is not there to be had");
    }
    say("Stretching the passphrase (work factor %llu)", (unsigned long long)wanted.work_factor);
    if (spawn_worker(run, PROCESS_STRETCHER) != 0) {
        return -1;
    }
    return TELL(run, PROCESS_STRETCHER, stretcher_config, .salt = wanted.salt, .work_factor = wanted.work_factor);
}

int take_stretcher_ready(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_ready ready;
    if (monitor_decode(run, from, frame, &ready) != 0) {
        return -1;
    }
    if (from != PROCESS_STRETCHER) {
        return monitor_violation(run, from, "another message than those of a download");
    }
    return worker_check(run, from, &ready) != 0 ? -1 : TELL(run, PROCESS_STRETCHER, stretch);
}

int take_stretched(struct run *run, enum process from, const struct frame *frame)
{
    struct msg_stretched stretched;
    if (monitor_decode(run, from, frame, &stretched) != 0) {
        return -1;
    }
    int result = TELL(run, PROCESS_UNPACKER, passphrase_key, .key = stretched.key);
    channel_wipe(&run->workers[PROCESS_UNPACKER].channel);
    channel_wipe(&run->workers[PROCESS_STRETCHER].channel);
    end_worker(run, PROCESS_STRETCHER);
    return result;
}
