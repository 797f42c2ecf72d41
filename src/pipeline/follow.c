/* Which tables follow the stream, and which are set aside. */
#include "pipeline/run.h"

#include "base/clock.h"
#include "base/log.h"

void sync_note_tables(struct sync *s)
{
    bool copying = s->copy || s->snapshot;

    for (size_t i = 0; i < s->state.n_tables; i++) {
        struct state_table *st = &s->state.tables[i];
        struct lake_table *t = delta_sink_find(s->sink, st->oid);
        if (!t || (copying && st->state == TABLE_COPYING))
            continue;
        if (t->state == LAKE_QUARANTINED && t->stale) {
            st->state = TABLE_NEW; /* the next look starts a copy, and that is now */
            s->next_look_us = 0;
            s->state_dirty = true;
        } else if (t->state == LAKE_QUARANTINED && st->state != TABLE_QUARANTINED) {
            st->state = TABLE_QUARANTINED;
            state_set_reason(&s->state, st, t->reason);
            s->state_dirty = true;
        } else if (t->state == LAKE_STREAMING && st->state == TABLE_COPYING && !copying) {
            st->state = TABLE_STREAMING;
            s->state_dirty = true;
        }
    }
}

void sync_set_aside(struct sync *s, struct lake_table *t, const char *reason)
{
    if (!t)
        return;
    log_warn("table_quarantined", "table=%s reason=%s", t->name, log_quote(reason));
    lake_table_quarantine(t, reason);
    sync_note_tables(s);
}

void sync_look_soon(struct sync *s, int64_t us)
{
    s->next_look_us = MIN(s->next_look_us, clock_mono_us() + us);
}
