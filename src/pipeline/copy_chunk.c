/*
 * The hops of the first copy: COPY (binary) → rows (codec/pg_copy) → columns (codec/pg_value) → Parquet (engine), all in the
 * thread of the session: the Parquet writer pulls. A partitioned table's file is then cut in pieces (copy_split.c).
 */
#include "pipeline/copy_chunk.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/pg_copy.h"
#include "codec/pg_value.h"
#include "engine/parquet_write.h"
#include "sink/lake_file.h"
#include "sink/lake_history.h"

#include <unistd.h>

enum { BATCH_ROWS = 8192, ROW_MAX = 1 << 30, REJECTS_MAX = 100000 };

struct chunk_reader {
    const struct copy_chunk_task *task;
    struct pg_copy_reader rows;
    struct pg_value_codec *codecs;
    bool *binary;
    struct batch *batch; /* handed out; lives until the next call */
    struct copy_reject *rejects;
    size_t n_rejects, cap_rejects;
    uint64_t n_rows, n_bytes; /* so far */
    bool ended;
};

void copy_rejects_free(struct copy_reject *rejects, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        mem_free((char *)rejects[i].r.column.p);
        mem_free((char *)rejects[i].r.value.p);
        mem_free((char *)rejects[i].r.reason.p);
    }
    mem_free(rejects);
}

static struct str heap_str(struct str s)
{
    return str_make(mem_strndup(s.p, s.n), s.n);
}

static int reject(struct chunk_reader *r, uint32_t col, struct str value, const struct err *why, struct err *err)
{
    const struct relation *rel = r->task->table->rel;

    if (rel->identity == IDENTITY_KEY && rel->columns[col].key_seq)
        return err_set(err, ERR_UNSUPPORTED, "table %.*s.%.*s: a value of the key column %.*s does not fit: %s",
                       STR_ARG(rel->schema), STR_ARG(rel->name), STR_ARG(rel->columns[col].name), why->msg);
    if (r->n_rejects >= REJECTS_MAX)
        return err_set(err, ERR_LIMIT,
                       "table %.*s.%.*s: more than %d values do not fit their types; the last: column "
                       "%.*s: %s",
                       STR_ARG(rel->schema), STR_ARG(rel->name), REJECTS_MAX, STR_ARG(rel->columns[col].name),
                       why->msg);
    MEM_GROW(r->rejects, r->n_rejects, r->cap_rejects);
    r->rejects[r->n_rejects++].r = (struct reject){.pos = {r->task->lsn, 0},
                                                   .column = heap_str(rel->columns[col].name),
                                                   .value = heap_str(r->binary[col] ? STR("(binary)") : value),
                                                   .reason = heap_str(str_of(why->msg))};
    return 0;
}

static int add_row(struct chunk_reader *r, const struct str *fields, struct err *err)
{
    const struct relation *rel = r->task->table->rel;
    struct batch *b = r->batch;
    struct position at = {r->task->lsn, 0};
    uint32_t row = batch_add_row(b, OP_READ, at, 0);
    struct err why;

    if (r->task->config->env->history == LAKE_CHANGES_ONLY)
        lake_history_fill(b, rel->n_columns, row, "read", at, 0);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        if (!fields[i].p)
            continue;
        int rc = pg_value_read(&r->codecs[i], r->binary[i] ? 'b' : 't', fields[i], b, &b->cols[i], row, &why);
        if (rc == ERR_LIMIT) {
            TRY(reject(r, i, fields[i], &why, err));
        } else if (rc) {
            if (err)
                *err = why;
            return err_wrap(err, "table %.*s.%.*s, column %.*s", STR_ARG(rel->schema), STR_ARG(rel->name),
                            STR_ARG(rel->columns[i].name));
        }
    }
    return 0;
}

/* More bytes for the row reader; 1 at the end of the COPY. */
static int feed(struct chunk_reader *r, struct err *err)
{
    struct str bytes;
    int rc = pg_snapshot_copy_next(r->task->session, &bytes, err);

    if (rc == 0) {
        pg_copy_feed(&r->rows, bytes.p, bytes.n);
        atomic_fetch_add(r->task->bytes, bytes.n);
        r->n_bytes += bytes.n;
    }
    return rc;
}

static int next_batch(void *ctx, const struct batch **ret, const uint32_t **ret_sel, uint32_t *ret_n, struct err *err)
{
    struct chunk_reader *r = ctx;
    const struct str *fields;

    batch_free(r->batch);
    r->batch = batch_new(r->task->table->schema, BATCH_ROWS);
    while (!r->ended && r->batch->n < BATCH_ROWS) {
        int rc = pg_copy_read_row(&r->rows, &fields, err);
        if (rc == ERR_AGAIN)
            rc = feed(r, err);
        else if (rc == 0)
            rc = add_row(r, fields, err);
        else if (rc == 1)
            while ((rc = feed(r, err)) == 0) /* after the trailer: the end of the COPY itself */
                ;
        TRY(rc);
        r->ended = rc == 1;
    }
    atomic_fetch_add(r->task->rows, r->batch->n);
    r->n_rows += r->batch->n;
    *ret = r->batch;
    *ret_sel = NULL;
    *ret_n = r->batch->n;
    return r->batch->n ? 0 : 1;
}

static int write_files(struct chunk_reader *r, struct copy_files *ret, struct err *err)
{
    const struct copy_chunk_task *task = r->task;
    const struct relation *rel = task->table->rel;
    struct parquet_spec spec = {.schema = task->table->schema,
                                .level = 1,
                                .tight_bounds =
                                    lake_has_vectors(task->config->env, (struct table_name){rel->schema, rel->name})};
    CLEANUP(parquet_file_deinit) struct parquet_file info = {0};
    CLEANUP(buf_deinit) struct buf tmp = {0};
    CLEANUP(mem_freep)
    char *root = mem_printf("%s/%.*s/%.*s", task->config->lake, STR_ARG(rel->schema), STR_ARG(rel->name));
    CLEANUP(store_unrefp) struct store *store = store_local_new(root);

    store_temp_path(store, ".parquet", &tmp);
    int rc = parquet_write(task->conn, tmp.p, &spec, (struct feed_source){next_batch, r}, &info, err);
    if (rc || !info.rows) {
        unlink(tmp.p);
        return rc;
    }
    if (task->table->n_parts && !task->chunk->changed_since)
        return copy_split(task, store, tmp.p, &spec, &info, ret, err);
    return copy_add_file(task, store, tmp.p, &info, STR(""), ret, err);
}

/* Reads the chunk; `text`: all columns in their text form. */
static int read_chunk(const struct copy_chunk_task *task, bool text, struct copy_files *ret,
                      struct copy_reject **ret_rejects, size_t *ret_n_rejects, struct err *err)
{
    const struct relation *rel = task->table->rel;
    struct chunk_reader r = {.task = task};

    r.codecs = MEM_NEW_N(struct pg_value_codec, rel->n_columns + 1);
    r.binary = MEM_NEW_N(bool, rel->n_columns + 1);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        r.codecs[i] = pg_value_codec_of(&rel->columns[i]);
        r.binary[i] = !text && pg_type_binary_safe(&rel->columns[i]);
    }
    pg_copy_reader_init(&r.rows, (uint16_t)rel->n_columns, ROW_MAX);
    int rc = pg_snapshot_copy_begin(task->session, rel, task->chunk, r.binary, err);
    if (rc == 0)
        rc = write_files(&r, ret, err);
    if (rc || (!text && r.n_rejects)) { /* it will be read again */
        atomic_fetch_sub(task->rows, r.n_rows);
        atomic_fetch_sub(task->bytes, r.n_bytes);
    }
    pg_copy_reader_deinit(&r.rows);
    batch_free(r.batch);
    mem_free(r.codecs);
    mem_free(r.binary);
    *ret_rejects = r.rejects;
    *ret_n_rejects = r.n_rejects;
    return rc;
}

int copy_chunk(const struct copy_chunk_task *task, struct copy_files *ret, struct copy_reject **ret_rejects,
               size_t *ret_n_rejects, struct err *err)
{
    TRY(read_chunk(task, false, ret, ret_rejects, ret_n_rejects, err));
    if (!*ret_n_rejects)
        return 0;
    /* Values that do not fit: once more in text, so that the dead letters can show them as PostgreSQL prints them. */
    copy_files_unlink(task, ret);
    copy_rejects_free(*ret_rejects, *ret_n_rejects);
    return read_chunk(task, true, ret, ret_rejects, ret_n_rejects, err);
}
