/*
 * Rows of both sides, as batches of the same columns:
 *
 *   source   COPY (binary) in the exported snapshot → codec/pg_copy → codec/pg_value, as the first copy reads it
 *   lake     delta/scan at one version → DuckDB's vectors, borrowed as columns: they have the same layout
 */
#include "pipeline/verify_table.h"

#include "base/mem.h"
#include "codec/pg_copy.h"
#include "codec/pg_schema.h"
#include "codec/pg_value.h"
#include "delta/scan/scan.h"

enum { BATCH_ROWS = 8192, ROW_MAX = 1 << 30 };

/* ---- the columns ---- */

/* Can values of the two types be compared by their hashes (delta/index/key_hash.h)? */
static bool comparable(const struct type *a, const struct type *b)
{
    bool int_a = a->id >= TYPE_BYTE && a->id <= TYPE_LONG, int_b = b->id >= TYPE_BYTE && b->id <= TYPE_LONG;

    if (a->id == TYPE_ARRAY && b->id == TYPE_ARRAY)
        return comparable(&a->children[0].type, &b->children[0].type);
    if ((a->id == TYPE_FLOAT && b->id == TYPE_DOUBLE) || (a->id == TYPE_DATE && b->id == TYPE_TIMESTAMP_NTZ))
        return true; /* widened */
    return (int_a && int_b) || a->id == b->id;
}

static int find_field(const struct schema *s, int16_t attnum)
{
    struct relation_column col;

    for (uint32_t i = 0; i < s->n_fields; i++)
        if (pg_schema_column(&s->fields[i], &col) && col.attnum == attnum)
            return (int)i;
    return -1;
}

/* Leaves in t->rel the columns that both sides have. */
static void match_columns(struct verify_table *t)
{
    CLEANUP(schema_unrefp) struct schema *source = pg_schema_of(t->rel);
    CLEANUP(mem_freep) bool *used = MEM_NEW_N(bool, t->snapshot->head->schema->n_fields + 1);
    CLEANUP(buf_deinit) struct buf a = {0}, b = {0};
    const struct schema *lake = t->snapshot->head->schema;
    const struct delta_metadata *m = t->snapshot->head->metadata;
    uint32_t n = 0;

    for (uint32_t i = 0; i < t->rel->n_columns; i++) {
        struct relation_column *col = &t->rel->columns[i];
        int f = find_field(lake, col->attnum);
        if (f < 0) {
            buf_printf(&t->notes,
                       "  column %.*s is not in the lake: left out, or added at the source and no row changed since\n",
                       STR_ARG(col->name));
            continue;
        }
        used[f] = true;
        if (!comparable(&source->fields[i].type, &lake->fields[f].type)) {
            buf_reset(&a);
            buf_reset(&b);
            type_text(&source->fields[i].type, &a);
            type_text(&lake->fields[f].type, &b);
            buf_printf(&t->faults, "  column %.*s: its type should be %s, and is %s in the lake\n", STR_ARG(col->name),
                       a.p, b.p);
            continue;
        }
        for (uint32_t k = 0; k < m->n_partition_columns; k++)
            t->empty_is_null[n] |=
                lake->fields[f].type.id == TYPE_STRING && str_eq(m->partition_columns[k], lake->fields[f].name);
        t->fields[n] = f;
        t->rel->columns[n++] = *col;
    }
    t->rel->n_columns = n;
    for (uint32_t f = 0; f < lake->n_fields; f++)
        if (!used[f])
            buf_printf(&t->notes, "  column %.*s is only in the lake\n", STR_ARG(lake->fields[f].name));
}

void verify_table_init(struct verify_table *t, struct relation *rel, struct store *store,
                       struct delta_snapshot *snapshot)
{
    uint32_t n_all = 0, n_before = 0, n_after = 0;

    t->rel = rel;
    t->store = store;
    t->snapshot = snapshot;
    t->name = mem_printf("%.*s.%.*s", STR_ARG(rel->schema), STR_ARG(rel->name));
    t->fields = MEM_NEW_N(int, rel->n_columns + 1);
    t->empty_is_null = MEM_NEW_N(bool, rel->n_columns + 1);
    for (uint32_t i = 0; i < rel->n_columns; i++)
        n_before += rel->columns[i].key_seq > 0;
    match_columns(t);
    t->schema = pg_schema_of(rel);
    t->all = MEM_NEW_N(int, rel->n_columns + 1);
    t->keys = MEM_NEW_N(int, rel->n_columns + 1);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        t->all[n_all++] = (int)i;
        n_after += rel->columns[i].key_seq > 0;
    }
    t->has_key = rel->identity == IDENTITY_KEY && n_after && n_after == n_before;
    for (uint32_t i = 0; i < rel->n_columns; i++)
        if (!t->has_key || rel->columns[i].key_seq)
            t->keys[t->n_keys++] = (int)i;
}

void verify_table_deinit(struct verify_table *t)
{
    mem_free(t->name);
    mem_free(t->fields);
    mem_free(t->empty_is_null);
    mem_free(t->all);
    mem_free(t->keys);
    relation_unref(t->rel);
    schema_unref(t->schema);
    delta_snapshot_unref(t->snapshot);
    store_unref(t->store);
    buf_deinit(&t->notes);
    buf_deinit(&t->faults);
    *t = (struct verify_table){0};
}

/* ---- the source ---- */

struct source_reader {
    struct verify_table *t;
    const struct verify_visitor *v;
    struct pg_copy_reader rows;
    struct pg_value_codec *codecs;
    bool *binary;
    struct batch *batch;
};

static int add_row(struct source_reader *r, const struct str *fields, struct err *err)
{
    struct batch *b = r->batch;
    uint32_t row = batch_add_row(b, OP_READ, (struct position){0}, 0);

    for (uint32_t i = 0; i < r->t->rel->n_columns; i++) {
        if (!fields[i].p)
            continue;
        int rc = pg_value_read(&r->codecs[i], r->binary[i] ? 'b' : 't', fields[i], b, &b->cols[i], row, err);
        if (rc == 0 && r->t->empty_is_null[i] && column_is_valid(&b->cols[i], row) && !column_str(&b->cols[i], row).n)
            column_set_null(&b->cols[i], row);
        if (rc == ERR_LIMIT)
            r->t->n_letters++; /* NULL in the lake too, and the value in its dead letters */
        else if (rc)
            return err_wrap(err, "column %.*s", STR_ARG(r->t->rel->columns[i].name));
    }
    return 0;
}

static int hand_over(struct source_reader *r, struct err *err)
{
    int rc = r->batch->n ? r->v->rows(r->v->ctx, r->batch, err) : 0;

    batch_free(r->batch);
    r->batch = batch_new(r->t->schema, BATCH_ROWS);
    return rc;
}

static int read_chunk(struct source_reader *r, const struct pg_chunk *chunk, struct err *err)
{
    struct verify_table *t = r->t;
    const struct str *fields;
    struct str bytes;
    int rc;

    TRY(pg_snapshot_copy_begin(t->session, t->rel, chunk, r->binary, err));
    pg_copy_reader_init(&r->rows, (uint16_t)t->rel->n_columns, ROW_MAX);
    while ((rc = pg_snapshot_copy_next(t->session, &bytes, err)) == 0) {
        pg_copy_feed(&r->rows, bytes.p, bytes.n);
        while ((rc = pg_copy_read_row(&r->rows, &fields, err)) == 0) {
            TRY(add_row(r, fields, err));
            if (r->batch->n == BATCH_ROWS || r->batch->bytes > 8 << 20)
                TRY(hand_over(r, err));
        }
        if (rc != ERR_AGAIN)
            TRY(rc);
    }
    TRY(rc);
    TRY(pg_copy_finish(&r->rows, err));
    pg_copy_reader_deinit(&r->rows);
    return hand_over(r, err);
}

int verify_read_source(struct verify_table *t, const struct verify_visitor *v, struct err *err)
{
    struct source_reader r = {.t = t, .v = v, .batch = batch_new(t->schema, BATCH_ROWS)};
    CLEANUP(mem_freep) struct pg_chunk *chunks = NULL;
    size_t n = 0;

    t->n_letters = 0;
    r.codecs = MEM_NEW_N(struct pg_value_codec, t->rel->n_columns + 1);
    r.binary = MEM_NEW_N(bool, t->rel->n_columns + 1);
    for (uint32_t i = 0; i < t->rel->n_columns; i++) {
        r.codecs[i] = pg_value_codec_of(&t->rel->columns[i]);
        r.binary[i] = pg_type_binary_safe(&t->rel->columns[i]);
    }
    int rc = pg_snapshot_plan(pg_session_conn(t->session), t->rel, UINT32_MAX, &chunks, &n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = read_chunk(&r, &chunks[i], err);
    pg_copy_reader_deinit(&r.rows);
    batch_free(r.batch);
    mem_free(r.codecs);
    mem_free(r.binary);
    return rc;
}

/* ---- the lake ---- */

/* Borrows a vector as a column. */
static void borrow(const struct engine_vector *v, const struct type *type, uint64_t n, struct arena *arena,
                   struct column *ret)
{
    *ret = (struct column){.type = type, .width = type_width(type), .cap = (uint32_t)n, .data = (void *)v->data};
    ret->valid = (uint64_t *)v->valid;
    if (!v->valid) {
        size_t bytes = (size_t)(n + 63) / 64 * 8;
        ret->valid = arena_alloc(arena, bytes);
        memset(ret->valid, 0xff, bytes);
    }
    if (type->id != TYPE_ARRAY)
        return;
    const struct listview *lists = v->data;
    uint64_t n_child = 0;
    for (uint32_t i = 0; i < n; i++)
        if (column_is_valid(ret, i))
            n_child = MAX(n_child, lists[i].offset + lists[i].length);
    ret->child = ARENA_NEW(arena, struct column);
    borrow(&v->children[0], &type->children[0].type, n_child, arena, ret->child);
}

static int hand_over_chunk(struct verify_table *t, const struct engine_chunk *chunk, const struct verify_visitor *v,
                           struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct batch b = {.n = chunk->n, .cap = chunk->n};

    b.cols = ARENA_NEW_N(&arena, struct column, t->rel->n_columns + 1);
    for (uint32_t i = 0; i < t->rel->n_columns; i++)
        borrow(&chunk->cols[i], &t->snapshot->head->schema->fields[t->fields[i]].type, chunk->n, &arena, &b.cols[i]);
    return v->rows(v->ctx, &b, err);
}

int verify_read_lake(struct verify_table *t, const struct verify_visitor *v, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int rc;

    TRY(delta_scan_new(t->engine, t->store, t->snapshot, NULL, &scan, err));
    for (uint32_t i = 0; i < t->rel->n_columns; i++) {
        buf_add_cstr(&sql, i ? ", " : "SELECT ");
        buf_add_sql_ident(&sql, t->snapshot->head->schema->fields[t->fields[i]].name);
    }
    buf_printf(&sql, " FROM (%s)", delta_scan_sql(scan));
    TRY(engine_query(t->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        TRY(hand_over_chunk(t, chunk, v, err));
    return rc < 0 ? rc : 0;
}
