/*
 * The functions dv() and pval() that the SELECT over a table's files calls.
 *
 * dv() gets vectors of (file, row) in scan order. It cuts them in runs of one file and consecutive rows, marks a run
 * live, then walks the set over the run's range and clears what is deleted: 5 % of a scan, where a look-up a row costs up
 * to 150 %. Behind a filter runs are short, and the walk goes on from one to the next.
 */
#include "engine/scan_files.h"

#include "engine/internal.h"

int64_t scan_files_register(struct engine *engine, const struct scan_files *files)
{
    return engine_number(engine, NUMBERED_SCAN, files);
}

void scan_files_unregister(struct engine *engine, int64_t id)
{
    engine_number_free(engine, NUMBERED_SCAN, id);
}

static const struct scan_files *find(duckdb_function_info info, int64_t id)
{
    const struct scan_files *files = engine_numbered(duckdb_scalar_function_get_extra_info(info), NUMBERED_SCAN, id);

    if (!files)
        duckdb_scalar_function_set_error(info, "the snapshot that this statement reads is no longer open");
    return files;
}

static void *arg(duckdb_data_chunk in, idx_t i)
{
    return duckdb_vector_get_data(duckdb_data_chunk_get_vector(in, i));
}

enum { NEAR = 1024 }; /* rows that it costs about as much to walk over as to look up where the next one is */

/* The walk over a file's set beside the rows of a chunk, which rise, and are close together unless a filter is strict. */
struct walk {
    const struct dv *deleted;
    struct dv_iter it;
    uint64_t row;        /* it has come to here */
    uint64_t first, end; /* the deleted rows at hand or ahead; UINT64_MAX: none is left */
};

static void walk_on(struct walk *w)
{
    uint64_t n;

    if (dv_iter_next(&w->it, &w->first, &n) == 0)
        w->end = w->first + n;
    else
        w->first = w->end = UINT64_MAX;
}

static void walk_to(struct walk *w, const struct dv *deleted, uint64_t row)
{
    if (w->deleted != deleted || row < w->row || row - w->row > NEAR) {
        w->deleted = deleted;
        dv_iter_init(&w->it, deleted, row);
        walk_on(w);
    }
    w->row = row;
    while (w->end <= row)
        walk_on(w);
}

/* Clears the deleted ones among the n rows from `row` on. */
static void clear_deleted(struct walk *w, const struct dv *deleted, uint64_t row, idx_t n, uint8_t *live)
{
    walk_to(w, deleted, row);
    while (w->first < row + n) {
        uint64_t from = MAX(w->first, row), to = MIN(w->end, row + n);
        memset(live + (from - row), 0, to - from);
        if (w->end > row + n)
            break;
        walk_on(w);
    }
    w->row = row + n;
}

static void dv_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    idx_t n = duckdb_data_chunk_get_size(in), end;
    const int64_t *id = arg(in, 0), *row = arg(in, 2);
    const uint64_t *file = arg(in, 1);
    uint8_t *live = duckdb_vector_get_data(out);
    const struct scan_files *files = n ? find(info, id[0]) : NULL;
    struct walk walk = {0};

    memset(live, 1, n);
    if (!files || !files->deleted)
        return;
    for (idx_t i = 0; i < n; i = end) {
        for (end = i + 1; end < n && file[end] == file[i] && row[end] == row[end - 1] + 1; end++)
            ;
        if (file[i] >= files->n) {
            duckdb_scalar_function_set_error(info, "a row of a file that is not in the snapshot");
            return;
        }
        if (files->deleted[file[i]])
            clear_deleted(&walk, files->deleted[file[i]], (uint64_t)row[i], end - i, live + i);
    }
}

struct pval_args {
    idx_t n;
    const struct scan_files *files;
    const struct scan_pcol *col;
    const uint64_t *file;
};

/* False when there is nothing to do, or an error was set. */
static bool pval_begin(duckdb_function_info info, duckdb_data_chunk in, struct pval_args *ret)
{
    const int64_t *id = arg(in, 0);
    const int32_t *col = arg(in, 1);

    ret->n = duckdb_data_chunk_get_size(in);
    ret->file = arg(in, 2);
    if (!ret->n || !(ret->files = find(info, id[0])))
        return false;
    for (idx_t i = 0; i < ret->n; i++)
        if (ret->file[i] >= ret->files->n || col[0] < 0 || (uint32_t)col[0] >= ret->files->n_pcols) {
            duckdb_scalar_function_set_error(info, "a partition value of a file that is not in the snapshot");
            return false;
        }
    ret->col = &ret->files->pcols[col[0]];
    return true;
}

static void set_null(duckdb_vector out, idx_t i)
{
    duckdb_vector_ensure_validity_writable(out);
    duckdb_validity_set_row_invalid(duckdb_vector_get_validity(out), i);
}

static void pval_text_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    struct pval_args a;

    if (!pval_begin(info, in, &a))
        return;
    for (idx_t i = 0; i < a.n; i++) {
        struct str s = a.col->kind == PVAL_TEXT ? a.col->text[a.file[i]] : (struct str){0};
        if (s.p)
            duckdb_vector_assign_string_element_len(out, i, s.p, s.n);
        else
            set_null(out, i);
    }
}

static void pval_long_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    struct pval_args a;
    int64_t *to = duckdb_vector_get_data(out);

    if (!pval_begin(info, in, &a))
        return;
    for (idx_t i = 0; i < a.n; i++) {
        if (a.col->kind == PVAL_TEXT || (a.col->is_null && a.col->is_null[a.file[i]]))
            set_null(out, i);
        else
            to[i] = a.col->number[a.file[i]];
    }
}

static void pval_date_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    struct pval_args a;
    int32_t *to = duckdb_vector_get_data(out);

    if (!pval_begin(info, in, &a))
        return;
    for (idx_t i = 0; i < a.n; i++) {
        if (a.col->kind == PVAL_TEXT || (a.col->is_null && a.col->is_null[a.file[i]]))
            set_null(out, i);
        else
            to[i] = (int32_t)a.col->number[a.file[i]];
    }
}

static int add_function(struct engine_conn *conn, const char *name, const duckdb_type types[3], duckdb_type ret_type,
                        duckdb_scalar_function_t run, struct err *err)
{
    CLEANUP(duckdb_destroy_scalar_function) duckdb_scalar_function f = duckdb_create_scalar_function();
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type ret = duckdb_create_logical_type(ret_type);

    duckdb_scalar_function_set_name(f, name);
    for (int i = 0; i < 3; i++) {
        CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type t = duckdb_create_logical_type(types[i]);
        duckdb_scalar_function_add_parameter(f, t);
    }
    duckdb_scalar_function_set_return_type(f, ret);
    duckdb_scalar_function_set_extra_info(f, conn->engine, NULL);
    duckdb_scalar_function_set_function(f, run);
    if (duckdb_register_scalar_function(conn->c, f) != DuckDBSuccess)
        return err_set(err, ERR_INTERNAL, "DuckDB does not take the function %s()", name);
    return 0;
}

int scan_functions_register(struct engine_conn *conn, struct err *err)
{
    static const duckdb_type dv_types[3] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_UBIGINT, DUCKDB_TYPE_BIGINT};
    static const duckdb_type pval_types[3] = {DUCKDB_TYPE_BIGINT, DUCKDB_TYPE_INTEGER, DUCKDB_TYPE_UBIGINT};

    TRY(add_function(conn, "dv", dv_types, DUCKDB_TYPE_BOOLEAN, dv_run, err));
    TRY(add_function(conn, "pval", pval_types, DUCKDB_TYPE_VARCHAR, pval_text_run, err));
    TRY(add_function(conn, "pval_long", pval_types, DUCKDB_TYPE_BIGINT, pval_long_run, err));
    return add_function(conn, "pval_date", pval_types, DUCKDB_TYPE_DATE, pval_date_run, err);
}
