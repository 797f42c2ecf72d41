/*
 * The table function feed(id): batches in, DuckDB vectors out.
 *
 * A batch's columns have DuckDB's physical layout already, so that a run of consecutive rows is one memcpy a column;
 * rows picked by a selection are gathered. Strings go over as 16-byte views that point into the batch.
 */
#include "engine/feed.h"

#include "base/mem.h"
#include "engine/internal.h"
#include "engine/logical.h"

#include <assert.h>

struct feed {
    struct engine *engine;
    int64_t id;
    struct schema *schema;
    struct feed_source source;
    uint64_t expected;
    uint64_t *nulls; /* a column */
    struct err err;

    const struct batch *batch; /* being handed over: rows [at, n) of the selection are left */
    const uint32_t *sel;
    uint32_t at, n;
    bool ended;
};

int feed_open(struct engine *engine, const struct schema *schema, struct feed_source source, uint64_t rows,
              struct feed **ret, struct err *err)
{
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        const struct field *f = &schema->fields[i];
        const struct type *t = &f->type;
        while (t->id == TYPE_ARRAY)
            t = &t->children[0].type;
        if (t->id >= TYPE_VARIANT)
            return err_set(err, ERR_UNSUPPORTED, "column \"%.*s\": values of this type do not come in batches",
                           STR_ARG(f->name));
    }
    struct feed *feed = MEM_NEW(struct feed);
    feed->engine = engine;
    feed->schema = schema_ref(schema);
    feed->source = source;
    feed->expected = rows;
    feed->nulls = MEM_NEW_N(uint64_t, schema->n_fields + 1);
    feed->id = engine_number(engine, NUMBERED_FEED, feed);
    *ret = feed;
    return 0;
}

void feed_free(struct feed *feed)
{
    if (!feed)
        return;
    engine_number_free(feed->engine, NUMBERED_FEED, feed->id);
    schema_unref(feed->schema);
    mem_free(feed->nulls);
    mem_free(feed);
}

int64_t feed_id(const struct feed *feed)
{
    return feed->id;
}

uint64_t feed_nulls(const struct feed *feed, uint32_t i)
{
    assert(i < feed->schema->n_fields);
    return feed->nulls[i];
}

int feed_error(const struct feed *feed, struct err *err)
{
    if (feed->err.code && err)
        *err = feed->err;
    return feed->err.code;
}

static void feed_bind(duckdb_bind_info info)
{
    struct engine *engine = duckdb_bind_get_extra_info(info);
    CLEANUP(duckdb_destroy_value) duckdb_value v = duckdb_bind_get_parameter(info, 0);
    struct feed *feed = engine_numbered(engine, NUMBERED_FEED, duckdb_get_int64(v));

    if (!feed) {
        duckdb_bind_set_error(info, "there is no feed of this number");
        return;
    }
    for (uint32_t i = 0; i < feed->schema->n_fields; i++) {
        const struct field *f = &feed->schema->fields[i];
        CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type t = logical_type_of(&f->type);
        CLEANUP(mem_freep) char *name = mem_strndup(f->physical.p, f->physical.n);
        duckdb_bind_add_result_column(info, name, t);
    }
    if (feed->expected)
        duckdb_bind_set_cardinality(info, feed->expected, true);
    duckdb_bind_set_bind_data(info, feed, NULL);
}

static void feed_init(duckdb_init_info info)
{
    duckdb_init_set_max_threads(info, 1); /* order is kept, and next() is not called twice at once */
}

/* Marks the NULLs among n values: value k of the vector is value `from + k`, or `sel[k]`. Returns how many. */
static uint32_t copy_validity(duckdb_vector to, idx_t at, const struct column *c, const uint32_t *sel, uint32_t from,
                              uint32_t n)
{
    uint64_t *valid = NULL;
    uint32_t nulls = 0;

    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = sel ? sel[k] : from + k;
        if (!sel && i % 64 == 0 && n - k >= 64 && c->valid[i / 64] == UINT64_MAX) {
            k += 63; /* a whole word without NULLs */
            continue;
        }
        if (bit_get(c->valid, i))
            continue;
        if (!valid) {
            duckdb_vector_ensure_validity_writable(to);
            valid = duckdb_vector_get_validity(to);
        }
        duckdb_validity_set_row_invalid(valid, at + k);
        nulls++;
    }
    return nulls;
}

#define GATHER(type)                                    \
    for (uint32_t k = 0; k < n; k++)                    \
        ((type *)to)[k] = ((const type *)from)[sel[k]]; \
    break

static void gather(void *to, const void *from, uint32_t width, const uint32_t *sel, uint32_t n)
{
    switch (width) {
    case 1:
        GATHER(uint8_t);
    case 2:
        GATHER(uint16_t);
    case 4:
        GATHER(uint32_t);
    case 8:
        GATHER(uint64_t);
    case 16:
        GATHER(struct strview);
    default:
        assert(!"a width that columns have");
    }
}

static uint32_t copy_values(duckdb_vector to, idx_t at, const struct column *c, const uint32_t *sel, uint32_t from,
                            uint32_t n);

/* DuckDB's list vectors own their elements: each list's run of elements is copied to the end of the child. */
static void copy_lists(duckdb_vector to, idx_t at, const struct column *c, const uint32_t *sel, uint32_t from,
                       uint32_t n)
{
    const struct listview *lists = c->data;
    idx_t used = duckdb_list_vector_get_size(to), total = used;

    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = sel ? sel[k] : from + k;
        if (bit_get(c->valid, i))
            total += lists[i].length;
    }
    duckdb_list_vector_reserve(to, total);
    duckdb_list_vector_set_size(to, total);
    duckdb_list_entry *out = (duckdb_list_entry *)duckdb_vector_get_data(to) + at;
    duckdb_vector child = duckdb_list_vector_get_child(to);
    for (uint32_t k = 0; k < n; k++) {
        uint32_t i = sel ? sel[k] : from + k;
        uint32_t length = bit_get(c->valid, i) ? (uint32_t)lists[i].length : 0;
        out[k] = (duckdb_list_entry){used, length};
        if (length)
            copy_values(child, used, c->child, NULL, (uint32_t)lists[i].offset, length);
        used += length;
    }
}

static uint32_t copy_values(duckdb_vector to, idx_t at, const struct column *c, const uint32_t *sel, uint32_t from,
                            uint32_t n)
{
    if (c->type->id == TYPE_ARRAY) {
        copy_lists(to, at, c, sel, from, n);
    } else {
        char *data = (char *)duckdb_vector_get_data(to) + at * c->width;
        if (sel)
            gather(data, c->data, c->width, sel, n);
        else
            memcpy(data, (const char *)c->data + (size_t)from * c->width, (size_t)n * c->width);
    }
    return copy_validity(to, at, c, sel, from, n);
}

/* 0 when there are rows to hand over, 1 at the end, or an error. */
static int feed_fill(struct feed *feed)
{
    while (feed->at >= feed->n) {
        if (feed->ended)
            return 1;
        feed->at = feed->n = 0;
        feed->sel = NULL;
        int rc = feed->source.next(feed->source.ctx, &feed->batch, &feed->sel, &feed->n, &feed->err);
        if (rc < 0)
            return rc;
        feed->ended = rc == 1;
        if (rc == 1)
            feed->n = 0;
    }
    return 0;
}

static void feed_run(duckdb_function_info info, duckdb_data_chunk out)
{
    struct feed *feed = duckdb_function_get_bind_data(info);
    int rc = feed->err.code ? feed->err.code : feed_fill(feed);

    if (rc) {
        if (rc < 0)
            duckdb_function_set_error(info, feed->err.msg);
        duckdb_data_chunk_set_size(out, 0);
        return;
    }
    uint32_t n = MIN(feed->n - feed->at, (uint32_t)duckdb_vector_size());
    const uint32_t *sel = feed->sel ? feed->sel + feed->at : NULL;
    uint32_t from = sel ? sel[0] : feed->at;
    uint32_t run = 1;
    while (sel && run < n && sel[run] == from + run)
        run++;
    if (run == n)
        sel = NULL; /* consecutive rows */
    assert(feed->batch->schema->n_fields >= feed->schema->n_fields);
    for (uint32_t i = 0; i < feed->schema->n_fields; i++) {
        const struct column *c = &feed->batch->cols[i];
        assert(c->type->id == feed->schema->fields[i].type.id);
        feed->nulls[i] += copy_values(duckdb_data_chunk_get_vector(out, i), 0, c, sel, from, n);
    }
    duckdb_data_chunk_set_size(out, n);
    feed->at += n;
}

int feed_functions_register(struct engine_conn *conn, struct err *err)
{
    static const struct engine_table_function feed = {"feed", feed_bind, feed_init, feed_run, .picks_columns = false};

    return engine_add_table_function(conn, &feed, err);
}
