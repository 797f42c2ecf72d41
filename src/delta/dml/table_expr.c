/* Finds each CAST(value AS type), asks DuckDB what type the value has, and puts Spark's cast in its place. */
#include "delta/dml/table_expr.h"

#include "delta/dml/store_assign.h"
#include "delta/dml/table_words.h"

#include <ctype.h>

struct cast {
    struct str value, type;
    size_t end; /* of the whole, in the expression */
};

/* The types whose casts need care, by all their names; those with parameters are DuckDB's own. */
static bool type_named(struct str name, struct type *ret)
{
    static const struct {
        const char *name;
        enum type_id id;
    } types[] = {
        {"tinyint", TYPE_BYTE},
        {"byte", TYPE_BYTE},
        {"smallint", TYPE_SHORT},
        {"short", TYPE_SHORT},
        {"int", TYPE_INTEGER},
        {"integer", TYPE_INTEGER},
        {"bigint", TYPE_LONG},
        {"long", TYPE_LONG},
        {"float", TYPE_FLOAT},
        {"real", TYPE_FLOAT},
        {"double", TYPE_DOUBLE},
        {"string", TYPE_STRING},
        {"binary", TYPE_BINARY},
        {"date", TYPE_DATE},
        {"timestamp", TYPE_TIMESTAMP},
        {"boolean", TYPE_BOOLEAN},
        {"timestamp_ltz", TYPE_TIMESTAMP},
        {"timestamp_ntz", TYPE_TIMESTAMP_NTZ},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        if (!str_eq_nocase(name, str_of(types[i].name)))
            continue;
        *ret = (struct type){.id = types[i].id};
        return true;
    }
    return false;
}

static bool in_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '$' || (unsigned char)c >= 0x80;
}

static bool word_at(struct str s, size_t i, struct str word)
{
    return i + word.n <= s.n && str_eq_nocase(str_make(s.p + i, word.n), word) && (i == 0 || !in_word(s.p[i - 1])) &&
           (i + word.n == s.n || !in_word(s.p[i + word.n]));
}

/* Behind the quoted text that begins at i. */
static size_t skip_quoted(struct str s, size_t i)
{
    char quote = s.p[i];

    for (i++; i < s.n && s.p[i] != quote; i++)
        ;
    return MIN(i + 1, s.n);
}

static bool is_quote(char c)
{
    return c == '\'' || c == '"' || c == '`';
}

/* CAST(value AS type) at i. */
static bool cast_at(struct str s, size_t i, struct cast *ret)
{
    size_t open = i + 4, as = 0;
    unsigned depth = 1;

    if (!word_at(s, i, STR("CAST")))
        return false;
    while (open < s.n && isspace((unsigned char)s.p[open]))
        open++;
    if (open == s.n || s.p[open] != '(')
        return false;
    for (i = open + 1; i < s.n; i++) {
        if (is_quote(s.p[i])) {
            i = skip_quoted(s, i) - 1;
            continue;
        }
        depth += s.p[i] == '(';
        depth -= s.p[i] == ')';
        if (!depth)
            break;
        if (depth == 1 && word_at(s, i, STR("AS")))
            as = i;
    }
    if (depth || !as)
        return false;
    *ret = (struct cast){str_make(s.p + open + 1, as - open - 1), str_trim(str_make(s.p + as + 2, i - as - 2)), i + 1};
    return true;
}

void table_expr_names(struct str expr, struct buf *sql)
{
    char quote = 0;

    for (size_t i = 0; i < expr.n; i++) {
        char c = expr.p[i];
        if (!quote && (c == '\'' || c == '"' || c == '`'))
            quote = c;
        else if (quote == c)
            quote = 0; /* a doubled quote closes and opens again: the same */
        else if (quote == '`' && c == '"')
            buf_add_char(sql, '"');
        buf_add_char(sql, c == '`' && quote != '\'' && quote != '"' ? '"' : c);
    }
}

static int casts_sql(struct engine_conn *conn, struct str from, struct str expr, struct buf *out, struct err *err);

static int ask_type(struct engine_conn *conn, struct str from, struct str value, struct engine_result **ret,
                    struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "SELECT (%.*s\n)", STR_ARG(value));
    if (from.n)
        buf_printf(&sql, " FROM %.*s", STR_ARG(from));
    buf_add_cstr(&sql, " LIMIT 0");
    return engine_query(conn, sql.p, ret, err);
}

static int add_cast(struct engine_conn *conn, struct str from, const struct cast *cast, const struct type *type,
                    struct buf *out, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf value = {0};
    struct assign_to to = {ASSIGN_SAME_NAMES, type, STR("CAST")};

    TRY(casts_sql(conn, from, cast->value, &value, err));
    TRY(ask_type(conn, from, buf_str(&value), &result, err));
    return store_assign_sql(&to, &engine_result_column(result, 0)->type, buf_str(&value), false, out, err);
}

/* Behind the bracket that closes the one at i; 0: none does. `ret_comma`: the first between them. */
static size_t close_bracket(struct str s, size_t i, size_t *ret_comma)
{
    size_t depth = 0;

    *ret_comma = 0;
    for (; i < s.n; i++) {
        if (is_quote(s.p[i])) {
            i = skip_quoted(s, i) - 1;
            continue;
        }
        depth += s.p[i] == '(' || s.p[i] == '[';
        depth -= s.p[i] == ')' || s.p[i] == ']';
        if (!depth)
            return i + 1;
        if (depth == 1 && s.p[i] == ',' && !*ret_comma)
            *ret_comma = i;
    }
    return 0;
}

/* Where the value begins that ends with the text: names, calls and what was taken out of them. */
static size_t value_start(struct str s)
{
    size_t i = s.n, depth = 0;

    while (i) {
        char c = s.p[i - 1];
        if (is_quote(c)) {
            for (i--; i && s.p[i - 1] != c; i--)
                ;
            i -= i > 0;
            continue;
        }
        depth += c == ')' || c == ']';
        if (!depth && !in_word(c) && c != '.')
            break;
        depth -= depth && (c == '(' || c == '[');
        i--;
    }
    return i;
}

/* A part of an array or map: `name` is the function for arrays, `value` and `key` are DuckDB's SQL. */
static int add_part(struct engine_conn *conn, struct str from, const char *name, struct str value, struct str key,
                    struct buf *out, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;

    TRY(ask_type(conn, from, value, &result, err));
    enum engine_kind kind = engine_result_column(result, 0)->type.kind;
    if (kind == ENGINE_LIST || kind == ENGINE_ARRAY)
        buf_printf(out, "%s(%.*s, %.*s)", name, STR_ARG(value), STR_ARG(key));
    else
        buf_printf(out, "%.*s[%.*s]", STR_ARG(value), STR_ARG(key));
    return 0;
}

/* value[index], whose bracket is at i; `out` ends with the value. In Spark arrays begin with 0. */
static int add_item(struct engine_conn *conn, struct str from, struct str expr, size_t i, size_t *ret_end,
                    struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0}, key = {0};
    size_t comma, start;

    start = value_start(buf_str(out));
    *ret_end = close_bracket(expr, i, &comma);
    bool list = start == out->n || str_eq_nocase(str_make(out->p + start, out->n - start), STR("ARRAY"));
    if (!*ret_end || comma || list) { /* [1, 2], as we have it and Spark has not */
        *ret_end = i + 1;
        buf_add_char(out, '[');
        return 0;
    }
    buf_add(&value, out->p + start, out->n - start);
    out->n = start;
    TRY(casts_sql(conn, from, str_make(expr.p + i + 1, *ret_end - i - 2), &key, err));
    return add_part(conn, from, "spark_item", buf_str(&value), buf_str(&key), out, err);
}

/* element_at(value, key), at i; *ret_end 0: it is another. */
static int add_element(struct engine_conn *conn, struct str from, struct str expr, size_t i, size_t *ret_end,
                       struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0}, key = {0};
    size_t open = i + strlen("element_at"), comma;

    *ret_end = 0;
    while (open < expr.n && isspace((unsigned char)expr.p[open]))
        open++;
    if (open == expr.n || expr.p[open] != '(')
        return 0;
    size_t end = close_bracket(expr, open, &comma);
    if (!end || !comma)
        return 0;
    TRY(casts_sql(conn, from, str_make(expr.p + open + 1, comma - open - 1), &value, err));
    TRY(casts_sql(conn, from, str_make(expr.p + comma + 1, end - comma - 2), &key, err));
    *ret_end = end;
    return add_part(conn, from, "spark_element", buf_str(&value), buf_str(&key), out, err);
}

static int casts_sql(struct engine_conn *conn, struct str from, struct str expr, struct buf *out, struct err *err)
{
    size_t copied = 0, i = 0, end;
    struct cast cast;
    struct type type;

    while (i < expr.n) {
        bool item = expr.p[i] == '[', element = word_at(expr, i, STR("element_at"));
        if (is_quote(expr.p[i])) {
            i = skip_quoted(expr, i);
        } else if (item || element) {
            table_expr_names(str_make(expr.p + copied, i - copied), out);
            copied = i;
            TRY(item ? add_item(conn, from, expr, i, &end, out, err)
                     : add_element(conn, from, expr, i, &end, out, err));
            i = end ? end : i + 1;
            copied = end ? end : copied;
        } else if (!cast_at(expr, i, &cast) || !type_named(cast.type, &type)) {
            i++;
        } else {
            table_expr_names(str_make(expr.p + copied, i - copied), out);
            TRY(add_cast(conn, from, &cast, &type, out, err));
            copied = i = cast.end;
        }
    }
    table_expr_names(str_make(expr.p + copied, expr.n - copied), out);
    return 0;
}

int table_expr_sql(struct engine_conn *conn, struct str from, struct str expr, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf words = {0};

    table_words(expr, &words);
    return casts_sql(conn, from, buf_str(&words), out, err);
}
