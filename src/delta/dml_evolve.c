/*
 * Schema evolution of a statement: the columns of its source that the table lacks are added to it, in the commit of the
 * statement itself. Old files do not have them, so that they read as NULL there.
 */
#include "delta/dml_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/query_type.h"

int dml_new_columns(const struct dml *d, struct engine_result *result, struct field **ret, uint32_t *ret_n,
                    struct err *err)
{
    struct arena *arena = &d->tx->arena;

    *ret = ARENA_NEW_N(arena, struct field, engine_result_n_columns(result) + 1);
    *ret_n = 0;
    for (uint32_t i = 0; i < engine_result_n_columns(result); i++) {
        const struct engine_column *c = engine_result_column(result, i);
        struct field *f = &(*ret)[*ret_n];
        if (schema_find(d->schema, c->name) >= 0)
            continue;
        *f = (struct field){.name = arena_str(arena, c->name), .nullable = true};
        f->physical = f->name;
        TRY(delta_type_of_query(&c->type, c->name, arena, &f->type, err));
        ++*ret_n;
    }
    return 0;
}

/* A property of the metadata-to-be, in place of the one that is there. */
static void set_property(struct dml *d, struct delta_metadata *m, const char *key, int64_t value)
{
    struct delta_kv *kv = ARENA_NEW_N(&d->tx->arena, struct delta_kv, m->n_configuration + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        if (!str_is(m->configuration[i].key, key))
            kv[n++] = m->configuration[i];
    kv[n++] = (struct delta_kv){str_of(key), str_of(arena_printf(&d->tx->arena, "%lld", (long long)value))};
    m->configuration = kv;
    m->n_configuration = n;
}

/* Ids and physical names of the new columns, where the table has column mapping. */
static int map_columns(struct dml *d, struct schema *next, struct delta_metadata *m, struct err *err)
{
    const char *key = "delta.columnMapping.maxColumnId";
    struct str known = delta_kv_get(m->configuration, m->n_configuration, str_of(key));
    int64_t max = 0;

    if (d->head->mapping == DELTA_MAPPING_NONE)
        return 0;
    if (known.n && (!str_to_i64(known, &max) || max < 0 || max > INT32_MAX))
        return err_set(err, ERR_INPUT, "%s is %.*s", key, STR_ARG(known));
    int32_t id = (int32_t)max;
    delta_schema_map(next, &id, true, (uint64_t)clock_now_us());
    set_property(d, m, key, id);
    return 0;
}

int dml_evolve(struct dml *d, const struct field *more, uint32_t n, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *next = NULL;
    CLEANUP(buf_deinit) struct buf json = {0};
    struct delta_metadata m = *d->head->metadata;
    const struct delta_protocol *p = d->head->protocol;

    if (!n)
        return 0;
    next = schema_clone(d->schema);
    struct field *fields = ARENA_NEW_N(&next->arena, struct field, next->n_fields + n);
    memcpy(fields, next->fields, next->n_fields * sizeof *fields);
    memcpy(fields + next->n_fields, more, n * sizeof *more);
    next->fields = fields;
    next->n_fields += n;
    TRY(map_columns(d, next, &m, err));
    delta_schema_write(next, &json);
    m.schema_json = buf_str(&json);
    TRY(delta_protocol_for(p, &m, next, &d->tx->arena, &p, err));
    TRY(delta_protocol_check_write(p, err));
    TRY(delta_head_new(p, &m, &d->evolved, err));
    delta_tx_set_metadata(d->tx, &m);
    d->head = d->evolved;
    return dml_open_scan(d, err);
}
