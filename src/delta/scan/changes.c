/*
 * Commits → three scans and a SELECT over them.
 *
 *   CHANGE_FILES   cdc files of all commits that have some          the type stands in the file
 *   WHOLE_FILES    files added, files removed                       the rows that their vector leaves
 *   SOME_ROWS      files with another vector than before            the rows that one vector masks and the other does not
 *
 * Each file is there once for each commit and type, with three numbers: version, time, type.
 */
#include "delta/scan/changes.h"

#include "base/mem.h"
#include "codec/dv.h"
#include "delta/scan/scan.h"
#include "delta/log/table.h"
#include "engine/scan_files.h"

#include <assert.h>

enum { CHANGE_FILES, WHOLE_FILES, SOME_ROWS, N_GROUPS };
enum change { INSERTED, DELETED, IN_FILE };
enum { N_NUMBERS = 3 };

/* Files of one kind, and what is known of each. */
struct group {
    const struct delta_file **files;
    int64_t *numbers[N_NUMBERS];
    size_t n, cap, cap_numbers[N_NUMBERS];
    struct delta_scan *scan;
};

struct delta_changes {
    struct engine *engine;
    struct store *store;
    struct arena arena;
    struct delta_snapshot *end;
    struct delta_snapshot *shown; /* whose schema the rows have: the newest; where columns are mapped, `end` */
    struct delta_history history;
    int64_t first, last;
    struct group groups[N_GROUPS];
    struct dv *rows; /* SOME_ROWS: which, a file */
    const struct dv **row_list;
    size_t n_rows, cap_rows;
    struct scan_files registered;
    int64_t id;
    struct buf sql;
};

void delta_changes_free(struct delta_changes *c)
{
    if (!c)
        return;
    for (int g = 0; g < N_GROUPS; g++) {
        delta_scan_free(c->groups[g].scan);
        mem_free(c->groups[g].files);
        for (int k = 0; k < N_NUMBERS; k++)
            mem_free(c->groups[g].numbers[k]);
    }
    if (c->id)
        scan_files_unregister(c->engine, c->id);
    for (size_t i = 0; i < c->n_rows; i++)
        dv_deinit(&c->rows[i]);
    mem_free(c->rows);
    mem_free(c->row_list);
    delta_history_deinit(&c->history);
    delta_snapshot_unref(c->end);
    delta_snapshot_unref(c->shown);
    store_unref(c->store);
    buf_deinit(&c->sql);
    arena_deinit(&c->arena);
    mem_free(c);
}

const char *delta_changes_sql(const struct delta_changes *c)
{
    return c->sql.p;
}

/* ---- the range ---- */

/* Bounds as versions: the first commit not before a time, the last not after it. */
static int find_range(struct delta_changes *c, struct delta_bound from, struct delta_bound to, struct err *err)
{
    const struct delta_history *h = &c->history;
    int64_t newest = h->n ? h->v[h->n - 1].version : -1;

    c->first = from.value;
    c->last = to.kind == DELTA_BOUND_VERSION ? MIN(to.value, newest) : newest;
    if (from.kind == DELTA_BOUND_TIME) {
        size_t i = 0;
        while (i < h->n && h->v[i].timestamp_ms < from.value)
            i++;
        c->first = i < h->n ? h->v[i].version : newest + 1;
    }
    if (to.kind == DELTA_BOUND_TIME) {
        size_t i = h->n;
        while (i && h->v[i - 1].timestamp_ms > to.value)
            i--;
        c->last = i ? h->v[i - 1].version : -1;
    }
    if (c->first < 0 || c->first > newest)
        return err_set(err, ERR_USAGE, "changes from version %lld: the newest is %lld", (long long)c->first,
                       (long long)newest);
    if (c->last < c->first)
        return err_set(err, ERR_USAGE, "changes from version %lld to %lld: the end is before the start",
                       (long long)c->first, (long long)c->last);
    if (h->v[0].version > c->first)
        return err_set(err, ERR_NOT_FOUND, "changes from version %lld: the log begins with version %lld",
                       (long long)c->first, (long long)h->v[0].version);
    return 0;
}

static bool is_on(const struct delta_metadata *m)
{
    return str_eq_nocase(delta_kv_get(m->configuration, m->n_configuration, STR("delta.enableChangeDataFeed")),
                         STR("true"));
}

static int not_on(int64_t version, struct err *err)
{
    err_set(err, ERR_USAGE, "the change data feed was not on at version %lld", (long long)version);
    return err_hint(err, "ALTER TABLE … SET TBLPROPERTIES (delta.enableChangeDataFeed = true) starts it");
}

/* ---- commits ---- */

static void add(struct delta_changes *c, int group, const struct delta_file *f,
                const struct delta_history_entry *commit, enum change change)
{
    struct group *g = &c->groups[group];
    int64_t numbers[N_NUMBERS] = {commit->version, commit->timestamp_ms, change};

    for (int k = 0; k < N_NUMBERS; k++) {
        MEM_GROW(g->numbers[k], g->n, g->cap_numbers[k]);
        g->numbers[k][g->n] = numbers[k];
    }
    MEM_GROW(g->files, g->n, g->cap);
    g->files[g->n++] = f;
}

/* Rows that are in vector `b` and not in `a`. */
static int add_rows(struct delta_changes *c, const struct delta_file *a, const struct delta_file *b,
                    const struct delta_history_entry *commit, enum change change, struct err *err)
{
    struct dv rows = {0}, other = {0};
    int rc = delta_dv_load(c->store, b, &rows, err);

    if (rc == 0)
        rc = delta_dv_load(c->store, a, &other, err);
    if (rc == 0)
        dv_subtract(&rows, &other);
    dv_deinit(&other);
    if (rc < 0 || !dv_cardinality(&rows)) {
        dv_deinit(&rows);
        return rc;
    }
    MEM_GROW(c->rows, c->n_rows, c->cap_rows);
    c->rows[c->n_rows] = (struct dv){0};
    dv_move(&c->rows[c->n_rows++], &rows);
    add(c, SOME_ROWS, b, commit, change);
    return 0;
}

static const struct delta_file *find(const struct delta_actions *a, enum delta_kind kind, struct str path)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->v[i].kind == kind && str_eq(a->v[i].file->path, path))
            return a->v[i].file;
    return NULL;
}

static int add_file(struct delta_changes *c, const struct delta_actions *all, const struct delta_action *a,
                    const struct delta_history_entry *commit, struct err *err)
{
    const struct delta_file *f = a->file, *other;

    if (!f->data_change)
        return 0;
    other = find(all, a->kind == DELTA_ADD ? DELTA_REMOVE : DELTA_ADD, f->path);
    if (other && a->kind == DELTA_REMOVE)
        return 0; /* at its add */
    if (other) {
        TRY(add_rows(c, other, f, commit, DELETED, err));
        return add_rows(c, f, other, commit, INSERTED, err);
    }
    /* extended: the values are there, and those that are not are NULL */
    if (a->kind == DELTA_REMOVE && !f->n_parts && !f->extended && c->end->head->metadata->n_partition_columns)
        return err_set(err, ERR_UNSUPPORTED, "version %lld removes %.*s without its partition values",
                       (long long)commit->version, STR_ARG(f->path));
    add(c, WHOLE_FILES, f, commit, a->kind == DELTA_ADD ? INSERTED : DELETED);
    return 0;
}

static int read_commit(struct delta_changes *c, const struct delta_history_entry *commit, struct err *err)
{
    struct delta_actions all = {0};
    bool has_cdc = false;

    TRY(delta_commit_read(c->store, commit->version, &c->arena, &all, err));
    for (size_t i = 0; i < all.n; i++) {
        has_cdc |= all.v[i].kind == DELTA_CDC;
        if (all.v[i].kind == DELTA_METADATA && !is_on(all.v[i].metadata))
            return not_on(commit->version, err);
    }
    for (size_t i = 0; i < all.n; i++) {
        const struct delta_action *a = &all.v[i];
        if (a->kind == DELTA_CDC)
            add(c, CHANGE_FILES, a->file, commit, IN_FILE);
        else if (!has_cdc && (a->kind == DELTA_ADD || a->kind == DELTA_REMOVE))
            TRY(add_file(c, &all, a, commit, err));
    }
    return 0;
}

static int read_commits(struct delta_changes *c, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *start = NULL;

    TRY(delta_snapshot_open(c->store, c->engine, c->first, &start, err));
    if (!is_on(start->head->metadata))
        return not_on(c->first, err);
    TRY(delta_snapshot_open(c->store, c->engine, c->last, &c->end, err));
    TRY(delta_snapshot_open(c->store, c->engine, c->history.v[c->history.n - 1].version, &c->shown, err));
    if (c->shown->head->mapping != DELTA_MAPPING_NONE) {
        delta_snapshot_unref(c->shown);
        c->shown = delta_snapshot_ref(c->end);
    }
    for (size_t i = 0; i < c->history.n; i++)
        if (c->history.v[i].version >= c->first && c->history.v[i].version <= c->last)
            TRY(read_commit(c, &c->history.v[i], err));
    return 0;
}

/* ---- the SELECT ---- */

static int add_scan(struct delta_changes *c, int group, struct err *err)
{
    struct group *g = &c->groups[group];
    static const struct delta_file *const no_files[1];
    const struct delta_scan_options options = {
        .files = g->n ? g->files : no_files, /* NULL would be all */
        .n_files = (uint32_t)g->n,
        .with_position = true,
        .with_deleted = group != WHOLE_FILES,
        .numbers = (const int64_t *const *)g->numbers,
        .n_numbers = N_NUMBERS,
        .with_change_type = group == CHANGE_FILES,
        .variants = DELTA_VARIANTS_EXACT,
        .copies_in = engine_temp_dir(c->engine),
    };

    assert(g->n || group == WHOLE_FILES);
    TRY(delta_scan_new(c->engine, c->store, c->shown, &options, &g->scan, err));
    buf_printf(&c->sql, "%sSELECT * EXCLUDE (%s__file, __row, __n0, __n1, __n2), ", c->sql.n ? " UNION ALL " : "",
               group == CHANGE_FILES ? "_change_type, " : "");
    if (group == CHANGE_FILES)
        buf_add_cstr(&c->sql, "_change_type");
    else
        buf_printf(&c->sql, "CASE __n2 WHEN %d THEN 'insert' ELSE 'delete' END AS _change_type", INSERTED);
    buf_printf(&c->sql,
               ", __n0 AS _commit_version, CAST(epoch_ms(CAST(__n1 AS BIGINT)) AS TIMESTAMPTZ) AS _commit_timestamp "
               "FROM (%s)",
               delta_scan_sql(g->scan));
    if (group == SOME_ROWS)
        buf_printf(&c->sql, " WHERE NOT dv(%lld, __file, __row)", (long long)c->id);
    return 0;
}

static int build(struct delta_changes *c, struct err *err)
{
    c->row_list = MEM_NEW_N(const struct dv *, c->n_rows + 1);
    for (size_t i = 0; i < c->n_rows; i++)
        c->row_list[i] = &c->rows[i];
    c->registered = (struct scan_files){.n = (uint32_t)c->n_rows, .deleted = c->row_list};
    c->id = scan_files_register(c->engine, &c->registered);
    TRY(add_scan(c, WHOLE_FILES, err)); /* without files, too: the columns */
    if (c->groups[SOME_ROWS].n)
        TRY(add_scan(c, SOME_ROWS, err));
    if (c->groups[CHANGE_FILES].n)
        TRY(add_scan(c, CHANGE_FILES, err));
    return 0;
}

int delta_changes_new(struct engine *engine, struct store *store, struct delta_bound from, struct delta_bound to,
                      struct delta_changes **ret, struct err *err)
{
    CLEANUP(delta_changes_freep) struct delta_changes *c = MEM_NEW(struct delta_changes);

    c->engine = engine;
    c->store = store_ref(store);
    int rc = delta_history_read(store, 0, &c->history, err);
    if (rc == 0)
        rc = find_range(c, from, to, err);
    if (rc == 0)
        rc = read_commits(c, err);
    if (rc == 0)
        rc = build(c, err);
    if (rc < 0)
        return err_wrap(err, "table %s", store->name);
    *ret = TAKE_PTR(c);
    return 0;
}
