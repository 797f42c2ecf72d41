/* What the tests of lake_table.c drive: a source that is a plain list of rows, and the batches that tell a table of it. */
#ifndef SLUICE_SINK_TEST_WORLD_H
#define SLUICE_SINK_TEST_WORLD_H

#include "sink/lake_merge.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/test_ok.h"
#include "codec/pg_schema.h"
#include "codec/pg_type.h"
#include "delta/scan/scan.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ATTS = 24, ROWS = 6000 };

/* A column as the source has it now. */
struct col {
    int attnum;
    char name[32];
    uint32_t oid;
    bool key;
};

/* A row: the text of each value by attnum, NULL is NULL. Strings are owned. */
struct row {
    char *v[ATTS];
};

struct rows {
    struct row r[ROWS];
    size_t n;
};

struct world {
    char dir[512];
    struct engine *engine;
    struct engine_conn *conn;
    struct lake_env env;
    struct lake_worker *worker;
    struct lake_table *t;
    struct relation *rel;
    struct schema *schema;
    struct col cols[ATTS];
    uint32_t n_cols;
    int next_attnum;
    enum relation_identity identity;
    char table[32];
    struct rows now, saved; /* as the source is; as it was at the last commit */
    struct col saved_cols[ATTS];
    uint32_t n_saved_cols;
    struct batch *batch;
    uint64_t lsn;
    uint64_t random;
};

static struct world w;
static struct err err;

static uint32_t dice(uint32_t n)
{
    w.random = w.random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(w.random >> 33) % n;
}

/* ---- the plain list ---- */

static void row_clear(struct row *r)
{
    for (int i = 0; i < ATTS; i++)
        mem_free(TAKE_PTR(r->v[i]));
}

static void rows_clear(struct rows *rs)
{
    for (size_t i = 0; i < rs->n; i++)
        row_clear(&rs->r[i]);
    rs->n = 0;
}

static void rows_copy(struct rows *to, const struct rows *from)
{
    rows_clear(to);
    for (; to->n < from->n; to->n++)
        for (int i = 0; i < ATTS; i++)
            to->r[to->n].v[i] = from->r[to->n].v[i] ? mem_strdup(from->r[to->n].v[i]) : NULL;
}

static void remove_row(size_t i)
{
    row_clear(&w.now.r[i]);
    w.now.r[i] = w.now.r[--w.now.n];
    memset(&w.now.r[w.now.n], 0, sizeof w.now.r[0]);
}

/* ---- the table ---- */

static void make_relation(void)
{
    relation_unref(w.rel);
    schema_unref(w.schema);
    w.rel = relation_new();
    w.rel->oid = 4711;
    w.rel->schema = STR("public");
    w.rel->name = arena_str(&w.rel->arena, str_of(w.table));
    w.rel->identity = w.identity;
    w.rel->full = w.identity == IDENTITY_ROW;
    w.rel->n_columns = w.n_cols;
    w.rel->columns = ARENA_NEW_N(&w.rel->arena, struct relation_column, w.n_cols);
    for (uint32_t i = 0; i < w.n_cols; i++)
        w.rel->columns[i] = (struct relation_column){.name = arena_str(&w.rel->arena, str_of(w.cols[i].name)),
                                                     .attnum = (int16_t)w.cols[i].attnum,
                                                     .declared_oid = w.cols[i].oid,
                                                     .type_oid = w.cols[i].oid,
                                                     .typmod = -1,
                                                     .typtype = 'b',
                                                     .key_seq = w.cols[i].key};
    w.schema = pg_schema_of(w.rel);
}

static struct col *add_col(const char *name, uint32_t oid, bool key)
{
    struct col *c = &w.cols[w.n_cols++];

    *c = (struct col){.attnum = w.next_attnum++, .oid = oid, .key = key};
    snprintf(c->name, sizeof c->name, "%s", name);
    return c;
}

static void begin(const char *table, enum relation_identity identity)
{
    w.n_cols = 0;
    w.next_attnum = 1;
    w.lsn = 100;
    w.identity = identity;
    snprintf(w.table, sizeof w.table, "%s", table);
    rows_clear(&w.now);
    rows_clear(&w.saved);
    add_col("id", PG_OID_INT4, identity == IDENTITY_KEY);
    add_col("a", PG_OID_INT4, false);
    add_col("b", PG_OID_TEXT, false);
    make_relation();
    memcpy(w.saved_cols, w.cols, sizeof w.cols);
    w.n_saved_cols = w.n_cols;
    OK(lake_table_stage(&w.env, w.rel, w.schema, 0, 0, &w.t, &err));
}

static void end(void)
{
    batch_free(TAKE_PTR(w.batch));
    lake_table_free(TAKE_PTR(w.t));
    rows_clear(&w.now);
    rows_clear(&w.saved);
}

static void send(void)
{
    if (w.batch)
        OK(lake_table_apply(w.t, TAKE_PTR(w.batch), &err));
}

static void put_value(uint32_t row, uint32_t c, const char *text)
{
    struct column *col = &w.batch->cols[c];
    int32_t i4;
    int64_t i8;

    if (!text)
        return;
    if (w.cols[c].oid == PG_OID_TEXT) {
        column_set_str(w.batch, col, row, str_of(text));
        return;
    }
    i8 = strtoll(text, NULL, 10);
    i4 = (int32_t)i8;
    column_set(col, row, w.cols[c].oid == PG_OID_INT4 ? (void *)&i4 : (void *)&i8);
}

/* `missing`: attnum of a value that is not sent, or 0. */
static void put_row(enum batch_op op, const struct row *r, int missing)
{
    if (!w.batch)
        w.batch = batch_new(w.schema, 16);
    uint32_t at = batch_add_row(w.batch, op, (struct position){w.lsn, 1}, 0);
    bool key_only = w.identity == IDENTITY_KEY && (op == OP_BEFORE || op == OP_DELETE);
    for (uint32_t c = 0; c < w.n_cols; c++)
        if (w.cols[c].attnum == missing)
            column_set_missing(&w.batch->cols[c], at);
        else if (!key_only || w.cols[c].key)
            put_value(at, c, r->v[w.cols[c].attnum]);
}

static char *random_value(uint32_t oid)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz";
    char text[4001];
    size_t n = dice(40) == 0 ? 4000 : dice(30);

    if (oid != PG_OID_TEXT)
        return dice(10) ? mem_printf("%d", (int)dice(1000000)) : NULL;
    if (dice(10) == 0)
        return NULL;
    for (size_t i = 0; i < n; i++)
        text[i] = letters[dice(26)];
    text[n] = 0;
    return mem_strdup(text);
}

static void insert(const char *key)
{
    struct row *r = &w.now.r[w.now.n++];

    assert_true(w.now.n < ROWS);
    for (uint32_t c = 0; c < w.n_cols; c++)
        r->v[w.cols[c].attnum] = w.cols[c].attnum == 1 ? mem_strdup(key) : random_value(w.cols[c].oid);
    put_row(OP_INSERT, r, 0);
}

#endif
