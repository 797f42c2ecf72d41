/*
 * What a source gives and a sink takes: an epoch, as a stream of calls.
 *
 *     relation … write … truncate … write … commit(position)
 *
 * Whole transactions only, in commit order. A sink keeps the position with the rows, in one atomic step, and says
 * where it is when it is opened; what it has already is not sent again. After an error nothing of the open epoch may be
 * visible; the sink is then closed, and opened again.
 */
#ifndef SLUICE_MODEL_EPOCH_H
#define SLUICE_MODEL_EPOCH_H

#include "model/batch.h"
#include "model/relation.h"

/* A value that its declared type cannot hold: NULL stands in the row, this goes to the dead letters. */
struct reject {
    struct position pos;
    int64_t commit_us;
    struct str column, value, reason; /* value: as PostgreSQL sent it */
};

struct sink_ops {
    /*
     * Changes of transactions whose commit LSN is at or below it are in the sink already, and are not sent;
     * UINT64_MAX: none are wanted (the table is not ours, or is quarantined, or is still being copied).
     */
    uint64_t (*from)(void *sink, uint32_t relation);
    /*
     * A relation will send rows of the transaction that commits at `lsn`, or has changed since its last ones; a row that
     * from() lets through follows at once. `schema` has a field for each of its columns. `*ret_from`: as from() gives it now.
     */
    int (*relation)(void *sink, const struct relation *rel, const struct schema *schema, uint64_t lsn,
                    uint64_t *ret_from, struct err *err);
    /* Rows of the relation as it was last announced. Takes the batch. */
    int (*write)(void *sink, uint32_t relation, struct batch *batch, struct err *err);
    int (*truncate)(void *sink, uint32_t relation, struct position pos, int64_t commit_us, struct err *err);
    int (*reject)(void *sink, uint32_t relation, const struct reject *r, struct err *err);
    /* The relation's changes cannot be read any more: it is set aside, the others go on. */
    void (*set_aside)(void *sink, uint32_t relation, const struct err *why);
};

struct sink {
    const struct sink_ops *ops;
    void *self;
};

#endif
