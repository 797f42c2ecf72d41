/*
 * MERGE.
 *
 *   MERGE [WITH SCHEMA EVOLUTION] INTO target [alias] USING {table | (query) | function(…)} [alias] ON condition
 *   WHEN MATCHED [AND c] THEN {UPDATE SET a = b, … | UPDATE SET * | DELETE | DO NOTHING}
 *   WHEN NOT MATCHED [BY TARGET] [AND c] THEN {INSERT (a, …) VALUES (b, …) | INSERT * | DO NOTHING}
 *   WHEN NOT MATCHED BY SOURCE [AND c] THEN {UPDATE SET … | DELETE | DO NOTHING}
 */
#include "sql/parse.h"

static int parse_source(struct parser *p, struct sql_merge *m)
{
    size_t start = parser_peek(p, 0)->at;

    if (parser_at(p, "(")) {
        TRY(parser_parens(p, "a query", &m->source_query));
        if (!m->source_query.n)
            return parser_fail(p, "a query between the brackets");
    } else {
        TRY(parser_table(p, &m->source));
        if (parser_at(p, "(")) {
            struct str args;
            TRY(parser_parens(p, "arguments", &args));
            struct str call = parser_text(p, start);
            m->source_query = str_of(arena_printf(p->arena, "SELECT * FROM %.*s", STR_ARG(call)));
            m->source = (struct sql_table){0};
        } else {
            TRY(parser_travel(p, &m->source.travel));
            m->source_text = parser_text(p, start);
        }
    }
    TRY(parser_alias(p, &m->source.alias));
    if (m->source.alias.n && parser_at(p, "("))
        TRY(parser_names(p, "a column name", &m->n_source_columns, &m->source_columns));
    return 0;
}

/* INSERT (a, b) VALUES (x, y): after the columns. */
static int parse_insert_values(struct parser *p, uint32_t n, const struct sql_name *columns, struct merge_clause *c)
{
    static const char *const stops[] = {",", NULL};
    size_t at = parser_peek(p, 0)->at;

    c->set = ARENA_NEW_N(p->arena, struct sql_assignment, n);
    TRY(parser_expect(p, "VALUES"));
    TRY(parser_expect(p, "("));
    do {
        struct str value;
        TRY(parser_until(p, stops, "a value", &value));
        if (c->n_set < n)
            c->set[c->n_set] = (struct sql_assignment){columns[c->n_set], value};
        c->n_set++;
    } while (parser_accept(p, ","));
    TRY(parser_expect(p, ")"));
    if (c->n_set != n)
        return sql_error(p->err, ERR_INPUT, p->lx.script, at, "%u columns but %u values", n, c->n_set);
    return 0;
}

static int parse_action(struct parser *p, struct merge_clause *c)
{
    static const char *const stops[] = {",", "WHEN", NULL};
    struct sql_name *columns;
    uint32_t n;

    if (parser_accept(p, "DO NOTHING")) {
        c->action = MERGE_DO_NOTHING;
        return 0;
    }
    if (c->when == MERGE_NOT_MATCHED) {
        if (!parser_accept(p, "INSERT"))
            return parser_fail(p, "INSERT");
        c->action = MERGE_INSERT_ALL;
        if (parser_accept(p, "*"))
            return 0;
        c->action = MERGE_INSERT;
        TRY(parser_names(p, "a column name", &n, &columns));
        return parse_insert_values(p, n, columns, c);
    }
    if (parser_accept(p, "DELETE")) {
        c->action = MERGE_DELETE;
        return 0;
    }
    if (!parser_accept(p, "UPDATE SET"))
        return parser_fail(p, c->when == MERGE_MATCHED ? "UPDATE SET or DELETE" : "UPDATE SET … or DELETE");
    if (c->when == MERGE_MATCHED && parser_accept(p, "*")) {
        c->action = MERGE_UPDATE_ALL;
        return 0;
    }
    c->action = MERGE_UPDATE;
    return parse_assignments(p, stops, &c->n_set, &c->set);
}

static int parse_clause(struct parser *p, struct merge_clause *c)
{
    static const char *const stops[] = {"THEN", NULL};

    *c = (struct merge_clause){0};
    TRY(parser_expect(p, "WHEN"));
    if (parser_accept(p, "NOT MATCHED BY SOURCE")) {
        c->when = MERGE_NOT_MATCHED_BY_SOURCE;
    } else if (parser_accept(p, "NOT MATCHED")) {
        c->when = MERGE_NOT_MATCHED;
        parser_accept(p, "BY TARGET");
    } else if (parser_accept(p, "MATCHED")) {
        c->when = MERGE_MATCHED;
    } else {
        return parser_fail(p, "MATCHED or NOT MATCHED");
    }
    if (parser_accept(p, "AND"))
        TRY(parser_until(p, stops, "a condition", &c->condition));
    TRY(parser_expect(p, "THEN"));
    return parse_action(p, c);
}

int parse_merge(struct parser *p, struct sql_merge *ret)
{
    static const char *const stops[] = {"WHEN", NULL};

    *ret = (struct sql_merge){.schema_evolution = parser_accept(p, "WITH SCHEMA EVOLUTION")};
    TRY(parser_expect(p, "INTO"));
    TRY(parser_table(p, &ret->target));
    TRY(parser_alias(p, &ret->target.alias));
    TRY(parser_expect(p, "USING"));
    TRY(parse_source(p, ret));
    TRY(parser_expect(p, "ON"));
    TRY(parser_until(p, stops, "a condition", &ret->on));
    do {
        ret->clauses = parser_grow(p, ret->clauses, ret->n_clauses, sizeof *ret->clauses);
        TRY(parse_clause(p, &ret->clauses[ret->n_clauses]));
        ret->n_clauses++;
    } while (!parser_at_end(p));
    return parser_end(p);
}
