/* How each kind of value is shaped before the cast, and what is known of literals without asking DuckDB. */
#include "delta/dml/store_assign.h"

#include "engine/parquet_write.h"

#include <ctype.h>

/* What is put around a value before the cast. */
struct form {
    const char *before, *after;
};

static bool is_whole(enum type_id id)
{
    return id == TYPE_BYTE || id == TYPE_SHORT || id == TYPE_INTEGER || id == TYPE_LONG;
}

/* A text that matches (all of it) is put into quotes, so that the cast refuses it and says it. */
#define REFUSE(pattern) REFUSE_AFTER("", "", pattern)
#define REFUSE_AFTER(before, after, pattern) \
    ((struct form){"regexp_replace(" before, after ", '^(" pattern ")$', '\"\\1\"', 's')"})
/* Years and months are their first days. */
#define REFUSE_SHORT(before, after, pattern)              \
    REFUSE_AFTER("regexp_replace(regexp_replace(" before, \
                 after ", '^\\s*(\\d{4,7})\\s*$', '\\1-01-01'), '^\\s*(\\d{4,7}-\\d{1,2})\\s*$', '\\1-01')", pattern)
#define NO_TIME "\\s*-?[A-Za-z].*" /* infinity, epoch */

static struct form form_of_text(enum type_id to)
{
    switch (to) {
    case TYPE_BYTE:
    case TYPE_SHORT:
    case TYPE_INTEGER:
    case TYPE_LONG:
        return REFUSE(".*[^-+0-9\\s].*");
    case TYPE_FLOAT:
    case TYPE_DOUBLE:
    case TYPE_DECIMAL:
        return REFUSE(".*_.*");
    case TYPE_DATE:
        return REFUSE_SHORT("", "", NO_TIME);
    case TYPE_TIMESTAMP:
    case TYPE_TIMESTAMP_NTZ:
        return REFUSE_SHORT("regexp_replace(", ", '^\\s*(\\d{4,}-\\d{1,2}-\\d{1,2}[ T]\\d{1,2})\\s*$', '\\1:00')",
                            NO_TIME);
    case TYPE_BOOLEAN:
        return (struct form){"trim(", ", E' \\t\\n\\r')"};
    case TYPE_BINARY:
        return (struct form){"encode(", ")"};
    default:
        return (struct form){0};
    }
}

/* Numbers are seconds. Nothing: it is another. */
static struct form form_of_seconds(const struct engine_type *from, const struct type *to)
{
    bool whole = from->kind >= ENGINE_TINYINT && from->kind <= ENGINE_BIGINT;
    bool exact = from->kind == ENGINE_DECIMAL, real = from->kind == ENGINE_DOUBLE || from->kind == ENGINE_FLOAT;
    bool number = to->id == TYPE_DECIMAL || to->id == TYPE_FLOAT || to->id == TYPE_DOUBLE;

    if (to->id == TYPE_TIMESTAMP && whole)
        return (struct form){"make_timestamptz(CAST(", " AS BIGINT) * 1000000)"};
    if (to->id == TYPE_TIMESTAMP && exact)
        return (struct form){"make_timestamptz(CAST(trunc(", " * CAST(1000000 AS DECIMAL(38,0))) AS BIGINT))"};
    if (to->id == TYPE_TIMESTAMP && real)
        return (struct form){"make_timestamptz(CAST(trunc(CAST(", " AS DOUBLE) * 1e6) AS BIGINT))"};
    if (from->kind == ENGINE_TIMESTAMP_TZ && (number || is_whole(to->id)))
        return (struct form){number ? "epoch(" : "floor(epoch(", number ? ")" : "))"};
    return (struct form){0};
}

/* The same for all types; nothing: the cast is enough. */
static struct form form_of(const struct engine_type *from, const struct type *to)
{
    struct form seconds = form_of_seconds(from, to);

    if (seconds.before)
        return seconds;
    if (from->kind == ENGINE_VARCHAR)
        return form_of_text(to->id);
    if (is_whole(to->id) &&
        (from->kind == ENGINE_DOUBLE || from->kind == ENGINE_FLOAT || (from->kind == ENGINE_DECIMAL && from->scale)))
        return (struct form){"trunc(", ")"};
    if (to->id == TYPE_DECIMAL && (from->kind == ENGINE_DOUBLE || from->kind == ENGINE_FLOAT))
        return (struct form){"nullif(nullif(nullif(CAST(CAST(", /* Spark makes NULL of what is no number */
                             " AS DOUBLE) AS VARCHAR), 'nan'), 'inf'), '-inf')"};
    if (to->id == TYPE_STRING && from->kind == ENGINE_DECIMAL && from->precision == from->scale)
        return (struct form){"regexp_replace(CAST(", " AS VARCHAR), '^(-?)\\.', '\\10.')"}; /* DuckDB's -.125 */
    if (to->id == TYPE_STRING && (from->kind == ENGINE_DOUBLE || from->kind == ENGINE_FLOAT))
        return (struct form){from->kind == ENGINE_FLOAT ? "spark_float_text(" : "spark_double_text(", ")"};
    if (to->id == TYPE_STRING && from->kind == ENGINE_TIMESTAMP_TZ)
        return (struct form){"CAST(", " AS TIMESTAMP)"};
    return to->id == TYPE_STRING && from->kind == ENGINE_BLOB ? (struct form){"decode(", ")"} : (struct form){0};
}

static bool is_list(const struct engine_type *t)
{
    return t->kind == ENGINE_LIST || t->kind == ENGINE_ARRAY;
}

/* The field of the value that has the name of a field of the column; -1: none. */
static int find_by_name(const struct engine_type *from, struct str name)
{
    for (uint32_t k = 0; k < from->n_children; k++)
        if (str_eq_nocase(from->names[k], name))
            return (int)k;
    return -1;
}

static bool has_names(const struct engine_type *from, const struct type *to)
{
    for (uint32_t i = 0; i < to->n_children; i++)
        if (find_by_name(from, to->children[i].name) < 0)
            return false;
    return true;
}

/* The field of the value for field i of the column; -1: none. */
static int field_for(enum assign_fields fields, const struct engine_type *from, const struct type *to, uint32_t i)
{
    bool by_name = fields == ASSIGN_BY_NAME ? has_names(from, to) : fields != ASSIGN_BY_POSITION;

    if (by_name)
        return find_by_name(from, to->children[i].name);
    return i < from->n_children ? (int)i : -1;
}

static bool plain(enum assign_fields fields, const struct engine_type *from, const struct type *to)
{
    bool is_plain = true;

    if (to->id == TYPE_ARRAY && is_list(from))
        return plain(fields, from->children, &to->children[0].type);
    if (to->id == TYPE_MAP && from->kind == ENGINE_MAP)
        return plain(fields, &from->children->children[0], &to->children[0].type) &&
               plain(fields, &from->children->children[1], &to->children[1].type);
    if (to->id != TYPE_STRUCT || from->kind != ENGINE_STRUCT)
        return !form_of(from, to).before;
    for (uint32_t i = 0; i < to->n_children && is_plain; i++) {
        int k = field_for(fields, from, to, i);
        is_plain = k < 0 || (str_eq_nocase(from->names[k], to->children[i].name) &&
                             plain(fields, &from->children[k], &to->children[i].type));
    }
    return is_plain;
}

bool store_assign_plain(const struct assign_to *to, const struct engine_type *from)
{
    return plain(to->fields, from, to->type);
}

static int refuse_fields(const struct engine_type *from, const struct type *to, struct str column, struct err *err)
{
    CLEANUP(buf_deinit) struct buf have = {0}, want = {0};

    for (uint32_t i = 0; i < from->n_children; i++)
        buf_printf(&have, "%s%.*s", i ? ", " : "", STR_ARG(from->names[i]));
    for (uint32_t i = 0; i < to->n_children; i++)
        buf_printf(&want, "%s%.*s", i ? ", " : "", STR_ARG(to->children[i].name));
    return err_set(err, ERR_USAGE, "a value for the column \"%.*s\" has the fields (%s), which should be (%s)",
                   STR_ARG(column), have.n ? have.p : "", want.n ? want.p : "");
}

/* A field of the value would be lost. */
static bool has_more(const struct engine_type *from, const struct type *to)
{
    bool more = false;

    for (uint32_t k = 0; k < from->n_children && !more; k++) {
        uint32_t i = 0;
        while (i < to->n_children && !str_eq_nocase(from->names[k], to->children[i].name))
            i++;
        more = i == to->n_children;
    }
    return more;
}

int store_assign_check(const struct assign_to *to, const struct engine_type *from, struct err *err)
{
    const struct type *type = to->type;
    struct assign_to inner = *to;
    bool is_struct = type->id == TYPE_STRUCT && from->kind == ENGINE_STRUCT;
    const struct engine_type *children = from->children;

    if (type->id == TYPE_MAP && from->kind == ENGINE_STRUCT)
        return err_set(err, ERR_USAGE, "a struct is no value for the column \"%.*s\", a map", STR_ARG(to->column));
    if (type->id == TYPE_MAP && from->kind == ENGINE_MAP)
        children = from->children->children;
    else if (!is_struct && !(type->id == TYPE_ARRAY && is_list(from)))
        return 0;
    if (is_struct && (to->fields == ASSIGN_EVOLVING ? has_more(from, type)
                                                    : from->n_children != type->n_children ||
                                                          (to->fields == ASSIGN_SAME_NAMES && !has_names(from, type))))
        return refuse_fields(from, type, to->column, err);
    for (uint32_t i = 0; i < type->n_children; i++) {
        int k = is_struct ? field_for(to->fields, from, type, i) : (int)i;
        inner.type = &type->children[i].type;
        if (k >= 0)
            TRY(store_assign_check(&inner, &children[k], err));
    }
    return 0;
}

/* A value on its way into a column. `old`: what is there, where fields that the value lacks stay as they are. */
struct value {
    enum assign_fields fields;
    struct str expr, old;
    unsigned depth; /* of lambdas around it */
};

static void shape(const struct value *v, const struct engine_type *from, const struct type *to, struct buf *out);

/* Fields that the value lacks, in it or in structs in it. */
static bool lacks_fields(const struct engine_type *from, const struct type *to)
{
    bool lacks = false;

    if (to->id != TYPE_STRUCT || from->kind != ENGINE_STRUCT)
        return false;
    for (uint32_t i = 0; i < to->n_children && !lacks; i++) {
        int k = find_by_name(from, to->children[i].name);
        lacks = k < 0 || lacks_fields(&from->children[k], &to->children[i].type);
    }
    return lacks;
}

static bool keeps_old(const struct value *v, const struct engine_type *from, const struct type *to)
{
    return v->old.n && lacks_fields(from, to);
}

static void add_old_field(struct str old, struct str name, struct buf *out)
{
    buf_printf(out, "struct_extract(%.*s, ", STR_ARG(old));
    buf_add_sql_literal(out, name);
    buf_add_char(out, ')');
}

static void shape_field(const struct value *v, const struct engine_type *from, const struct type *to, uint32_t i,
                        struct buf *out)
{
    const struct field *f = &to->children[i];
    CLEANUP(buf_deinit) struct buf part = {0}, old = {0};
    int k = field_for(v->fields, from, to, i);

    if (v->old.n)
        add_old_field(v->old, f->name, &old);
    buf_add_sql_ident(out, f->name);
    buf_add_cstr(out, " := ");
    if (k < 0) {
        buf_add_cstr(out, old.n ? old.p : "NULL");
        return;
    }
    buf_printf(&part, "struct_extract_at(%.*s, %d)", STR_ARG(v->expr), k + 1);
    struct value inner = {v->fields, buf_str(&part), buf_str(&old), v->depth};
    shape(&inner, &from->children[k], &f->type, out);
}

static void shape_struct(const struct value *v, const struct engine_type *from, const struct type *to, struct buf *out)
{
    struct value fields = *v;

    if (!keeps_old(v, from, to))
        fields.old = (struct str){0};
    buf_printf(out, "CASE WHEN %.*s IS NULL", STR_ARG(v->expr));
    if (fields.old.n)
        buf_printf(out, " AND %.*s IS NULL", STR_ARG(v->old));
    buf_add_cstr(out, " THEN NULL ELSE struct_pack(");
    for (uint32_t i = 0; i < to->n_children; i++) {
        buf_add_cstr(out, i ? ", " : "");
        shape_field(&fields, from, to, i, out);
    }
    buf_add_cstr(out, ") END");
}

static void shape_map(const struct value *v, const struct engine_type *from, const struct type *to, struct buf *out)
{
    static const char *const parts[] = {"key", "value"};

    buf_printf(out, "map_from_entries(list_transform(map_entries(%.*s), lambda __v%u: struct_pack(", STR_ARG(v->expr),
               v->depth);
    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(buf_deinit) struct buf var = {0};
        buf_printf(&var, "__v%u.%s", v->depth, parts[i]);
        buf_printf(out, "%s%s := ", i ? ", " : "", parts[i]);
        struct value inner = {v->fields, buf_str(&var), {0}, v->depth + 1};
        shape(&inner, &from->children->children[i], &to->children[i].type, out);
    }
    buf_add_cstr(out, ")))");
}

static void shape_list(const struct value *v, const struct engine_type *from, const struct type *to, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf var = {0};

    buf_printf(&var, "__v%u", v->depth);
    buf_printf(out, "list_transform(%.*s, lambda %s: ", STR_ARG(v->expr), var.p);
    struct value inner = {v->fields, buf_str(&var), {0}, v->depth + 1};
    shape(&inner, from->children, &to->children[0].type, out);
    buf_add_char(out, ')');
}

/* Something that a cast makes a value of the type of. */
static void shape(const struct value *v, const struct engine_type *from, const struct type *to, struct buf *out)
{
    if (plain(v->fields, from, to) && !keeps_old(v, from, to)) {
        buf_add_str(out, v->expr);
    } else if (to->id == TYPE_STRUCT) {
        shape_struct(v, from, to, out);
    } else if (to->id == TYPE_MAP) {
        shape_map(v, from, to, out);
    } else if (to->id == TYPE_ARRAY) {
        shape_list(v, from, to, out);
    } else {
        struct form form = form_of(from, to);
        buf_printf(out, "%s%.*s%s", form.before, STR_ARG(v->expr), form.after);
    }
}

int store_assign_sql(const struct assign_to *to, const struct engine_type *from, struct str expr, bool simple,
                     struct buf *out, struct err *err)
{
    TRY(store_assign_check(to, from, err));
    buf_add_cstr(out, "CAST((");
    if (simple || to->type->id != TYPE_STRUCT || plain(to->fields, from, to->type)) {
        struct value value = {to->fields, expr, {0}, 0};
        shape(&value, from, to->type, out);
    } else { /* it is computed once */
        struct value value = {to->fields, STR("__v0"), {0}, 1};
        buf_printf(out, "list_transform([(%.*s\n)], lambda __v0: ", STR_ARG(expr));
        shape(&value, from, to->type, out);
        buf_add_cstr(out, ")[1]");
    }
    buf_add_cstr(out, ") AS ");
    TRY(parquet_type_sql(to->type, out, err));
    buf_add_char(out, ')');
    return 0;
}

int store_assign_over(const struct assign_to *to, const struct engine_type *from, struct str expr, struct str old,
                      struct buf *out, struct err *err)
{
    struct value value = {to->fields, expr, old, 0};

    TRY(store_assign_check(to, from, err));
    buf_add_cstr(out, "CAST((");
    shape(&value, from, to->type, out);
    buf_add_cstr(out, ") AS ");
    TRY(parquet_type_sql(to->type, out, err));
    buf_add_char(out, ')');
    return 0;
}

/* ---- literals ---- */

static bool number_type(struct str expr, struct engine_type *ret)
{
    size_t i = expr.n && (*expr.p == '-' || *expr.p == '+'), digits = 0;
    bool point = false, exponent = false;

    for (; i < expr.n && !exponent; i++) {
        char c = expr.p[i];
        digits += isdigit((unsigned char)c) != 0;
        exponent = digits && (c == 'e' || c == 'E');
        if (!isdigit((unsigned char)c) && !exponent && (c != '.' || point))
            return false;
        point |= c == '.';
    }
    i += exponent && i < expr.n && (expr.p[i] == '-' || expr.p[i] == '+');
    if (exponent && i == expr.n)
        return false;
    for (; i < expr.n; i++)
        if (!isdigit((unsigned char)expr.p[i]))
            return false;
    *ret = (struct engine_type){.kind = exponent ? ENGINE_DOUBLE
                                        : point  ? ENGINE_DECIMAL
                                                 : ENGINE_BIGINT,
                                .scale = point};
    return digits > 0;
}

bool store_literal_type(struct str expr, struct engine_type *ret)
{
    expr = str_trim(expr);
    *ret = (struct engine_type){.kind = ENGINE_SQLNULL};
    if (str_eq_nocase(expr, STR("NULL")))
        return true;
    ret->kind = ENGINE_BOOLEAN;
    if (str_eq_nocase(expr, STR("TRUE")) || str_eq_nocase(expr, STR("FALSE")))
        return true;
    if (!expr.n || *expr.p != '\'')
        return number_type(expr, ret);
    ret->kind = ENGINE_VARCHAR;
    for (size_t i = 1; i + 1 < expr.n; i++)
        if (expr.p[i] == '\'' && (expr.p[++i] != '\'' || i + 1 == expr.n))
            return false;
    return expr.n > 1 && expr.p[expr.n - 1] == '\'';
}

struct engine_type *store_type_copy(const struct engine_type *from, struct arena *arena)
{
    struct engine_type *copy = arena_dup(arena, from, sizeof *from);

    copy->dictionary = NULL;
    copy->children = ARENA_NEW_N(arena, struct engine_type, from->n_children + 1);
    copy->names = from->names ? ARENA_NEW_N(arena, struct str, from->n_children + 1) : NULL;
    for (uint32_t i = 0; i < from->n_children; i++) {
        copy->children[i] = *store_type_copy(&from->children[i], arena);
        if (from->names)
            copy->names[i] = arena_str(arena, from->names[i]);
    }
    return copy;
}
