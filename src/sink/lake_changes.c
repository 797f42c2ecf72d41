/*
 * The change data feed of an epoch: what a reader of the feed could not tell from the files that come and go.
 *
 *   old rows   of files of the log: those masked since        also of files that were only moved in this epoch
 *   new rows   of files that are not in the log yet
 *
 * A key that is on both sides is an update, its rows the images before and after; the others are deletes and inserts. So a
 * row that changed its key is a delete and an insert, as everywhere here, and what came and went within the epoch is
 * nothing. A commit with change files is told by them alone: they then have all of its changes.
 *
 * No change files are due where files alone tell it: only new rows; only masked ones; a truncated table, or one copied
 * anew; one without a key, whose rows cannot be paired.
 */
#include "sink/lake_changes.h"

#include "base/mem.h"
#include "delta/dml/data_file.h"
#include "engine/parquet_write.h"
#include "engine/scan_files.h"
#include "sink/lake_file.h"
#include "sink/lake_partition.h"

#include <assert.h>
#include <stdlib.h>

#define CHANGES "temp.__sluice_changes"

/* Some files, those of a partition together, and a set of rows of each. */
struct side {
    struct lake_file **files;
    size_t n;
    struct dv *rows; /* a file */
    const struct dv **row_list;
    bool named; /* the sets name the rows that belong to the side; else those that do not */
    uint64_t n_rows;
    struct scan_files *scans; /* a partition */
    int64_t *ids;
    size_t n_scans;
};

struct feed_of_epoch {
    struct lake_table *t;
    struct side old, fresh;
    bool truncated; /* files of the log go whole */
    bool moved;     /* some old rows are of files that go without a change of data */
};

static void side_deinit(struct lake_table *t, struct side *s)
{
    for (size_t i = 0; i < s->n_scans; i++)
        scan_files_unregister(t->env->engine, s->ids[i]);
    for (size_t i = 0; i < s->n; i++)
        dv_deinit(&s->rows[i]);
    mem_free(s->files);
    mem_free(s->rows);
    mem_free(s->row_list);
    mem_free(s->scans);
    mem_free(s->ids);
}

static void side_init(struct lake_table *t, struct side *s, bool named)
{
    size_t n = t->files.n + 1;

    s->files = MEM_NEW_N(struct lake_file *, n);
    s->rows = MEM_NEW_N(struct dv, n);
    s->row_list = MEM_NEW_N(const struct dv *, n);
    s->scans = MEM_NEW_N(struct scan_files, n);
    s->ids = MEM_NEW_N(int64_t, n);
    s->named = named;
}

static int by_partition(const void *a, const void *b)
{
    const struct lake_file *x = *(struct lake_file *const *)a, *y = *(struct lake_file *const *)b;

    if (x->part != y->part)
        return (uintptr_t)x->part < (uintptr_t)y->part ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Which files are on which side. */
static void choose_files(struct feed_of_epoch *e)
{
    struct lake_table *t = e->t;
    size_t cursor = 0;
    void *p;

    while (imap_next(&t->files, &cursor, NULL, &p) == 0) {
        struct lake_file *f = p;
        bool new_rows = f->pending && !f->compacted;
        e->truncated |= !f->pending && f->doomed && !f->compacted;
        if (new_rows && !f->doomed && f->masked < f->rows)
            e->fresh.files[e->fresh.n++] = f;
        else if (!new_rows && f->dv_dirty && (!f->pending || !f->doomed))
            e->old.files[e->old.n++] = f;
    }
    if (e->old.n)
        qsort(e->old.files, e->old.n, sizeof(struct lake_file *), by_partition);
    if (e->fresh.n)
        qsort(e->fresh.files, e->fresh.n, sizeof(struct lake_file *), by_partition);
}

/* The rows that were masked since the last commit; of a file that was moved since, since it was moved. */
static int take_old_rows(struct feed_of_epoch *e, struct err *err)
{
    struct side *s = &e->old;

    for (size_t i = 0; i < s->n; i++) {
        struct lake_file *f = s->files[i];
        struct dv logged = {0};
        dv_clone(&f->dv, &s->rows[i]);
        if (!f->pending)
            TRY(lake_file_logged_dv(e->t, f, &logged, err));
        dv_subtract(&s->rows[i], &logged);
        dv_deinit(&logged);
        s->row_list[i] = &s->rows[i];
        s->n_rows += dv_cardinality(&s->rows[i]);
        e->moved |= f->compacted && dv_cardinality(&s->rows[i]);
    }
    return 0;
}

static void take_new_rows(struct feed_of_epoch *e)
{
    struct side *s = &e->fresh;

    for (size_t i = 0; i < s->n; i++) {
        const struct lake_file *f = s->files[i];
        s->row_list[i] = f->masked ? &f->dv : NULL;
        s->n_rows += f->rows - f->masked;
    }
}

static bool is_due(const struct feed_of_epoch *e)
{
    const struct lake_table *t = e->t;

    if (!e->old.n_rows || e->truncated)
        return false;
    return !t->vectors || e->moved || (e->fresh.n_rows && t->rel->identity == IDENTITY_KEY);
}

/* The table's columns by name, out of the files of a side. No file: no row. */
static int add_side(struct lake_table *t, struct side *s, struct buf *sql, struct err *err)
{
    for (size_t i = 0, j; i < s->n || !i; i = j) {
        for (j = i + (s->n > 0); j < s->n && s->files[j]->part == s->files[i]->part; j++)
            ;
        buf_add_cstr(sql, i ? " UNION ALL SELECT " : "SELECT ");
        for (uint32_t c = 0; c < t->lake->n_fields; c++) {
            buf_add_cstr(sql, c ? ", " : "");
            if (s->n) {
                buf_add_sql_ident(sql, t->lake->fields[c].physical);
            } else {
                buf_add_cstr(sql, "NULL::");
                TRY(parquet_type_sql(&t->lake->fields[c].type, sql, err));
            }
            buf_add_cstr(sql, " AS ");
            buf_add_sql_ident(sql, t->lake->fields[c].name);
        }
        if (!s->n) {
            buf_add_cstr(sql, " WHERE false");
            return 0;
        }
        size_t k = s->n_scans++;
        s->scans[k] = (struct scan_files){.n = (uint32_t)(j - i), .deleted = s->row_list + i};
        s->ids[k] = scan_files_register(t->env->engine, &s->scans[k]);
        buf_add_cstr(sql, " FROM ");
        TRY(lake_files_from(t, s->files + i, j - i, t->lake, sql, err));
        buf_printf(sql, " WHERE %sdv(%lld, file_index, file_row_number)", s->named ? "NOT " : "", (long long)s->ids[k]);
    }
    return 0;
}

/* Rows of `side`: those whose key `other` has, too, are half of an update. */
static void add_typed(const struct lake_table *t, const char *side, const char *other, const char *paired,
                      const char *alone, struct buf *sql)
{
    buf_printf(sql, "SELECT %s.*, CASE WHEN ", side);
    if (t->rel->identity == IDENTITY_KEY) {
        buf_printf(sql, "EXISTS (SELECT 1 FROM %s WHERE true", other);
        for (size_t k = 0; k < t->n_keys; k++) {
            struct str key = t->source->fields[t->key_cols[k]].name;
            buf_printf(sql, " AND %s.", other);
            buf_add_sql_ident(sql, key);
            buf_printf(sql, " IS NOT DISTINCT FROM %s.", side);
            buf_add_sql_ident(sql, key);
        }
        buf_add_char(sql, ')');
    } else {
        buf_add_cstr(sql, "false");
    }
    buf_printf(sql, " THEN '%s' ELSE '%s' END AS _change_type FROM %s", paired, alone, side);
}

static int add_query(struct feed_of_epoch *e, struct buf *sql, struct err *err)
{
    buf_add_cstr(sql, "WITH __old AS MATERIALIZED (");
    TRY(add_side(e->t, &e->old, sql, err));
    buf_add_cstr(sql, "), __new AS MATERIALIZED (");
    TRY(add_side(e->t, &e->fresh, sql, err));
    buf_add_cstr(sql, ") ");
    add_typed(e->t, "__old", "__new", "update_preimage", "delete", sql);
    buf_add_cstr(sql, " UNION ALL ");
    add_typed(e->t, "__new", "__old", "update_postimage", "insert", sql);
    return 0;
}

/* The columns as the commit will leave them. */
static int next_head(const struct delta_tx *tx, struct delta_head **ret, struct err *err)
{
    if (!tx->new_metadata) {
        *ret = delta_head_ref(tx->read->head);
        return 0;
    }
    return delta_head_new(tx->new_protocol ? tx->new_protocol : tx->read->head->protocol, tx->new_metadata, ret, err);
}

static int write_files(struct feed_of_epoch *e, struct delta_tx *tx, const struct delta_head *head, struct err *err)
{
    struct lake_table *t = e->t;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct delta_data_files files = {0};
    struct delta_data data = {.head = head, .from = CHANGES, .changes = true};

    if (schema_find(t->lake, STR("_change_type")) >= 0)
        return err_set(err, ERR_UNSUPPORTED, "a column has the name _change_type, which the change data feed needs");
    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE __sluice_changes AS ");
    TRY(add_query(e, &sql, err));
    TRY(engine_exec(t->env->conn, sql.p, err));
    int rc = delta_data_write(t->env->conn, t->store, &data, &tx->arena, &files, err);
    (void)!engine_exec(t->env->conn, "DROP TABLE IF EXISTS " CHANGES, NULL);
    for (size_t i = 0; rc == 0 && i < files.n; i++)
        delta_tx_add_cdc(tx, &files.v[i]);
    return rc;
}

static int write_changes(struct feed_of_epoch *e, struct delta_tx *tx, const struct delta_head *head, struct err *err)
{
    side_init(e->t, &e->old, true);
    side_init(e->t, &e->fresh, false);
    choose_files(e);
    TRY(take_old_rows(e, err));
    take_new_rows(e);
    return is_due(e) ? write_files(e, tx, head, err) : 0;
}

int lake_changes_write(struct lake_table *t, struct delta_tx *tx, struct err *err)
{
    struct feed_of_epoch e = {.t = t};
    struct delta_head *head = NULL;
    int rc = 0;

    tx->handles |= DELTA_HANDLES_CDF;
    if (t->state == LAKE_STAGED)
        return 0;
    TRY(next_head(tx, &head, err));
    if (head->cdf)
        rc = write_changes(&e, tx, head, err);
    delta_head_unref(head);
    side_deinit(t, &e.old);
    side_deinit(t, &e.fresh);
    return rc;
}
