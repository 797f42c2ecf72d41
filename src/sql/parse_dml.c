/* INSERT, UPDATE, DELETE. */
#include "sql/parse.h"

int parse_assignments(struct parser *p, const char *const *stops, uint32_t *ret_n, struct sql_assignment **ret)
{
    do {
        *ret = parser_grow(p, *ret, *ret_n, sizeof **ret);
        struct sql_assignment *set = &(*ret)[*ret_n];
        TRY(parser_name(p, "a column name", &set->column));
        TRY(parser_expect(p, "="));
        TRY(parser_until(p, stops, "a value", &set->value));
        ++*ret_n;
    } while (parser_accept(p, ","));
    return 0;
}

/* PARTITION (p = 1, q) */
static int parse_partition(struct parser *p, struct sql_insert *ret)
{
    static const char *const stops[] = {",", NULL};

    TRY(parser_expect(p, "("));
    do {
        ret->partition = parser_grow(p, ret->partition, ret->n_partition, sizeof *ret->partition);
        struct sql_assignment *set = &ret->partition[ret->n_partition];
        TRY(parser_name(p, "a partition column", &set->column));
        if (parser_accept(p, "="))
            TRY(parser_until(p, stops, "a value", &set->value));
        ret->n_partition++;
    } while (parser_accept(p, ","));
    return parser_expect(p, ")");
}

static bool at_query(struct parser *p)
{
    return parser_at(p, "VALUES") || parser_at(p, "SELECT") || parser_at(p, "WITH") || parser_at(p, "FROM") ||
           parser_at(p, "TABLE") || parser_at(p, "(");
}

/* ( that opens a list of columns, not a query in brackets */
static bool at_column_list(struct parser *p)
{
    const struct token *t = parser_peek(p, 1);

    return parser_at(p, "(") && token_is_name(t) && !token_is(t, "SELECT") && !token_is(t, "WITH") &&
           !token_is(t, "VALUES") && !token_is(t, "FROM") && !token_is(t, "TABLE");
}

int parse_insert(struct parser *p, struct sql_insert *ret)
{
    static const char *const query_starts[] = {"VALUES", "SELECT", "WITH", "TABLE", NULL};

    *ret = (struct sql_insert){.schema_evolution = parser_accept(p, "WITH SCHEMA EVOLUTION")};
    if (parser_accept(p, "OVERWRITE"))
        ret->overwrite = true;
    else
        TRY(parser_expect(p, "INTO"));
    parser_accept(p, "TABLE");
    TRY(parser_table(p, &ret->table));
    if (parser_accept(p, "PARTITION"))
        TRY(parse_partition(p, ret));
    ret->if_not_exists = parser_accept(p, "IF NOT EXISTS");
    if (at_column_list(p))
        TRY(parser_names(p, "a column name", &ret->n_columns, &ret->columns));
    ret->by_name = parser_accept(p, "BY NAME");
    if (ret->by_name && ret->n_columns)
        return sql_error(p->err, ERR_INPUT, p->lx.script, ret->columns[0].at,
                         "BY NAME takes the columns from the query, so no list of columns is allowed");
    if (parser_accept(p, "REPLACE WHERE"))
        TRY(parser_until(p, query_starts, "a condition", &ret->replace_where));
    else if (parser_accept(p, "REPLACE USING"))
        TRY(parser_names(p, "a column name", &ret->n_replace_using, &ret->replace_using));
    if (parser_accept(p, "DEFAULT VALUES"))
        return parser_end(p);
    if (!at_query(p))
        return parser_fail(p, "VALUES or a query");
    ret->query = parser_rest(p);
    return 0;
}

/* [WHERE condition] up to the end; TRUE is no condition but a constant, and is kept */
static int parse_where(struct parser *p, struct str *ret)
{
    if (parser_at_end(p))
        return 0;
    if (!parser_accept(p, "WHERE"))
        return parser_fail(p, "WHERE or the end of the statement");
    *ret = parser_rest(p);
    return ret->n ? 0 : parser_fail(p, "a condition");
}

int parse_update(struct parser *p, struct sql_update *ret)
{
    static const char *const stops[] = {",", "WHERE", NULL};

    *ret = (struct sql_update){0};
    TRY(parser_table(p, &ret->table));
    TRY(parser_alias(p, &ret->table.alias));
    TRY(parser_expect(p, "SET"));
    TRY(parse_assignments(p, stops, &ret->n_set, &ret->set));
    return parse_where(p, &ret->where);
}

int parse_delete(struct parser *p, struct sql_delete *ret)
{
    *ret = (struct sql_delete){0};
    TRY(parser_table(p, &ret->table));
    TRY(parser_alias(p, &ret->table.alias));
    return parse_where(p, &ret->where);
}
