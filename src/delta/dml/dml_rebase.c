/*
 * Two writers, one table: a statement that was overtaken is judged by rows, not by files.
 *
 *   the winner masked other rows of a file that we mask     our vector becomes theirs ∪ ours
 *   … the same rows, or rows that the statement depends on  conflict: the statement runs again
 *   it added rows                                           conflict when one of them concerns the statement
 *   it removed a file with rows that we mask                conflict (a compaction moved them, or they are gone)
 *   it moved rows that we leave alone                       nothing
 *
 * So our commit is as if the statement had been run after the winner's: the winner's new rows would not have been
 * touched, and those that it took away were none of ours.
 */
#include "delta/dml/dml_internal.h"

#include "base/mem.h"
#include "engine/scan_files.h"

#include <ctype.h>

bool dml_has_query(struct str expr)
{
    static const char *const words[] = {"select", "from", "table", "values"};

    for (size_t i = 0; i < expr.n; i++)
        for (size_t w = 0; w < ARRAY_LEN(words); w++) {
            size_t n = strlen(words[w]);
            if (i + n <= expr.n && str_eq_nocase(str_make(expr.p + i, n), str_of(words[w])) &&
                !(i && (isalnum((unsigned char)expr.p[i - 1]) || expr.p[i - 1] == '_')))
                return true;
        }
    return false;
}

static int conflict(const struct dml *d, struct err *err, const char *what)
{
    err_set(err, ERR_CONFLICT, "another writer %s", what);
    return err_hint(err, "run %.*s again", STR_ARG(d->tx->operation));
}

/* Is there a row in the file that concerns the statement? `among` (may be NULL): only these rows count. */
static int concerns(struct dml *d, const struct delta_file *f, const struct dv *among, bool *ret, struct err *err)
{
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct delta_scan_options options = {.files = &f,
                                         .n_files = 1,
                                         .head = d->head,
                                         .with_position = true,
                                         .with_deleted = among != NULL,
                                         .variants = DELTA_VARIANTS_EXACT};
    struct scan_files rows = {.n = 1, .deleted = &among};
    struct engine *engine = engine_of(d->t->conn);
    int64_t id = among ? scan_files_register(engine, &rows) : 0, n = 0;

    int rc = delta_scan_new(engine, d->t->table->store, d->tx->read, &options, &scan, err);
    if (rc == 0) {
        dml_add_with(d, &sql);
        buf_printf(&sql, "SELECT count(*) FROM (%s) AS ", delta_scan_sql(scan));
        dml_add_alias(d, &sql);
        buf_printf(&sql, " WHERE (%.*s\n)", STR_ARG(buf_str(&d->concern)));
        if (among)
            buf_printf(&sql, " AND NOT dv(%lld, __file, __row)", (long long)id);
        rc = engine_query_i64(d->t->conn, sql.p, &n, err);
    }
    if (among)
        scan_files_unregister(engine, id);
    *ret = n > 0;
    return rc;
}

static int added_file(struct delta_tx *tx, const struct delta_file *theirs, void *arg, struct err *err)
{
    struct dml *d = arg;
    bool any;

    (void)tx;
    if (!d->judges_rows)
        return conflict(d, err, "added rows, and the statement has read the whole table");
    TRY(concerns(d, theirs, NULL, &any, err));
    return any ? conflict(d, err, "added rows that the statement would have treated") : 0;
}

/* The file of the scan, or -1: it came after us, and did not concern us then. */
static int64_t find(const struct dml *d, struct str path)
{
    for (uint32_t i = 0; i < delta_scan_n_files(d->scan); i++)
        if (str_eq(delta_scan_file(d->scan, i)->path, path))
            return i;
    return -1;
}

/* Rows that are masked in `after` and not in `before`. Rows that came back are a conflict. */
static int newly_masked(struct dml *d, const struct delta_file *before, const struct delta_file *after, struct dv *ret,
                        struct err *err)
{
    struct dv old = {0}, back = {0};
    int rc = delta_dv_load(d->t->table->store, before, &old, err);

    if (rc == 0)
        rc = delta_dv_load(d->t->table->store, after, ret, err);
    if (rc == 0) {
        dv_clone(&old, &back);
        dv_subtract(&back, ret);
        if (dv_cardinality(&back))
            rc = conflict(d, err, "brought rows back");
        dv_subtract(ret, &old);
    }
    dv_deinit(&old);
    dv_deinit(&back);
    return rc;
}

static int removed_file(struct delta_tx *tx, const struct delta_file *theirs, const struct delta_file *again, void *arg,
                        struct err *err)
{
    struct dml *d = arg;
    struct dv gone = {0};
    bool any = false;

    (void)tx;
    if (!d->judges_rows)
        return conflict(d, err, "took rows away, and the statement has read the whole table");
    if (d->concern_is_hit || find(d, theirs->path) < 0)
        return 0; /* we hit none of them */
    int rc = again ? newly_masked(d, theirs, again, &gone, err) : 0;
    if (rc == 0)
        rc = concerns(d, theirs, again ? &gone : NULL, &any, err);
    dv_deinit(&gone);
    TRY(rc);
    return any ? conflict(d, err, "took rows away that the statement has seen") : 0;
}

static struct delta_file *our_add(struct delta_tx *tx, struct str path)
{
    for (size_t i = 0; i < tx->actions.n; i++)
        if (tx->actions.v[i].kind == DELTA_ADD && str_eq(tx->actions.v[i].file->path, path))
            return tx->actions.v[i].file;
    return NULL;
}

/* Our vector with theirs in it, as a file of its own. */
static int write_union(struct dml *d, const struct dv *hits, const struct delta_file *again, struct delta_dv_desc *ret,
                       struct err *err)
{
    CLEANUP(buf_deinit) struct buf bytes = {0}, name = {0}, path = {0};
    struct dv all = {0};

    int rc = delta_dv_load(d->t->table->store, again, &all, err);
    if (rc == 0) {
        dv_union(&all, hits);
        dv_file_begin(&bytes);
        dml_new_vectors(d, &name, &path);
        *ret = (struct delta_dv_desc){.storage = 'u',
                                      .path_or_inline = arena_str(&d->tx->arena, buf_str(&name)),
                                      .cardinality = (int64_t)dv_cardinality(&all)};
        rc = dv_file_append(&bytes, &all, &ret->offset, &ret->size, err);
    }
    dv_deinit(&all);
    TRY(rc);
    return store_put(d->t->table->store, path.p, buf_str(&bytes), err);
}

/* `gone`: the rows that the winner masked. */
static int check_disjoint(struct dml *d, const struct dv *hits, const struct delta_file *ours, const struct dv *gone,
                          struct err *err)
{
    struct dv left = {0};
    bool any = false;

    dv_clone(hits, &left);
    dv_subtract(&left, gone);
    bool same = dv_cardinality(&left) != dv_cardinality(hits);
    dv_deinit(&left);
    if (same)
        return conflict(d, err, "changed the same rows");
    if (!d->concern_is_hit)
        TRY(concerns(d, ours, gone, &any, err));
    return any ? conflict(d, err, "took rows away that the statement has seen") : 0;
}

static int rebase_file(struct delta_tx *tx, const struct delta_file *ours, const struct delta_file *again, void *arg,
                       struct err *err)
{
    struct dml *d = arg;
    struct delta_file *removed = map_get(&tx->removed, ours->path), *add = our_add(tx, ours->path);
    int64_t i = find(d, ours->path);
    struct dv gone = {0};

    if (!d->judges_rows || !again || !add || i < 0 || !dv_cardinality(&d->hits[i]))
        return conflict(d, err, "removed or changed a file with rows that the statement changes");
    int rc = newly_masked(d, removed, again, &gone, err);
    if (rc == 0)
        rc = check_disjoint(d, &d->hits[i], delta_scan_file(d->scan, (uint64_t)i), &gone, err);
    dv_deinit(&gone);
    TRY(rc);
    struct delta_dv_desc *desc = ARENA_NEW(&tx->arena, struct delta_dv_desc);
    TRY(write_union(d, &d->hits[i], again, desc, err));
    struct delta_file theirs = delta_file_copy(again, &tx->arena);
    removed->dv = theirs.dv;
    add->dv = desc;
    return 0;
}

void dml_judge(struct dml *d)
{
    d->tx->rebase_file = rebase_file;
    d->tx->removed_file = removed_file;
    d->tx->added_file = added_file;
    d->tx->rebase_arg = d;
}
