/*
 * stats_parsed and partitionValues_parsed (Delta protocol, "Last Checkpoint File" and "Checkpoint Schema").
 *
 *   {"numRecords":3,"minValues":{"a":1},…}   json_transform(stats, '{"numRecords":"BIGINT","minValues":{"a":"INTEGER"},…}')
 *   {"p": "2024-01-02"}                      struct_pack("p" := TRY_CAST(parts['p'] AS DATE))
 *
 * A decimal of more than 15 digits has no bound there: it would go through a double.
 */
#include "delta/log/checkpoint_parsed.h"

#include "engine/parquet_write.h"

enum { EXACT_DIGITS = 15, MAX_LEAVES = 1000 };

static bool property_is(const struct delta_head *head, const char *key, const char *value)
{
    const struct delta_metadata *m = head->metadata;

    return str_eq_nocase(delta_kv_get(m->configuration, m->n_configuration, str_of(key)), str_of(value));
}

bool delta_checkpoint_has_json(const struct delta_head *head)
{
    return !property_is(head, "delta.checkpoint.writeStatsAsJson", "false");
}

bool delta_checkpoint_has_structs(const struct delta_head *head)
{
    return property_is(head, "delta.checkpoint.writeStatsAsStruct", "true");
}

static bool has_bounds(const struct type *t)
{
    switch (t->id) {
    case TYPE_DECIMAL:
        return t->precision <= EXACT_DIGITS;
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
    case TYPE_STRING:
    case TYPE_DATE:
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return true;
    default:
        return false;
    }
}

static bool is_partition(const struct delta_head *head, const struct field *f)
{
    for (uint32_t k = 0; k < head->metadata->n_partition_columns; k++)
        if (str_eq_nocase(head->metadata->partition_columns[k], f->name))
            return true;
    return false;
}

struct shape {
    const struct delta_head *head;
    struct buf *out; /* JSON */
    bool counts;     /* nullCount: every leaf, as a number */
    uint32_t left;
};

/* {"a":"INTEGER","s":{"x":"VARCHAR"}}; false (and nothing added) when no field has what is asked for. */
static bool add_shape(struct shape *s, const struct field *fields, uint32_t n, bool top)
{
    size_t begin = s->out->n;
    bool any = false;

    buf_add_char(s->out, '{');
    for (uint32_t i = 0; i < n && s->left; i++) {
        const struct field *f = &fields[i];
        CLEANUP(buf_deinit) struct buf type = {0};
        size_t before = s->out->n;
        bool added = false;
        if (f->type.id == TYPE_VOID || (top && is_partition(s->head, f)))
            continue;
        buf_add_cstr(s->out, any ? "," : "");
        buf_add_json_str(s->out, f->physical);
        buf_add_char(s->out, ':');
        if (f->type.id == TYPE_STRUCT) {
            added = add_shape(s, f->type.children, f->type.n_children, false);
        } else if (s->counts) {
            buf_add_cstr(s->out, "\"BIGINT\"");
            added = true;
        } else if (has_bounds(&f->type) && parquet_type_sql(&f->type, &type, NULL) == 0) {
            buf_add_json_str(s->out, buf_str(&type));
            added = true;
        }
        s->left -= f->type.id != TYPE_STRUCT;
        if (!added)
            s->out->n = before;
        any |= added;
    }
    buf_add_char(s->out, '}');
    if (!any)
        s->out->n = begin;
    return any;
}

static void stats_shape(const struct delta_head *head, struct buf *out)
{
    static const char *const names[] = {"minValues", "maxValues", "nullCount"};

    buf_add_cstr(out, "{\"numRecords\":\"BIGINT\"");
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        size_t before = out->n;
        struct shape s = {head, out, i == 2, MAX_LEAVES};
        buf_printf(out, ",\"%s\":", names[i]);
        if (!add_shape(&s, head->schema->fields, head->schema->n_fields, true))
            out->n = before;
    }
    if (head->dv)
        buf_add_cstr(out, ",\"tightBounds\":\"BOOLEAN\"");
    buf_add_char(out, '}');
}

static int parts_sql(const struct delta_head *head, const char *parts, struct buf *sql, struct err *err)
{
    const struct delta_metadata *m = head->metadata;
    bool any = false;

    for (uint32_t k = 0; k < m->n_partition_columns; k++) {
        int i = schema_find(head->schema, m->partition_columns[k]);
        if (i < 0 || head->schema->fields[i].type.id == TYPE_BINARY)
            continue;
        buf_add_cstr(sql, any ? ", " : ", \"partitionValues_parsed\" := struct_pack(");
        any = true;
        buf_add_sql_ident(sql, head->schema->fields[i].physical);
        buf_printf(sql, " := TRY_CAST(nullif(list_extract(map_extract(%s, ", parts);
        buf_add_sql_literal(sql, head->schema->fields[i].physical);
        buf_add_cstr(sql, "), 1), '') AS ");
        TRY(parquet_type_sql(&head->schema->fields[i].type, sql, err));
        buf_add_char(sql, ')');
    }
    buf_add_cstr(sql, any ? ")" : "");
    return 0;
}

int delta_checkpoint_structs(const struct delta_head *head, const char *stats, const char *parts, struct buf *sql,
                             struct err *err)
{
    CLEANUP(buf_deinit) struct buf shape = {0};

    TRY(parts_sql(head, parts, sql, err));
    stats_shape(head, &shape);
    buf_printf(sql, ", \"stats_parsed\" := json_transform(%s, ", stats);
    buf_add_sql_literal(sql, buf_str(&shape));
    buf_add_char(sql, ')');
    return 0;
}
