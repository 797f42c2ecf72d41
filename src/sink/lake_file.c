/*
 * Data files of a table: names, deletion vectors, and the SQL that reads them.
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
