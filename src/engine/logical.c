/* Delta's types as DuckDB's: as handles, and as SQL text for casts. */
#include "engine/logical.h"

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/parquet_write.h"

#include <assert.h>

/* The scalars that map one to one; nested and unknown types are not in it. */
static const struct {
    duckdb_type type;
    const char *name;
} SCALARS[] = {
    [TYPE_BOOLEAN] = {DUCKDB_TYPE_BOOLEAN, "BOOLEAN"},
    [TYPE_BYTE] = {DUCKDB_TYPE_TINYINT, "TINYINT"},
    [TYPE_SHORT] = {DUCKDB_TYPE_SMALLINT, "SMALLINT"},
    [TYPE_INTEGER] = {DUCKDB_TYPE_INTEGER, "INTEGER"},
    [TYPE_LONG] = {DUCKDB_TYPE_BIGINT, "BIGINT"},
    [TYPE_FLOAT] = {DUCKDB_TYPE_FLOAT, "FLOAT"},
    [TYPE_DOUBLE] = {DUCKDB_TYPE_DOUBLE, "DOUBLE"},
    [TYPE_DECIMAL] = {DUCKDB_TYPE_DECIMAL, "DECIMAL"},
    [TYPE_STRING] = {DUCKDB_TYPE_VARCHAR, "VARCHAR"},
    [TYPE_BINARY] = {DUCKDB_TYPE_BLOB, "BLOB"},
    [TYPE_DATE] = {DUCKDB_TYPE_DATE, "DATE"},
    [TYPE_TIMESTAMP] = {DUCKDB_TYPE_TIMESTAMP_TZ, "TIMESTAMPTZ"},
    [TYPE_TIMESTAMP_NTZ] = {DUCKDB_TYPE_TIMESTAMP, "TIMESTAMP"},
    [TYPE_VARIANT] = {(duckdb_type)ENGINE_VARIANT, "VARIANT"},
    [TYPE_VOID] = {DUCKDB_TYPE_SQLNULL, "INTEGER"}, /* holds nothing but NULL */
};

static duckdb_logical_type struct_type_of(const struct type *type)
{
    CLEANUP(mem_freep) duckdb_logical_type *types = MEM_NEW_N(duckdb_logical_type, type->n_children + 1);
    CLEANUP(mem_freep) const char **names = MEM_NEW_N(const char *, type->n_children + 1);
    CLEANUP(arena_deinit) struct arena arena = {0};

    for (uint32_t i = 0; i < type->n_children; i++) {
        types[i] = logical_type_of(&type->children[i].type);
        names[i] = arena_strdup(&arena, type->children[i].name);
    }
    duckdb_logical_type made = duckdb_create_struct_type(types, names, type->n_children);
    for (uint32_t i = 0; i < type->n_children; i++)
        duckdb_destroy_logical_type(&types[i]);
    return made;
}

duckdb_logical_type logical_type_of(const struct type *type)
{
    if (type->id == TYPE_ARRAY) {
        duckdb_logical_type element = logical_type_of(&type->children[0].type);
        duckdb_logical_type list = duckdb_create_list_type(element);
        duckdb_destroy_logical_type(&element);
        return list;
    }
    if (type->id == TYPE_MAP) {
        CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type key = logical_type_of(&type->children[0].type);
        CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type value = logical_type_of(&type->children[1].type);
        return duckdb_create_map_type(key, value);
    }
    if (type->id == TYPE_STRUCT)
        return struct_type_of(type);
    if (type->id == TYPE_DECIMAL)
        return duckdb_create_decimal_type(type->precision, type->scale);
    assert(type->id < ARRAY_LEN(SCALARS));
    return duckdb_create_logical_type(SCALARS[type->id].type);
}

int parquet_type_sql(const struct type *type, struct buf *out, struct err *err)
{
    switch (type->id) {
    case TYPE_DECIMAL:
        buf_printf(out, "DECIMAL(%u,%u)", type->precision, type->scale);
        return 0;
    case TYPE_ARRAY:
        TRY(parquet_type_sql(&type->children[0].type, out, err));
        buf_add_cstr(out, "[]");
        return 0;
    case TYPE_MAP:
        buf_add_cstr(out, "MAP(");
        TRY(parquet_type_sql(&type->children[0].type, out, err));
        buf_add_cstr(out, ", ");
        TRY(parquet_type_sql(&type->children[1].type, out, err));
        buf_add_char(out, ')');
        return 0;
    case TYPE_STRUCT:
        buf_add_cstr(out, "STRUCT(");
        for (uint32_t i = 0; i < type->n_children; i++) {
            if (i)
                buf_add_cstr(out, ", ");
            buf_add_sql_ident(out, type->children[i].physical);
            buf_add_char(out, ' ');
            TRY(parquet_type_sql(&type->children[i].type, out, err));
        }
        buf_add_char(out, ')');
        return 0;
    case TYPE_OTHER:
        return err_set(err, ERR_UNSUPPORTED, "a type that is not known here: %.*s", STR_ARG(type->other));
    default:
        buf_add_cstr(out, SCALARS[type->id].name);
        return 0;
    }
}
