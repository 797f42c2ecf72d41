/*
 * Results: DuckDB's chunks seen as columns. The tree of views is built once from the types of the result; each chunk
 * only sets the pointers in it.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "engine/internal.h"
#include "model/batch.h"

#include <assert.h>

_Static_assert(sizeof(duckdb_string_t) == sizeof(struct strview), "strings are views");
_Static_assert(sizeof(duckdb_list_entry) == sizeof(struct listview), "lists are views");
_Static_assert((int)ENGINE_VARCHAR == DUCKDB_TYPE_VARCHAR && (int)ENGINE_STRUCT == DUCKDB_TYPE_STRUCT &&
                   (int)ENGINE_TIMESTAMP_TZ == DUCKDB_TYPE_TIMESTAMP_TZ && (int)ENGINE_ARRAY == DUCKDB_TYPE_ARRAY &&
                   (int)ENGINE_BIGNUM == DUCKDB_TYPE_BIGNUM && (int)ENGINE_TIME_NS == DUCKDB_TYPE_TIME_NS,
               "the kinds are DuckDB's");

struct engine_result {
    duckdb_result r;
    duckdb_data_chunk chunk;
    struct arena arena;
    uint32_t n_cols;
    struct engine_column *cols;
    struct engine_chunk view;
};

static struct str take_text(struct arena *arena, char *s)
{
    struct str copy = arena_str(arena, str_of(s));

    duckdb_free(s);
    return copy;
}

/* Child i of a nested type, to be destroyed, and its name (of struct and union fields). */
static duckdb_logical_type child_type(struct arena *arena, duckdb_logical_type t, enum engine_kind kind, idx_t i,
                                      struct str *name)
{
    switch (kind) {
    case ENGINE_LIST:
        return duckdb_list_type_child_type(t);
    case ENGINE_ARRAY:
        return duckdb_array_type_child_type(t);
    case ENGINE_STRUCT:
        *name = take_text(arena, duckdb_struct_type_child_name(t, i));
        return duckdb_struct_type_child_type(t, i);
    case ENGINE_UNION:
        if (i == 0) {
            *name = STR("");
            return duckdb_create_logical_type(DUCKDB_TYPE_UTINYINT);
        }
        *name = take_text(arena, duckdb_union_type_member_name(t, i - 1));
        return duckdb_union_type_member_type(t, i - 1);
    default:
        assert(!"a nested type");
        return NULL;
    }
}

static void map_type_read(struct arena *arena, duckdb_logical_type t, struct engine_type *ret)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type key = duckdb_map_type_key_type(t);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type value = duckdb_map_type_value_type(t);
    struct engine_type *entry = ARENA_NEW(arena, struct engine_type);

    entry->kind = ENGINE_STRUCT;
    entry->n_children = 2;
    entry->children = ARENA_NEW_N(arena, struct engine_type, 2);
    entry->names = ARENA_NEW_N(arena, struct str, 2);
    entry->names[0] = STR("key");
    entry->names[1] = STR("value");
    engine_type_read(arena, key, &entry->children[0]);
    engine_type_read(arena, value, &entry->children[1]);
    ret->n_children = 1;
    ret->children = entry;
}

static void enum_read(struct arena *arena, duckdb_logical_type t, struct engine_type *ret)
{
    ret->n_dictionary = duckdb_enum_dictionary_size(t);
    ret->dictionary = ARENA_NEW_N(arena, struct str, ret->n_dictionary);
    for (uint32_t i = 0; i < ret->n_dictionary; i++)
        ret->dictionary[i] = take_text(arena, duckdb_enum_dictionary_value(t, i));
}

/* The four parts of a VARIANT: see variant_parts.h. */
static void variant_read(struct arena *arena, struct engine_type *ret)
{
    static const enum engine_kind parts[2][2] = {{ENGINE_UINTEGER, ENGINE_UINTEGER},
                                                 {ENGINE_UTINYINT, ENGINE_UINTEGER}};

    ret->n_children = 4;
    ret->children = ARENA_NEW_N(arena, struct engine_type, 4);
    for (unsigned i = 0; i < 3; i++) {
        ret->children[i] = (struct engine_type){.kind = ENGINE_LIST, .n_children = 1};
        ret->children[i].children = ARENA_NEW(arena, struct engine_type);
        ret->children[i].children->kind = i ? ENGINE_STRUCT : ENGINE_VARCHAR;
    }
    for (unsigned i = 0; i < 2; i++) {
        struct engine_type *entry = ret->children[1 + i].children;
        entry->n_children = 2;
        entry->children = ARENA_NEW_N(arena, struct engine_type, 2);
        entry->children[0].kind = parts[i][0];
        entry->children[1].kind = parts[i][1];
    }
    ret->children[3].kind = ENGINE_BLOB;
}

void engine_type_read(struct arena *arena, duckdb_logical_type t, struct engine_type *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = (enum engine_kind)duckdb_get_type_id(t);
    switch (ret->kind) {
    case ENGINE_DECIMAL:
        ret->precision = duckdb_decimal_width(t);
        ret->scale = duckdb_decimal_scale(t);
        return;
    case ENGINE_VARCHAR: {
        char *alias = duckdb_logical_type_get_alias(t);
        ret->json = alias && strcmp(alias, "JSON") == 0;
        duckdb_free(alias);
        return;
    }
    case ENGINE_ENUM:
        enum_read(arena, t, ret);
        return;
    case ENGINE_MAP:
        map_type_read(arena, t, ret);
        return;
    case ENGINE_VARIANT:
        variant_read(arena, ret);
        return;
    case ENGINE_LIST:
        ret->n_children = 1;
        break;
    case ENGINE_ARRAY:
        ret->n_children = 1;
        ret->array_size = duckdb_array_type_array_size(t);
        break;
    case ENGINE_STRUCT:
        ret->n_children = (uint32_t)duckdb_struct_type_child_count(t);
        break;
    case ENGINE_UNION:
        ret->n_children = (uint32_t)duckdb_union_type_member_count(t) + 1;
        break;
    default:
        return;
    }
    ret->children = ARENA_NEW_N(arena, struct engine_type, ret->n_children);
    ret->names = ARENA_NEW_N(arena, struct str, ret->n_children);
    for (uint32_t i = 0; i < ret->n_children; i++) {
        CLEANUP(duckdb_destroy_logical_type)
        duckdb_logical_type child = child_type(arena, t, ret->kind, i, &ret->names[i]);
        engine_type_read(arena, child, &ret->children[i]);
    }
}

void engine_view_init(struct arena *arena, struct engine_vector *v, const struct engine_type *type)
{
    v->type = type;
    v->n_children = type->n_children;
    v->children = ARENA_NEW_N(arena, struct engine_vector, type->n_children);
    for (uint32_t i = 0; i < type->n_children; i++)
        engine_view_init(arena, &v->children[i], &type->children[i]);
}

void engine_view_set(struct engine_vector *v, duckdb_vector vector)
{
    enum engine_kind kind = v->type->kind;
    bool by_parts = kind == ENGINE_STRUCT || kind == ENGINE_UNION || kind == ENGINE_ARRAY || kind >= ENGINE_GEOMETRY;

    v->data = by_parts ? NULL : duckdb_vector_get_data(vector);
    v->valid = duckdb_vector_get_validity(vector);
    for (uint32_t i = 0; i < v->n_children; i++)
        engine_view_set(&v->children[i], kind == ENGINE_LIST || kind == ENGINE_MAP
                                             ? duckdb_list_vector_get_child(vector)
                                         : kind == ENGINE_ARRAY ? duckdb_array_vector_get_child(vector)
                                                                : duckdb_struct_vector_get_child(vector, i));
}

struct engine_result *engine_result_new(duckdb_result r)
{
    struct engine_result *result = MEM_NEW(struct engine_result);

    result->r = r;
    result->n_cols = (uint32_t)duckdb_column_count(&result->r);
    result->cols = ARENA_NEW_N(&result->arena, struct engine_column, result->n_cols);
    result->view.n_cols = result->n_cols;
    result->view.cols = ARENA_NEW_N(&result->arena, struct engine_vector, result->n_cols);
    for (uint32_t i = 0; i < result->n_cols; i++) {
        CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type t = duckdb_column_logical_type(&result->r, i);
        result->cols[i].name = arena_str(&result->arena, str_of(duckdb_column_name(&result->r, i)));
        engine_type_read(&result->arena, t, &result->cols[i].type);
        engine_view_init(&result->arena, &result->view.cols[i], &result->cols[i].type);
    }
    return result;
}

void engine_result_free(struct engine_result *result)
{
    if (!result)
        return;
    if (result->chunk)
        duckdb_destroy_data_chunk(&result->chunk);
    duckdb_destroy_result(&result->r);
    arena_deinit(&result->arena);
    mem_free(result);
}

uint32_t engine_result_n_columns(const struct engine_result *result)
{
    return result->n_cols;
}

const struct engine_column *engine_result_column(const struct engine_result *result, uint32_t i)
{
    assert(i < result->n_cols);
    return &result->cols[i];
}

bool engine_result_has_rows(const struct engine_result *result)
{
    return duckdb_result_return_type(result->r) == DUCKDB_RESULT_TYPE_QUERY_RESULT;
}

uint64_t engine_result_changed(const struct engine_result *result)
{
    return duckdb_rows_changed((duckdb_result *)&result->r);
}

int engine_result_next(struct engine_result *result, const struct engine_chunk **ret, struct err *err)
{
    do {
        if (result->chunk)
            duckdb_destroy_data_chunk(&result->chunk);
        result->chunk = duckdb_fetch_chunk(result->r);
        if (!result->chunk) {
            const char *message = duckdb_result_error(&result->r);
            return message && *message ? engine_error(err, message) : 1;
        }
        result->view.n = (uint32_t)duckdb_data_chunk_get_size(result->chunk);
    } while (result->view.n == 0);
    for (uint32_t i = 0; i < result->n_cols; i++)
        engine_view_set(&result->view.cols[i], duckdb_data_chunk_get_vector(result->chunk, i));
    *ret = &result->view;
    return 0;
}

bool engine_is_null(const struct engine_vector *v, uint64_t row)
{
    return v->type->kind == ENGINE_SQLNULL || !valid_bit(v->valid, row);
}

#define AT(type) (((const type *)v->data)[row])

int64_t engine_i64(const struct engine_vector *v, uint64_t row)
{
    if (engine_is_null(v, row))
        return 0;
    switch (v->type->kind) {
    case ENGINE_BOOLEAN:
    case ENGINE_UTINYINT:
        return AT(uint8_t);
    case ENGINE_TINYINT:
        return AT(int8_t);
    case ENGINE_SMALLINT:
        return AT(int16_t);
    case ENGINE_USMALLINT:
        return AT(uint16_t);
    case ENGINE_INTEGER:
    case ENGINE_DATE:
        return AT(int32_t);
    case ENGINE_UINTEGER:
        return AT(uint32_t);
    case ENGINE_UBIGINT:
        return (int64_t)AT(uint64_t);
    case ENGINE_HUGEINT:
    case ENGINE_UHUGEINT:
        return (int64_t)((const duckdb_hugeint *)v->data)[row].lower;
    case ENGINE_DECIMAL:
        return v->type->precision <= 4    ? AT(int16_t)
               : v->type->precision <= 9  ? AT(int32_t)
               : v->type->precision <= 18 ? AT(int64_t)
                                          : (int64_t)((const duckdb_hugeint *)v->data)[row].lower;
    case ENGINE_FLOAT:
    case ENGINE_DOUBLE:
        return (int64_t)engine_f64(v, row);
    case ENGINE_ENUM:
        return v->type->n_dictionary <= 256     ? AT(uint8_t)
               : v->type->n_dictionary <= 65536 ? AT(uint16_t)
                                                : AT(uint32_t);
    default:
        return AT(int64_t);
    }
}

double engine_f64(const struct engine_vector *v, uint64_t row)
{
    if (engine_is_null(v, row))
        return 0;
    switch (v->type->kind) {
    case ENGINE_FLOAT:
        return (double)AT(float);
    case ENGINE_DOUBLE:
        return AT(double);
    case ENGINE_HUGEINT:
        return duckdb_hugeint_to_double(AT(duckdb_hugeint));
    case ENGINE_UHUGEINT:
        return duckdb_uhugeint_to_double(AT(duckdb_uhugeint));
    case ENGINE_DECIMAL: {
        duckdb_decimal d = {v->type->precision, v->type->scale, {0, 0}};
        if (v->type->precision > 18) {
            d.value = AT(duckdb_hugeint);
        } else {
            int64_t n = engine_i64(v, row);
            d.value = (duckdb_hugeint){(uint64_t)n, n < 0 ? -1 : 0};
        }
        return duckdb_decimal_to_double(d);
    }
    default:
        return (double)engine_i64(v, row);
    }
}

bool engine_bool(const struct engine_vector *v, uint64_t row)
{
    return engine_i64(v, row) != 0;
}

struct str engine_str(const struct engine_vector *v, uint64_t row)
{
    if (engine_is_null(v, row))
        return (struct str){0};
    if (v->type->kind == ENGINE_ENUM)
        return v->type->dictionary[engine_i64(v, row)];
    const struct strview *s = &AT(struct strview);
    return s->len <= 12 ? str_make(s->prefix, s->len) : str_make(s->p, s->len);
}

void engine_value_copy(struct batch *b, struct column *c, uint32_t row, const struct engine_vector *v, uint64_t i)
{
    if (engine_is_null(v, i)) {
        column_set_null(c, row);
    } else if (c->type->id == TYPE_STRING || c->type->id == TYPE_BINARY) {
        column_set_str(b, c, row, engine_str(v, i));
    } else if (c->type->id == TYPE_ARRAY) {
        struct listview list = ((const struct listview *)v->data)[i];
        uint64_t offset = c->child->n;
        for (uint64_t e = 0; e < list.length; e++) {
            uint32_t at = column_child_add(c);
            engine_value_copy(b, c->child, at, &v->children[0], list.offset + e);
        }
        column_set_list(c, row, offset, list.length);
    } else {
        column_set(c, row, (const char *)v->data + i * c->width);
    }
}
