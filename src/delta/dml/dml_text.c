/* Pieces of SQL that every statement is made of: the table under its alias, its columns. */
#include "delta/dml/dml_internal.h"

#include "engine/parquet_write.h"

void dml_add_with(const struct dml *d, struct buf *sql)
{
    if (d->t->with.n)
        buf_printf(sql, "%.*s ", STR_ARG(d->t->with));
}

static struct str last_part(struct str name)
{
    const char *dot = name.n ? memrchr(name.p, '.', name.n) : NULL;

    return dot ? str_make(dot + 1, name.n - (size_t)(dot + 1 - name.p)) : name;
}

void dml_add_alias(const struct dml *d, struct buf *sql)
{
    struct str alias = d->t->alias.n ? d->t->alias : last_part(d->t->name);

    buf_add_sql_ident(sql, alias.n ? alias : STR("t"));
}

void dml_add_target(const struct dml *d, struct buf *sql)
{
    buf_printf(sql, "(%s) AS ", delta_scan_sql(d->scan));
    dml_add_alias(d, sql);
}

int dml_add_type(const struct dml *d, uint32_t field, struct buf *sql, struct err *err)
{
    return parquet_type_sql(&d->logical->fields[field].type, sql, err);
}

void dml_add_columns(const struct dml *d, const char *prefix, struct buf *sql)
{
    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        buf_add_cstr(sql, i ? ", " : "");
        buf_add_cstr(sql, prefix);
        buf_add_sql_ident(sql, d->schema->fields[i].name);
    }
}

void dml_add_staged_ids(struct dml *d, struct buf *sql)
{
    if (!d->row_ids)
        return;
    d->staged_ids = true;
    buf_add_cstr(sql, ", " DELTA_ROW_ID ", CAST(NULL AS BIGINT) AS " DELTA_ROW_VERSION);
}
