/*
 * The copy job: sessions, plans, worker threads.
 *
 * Work is a list of tasks (a chunk of a table, or the changed rows of a chunk that an earlier run had done), taken by the
 * workers one by one. The first error ends the job, but for one that is a table's own, which only ends that table's copy,
 * and but for a connection that is lost: its worker opens another in the same snapshot, which lives as long as any session does.
 *
 * Chunks that are not done come first, for they are noted: whatever ends the job then, the next one has less to do. Changed rows are
 * read in the newest snapshot, or not at all.
 */
#include "pipeline/copy.h"

#include "base/clock.h"
#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "pipeline/copy_chunk.h"
#include "pipeline/copy_notes.h"
#include "pipeline/copy_session.h"
#include "sink/lake_history.h"
#include "sink/lake_partition.h"
#include "source/pg_catalog.h"

#include <assert.h>

enum { START_TRIES = 5 };

/* File numbers that a table may use while it is copied anew: it goes on following, and numbers are never used twice. The
 * copy's begin above them, and the table goes on above the copy's once it has them. */
enum { NUMBERS_FOR_THE_STREAM = 1 << 22 };

struct copy_task {
    struct copy_table *table;
    uint32_t chunk;
    uint32_t changed_since; /* 0: the whole chunk */
};

struct copy_worker {
    struct copy_job *job;
    struct copy_session *session;
    struct engine_conn *conn;
    const struct copy_table *table; /* that the session has a lock on */
    pthread_t thread;
    bool started;
};

struct copy_job {
    struct copy_config config;
    uint64_t lsn;
    struct copy_table *tables;
    size_t n_tables;
    struct copy_task *tasks;
    uint32_t n_tasks, cap_tasks;
    atomic_uint next_task, done_tasks;
    atomic_uint running;
    atomic_bool stop;
    atomic_uint_least64_t rows, bytes;
    pthread_mutex_t mutex; /* of `err`, and the tables' lists */
    struct err err;
    struct copy_sessions sessions; /* one a worker */
    struct copy_worker *workers;
    unsigned n_workers;
};

/* ---- planning ---- */

/* The columns of the files. */
static struct schema *schema_of(const struct copy_job *job, const struct relation *rel)
{
    if (job->config.env->history != LAKE_CHANGES_ONLY)
        return pg_schema_of(rel);
    CLEANUP(relation_unrefp) struct relation *changes = lake_history_relation_of(rel, false);
    return pg_schema_of(changes);
}

static void drop_progress(struct copy_table *t)
{
    copy_plan_free(TAKE_PTR(t->plan));
    copy_files_deinit(&t->files);
    t->n_rejects = 0;
}

/* Can the chunks that are done be kept? */
static int is_resumable(struct copy_job *job, struct copy_table *t, bool *ret, struct err *err)
{
    *ret = t->rel->identity == IDENTITY_KEY && job->config.env->history != LAKE_CHANGES_ONLY;
    for (size_t i = 0; *ret && i < t->plan->n; i++)
        if (i == 0 || t->plan->chunks[i].leaf_oid != t->plan->chunks[i - 1].leaf_oid)
            TRY(pg_chunk_is_current(pg_session_conn(job->sessions.v[0].pg), &t->plan->chunks[i], ret, err));
    return 0;
}

/* The first file number for the copy: a table that follows while it is copied anew goes on using numbers below. What is there
 * and cannot be read is the table's own trouble. */
static int first_file_id(const struct copy_job *job, struct copy_table *t, uint32_t *ret, struct err *err)
{
    struct lake_env env = {.engine = job->config.engine, .root = job->config.lake, .app_id = ""};
    CLEANUP(lake_table_freep) struct lake_table *lake = NULL;

    int rc = lake_table_open(&env, (struct table_name){t->rel->schema, t->rel->name}, &lake, &t->failed);
    if (rc && rc != ERR_UNSUPPORTED) {
        *err = t->failed;
        return rc;
    }
    t->failed.code = rc;
    *ret = lake ? lake->next_file + NUMBERS_FOR_THE_STREAM : 1;
    return 0;
}

static void add_task(struct copy_job *job, struct copy_table *t, uint32_t chunk, uint32_t changed_since)
{
    MEM_GROW(job->tasks, job->n_tasks, job->cap_tasks);
    job->tasks[job->n_tasks++] = (struct copy_task){t, chunk, changed_since};
}

/* The table as the snapshot has it: it may have been altered since the catalog was read. */
static int look_again(struct copy_job *job, struct copy_table *t, struct err *err)
{
    struct relation *now;

    TRY(pg_catalog_relation(pg_session_conn(job->sessions.v[0].pg), t->rel->oid, job->config.filter, &now, err));
    relation_unref(t->rel);
    schema_unref(t->schema);
    t->rel = now;
    t->schema = schema_of(job, now);
    t->parts = mem_realloc_n(t->parts, t->schema->n_fields + 1, sizeof *t->parts);
    t->n_parts =
        lake_partition_choose(job->config.env, (struct table_name){now->schema, now->name}, t->schema, t->parts);
    return 0;
}

bool copy_table_moved(int rc, const struct err *err)
{
    return rc == ERR_CONFLICT || rc == ERR_NOT_FOUND || rc == ERR_INPUT || strcmp(err->sqlstate, "42P01") == 0 ||
           strcmp(err->sqlstate, "42703") == 0 || strcmp(err->sqlstate, "55P03") == 0;
}

/* What the server refuses for this table alone: rights, values that cannot be sent (no UTF-8, too large), damaged files. */
static bool is_refused(int rc, const struct err *err)
{
    static const char *const states[] = {"42501", "22", "54", "XX001", "XX002"};

    for (size_t i = 0; rc == ERR_REFUSED && i < ARRAY_LEN(states); i++)
        if (strncmp(err->sqlstate, states[i], strlen(states[i])) == 0)
            return true;
    return false;
}

static void say_table(const struct copy_table *t, struct err *err)
{
    if (strncmp(err->msg, "table ", strlen("table ")) != 0)
        err_wrap(err, "table %.*s.%.*s", STR_ARG(t->rel->schema), STR_ARG(t->rel->name));
    if (err->code == ERR_REFUSED)
        err_hint(err, "%s, then copy the table anew: sluice sync … --resync %.*s.%.*s",
                 strcmp(err->sqlstate, "42501") == 0
                     ? "let the role read it (GRANT SELECT; BYPASSRLS where it has policies)"
                     : "mend it at the source",
                 STR_ARG(t->rel->schema), STR_ARG(t->rel->name));
}

/* Trouble that is the table's own ends its copy alone, and the others are copied all the same. Else returns it. */
static int fail_table(struct copy_job *job, struct copy_table *t, struct pg_session *session, int rc, struct err *err)
{
    bool moved = rc < 0 && copy_table_moved(rc, err), refused = rc < 0 && is_refused(rc, err);

    if (rc >= 0 || !(moved || refused || rc == ERR_UNSUPPORTED || rc == ERR_LIMIT))
        return rc;
    if (refused || rc == ERR_LIMIT)
        say_table(t, err);
    pthread_mutex_lock(&job->mutex);
    if (!t->failed.code) {
        t->failed = *err;
        t->moved = moved;
    }
    pthread_mutex_unlock(&job->mutex);
    return pg_snapshot_copy_abandon(session, err);
}

static int plan_table(struct copy_job *job, struct copy_table *t, struct err *err)
{
    struct pg_conn *conn = pg_session_conn(job->sessions.v[0].pg);
    CLEANUP(mem_freep) char *name = mem_printf("%.*s.%.*s", STR_ARG(t->rel->schema), STR_ARG(t->rel->name));
    bool resumable = false;

    TRY(look_again(job, t, err));
    t->from = t->to = job->lsn;
    if (lake_schema_check(name, t->schema, &t->failed) ||
        lake_partition_check(job->config.env, (struct table_name){t->rel->schema, t->rel->name}, t->schema, &t->failed))
        return 0;
    TRY(copy_notes_read(job->config.state_dir, t, &t->plan, err));
    if (t->plan)
        TRY(is_resumable(job, t, &resumable, err));
    if (!resumable) {
        struct pg_chunk *chunks;
        size_t n;
        uint32_t first_id = 1;
        drop_progress(t);
        TRY(first_file_id(job, t, &first_id, err));
        if (t->failed.code)
            return 0;
        TRY(pg_snapshot_plan(conn, t->rel, job->config.chunk_blocks, &chunks, &n, err));
        TRY(copy_notes_begin(job->config.state_dir, t, first_id, chunks, n, &t->plan, err));
    }
    for (uint32_t i = 0; i < t->plan->n; i++)
        if (t->plan->done[i].lsn)
            t->from = MIN(t->from, t->plan->done[i].lsn);
    if (resumable)
        log_info("copy_resumed", "table=%.*s.%.*s files_kept=%zu", STR_ARG(t->rel->schema), STR_ARG(t->rel->name),
                 t->files.n);
    return 0;
}

static void add_tasks(struct copy_job *job, bool changed)
{
    for (size_t i = 0; i < job->n_tables; i++) {
        struct copy_table *t = &job->tables[i];
        for (uint32_t k = 0; t->plan && !t->failed.code && k < t->plan->n; k++) {
            const struct copy_done *d = &t->plan->done[k];
            if (!changed && !d->lsn)
                add_task(job, t, k, 0);
            if (changed && d->lsn && d->lsn < job->lsn)
                add_task(job, t, k, MAX(d->xmin, 1u));
        }
    }
}

/* ---- working ---- */

/* Takes the files out of the list. */
static void keep_files(struct copy_job *job, struct copy_table *t, struct copy_files *files, bool changed)
{
    pthread_mutex_lock(&job->mutex);
    for (size_t i = 0; i < files->n; i++) {
        MEM_GROW(t->files.v, t->files.n, t->files.cap);
        t->files.v[t->files.n] = files->v[i];
        t->files.v[t->files.n++].changed = changed;
    }
    files->n = 0;
    pthread_mutex_unlock(&job->mutex);
}

static int finish_chunk(struct copy_job *job, struct copy_worker *w, const struct copy_task *task,
                        const struct copy_files *files, const struct copy_reject *rejects, size_t n_rejects,
                        struct err *err)
{
    struct copy_table *t = task->table;
    int rc = 0;

    pthread_mutex_lock(&job->mutex);
    if (!task->changed_since) {
        t->plan->done[task->chunk] = (struct copy_done){job->lsn, pg_session_xmin(w->session->pg)};
        rc = copy_notes_add(t->plan, task->chunk, files, rejects, n_rejects, err);
    }
    for (size_t i = 0; i < n_rejects; i++) {
        struct reject r = rejects[i].r;
        r.pos.ordinal = copy_reject_ordinal(task->chunk + (task->changed_since ? t->plan->n : 0), i);
        r.column = arena_str(&t->arena, r.column);
        r.value = arena_str(&t->arena, r.value);
        r.reason = arena_str(&t->arena, r.reason);
        MEM_GROW(t->rejects, t->n_rejects, t->cap_rejects);
        t->rejects[t->n_rejects++].r = r;
    }
    pthread_mutex_unlock(&job->mutex);
    return rc;
}

static int run_task(struct copy_worker *w, const struct copy_task *task, struct err *err)
{
    struct copy_job *job = w->job;
    struct copy_plan *plan = task->table->plan;
    struct pg_chunk chunk = plan->chunks[task->chunk];
    CLEANUP(copy_files_deinit) struct copy_files files = {0};
    struct copy_reject *rejects;
    size_t n_rejects;
    struct copy_chunk_task ct = {&job->config,   w->session->pg, w->conn,    task->table, &chunk,
                                 &plan->next_id, job->lsn,       &job->rows, &job->bytes};

    chunk.changed_since = task->changed_since;
    int rc = copy_chunk(&ct, &files, &rejects, &n_rejects, err);
    crash_point("chunk_written");
    if (rc == 0)
        rc = finish_chunk(job, w, task, &files, rejects, n_rejects, err);
    if (rc == ERR_NET) /* it is written again */
        copy_files_unlink(&ct, &files);
    copy_rejects_free(rejects, n_rejects);
    if (rc == 0)
        keep_files(job, task->table, &files, task->changed_since != 0);
    return rc;
}

static void fail(struct copy_job *job, const struct err *err)
{
    pthread_mutex_lock(&job->mutex);
    if (!job->err.code)
        job->err = *err;
    pthread_mutex_unlock(&job->mutex);
    job->stop = true;
}

static bool has_failed(struct copy_job *job, const struct copy_table *t)
{
    pthread_mutex_lock(&job->mutex);
    bool failed = t->failed.code != 0;
    pthread_mutex_unlock(&job->mutex);
    return failed;
}

/* A worker's lock on a table goes when it comes to another: a copy may take hours, and there may be more tables than locks. */
static int next_table(struct copy_worker *w, const struct copy_table *t, struct err *err)
{
    const struct copy_table *before = w->table;

    w->table = t;
    return before && before != t ? pg_snapshot_copy_abandon(w->session->pg, err) : 0;
}

static int do_task(struct copy_worker *w, const struct copy_task *task, struct err *err)
{
    struct copy_table *t = task->table;

    TRY(next_table(w, t, err));
    return has_failed(w->job, t) ? 0 : fail_table(w->job, t, w->session->pg, run_task(w, task, err), err);
}

/* Whatever becomes of a connection, as long as another one has the snapshot. */
static int do_task_surely(struct copy_worker *w, const struct copy_task *task, struct err *err)
{
    for (;;) {
        int rc = w->session->pg ? 0 : copy_session_open_again(w->session, err);
        if (rc == 0)
            rc = do_task(w, task, err);
        if (rc != ERR_NET)
            return rc;
        copy_session_close(w->session);
        w->table = NULL;
        if (w->job->stop || !copy_sessions_are_left(&w->job->sessions))
            return rc;
        log_err(LOG_WARN, "copy_session_lost", err);
    }
}

static void *work(void *arg)
{
    struct copy_worker *w = arg;
    struct copy_job *job = w->job;
    struct err err;

    while (!job->stop) {
        uint32_t i = atomic_fetch_add(&job->next_task, 1);
        if (i >= job->n_tasks)
            break;
        if (do_task_surely(w, &job->tasks[i], &err)) {
            fail(job, &err);
            break;
        }
        atomic_fetch_add(&job->done_tasks, 1);
        crash_point("chunk_noted");
    }
    atomic_fetch_sub(&job->running, 1);
    return NULL;
}

/* ---- starting, looking, ending ---- */

/* The first one plans. The others may come later. */
static int open_sessions(struct copy_job *job, const char *snapshot, struct err *err)
{
    struct err why;

    for (unsigned i = 0; i < job->sessions.n; i++) {
        int rc = copy_session_open(&job->sessions.v[i], snapshot, &why);
        if (rc && (rc != ERR_NET || i == 0)) {
            *err = why;
            return rc;
        }
        if (rc)
            log_err(LOG_WARN, "copy_session_lost", &why);
    }
    return 0;
}

static int open_and_plan(struct copy_job *job, const char *snapshot, struct err *err)
{
    TRY(open_sessions(job, snapshot, err));
    for (size_t i = 0; i < job->n_tables; i++) {
        struct copy_table *t = &job->tables[i];
        int rc = plan_table(job, t, err);
        TRY(fail_table(job, t, job->sessions.v[0].pg, rc, err));
    }
    return 0;
}

/* As long as its owner has the snapshot, a lost connection costs a moment only. */
static int begin(struct copy_job *job, const char *snapshot, struct err *err)
{
    struct err why;
    int rc = open_and_plan(job, snapshot, err);

    for (int tries = 1; rc == ERR_NET && tries < START_TRIES; tries++) {
        why = *err;
        log_err(LOG_WARN, "copy_session_lost", err);
        for (unsigned i = 0; i < job->sessions.n; i++)
            copy_session_close(&job->sessions.v[i]);
        for (size_t i = 0; i < job->n_tables; i++) {
            drop_progress(&job->tables[i]);
            job->tables[i].failed.code = 0;
        }
        rc = open_and_plan(job, snapshot, err);
        if (rc && copy_snapshot_is_gone(err)) {
            *err = why;
            return ERR_NET;
        }
    }
    return rc;
}

static int start_threads(struct copy_job *job, struct err *err)
{
    job->running = job->n_workers;
    for (unsigned i = 0; i < job->n_workers; i++) {
        if (pthread_create(&job->workers[i].thread, NULL, work, &job->workers[i])) {
            job->running -= job->n_workers - i;
            job->stop = true;
            return err_set(err, ERR_INTERNAL, "cannot start a thread");
        }
        job->workers[i].started = true;
    }
    return 0;
}

int copy_start(const struct copy_config *config, struct relation *const *tables, size_t n, uint64_t lsn,
               const char *snapshot, struct pg_conn *owner, struct copy_job **ret, struct err *err)
{
    CLEANUP(copy_freep) struct copy_job *job = MEM_NEW(struct copy_job);
    CLEANUP(pg_conn_freep) struct pg_conn *held = owner;

    job->config = *config;
    job->lsn = lsn;
    pthread_mutex_init(&job->mutex, NULL);
    job->n_tables = n;
    job->tables = MEM_NEW_N(struct copy_table, n + 1);
    for (size_t i = 0; i < n; i++) {
        job->tables[i].rel = relation_ref(tables[i]);
        job->tables[i].schema = schema_of(job, tables[i]);
    }
    job->n_workers = MAX(config->sessions, 1u);
    job->workers = MEM_NEW_N(struct copy_worker, job->n_workers);
    copy_sessions_init(&job->sessions, job->n_workers, config->url, config->stop_fd, &job->stop);
    for (unsigned i = 0; i < job->n_workers; i++) {
        job->workers[i].job = job;
        job->workers[i].session = &job->sessions.v[i];
        TRY(engine_connect(config->engine, &job->workers[i].conn, err));
    }
    TRY(begin(job, snapshot, err));
    add_tasks(job, false);
    add_tasks(job, true);
    TRY(start_threads(job, err));
    *ret = TAKE_PTR(job);
    return 0;
}

int copy_poll(struct copy_job *job, struct err *err)
{
    if (job->running)
        return 0;
    if (job->err.code) {
        if (err)
            *err = job->err;
        return job->err.code;
    }
    return 1;
}

size_t copy_tables(struct copy_job *job, struct copy_table **ret)
{
    assert(!job->running);
    *ret = job->tables;
    return job->n_tables;
}

uint64_t copy_from_lsn(const struct copy_job *job)
{
    uint64_t lsn = job->lsn;

    for (size_t i = 0; i < job->n_tables; i++)
        lsn = MIN(lsn, job->tables[i].from);
    return lsn;
}

void copy_progress(struct copy_job *job, uint64_t *ret_rows, uint64_t *ret_bytes, uint32_t *ret_done,
                   uint32_t *ret_chunks)
{
    *ret_rows = job->rows;
    *ret_bytes = job->bytes;
    *ret_done = job->done_tasks;
    *ret_chunks = job->n_tasks;
}

static void table_deinit(struct copy_table *t)
{
    drop_progress(t);
    mem_free(t->parts);
    mem_free(t->rejects);
    arena_deinit(&t->arena);
    relation_unref(t->rel);
    schema_unref(t->schema);
}

void copy_free(struct copy_job *job)
{
    if (!job)
        return;
    job->stop = true;
    for (unsigned i = 0; i < job->n_workers; i++) {
        struct copy_worker *w = &job->workers[i];
        if (w->started && w->conn)
            engine_interrupt(w->conn);
        if (w->started)
            pthread_join(w->thread, NULL);
        engine_conn_free(w->conn);
    }
    copy_sessions_deinit(&job->sessions);
    for (size_t i = 0; i < job->n_tables; i++)
        table_deinit(&job->tables[i]);
    pthread_mutex_destroy(&job->mutex);
    mem_free(job->workers);
    mem_free(job->tables);
    mem_free(job->tasks);
    mem_free(job);
}
