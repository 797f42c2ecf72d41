/* Which files an OPTIMIZE rewrites: by partition, by size, by masked rows, by what they are clustered by. */
#include "base/mem.h"
#include "codec/delta_partition.h"
#include "delta/dml/table_expr.h"
#include "delta/upkeep/optimize_internal.h"

#include <stdlib.h>
#include <yyjson.h>

#define FULL_CUBE ((int64_t)100 << 30)

/* ---- partitions ---- */

static struct str value_of(const struct optimizing *z, const struct delta_file *f, uint32_t k)
{
    const struct field *field =
        &z->head->schema->fields[schema_find(z->head->schema, z->head->metadata->partition_columns[k])];

    return delta_kv_get(f->parts, f->n_parts, field->physical);
}

static void add_to_group(struct optimizing *z, const struct delta_file *f)
{
    CLEANUP(buf_deinit) struct buf key = {0};

    for (uint32_t k = 0; k < z->head->metadata->n_partition_columns; k++) {
        struct str v = value_of(z, f, k);
        buf_printf(&key, "%zu:", v.n);
        buf_add_str(&key, v);
    }
    uintptr_t at = (uintptr_t)map_get(&z->by_partition, buf_str(&key));
    if (!at) {
        MEM_GROW(z->groups, z->n, z->cap);
        z->groups[z->n++] = (struct optimize_group){0};
        at = z->n;
        map_put(&z->by_partition, arena_str(&z->tx->arena, buf_str(&key)), (void *)at);
    }
    struct optimize_group *g = &z->groups[at - 1];
    MEM_GROW(g->files, g->n, g->cap);
    g->files[g->n++] = f;
}

/* SELECT of the numbers of the groups for which the condition holds. */
static int where_sql(const struct optimizing *z, struct buf *sql, struct err *err)
{
    const struct delta_metadata *m = z->head->metadata;

    buf_add_cstr(sql, "SELECT __group FROM (VALUES ");
    for (size_t i = 0; i < z->n; i++) {
        buf_printf(sql, "%s(%zu", i ? ", " : "", i);
        for (uint32_t k = 0; k < m->n_partition_columns; k++) {
            int field = schema_find(z->head->schema, m->partition_columns[k]);
            buf_add_cstr(sql, ", ");
            TRY(delta_partition_sql(&z->head->schema->fields[field].type, value_of(z, z->groups[i].files[0], k), sql,
                                    err));
        }
        buf_add_char(sql, ')');
    }
    buf_add_cstr(sql, ") AS t(__group");
    for (uint32_t k = 0; k < m->n_partition_columns; k++) {
        buf_add_cstr(sql, ", ");
        buf_add_sql_ident(sql, m->partition_columns[k]);
    }
    buf_add_cstr(sql, ") WHERE (");
    table_expr_names(z->o->where, sql);
    buf_add_cstr(sql, "\n)");
    return 0;
}

static int apply_where(struct optimizing *z, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    const struct engine_chunk *chunk;
    int rc;

    if (!z->head->metadata->n_partition_columns)
        return err_set(err, ERR_USAGE, "WHERE chooses partitions, and the table has none");
    if (!z->n)
        return 0;
    for (size_t i = 0; i < z->n; i++)
        z->groups[i].skip = true;
    TRY(where_sql(z, &sql, err));
    rc = engine_query(z->conn, sql.p, &result, err);
    if (rc < 0) {
        err_wrap(err, "WHERE");
        return err_hint(err, "only partition columns can stand there");
    }
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            z->groups[engine_i64(&chunk->cols[0], i)].skip = false;
    return rc < 0 ? rc : 0;
}

int optimize_group_files(struct optimizing *z, struct err *err)
{
    const struct delta_metadata *m = z->head->metadata;
    const struct delta_file *f;
    size_t cursor = 0;

    for (uint32_t k = 0; k < m->n_partition_columns; k++)
        if (schema_find(z->head->schema, m->partition_columns[k]) < 0)
            return err_set(err, ERR_INPUT, "the partition column \"%.*s\" is not in the schema",
                           STR_ARG(m->partition_columns[k]));
    while ((f = delta_snapshot_next(z->tx->read, &cursor)))
        add_to_group(z, f);
    return z->o->where.n ? apply_where(z, err) : 0;
}

/* ---- files ---- */

struct cube {
    struct str id;
    int64_t bytes;
};

/* A tag of the file, p NULL when there is none; memory from the arena. */
static struct str tag(struct optimizing *z, const struct delta_file *f, const char *key)
{
    struct str tags = f->extra ? f->extra->tags : (struct str){0}, found = {0};
    yyjson_doc *doc = yyjson_read(tags.n ? tags.p : "", tags.n, 0);
    yyjson_val *v = yyjson_obj_get(yyjson_doc_get_root(doc), key);

    if (yyjson_is_str(v))
        found = arena_str(&z->tx->arena, str_make(yyjson_get_str(v), yyjson_get_len(v)));
    yyjson_doc_free(doc);
    return found;
}

/* Does the file belong to a cube of the table's clustering columns? */
static struct str cube_of(struct optimizing *z, const struct delta_file *f)
{
    struct str by = tag(z, f, "ZCUBE_ZORDER_BY");
    CLEANUP(buf_deinit) struct buf names = {0};

    for (uint32_t i = 0; i < z->n_sort; i++) {
        buf_add_cstr(&names, i ? "," : "[");
        buf_add_json_str(&names, z->names[i]);
    }
    buf_add_char(&names, ']');
    return by.n && str_eq(by, buf_str(&names)) ? tag(z, f, "ZCUBE_ID") : (struct str){0};
}

/* Keeps the files that are not clustered, and with them the cubes that are not full. None, when nothing is new. */
static void choose_clustered(struct optimizing *z, struct optimize_group *g)
{
    CLEANUP(map_deinit) struct map cubes = {0};
    CLEANUP(mem_freep) struct cube **of = MEM_NEW_N(struct cube *, g->n + 1);
    size_t n = 0, fresh = 0;

    for (size_t i = 0; i < g->n; i++) {
        struct str id = cube_of(z, g->files[i]);
        if (!id.n) {
            /* clustered by other columns: only OPTIMIZE … FULL takes it up */
            fresh += z->o->full || !tag(z, g->files[i], "ZCUBE_ID").n;
            continue;
        }
        of[i] = map_get(&cubes, id);
        if (!of[i]) {
            of[i] = ARENA_NEW(&z->tx->arena, struct cube);
            of[i]->id = id;
            map_put(&cubes, id, of[i]);
        }
        of[i]->bytes += MAX(g->files[i]->size, 0);
        fresh += g->files[i]->dv != NULL;
    }
    for (size_t i = 0; i < g->n; i++) {
        bool take =
            of[i] ? of[i]->bytes < FULL_CUBE || g->files[i]->dv : z->o->full || !tag(z, g->files[i], "ZCUBE_ID").n;
        if (fresh && take)
            g->files[n++] = g->files[i];
    }
    g->n = n;
}

static bool is_chosen(const struct optimizing *z, const struct delta_file *f)
{
    if (z->o->purge)
        return z->o->all || f->dv || map_get(&z->extra, f->path);
    bool thick = f->dv && f->num_records > 0 && f->dv->cardinality * 20 > f->num_records;
    return f->size < z->target || thick;
}

static int by_size(const void *a, const void *b)
{
    const struct delta_file *x = *(const struct delta_file *const *)a, *y = *(const struct delta_file *const *)b;

    return (x->size > y->size) - (x->size < y->size);
}

void optimize_choose(struct optimizing *z, struct optimize_group *g)
{
    size_t n = 0;

    if (z->clustered)
        choose_clustered(z, g);
    if (z->n_sort)
        return;
    for (size_t i = 0; i < g->n; i++)
        if (is_chosen(z, g->files[i]))
            g->files[n++] = g->files[i];
    g->n = n;
    qsort(g->files, n, sizeof(struct delta_file *), by_size);
}
