/* Where a change stands in the source's log: never a bare LSN, because many rows share one. */
#ifndef SLUICE_MODEL_POSITION_H
#define SLUICE_MODEL_POSITION_H

#include "base/str.h"

struct position {
    uint64_t lsn;     /* commit LSN of the transaction (its `commit_lsn` in pgoutput), 0 = before everything */
    uint64_t ordinal; /* of the change in the transaction, from 1; 0 = the commit itself as a resume point */
};

static inline int position_cmp(struct position a, struct position b)
{
    if (a.lsn != b.lsn)
        return a.lsn < b.lsn ? -1 : 1;
    return (a.ordinal > b.ordinal) - (a.ordinal < b.ordinal);
}

enum { LSN_TEXT = 20 };
/* "16/B374D848", PostgreSQL's way. Returns `out`. */
char *lsn_text(uint64_t lsn, char out[LSN_TEXT]);
bool lsn_parse(struct str s, uint64_t *ret);

#endif
