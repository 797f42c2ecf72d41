/*
 * The members of objects and the elements of arrays, as a list of STRUCT(pos INTEGER, key VARCHAR, value VARIANT); keys of
 * elements are NULL. What has none gives NULL, which unnest() makes no row of.
 */
#include "base/mem.h"
#include "engine/variant_call.h"

struct entries {
    struct variant_call call;
    struct variant_build build; /* the values of all rows, one after the other */
    struct str *keys;           /* p NULL: none */
    int32_t *places;
    uint64_t n, cap_keys, cap_places;
};

static void entries_deinit(struct entries *e)
{
    variant_call_deinit(&e->call);
    variant_build_deinit(&e->build);
    mem_free(e->keys);
    mem_free(e->places);
}

static int add_value(struct entries *e, const struct variant_parts *parts, uint64_t place, struct err *err)
{
    struct variant_call *c = &e->call;

    variant_writer_reset(&c->w);
    buf_reset(&c->text);
    TRY(variant_encode(&c->w, parts, place, err));
    TRY(variant_metadata(&c->w, &c->text, err));
    buf_add_str(&c->text, buf_str(&c->w.value));
    return variant_build_add(&e->build, arena_str(&c->arena, buf_str(&c->text)), err);
}

static int add_members(struct entries *e, idx_t row, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&e->call.in, row);
    const struct variant_part p = variant_part_at(&parts, 0);

    if (p.kind != PART_OBJECT && p.kind != PART_ARRAY)
        return 0;
    for (uint32_t k = 0; k < p.n; k++) {
        MEM_GROW(e->keys, e->n, e->cap_keys);
        MEM_GROW(e->places, e->n, e->cap_places);
        e->keys[e->n] = p.kind == PART_OBJECT ? variant_member_name(&parts, p.first + k) : (struct str){0};
        e->places[e->n++] = (int32_t)k;
        TRY(add_value(e, &parts, variant_member(&parts, p.first + k), err));
    }
    return 0;
}

static void fill(const struct entries *e, duckdb_vector out)
{
    duckdb_list_vector_reserve(out, e->n);
    duckdb_list_vector_set_size(out, e->n);
    duckdb_vector entry = duckdb_list_vector_get_child(out);
    duckdb_vector pos = duckdb_struct_vector_get_child(entry, 0), key = duckdb_struct_vector_get_child(entry, 1);

    if (e->n)
        memcpy(duckdb_vector_get_data(pos), e->places, e->n * sizeof *e->places);
    for (uint64_t i = 0; i < e->n; i++) {
        if (e->keys[i].p)
            duckdb_vector_assign_string_element_len(key, i, e->keys[i].p, e->keys[i].n);
        else
            variant_set_null(key, i);
    }
    variant_build_fill(&e->build, duckdb_struct_vector_get_child(entry, 2));
}

static void entries_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    CLEANUP(entries_deinit) struct entries e = {0};
    struct listview *lists = duckdb_vector_get_data(out);
    struct err err = {0};

    variant_call_begin(&e.call, duckdb_data_chunk_get_vector(in, 0));
    for (idx_t i = 0; i < duckdb_data_chunk_get_size(in); i++) {
        uint64_t first = e.n;
        if (!engine_is_null(&e.call.in, i) && add_members(&e, i, &err) < 0) {
            duckdb_scalar_function_set_error(info, err.msg);
            return;
        }
        lists[i] = (struct listview){first, e.n - first};
        if (e.n == first)
            variant_set_null(out, i);
    }
    fill(&e, out);
}

int variant_entries_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type place = duckdb_create_logical_type(DUCKDB_TYPE_INTEGER);
    const char *names[] = {"pos", "key", "value"};
    duckdb_logical_type types[] = {place, text, variant};
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type entry = duckdb_create_struct_type(types, names, 3);
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type list = duckdb_create_list_type(entry);

    TRY(variant_function_add(conn, "variant_entries", variant, NULL, list, entries_run, err));
    return engine_exec(conn,
                       "CREATE OR REPLACE MACRO variant_explode(v) AS TABLE"
                       " SELECT e.pos, e.key, e.value FROM (SELECT unnest(variant_entries(v)) AS e);"
                       "CREATE OR REPLACE MACRO variant_explode_outer(v) AS TABLE"
                       " SELECT e.pos, e.key, e.value FROM (SELECT unnest(coalesce(variant_entries(v), [NULL])) AS e)",
                       err);
}
