/* Change batches → rows of the history. The history is a lake table without identity: rows only come. */
#include "sink/lake_history.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "engine/engine.h"
#include "sink/lake_file.h"

#include <assert.h>

enum { OP, COMMIT_TS, LSN, ORDINAL, UNCHANGED, N_OWN, FIRST_ATTNUM = 30001 };

static const struct {
    const char *name;
    uint32_t type, elem; /* as PostgreSQL numbers types */
} own[N_OWN] = {
    {"__op", 25, 0}, {"__commit_ts", 1184, 0}, {"__lsn", 25, 0}, {"__ordinal", 20, 0}, {"__unchanged", 1009, 25}};

struct relation *lake_history_relation_of(const struct relation *rel, bool beside)
{
    struct relation *h = relation_new();

    h->schema = arena_str(&h->arena, rel->schema);
    h->name = str_of(arena_printf(&h->arena, "%.*s%s", STR_ARG(rel->name), beside ? "__history" : ""));
    h->oid = rel->oid;
    h->identity = IDENTITY_NONE;
    h->n_columns = rel->n_columns + N_OWN;
    h->columns = ARENA_NEW_N(&h->arena, struct relation_column, h->n_columns);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        h->columns[i] = rel->columns[i];
        h->columns[i].name = arena_str(&h->arena, rel->columns[i].name);
        h->columns[i].key_seq = 0;
        h->columns[i].has_missing = false; /* earlier changes did not have the column */
    }
    for (uint32_t i = 0; i < N_OWN; i++)
        h->columns[rel->n_columns + i] = (struct relation_column){.name = str_of(own[i].name),
                                                                  .attnum = (int16_t)(FIRST_ATTNUM + i),
                                                                  .declared_oid = own[i].type,
                                                                  .type_oid = own[i].type,
                                                                  .typmod = -1,
                                                                  .elem_oid = own[i].elem,
                                                                  .typtype = 'b'};
    return h;
}

void lake_history_strip(struct relation *rel)
{
    while (rel->n_columns && rel->columns[rel->n_columns - 1].attnum >= FIRST_ATTNUM)
        rel->n_columns--;
}

uint32_t lake_history_n_columns(const struct lake_history *h)
{
    return h->rel->n_columns - N_OWN;
}

void lake_history_free(struct lake_history *h)
{
    if (!h)
        return;
    if (h->beside)
        lake_table_free(h->table);
    relation_unref(h->rel);
    schema_unref(h->schema);
    mem_free(h);
}

void lake_history_relation(struct lake_history *h, const struct relation *rel)
{
    relation_unref(h->rel);
    schema_unref(h->schema);
    h->rel = lake_history_relation_of(rel, h->beside);
    h->schema = pg_schema_of(h->rel);
    h->told = false;
}

int lake_history_open(const struct lake_env *env, const struct relation *rel, uint64_t position,
                      struct lake_history **ret, struct err *err)
{
    struct lake_history *h = MEM_NEW(struct lake_history);

    h->beside = true;
    lake_history_relation(h, rel);
    int rc = lake_table_open(env, (struct table_name){h->rel->schema, h->rel->name}, &h->table, err);
    if (rc == 0 && h->table && h->table->state == LAKE_QUARANTINED)
        log_warn("table_quarantined", "table=%s reason=%s", h->table->name, log_quote(h->table->reason));
    if (rc == 0 && h->table)
        h->table->position = MAX(h->table->position, position);
    else if (rc == 0) {
        rc = lake_table_stage(env, h->rel, h->schema, position, 0, &h->table, err);
        h->told = rc == 0;
    }
    if (rc) {
        lake_history_free(h);
        return rc;
    }
    *ret = h;
    return 0;
}

struct lake_history *lake_history_of(struct lake_table *t, const struct relation *rel)
{
    struct lake_history *h = MEM_NEW(struct lake_history);

    h->table = t;
    lake_history_relation(h, rel);
    return h;
}

static int tell(struct lake_history *h, struct err *err)
{
    if (!h->told)
        TRY(lake_table_relation(h->table, h->rel, h->schema, err));
    h->told = true;
    return 0;
}

void lake_history_fill(struct batch *b, uint32_t n, uint32_t row, const char *op, struct position pos,
                       int64_t commit_us)
{
    struct column *mine = &b->cols[n];
    int64_t ordinal = (int64_t)pos.ordinal;
    char at[LSN_TEXT];

    column_set_str(b, &mine[OP], row, str_of(op));
    if (commit_us)
        column_set(&mine[COMMIT_TS], row, &commit_us);
    column_set_str(b, &mine[LSN], row, str_of(lsn_text(pos.lsn, at)));
    column_set(&mine[ORDINAL], row, &ordinal);
}

static uint32_t add_row(struct lake_history *h, struct batch *b, const char *op, struct position pos, int64_t commit_us)
{
    uint32_t row = batch_add_row(b, OP_INSERT, pos, commit_us);

    lake_history_fill(b, h->rel->n_columns - N_OWN, row, op, pos, commit_us);
    return row;
}

static void copy_row(struct lake_history *h, struct batch *b, const struct batch *from, uint32_t i)
{
    uint32_t n = h->rel->n_columns - N_OWN;
    uint32_t row = add_row(h, b, from->op[i] == OP_BEFORE ? "delete" : batch_op_name(from->op[i]), from->pos[i],
                           from->commit_us[i]);
    struct column *unchanged = &b->cols[n + UNCHANGED];
    uint64_t first = unchanged->child->n;

    for (uint32_t c = 0; c < n; c++) {
        if (!column_is_missing(&from->cols[c], i)) {
            column_copy(b, &b->cols[c], row, &from->cols[c], i);
            continue;
        }
        uint32_t at = column_child_add(unchanged);
        column_set_str(b, unchanged->child, at, h->rel->columns[c].name);
    }
    if (unchanged->child->n > first)
        column_set_list(unchanged, row, first, unchanged->child->n - first);
}

int lake_history_write(struct lake_history *h, const struct batch *changes, struct err *err)
{
    CLEANUP(batch_freep) struct batch *b = NULL;

    if (h->table->state == LAKE_QUARANTINED)
        return 0;
    assert(changes->schema->n_fields + N_OWN == h->schema->n_fields);
    for (uint32_t i = 0; i < changes->n; i++) {
        if (changes->pos[i].lsn <= h->table->position)
            continue;
        if (!b) {
            TRY(tell(h, err));
            b = batch_new(h->schema, changes->n);
        }
        copy_row(h, b, changes, i);
    }
    return b ? lake_table_apply(h->table, TAKE_PTR(b), err) : 0;
}

int lake_history_truncate(struct lake_history *h, struct position pos, int64_t commit_us, struct err *err)
{
    if (h->table->state == LAKE_QUARANTINED || pos.lsn <= h->table->position)
        return 0;
    TRY(tell(h, err));
    struct batch *b = batch_new(h->schema, 1);
    add_row(h, b, "truncate", pos, commit_us);
    return lake_table_apply(h->table, b, err);
}

int lake_history_commit(struct lake_history *h, uint64_t lsn, struct err *err)
{
    TRY(lake_table_commit(h->table, MAX(lsn, h->table->position), err));
    if (h->table->state == LAKE_STREAMING && lsn > h->table->position)
        h->table->position = lsn;
    return 0;
}

/* ---- rows that went with a partition ---- */

static int add_gone(struct lake_history *h, const struct engine_chunk *c, struct position *pos, struct err *err)
{
    enum { BUFFER_MAX = 32 << 20 };
    struct batch *b = batch_new(h->schema, c->n);

    for (uint32_t i = 0; i < c->n; i++) {
        pos->ordinal++;
        uint32_t row = add_row(h, b, "delete", *pos, 0);
        for (uint32_t col = 0; col < c->n_cols; col++)
            engine_value_copy(b, &b->cols[col], row, &c->cols[col], i);
    }
    TRY(lake_table_apply(h->table, b, err));
    return h->table->buffer.bytes > BUFFER_MAX ? lake_table_flush(h->table, err) : 0;
}

static int read_gone(struct lake_history *h, const char *select, uint64_t lsn, struct err *err)
{
    /* files are written on the table's connection meanwhile */
    CLEANUP(engine_conn_freep) struct engine_conn *conn = NULL;
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    struct position pos = {.lsn = lsn - 1};
    const struct engine_chunk *chunk;
    int rc;

    TRY(engine_connect(h->table->env->engine, &conn, err));
    TRY(engine_query(conn, select, &result, err));
    assert(engine_result_n_columns(result) == h->rel->n_columns - N_OWN);
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        TRY(add_gone(h, chunk, &pos, err));
    return rc < 0 ? rc : 0;
}

int lake_history_gone(struct lake_history *h, const char *select, uint64_t lsn, struct err *err)
{
    if (h->table->state == LAKE_QUARANTINED || h->table->gone >= lsn)
        return 0;
    assert(lsn > 0);
    if (h->table->state == LAKE_STAGED)
        TRY(lake_history_commit(h, lsn - 1, err)); /* a table's first commit has no place for gone_next */
    TRY(tell(h, err));
    TRY(read_gone(h, select, lsn, err));
    h->table->gone_next = lsn;
    h->table->dirty = true;
    return lake_history_commit(h, lsn - 1, err);
}
