/*
 * CREATE TABLE and what it shares with others: columns, properties, constraints; CLONE and CONVERT TO DELTA.
 *
 *   CREATE [OR REPLACE] TABLE [IF NOT EXISTS] t [(column, …, CONSTRAINT c CHECK (…))]
 *       [USING DELTA] [PARTITIONED BY (…)] [CLUSTER BY (…)] [LOCATION '…'] [COMMENT '…'] [TBLPROPERTIES (…)] [AS query]
 *   column := name type [NOT NULL] [DEFAULT expr] [GENERATED ALWAYS AS (expr)] [COMMENT '…']
 *             [GENERATED {ALWAYS | BY DEFAULT} AS IDENTITY [(START WITH n INCREMENT BY n)]]
 */
#include "sql/parse.h"
#include "sql/types.h"

#include <stdio.h>

int parse_place(struct parser *p, enum column_place *ret, struct str *ret_after)
{
    if (parser_accept(p, "FIRST")) {
        *ret = PLACE_FIRST;
        return 0;
    }
    TRY(parser_expect(p, "AFTER"));
    *ret = PLACE_AFTER;
    return parser_ident(p, "a column name", ret_after);
}

int parse_type_into(struct parser *p, struct field *field)
{
    struct str char_type;

    TRY(parser_type(p, &field->type, &char_type));
    if (char_type.n)
        sql_meta_set_str(field, p->arena, SQL_CHAR_TYPE_KEY, char_type);
    return 0;
}

int parse_default(struct parser *p, struct str *ret)
{
    static const char *const stops[] = {",",     "COMMENT", "NOT NULL",   "GENERATED", "FIRST",
                                        "AFTER", "DEFAULT", "CONSTRAINT", NULL};

    TRY(parser_until(p, stops, "the default value", ret));
    *ret = parser_stored(p, *ret);
    return 0;
}

static void meta_set(struct parser *p, struct field *f, const char *key, const char *json)
{
    field_meta_set(f, p->arena, str_of(key), str_of(json));
}

/* After IDENTITY. */
static int parse_identity(struct parser *p, bool always, struct sql_column *col)
{
    size_t at = parser_peek(p, 0)->at;
    char number[24];

    col->identity = always ? IDENTITY_ALWAYS : IDENTITY_BY_DEFAULT;
    col->identity_start = col->identity_step = 1;
    if (parser_accept(p, "(")) {
        while (!parser_accept(p, ")")) {
            if (parser_accept(p, "START WITH"))
                TRY(parser_i64(p, "the first value", &col->identity_start));
            else if (parser_accept(p, "INCREMENT BY"))
                TRY(parser_i64(p, "the step", &col->identity_step));
            else if (!parser_accept(p, ","))
                return parser_fail(p, "START WITH, INCREMENT BY or )");
        }
    }
    if (col->identity_step == 0)
        return sql_error(p->err, ERR_INPUT, p->lx.script, at, "the step of an identity column must not be 0");
    if (col->field.type.id != TYPE_LONG)
        return sql_error(p->err, ERR_INPUT, p->lx.script, at, "the identity column %.*s must be of type BIGINT",
                         STR_ARG(col->field.name));
    snprintf(number, sizeof number, "%lld", (long long)col->identity_start);
    meta_set(p, &col->field, "delta.identity.start", number);
    snprintf(number, sizeof number, "%lld", (long long)col->identity_step);
    meta_set(p, &col->field, "delta.identity.step", number);
    meta_set(p, &col->field, "delta.identity.allowExplicitInsert", always ? "false" : "true");
    return 0;
}

static int parse_generated(struct parser *p, struct sql_column *col)
{
    if (parser_accept(p, "ALWAYS AS IDENTITY"))
        return parse_identity(p, true, col);
    if (parser_accept(p, "BY DEFAULT AS IDENTITY"))
        return parse_identity(p, false, col);
    if (!parser_accept(p, "ALWAYS AS"))
        return parser_fail(p, "ALWAYS AS (expression), ALWAYS AS IDENTITY or BY DEFAULT AS IDENTITY");
    TRY(parser_parens(p, "an expression", &col->generated_expr));
    col->generated_expr = parser_stored(p, col->generated_expr);
    if (!col->generated_expr.n)
        return parser_fail(p, "an expression between the brackets");
    sql_meta_set_str(&col->field, p->arena, "delta.generationExpression", col->generated_expr);
    return 0;
}

int parse_column(struct parser *p, bool nested, struct sql_column *ret)
{
    struct str comment;

    *ret = (struct sql_column){.field.nullable = true};
    TRY(parser_name(p, "a column name", &ret->name));
    if (ret->name.n_parts > 1 && !nested)
        return sql_error(p->err, ERR_INPUT, p->lx.script, ret->name.at, "%.*s: a column name has no dot (quote it)",
                         STR_ARG(ret->name.text));
    ret->field.name = ret->field.physical = ret->name.parts[ret->name.n_parts - 1];
    parser_accept(p, ":");
    TRY(parse_type_into(p, &ret->field));
    for (;;) {
        if (parser_accept(p, "NOT NULL")) {
            ret->field.nullable = false;
        } else if (parser_accept(p, "COMMENT")) {
            TRY(parser_string(p, "the comment as a string", &comment));
            sql_meta_set_str(&ret->field, p->arena, "comment", comment);
        } else if (parser_accept(p, "DEFAULT")) {
            TRY(parse_default(p, &ret->default_expr));
            sql_meta_set_str(&ret->field, p->arena, "CURRENT_DEFAULT", ret->default_expr);
        } else if (parser_accept(p, "GENERATED")) {
            TRY(parse_generated(p, ret));
        } else if (nested && (parser_at(p, "FIRST") || parser_at(p, "AFTER"))) {
            TRY(parse_place(p, &ret->place, &ret->after));
        } else if (!parser_accept(p, "NULL")) {
            return 0;
        }
    }
}

static int parse_property_key(struct parser *p, struct str *ret)
{
    struct sql_name name;
    size_t n = 0;

    if (parser_peek(p, 0)->kind == TOKEN_STRING)
        return parser_string(p, "a property", ret);
    TRY(parser_name(p, "a property", &name));
    char *key = arena_alloc(p->arena, name.text.n + name.n_parts);
    for (uint32_t i = 0; i < name.n_parts; i++) {
        if (i)
            key[n++] = '.';
        memcpy(key + n, name.parts[i].p, name.parts[i].n);
        n += name.parts[i].n;
    }
    *ret = str_make(key, n);
    return 0;
}

static int parse_property_value(struct parser *p, struct str *ret)
{
    size_t start = parser_peek(p, 0)->at;

    if (parser_peek(p, 0)->kind == TOKEN_STRING)
        return parser_string(p, "a value", ret);
    if (!parser_accept(p, "-"))
        parser_accept(p, "+");
    if (parser_peek(p, 0)->kind != TOKEN_NUMBER && parser_peek(p, 0)->kind != TOKEN_WORD)
        return parser_fail(p, "a value");
    struct token t = parser_take(p);
    *ret = token_is(&t, "TRUE") ? STR("true") : token_is(&t, "FALSE") ? STR("false") : parser_text(p, start);
    return 0;
}

int parse_properties(struct parser *p, bool keys_only, uint32_t *ret_n, struct sql_property **ret)
{
    TRY(parser_expect(p, "("));
    do {
        *ret = parser_grow(p, *ret, *ret_n, sizeof **ret);
        struct sql_property *property = &(*ret)[*ret_n];
        TRY(parse_property_key(p, &property->key));
        if (!keys_only) {
            parser_accept(p, "=");
            TRY(parse_property_value(p, &property->value));
        }
        ++*ret_n;
    } while (parser_accept(p, ","));
    return parser_expect(p, ")");
}

int parse_constraint(struct parser *p, struct sql_constraint *ret)
{
    TRY(parser_ident(p, "a constraint name", &ret->name));
    TRY(parser_expect(p, "CHECK"));
    TRY(parser_parens(p, "a condition", &ret->expr));
    ret->expr = parser_stored(p, ret->expr);
    return ret->expr.n ? 0 : parser_fail(p, "a condition between the brackets");
}

static int add_column(struct parser *p, struct sql_create *c)
{
    c->columns = parser_grow(p, c->columns, c->n_columns, sizeof *c->columns);
    TRY(parse_column(p, false, &c->columns[c->n_columns]));
    struct sql_column *col = &c->columns[c->n_columns];
    for (uint32_t i = 0; i < c->n_columns; i++)
        if (str_eq_nocase(c->columns[i].field.name, col->field.name))
            return sql_error(p->err, ERR_INPUT, p->lx.script, col->name.at, "the column %.*s is there twice",
                             STR_ARG(col->field.name));
    c->n_columns++;
    return 0;
}

static int parse_elements(struct parser *p, struct sql_create *c)
{
    TRY(parser_expect(p, "("));
    do {
        if (parser_accept(p, "CONSTRAINT")) {
            c->constraints = parser_grow(p, c->constraints, c->n_constraints, sizeof *c->constraints);
            TRY(parse_constraint(p, &c->constraints[c->n_constraints]));
            c->n_constraints++;
        } else {
            TRY(add_column(p, c));
        }
    } while (parser_accept(p, ","));
    return parser_accept(p, ")") ? 0 : parser_fail(p, ", or )");
}

/* PARTITIONED BY (a, b) names columns; (a INT, b DATE) also defines them. */
static int parse_partitioned_by(struct parser *p, struct sql_create *c)
{
    TRY(parser_expect(p, "("));
    do {
        struct token after = *parser_peek(p, 1);
        struct str name;
        if (token_is_name(&after)) {
            TRY(add_column(p, c));
            name = c->columns[c->n_columns - 1].field.name;
        } else {
            TRY(parser_ident(p, "a column name", &name));
        }
        c->partition_by = parser_grow(p, c->partition_by, c->n_partition_by, sizeof *c->partition_by);
        c->partition_by[c->n_partition_by++] = name;
    } while (parser_accept(p, ","));
    return parser_expect(p, ")");
}

static int parse_clauses(struct parser *p, struct sql_create *c)
{
    while (!parser_at_end(p)) {
        if (parser_accept(p, "USING")) {
            TRY(parser_ident(p, "DELTA", &c->provider));
        } else if (parser_accept(p, "PARTITIONED BY")) {
            TRY(parse_partitioned_by(p, c));
        } else if (parser_accept(p, "CLUSTER BY")) {
            if (!parser_accept(p, "NONE"))
                TRY(parser_names(p, "a column name", &c->n_cluster_by, &c->cluster_by));
        } else if (parser_accept(p, "LOCATION")) {
            TRY(parser_string(p, "the path as a string", &c->location));
        } else if (parser_accept(p, "COMMENT")) {
            TRY(parser_string(p, "the comment as a string", &c->comment));
            c->has_comment = true;
        } else if (parser_accept(p, "TBLPROPERTIES")) {
            TRY(parse_properties(p, false, &c->n_properties, &c->properties));
        } else if (parser_accept(p, "AS")) {
            c->query = parser_rest(p);
            return c->query.n ? 0 : parser_fail(p, "a query");
        } else {
            return parser_fail(p, "USING, PARTITIONED BY, CLUSTER BY, LOCATION, COMMENT, TBLPROPERTIES, AS or the end");
        }
    }
    return 0;
}

static int parse_clone(struct parser *p, const struct sql_create *target, struct sql_clone *ret)
{
    struct sql_create t = *target;
    bool shallow = parser_accept(p, "SHALLOW");

    if (!shallow)
        parser_accept(p, "DEEP");
    TRY(parser_expect(p, "CLONE"));
    *ret = (struct sql_clone){.shallow = shallow};
    TRY(parser_table(p, &ret->source));
    TRY(parser_travel(p, &ret->source.travel));
    TRY(parse_clauses(p, &t));
    ret->target = t;
    return 0;
}

int parse_create(struct parser *p, bool or_replace, bool replace_only, struct statement *ret)
{
    struct sql_create c = {.or_replace = or_replace, .replace_only = replace_only};

    c.if_not_exists = parser_accept(p, "IF NOT EXISTS");
    TRY(parser_table(p, &c.table));
    if (parser_at(p, "SHALLOW CLONE") || parser_at(p, "DEEP CLONE") || parser_at(p, "CLONE")) {
        ret->kind = STATEMENT_CLONE;
        return parse_clone(p, &c, &ret->clone);
    }
    c.is_like = parser_accept(p, "LIKE");
    if (c.is_like)
        TRY(parser_table(p, &c.like));
    else if (parser_at(p, "("))
        TRY(parse_elements(p, &c));
    TRY(parse_clauses(p, &c));
    if (c.is_like && (c.query.n || c.n_partition_by || c.n_cluster_by))
        return sql_error(p->err, ERR_INPUT, p->lx.script, c.table.name.at,
                         "CREATE TABLE … LIKE takes the columns and partitions of the other table");
    if (c.provider.n && !str_eq_nocase(c.provider, STR("delta")))
        return sql_error(p->err, ERR_UNSUPPORTED, p->lx.script, c.table.name.at,
                         "tables are made USING DELTA, not USING %.*s", STR_ARG(c.provider));
    ret->kind = STATEMENT_CREATE_TABLE;
    ret->create = c;
    return 0;
}

int parse_convert(struct parser *p, struct sql_convert *ret)
{
    struct sql_create partition = {0};

    *ret = (struct sql_convert){0};
    TRY(parser_ident(p, "parquet.`path`", &ret->format));
    TRY(parser_expect(p, "."));
    TRY(parser_ident(p, "the path in backquotes", &ret->path));
    ret->no_statistics = parser_accept(p, "NO STATISTICS");
    if (parser_accept(p, "PARTITIONED BY")) {
        TRY(parse_partitioned_by(p, &partition));
        if (partition.n_columns != partition.n_partition_by)
            return parser_fail(p, "a type for each partition column");
        ret->n_partition = partition.n_columns;
        ret->partition = partition.columns;
    }
    return parser_end(p);
}
