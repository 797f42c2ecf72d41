/*
 * The functions dv() and pval() that the SELECT over a table's files calls.
 *
 * dv() gets vectors of (file, row) in scan order: of one file, consecutive, or what a filter has left of consecutive ones. So
 * the deleted rows among them are laid out as bits, which costs those that are deleted; a look-up a row costs ten times that.
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

enum { WINDOW = 8192 }; /* rows between the first and the last of a chunk, for which bits are laid out */

static bool is_one_file(const uint64_t *file, idx_t n)
{
    uint64_t other = 0;

    for (idx_t i = 0; i < n; i++)
        other |= file[i] ^ file[0];
    return !other;
}

static bool is_run(const int64_t *row, idx_t n)
{
    uint64_t off = 0;

    for (idx_t i = 0; i < n; i++)
        off |= (uint64_t)row[i] - (uint64_t)row[0] - i;
    return !off;
}

/* Clears the deleted ones among rows of one file; false when they lie too far apart. */
static bool clear_deleted(const struct dv *deleted, const int64_t *row, idx_t n, uint8_t *live)
{
    uint64_t bits[WINDOW / 64];
    bool run = is_run(row, n);
    uint64_t lo = (uint64_t)row[0], hi = (uint64_t)row[n - 1];

    for (idx_t i = 0; i < n && !run; i++) {
        lo = MIN(lo, (uint64_t)row[i]);
        hi = MAX(hi, (uint64_t)row[i]);
    }
    if (hi - lo >= WINDOW)
        return false;
    if (!dv_bits(deleted, lo, (uint32_t)(hi - lo + 1), bits))
        return true;
    if (!run) {
        for (idx_t i = 0; i < n; i++)
            live[i] = !valid_bit(bits, (uint64_t)row[i] - lo);
        return true;
    }
    for (idx_t w = 0; w * 64 < n; w++)
        for (uint64_t left = bits[w]; left; left &= left - 1)
            live[w * 64 + (idx_t)__builtin_ctzll(left)] = 0;
    return true;
}

static void dv_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    idx_t n = duckdb_data_chunk_get_size(in);
    const int64_t *id = arg(in, 0), *row = arg(in, 2);
    const uint64_t *file = arg(in, 1);
    uint8_t *live = duckdb_vector_get_data(out);
    const struct scan_files *files = n ? find(info, id[0]) : NULL;

    memset(live, 1, n);
    if (!files || !files->deleted)
        return;
    if (is_one_file(file, n) && file[0] < files->n) {
        const struct dv *deleted = files->deleted[file[0]];
        if (!deleted || clear_deleted(deleted, row, n, live))
            return;
    }
    for (idx_t i = 0; i < n; i++) {
        if (file[i] >= files->n) {
            duckdb_scalar_function_set_error(info, "a row of a file that is not in the snapshot");
            return;
        }
        if (files->deleted[file[i]])
            live[i] = !dv_contains(files->deleted[file[i]], (uint64_t)row[i]);
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

    TRY(add_function(conn, "dv", dv_types, DUCKDB_TYPE_UTINYINT, dv_run, err));
    TRY(add_function(conn, "pval", pval_types, DUCKDB_TYPE_VARCHAR, pval_text_run, err));
    TRY(add_function(conn, "pval_long", pval_types, DUCKDB_TYPE_BIGINT, pval_long_run, err));
    return add_function(conn, "pval_date", pval_types, DUCKDB_TYPE_DATE, pval_date_run, err);
}
