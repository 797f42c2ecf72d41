/*
 * ALTER COLUMN … SYNC IDENTITY: values that were given by hand move the mark from which the column counts on.
 *
 *   mark = the first start + k * step that is not before the furthest value in the table; it never moves back
 */
#include "delta/ddl/alter_internal.h"

#include "base/mem.h"
#include "delta/scan/scan.h"

#include <stdio.h>

static bool meta_i64(const struct field *f, const char *key, int64_t *ret)
{
    return str_to_i64(field_meta_get(f, str_of(key)), ret);
}

/* The value furthest in the direction of the step. ERR_NOT_FOUND: there are no values. */
static int furthest(struct alter *a, struct engine_conn *conn, const struct field *f, int64_t step, int64_t *ret,
                    struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    TRY(delta_scan_new(engine_of(conn), a->table->store, a->tx->read, NULL, &scan, err));
    buf_printf(&sql, "SELECT %s(", step > 0 ? "max" : "min");
    buf_add_sql_ident(&sql, f->name);
    buf_printf(&sql, ") FROM (%s)", delta_scan_sql(scan));
    return engine_query_i64(conn, sql.p, ret, err);
}

/* The mark for a value: the value itself, or the next after it that the column can give. */
static int mark_of(int64_t start, int64_t step, int64_t value, int64_t *ret)
{
    __int128 gap = (__int128)value - start, k = gap / step;

    k += k * step != gap && (gap > 0) == (step > 0);
    __int128 mark = start + k * step;
    if (mark > INT64_MAX || mark < INT64_MIN)
        return -1;
    *ret = (int64_t)mark;
    return 0;
}

/* To the furthest value that rows have, where it is not there yet. */
static int move_mark(struct alter *a, struct engine_conn *conn, struct field *f, int64_t start, int64_t step,
                     struct err *err)
{
    int64_t value, mark, old;
    int rc = furthest(a, conn, f, step, &value, err);

    if (rc == ERR_NOT_FOUND)
        return 0;
    TRY(rc);
    if (mark_of(start, step, value, &mark) < 0)
        return err_set(err, ERR_LIMIT, "the identity column \"%.*s\" has no more values", STR_ARG(f->name));
    if (step > 0 ? value < start : value > start)
        return 0; /* all values are before the first */
    if (meta_i64(f, "delta.identity.highWaterMark", &old) && (step > 0 ? old >= mark : old <= mark))
        return 0;
    field_meta_set(f, &a->next->arena, STR("delta.identity.highWaterMark"),
                   str_of(arena_printf(&a->next->arena, "%lld", (long long)mark)));
    return 0;
}

int delta_sync_identity(struct delta_table *t, struct engine_conn *conn, struct delta_path path, struct err *err)
{
    CLEANUP(alter_deinit) struct alter a = {0};
    CLEANUP(buf_deinit) struct buf json = {0};
    int64_t start, step;
    struct field_list list;
    int i;

    TRY(alter_begin(&a, t, "CHANGE COLUMN", err));
    TRY(alter_get(&a, path, &list, &i, err));
    struct field *f = &(*list.fields)[i];
    if (path.n > 1 || !meta_i64(f, "delta.identity.start", &start) || !meta_i64(f, "delta.identity.step", &step) ||
        !step)
        return err_set(err, ERR_USAGE, "\"%.*s\" is no identity column", STR_ARG(f->name));
    a.tx->read_whole_table = true;
    TRY(move_mark(&a, conn, f, start, step, err)); /* one that is right already is a commit all the same, as Spark's */
    alter_field_json(f, &json);
    alter_param(&a, "column", buf_str(&json));
    return alter_commit(&a, err);
}
