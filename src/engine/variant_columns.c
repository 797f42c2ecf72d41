/* struct_pack, list_transform and map_from_entries over the value, as in rename.c. */
#include "engine/variant_columns.h"

#include "codec/parquet_join.h"

/* Which of the two, and what of. */
struct part {
    bool metadata, bare;
};

static void column_at(const struct type *type, struct str expr, struct part part, unsigned depth, struct buf *out);

static void struct_at(const struct type *type, struct str expr, struct part part, unsigned depth, struct buf *out)
{
    const char *comma = "";

    buf_printf(out, "CASE WHEN %.*s IS NOT NULL THEN struct_pack(", STR_ARG(expr));
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct field *f = &type->children[i];
        CLEANUP(buf_deinit) struct buf field = {0};
        if (part.metadata && !parquet_has_variant(&f->type))
            continue;
        buf_add_cstr(out, comma);
        comma = ", ";
        buf_add_sql_ident(out, f->physical);
        buf_add_cstr(out, " := ");
        buf_printf(&field, "struct_extract_at(%.*s, %u)", STR_ARG(expr), i + 1);
        column_at(&f->type, buf_str(&field), part, depth, out);
    }
    buf_add_cstr(out, ") END");
}

/* The values of a map, for the metadata as an array. */
static void map_at(const struct type *type, struct str expr, struct part part, unsigned depth, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf var = {0};

    buf_printf(&var, part.metadata ? "v%u" : "v%u.value", depth);
    if (part.metadata)
        buf_printf(out, "list_transform(map_values(%.*s), lambda v%u: ", STR_ARG(expr), depth);
    else
        buf_printf(
            out, "map_from_entries(list_transform(map_entries(%.*s), lambda v%u: struct_pack(key := v%u.key, value := ",
            STR_ARG(expr), depth, depth);
    column_at(&type->children[1].type, buf_str(&var), part, depth + 1, out);
    buf_add_cstr(out, part.metadata ? ")" : ")))");
}

static void column_at(const struct type *type, struct str expr, struct part part, unsigned depth, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf var = {0};

    if (!parquet_has_variant(type)) {
        buf_add_str(out, expr);
        return;
    }
    switch (type->id) {
    case TYPE_VARIANT:
        if (part.bare)
            buf_printf(out, "struct_extract(%.*s, '%s')", STR_ARG(expr), part.metadata ? "metadata" : "value");
        else
            buf_printf(out, part.metadata ? "variant_metadata(%.*s)" : "variant_value(%.*s)", STR_ARG(expr));
        return;
    case TYPE_STRUCT:
        struct_at(type, expr, part, depth, out);
        return;
    case TYPE_MAP:
        map_at(type, expr, part, depth, out);
        return;
    default: /* TYPE_ARRAY */
        buf_printf(&var, "v%u", depth);
        buf_printf(out, "list_transform(%.*s, lambda v%u: ", STR_ARG(expr), depth);
        column_at(&type->children[0].type, buf_str(&var), part, depth + 1, out);
        buf_add_char(out, ')');
    }
}

void variant_column_sql(const struct type *type, struct str expr, bool metadata, bool bare, struct buf *out)
{
    column_at(type, expr, (struct part){metadata, bare}, 0, out);
}
