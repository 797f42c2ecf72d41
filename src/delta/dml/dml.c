/*
 * DELETE and UPDATE.
 *
 * Both find the rows that meet the condition as (file, row). UPDATE then stages those rows with the new values; that the
 * rows are chosen by position and not by the condition again makes random() in a condition harmless.
 */
#include "delta/dml/dml.h"

#include "base/clock.h"
#include "base/mem.h"
#include "delta/dml/dml_internal.h"

static int find_where(struct dml *d, struct str where, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t start = clock_now_us();

    TRY(dml_open_scan(d, where.n ? dml_keep_where(d, where) : NULL, err));
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "SELECT __file, __row FROM ");
    dml_add_target(d, &sql);
    if (where.n)
        buf_printf(&sql, " WHERE (%.*s\n)", STR_ARG(where));
    d->tx->read_whole_table = true;
    d->judges_rows = d->concern_is_hit = !dml_has_query(where);
    buf_add_str(&d->concern, where.n ? where : STR("true"));
    TRY(dml_hit(d, sql.p, err));
    d->scan_us = (uint64_t)(clock_now_us() - start);
    return 0;
}

/* A condition that asks the clock is planned and run in one transaction: now() is when it began. */
static int hit_where(struct dml *d, struct str where, struct err *err)
{
    if (!dml_clock_moves(d, where))
        return find_where(d, where, err);
    TRY(engine_exec(d->t->conn, "BEGIN", err));
    d->clock_stands = true;
    int rc = find_where(d, where, err);
    d->clock_stands = false;
    if (rc < 0)
        (void)!engine_exec(d->t->conn, "ROLLBACK", NULL);
    else
        rc = engine_exec(d->t->conn, "COMMIT", err);
    return rc;
}

/* commitInfo: of predicates a list with one entry or none. */
static void set_predicate(struct dml *d, struct str where)
{
    CLEANUP(buf_deinit) struct buf list = {0}, json = {0};

    buf_add_char(&list, '[');
    if (where.n)
        buf_add_json_str(&list, where);
    buf_add_char(&list, ']');
    buf_add_cstr(&json, "{\"predicate\":");
    buf_add_json_str(&json, buf_str(&list));
    buf_add_char(&json, '}');
    delta_tx_set_parameters(d->tx, buf_str(&json));
}

/* As Spark names them. */
static void set_metrics(struct dml *d, const char *rows_name, uint64_t rows)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    uint64_t now = (uint64_t)clock_now_us();
    /* Spark's UPDATE counts the files that it masks rows of, too */
    uint64_t masked = strcmp(rows_name, "numUpdatedRows") == 0 ? d->result.vectors_added : 0;
    const struct {
        const char *name;
        uint64_t value;
    } metrics[] = {
        {rows_name, rows},
        {"numCopiedRows", d->result.copied},
        {"numAddedFiles", d->result.files_added},
        {"numRemovedFiles", d->result.files_removed + masked},
        {"numAddedBytes", d->bytes_added},
        {"numRemovedBytes", d->bytes_removed},
        {"numAddedChangeFiles", d->cdc_files},
        {"numDeletionVectorsAdded", d->result.vectors_added},
        {"numDeletionVectorsUpdated", d->vectors_updated},
        {"numDeletionVectorsRemoved", d->vectors_removed},
        {"executionTimeMs", (now - d->start_us) / 1000},
        {"scanTimeMs", d->scan_us / 1000},
        {"rewriteTimeMs", (now - d->start_us - MIN(d->scan_us, now - d->start_us)) / 1000},
    };

    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        buf_printf(&json, "%s\"%s\":\"%llu\"", i ? "," : "{", metrics[i].name, (unsigned long long)metrics[i].value);
    buf_add_char(&json, '}');
    delta_tx_set_metrics(d->tx, buf_str(&json));
}

bool dml_needs_changes(const struct dml *d, bool adds_rows)
{
    return d->head->cdf && (adds_rows || !d->head->dv);
}

/* The rows that are hit, as they are. */
static void add_hit_rows(const struct dml *d, const char *change, struct buf *sql)
{
    buf_add_cstr(sql, "SELECT ");
    dml_add_columns(d, "", sql);
    buf_printf(sql, ", '%s' AS _change_type FROM (%s) WHERE NOT dv(%lld, __file, __row)", change,
               delta_scan_sql(d->scan), (long long)d->hit_id);
}

/* ---- DELETE ---- */

static int delete_body(struct dml *d, const void *arg, struct err *err)
{
    struct str where = *(const struct str *)arg;
    CLEANUP(buf_deinit) struct buf changes = {0};

    TRY(delta_tx_check_removable(d->tx, d->head, err)); /* though no row may meet the condition, as Spark */
    if (where.n) {
        TRY(hit_where(d, where, err));
        if (d->n_hits && dml_needs_changes(d, false)) {
            add_hit_rows(d, "delete", &changes);
            TRY(dml_write_changes(d, changes.p, err));
        }
        TRY(dml_apply_hits(d, err));
    } else {
        d->tx->read_whole_table = true;
        TRY(dml_open_scan(d, NULL, err));
        TRY(dml_hit_all(d, err));
    }
    d->result.deleted = d->n_hits;
    set_predicate(d, where.n ? where : STR("true"));
    set_metrics(d, "numDeletedRows", d->n_hits);
    return 0;
}

int delta_delete(const struct dml_target *t, struct str where, struct dml_result *ret, struct err *err)
{
    return dml_run(t, "DELETE", delete_body, &where, ret, err);
}

/* ---- UPDATE ---- */

struct update {
    const struct dml_set *set;
    uint32_t n_set;
    struct str where;
};

static int check_sets(const struct dml *d, const struct update *u, uint8_t *given, struct err *err)
{
    for (uint32_t k = 0; k < u->n_set; k++) {
        uint32_t field;
        TRY(dml_find_column(d, u->set[k].path[0], &field, err));
        TRY(dml_check_updatable(d, field, err));
        given[field] = DML_GIVEN;
    }
    return 0;
}

static int stage_updated(struct dml *d, const struct update *u, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, old = {0}, from = {0};

    dml_add_target(d, &from);
    const struct dml_set *set = dml_typed_sets(d, u->set, u->n_set, buf_str(&from));

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DML_ROWS " AS ");
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "SELECT ");
    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        buf_reset(&old);
        dml_add_alias(d, &old);
        buf_add_char(&old, '.');
        buf_add_sql_ident(&old, d->schema->fields[i].name);
        TRY(dml_add_assigned(d, i, buf_str(&old), set, u->n_set, &sql, err));
        buf_add_cstr(&sql, " AS ");
        buf_add_sql_ident(&sql, d->schema->fields[i].name);
        buf_add_cstr(&sql, ", ");
    }
    buf_add_cstr(&sql, "0 AS __clause");
    dml_add_staged_ids(d, &sql);
    buf_add_cstr(&sql, " FROM ");
    dml_add_target(d, &sql);
    if (d->n_hits)
        buf_printf(&sql, " WHERE NOT dv(%lld, __file, __row)", (long long)d->hit_id);
    else
        buf_add_cstr(&sql, " WHERE false");
    return dml_exec(d, sql.p, err);
}

static int write_update_changes(struct dml *d, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (!dml_needs_changes(d, true))
        return 0;
    add_hit_rows(d, "update_preimage", &sql);
    buf_add_cstr(&sql, " UNION ALL SELECT ");
    dml_add_columns(d, "", &sql);
    buf_add_cstr(&sql, ", 'update_postimage' FROM temp." DML_ROWS);
    return dml_write_changes(d, sql.p, err);
}

/* No row is to be changed: what is wrong of the statement itself is refused all the same. As Spark, also a constant that is no value
 * of its column. */
static int check_sense(struct dml *d, const struct update *u, const uint8_t *given, struct err *err)
{
    TRY(stage_updated(d, u, err));
    TRY(dml_finish_rows(d, given, 1, err));
    for (uint32_t k = 0; k < u->n_set; k++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        const struct engine_type *type = NULL;
        const struct dml_set *set = &u->set[k];
        uint32_t field;

        TRY(dml_find_column(d, set->path[0], &field, err));
        dml_types_of(d, &set->expr, 1, (struct str){0}, &type);
        if (!type || set->n_path > 1 || dml_has_query(set->expr))
            continue;
        buf_add_cstr(&sql, "SELECT ");
        TRY(dml_add_stored(d, field, ASSIGN_SAME_NAMES, type, set->expr, false, &sql, err));
        TRY(dml_exec(d, sql.p, err));
    }
    return 0;
}

static int update_body(struct dml *d, const void *arg, struct err *err)
{
    const struct update *u = arg;
    CLEANUP(mem_freep) uint8_t *given = MEM_NEW_N(uint8_t, d->schema->n_fields); /* DML_OLD */
    uint64_t rows;

    TRY(delta_tx_check_removable(d->tx, d->head, err));
    TRY(check_sets(d, u, given, err));
    TRY(hit_where(d, u->where, err));
    if (!d->n_hits)
        return check_sense(d, u, given, err);
    for (uint32_t k = 0; k < u->n_set; k++)
        d->judges_rows &= !dml_has_query(u->set[k].expr);
    TRY(stage_updated(d, u, err));
    TRY(dml_finish_rows(d, given, 1, err));
    TRY(dml_write_rows(d, &rows, err));
    if (rows != d->n_hits)
        return err_set(err, ERR_INTERNAL, "UPDATE wrote %llu rows where %llu were to be", (unsigned long long)rows,
                       (unsigned long long)d->n_hits);
    TRY(write_update_changes(d, err));
    TRY(dml_apply_hits(d, err));
    d->result.updated = rows;
    set_predicate(d, u->where);
    if (!u->where.n)
        d->vectors_removed = 0; /* Spark, which then rewrites everything, counts none */
    set_metrics(d, "numUpdatedRows", rows);
    return 0;
}

int delta_update(const struct dml_target *t, const struct dml_set *set, uint32_t n_set, struct str where,
                 struct dml_result *ret, struct err *err)
{
    struct update u = {set, n_set, where};

    return dml_run(t, "UPDATE", update_body, &u, ret, err);
}
