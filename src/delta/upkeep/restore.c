/* RESTORE: the files of the older version that are not live now come back, those that it did not have go. */
#include "delta/upkeep/restore.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/log/transaction.h"

#include <stdio.h>

#define MARK "delta.identity.highWaterMark"

static bool has(const struct delta_snapshot *s, const struct delta_file *f)
{
    const struct delta_file *other = delta_snapshot_find(s, f->path);

    return other && delta_dv_eq(other->dv, f->dv);
}

static int check_present(struct delta_table *t, const struct delta_file *f, int64_t version, struct err *err)
{
    CLEANUP(mem_freep) char *key = mem_strndup(f->path.p, f->path.n);
    int rc = store_head(t->store, key, NULL, NULL, err);

    if (rc == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "%s: the file %s of version %lld is gone, so that version cannot be restored", t->store->name,
                       key, (long long)version);
    return rc;
}

static int move_files(struct delta_table *t, struct delta_tx *tx, const struct delta_snapshot *old,
                      struct delta_restored *r, struct err *err)
{
    const struct delta_file *f;
    size_t cursor = 0;

    while ((f = delta_snapshot_next(tx->read, &cursor))) {
        if (has(old, f))
            continue;
        delta_tx_remove_file(tx, f, true);
        r->files_removed++;
        r->bytes_removed += MAX(f->size, 0);
    }
    cursor = 0;
    while ((f = delta_snapshot_next(old, &cursor))) {
        if (has(tx->read, f))
            continue;
        TRY(check_present(t, f, old->version, err));
        struct delta_file back = *f;
        back.data_change = true;
        delta_tx_add_file(tx, &back);
        r->files_restored++;
        r->bytes_restored += MAX(f->size, 0);
    }
    return 0;
}

static bool identity(const struct field *f, int64_t *ret_step, int64_t *ret_mark)
{
    return str_to_i64(field_meta_get(f, STR("delta.identity.step")), ret_step) &&
           str_to_i64(field_meta_get(f, STR(MARK)), ret_mark);
}

/* Identity columns go on from the furthest value that was ever given out: one that is in a row that the RESTORE takes
 * away may be known elsewhere. */
static void keep_marks(const struct schema *now, const struct schema *old, struct delta_metadata *m,
                       struct arena *arena)
{
    CLEANUP(schema_unrefp) struct schema *next = schema_clone(old);
    CLEANUP(buf_deinit) struct buf json = {0};
    int64_t step, mark, before;
    bool changed = false;

    for (uint32_t i = 0; i < next->n_fields; i++) {
        struct field *f = &next->fields[i];
        for (uint32_t k = 0; k < now->n_fields; k++) {
            const struct field *g = &now->fields[k];
            if (!str_eq_nocase(g->physical, f->physical) || !identity(g, &step, &mark) ||
                !field_meta_get(f, STR("delta.identity.step")).n)
                continue;
            if (identity(f, &step, &before) && (step > 0 ? before >= mark : before <= mark))
                continue;
            field_meta_set(f, &next->arena, STR(MARK), field_meta_get(g, STR(MARK)));
            changed = true;
        }
    }
    if (!changed)
        return;
    delta_schema_write(next, &json);
    m->schema_json = arena_str(arena, buf_str(&json));
}

/* The old metadata; but column ids and values of identity columns that were given out once are never given out again. */
static void restore_metadata(struct delta_tx *tx, const struct delta_snapshot *old)
{
    struct str key = STR("delta.columnMapping.maxColumnId");
    const struct delta_metadata *now = tx->read->head->metadata;
    struct delta_metadata *m = delta_metadata_copy(old->head->metadata, &tx->arena);

    if (tx->read->head == old->head)
        return;
    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (str_eq(m->configuration[i].key, key) && delta_kv_get(now->configuration, now->n_configuration, key).n)
            m->configuration[i].value = delta_kv_get(now->configuration, now->n_configuration, key);
    keep_marks(tx->read->head->schema, old->head->schema, m, &tx->arena);
    bool same = str_eq(m->schema_json, now->schema_json) && m->n_configuration == now->n_configuration &&
                str_eq(m->description, now->description);
    for (uint32_t i = 0; same && i < m->n_configuration; i++)
        same = str_eq(m->configuration[i].value,
                      delta_kv_get(now->configuration, now->n_configuration, m->configuration[i].key));
    if (!same)
        delta_tx_set_metadata(tx, m);
}

static void set_info(struct delta_tx *tx, const struct delta_snapshot *old, struct str asked,
                     const struct delta_restored *r)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    if (asked.n) {
        buf_add_cstr(&json, "{\"version\":null,\"timestamp\":");
        buf_add_json_str(&json, asked);
        buf_add_char(&json, '}');
    } else {
        buf_printf(&json, "{\"version\":%lld,\"timestamp\":null}", (long long)old->version);
    }
    delta_tx_set_parameters(tx, buf_str(&json));
    buf_reset(&json);
    buf_printf(&json,
               "{\"numRestoredFiles\":\"%llu\",\"restoredFilesSize\":\"%lld\",\"numRemovedFiles\":\"%llu\","
               "\"removedFilesSize\":\"%lld\",\"numOfFilesAfterRestore\":\"%llu\",\"tableSizeAfterRestore\":\"%lld\"}",
               (unsigned long long)r->files_restored, (long long)r->bytes_restored,
               (unsigned long long)r->files_removed, (long long)r->bytes_removed, (unsigned long long)old->n_files,
               (long long)old->bytes);
    delta_tx_set_metrics(tx, buf_str(&json));
}

int delta_restore(struct delta_table *t, int64_t version, struct str asked, struct delta_restored *ret, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *old = NULL;
    CLEANUP(delta_tx_freep) struct delta_tx *tx = NULL;
    struct delta_restored r = {0};

    TRY(delta_table_refresh(t, err));
    tx = delta_tx_new(t, "RESTORE");
    TRY(delta_snapshot_open(t->store, t->engine, version, &old, err));
    TRY(delta_protocol_check_write(tx->read->head->protocol, err));
    /* every row was in the table before, and came through its rules then */
    tx->handles = DELTA_HANDLES_CONSTRAINTS | DELTA_HANDLES_GENERATED | DELTA_HANDLES_IDENTITY |
                  DELTA_HANDLES_DEFAULTS | DELTA_HANDLES_CDF | DELTA_HANDLES_PARTITION_COLUMNS;
    tx->read_whole_table = true;
    TRY(move_files(t, tx, old, &r, err));
    restore_metadata(tx, old);
    set_info(tx, old, asked, &r);
    r.version = tx->read->version;
    if (tx->actions.n || tx->new_metadata)
        TRY(delta_commit(tx, &r.version, err));
    *ret = r;
    return 0;
}
