/* The end of an epoch: what was read of the spool is in the lake, and folders follow the names that it showed. */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"

int sync_commit_epoch(struct sync *s, struct err *err)
{
    TRY(pg_epoch_flush(s->epoch, err));
    if (delta_sink_is_dirty(s->sink))
        TRY(delta_sink_commit(s->sink, s->read_lsn, err));
    crash_point("epoch_committed");
    s->last_commit_us = clock_mono_us();
    if (s->epoch_us)
        log_debug("epoch", "changes=%llu took_us=%lld", (unsigned long long)pg_epoch_changes(s->epoch),
                  (long long)(s->last_commit_us - s->epoch_us));
    s->epoch_us = 0;
    s->applied = MAX(s->applied, s->read_lsn);
    s->trim_lsn = s->read_end_lsn;
    sync_note_tables(s);
    return sync_follow_names(s, err);
}

bool sync_epoch_is_open(const struct sync *s)
{
    return s->read_lsn > s->applied || delta_sink_is_dirty(s->sink);
}
