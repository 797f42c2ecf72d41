/*
 * Schema evolution of a statement: the columns of its source that the table lacks, and what structs of the source have
 * inside and the table's have not, are added to the table, in the commit of the statement itself. Old files do not have
 * them, so that they read as NULL there. With delta.enableTypeWidening, types of the table that may become those of the
 * source do.
 */
#include "delta/dml/dml_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/dml/column_rules.h"
#include "delta/scan/query_type.h"

static struct field *find(struct field *fields, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq_nocase(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* Adds a copy of `more` to a list of fields; all can be NULL. */
static void append(struct field **fields, uint32_t *n, const struct field *more, struct arena *arena)
{
    struct field *v = ARENA_NEW_N(arena, struct field, *n + 1);

    if (*fields && *n)
        memcpy(v, *fields, *n * sizeof *v);
    v[*n] = *more;
    v[*n].nullable = true;
    *fields = v;
    ++*n;
}

/* Where a type stands: in a field of a struct, and there as a part of arrays and maps ("value.element"). */
struct place {
    struct field *host;
    struct str way;
    struct arena *arena;
    bool types; /* types may be widened */
};

static bool widen(const struct place *at, struct type *target, const struct type *source);

static struct place place_of_part(const struct place *at, const struct type *of, uint32_t i)
{
    static const char *const of_map[] = {"key", "value"};
    const char *part = of->id == TYPE_MAP ? of_map[i] : "element";
    struct place inner = *at;

    if (of->id == TYPE_STRUCT) {
        inner.host = &of->children[i];
        inner.way = (struct str){0};
    } else {
        inner.way = str_of(arena_printf(at->arena, "%.*s%s%s", STR_ARG(at->way), at->way.n ? "." : "", part));
    }
    return inner;
}

static bool widen_plain(const struct place *at, struct type *target, const struct type *source)
{
    if (!at->types || type_eq(target, source) || !delta_schema_widens(target, source))
        return false;
    delta_schema_note_widening(at->host, target, source, at->way, at->arena);
    *target = type_clone(source, at->arena);
    return true;
}

/* What `source` has inside and `target` lacks, at any depth. */
static bool widen(const struct place *at, struct type *target, const struct type *source)
{
    bool changed = false;

    if (!type_is_nested(target))
        return widen_plain(at, target, source);
    if (target->id != source->id)
        return false;
    for (uint32_t i = 0; i < source->n_children; i++) {
        const struct field *from = &source->children[i];
        struct field *to =
            target->id == TYPE_STRUCT ? find(target->children, target->n_children, from->name) : &target->children[i];
        if (to) {
            struct place inner = place_of_part(at, target, (uint32_t)(to - target->children));
            changed |= widen(&inner, &to->type, &from->type);
        } else {
            append(&target->children, &target->n_children, from, at->arena);
        }
        changed |= !to;
    }
    return changed;
}

/* Makes `next` hold the wanted columns of the result. */
static int add_columns(struct dml *d, struct engine_result *result, const bool *wanted, struct schema *next,
                       bool *ret_changed, struct err *err)
{
    struct arena *arena = &next->arena;
    bool types = delta_snapshot_property_is_true(d->tx->read, STR("delta.enableTypeWidening"));

    *ret_changed = false;
    for (uint32_t i = 0; i < engine_result_n_columns(result); i++) {
        const struct engine_column *c = engine_result_column(result, i);
        struct field *there = find(next->fields, next->n_fields, c->name), f = {0};
        if (wanted && !wanted[i])
            continue;
        f.name = f.physical = arena_str(arena, c->name);
        if (delta_type_of_query(&c->type, c->name, arena, &f.type, err) < 0) {
            if (!there)
                return err_wrap(err, "a column for \"%.*s\" of table %.*s", STR_ARG(c->name), STR_ARG(d->t->name));
            continue; /* it is converted */
        }
        struct place at = {there, {0}, arena, types};
        if (there)
            *ret_changed |= widen(&at, &there->type, &f.type);
        else
            append(&next->fields, &next->n_fields, &f, arena);
        *ret_changed |= !there;
    }
    return 0;
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
    delta_metadata_set(m, &d->tx->arena, str_of(key), str_of(arena_printf(&d->tx->arena, "%d", id)));
    return 0;
}

int dml_evolve(struct dml *d, struct engine_result *result, const bool *wanted, struct err *err)
{
    CLEANUP(schema_unrefp) struct schema *next = schema_clone(d->schema);
    CLEANUP(buf_deinit) struct buf json = {0};
    struct delta_metadata m = *d->head->metadata;
    const struct delta_protocol *p = d->head->protocol;
    bool changed;

    TRY(add_columns(d, result, wanted, next, &changed, err));
    if (!changed)
        return 0;
    TRY(column_retyped_check(&m, d->schema, next, err));
    TRY(map_columns(d, next, &m, err));
    delta_schema_write(next, &json);
    m.schema_json = buf_str(&json);
    TRY(delta_protocol_for(p, &m, next, &d->tx->arena, &p, err));
    TRY(delta_protocol_check_write(p, err));
    TRY(delta_head_new(p, &m, &d->evolved, err));
    delta_tx_set_metadata(d->tx, &m);
    d->head = d->evolved;
    dml_take_schema(d);
    return 0;
}
