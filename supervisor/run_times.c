/* How long a run took, and what it cost. */
#include "run_times.h"

time_t stamp_time(const char *stamp)
{
    struct tm utc = {0};
    return strptime(stamp, "%Y%m%d-%H%M%S", &utc) == NULL ? 0 : timegm(&utc);
}

struct run_times run_times(const struct run *run)
{
    struct run_times times = {.made = stamp_time(run->backup.stamp)};
    times.took = run->started_at > 0 ? monotonic_seconds() - run->started_at : 0;
    times.ran_again = run->stopped_at > 0 && run->running_at > 0;
    times.has_backup = times.made != 0;
    if (times.ran_again) {
        times.rto = run->running_at - run->started_at;
        times.downtime = run->running_at - run->stopped_at;
    }
    if (times.has_backup) {
        times.rpo = difftime(time(NULL), times.made) - times.took;
    }
    return times;
}
