/*
 * The frame of every DML statement: begin, body, commit; what it wrote goes again when it fails.
 */
#include "delta/dml/dml_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/log/checkpoint.h"
#include "engine/scan_files.h"

#include <assert.h>
#include <sys/random.h>
#include <unistd.h>

int dml_find_column(const struct dml *d, struct str name, uint32_t *ret, struct err *err)
{
    int i = schema_find(d->schema, name);

    if (i < 0)
        return err_set(err, ERR_USAGE, "table %.*s has no column \"%.*s\"", STR_ARG(d->t->name), STR_ARG(name));
    *ret = (uint32_t)i;
    return 0;
}

/* What DuckDB says of the staging table is about the user's. */
static void name_table(const struct dml *d, struct err *err)
{
    char *at = err ? strstr(err->msg, DML_ROWS) : NULL;
    char rest[sizeof err->msg];

    if (!at)
        return;
    snprintf(rest, sizeof rest, "%s", at + strlen(DML_ROWS));
    snprintf(at, (size_t)(err->msg + sizeof err->msg - at), "%.*s%s", STR_ARG(d->t->name), rest);
}

int dml_exec(const struct dml *d, const char *sql, struct err *err)
{
    int rc = engine_exec(d->t->conn, sql, err);

    if (rc < 0)
        name_table(d, err);
    return rc;
}

void dml_take_schema(struct dml *d)
{
    schema_unref(TAKE_PTR(d->logical));
    d->schema = d->head->schema;
    d->logical = schema_clone(d->schema);
    delta_schema_unmap(d->logical);
}

int dml_open_scan(struct dml *d, const struct prune *keep, struct err *err)
{
    struct delta_scan_options options = {
        .head = d->head, .with_position = true, .with_row_ids = d->row_ids, .variants = DELTA_VARIANTS_EXACT};

    assert(!d->scan);
    if (keep)
        options.files = prune_files(keep, d->tx->read, &d->tx->arena, &options.n_files);
    TRY(delta_scan_new(engine_of(d->t->conn), d->t->table->store, d->tx->read, &options, &d->scan, err));
    uint32_t n = delta_scan_n_files(d->scan);
    d->hits = MEM_NEW_N(struct dv, n + 1);
    d->hit_list = MEM_NEW_N(const struct dv *, n + 1);
    d->hit_files = MEM_NEW(struct scan_files);
    return 0;
}

static int dml_begin(struct dml *d, const struct dml_target *t, const char *operation, struct err *err)
{
    d->t = t;
    d->start_us = (uint64_t)clock_now_us();
    TRY(delta_table_refresh(t->table, err));
    d->tx = delta_tx_new(t->table, operation);
    d->tx->handles = DELTA_HANDLES_CONSTRAINTS | DELTA_HANDLES_GENERATED | DELTA_HANDLES_IDENTITY |
                     DELTA_HANDLES_DEFAULTS | DELTA_HANDLES_CDF;
    d->head = d->tx->read->head;
    d->row_ids = d->tx->keeps_row_ids = d->head->row_tracking;
    TRY(delta_protocol_check_write(d->head->protocol, err));
    dml_take_schema(d);
    return 0;
}

/* Files that no commit names. What cannot be deleted is left to VACUUM. */
static void drop_written(struct dml *d)
{
    for (size_t i = 0; i < d->n_written; i++)
        (void)!store_remove(d->t->table->store, d->written[i], NULL);
}

static void dml_end(struct dml *d, bool failed)
{
    if (failed)
        drop_written(d);
    for (size_t i = 0; i < d->n_written; i++)
        mem_free(d->written[i]);
    mem_free(d->written);
    (void)!engine_exec(d->t->conn, "DROP TABLE IF EXISTS temp." DML_ROWS "; DROP TABLE IF EXISTS temp." DML_SOURCE,
                       NULL);
    if (d->hit_id)
        scan_files_unregister(engine_of(d->t->conn), d->hit_id);
    for (uint32_t i = 0; d->scan && i < delta_scan_n_files(d->scan); i++)
        dv_deinit(&d->hits[i]);
    mem_free(d->hits);
    mem_free(d->hit_list);
    mem_free(d->hit_files);
    buf_deinit(&d->concern);
    buf_deinit(&d->dv_bytes);
    buf_deinit(&d->dv_name);
    delta_scan_free(d->scan);
    delta_stub_free(d->stub);
    schema_unref(d->logical);
    delta_head_unref(d->evolved);
    delta_tx_free(d->tx);
}

static int commit(struct dml *d, struct err *err)
{
    d->result.version = d->tx->read->version;
    if (!d->tx->actions.n && !d->tx->new_metadata)
        return 0;
    if (d->t->txn)
        delta_tx_set_txn(d->tx, d->t->txn->app_id, d->t->txn->version);
    dml_judge(d);
    TRY(delta_commit(d->tx, &d->result.version, err));
    d->result.committed = true;
    return 0;
}

/* The commit stands whether or not a checkpoint can be written now: the next writer tries again. */
static void checkpoint(struct delta_table *t)
{
    struct err err;
    bool written;

    if (delta_checkpoint_if_due(t, &written, &err) < 0)
        log_err(LOG_WARN, "checkpoint_failed", &err);
}

static int attempt(const struct dml_target *t, const char *operation, dml_body_fn *body, const void *arg,
                   struct dml_result *ret, struct err *err)
{
    struct dml d = {0};
    int rc = dml_begin(&d, t, operation, err);

    if (rc == 0)
        rc = body(&d, arg, err);
    if (rc == 0)
        rc = commit(&d, err);
    dml_end(&d, rc < 0);
    if (rc == 0)
        *ret = d.result;
    return rc;
}

/* So that those who run again do not run into each other again: up to 10, 20, 40 … 320 ms. */
static void pause_after(unsigned attempts)
{
    unsigned random;

    if (getrandom(&random, sizeof random, 0) == sizeof random)
        usleep(random % (10000u << MIN(attempts, 5u)));
}

int dml_run(const struct dml_target *t, const char *operation, dml_body_fn *body, const void *arg,
            struct dml_result *ret, struct err *err)
{
    int rc = 0;

    for (unsigned i = 0; i < DML_ATTEMPTS; i++) {
        rc = attempt(t, operation, body, arg, ret, err);
        if (rc != ERR_CONFLICT)
            break;
        pause_after(i);
        if (t->forget)
            t->forget(t->forget_ctx);
    }
    if (rc < 0)
        return err_wrap(err, "table %.*s", STR_ARG(t->name));
    if (ret->committed)
        checkpoint(t->table);
    return 0;
}
