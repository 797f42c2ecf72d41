/*
 * delta.dataSkippingStatsColumns = 'a, b.c, `odd,name`.d' (logical names; a struct stands for all that is in it) goes before
 * delta.dataSkippingNumIndexedCols = N (the first N leaf columns; -1: all; 0: none; absent: 32).
 */
#include "delta/dml/stats_columns.h"

#include "base/map.h"
#include "base/mem.h"

#include <ctype.h>

/* The next part of a name, its backquotes taken off. Returns what ends it: '.', ',' or 0. */
static char next_part(struct str *rest, struct buf *part)
{
    bool quoted = false;

    buf_reset(part);
    *rest = str_trim(*rest);
    while (rest->n) {
        char c = *rest->p;
        *rest = str_make(rest->p + 1, rest->n - 1);
        if (c == '`' && quoted && rest->n && *rest->p == '`') {
            buf_add_char(part, c);
            *rest = str_make(rest->p + 1, rest->n - 1);
        } else if (c == '`') {
            quoted = !quoted;
        } else if (!quoted && (c == '.' || c == ',')) {
            return c;
        } else {
            buf_add_char(part, c);
        }
    }
    return 0;
}

static const struct field *find(const struct field *fields, uint32_t n, struct str name)
{
    for (uint32_t i = 0; i < n; i++)
        if (str_eq_nocase(fields[i].name, name))
            return &fields[i];
    for (uint32_t i = 0; i < n; i++)
        if (str_eq(fields[i].physical, name))
            return &fields[i];
    return NULL;
}

/* One column: its path of physical names, as parquet_spec wants it. Empty for one that the table does not have. */
static char take_column(const struct delta_head *head, struct str *rest, struct buf *path)
{
    CLEANUP(buf_deinit) struct buf part = {0};
    const struct field *fields = head->schema->fields;
    uint32_t n = head->schema->n_fields;
    bool known = true;
    char end;

    buf_reset(path);
    do {
        end = next_part(rest, &part);
        const struct field *f = known ? find(fields, n, str_trim(buf_str(&part))) : NULL;
        known = f != NULL;
        if (!known)
            continue;
        buf_add_cstr(path, path->n ? "." : "");
        buf_add_sql_ident(path, f->physical);
        fields = f->type.children;
        n = f->type.id == TYPE_STRUCT ? f->type.n_children : 0;
    } while (end == '.');
    if (!known)
        buf_reset(path);
    return end;
}

void delta_stats_columns(const struct delta_head *head, struct arena *arena, struct parquet_spec *spec)
{
    const struct delta_metadata *m = head->metadata;
    struct str named = delta_kv_get(m->configuration, m->n_configuration, STR("delta.dataSkippingStatsColumns"));
    struct str first = delta_kv_get(m->configuration, m->n_configuration, STR("delta.dataSkippingNumIndexedCols"));
    CLEANUP(buf_deinit) struct buf path = {0};
    struct str *paths;
    uint32_t n = 1;
    int64_t count;

    if (!named.p) {
        if (!str_to_i64(first, &count))
            return;
        spec->stats_columns = count < 0 ? UINT32_MAX : (uint32_t)MIN(count, (int64_t)UINT32_MAX);
        spec->no_stats |= count == 0;
        return;
    }
    for (size_t i = 0; i < named.n; i++)
        n += named.p[i] == ',';
    paths = ARENA_NEW_N(arena, struct str, n);
    n = 0;
    for (char end = ','; end == ',';) {
        end = take_column(head, &named, &path);
        if (path.n)
            paths[n++] = arena_str(arena, buf_str(&path));
    }
    spec->stats_paths = paths;
    spec->n_stats_paths = n;
    spec->no_stats |= n == 0;
}

/* ---- values that the property may have ---- */

struct listed {
    struct map names; /* columns and fields so far, by their paths as they are written */
    struct arena arena;
    struct err *err;
};

static int list_leaves(struct listed *l, const struct field *f, struct str path)
{
    if (f->type.id != TYPE_STRUCT) {
        if (map_get(&l->names, path))
            return err_set(l->err, ERR_USAGE, "delta.dataSkippingStatsColumns names %.*s twice", STR_ARG(path));
        map_put(&l->names, arena_str(&l->arena, path), l);
        return 0;
    }
    for (uint32_t i = 0; i < f->type.n_children; i++) {
        CLEANUP(buf_deinit) struct buf inner = {0};
        buf_printf(&inner, "%.*s.%.*s", STR_ARG(path), STR_ARG(f->type.children[i].name));
        if (list_leaves(l, &f->type.children[i], buf_str(&inner)) < 0)
            return ERR_USAGE;
    }
    return 0;
}

/* Of a column; inside structs the others are only passed over. */
static bool has_order(const struct type *type)
{
    return type->id != TYPE_BOOLEAN && type->id != TYPE_BINARY && type->id != TYPE_ARRAY && type->id != TYPE_MAP;
}

/* The column that the list begins with. Returns what ends it, or ERR_USAGE. */
static int list_column(struct listed *l, const struct schema *schema, struct str *rest)
{
    CLEANUP(buf_deinit) struct buf part = {0}, path = {0};
    const struct field *fields = schema->fields, *f = NULL;
    uint32_t n = schema->n_fields;
    char end;

    do {
        end = next_part(rest, &part);
        struct str name = str_trim(buf_str(&part));
        const struct type *of = f ? &f->type : NULL;
        f = find(fields, n, name);
        buf_printf(&path, "%s%.*s", path.n ? "." : "", STR_ARG(name));
        if (!f)
            return err_set(l->err, ERR_USAGE, "delta.dataSkippingStatsColumns: there is no column \"%s\"",
                           path.n ? path.p : "");
        if (!of && !has_order(&f->type))
            return err_set(l->err, ERR_USAGE,
                           "delta.dataSkippingStatsColumns: no statistics are kept of the type of %s", path.p);
        fields = f->type.children;
        n = type_is_nested(&f->type) ? f->type.n_children : 0;
    } while (end == '.');
    return list_leaves(l, f, buf_str(&path)) < 0 ? ERR_USAGE : end;
}

int delta_stats_columns_check(struct str list, const struct schema *schema, const struct str *partition_columns,
                              uint32_t n_partition_columns, struct err *err)
{
    struct listed l = {.err = err};
    int end = ',';

    if (!str_trim(list).n) /* none */
        end = 0;
    while (end == ',')
        end = list_column(&l, schema, &list);
    for (uint32_t i = 0; end >= 0 && i < n_partition_columns; i++)
        if (map_get(&l.names, partition_columns[i]))
            end = err_set(err, ERR_USAGE,
                          "delta.dataSkippingStatsColumns: no statistics are kept of the partition column %.*s",
                          STR_ARG(partition_columns[i]));
    map_deinit(&l.names);
    arena_deinit(&l.arena);
    return end < 0 ? end : 0;
}

/* ---- renamed ---- */

static void add_part(struct str part, struct buf *out)
{
    bool plain = part.n > 0;

    for (size_t i = 0; i < part.n; i++)
        plain &= isalnum((unsigned char)part.p[i]) || part.p[i] == '_';
    buf_add_cstr(out, plain ? "" : "`");
    for (size_t i = 0; i < part.n; i++) {
        buf_add_char(out, part.p[i]);
        if (part.p[i] == '`')
            buf_add_char(out, '`');
    }
    buf_add_cstr(out, plain ? "" : "`");
}

struct str delta_stats_columns_renamed(struct str list, const struct str *path, uint32_t n, struct str name,
                                       struct arena *arena)
{
    CLEANUP(buf_deinit) struct buf out = {0}, entry = {0}, part = {0};
    char end = ',';

    while (end) {
        bool same = true;
        uint32_t k = 0;
        buf_reset(&entry);
        do {
            end = next_part(&list, &part);
            struct str was = str_trim(buf_str(&part));
            same &= k >= n || str_eq_nocase(was, path[k]);
            buf_add_cstr(&entry, k ? "." : "");
            add_part(same && k + 1 == n && name.n ? name : was, &entry);
            k++;
        } while (end == '.');
        if (same && k >= n && !name.n)
            continue;
        buf_add_cstr(&out, out.n ? "," : "");
        buf_add_str(&out, buf_str(&entry));
    }
    return arena_str(arena, buf_str(&out));
}
