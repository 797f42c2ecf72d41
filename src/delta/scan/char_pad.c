/* Walks Spark's text of a type and Delta's type side by side. */
#include "delta/scan/char_pad.h"

#include "base/arena.h"
#include "codec/delta_schema.h"

static bool has_char(struct str text)
{
    for (size_t i = 0; i + 5 <= text.n; i++)
        if (memcmp(text.p + i, "char(", 5) == 0 && (i == 0 || text.p[i - 1] != 'r'))
            return true;
    return false;
}

/* Cuts one type off a list of them: up to the comma that is in no brackets. */
static struct str take_type(struct str *rest)
{
    size_t depth = 0, i = 0;

    for (; i < rest->n; i++) {
        char c = rest->p[i];
        if (c == ',' && depth == 0)
            break;
        depth += c == '<' || c == '(';
        depth -= (c == '>' || c == ')') && depth > 0;
    }
    struct str type = str_make(rest->p, i);
    i = MIN(i + 1, rest->n);
    *rest = str_make(rest->p + i, rest->n - i);
    return type;
}

/* What is between "word<" and ">". False when the text is not of this form. */
static bool inside(struct str text, const char *word, struct str *ret)
{
    size_t n = strlen(word);

    if (!str_has_prefix(text, str_of(word)) || text.n < n + 2 || text.p[n] != '<' || text.p[text.n - 1] != '>')
        return false;
    *ret = str_make(text.p + n + 1, text.n - n - 2);
    return true;
}

static void pad_at(const struct type *type, struct str text, struct str expr, unsigned depth, struct buf *out);

static void pad_struct(const struct type *type, struct str rest, struct str expr, unsigned depth, struct buf *out)
{
    buf_printf(out, "CASE WHEN %.*s IS NULL THEN NULL ELSE struct_pack(", STR_ARG(expr));
    for (uint32_t i = 0; i < type->n_children; i++) {
        const struct field *f = &type->children[i];
        CLEANUP(buf_deinit) struct buf part = {0};
        struct str field = take_type(&rest), name = str_split(&field, ':');
        buf_printf(&part, "struct_extract_at(%.*s, %u)", STR_ARG(expr), i + 1);
        if (i)
            buf_add_cstr(out, ", ");
        buf_add_sql_ident(out, f->name);
        buf_add_cstr(out, " := ");
        pad_at(&f->type, str_eq(name, f->name) ? field : (struct str){0}, buf_str(&part), depth, out);
    }
    buf_add_cstr(out, ") END");
}

static void pad_array(const struct type *type, struct str text, struct str expr, unsigned depth, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf var = {0};

    buf_printf(&var, "p%u", depth);
    buf_printf(out, "list_transform(%.*s, lambda p%u: ", STR_ARG(expr), depth);
    pad_at(&type->children[0].type, text, buf_str(&var), depth + 1, out);
    buf_add_char(out, ')');
}

static void pad_map(const struct type *type, struct str rest, struct str expr, unsigned depth, struct buf *out)
{
    static const char *const parts[] = {"key", "value"};

    buf_printf(out, "map_from_entries(list_transform(map_entries(%.*s), lambda p%u: struct_pack(", STR_ARG(expr),
               depth);
    for (unsigned i = 0; i < 2; i++) {
        CLEANUP(buf_deinit) struct buf var = {0};
        buf_printf(&var, "p%u.%s", depth, parts[i]);
        buf_printf(out, "%s%s := ", i ? ", " : "", parts[i]);
        pad_at(&type->children[i].type, take_type(&rest), buf_str(&var), depth + 1, out);
    }
    buf_add_cstr(out, ")))");
}

static void pad_at(const struct type *type, struct str text, struct str expr, unsigned depth, struct buf *out)
{
    enum type_id id = has_char(text) ? type->id : TYPE_VOID; /* nothing to pad in it */
    struct str rest;
    unsigned n;

    if (id == TYPE_STRING && text.n < 20 && sscanf(text.p, "char(%u)", &n) == 1)
        buf_printf(out, "CASE WHEN length(%.*s) < %u THEN rpad(%.*s, %u, ' ') ELSE %.*s END", STR_ARG(expr), n,
                   STR_ARG(expr), n, STR_ARG(expr));
    else if (id == TYPE_STRUCT && inside(text, "struct", &rest))
        pad_struct(type, rest, expr, depth, out);
    else if (id == TYPE_ARRAY && inside(text, "array", &rest))
        pad_array(type, rest, expr, depth, out);
    else if (id == TYPE_MAP && inside(text, "map", &rest))
        pad_map(type, rest, expr, depth, out);
    else
        buf_add_str(out, expr);
}

void char_pad_sql(const struct field *f, struct str expr, struct buf *out)
{
    CLEANUP(arena_deinit) struct arena arena = {0};

    pad_at(&f->type, delta_field_text(f, "__CHAR_VARCHAR_TYPE_STRING", &arena), expr, 0, out);
}
