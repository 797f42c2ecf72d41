/*
 * The parser of types: recursive descent with a limit on depth.
 *
 *   type    := name [ ( n [, n] ) ] | STRUCT < field, … > | ARRAY < type > | MAP < type , type >      then any number of []
 *            | STRUCT ( field, … ) | MAP ( type , type )                                               (DuckDB's spelling)
 *   field   := name [:] type [NOT NULL] [COMMENT 'text']
 *
 * While it reads, it writes Spark's text of the type, which is what Spark keeps of CHAR and VARCHAR.
 */
#include "sql/types.h"

#include "base/mem.h"

#include <assert.h>

struct type_out {
    struct buf text; /* Spark's text so far */
    bool has_char;   /* a CHAR(n) or VARCHAR(n) is in it */
};

static void out_deinit(struct type_out *out)
{
    buf_deinit(&out->text);
}

/* Longer spellings come before those that they start with. */
static const struct {
    const char *words;
    enum type_id id;
} simple_types[] = {
    {"BOOLEAN", TYPE_BOOLEAN},
    {"BOOL", TYPE_BOOLEAN},
    {"LOGICAL", TYPE_BOOLEAN},
    {"TINYINT", TYPE_BYTE},
    {"BYTE", TYPE_BYTE},
    {"INT1", TYPE_BYTE},
    {"SMALLINT", TYPE_SHORT},
    {"SHORT", TYPE_SHORT},
    {"INT2", TYPE_SHORT},
    {"INT", TYPE_INTEGER},
    {"INTEGER", TYPE_INTEGER},
    {"INT4", TYPE_INTEGER},
    {"SIGNED", TYPE_INTEGER},
    {"BIGINT", TYPE_LONG},
    {"LONG", TYPE_LONG},
    {"INT8", TYPE_LONG},
    {"FLOAT", TYPE_FLOAT},
    {"REAL", TYPE_FLOAT},
    {"FLOAT4", TYPE_FLOAT},
    {"DOUBLE PRECISION", TYPE_DOUBLE},
    {"DOUBLE", TYPE_DOUBLE},
    {"FLOAT8", TYPE_DOUBLE},
    {"STRING", TYPE_STRING},
    {"TEXT", TYPE_STRING},
    {"BPCHAR", TYPE_STRING},
    {"BINARY", TYPE_BINARY},
    {"VARBINARY", TYPE_BINARY},
    {"BLOB", TYPE_BINARY},
    {"BYTEA", TYPE_BINARY},
    {"DATE", TYPE_DATE},
    {"TIMESTAMP WITHOUT TIME ZONE", TYPE_TIMESTAMP_NTZ},
    {"TIMESTAMP WITH TIME ZONE", TYPE_TIMESTAMP},
    {"TIMESTAMP", TYPE_TIMESTAMP},
    {"TIMESTAMPTZ", TYPE_TIMESTAMP},
    {"TIMESTAMP_LTZ", TYPE_TIMESTAMP},
    {"TIMESTAMP_NTZ", TYPE_TIMESTAMP_NTZ},
    {"DATETIME", TYPE_TIMESTAMP_NTZ},
    {"VARIANT", TYPE_VARIANT},
    {"VOID", TYPE_VOID},
};

void sql_meta_set_str(struct field *f, struct arena *arena, const char *key, struct str value)
{
    CLEANUP(buf_deinit) struct buf json = {0};

    buf_add_json_str(&json, value);
    field_meta_set(f, arena, arena_str(arena, str_of(key)), arena_str(arena, buf_str(&json)));
}

static int read_type(struct parser *p, struct type *ret, struct type_out *out);

static struct field *children_new(struct parser *p, struct type *t, uint32_t n)
{
    static const char *const names[][2] = {{"element", ""}, {"key", "value"}};

    assert(n == 1 || n == 2);
    t->children = ARENA_NEW_N(p->arena, struct field, n);
    t->n_children = n;
    for (uint32_t i = 0; i < n; i++) {
        t->children[i].name = t->children[i].physical = str_of(names[n - 1][i]);
        t->children[i].nullable = !(n == 2 && i == 0); /* a map's key is never null */
    }
    return t->children;
}

static int read_field(struct parser *p, struct field *ret, struct type_out *out)
{
    struct str comment;

    *ret = (struct field){.nullable = true};
    TRY(parser_ident(p, "a field name", &ret->name));
    ret->physical = ret->name;
    parser_accept(p, ":");
    buf_printf(&out->text, "%.*s:", STR_ARG(ret->name));
    TRY(read_type(p, &ret->type, out));
    if (parser_accept(p, "NOT NULL"))
        ret->nullable = false;
    if (parser_accept(p, "COMMENT")) {
        TRY(parser_string(p, "the comment as a string", &comment));
        sql_meta_set_str(ret, p->arena, "comment", comment);
    }
    return 0;
}

static int read_fields(struct parser *p, const char *close, struct type *ret, struct type_out *out)
{
    if (parser_accept(p, close))
        return 0;
    do {
        ret->children = parser_grow(p, ret->children, ret->n_children, sizeof *ret->children);
        if (ret->n_children)
            buf_add_char(&out->text, ',');
        size_t at = parser_peek(p, 0)->at;
        TRY(read_field(p, &ret->children[ret->n_children], out));
        for (uint32_t i = 0; i < ret->n_children; i++)
            if (str_eq_nocase(ret->children[i].name, ret->children[ret->n_children].name))
                return sql_error(p->err, ERR_INPUT, p->lx.script, at, "the struct has two fields %.*s",
                                 STR_ARG(ret->children[i].name));
        ret->n_children++;
    } while (parser_accept(p, ","));
    return parser_expect(p, close);
}

static int read_nested(struct parser *p, struct type *ret, struct type_out *out)
{
    if (parser_accept(p, "STRUCT") || parser_accept(p, "ROW")) {
        ret->id = TYPE_STRUCT;
        buf_add_cstr(&out->text, "struct<");
        if (parser_accept(p, "("))
            TRY(read_fields(p, ")", ret, out));
        else if (!parser_accept(p, "<>")) {
            TRY(parser_expect(p, "<"));
            TRY(read_fields(p, ">", ret, out));
        }
    } else if (parser_accept(p, "ARRAY")) {
        ret->id = TYPE_ARRAY;
        buf_add_cstr(&out->text, "array<");
        TRY(parser_expect(p, "<"));
        TRY(read_type(p, &children_new(p, ret, 1)->type, out));
        TRY(parser_expect(p, ">"));
    } else {
        TRY(parser_expect(p, "MAP"));
        bool round = parser_accept(p, "(");
        ret->id = TYPE_MAP;
        buf_add_cstr(&out->text, "map<");
        if (!round)
            TRY(parser_expect(p, "<"));
        struct field *pair = children_new(p, ret, 2);
        size_t at = parser_peek(p, 0)->at;
        TRY(read_type(p, &pair[0].type, out));
        if (pair[0].type.id == TYPE_VARIANT)
            return sql_error(p->err, ERR_UNSUPPORTED, p->lx.script, at, "the keys of a MAP cannot be VARIANT");
        TRY(parser_expect(p, ","));
        buf_add_char(&out->text, ',');
        TRY(read_type(p, &pair[1].type, out));
        TRY(parser_expect(p, round ? ")" : ">"));
    }
    buf_add_char(&out->text, '>');
    return 0;
}

static int read_decimal(struct parser *p, struct type *ret)
{
    size_t at = parser_peek(p, 0)->at;
    int64_t precision = 10, scale = 0;

    if (parser_accept(p, "(")) {
        TRY(parser_i64(p, "the number of digits", &precision));
        if (parser_accept(p, ","))
            TRY(parser_i64(p, "the number of digits after the point", &scale));
        TRY(parser_expect(p, ")"));
    }
    if (precision < 1 || precision > 38 || scale < 0 || scale > precision)
        return sql_error(p->err, ERR_INPUT, p->lx.script, at,
                         "DECIMAL(%lld,%lld) is not possible: 1 to 38 digits, of which 0 to all after the point",
                         (long long)precision, (long long)scale);
    ret->id = TYPE_DECIMAL;
    ret->precision = (uint8_t)precision;
    ret->scale = (uint8_t)scale;
    return 0;
}

/* CHAR(n), VARCHAR(n); VARCHAR alone is a string. */
static int read_char(struct parser *p, bool varying, struct type *ret, struct type_out *out)
{
    int64_t length = 1;

    ret->id = TYPE_STRING;
    if (parser_accept(p, "(")) {
        size_t at = parser_peek(p, 0)->at;
        TRY(parser_i64(p, "the number of characters", &length));
        TRY(parser_expect(p, ")"));
        if (length < 1 || length > INT32_MAX)
            return sql_error(p->err, ERR_INPUT, p->lx.script, at, "a text of %lld characters is not possible",
                             (long long)length);
    } else if (varying) {
        buf_add_cstr(&out->text, "string");
        return 0;
    }
    buf_printf(&out->text, "%s(%lld)", varying ? "varchar" : "char", (long long)length);
    out->has_char = true;
    return 0;
}

static int unknown_type(struct parser *p)
{
    const struct token *t = parser_peek(p, 0);

    if (!token_is_name(t))
        return parser_fail(p, "a type");
    sql_error(p->err, ERR_UNSUPPORTED, p->lx.script, t->at, "there is no type %.*s", (int)MIN(t->text.n, (size_t)60),
              t->text.p);
    err_hint(p->err, "the types are BOOLEAN, TINYINT, SMALLINT, INT, BIGINT, FLOAT, DOUBLE, DECIMAL(p,s), STRING, "
                     "VARCHAR(n), CHAR(n), BINARY, DATE, TIMESTAMP, TIMESTAMP_NTZ, VARIANT, STRUCT<name: type, …>, "
                     "ARRAY<type>, MAP<type, type>");
    return ERR_UNSUPPORTED;
}

static int read_scalar(struct parser *p, struct type *ret, struct type_out *out)
{
    if (parser_accept(p, "DECIMAL") || parser_accept(p, "NUMERIC") || parser_accept(p, "DEC")) {
        TRY(read_decimal(p, ret));
        type_text(ret, &out->text);
        return 0;
    }
    if (parser_accept(p, "VARCHAR") || parser_accept(p, "CHARACTER VARYING"))
        return read_char(p, true, ret, out);
    if (parser_accept(p, "CHAR") || parser_accept(p, "CHARACTER"))
        return read_char(p, false, ret, out);
    for (size_t i = 0; i < ARRAY_LEN(simple_types); i++) {
        if (parser_accept(p, simple_types[i].words)) {
            ret->id = simple_types[i].id;
            type_text(ret, &out->text);
            return 0;
        }
    }
    return unknown_type(p);
}

static int too_deep(struct parser *p)
{
    return sql_error(p->err, ERR_LIMIT, p->lx.script, parser_peek(p, 0)->at, "the type is nested more than %d deep",
                     SQL_TYPE_DEPTH);
}

/* type[][3] is an array of arrays of type. */
static int wrap_arrays(struct parser *p, struct type *t, struct type_out *out, size_t text_start)
{
    for (unsigned depth = p->depth; parser_at(p, "["); depth++) {
        unsigned number = parser_peek(p, 1)->kind == TOKEN_NUMBER;
        if (!token_is(parser_peek(p, 1 + number), "]"))
            return parser_fail(p, "[] after the type");
        if (depth >= SQL_TYPE_DEPTH)
            return too_deep(p);
        for (unsigned i = 0; i < 2 + number; i++)
            parser_take(p);
        struct type array = {.id = TYPE_ARRAY};
        children_new(p, &array, 1)->type = *t;
        *t = array;
        struct str inner = arena_str(p->arena, str_make(out->text.p + text_start, out->text.n - text_start));
        out->text.n = text_start;
        buf_printf(&out->text, "array<%.*s>", STR_ARG(inner));
    }
    return 0;
}

static int read_type(struct parser *p, struct type *ret, struct type_out *out)
{
    size_t text_start = out->text.n;
    bool nested = parser_at(p, "STRUCT") || parser_at(p, "ROW") || parser_at(p, "ARRAY") || parser_at(p, "MAP");

    *ret = (struct type){0};
    if (p->depth == SQL_TYPE_DEPTH)
        return too_deep(p);
    p->depth++;
    TRY(nested ? read_nested(p, ret, out) : read_scalar(p, ret, out));
    TRY(wrap_arrays(p, ret, out, text_start));
    p->depth--;
    return 0;
}

int parser_type(struct parser *p, struct type *ret, struct str *ret_char_type)
{
    CLEANUP(out_deinit) struct type_out out = {0};

    p->depth = 0;
    TRY(read_type(p, ret, &out));
    if (ret_char_type)
        *ret_char_type = out.has_char ? arena_str(p->arena, buf_str(&out.text)) : (struct str){0};
    return 0;
}

int sql_type_parse(struct arena *arena, struct str text, struct type *ret, struct err *err)
{
    struct parser p;
    struct type t;

    parser_init(&p, arena, text, text, err);
    TRY(parser_type(&p, &t, NULL));
    TRY(parser_end(&p));
    *ret = t;
    return 0;
}
