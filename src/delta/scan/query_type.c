/* DuckDB's types → Delta's, for columns that come out of a query. */
#include "delta/scan/query_type.h"

#include "base/arena.h"

static int children_of(const struct engine_type *from, struct str column, struct arena *arena, struct type *ret,
                       struct err *err)
{
    static const char *const pair[] = {"key", "value"};

    ret->n_children = from->n_children;
    ret->children = ARENA_NEW_N(arena, struct field, from->n_children + 1);
    for (uint32_t i = 0; i < from->n_children; i++) {
        struct field *f = &ret->children[i];
        f->name = ret->id == TYPE_STRUCT  ? from->names[i]
                  : ret->id == TYPE_ARRAY ? STR("element")
                                          : str_of(pair[i != 0]);
        f->name = f->physical = arena_str(arena, f->name);
        f->nullable = !(ret->id == TYPE_MAP && i == 0);
        TRY(delta_type_of_query(&from->children[i], column, arena, &f->type, err));
    }
    return 0;
}

int delta_type_of_query(const struct engine_type *from, struct str name, struct arena *arena, struct type *ret,
                        struct err *err)
{
    static const uint8_t simple[] = {
        [ENGINE_BOOLEAN] = TYPE_BOOLEAN + 1,
        [ENGINE_TINYINT] = TYPE_BYTE + 1,
        [ENGINE_SMALLINT] = TYPE_SHORT + 1,
        [ENGINE_INTEGER] = TYPE_INTEGER + 1,
        [ENGINE_BIGINT] = TYPE_LONG + 1,
        [ENGINE_UTINYINT] = TYPE_SHORT + 1,
        [ENGINE_USMALLINT] = TYPE_INTEGER + 1,
        [ENGINE_UINTEGER] = TYPE_LONG + 1,
        [ENGINE_FLOAT] = TYPE_FLOAT + 1,
        [ENGINE_DOUBLE] = TYPE_DOUBLE + 1,
        [ENGINE_TIMESTAMP] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_DATE] = TYPE_DATE + 1,
        [ENGINE_TIME] = TYPE_STRING + 1,
        [ENGINE_INTERVAL] = TYPE_STRING + 1,
        [ENGINE_VARCHAR] = TYPE_STRING + 1,
        [ENGINE_BLOB] = TYPE_BINARY + 1,
        [ENGINE_TIMESTAMP_S] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_TIMESTAMP_MS] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_TIMESTAMP_NS] = TYPE_TIMESTAMP_NTZ + 1,
        [ENGINE_ENUM] = TYPE_STRING + 1,
        [ENGINE_LIST] = TYPE_ARRAY + 1,
        [ENGINE_STRUCT] = TYPE_STRUCT + 1,
        [ENGINE_MAP] = TYPE_MAP + 1,
        [ENGINE_UUID] = TYPE_STRING + 1,
        [ENGINE_TIMESTAMP_TZ] = TYPE_TIMESTAMP + 1,
        [ENGINE_ARRAY] = TYPE_ARRAY + 1,
        [ENGINE_VARIANT] = TYPE_VARIANT + 1,
    };

    *ret = (struct type){.id = TYPE_DECIMAL, .precision = from->precision, .scale = from->scale};
    if (from->kind == ENGINE_DECIMAL)
        return 0;
    if (from->kind == ENGINE_HUGEINT || from->kind == ENGINE_UBIGINT) {
        ret->precision = from->kind == ENGINE_HUGEINT ? 38 : 20;
        return 0;
    }
    *ret = (struct type){0};
    if (from->kind >= ARRAY_LEN(simple) || !simple[from->kind])
        return err_set(err, ERR_UNSUPPORTED, "the column \"%.*s\" has a type that Delta does not have: use CAST",
                       STR_ARG(name));
    ret->id = (enum type_id)(simple[from->kind] - 1);
    if (ret->id == TYPE_MAP) /* the engine gives its entries */
        return children_of(from->n_children == 1 ? &from->children[0] : from, name, arena, ret, err);
    return type_is_nested(ret) ? children_of(from, name, arena, ret, err) : 0;
}
