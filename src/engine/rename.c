/* struct_pack over the fields by position, list_transform into arrays, map_from_entries for maps. */
#include "engine/rename.h"

#include "codec/parquet_join.h"

bool rename_needed(const struct type *type)
{
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct field *f = &type->children[i];
        if (type->id == TYPE_STRUCT && !str_eq(f->name, f->physical))
            return true;
        if (rename_needed(&f->type))
            return true;
    }
    return false;
}

static void rename_at(const struct type *type, struct str expr, bool to_physical, unsigned depth, struct buf *out);

static void rename_struct(const struct type *type, struct str expr, bool to_physical, unsigned depth, struct buf *out)
{
    buf_printf(out, "CASE WHEN %.*s IS NULL THEN NULL ELSE struct_pack(", STR_ARG(expr));
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct field *f = &type->children[i];
        CLEANUP(buf_deinit) struct buf part = {0};
        if (i)
            buf_add_cstr(out, ", ");
        buf_add_sql_ident(out, to_physical ? f->physical : f->name);
        buf_add_cstr(out, " := ");
        buf_printf(&part, "struct_extract_at(%.*s, %u)", STR_ARG(expr), i + 1);
        rename_at(&f->type, buf_str(&part), to_physical, depth, out);
    }
    buf_add_cstr(out, ") END");
}

/* A file without Parquet's annotation of variants (Spark 4.0 wrote none) has a struct of two blobs there, which DuckDB made
 * a variant of: an object with these members. */
static void decode_variant(struct str expr, struct buf *out)
{
    buf_printf(out,
               "CASE WHEN variant_typeof(%.*s) IN ('OBJECT(value, metadata)', 'OBJECT(metadata, value)') AND"
               " variant_typeof(variant_extract(%.*s, 'metadata')) = 'BLOB' THEN"
               " variant_of_bytes(CAST(variant_extract(%.*s, 'metadata') AS BLOB) ||"
               " CAST(variant_extract(%.*s, 'value') AS BLOB)) ELSE %.*s END",
               STR_ARG(expr), STR_ARG(expr), STR_ARG(expr), STR_ARG(expr), STR_ARG(expr));
}

static void rename_at(const struct type *type, struct str expr, bool to_physical, unsigned depth, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf var = {0};

    if (!rename_needed(type) && (to_physical || !parquet_has_variant(type))) {
        buf_add_str(out, expr);
        return;
    }
    switch (type->id) {
    case TYPE_VARIANT:
        decode_variant(expr, out);
        return;
    case TYPE_STRUCT:
        rename_struct(type, expr, to_physical, depth, out);
        return;
    case TYPE_ARRAY:
        buf_printf(&var, "e%u", depth);
        buf_printf(out, "list_transform(%.*s, lambda e%u: ", STR_ARG(expr), depth);
        rename_at(&type->children[0].type, buf_str(&var), to_physical, depth + 1, out);
        buf_add_char(out, ')');
        return;
    default: /* TYPE_MAP */
        buf_printf(out,
                   "map_from_entries(list_transform(map_entries(%.*s), lambda e%u: struct_pack(key := ", STR_ARG(expr),
                   depth);
        buf_printf(&var, "e%u.key", depth);
        rename_at(&type->children[0].type, buf_str(&var), to_physical, depth + 1, out);
        buf_add_cstr(out, ", value := ");
        buf_reset(&var);
        buf_printf(&var, "e%u.value", depth);
        rename_at(&type->children[1].type, buf_str(&var), to_physical, depth + 1, out);
        buf_add_cstr(out, ")))");
    }
}

void rename_sql(const struct type *type, struct str expr, bool to_physical, struct buf *out)
{
    rename_at(type, expr, to_physical, 0, out);
}
