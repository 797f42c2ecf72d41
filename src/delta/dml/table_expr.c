/*
 * One pass over the words (of some, table_bits.h and table_words.h have made DuckDB's). Where the meaning depends on types, in casts, calls, parts and
 * some operators, DuckDB is asked what type the value has, and what means Spark's is put in its place.
 */
#include "delta/dml/table_expr.h"

#include "delta/dml/store_assign.h"
#include "delta/dml/table_bits.h"
#include "delta/dml/table_calls.h"
#include "delta/dml/table_words.h"

#include <ctype.h>
#include <stdio.h>

struct cast {
    struct str value, type;
    bool tries; /* TRY_CAST */
    size_t end; /* of the whole, in the expression */
};

/* An expression that is read. */
struct reading {
    struct engine_conn *conn;
    struct str from; /* what its columns are of */
    unsigned depth;  /* brackets that it stands in */
    struct str expr;
    size_t at; /* all before it is in `out` */
    struct buf *out;
};

/* An expression stands in the log of the table, and whoever wrote that decides on it. A form may have an argument several times, so that
 * a few calls in each other become long. */
enum { MAX_ARGS = 32, MAX_DEPTH = 64, MAX_SQL = 1 << 18 };

/* The commas between brackets. */
struct commas {
    size_t n, at[MAX_ARGS];
};

/* Those without parameters, by all their names. */
static bool simple_type(struct str name, struct type *ret)
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

/* A number by itself, which is an INT to Spark. DuckDB would give it the type of another. */
static bool is_int(struct str s)
{
    int64_t n;

    return str_to_i64(s, &n) && n >= 0 && n <= INT32_MAX;
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

static bool type_named(struct str name, struct type *ret)
{
    size_t n = 0;
    unsigned precision = 10, scale = 0;
    CLEANUP(buf_deinit) struct buf more = {0};

    while (n < name.n && in_word(name.p[n]))
        n++;
    struct str word = str_make(name.p, n);
    bool text = str_eq_nocase(word, STR("CHAR")) || str_eq_nocase(word, STR("VARCHAR"));
    bool decimal =
        str_eq_nocase(word, STR("DECIMAL")) || str_eq_nocase(word, STR("DEC")) || str_eq_nocase(word, STR("NUMERIC"));
    buf_add(&more, name.p + n, name.n - n);
    if (decimal && n < name.n && sscanf(more.p, " ( %u , %u )", &precision, &scale) < 1)
        return false;
    *ret = (struct type){.id = TYPE_STRING};
    if (decimal)
        *ret = (struct type){.id = TYPE_DECIMAL, .precision = (uint8_t)precision, .scale = (uint8_t)scale};
    return text || (decimal ? precision && precision <= 38 && scale <= precision : simple_type(name, ret));
}

/* [TRY_]CAST(value AS type) at i. */
static bool cast_at(struct str s, size_t i, struct cast *ret)
{
    bool tries = word_at(s, i, STR("TRY_CAST"));
    size_t open = i + (tries ? strlen("TRY_CAST") : strlen("CAST")), as = 0;
    unsigned depth = 1;

    if (!tries && !word_at(s, i, STR("CAST")))
        return false;
    open = str_skip_space(s, open);
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
    *ret = (struct cast){.value = str_make(s.p + open + 1, as - open - 1),
                         .type = str_trim(str_make(s.p + as + 2, i - as - 2)),
                         .tries = tries,
                         .end = i + 1};
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

static int read_all(struct reading r, struct buf *out, struct err *err);

/* A part of what is read, by itself. */
static int read_part(const struct reading *r, struct str part, struct buf *out, struct err *err)
{
    struct reading inner = {.conn = r->conn, .from = r->from, .depth = r->depth + 1, .expr = part};

    if (inner.depth > MAX_DEPTH)
        return err_set(err, ERR_LIMIT, "more than %d calls and casts stand in each other", MAX_DEPTH);
    return read_all(inner, out, err);
}

/* The types of values in DuckDB's SQL: those of the columns of the result. */
static int ask_types(const struct reading *r, const struct str *values, size_t n, struct engine_result **ret,
                     struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "SELECT ");
    for (size_t i = 0; i < n; i++)
        buf_printf(&sql, "%s(%.*s\n)", i ? ", " : "", STR_ARG(values[i]));
    if (r->from.n)
        buf_printf(&sql, " FROM %.*s", STR_ARG(r->from));
    buf_add_cstr(&sql, " LIMIT 0");
    return engine_query(r->conn, sql.p, ret, err);
}

static int ask_type(const struct reading *r, struct str value, struct engine_result **ret, struct err *err)
{
    return ask_types(r, &value, 1, ret, err);
}

/* Behind the bracket that closes the one at i; 0: none does. */
static size_t close_bracket(struct str s, size_t i, struct commas *ret)
{
    size_t depth = 0;

    ret->n = 0;
    for (; i < s.n; i++) {
        if (is_quote(s.p[i])) {
            i = skip_quoted(s, i) - 1;
            continue;
        }
        depth += s.p[i] == '(' || s.p[i] == '[';
        depth -= s.p[i] == ')' || s.p[i] == ']';
        if (!depth)
            return i + 1;
        if (depth == 1 && s.p[i] == ',' && ret->n < MAX_ARGS)
            ret->at[ret->n++] = i;
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

/* Takes the value that `out` ends with away from it. */
static void take_value(struct buf *out, struct buf *ret)
{
    buf_trim_end(out);
    size_t start = value_start(buf_str(out));
    buf_add(ret, out->p + start, out->n - start);
    out->n = start;
}

/* ---- casts ---- */

static bool is_nested(enum engine_kind kind)
{
    return kind == ENGINE_LIST || kind == ENGINE_ARRAY || kind == ENGINE_MAP || kind == ENGINE_STRUCT;
}

/* A value in DuckDB's SQL, cast as Spark does it. */
static int cast_value(const struct reading *r, struct str value, const struct type *type, bool tries, struct buf *out,
                      struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    struct assign_to to = {ASSIGN_SAME_NAMES, type, STR("CAST")};

    TRY(ask_type(r, value, &result, err));
    const struct engine_type *from = &engine_result_column(result, 0)->type;
    if (is_nested(from->kind) && type->id == TYPE_STRING)
        return err_set(err, ERR_USAGE, "the text of an array, map or struct is not computed as Spark does");
    TRY(store_assign_sql(&to, from, value, false, &sql, err));
    buf_printf(out, "%s%s", tries ? "TRY_" : "", sql.p);
    return 0;
}

static int add_cast(struct reading *r, const struct cast *cast, const struct type *type, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0};

    TRY(read_part(r, cast->value, &value, err));
    TRY(cast_value(r, buf_str(&value), type, cast->tries, r->out, err));
    r->at = cast->end;
    return 0;
}

/* value::type, at the colons. */
static int add_colons(struct reading *r, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0};
    size_t begin = str_skip_space(r->expr, r->at + 2), end = begin;
    struct commas commas;
    struct type type;

    while (end < r->expr.n && in_word(r->expr.p[end]))
        end++;
    if (end < r->expr.n && r->expr.p[end] == '(')
        end = close_bracket(r->expr, end, &commas);
    if (!end || !type_named(str_make(r->expr.p + begin, end - begin), &type))
        return err_set(err, ERR_USAGE, "a cast by :: to this type is not computed as Spark does");
    take_value(r->out, &value);
    TRY(cast_value(r, buf_str(&value), &type, false, r->out, err));
    r->at = end;
    return 0;
}

/* ---- parts ---- */

/* A part of an array or map: `name` is the function for arrays, `value` and `key` are DuckDB's SQL. */
static int add_part(const struct reading *r, const char *name, struct str value, struct str key, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;

    TRY(ask_type(r, value, &result, err));
    enum engine_kind kind = engine_result_column(result, 0)->type.kind;
    if (kind == ENGINE_LIST || kind == ENGINE_ARRAY)
        buf_printf(r->out, "%s(%.*s, %.*s)", name, STR_ARG(value), STR_ARG(key));
    else
        buf_printf(r->out, "%.*s[%.*s]", STR_ARG(value), STR_ARG(key));
    return 0;
}

/* value[index], at the bracket. In Spark arrays begin with 0. */
static int add_item(struct reading *r, struct err *err)
{
    CLEANUP(buf_deinit) struct buf value = {0}, key = {0};
    size_t start = value_start(buf_str(r->out));
    struct commas commas;
    size_t end = close_bracket(r->expr, r->at, &commas);
    bool list = start == r->out->n || str_eq_nocase(str_make(r->out->p + start, r->out->n - start), STR("ARRAY"));

    if (!end || commas.n || list) { /* [1, 2], as we have it and Spark has not */
        r->at++;
        buf_add_char(r->out, '[');
        return 0;
    }
    take_value(r->out, &value);
    TRY(read_part(r, str_make(r->expr.p + r->at + 1, end - r->at - 2), &key, err));
    r->at = end;
    return add_part(r, "spark_item", buf_str(&value), buf_str(&key), err);
}

/* ---- calls ---- */

struct args {
    size_t n;
    struct buf v[MAX_ARGS + 1];
    struct engine_result *asked[MAX_ARGS + 1];
};

static void args_deinit(struct args *a)
{
    for (size_t i = 0; i < a->n; i++) {
        buf_deinit(&a->v[i]);
        engine_result_free(a->asked[i]);
    }
}

/* An argument as it is taken. */
static int take_arg(const struct reading *r, char takes, struct str value, struct buf *out, struct err *err)
{
    static const struct {
        char takes;
        enum type_id id;
    } types[] = {
        {'s', TYPE_STRING}, {'d', TYPE_DATE}, {'t', TYPE_TIMESTAMP}, {'n', TYPE_DOUBLE}, {'i', TYPE_INTEGER},
    };

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].takes == takes)
            return cast_value(r, value, &(struct type){.id = types[i].id}, false, out, err);
    buf_printf(out, is_int(str_trim(value)) ? "CAST(%.*s AS INTEGER)" : "%.*s", STR_ARG(value));
    return 0;
}

/* A call of what table_calls.h knows; `field`: the form is given. */
static int add_known(struct reading *r, struct str name, struct args *a, const struct table_call *field,
                     struct err *err)
{
    const struct engine_type *types[MAX_ARGS + 1] = {0};
    struct str args[MAX_ARGS + 1];
    CLEANUP(args_deinit) struct args taken = {.n = a->n};

    for (size_t i = 0; i < a->n; i++) {
        TRY(ask_type(r, buf_str(&a->v[i]), &a->asked[i], err));
        types[i] = &engine_result_column(a->asked[i], 0)->type;
    }
    const struct table_call *call = field ? field : table_call_find(name, types, a->n);
    if (!call)
        return err_set(err, ERR_USAGE, "the function %.*s() of Spark's is not computed here%s", STR_ARG(name),
                       a->n ? ", or not of such values" : "");
    for (size_t i = 0; i < a->n; i++) {
        TRY(take_arg(r, table_call_takes(call, i), buf_str(&a->v[i]), &taken.v[i], err));
        args[i] = buf_str(&taken.v[i]);
    }
    buf_add_char(r->out, '(');
    table_call_sql(call, args, a->n, r->out);
    buf_add_char(r->out, ')');
    return 0;
}

/* The arguments in the brackets of `s`, the first of which is at 0. */
static int read_args(const struct reading *r, struct str s, struct args *ret, struct err *err)
{
    struct commas commas;
    size_t end = close_bracket(s, 0, &commas), begin = 1;

    if (commas.n == MAX_ARGS)
        return err_set(err, ERR_LIMIT, "a function of more than %d arguments", MAX_ARGS);
    if (str_skip_space(s, 1) + 1 >= end)
        return 0;
    for (size_t i = 0; i <= commas.n; i++) {
        size_t stop = i < commas.n ? commas.at[i] : end - 1;
        ret->n++;
        TRY(read_part(r, str_make(s.p + begin, stop - begin), &ret->v[i], err));
        begin = stop + 1;
    }
    return 0;
}

/* Makes commas of the words FROM, FOR and IN between arguments: (s FROM 1 FOR 2). Were there any? */
static bool words_to_commas(struct buf *call)
{
    static const char *const words[] = {"FROM", "FOR", "IN"};
    struct str s = buf_str(call);
    size_t depth = 0;
    bool any = false;

    for (size_t i = 0; i < s.n; i++) {
        if (is_quote(s.p[i])) {
            i = skip_quoted(s, i) - 1;
            continue;
        }
        depth += s.p[i] == '(' || s.p[i] == '[';
        depth -= s.p[i] == ')' || s.p[i] == ']';
        for (size_t k = 0; k < ARRAY_LEN(words) && depth == 1; k++)
            if (word_at(s, i, str_of(words[k]))) {
                memset(call->p + i, ' ', strlen(words[k]));
                call->p[i] = ',';
                any = true;
            }
    }
    return any;
}

static int add_field(struct reading *r, struct str name, struct str call, struct err *err)
{
    struct commas commas;
    CLEANUP(args_deinit) struct args a = {.n = 1};
    size_t end = close_bracket(call, 0, &commas);
    struct str field = str_trim(str_make(call.p + 1, commas.n == 1 ? commas.at[0] - 1 : 0));

    if (field.n > 1 && is_quote(field.p[0]))
        field = str_make(field.p + 1, field.n - 2);
    const struct table_call *known = commas.n == 1 ? table_call_field(field) : NULL;
    if (!known)
        return err_set(err, ERR_USAGE, "%.*s() of \"%.*s\" is not computed here", STR_ARG(name), STR_ARG(field));
    TRY(read_part(r, str_make(call.p + commas.at[0] + 1, end - commas.at[0] - 2), &a.v[0], err));
    return add_known(r, name, &a, known, err);
}

/* name(…) at a word whose bracket is at `open`; *ret false: it is none of ours. */
static int add_call(struct reading *r, struct str name, size_t open, bool *ret, struct err *err)
{
    struct commas commas;
    CLEANUP(buf_deinit) struct buf call = {0};
    CLEANUP(args_deinit) struct args a = {0};
    size_t end = close_bracket(r->expr, open, &commas);
    bool field = str_eq_nocase(name, STR("EXTRACT")) || str_eq_nocase(name, STR("DATE_PART")) ||
                 str_eq_nocase(name, STR("DATEPART"));
    bool element = str_eq_nocase(name, STR("element_at")), named = simple_type(name, &(struct type){0});

    *ret = end && (field || element || named || table_call_known(name));
    if (!*ret)
        return 0;
    buf_add(&call, r->expr.p + open, end - open);
    if (words_to_commas(&call) && str_eq_nocase(name, STR("TRIM"))) { /* (BOTH 'x' FROM s): DuckDB's as well */
        *ret = false;
        return 0;
    }
    r->at = end;
    if (field)
        return add_field(r, name, buf_str(&call), err);
    TRY(read_args(r, buf_str(&call), &a, err));
    if (element && a.n == 2)
        return add_part(r, "spark_element", buf_str(&a.v[0]), buf_str(&a.v[1]), err);
    struct type type;
    if (named && a.n == 1 && simple_type(name, &type))
        return cast_value(r, buf_str(&a.v[0]), &type, false, r->out, err);
    return add_known(r, name, &a, NULL, err);
}

/* ---- operators ---- */

/* a || b: what is no text becomes one. Of which type it is, only DuckDB knows; if it cannot tell, the whole will not do either. */
static int add_text(const struct reading *r, struct str value, struct buf *out, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct type text = {.id = TYPE_STRING};

    if (!str_trim(value).n || ask_type(r, value, &result, NULL) < 0) {
        buf_add_str(out, value);
        return 0;
    }
    enum engine_kind kind = engine_result_column(result, 0)->type.kind;
    if (kind == ENGINE_VARCHAR || kind == ENGINE_BLOB || is_nested(kind)) {
        buf_add_str(out, value);
        return 0;
    }
    return cast_value(r, value, &text, false, out, err);
}

static int add_pipes(struct reading *r, struct err *err)
{
    CLEANUP(buf_deinit) struct buf left = {0}, right = {0};
    size_t end = table_words_operand(r->expr, r->at + 2);

    take_value(r->out, &left);
    TRY(add_text(r, buf_str(&left), r->out, err));
    buf_add_cstr(r->out, " || ");
    TRY(read_part(r, str_make(r->expr.p + r->at + 2, end - r->at - 2), &right, err));
    r->at = end;
    return right.n ? add_text(r, buf_str(&right), r->out, err) : 0;
}

/* The digits of a number as a decimal, before and behind the point; false: it is none that is exact. */
static bool digits_of(const struct engine_type *t, int *ret_whole, int *ret_scale)
{
    static const int whole[] = {
        [ENGINE_TINYINT] = 3, [ENGINE_SMALLINT] = 5, [ENGINE_INTEGER] = 10, [ENGINE_BIGINT] = 20};
    bool decimal = t->kind == ENGINE_DECIMAL;

    *ret_scale = decimal ? t->scale : 0;
    if (!decimal && (t->kind < ENGINE_TINYINT || t->kind > ENGINE_BIGINT))
        return false;
    *ret_whole = decimal ? t->precision - t->scale : whole[t->kind];
    return true;
}

/* A quotient of decimals is a decimal to Spark and a double to DuckDB, which has 15 digits. `digits`: what is divided by as it stands, of
 * a number only these count. */
static int check_quotient(const struct reading *r, struct str left, struct str right, struct str digits, bool whole,
                          struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *asked = NULL;
    const struct str both[] = {left, right};
    int before[2], scale[2];

    if (!left.n || !right.n || ask_types(r, both, ARRAY_LEN(both), &asked, NULL) < 0)
        return 0;
    const struct engine_type *types[] = {&engine_result_column(asked, 0)->type, &engine_result_column(asked, 1)->type};
    if (types[0]->kind != ENGINE_DECIMAL && types[1]->kind != ENGINE_DECIMAL)
        return 0;
    if (whole)
        return err_set(err, ERR_USAGE, "DIV of decimals is not computed as Spark does");
    if (!digits_of(types[0], &before[0], &scale[0]) || !digits_of(types[1], &before[1], &scale[1]))
        return 0;
    if (types[1]->kind == ENGINE_INTEGER && isdigit((unsigned char)digits.p[0]))
        before[1] = (int)digits.n;
    if (before[0] + scale[1] + MAX(6, scale[0] + before[1] + scale[1] + 1) > 15)
        return err_set(err, ERR_USAGE, "a quotient of decimals with more than 15 digits is not computed as Spark does");
    return 0;
}

/* a / b, a // b (DIV). */
static int add_quotient(struct reading *r, struct err *err)
{
    bool whole = r->at + 1 < r->expr.n && r->expr.p[r->at + 1] == '/';
    size_t begin = r->at + (whole ? 2 : 1), end = table_words_operand(r->expr, begin), start;
    CLEANUP(buf_deinit) struct buf right = {0};

    TRY(read_part(r, str_make(r->expr.p + begin, end - begin), &right, err));
    buf_trim_end(r->out);
    for (start = value_start(buf_str(r->out));; start = value_start(str_make(r->out->p, start - 1))) {
        start = str_trim_end(str_make(r->out->p, start)).n;
        if (start < 2 || !strchr("*/", r->out->p[start - 1]))
            break;
    }
    TRY(check_quotient(r, str_trim(str_make(r->out->p + start, r->out->n - start)), buf_str(&right),
                       str_trim(str_make(r->expr.p + begin, end - begin)), whole, err));
    buf_printf(r->out,
               end == begin ? "%s"
               : whole      ? "%s (%s)"
                            : "%s CAST((%s) AS DOUBLE)",
               whole ? " //" : " /", right.n ? right.p : "");
    r->at = end;
    return 0;
}

/* Does a number stand where its type decides on another's: beside + - * % & or |, as an argument or a branch? */
static bool is_beside(struct str before, struct str behind)
{
    before = str_trim(before);
    behind = str_trim(behind);
    for (size_t i = 0; i < 2; i++) {
        struct str word = i ? STR("ELSE") : STR("THEN");
        if (before.n >= word.n && word_at(before, before.n - word.n, word))
            return true;
    }
    return (before.n && strchr("+-*%&|(,", before.p[before.n - 1])) || (behind.n && strchr("+-*%&|", behind.p[0]));
}

static void add_digits(struct reading *r)
{
    size_t end = r->at;
    struct str s = r->expr;

    while (end < s.n &&
           (in_word(s.p[end]) || s.p[end] == '.' || (strchr("+-", s.p[end]) && strchr("eE", s.p[end - 1]))))
        end++;
    struct str word = str_make(s.p + r->at, end - r->at);
    bool cast = is_int(word) && is_beside(buf_str(r->out), str_make(s.p + end, s.n - end));
    buf_printf(r->out, cast ? "CAST(%.*s AS INTEGER)" : "%.*s", STR_ARG(word));
    r->at = end;
}

static bool is_number(enum engine_kind kind)
{
    return (kind >= ENGINE_TINYINT && kind <= ENGINE_DOUBLE) || kind == ENGINE_DECIMAL;
}

/* A FLOAT beside another number: both are DOUBLE to Spark, FLOAT to DuckDB. */
static bool mixes_floats(const struct reading *r, struct str left, struct str right)
{
    CLEANUP(engine_result_freep) struct engine_result *asked = NULL;
    const struct str both[] = {left, right};

    if (!str_trim(left).n || !str_trim(right).n || ask_types(r, both, ARRAY_LEN(both), &asked, NULL) < 0)
        return false;
    enum engine_kind a = engine_result_column(asked, 0)->type.kind, b = engine_result_column(asked, 1)->type.kind;
    return is_number(a) && is_number(b) && (a == ENGINE_FLOAT) != (b == ENGINE_FLOAT);
}

/* The length of the operator of arithmetic or comparison that the text begins with; 0: none. */
static size_t operator_length(struct str s)
{
    static const char *const operators[] = {"<=", ">=", "<>", "!=", "->", "=>", "<", ">", "=", "+", "-", "*", "%"};

    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (str_has_prefix(s, str_of(operators[i])))
            return strlen(operators[i]);
    return 0;
}

/* The type of what is on the right is asked as it stands: read it is once only, or by two in each other as often as they are deep. */
static int add_operator(struct reading *r, size_t n, struct err *err)
{
    size_t begin = r->at + n, end = table_words_operand(r->expr, begin);
    struct str right = str_make(r->expr.p + begin, end - begin);
    CLEANUP(buf_deinit) struct buf value = {0};

    buf_trim_end(r->out);
    size_t start = value_start(buf_str(r->out));
    bool mixed = mixes_floats(r, str_make(r->out->p + start, r->out->n - start), right);
    buf_printf(r->out, " %.*s", (int)n, r->expr.p + r->at);
    r->at = begin;
    if (!mixed)
        return 0;
    TRY(read_part(r, right, &value, err));
    buf_printf(r->out, " CAST((%s) AS DOUBLE)", value.p);
    r->at = end;
    return 0;
}

/* ---- all of it ---- */

static int add_word(struct reading *r, struct err *err)
{
    size_t end = r->at;
    struct cast cast;
    struct type type;
    bool done = false;

    if (cast_at(r->expr, r->at, &cast)) {
        if (type_named(cast.type, &type))
            return add_cast(r, &cast, &type, err);
        if (cast.tries)
            return err_set(err, ERR_USAGE, "TRY_CAST AS %.*s is not computed here", STR_ARG(cast.type));
    }
    while (end < r->expr.n && in_word(r->expr.p[end]))
        end++;
    struct str word = str_make(r->expr.p + r->at, end - r->at);
    size_t open = str_skip_space(r->expr, end);
    if (open < r->expr.n && r->expr.p[open] == '(')
        TRY(add_call(r, word, open, &done, err));
    if (!done) {
        buf_add_str(r->out, word);
        r->at = end;
    }
    return 0;
}

static int add_next(struct reading *r, struct err *err)
{
    struct str s = str_make(r->expr.p + r->at, r->expr.n - r->at);
    size_t end;

    if (is_quote(s.p[0])) {
        end = skip_quoted(r->expr, r->at);
        table_expr_names(str_make(s.p, end - r->at), r->out);
        r->at = end;
        return 0;
    }
    if (isdigit((unsigned char)s.p[0])) {
        add_digits(r);
        return 0;
    }
    if (in_word(s.p[0]))
        return add_word(r, err);
    if (s.p[0] == '[')
        return add_item(r, err);
    if (s.p[0] == '/')
        return add_quotient(r, err);
    if (str_has_prefix(s, STR("::")))
        return add_colons(r, err);
    if (str_has_prefix(s, STR("||")))
        return add_pipes(r, err);
    if ((end = operator_length(s)))
        return add_operator(r, end, err);
    buf_add_char(r->out, s.p[0]);
    r->at++;
    return 0;
}

static int read_all(struct reading r, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0}; /* what is looked back at is of this expression */

    r.out = &sql;
    while (r.at < r.expr.n) {
        TRY(add_next(&r, err));
        if (sql.n > MAX_SQL)
            return err_set(err, ERR_LIMIT, "written out for DuckDB it is longer than %d bytes", MAX_SQL);
    }
    buf_add_str(out, buf_str(&sql));
    return 0;
}

int table_expr_sql(struct engine_conn *conn, struct str from, struct str expr, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf bits = {0}, words = {0};

    TRY(table_bits(expr, &bits, err));
    TRY(table_words(buf_str(&bits), &words, err));
    return read_all((struct reading){.conn = conn, .from = from, .expr = buf_str(&words)}, out, err);
}
