/* Progress on standard error: a live line on a terminal, otherwise key=value lines now and then. */
#ifndef SLUICE_PIPELINE_PROGRESS_H
#define SLUICE_PIPELINE_PROGRESS_H

#include "base/macros.h"

struct progress {
    bool terminal;
    int64_t last_us;
    uint64_t last_count; /* rows or changes at last_us: for the rate */
    char line[256];      /* what stands on the terminal now */
};

struct progress_figures {
    bool copying;
    uint64_t rows, bytes, chunks_done, chunks; /* of the copy */
    uint64_t changes;                          /* applied since the start */
    uint64_t tables;
    int64_t lag_bytes; /* WAL written at the source and not applied yet */
    int64_t behind_us; /* age of the last commit applied, when behind; else 0 */
    bool connected, silent;
};

void progress_init(struct progress *p);
void progress_show(struct progress *p, const struct progress_figures *f); /* cheap: looks at the clock first */
void progress_end(struct progress *p);

#endif
