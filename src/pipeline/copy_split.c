/*
 * The rows of a chunk by partition: the file of the chunk is read once for each partition in it. Where they are many it is
 * sorted first, so that each pass reads only the row groups that it needs.
 */
#include "pipeline/copy_chunk.h"

#include "base/mem.h"
#include "codec/delta_partition.h"
#include "engine/parquet_write.h"
#include "sink/lake_partition.h"

#include <unistd.h>

enum { CHUNK_ROWS = 2048, SORT_FROM = 16, SORTED_GROUP = 8192 };

struct pieces {
    const struct copy_chunk_task *task;
    struct buf columns; /* "a", "b": partition columns */
    struct buf from;    /* read_parquet(…) of the file with all rows */
    char **keys;
    size_t n, cap;
};

static void pieces_deinit(struct pieces *p)
{
    for (size_t i = 0; i < p->n; i++)
        mem_free(p->keys[i]);
    mem_free(p->keys);
    buf_deinit(&p->columns);
    buf_deinit(&p->from);
}

static const struct field *part_field(const struct pieces *p, uint32_t k)
{
    const struct copy_table *t = p->task->table;

    return &t->schema->fields[t->parts[k]];
}

static int read_key(const struct pieces *p, const struct engine_chunk *chunk, uint32_t row, struct buf *key,
                    struct err *err)
{
    static const uint64_t all[CHUNK_ROWS / 64] = {[0 ... CHUNK_ROWS / 64 - 1] = UINT64_MAX};

    buf_reset(key);
    for (uint32_t k = 0; k < p->task->table->n_parts; k++) {
        const struct field *f = part_field(p, k);
        const struct engine_vector *v = &chunk->cols[k];
        struct column c = {.type = &f->type,
                           .width = type_width(&f->type),
                           .data = (void *)v->data,
                           .valid = (uint64_t *)(v->valid ? v->valid : all)};
        TRY(lake_partition_add(f, &c, row, key, err));
    }
    return 0;
}

/* The partitions of the rows. The empty text is that of NULL. */
static int find_pieces(struct pieces *p, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, key = {0};
    const struct engine_chunk *chunk;
    int rc;

    buf_add_cstr(&sql, "SELECT DISTINCT ");
    for (uint32_t k = 0; k < p->task->table->n_parts; k++) {
        bool text = part_field(p, k)->type.id == TYPE_STRING;
        buf_add_cstr(&sql, k ? ", " : "");
        buf_add_cstr(&sql, text ? "nullif(" : "");
        buf_add_sql_ident(&sql, part_field(p, k)->physical);
        buf_add_cstr(&sql, text ? ", '')" : "");
    }
    buf_printf(&sql, " FROM %s", p->from.p);
    TRY(engine_query(p->task->conn, sql.p, &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++) {
            if (p->n == PARTITIONS_MAX)
                return err_set(err, ERR_UNSUPPORTED, "more than %d partitions in one chunk", PARTITIONS_MAX);
            TRY(read_key(p, chunk, i, &key, err));
            MEM_GROW(p->keys, p->n, p->cap);
            p->keys[p->n++] = mem_strndup(key.p, key.n);
        }
    return rc < 0 ? rc : 0;
}

static int add_condition(const struct pieces *p, const char *key, struct buf *sql, struct err *err)
{
    struct str rest = str_of(key), value;

    for (uint32_t k = 0; k < p->task->table->n_parts; k++) {
        const struct field *f = part_field(p, k);
        if (!lake_partition_next(&rest, &value))
            return err_set(err, ERR_INTERNAL, "\"%s\" are no partition values", key);
        buf_add_cstr(sql, k ? " AND (" : " WHERE (");
        buf_add_sql_ident(sql, f->physical);
        if (value.p) {
            buf_add_cstr(sql, " = ");
            TRY(delta_partition_sql(&f->type, value, sql, err));
        } else {
            buf_add_cstr(sql, " IS NULL");
        }
        if (!value.p && f->type.id == TYPE_STRING) {
            buf_add_cstr(sql, " OR ");
            buf_add_sql_ident(sql, f->physical);
            buf_add_cstr(sql, " = ''");
        }
        buf_add_char(sql, ')');
    }
    return 0;
}

static void read_from(struct pieces *p, const char *path)
{
    buf_reset(&p->from);
    buf_add_cstr(&p->from, "read_parquet(");
    buf_add_sql_literal(&p->from, str_of(path));
    buf_add_cstr(&p->from, ", hive_partitioning=false)");
}

static int sort(struct pieces *p, struct store *store, const struct parquet_spec *spec, struct buf *sorted,
                struct err *err)
{
    CLEANUP(parquet_file_deinit) struct parquet_file info = {0};
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct parquet_spec small = *spec;

    small.row_group_size = SORTED_GROUP;
    store_temp_path(store, ".parquet", sorted);
    buf_printf(&sql, "SELECT * FROM %s ORDER BY %s", p->from.p, p->columns.p);
    TRY(parquet_write_query(p->task->conn, sql.p, sorted->p, &small, &info, err));
    read_from(p, sorted->p);
    return 0;
}

static int write_pieces(struct pieces *p, struct store *store, const struct parquet_spec *spec, uint64_t rows,
                        struct copy_files *ret, struct err *err)
{
    for (size_t i = 0; i < p->n; i++) {
        CLEANUP(parquet_file_deinit) struct parquet_file info = {0};
        CLEANUP(buf_deinit) struct buf sql = {0}, tmp = {0};
        buf_printf(&sql, "SELECT * FROM %s", p->from.p);
        TRY(add_condition(p, p->keys[i], &sql, err));
        store_temp_path(store, ".parquet", &tmp);
        TRY(parquet_write_query(p->task->conn, sql.p, tmp.p, spec, &info, err));
        rows -= info.rows;
        TRY(copy_add_file(p->task, store, tmp.p, &info, str_of(p->keys[i]), ret, err));
    }
    return rows ? err_set(err, ERR_INTERNAL, "the partitions of a chunk are not all of its rows") : 0;
}

static int split(struct pieces *p, struct store *store, const char *path, const struct parquet_spec *spec,
                 struct parquet_file *whole, struct copy_files *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sorted = {0};

    for (uint32_t k = 0; k < p->task->table->n_parts; k++) {
        buf_add_cstr(&p->columns, k ? ", " : "");
        buf_add_sql_ident(&p->columns, part_field(p, k)->physical);
    }
    read_from(p, path);
    TRY(find_pieces(p, err));
    if (p->n == 1)
        return copy_add_file(p->task, store, path, whole, str_of(p->keys[0]), ret, err);
    int rc = p->n > SORT_FROM ? sort(p, store, spec, &sorted, err) : 0;
    if (rc == 0)
        rc = write_pieces(p, store, spec, whole->rows, ret, err);
    if (sorted.n)
        unlink(sorted.p);
    return rc;
}

int copy_split(const struct copy_chunk_task *task, struct store *store, const char *path,
               const struct parquet_spec *spec, struct parquet_file *whole, struct copy_files *ret, struct err *err)
{
    CLEANUP(pieces_deinit) struct pieces p = {.task = task};
    const struct relation *rel = task->table->rel;
    int rc = split(&p, store, path, spec, whole, ret, err);

    unlink(path);
    return rc ? err_wrap(err, "table %.*s.%.*s", STR_ARG(rel->schema), STR_ARG(rel->name)) : 0;
}
