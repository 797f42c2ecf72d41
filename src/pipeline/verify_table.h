/* One table of a verification: inside verify*.c. */
#ifndef SLUICE_PIPELINE_VERIFY_TABLE_H
#define SLUICE_PIPELINE_VERIFY_TABLE_H

#include "delta/log/snapshot.h"
#include "engine/engine.h"
#include "model/batch.h"
#include "model/relation.h"
#include "source/pg_snapshot.h"

#include <stdio.h>

struct verify_table {
    char *name;            /* "public.orders" */
    struct relation *rel;  /* at the source, with only the columns that are compared */
    struct schema *schema; /* of rel */
    int *fields;           /* of the lake's schema, by column of rel */
    bool *empty_is_null;   /* by column of rel: the lake is partitioned by it, and has no empty text there */
    int *all, *keys;       /* columns of rel: all of them; those of the key, or all again */
    uint32_t n_keys;
    bool has_key;
    struct store *store;
    struct delta_snapshot *snapshot;
    struct engine *engine;
    struct engine_conn *conn;
    struct pg_session *session;
    uint64_t
        n_letters; /* values of the source that their type in the lake cannot hold: dead letters, seen in one reading */
    struct buf notes;  /* lines: columns that were not compared */
    struct buf faults; /* lines: columns that cannot be compared */
};

/* Matches the columns of both sides by attnum. Takes the relation, the store and the snapshot; borrows the rest. */
void verify_table_init(struct verify_table *t, struct relation *rel, struct store *store,
                       struct delta_snapshot *snapshot);
void verify_table_deinit(struct verify_table *t);

/* Gets batches whose columns are those of t->rel, with each side's own types. */
struct verify_visitor {
    int (*rows)(void *ctx, const struct batch *batch, struct err *err);
    void *ctx;
};
int verify_read_source(struct verify_table *t, const struct verify_visitor *v, struct err *err) MUST_CHECK;
int verify_read_lake(struct verify_table *t, const struct verify_visitor *v, struct err *err) MUST_CHECK;

/* Compares and reports. *ret_equal false: a difference was reported. */
int verify_compare(struct verify_table *t, uint32_t limit, FILE *out, bool *ret_equal, struct err *err) MUST_CHECK;

#endif
