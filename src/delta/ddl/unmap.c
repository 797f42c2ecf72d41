/*
 * Column mapping taken out of a table: every file written again under the names that users know, in one commit that
 * changes no data.
 */
#include "delta/ddl/unmap.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/ddl/alter_internal.h"
#include "delta/log/clustering.h"
#include "delta/dml/data_file.h"
#include "delta/scan/scan.h"

struct unmapping {
    struct alter a;
    struct engine_conn *conn;
    struct delta_head *head; /* of the table without the mapping */
    struct delta_data_files written;
    uint64_t n_removed, bytes_removed, vectors;
};

/* Names that only the mapping allows, as "a, b". */
static void find_odd_names(const struct field *fields, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++) {
        if (delta_schema_is_odd_name(fields[i].name))
            buf_printf(out, "%s\"%.*s\"", out->n ? ", " : "", STR_ARG(fields[i].name));
        find_odd_names(fields[i].type.children, fields[i].type.n_children, out);
    }
}

static void forget(struct arena *arena, struct field *fields, uint32_t n)
{
    static const char *const keys[] = {"delta.columnMapping.id", "delta.columnMapping.physicalName",
                                       "delta.columnMapping.nested.ids"};

    for (uint32_t i = 0; i < n; i++) {
        for (size_t k = 0; k < ARRAY_LEN(keys); k++)
            field_meta_set(&fields[i], arena, str_of(keys[k]), (struct str){0});
        forget(arena, fields[i].type.children, fields[i].type.n_children);
    }
}

/* Schema, properties and clustering without it, and the head that files are written by. */
static int make_head(struct unmapping *u, struct err *err)
{
    struct alter *a = &u->a;
    CLEANUP(buf_deinit) struct buf odd = {0}, json = {0};
    struct delta_path *columns;
    uint32_t n;

    find_odd_names(a->next->fields, a->next->n_fields, &odd);
    if (odd.n)
        return err_set(err, ERR_USAGE, "names that need column mapping: %s. RENAME COLUMN first", odd.p);
    forget(&a->next->arena, a->next->fields, a->next->n_fields);
    delta_schema_unmap(a->next);
    alter_property(a, STR("delta.columnMapping.mode"), (struct str){0});
    alter_property(a, STR("delta.columnMapping.maxColumnId"), (struct str){0});
    TRY(delta_clustering_read(a->tx->read, &a->tx->arena, &columns, &n, err));
    if (n) {
        struct str domain;
        TRY(delta_clustering_make(a->m, a->next, columns, n, &a->tx->arena, &domain, err));
        delta_tx_set_domain(a->tx, STR(DELTA_CLUSTERING), domain, false);
    }
    delta_schema_write(a->next, &json);
    a->m->schema_json = arena_str(&a->tx->arena, buf_str(&json));
    return delta_head_new(a->tx->read->head->protocol, a->m, &u->head, err);
}

/* The file's values by the columns' own names. */
static struct delta_kv *partition_of(const struct unmapping *u, const struct delta_file *f, struct arena *arena)
{
    const struct delta_head *old = u->a.tx->read->head;
    struct delta_kv *kv = ARENA_NEW_N(arena, struct delta_kv, f->n_parts + 1);

    for (uint32_t i = 0; i < f->n_parts; i++) {
        kv[i] = f->parts[i];
        for (uint32_t k = 0; k < old->schema->n_fields; k++)
            if (str_eq(old->schema->fields[k].physical, kv[i].key))
                kv[i].key = old->schema->fields[k].name;
    }
    return kv;
}

static int rewrite(struct unmapping *u, const struct delta_file *f, struct err *err)
{
    struct delta_tx *tx = u->a.tx;
    CLEANUP(delta_scan_freep) struct delta_scan *scan = NULL;
    CLEANUP(buf_deinit) struct buf from = {0};
    struct delta_scan_options options = {
        .files = &f, .n_files = 1, .with_row_ids = tx->read->head->row_tracking, .variants = DELTA_VARIANTS_COPIED};
    struct delta_data data = {.head = u->head, .n_parts = f->n_parts, .row_ids = options.with_row_ids};
    uint64_t before = u->written.rows, live;

    TRY(delta_scan_new(engine_of(u->conn), u->a.table->store, tx->read, &options, &scan, err));
    buf_printf(&from, "(%s)", delta_scan_sql(scan));
    data.from = from.p;
    data.bare_variants = delta_scan_is_bare(scan);
    data.parts = f->n_parts ? partition_of(u, f, &tx->arena) : NULL;
    TRY(delta_data_write(u->conn, u->a.table->store, &data, &tx->arena, &u->written, err));
    live = (uint64_t)(f->num_records - (f->dv ? f->dv->cardinality : 0));
    if (f->num_records >= 0 && u->written.rows - before != live)
        return err_set(err, ERR_INPUT, "%.*s: %llu rows were read where %llu should be", STR_ARG(f->path),
                       (unsigned long long)(u->written.rows - before), (unsigned long long)live);
    u->n_removed++;
    u->bytes_removed += f->size > 0 ? (uint64_t)f->size : 0;
    u->vectors += f->dv != NULL;
    delta_tx_remove_file(tx, f, false);
    return 0;
}

static int run(struct unmapping *u, struct err *err)
{
    struct delta_tx *tx = u->a.tx;
    const struct delta_file *f;
    size_t cursor = 0;

    tx->blind_append = false;
    tx->read_whole_table = tx->keeps_row_ids = true;
    tx->handles = DELTA_HANDLES_CONSTRAINTS | DELTA_HANDLES_GENERATED | DELTA_HANDLES_IDENTITY |
                  DELTA_HANDLES_DEFAULTS | DELTA_HANDLES_CDF;
    TRY(make_head(u, err));
    while ((f = delta_snapshot_next(tx->read, &cursor)))
        TRY(rewrite(u, f, err));
    for (size_t i = 0; i < u->written.n; i++) {
        struct delta_file add = u->written.v[i];
        add.data_change = false;
        delta_tx_add_file(tx, &add);
    }
    delta_tx_set_metrics(
        tx,
        str_of(arena_printf(&tx->arena,
                            "{\"numRewrittenFiles\":\"%llu\",\"numOutputBytes\":\"%llu\",\"numRemovedBytes\":\"%llu\","
                            "\"numCopiedRows\":\"%llu\",\"numDeletionVectorsRemoved\":\"%llu\"}",
                            (unsigned long long)u->n_removed, (unsigned long long)u->written.bytes,
                            (unsigned long long)u->bytes_removed, (unsigned long long)u->written.rows,
                            (unsigned long long)u->vectors)));
    return alter_commit(&u->a, err);
}

int delta_remove_mapping(struct delta_table *t, struct engine_conn *conn, struct err *err)
{
    struct unmapping u = {.conn = conn};
    int rc = alter_begin(&u.a, t, "REMOVE COLUMN MAPPING", err);

    if (rc == 0)
        rc = run(&u, err);
    if (rc < 0)
        delta_data_drop(t->store, &u.written);
    alter_deinit(&u.a);
    delta_head_unref(u.head);
    return rc;
}
