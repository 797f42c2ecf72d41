/* Types and schemas: lookup, copies, text. */
#include "model/type.h"

#include "base/mem.h"

#include <assert.h>

struct schema *schema_new(void)
{
    struct schema *s = MEM_NEW(struct schema);

    s->refs = 1;
    return s;
}

struct schema *schema_ref(const struct schema *s)
{
    struct schema *shared = (struct schema *)s;

    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void schema_unref(struct schema *s)
{
    if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
        return;
    arena_deinit(&s->arena);
    mem_free(s);
}

static struct field *fields_clone(const struct field *f, uint32_t n, struct arena *arena)
{
    struct field *copy = ARENA_NEW_N(arena, struct field, n);

    for (uint32_t i = 0; i < n; i++) {
        copy[i] = f[i];
        copy[i].name = arena_str(arena, f[i].name);
        copy[i].physical = arena_str(arena, f[i].physical);
        copy[i].type = type_clone(&f[i].type, arena);
        copy[i].meta = ARENA_NEW_N(arena, struct field_meta, f[i].n_meta);
        for (uint32_t m = 0; m < f[i].n_meta; m++)
            copy[i].meta[m] =
                (struct field_meta){arena_str(arena, f[i].meta[m].key), arena_str(arena, f[i].meta[m].json)};
    }
    return copy;
}

struct type type_clone(const struct type *t, struct arena *arena)
{
    struct type copy = *t;

    copy.children = fields_clone(t->children, t->n_children, arena);
    if (t->other.n)
        copy.other = arena_str(arena, t->other);
    return copy;
}

struct schema *schema_clone(const struct schema *s)
{
    struct schema *copy = schema_new();

    copy->n_fields = s->n_fields;
    copy->fields = fields_clone(s->fields, s->n_fields, &copy->arena);
    return copy;
}

int schema_find(const struct schema *s, struct str name)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (str_eq_nocase(s->fields[i].name, name))
            return (int)i;
    return -1;
}

struct str field_meta_get(const struct field *f, struct str key)
{
    for (uint32_t i = 0; i < f->n_meta; i++)
        if (str_eq(f->meta[i].key, key))
            return f->meta[i].json;
    return (struct str){0};
}

void field_meta_set(struct field *f, struct arena *arena, struct str key, struct str json)
{
    struct field_meta *copy = ARENA_NEW_N(arena, struct field_meta, f->n_meta + 1);
    uint32_t n = 0;

    for (uint32_t i = 0; i < f->n_meta; i++)
        if (!str_eq(f->meta[i].key, key))
            copy[n++] = f->meta[i];
    if (json.n)
        copy[n++] = (struct field_meta){arena_str(arena, key), arena_str(arena, json)};
    f->meta = copy;
    f->n_meta = n;
}

bool type_eq(const struct type *a, const struct type *b)
{
    if (a->id != b->id || a->n_children != b->n_children)
        return false;
    if (a->id == TYPE_DECIMAL && (a->precision != b->precision || a->scale != b->scale))
        return false;
    if (a->id == TYPE_OTHER && !str_eq(a->other, b->other))
        return false;
    for (uint32_t i = 0; i < a->n_children; i++) {
        if (a->id == TYPE_STRUCT && !str_eq(a->children[i].name, b->children[i].name))
            return false;
        if (!type_eq(&a->children[i].type, &b->children[i].type))
            return false;
    }
    return true;
}

bool type_is_nested(const struct type *t)
{
    return t->id == TYPE_STRUCT || t->id == TYPE_ARRAY || t->id == TYPE_MAP;
}

void type_text(const struct type *t, struct buf *out)
{
    static const char *const names[] = {[TYPE_BOOLEAN] = "boolean",
                                        [TYPE_BYTE] = "tinyint",
                                        [TYPE_SHORT] = "smallint",
                                        [TYPE_INTEGER] = "int",
                                        [TYPE_LONG] = "bigint",
                                        [TYPE_FLOAT] = "float",
                                        [TYPE_DOUBLE] = "double",
                                        [TYPE_DECIMAL] = "decimal",
                                        [TYPE_STRING] = "string",
                                        [TYPE_BINARY] = "binary",
                                        [TYPE_DATE] = "date",
                                        [TYPE_TIMESTAMP] = "timestamp",
                                        [TYPE_TIMESTAMP_NTZ] = "timestamp_ntz",
                                        [TYPE_VARIANT] = "variant",
                                        [TYPE_VOID] = "void",
                                        [TYPE_STRUCT] = "struct",
                                        [TYPE_ARRAY] = "array",
                                        [TYPE_MAP] = "map",
                                        [TYPE_OTHER] = "unknown"};

    assert(t->id < ARRAY_LEN(names));
    buf_add_cstr(out, names[t->id]);
    if (t->id == TYPE_DECIMAL)
        buf_printf(out, "(%d,%d)", t->precision, t->scale);
    if (!type_is_nested(t))
        return;
    buf_add_char(out, '<');
    for (uint32_t i = 0; i < t->n_children; i++) {
        if (i)
            buf_add_char(out, ',');
        if (t->id == TYPE_STRUCT)
            buf_printf(out, "%.*s:", STR_ARG(t->children[i].name));
        type_text(&t->children[i].type, out);
    }
    buf_add_char(out, '>');
}
