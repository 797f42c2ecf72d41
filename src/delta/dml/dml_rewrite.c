/*
 * Copy-on-write: of each file with rows that go, the rows that stay as a new file with the same partition values.
 *
 * Files are written by several threads, each with a connection and a file at a time: a file of one row group is read by
 * one thread whatever DuckDB does. Memory is a row group a thread. The order of rows is not kept where DuckDB reads a
 * file's row groups by several threads, which it could only do by holding back whole row groups.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "delta/dml/data_file.h"
#include "engine/scan_files.h"

#include <pthread.h>
#include <stdatomic.h>

enum { MAX_WRITERS = 16, FAST_LEVEL = 1 };

/* One file. The fields after `live` are its thread's, until the threads have ended. */
struct rewrite {
    uint32_t file;
    uint64_t live; /* rows before */
    struct arena arena;
    struct delta_data_files files;
};

struct rewriting {
    struct dml *d;
    struct rewrite *jobs;
    uint32_t n;
    atomic_uint next;
    atomic_bool failed;
};

struct writer {
    struct rewriting *all;
    struct engine_conn *conn;
    pthread_t thread;
    int rc;
    struct err err;
};

static int write_rows(struct dml *d, struct engine_conn *conn, const struct delta_scan *scan, struct rewrite *job,
                      struct err *err)
{
    const struct delta_file *f = delta_scan_file(scan, 0);
    struct scan_files hits = {.n = 1, .deleted = &d->hit_list[job->file]};
    struct delta_data data = {.head = d->head,
                              .row_ids = d->row_ids,
                              .any_order = true,
                              .level = FAST_LEVEL,
                              .bare_variants = delta_scan_is_bare(scan)};
    int64_t id = scan_files_register(engine_of(conn), &hits);
    CLEANUP(buf_deinit) struct buf from = {0};

    buf_add_cstr(&from, "(SELECT ");
    dml_add_columns(d, "", &from);
    buf_add_cstr(&from, d->row_ids ? ", " DELTA_ROW_ID ", " DELTA_ROW_VERSION : "");
    buf_printf(&from, " FROM (%s) WHERE dv(%lld, __file, __row))", delta_scan_sql(scan), (long long)id);
    data.from = from.p;
    data.parts = f->n_parts ? f->parts : NULL;
    data.n_parts = f->n_parts;
    int rc = delta_data_write(conn, d->t->table->store, &data, &job->arena, &job->files, err);
    scan_files_unregister(engine_of(conn), id);
    return rc;
}

static int rewrite(struct dml *d, struct engine_conn *conn, struct rewrite *job, struct err *err)
{
    const struct delta_file *f = delta_scan_file(d->scan, job->file);
    CLEANUP(delta_scan_freep) struct delta_scan *one = NULL;
    struct delta_scan_options options = {.files = &f,
                                         .n_files = 1,
                                         .head = d->head,
                                         .with_position = true,
                                         .with_row_ids = d->row_ids,
                                         .variants = DELTA_VARIANTS_COPIED};
    uint64_t taken = dv_cardinality(&d->hits[job->file]);

    TRY(delta_scan_new(engine_of(conn), d->t->table->store, d->tx->read, &options, &one, err));
    TRY(write_rows(d, conn, one, job, err));
    if (job->files.rows + taken != job->live)
        return err_set(err, ERR_INTERNAL, "%.*s: %llu rows kept and %llu taken of %llu", STR_ARG(f->path),
                       (unsigned long long)job->files.rows, (unsigned long long)taken, (unsigned long long)job->live);
    return 0;
}

static void *work(void *arg)
{
    struct writer *w = arg;
    struct rewriting *all = w->all;

    while (w->rc == 0 && !atomic_load(&all->failed)) {
        uint32_t i = atomic_fetch_add(&all->next, 1);
        if (i >= all->n)
            break;
        w->rc = rewrite(all->d, w->conn, &all->jobs[i], &w->err);
    }
    if (w->rc < 0)
        atomic_store(&all->failed, true);
    return NULL;
}

/* The statement's own thread is the first writer. Where a thread cannot be had, the others do its part. */
static int run_writers(struct rewriting *all, uint32_t n, struct err *err)
{
    struct writer writers[MAX_WRITERS] = {{.all = all, .conn = all->d->t->conn}};
    uint32_t started = 1;
    int rc;

    for (; started < n; started++) {
        struct writer *w = &writers[started];
        w->all = all;
        if (engine_connect(engine_of(all->d->t->conn), &w->conn, NULL) < 0)
            break;
        if (pthread_create(&w->thread, NULL, work, w)) {
            engine_conn_free(w->conn);
            break;
        }
    }
    work(&writers[0]);
    for (uint32_t i = 1; i < started; i++) {
        pthread_join(writers[i].thread, NULL);
        engine_conn_free(writers[i].conn);
    }
    for (uint32_t i = 0; i < started; i++) {
        rc = writers[i].rc;
        if (rc == 0)
            continue;
        if (err)
            *err = writers[i].err;
        return rc;
    }
    return 0;
}

int dml_rewrite_files(struct dml *d, const uint32_t *files, const uint64_t *live, uint32_t n, struct err *err)
{
    struct rewriting all = {.d = d, .n = n};
    int64_t threads;

    if (!n)
        return 0;
    TRY(engine_query_i64(d->t->conn, "SELECT current_setting('threads')", &threads, err));
    all.jobs = MEM_NEW_N(struct rewrite, n);
    for (uint32_t i = 0; i < n; i++)
        all.jobs[i] = (struct rewrite){.file = files[i], .live = live[i]};
    int rc = run_writers(&all, (uint32_t)MIN(MIN(MAX(threads, 1), MAX_WRITERS), n), err);
    for (uint32_t i = 0; i < n; i++) { /* after a failure, too: the statement's end drops what was written */
        dml_add_files(d, &all.jobs[i].files, false);
        d->result.copied += all.jobs[i].files.rows;
        arena_deinit(&all.jobs[i].arena);
    }
    mem_free(all.jobs);
    return rc;
}
