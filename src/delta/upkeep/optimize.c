/*
 * The frame of OPTIMIZE and REORG: choose files a partition, cut them into runs, rewrite each run, commit once.
 *
 *   files of a partition ──choose──▶ small or thick ones, by size ──▶ runs of at most the target size ──▶ new files
 */
#include "delta/upkeep/optimize.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "delta/log/checkpoint.h"
#include "delta/upkeep/optimize_internal.h"

#include <stdlib.h>

enum { ATTEMPTS = 4 };
#define DEFAULT_TARGET ((int64_t)128 << 20)

/* "100mb", "1g", "1048576": bytes, or -1. */
static int64_t parse_size(struct str text)
{
    static const struct {
        const char *suffix;
        int shift;
    } units[] = {{"kib", 10}, {"kb", 10}, {"k", 10},   {"mib", 20}, {"mb", 20}, {"m", 20}, {"gib", 30},
                 {"gb", 30},  {"g", 30},  {"tib", 40}, {"tb", 40},  {"t", 40},  {"b", 0}};
    int64_t n;
    int shift = 0;

    text = str_trim(text);
    for (size_t i = 0; i < ARRAY_LEN(units); i++) {
        struct str suffix = str_of(units[i].suffix);
        if (text.n > suffix.n && str_eq_nocase(str_make(text.p + text.n - suffix.n, suffix.n), suffix)) {
            text = str_trim(str_make(text.p, text.n - suffix.n));
            shift = units[i].shift;
            break;
        }
    }
    if (!str_to_i64(text, &n) || n < 0 || n > INT64_MAX >> shift)
        return -1;
    return n << shift;
}

static int begin(struct optimizing *z, struct err *err)
{
    const struct delta_optimize *o = z->o;

    TRY(delta_table_refresh(z->t, err));
    z->tx = delta_tx_new(z->t, o->purge ? "REORG" : "OPTIMIZE");
    z->head = z->tx->read->head;
    /* every row was in the table before, and came through its rules then */
    z->tx->handles = DELTA_HANDLES_CONSTRAINTS | DELTA_HANDLES_GENERATED | DELTA_HANDLES_IDENTITY |
                     DELTA_HANDLES_DEFAULTS | DELTA_HANDLES_CDF;
    TRY(delta_protocol_check_write(z->head->protocol, err));
    z->tx->keeps_row_ids = true;
    z->target = parse_size(delta_snapshot_property(z->tx->read, STR("delta.targetFileSize")));
    if (z->target <= 0)
        z->target = DEFAULT_TARGET;
    TRY(optimize_sort_columns(z, err));
    TRY(optimize_group_files(z, err));
    return o->purge ? optimize_find_extra(z, err) : 0;
}

static bool is_thick(const struct delta_file *f)
{
    return f->dv && f->num_records > 0 && f->dv->cardinality * 20 > f->num_records;
}

/* Cuts the chosen files into runs and rewrites each. */
static int rewrite_group(struct optimizing *z, const struct optimize_group *g, struct err *err)
{
    bool any = false;

    for (size_t first = 0, end; first < g->n; first = end) {
        int64_t bytes = MAX(g->files[first]->size, 0);
        for (end = first + 1; end < g->n; end++) {
            bytes += MAX(g->files[end]->size, 0);
            if (bytes > z->target && !z->n_sort)
                break;
        }
        if (end == first + 1 && !z->n_sort && !z->o->purge && !is_thick(g->files[first]))
            continue;
        TRY(optimize_rewrite(z, &g->files[first], end - first, err));
        z->r.batches++;
        any = true;
    }
    z->r.partitions += any;
    return 0;
}

static void add_names(const struct str *names, uint32_t n, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf list = {0};

    buf_add_char(&list, '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(&list, i ? "," : "");
        buf_add_json_str(&list, names[i]);
    }
    buf_add_char(&list, ']');
    buf_add_json_str(out, buf_str(&list));
}

static void set_parameters(struct optimizing *z)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    buf_add_cstr(&json, "{\"predicate\":");
    add_names(&z->o->where, z->o->where.n > 0, &json);
    if (z->o->purge) {
        buf_add_cstr(&json, ",\"applyPurge\":true}");
    } else {
        buf_add_cstr(&json, ",\"zOrderBy\":");
        add_names(z->names, z->clustered ? 0 : z->n_sort, &json);
        buf_add_cstr(&json, ",\"clusterBy\":");
        add_names(z->names, z->clustered ? z->n_sort : 0, &json);
        buf_add_cstr(&json, ",\"auto\":false");
        if (z->clustered)
            buf_printf(&json, ",\"isFull\":%s", z->o->full ? "true" : "false");
        buf_add_char(&json, '}');
    }
    delta_tx_set_parameters(z->tx, buf_str(&json));
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

static void set_metrics(struct optimizing *z)
{
    size_t n = z->written.n;
    CLEANUP(mem_freep) int64_t *sizes = MEM_NEW_N(int64_t, n + 1);
    struct delta_optimized *r = &z->r;

    for (size_t i = 0; i < n; i++)
        sizes[i] = z->written.v[i].size;
    qsort(sizes, n, sizeof *sizes, by_number);
    r->added = (struct delta_sizes){n, (int64_t)z->written.bytes, sizes[0], n ? sizes[n - 1] : 0};
    r->p25 = sizes[n / 4];
    r->p50 = sizes[n / 2];
    r->p75 = sizes[n * 3 / 4];
    delta_tx_set_metrics(
        z->tx,
        str_of(arena_printf(&z->tx->arena,
                            "{\"numRemovedFiles\":\"%llu\",\"numRemovedBytes\":\"%lld\",\"p25FileSize\":\"%lld\","
                            "\"minFileSize\":\"%lld\",\"numDeletionVectorsRemoved\":\"%llu\",\"p75FileSize\":\"%lld\","
                            "\"p50FileSize\":\"%lld\",\"numAddedBytes\":\"%lld\",\"numAddedFiles\":\"%llu\","
                            "\"maxFileSize\":\"%lld\"}",
                            (unsigned long long)r->removed.n, (long long)r->removed.bytes, (long long)r->p25,
                            (long long)r->added.min, (unsigned long long)r->vectors_removed, (long long)r->p75,
                            (long long)r->p50, (long long)r->added.bytes, (unsigned long long)r->added.n,
                            (long long)r->added.max)));
}

static int run(struct optimizing *z, struct err *err)
{
    TRY(begin(z, err));
    for (size_t i = 0; i < z->n; i++) {
        struct optimize_group *g = &z->groups[i];
        size_t all = g->n;
        if (g->skip)
            continue;
        z->r.considered += all;
        optimize_choose(z, g);
        TRY(rewrite_group(z, g, err));
    }
    z->r.skipped = z->r.considered - z->r.removed.n;
    z->r.version = z->tx->read->version;
    if (!z->tx->actions.n)
        return 0;
    set_parameters(z);
    set_metrics(z);
    TRY(delta_commit(z->tx, &z->r.version, err));
    z->r.committed = true;
    return 0;
}

static int attempt(struct delta_table *t, struct engine_conn *conn, const struct delta_optimize *o,
                   struct delta_optimized *ret, struct err *err)
{
    struct optimizing z = {.t = t, .conn = conn, .o = o};
    int rc = run(&z, err);

    if (rc < 0)
        delta_data_drop(t->store, &z.written);
    for (size_t i = 0; i < z.n; i++)
        mem_free(z.groups[i].files);
    mem_free(z.groups);
    map_deinit(&z.by_partition);
    map_deinit(&z.extra);
    delta_tx_free(z.tx);
    *ret = z.r;
    return rc;
}

int delta_optimize(struct delta_table *t, struct engine_conn *conn, const struct delta_optimize *o,
                   struct delta_optimized *ret, struct err *err)
{
    struct err warning;
    bool written;
    int rc = ERR_CONFLICT;

    for (int i = 0; i < ATTEMPTS && rc == ERR_CONFLICT; i++)
        rc = attempt(t, conn, o, ret, err);
    if (rc < 0)
        return err_wrap(err, "table %s", t->store->name);
    if (ret->committed && delta_checkpoint_if_due(t, &written, &warning) < 0)
        log_err(LOG_WARN, "checkpoint_failed", &warning);
    return 0;
}
