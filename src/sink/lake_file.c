/*
 * Data files of a table: names, deletion vectors, and reading back what a few rows hold.
 *
 * A file is known to the key index by a 32-bit number, which stands in its name ("part-0000002a-<uuid>.parquet"), so that
 * the index needs no table of names that could get lost. Files of other writers get a number above 2^31 from a hash.
 */
#include "sink/lake_file.h"

#include "base/mem.h"
#include "delta/dml/stats_columns.h"
#include "engine/parquet_write.h"
#include "sink/lake_partition.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { REPLACED_MAX = 32 << 20 }; /* bytes of rows read once more that are kept in memory */

char *lake_file_name(uint32_t id)
{
    char uuid[DELTA_UUID];

    return mem_printf("part-%08x-%s.parquet", id, delta_uuid(uuid));
}

uint32_t lake_file_id(struct str path)
{
    char text[9] = {0}, *end;

    if (path.n == 5 + 8 + 1 + 36 + 8 && str_has_prefix(path, STR("part-")) && path.p[13] == '-') {
        memcpy(text, path.p + 5, 8);
        unsigned long id = strtoul(text, &end, 16);
        if (!*end && id < LAKE_FOREIGN)
            return (uint32_t)id;
    }
    return LAKE_FOREIGN | ((uint32_t)hash64(path.p, path.n) & 0x7ffffffeu);
}

struct lake_file *lake_table_add_file(struct lake_table *t, uint32_t id, struct str path, struct lake_partition *part)
{
    struct lake_file *f = MEM_NEW(struct lake_file);

    f->id = id;
    f->path = mem_strndup(path.p, path.n);
    f->part = part;
    assert(!imap_get(&t->files, id));
    imap_put(&t->files, id, f);
    if (id < LAKE_FOREIGN && id >= t->next_file)
        t->next_file = id + 1;
    return f;
}

void lake_table_adopt_file(struct lake_table *t, const char *path, uint32_t id, uint32_t rows, int64_t size,
                           const char *parts, char *stats)
{
    struct lake_file *old = imap_remove(&t->files, id); /* the log had it: a start that was killed after its commit */
    struct lake_file *f = lake_table_add_file(t, id, str_of(path), lake_partition_of(t, str_of(parts)));

    assert(!old || str_eq(str_of(old->path), str_of(path)));
    assert(t->state == LAKE_STAGED);
    lake_file_free(old);
    f->rows = rows;
    f->size = size;
    f->stats = stats;
    f->pending = f->dv_loaded = f->adopted = true;
}

void lake_file_free(struct lake_file *f)
{
    if (!f)
        return;
    dv_deinit(&f->dv);
    mem_free(f->path);
    mem_free(f->stats);
    mem_free(f);
}

bool lake_file_is_live(const struct lake_file *f)
{
    return !f->doomed;
}

static int load_from_store(struct lake_table *t, const struct delta_dv_desc *desc, struct dv *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0};
    CLEANUP(buf_deinit) struct buf bytes = {.max = (size_t)1 << 31};

    TRY(dv_path(desc->storage, desc->path_or_inline, &path, err));
    TRY(store_get(t->store, path.p, &bytes, err));
    return dv_file_read(bytes.p, bytes.n, MAX(desc->offset, 0), desc->size, desc->cardinality, ret, err);
}

int lake_file_logged_dv(struct lake_table *t, const struct lake_file *f, struct dv *ret, struct err *err)
{
    struct delta_snapshot *s = delta_table_snapshot(t->delta);
    const struct delta_file *df = delta_snapshot_find(s, str_of(f->path));
    int rc = 0;

    assert(df);
    if (df->dv && df->dv->storage == 'i')
        rc = dv_inline_read(df->dv->path_or_inline, df->dv->size, df->dv->cardinality, ret, err);
    else if (df->dv)
        rc = load_from_store(t, df->dv, ret, err);
    delta_snapshot_unref(s);
    return rc ? err_wrap(err, "table %s, deletion vector of %s", t->name, f->path) : 0;
}

int lake_file_load_dv(struct lake_table *t, struct lake_file *f, struct err *err)
{
    if (f->dv_loaded)
        return 0;
    TRY(lake_file_logged_dv(t, f, &f->dv, err));
    f->dv_loaded = true;
    return 0;
}

int lake_table_live_row(struct lake_table *t, uint32_t file, uint32_t row, struct lake_file **ret, struct err *err)
{
    struct lake_file *f = imap_get(&t->files, file);

    *ret = NULL;
    if (!f || !lake_file_is_live(f))
        return 0;
    TRY(lake_file_load_dv(t, f, err));
    if (!dv_contains(&f->dv, row))
        *ret = f;
    return 0;
}

int lake_files_from(const struct lake_table *t, struct lake_file *const *files, size_t n, const struct schema *schema,
                    struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf path = {0}, type = {0};

    buf_add_cstr(out, "read_parquet([");
    for (size_t i = 0; i < n; i++) {
        buf_reset(&path);
        store_local_path(t->store, files[i]->path, &path);
        buf_add_cstr(out, i ? "," : "");
        buf_add_sql_literal(out, buf_str(&path));
    }
    buf_add_cstr(out, "], hive_partitioning=false, schema=map{");
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_reset(&type);
        TRY(parquet_type_sql(&schema->fields[i].type, &type, err));
        if (i)
            buf_add_char(out, ',');
        buf_add_sql_literal(out, schema->fields[i].physical);
        buf_add_cstr(out, ":{name:");
        buf_add_sql_literal(out, schema->fields[i].physical);
        buf_printf(out, ",type:'%s',default_value:", type.p);
        struct str value = lake_partition_value(t, files[0], &schema->fields[i]);
        if (value.p)
            buf_add_sql_literal(out, value);
        else
            buf_add_cstr(out, "NULL");
        buf_add_char(out, '}');
    }
    buf_add_cstr(out, "})");
    return 0;
}

int lake_file_from(const struct lake_table *t, struct lake_file *f, const struct schema *schema, struct buf *out,
                   struct err *err)
{
    return lake_files_from(t, &f, 1, schema, out, err);
}

void lake_stats_columns(const struct lake_table *t, struct arena *arena, struct parquet_spec *spec)
{
    struct delta_snapshot *s = t->delta ? delta_table_snapshot(t->delta) : NULL;

    if (s)
        delta_stats_columns(s->head, arena, spec);
    delta_snapshot_unref(s);
}

/* ---- unchanged TOAST values: read from where they stand ---- */

void lake_copy_value(struct batch *b, struct column *c, uint32_t row, const struct engine_vector *v, uint64_t i)
{
    if (engine_is_null(v, i)) {
        column_set_null(c, row);
    } else if (c->type->id == TYPE_STRING || c->type->id == TYPE_BINARY) {
        column_set_str(b, c, row, engine_str(v, i));
    } else if (c->type->id == TYPE_ARRAY) {
        struct listview list = ((const struct listview *)v->data)[i];
        uint64_t offset = c->child->n;
        for (uint64_t e = 0; e < list.length; e++) {
            uint32_t at = column_child_add(c);
            lake_copy_value(b, c->child, at, &v->children[0], list.offset + e);
        }
        column_set_list(c, row, offset, list.length);
    } else {
        column_set(c, row, (const char *)v->data + i * c->width);
    }
}

static int by_place(const void *a, const void *b)
{
    const struct row_origin *x = a, *y = b;

    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* One row of the result: file_row_number, then all columns. Fills every buffered row whose values stand there. */
static void fill_from_row(struct lake_table *t, const struct engine_chunk *c, uint32_t i, const struct row_origin *o,
                          size_t n, size_t *at, size_t *ret_filled)
{
    int64_t row = engine_i64(&c->cols[0], i);

    while (*at < n && o[*at].row < row)
        (*at)++;
    for (size_t k = *at; k < n && o[k].row == row; k++, (*ret_filled)++) {
        uint32_t r;
        struct batch *b = row_buffer_at(&t->buffer, o[k].ordinal, &r);
        for (uint32_t col = 0; col < b->schema->n_fields; col++)
            if (column_is_missing(&b->cols[col], r))
                lake_copy_value(b, &b->cols[col], r, &c->cols[col + 1], i);
    }
}

/* The id of a row: it stands in the file, or follows from the row's place. One of this epoch may have none. */
static void add_row_id(const struct lake_table *t, const struct lake_file *f, struct buf *sql)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = t->delta ? delta_table_snapshot(t->delta) : NULL;
    const struct delta_file *df = s ? delta_snapshot_find(s, str_of(f->path)) : NULL;

    buf_add_cstr(sql, "coalesce(");
    buf_add_sql_ident(sql, str_of(t->row_id));
    if (df && df->base_row_id >= 0)
        buf_printf(sql, ", %lld + file_row_number)", (long long)df->base_row_id);
    else
        buf_add_cstr(sql, ", NULL)");
}

/* The origins of one file, sorted by row. */
static int fill_from_file(struct lake_table *t, const struct row_origin *o, size_t n, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    struct lake_file *f = imap_get(&t->files, o[0].file);
    const struct engine_chunk *chunk;
    size_t at = 0, filled = 0;
    int rc;

    assert(f);
    buf_add_cstr(&sql, "SELECT file_row_number");
    for (uint32_t i = 0; i < t->write->n_fields; i++) {
        buf_add_cstr(&sql, ", ");
        if (i < t->source->n_fields)
            buf_add_sql_ident(&sql, t->write->fields[i].physical);
        else
            add_row_id(t, f, &sql);
    }
    buf_add_cstr(&sql, " FROM ");
    TRY(lake_file_from(t, f, t->write, &sql, err));
    buf_printf(&sql, " WHERE file_row_number BETWEEN %u AND %u", o[0].row, o[n - 1].row);
    if (n <= 64) {
        buf_add_cstr(&sql, " AND file_row_number IN (");
        for (size_t i = 0; i < n; i++)
            buf_printf(&sql, "%s%u", i ? "," : "", o[i].row);
        buf_add_char(&sql, ')');
    }
    TRY(engine_query(t->env->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            fill_from_row(t, chunk, i, o, n, &at, &filled);
    TRY(rc);
    if (filled != n)
        return err_set(err, ERR_INPUT, "table %s: %s has not the rows that the key index names", t->name, f->path);
    return 0;
}

int lake_fill_missing(struct lake_table *t, struct err *err)
{
    struct row_buffer *b = &t->buffer;
    size_t n = 0;

    for (uint32_t i = 0; i < b->n_origins; i++) /* rows that died meanwhile need nothing */
        if (bit_get(b->live, b->origins[i].ordinal))
            b->origins[n++] = b->origins[i];
    b->n_origins = (uint32_t)n;
    if (n > 0)
        qsort(b->origins, n, sizeof *b->origins, by_place);
    for (size_t i = 0, j; i < n; i = j) {
        for (j = i + 1; j < n && b->origins[j].file == b->origins[i].file; j++)
            ;
        TRY(fill_from_file(t, b->origins + i, j - i, err));
    }
    return 0;
}

/* ---- rows that were read once more ---- */

static int apply_chunk(struct lake_table *t, const struct engine_chunk *c, struct err *err)
{
    struct batch *b = batch_new(t->source, c->n);

    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t row = batch_add_row(b, OP_READ, (struct position){t->position, 0}, 0);
        for (uint32_t col = 0; col < c->n_cols; col++)
            lake_copy_value(b, &b->cols[col], row, &c->cols[col], i);
    }
    return lake_table_apply(t, b, err);
}

int lake_table_replace_rows(struct lake_table *t, const char *path, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct lake_file f = {.path = (char *)path};
    const struct engine_chunk *chunk;
    int rc;

    TRY(lake_index_ready(t, err)); /* it reads through the same connection */
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < t->source->n_fields; i++) {
        buf_add_cstr(&sql, i ? ", " : "");
        buf_add_sql_ident(&sql, t->source->fields[i].physical);
    }
    buf_add_cstr(&sql, " FROM ");
    TRY(lake_file_from(t, &f, t->source, &sql, err));
    {
        CLEANUP(engine_result_freep) struct engine_result *result = NULL;
        TRY(engine_query(t->env->conn, sql.p, &result, err));
        while ((rc = engine_result_next(result, &chunk, err)) == 0)
            TRY(apply_chunk(t, chunk, err));
        TRY(rc);
    }
    if (t->buffer.bytes > REPLACED_MAX)
        TRY(lake_table_flush(t, err));
    return store_remove(t->store, path, err);
}
