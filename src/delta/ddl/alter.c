/* The frame of an ALTER: begin, find the column, commit. */
#include "delta/ddl/alter.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "delta/ddl/alter_internal.h"

int alter_begin(struct alter *a, struct delta_table *t, const char *operation, struct err *err)
{
    *a = (struct alter){.table = t};
    TRY(delta_table_refresh(t, err));
    a->tx = delta_tx_new(t, operation);
    a->tx->blind_append = true; /* as Spark says of commits without files */
    a->next = schema_clone(a->tx->read->head->schema);
    a->m = delta_metadata_copy(a->tx->read->head->metadata, &a->tx->arena);
    return 0;
}

void alter_deinit(struct alter *a)
{
    delta_tx_free(a->tx);
    schema_unref(a->next);
    buf_deinit(&a->parameters);
}

void alter_param(struct alter *a, const char *key, struct str value)
{
    buf_printf(&a->parameters, "%s\"%s\":", a->parameters.n ? "," : "", key);
    buf_add_json_str(&a->parameters, value);
}

int alter_commit(struct alter *a, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct str parameters = str_of(arena_printf(&a->tx->arena, "{%s}", a->parameters.n ? a->parameters.p : ""));
    int64_t version;

    delta_schema_write(a->next, &json);
    a->m->schema_json = buf_str(&json);
    delta_tx_set_metadata(a->tx, a->m);
    delta_tx_set_parameters(a->tx, parameters);
    return delta_commit(a->tx, &version, err);
}

void alter_property(struct alter *a, struct str key, struct str value)
{
    struct arena *arena = &a->tx->arena;

    delta_metadata_set(a->m, arena, arena_str(arena, key), value.p ? arena_str(arena, value) : value);
}

void alter_path_text(struct delta_path path, struct buf *out)
{
    for (uint32_t i = 0; i < path.n; i++)
        buf_printf(out, "%s%.*s", i ? "." : "", STR_ARG(path.parts[i]));
}

static int find_in(struct field_list list, struct str name)
{
    for (uint32_t i = 0; i < *list.n; i++)
        if (str_eq_nocase((*list.fields)[i].name, name))
            return (int)i;
    return -1;
}

static int no_column(const struct alter *a, struct delta_path path, uint32_t n, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};

    alter_path_text((struct delta_path){path.parts, n}, &text);
    return err_set(err, ERR_USAGE, "%s has no column \"%s\"", a->table->store->name, text.p);
}

int alter_find(struct alter *a, struct delta_path path, struct field_list *ret, int *ret_index, struct err *err)
{
    *ret = (struct field_list){&a->next->fields, &a->next->n_fields, false};
    for (uint32_t k = 0; k < path.n; k++) {
        int i = find_in(*ret, path.parts[k]);
        *ret_index = i;
        if (k + 1 == path.n)
            return 0;
        if (i < 0 || !type_is_nested(&(*ret->fields)[i].type))
            return no_column(a, path, i < 0 ? k + 1 : k + 2, err);
        struct type *type = &(*ret->fields)[i].type;
        *ret = (struct field_list){&type->children, &type->n_children, type->id != TYPE_STRUCT};
    }
    return err_set(err, ERR_USAGE, "no column is named");
}

int alter_get(struct alter *a, struct delta_path path, struct field_list *ret, int *ret_index, struct err *err)
{
    TRY(alter_find(a, path, ret, ret_index, err));
    return *ret_index < 0 ? no_column(a, path, path.n, err) : 0;
}

int alter_move(struct field_list list, int from, enum delta_place place, struct str after, struct err *err)
{
    struct field moved = (*list.fields)[from], *v = *list.fields;
    int to = 0;

    if (place == DELTA_PLACE_KEEP)
        return 0;
    memmove(&v[from], &v[from + 1], (*list.n - (uint32_t)from - 1) * sizeof *v);
    --*list.n;
    if (place == DELTA_PLACE_AFTER) {
        to = find_in(list, after) + 1;
        if (to == 0)
            return err_set(err, ERR_USAGE, "AFTER %.*s: there is no such column beside it", STR_ARG(after));
    }
    memmove(&v[to + 1], &v[to], (*list.n - (uint32_t)to) * sizeof *v);
    v[to] = moved;
    ++*list.n;
    return 0;
}

void alter_field_json(const struct field *f, struct buf *out)
{
    static const char head[] = "{\"type\":\"struct\",\"fields\":[";
    struct field copy = *f;
    struct schema one = {.n_fields = 1, .fields = &copy};
    CLEANUP(buf_deinit) struct buf json = {0};
    enum type_id id = f->type.id;

    if (type_is_nested(&f->type)) /* Spark's typeName */
        copy.type = (struct type){.id = TYPE_OTHER,
                                  .other = id == TYPE_STRUCT  ? STR("\"struct\"")
                                           : id == TYPE_ARRAY ? STR("\"array\"")
                                                              : STR("\"map\"")};

    delta_schema_write(&one, &json);
    if (str_has_prefix(buf_str(&json), STR("{\"type\":\"struct\",\"fields\":[")))
        buf_add(out, json.p + sizeof head - 1, json.n - (sizeof head - 1) - 2);
    else
        buf_add_str(out, buf_str(&json));
}
