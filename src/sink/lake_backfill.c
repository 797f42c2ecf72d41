/*
 * Columns that were added at the source, and the rows that were there.
 *
 * PostgreSQL writes no WAL for them. What they read in the new column is one of
 *
 *   NULL         no default
 *   a constant   a default that is one: the catalog has it (pg_attribute.attmissingval). All live files are written
 *                again with it, in the commit that adds the column: readers see the column with the right values at once
 *   anything     a volatile default, an identity: the table was rewritten at the source, which its storage number tells;
 *                the same when the constant is known no more because of a later rewrite. The table is copied anew
 *
 * The property "sluice.storage" = "<storage> <highest attnum> <shape>" remembers what the catalog said last.
 */
#include "sink/lake_file.h"

#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "codec/pg_value.h"
#include "engine/parquet_write.h"

#include <assert.h>

/* The column's constant as an SQL expression of its type; NULL when there is none, or it fits no value of the lake. */
static int constant_of(struct lake_table *t, uint32_t col, char **ret, struct err *err)
{
    const struct relation_column *rc = &t->rel->columns[col];
    CLEANUP(batch_freep) struct batch *b = batch_new(t->source, 1);
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct pg_value_codec codec = pg_value_codec_of(rc);
    struct err why;

    batch_add_row(b, OP_READ, (struct position){0}, 0);
    int rc_read = pg_value_read(&codec, 't', rc->missing_text, b, &b->cols[col], 0, &why);
    if (rc_read == ERR_LIMIT) {
        log_err(LOG_WARN, "default_does_not_fit", &why);
        return 0;
    }
    if (rc_read) {
        err_set(err, ERR_UNSUPPORTED, "%s", why.msg);
        return err_wrap(err, "table %s, the default of column %.*s", t->name, STR_ARG(rc->name));
    }
    buf_add_cstr(&sql, "CAST(");
    TRY(lake_add_literal(&b->cols[col], 0, &sql, err));
    buf_add_cstr(&sql, " AS ");
    TRY(parquet_type_sql(b->cols[col].type, &sql, err));
    buf_add_char(&sql, ')');
    *ret = buf_take(&sql);
    return 0;
}

/* ---- the rows that are there ---- */

static bool has_live_rows(const struct lake_table *t)
{
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        const struct lake_file *f = p;
        if (lake_file_is_live(f) && f->rows > f->masked)
            return true;
    }
    return false;
}

static bool has_feed(const struct lake_table *t)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *s = t->delta ? delta_table_snapshot(t->delta) : NULL;

    return t->feed || (s && s->head->cdf);
}

/* A new column's default is no change of a row: where there is a change data feed, files of the log are only moved. */
static int rewrite_all(struct lake_table *t, char *const *constants, struct err *err)
{
    bool feed = has_feed(t);
    CLEANUP(mem_freep) uint32_t *ids = MEM_NEW_N(uint32_t, t->files.n + 1);
    size_t cursor = 0, n = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        const struct lake_file *f = p;
        if (lake_file_is_live(f) && f->rows > f->masked)
            ids[n++] = f->id;
    }
    for (size_t i = 0; i < n; i++) {
        const struct lake_file *f = imap_get(&t->files, ids[i]);
        bool new_rows = f->pending && !f->compacted;
        TRY(lake_rewrite(t, &ids[i], 1, new_rows || !feed, constants, err));
    }
    t->dirty = true;
    return 0;
}

static int field_at(const struct schema *s, int attnum)
{
    struct relation_column col;

    for (uint32_t i = 0; s && i < s->n_fields; i++)
        if (pg_schema_column(&s->fields[i], &col) && col.attnum == attnum)
            return (int)i;
    return -1;
}

static void remember_storage(struct lake_table *t, bool known)
{
    const struct relation *rel = t->rel;

    if (rel->current && known) {
        t->storage = rel->storage;
        t->shape = rel->shape;
        t->attributes = rel->n_attributes;
    }
    for (uint32_t i = 0; i < rel->n_columns; i++)
        t->attributes = MAX(t->attributes, (int)rel->columns[i].attnum);
}

int lake_backfill(struct lake_table *t, const struct schema *old, struct err *err)
{
    char **constants = MEM_NEW_N(char *, t->lake->n_fields);
    bool any = false, known = true, rewritten = t->storage && t->rel->storage && t->storage != t->rel->storage;
    int rc = old && t->rel->doubtful ? lake_cannot_tell(t, t->rel, err) : 0;

    for (uint32_t i = 0; rc == 0 && old && has_live_rows(t) && i < t->rel->n_columns; i++) {
        const struct relation_column *col = &t->rel->columns[i];
        int at = field_at(t->lake, col->attnum);
        assert(at >= 0);
        if (field_at(old, col->attnum) >= 0)
            continue;
        if (t->rel->current && t->attributes && col->attnum <= t->attributes)
            rc = lake_copy_anew(t, col->name,
                                "rows that are in the lake have values in the source that were not followed, in", err);
        else if (col->has_missing)
            rc = constant_of(t, i, &constants[at], err);
        else if (rewritten)
            rc = lake_copy_anew(t, col->name, "the source wrote all rows anew when it added (or after it added)", err);
        any |= constants[at] != NULL;
    }
    if (rc == 0 && old && rewritten && has_live_rows(t))
        rc = lake_check_altered(t, &known, err);
    if (rc == 0 && any)
        rc = rewrite_all(t, constants, err);
    for (uint32_t i = 0; i < t->lake->n_fields; i++)
        mem_free(constants[i]);
    mem_free(constants);
    if (rc == 0)
        remember_storage(t, known);
    return rc;
}
