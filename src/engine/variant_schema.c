/*
 * schema_of_variant(): what a variant holds, in Spark's words. Integers are BIGINT, of whatever size; elements of an array
 * are brought together as Spark does when it infers the types of JSON: numbers to the wider, objects by their members, and what
 * has nothing in common to VARIANT.
 */
#include "base/str.h"
#include "codec/pg_number.h"
#include "engine/variant_call.h"

enum { LONG_DIGITS = 20, MAX_DIGITS = 38 };

static struct type decimal_type(unsigned whole, unsigned scale)
{
    if (whole + scale > MAX_DIGITS)
        return (struct type){.id = TYPE_DOUBLE};
    return (struct type){.id = TYPE_DECIMAL, .precision = (uint8_t)(whole + scale), .scale = (uint8_t)scale};
}

static struct type type_of_decimal(const struct variant_part *p)
{
    size_t size = p->width > 18 ? 16 : p->width > 9 ? 8 : p->width > 4 ? 4 : 2;
    unsigned shift = 128 - 8 * (unsigned)size, scale = p->scale, digits = 1;
    uint128 v = 0;

    memcpy(&v, p->bytes.p, MIN(size, p->bytes.n));
    int128 n = (int128)(v << shift) >> shift;
    for (; scale && n % 10 == 0; scale--)
        n /= 10;
    for (v = n < 0 ? -(uint128)n : (uint128)n; digits < MAX_DIGITS && v >= pg_pow10(digits); digits++)
        ;
    return decimal_type(MAX(digits, scale) - scale, scale);
}

static struct type type_at(struct arena *arena, const struct variant_parts *v, uint64_t i);

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct field *)a)->name, ((const struct field *)b)->name);
}

static struct type type_of_object(struct arena *arena, const struct variant_parts *v, const struct variant_part *p)
{
    struct type t = {.id = TYPE_STRUCT, .n_children = p->n, .children = ARENA_NEW_N(arena, struct field, p->n + 1)};

    for (uint32_t k = 0; k < p->n; k++)
        t.children[k] = (struct field){.name = variant_member_name(v, p->first + k),
                                       .type = type_at(arena, v, variant_member(v, p->first + k))};
    qsort(t.children, t.n_children, sizeof *t.children, by_name);
    return t;
}

static struct type merge(struct arena *arena, const struct type *a, const struct type *b);

/* Both are sorted by name. */
static struct type merge_objects(struct arena *arena, const struct type *a, const struct type *b)
{
    struct type t = {.id = TYPE_STRUCT,
                     .children = ARENA_NEW_N(arena, struct field, a->n_children + b->n_children + 1)};
    uint32_t i = 0, k = 0;

    while (i < a->n_children || k < b->n_children) {
        int c = i == a->n_children ? 1 : k == b->n_children ? -1 : str_cmp(a->children[i].name, b->children[k].name);
        struct field *f = &t.children[t.n_children++];
        *f = c <= 0 ? a->children[i] : b->children[k];
        if (c == 0)
            f->type = merge(arena, &a->children[i].type, &b->children[k].type);
        i += c <= 0;
        k += c >= 0;
    }
    return t;
}

static struct type array_of(struct arena *arena, struct type element)
{
    struct type t = {.id = TYPE_ARRAY, .n_children = 1, .children = ARENA_NEW(arena, struct field)};

    t.children[0].type = element;
    return t;
}

static bool is_number(const struct type *t)
{
    return t->id == TYPE_LONG || t->id == TYPE_FLOAT || t->id == TYPE_DOUBLE || t->id == TYPE_DECIMAL;
}

static struct type merge_numbers(const struct type *a, const struct type *b)
{
    unsigned whole_a = a->id == TYPE_LONG ? LONG_DIGITS : (unsigned)(a->precision - a->scale);
    unsigned whole_b = b->id == TYPE_LONG ? LONG_DIGITS : (unsigned)(b->precision - b->scale);

    if (a->id == TYPE_DECIMAL || b->id == TYPE_DECIMAL) {
        bool real = a->id == TYPE_FLOAT || a->id == TYPE_DOUBLE || b->id == TYPE_FLOAT || b->id == TYPE_DOUBLE;
        return real ? (struct type){.id = TYPE_DOUBLE} : decimal_type(MAX(whole_a, whole_b), MAX(a->scale, b->scale));
    }
    return (struct type){.id = MAX(a->id, b->id)}; /* BIGINT, FLOAT, DOUBLE stand in this order */
}

static bool is_time(const struct type *t)
{
    return t->id == TYPE_DATE || t->id == TYPE_TIMESTAMP || t->id == TYPE_TIMESTAMP_NTZ;
}

static struct type merge(struct arena *arena, const struct type *a, const struct type *b)
{
    if (a->id == TYPE_VOID || b->id == TYPE_VOID)
        return a->id == TYPE_VOID ? *b : *a;
    if (a->id == TYPE_STRUCT && b->id == TYPE_STRUCT)
        return merge_objects(arena, a, b);
    if (a->id == TYPE_ARRAY && b->id == TYPE_ARRAY)
        return array_of(arena, merge(arena, &a->children[0].type, &b->children[0].type));
    if (type_eq(a, b))
        return *a;
    if (is_number(a) && is_number(b))
        return merge_numbers(a, b);
    if (is_time(a) && is_time(b))
        return (struct type){.id = a->id == TYPE_TIMESTAMP || b->id == TYPE_TIMESTAMP ? TYPE_TIMESTAMP
                                                                                      : TYPE_TIMESTAMP_NTZ};
    return (struct type){.id = TYPE_VARIANT};
}

static struct type type_of_elements(struct arena *arena, const struct variant_parts *v, const struct variant_part *p)
{
    struct type t = {.id = TYPE_VOID};

    for (uint32_t k = 0; k < p->n; k++) {
        struct type one = type_at(arena, v, variant_member(v, p->first + k));
        t = merge(arena, &t, &one);
    }
    return t;
}

static struct type type_at(struct arena *arena, const struct variant_parts *v, uint64_t i)
{
    const struct variant_part p = variant_part_at(v, i);

    switch (p.kind) {
    case PART_NULL:
        return (struct type){.id = TYPE_VOID};
    case PART_TRUE:
    case PART_FALSE:
        return (struct type){.id = TYPE_BOOLEAN};
    case PART_FLOAT:
    case PART_DOUBLE:
        return (struct type){.id = p.kind == PART_FLOAT ? TYPE_FLOAT : TYPE_DOUBLE};
    case PART_DECIMAL:
        return type_of_decimal(&p);
    case PART_BLOB:
        return (struct type){.id = TYPE_BINARY};
    case PART_DATE:
        return (struct type){.id = TYPE_DATE};
    case PART_TIMESTAMP_TZ:
        return (struct type){.id = TYPE_TIMESTAMP};
    case PART_TIMESTAMP:
    case PART_TIMESTAMP_S:
    case PART_TIMESTAMP_MS:
    case PART_TIMESTAMP_NS:
        return (struct type){.id = TYPE_TIMESTAMP_NTZ};
    case PART_OBJECT:
        return type_of_object(arena, v, &p);
    case PART_ARRAY:
        return array_of(arena, type_of_elements(arena, v, &p));
    default: /* what Parquet has no type for is kept as its text */
        return (struct type){.id = p.kind >= PART_INT8 && p.kind <= PART_UINT128 ? TYPE_LONG : TYPE_STRING};
    }
}

static bool is_plain_name(struct str s)
{
    bool plain = s.n > 0;

    for (size_t i = 0; i < s.n; i++)
        plain &=
            s.p[i] == '_' || (s.p[i] >= '0' && s.p[i] <= '9' && i) || ((s.p[i] | 32) >= 'a' && (s.p[i] | 32) <= 'z');
    return plain;
}

static void add_name(struct str name, struct buf *out)
{
    if (is_plain_name(name)) {
        buf_add_str(out, name);
        return;
    }
    buf_add_char(out, '`');
    for (size_t i = 0; i < name.n; i++)
        buf_printf(out, name.p[i] == '`' ? "``" : "%c", name.p[i]);
    buf_add_char(out, '`');
}

static void add_type(const struct type *t, struct buf *out)
{
    static const char *const names[] = {
        [TYPE_BOOLEAN] = "BOOLEAN", [TYPE_LONG] = "BIGINT",         [TYPE_FLOAT] = "FLOAT",
        [TYPE_DOUBLE] = "DOUBLE",   [TYPE_STRING] = "STRING",       [TYPE_BINARY] = "BINARY",
        [TYPE_DATE] = "DATE",       [TYPE_TIMESTAMP] = "TIMESTAMP", [TYPE_TIMESTAMP_NTZ] = "TIMESTAMP_NTZ",
        [TYPE_VARIANT] = "VARIANT", [TYPE_VOID] = "VOID",
    };

    if (t->id == TYPE_DECIMAL) {
        buf_printf(out, "DECIMAL(%u,%u)", t->precision, t->scale);
        return;
    }
    if (t->id != TYPE_STRUCT && t->id != TYPE_ARRAY) {
        buf_add_cstr(out, names[t->id]);
        return;
    }
    buf_add_cstr(out, t->id == TYPE_STRUCT ? "OBJECT<" : "ARRAY<");
    for (uint32_t i = 0; i < t->n_children; i++) {
        if (t->id == TYPE_STRUCT) {
            buf_add_cstr(out, i ? ", " : "");
            add_name(t->children[i].name, out);
            buf_add_cstr(out, ": ");
        }
        add_type(&t->children[i].type, out);
    }
    buf_add_char(out, '>');
}

static void give(struct variant_call *c, const struct type *t, idx_t row, duckdb_vector out)
{
    buf_reset(&c->text);
    add_type(t, &c->text);
    duckdb_vector_assign_string_element_len(out, row, c->text.p, c->text.n);
}

static int schema_of(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);
    struct type t = type_at(&c->arena, &parts, 0);

    (void)err;
    give(c, &t, row, out);
    return 0;
}

static int schema_of_elements(struct variant_call *c, idx_t row, duckdb_vector out, struct err *err)
{
    const struct variant_parts parts = variant_parts_of(&c->in, row);
    const struct variant_part p = variant_part_at(&parts, 0);
    struct type t = {.id = TYPE_VOID};

    (void)err;
    if (p.kind == PART_ARRAY)
        t = type_of_elements(&c->arena, &parts, &p);
    give(c, &t, row, out);
    return 0;
}

static void schema_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    variant_call_run(info, in, out, schema_of);
}

static void elements_run(duckdb_function_info info, duckdb_data_chunk in, duckdb_vector out)
{
    variant_call_run(info, in, out, schema_of_elements);
}

int variant_schema_register(struct engine_conn *conn, duckdb_logical_type variant, struct err *err)
{
    CLEANUP(duckdb_destroy_logical_type) duckdb_logical_type text = duckdb_create_logical_type(DUCKDB_TYPE_VARCHAR);

    TRY(variant_function_add(conn, "schema_of_variant", variant, NULL, text, schema_run, err));
    TRY(variant_function_add(conn, "variant_elements_schema", variant, NULL, text, elements_run, err));
    return engine_exec(conn,
                       "CREATE OR REPLACE MACRO schema_of_variant_agg(v) AS"
                       " coalesce(variant_elements_schema(CAST(list(v) AS VARIANT)), 'VOID')",
                       err);
}
