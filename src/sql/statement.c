/*
 * Which statement is it? The first words choose the parser; what none of them takes is a query for DuckDB. The short
 * statements are parsed here, the long ones in parse_*.c.
 */
#include "sql/statement.h"

#include "sql/parse.h"

#include <assert.h>
#include <stdlib.h>

static int parse_drop_table(struct parser *p, struct sql_drop *ret)
{
    *ret = (struct sql_drop){.if_exists = parser_accept(p, "IF EXISTS")};
    TRY(parser_table(p, &ret->table));
    ret->purge = parser_accept(p, "PURGE");
    return parser_end(p);
}

/* TRUNCATE TABLE t deletes every row. */
static int parse_truncate(struct parser *p, struct sql_delete *ret)
{
    *ret = (struct sql_delete){0};
    TRY(parser_table(p, &ret->table));
    return parser_end(p);
}

/* COMMENT ON TABLE t IS 'text' | NULL */
static int parse_comment(struct parser *p, struct sql_alter *ret)
{
    *ret = (struct sql_alter){.action = ALTER_COMMENT};
    TRY(parser_table(p, &ret->table));
    TRY(parser_expect(p, "IS"));
    if (!parser_accept(p, "NULL")) {
        TRY(parser_string(p, "the comment as a string, or NULL", &ret->comment));
        ret->has_comment = true;
    }
    return parser_end(p);
}

/* COMMENT ON COLUMN t.c IS …; a column may be a field (t.c.f), and the table be in a schema (s.t.c). */
static int parse_column_comment(struct parser *p, struct sql_alter *ret)
{
    struct sql_column_change *c = ARENA_NEW(p->arena, struct sql_column_change);

    *ret = (struct sql_alter){.action = ALTER_COLUMN, .changes = c, .n_changes = 1, .whole_name = true};
    c->set_comment = true;
    TRY(parser_name(p, "a column with its table", &c->column));
    if (c->column.n_parts < 2)
        return parser_fail(p, "a column with its table before it (t.c)");
    TRY(parser_expect(p, "IS"));
    if (!parser_accept(p, "NULL"))
        TRY(parser_string(p, "the comment as a string, or NULL", &c->comment));
    return parser_end(p);
}

static int parse_optimize(struct parser *p, struct sql_optimize *ret)
{
    static const char *const stops[] = {"ZORDER BY", NULL};

    *ret = (struct sql_optimize){0};
    parser_accept(p, "TABLE");
    TRY(parser_table(p, &ret->table));
    ret->full = parser_accept(p, "FULL");
    if (parser_accept(p, "WHERE"))
        TRY(parser_until(p, stops, "a condition", &ret->where));
    if (!parser_accept(p, "ZORDER BY"))
        return parser_at_end(p) ? 0 : parser_fail(p, "FULL, WHERE, ZORDER BY or the end of the statement");
    if (parser_at(p, "(")) {
        TRY(parser_names(p, "a column name", &ret->n_zorder, &ret->zorder));
        return parser_end(p);
    }
    do {
        ret->zorder = parser_grow(p, ret->zorder, ret->n_zorder, sizeof *ret->zorder);
        TRY(parser_name(p, "a column name", &ret->zorder[ret->n_zorder]));
        ret->n_zorder++;
    } while (parser_accept(p, ","));
    return parser_end(p);
}

static int parse_retain(struct parser *p, struct sql_vacuum *ret)
{
    const struct token *t = parser_peek(p, 0);

    if (t->kind != TOKEN_NUMBER || t->text.n > 20)
        return parser_fail(p, "a number of hours");
    ret->retain_hours = strtod(arena_strdup(p->arena, t->text), NULL);
    ret->has_retain = true;
    parser_take(p);
    return parser_accept(p, "HOURS") || parser_accept(p, "HOUR") ? 0 : parser_fail(p, "HOURS");
}

/* (query), or a table with its point in time as "SELECT * FROM t". */
static int parse_inventory(struct parser *p, struct str *ret)
{
    size_t start = parser_peek(p, 0)->at;
    struct sql_table table;

    if (parser_at(p, "("))
        return parser_parens(p, "a query", ret);
    TRY(parser_table(p, &table));
    TRY(parser_travel(p, &table.travel));
    struct str text = parser_text(p, start);
    *ret = str_of(arena_printf(p->arena, "SELECT * FROM %.*s", STR_ARG(text)));
    return 0;
}

static int parse_vacuum(struct parser *p, struct sql_vacuum *ret)
{
    *ret = (struct sql_vacuum){0};
    parser_accept(p, "TABLE");
    TRY(parser_table(p, &ret->table));
    while (!parser_at_end(p)) {
        if (parser_accept(p, "LITE"))
            ret->lite = true;
        else if (parser_accept(p, "USING INVENTORY"))
            TRY(parse_inventory(p, &ret->inventory));
        else if (parser_accept(p, "RETAIN"))
            TRY(parse_retain(p, ret));
        else if (parser_accept(p, "DRY RUN"))
            ret->dry_run = true;
        else if (!parser_accept(p, "FULL"))
            return parser_fail(p, "FULL, LITE, USING INVENTORY, RETAIN, DRY RUN or the end of the statement");
    }
    if (ret->lite && ret->inventory.n)
        return sql_error(p->err, ERR_INPUT, p->lx.script, p->last_end, "an inventory is not for VACUUM … LITE");
    return 0;
}

static int parse_restore(struct parser *p, struct sql_restore *ret)
{
    *ret = (struct sql_restore){0};
    parser_accept(p, "TABLE");
    TRY(parser_table(p, &ret->table));
    parser_accept(p, "TO");
    TRY(parser_travel(p, &ret->to));
    if (ret->to.kind == TRAVEL_NONE)
        return parser_fail(p, "VERSION AS OF or TIMESTAMP AS OF");
    return parser_end(p);
}

static int parse_reorg(struct parser *p, struct sql_reorg *ret)
{
    static const char *const stops[] = {"APPLY", NULL};

    *ret = (struct sql_reorg){0};
    parser_accept(p, "TABLE");
    TRY(parser_table(p, &ret->table));
    if (parser_accept(p, "WHERE"))
        TRY(parser_until(p, stops, "a condition", &ret->where));
    TRY(parser_expect(p, "APPLY"));
    TRY(parser_parens(p, "PURGE", &ret->apply));
    return parser_end(p);
}

static int parse_generate(struct parser *p, struct sql_show *ret)
{
    *ret = (struct sql_show){.limit = -1};
    TRY(parser_ident(p, "symlink_format_manifest", &ret->key));
    TRY(parser_expect(p, "FOR TABLE"));
    TRY(parser_table(p, &ret->table));
    return parser_end(p);
}

/* After DESCRIBE or DESC. */
static int parse_describe(struct parser *p, struct statement *ret)
{
    static const char *const others[] = {"SELECT", "WITH",     "FROM",     "VALUES", "(",      "QUERY", "INSERT",
                                         "UPDATE", "FUNCTION", "DATABASE", "SCHEMA", "TABLES", "SHOW",  "SUMMARIZE"};
    bool more = parser_peek(p, 1)->kind != TOKEN_END && parser_peek(p, 1)->kind != TOKEN_OP;

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (parser_at(p, others[i]))
            return 0;
    if (parser_at_end(p))
        return 0; /* DuckDB's DESCRIBE alone lists the tables */
    ret->show = (struct sql_show){.limit = -1};
    if (more && parser_accept(p, "HISTORY")) {
        ret->kind = STATEMENT_DESCRIBE_HISTORY;
        TRY(parser_table(p, &ret->show.table));
        if (parser_accept(p, "LIMIT"))
            TRY(parser_i64(p, "a number", &ret->show.limit));
        return parser_end(p);
    }
    if (more && parser_accept(p, "DETAIL")) {
        ret->kind = STATEMENT_DESCRIBE_DETAIL;
        TRY(parser_table(p, &ret->show.table));
        return parser_end(p);
    }
    ret->kind = STATEMENT_DESCRIBE;
    if (more)
        parser_accept(p, "TABLE");
    more = parser_peek(p, 1)->kind != TOKEN_END && parser_peek(p, 1)->kind != TOKEN_OP;
    ret->show.extended = more && (parser_accept(p, "EXTENDED") || parser_accept(p, "FORMATTED"));
    TRY(parser_table(p, &ret->show.table));
    TRY(parser_travel(p, &ret->show.table.travel));
    if (token_is_name(parser_peek(p, 0)))
        TRY(parser_name(p, "a column name", &ret->show.column));
    return parser_end(p);
}

/* [IN | FROM schema] after a table. */
static int parse_in_schema(struct parser *p, struct sql_table *table)
{
    struct sql_name *name = &table->name;
    struct str schema;

    if (!parser_accept(p, "IN") && !parser_accept(p, "FROM"))
        return 0;
    TRY(parser_ident(p, "a schema", &schema));
    if (name->n_parts != 1)
        return 0;
    struct str *parts = ARENA_NEW_N(p->arena, struct str, 2);
    parts[0] = schema;
    parts[1] = name->parts[0];
    name->parts = parts;
    name->n_parts = 2;
    return 0;
}

/* After SHOW; what is not ours is a query. */
static int parse_show(struct parser *p, struct statement *ret)
{
    struct sql_show *s = &ret->show;

    *s = (struct sql_show){.limit = -1};
    if (parser_accept(p, "TABLES")) {
        ret->kind = STATEMENT_SHOW_TABLES;
        if (parser_accept(p, "IN") || parser_accept(p, "FROM"))
            TRY(parser_table(p, &s->table));
        if (parser_accept(p, "LIKE") || parser_peek(p, 0)->kind == TOKEN_STRING)
            TRY(parser_string(p, "a pattern as a string", &s->key));
    } else if (parser_accept(p, "COLUMNS")) {
        ret->kind = STATEMENT_SHOW_COLUMNS;
        if (!parser_accept(p, "IN") && !parser_accept(p, "FROM"))
            return parser_fail(p, "IN or FROM");
        TRY(parser_table(p, &s->table));
        TRY(parse_in_schema(p, &s->table));
    } else if (parser_accept(p, "SCHEMAS") || parser_accept(p, "DATABASES")) {
        ret->kind = STATEMENT_SHOW_SCHEMAS;
        if (parser_accept(p, "LIKE") || parser_peek(p, 0)->kind == TOKEN_STRING)
            TRY(parser_string(p, "a pattern as a string", &s->key));
    } else if (parser_accept(p, "TBLPROPERTIES")) {
        struct sql_property *keys = NULL;
        uint32_t n = 0;
        ret->kind = STATEMENT_SHOW_PROPERTIES;
        TRY(parser_table(p, &s->table));
        if (parser_at(p, "(")) {
            TRY(parse_properties(p, true, &n, &keys));
            s->key = keys[0].key;
        }
    } else if (parser_accept(p, "PARTITIONS")) {
        ret->kind = STATEMENT_SHOW_PARTITIONS;
        TRY(parser_table(p, &s->table));
    } else if (parser_accept(p, "CREATE TABLE")) {
        ret->kind = STATEMENT_SHOW_CREATE_TABLE;
        TRY(parser_table(p, &s->table));
    } else {
        return 0;
    }
    return parser_end(p);
}

/* INSERT, UPDATE, DELETE and MERGE, at the word. */
static int parse_change(struct parser *p, struct statement *ret)
{
    if (!parser_at(p, "INSERT OR") && parser_accept(p, "INSERT")) {
        ret->kind = STATEMENT_INSERT;
        return parse_insert(p, &ret->insert);
    }
    if (!parser_at(p, "UPDATE EXTENSIONS") && parser_accept(p, "UPDATE")) {
        ret->kind = STATEMENT_UPDATE;
        return parse_update(p, &ret->update);
    }
    if (parser_accept(p, "DELETE FROM")) {
        ret->kind = STATEMENT_DELETE;
        return parse_delete(p, &ret->delete_from);
    }
    if (parser_accept(p, "MERGE")) {
        ret->kind = STATEMENT_MERGE;
        return parse_merge(p, &ret->merge);
    }
    return 0;
}

/* WITH a AS (…), … before a statement that changes a table; before anything else it is part of a query. */
static int parse_with(struct parser *p, struct statement *ret)
{
    size_t start = parser_peek(p, 0)->at;
    struct sql_name name;
    struct str ignored;

    parser_accept(p, "WITH");
    parser_accept(p, "RECURSIVE");
    do {
        if (!token_is_name(parser_peek(p, 0)))
            return 0;
        TRY(parser_name(p, "a name", &name));
        if (parser_at(p, "("))
            TRY(parser_parens(p, "column names", &ignored));
        if (!parser_accept(p, "AS"))
            return 0;
        if (!parser_accept(p, "NOT MATERIALIZED"))
            parser_accept(p, "MATERIALIZED");
        if (!parser_at(p, "("))
            return 0;
        TRY(parser_parens(p, "a query", &ignored));
    } while (parser_accept(p, ","));
    struct str with = parser_text(p, start);
    TRY(parse_change(p, ret));
    if (ret->kind != STATEMENT_QUERY)
        ret->with = with;
    return 0;
}

static int parse_maintenance(struct parser *p, struct statement *ret)
{
    if (parser_accept(p, "OPTIMIZE")) {
        ret->kind = STATEMENT_OPTIMIZE;
        return parse_optimize(p, &ret->optimize);
    }
    if (!parser_at(p, "VACUUM ANALYZE") && parser_peek(p, 1)->kind != TOKEN_END && parser_accept(p, "VACUUM")) {
        ret->kind = STATEMENT_VACUUM;
        return parse_vacuum(p, &ret->vacuum);
    }
    if (parser_accept(p, "RESTORE")) {
        ret->kind = STATEMENT_RESTORE;
        return parse_restore(p, &ret->restore);
    }
    if (parser_accept(p, "REORG")) {
        ret->kind = STATEMENT_REORG;
        return parse_reorg(p, &ret->reorg);
    }
    if (parser_accept(p, "CONVERT TO DELTA")) {
        ret->kind = STATEMENT_CONVERT;
        return parse_convert(p, &ret->convert);
    }
    if (parser_accept(p, "GENERATE")) {
        ret->kind = STATEMENT_GENERATE;
        return parse_generate(p, &ret->show);
    }
    return 0;
}

static int parse_any(struct parser *p, struct statement *ret)
{
    if (parser_accept(p, "CREATE OR REPLACE TABLE"))
        return parse_create(p, true, false, ret);
    if (parser_accept(p, "CREATE TABLE") || parser_accept(p, "CREATE EXTERNAL TABLE"))
        return parse_create(p, false, false, ret);
    if (parser_accept(p, "REPLACE TABLE"))
        return parse_create(p, true, true, ret);
    if (parser_accept(p, "DROP TABLE")) {
        ret->kind = STATEMENT_DROP_TABLE;
        return parse_drop_table(p, &ret->drop);
    }
    if (parser_accept(p, "ALTER TABLE")) {
        ret->kind = STATEMENT_ALTER_TABLE;
        return parse_alter(p, &ret->alter);
    }
    if (parser_accept(p, "COMMENT ON COLUMN")) {
        ret->kind = STATEMENT_ALTER_TABLE;
        return parse_column_comment(p, &ret->alter);
    }
    if (parser_accept(p, "COMMENT ON TABLE")) {
        ret->kind = STATEMENT_ALTER_TABLE;
        return parse_comment(p, &ret->alter);
    }
    if (parser_accept(p, "TRUNCATE TABLE")) {
        ret->kind = STATEMENT_DELETE;
        return parse_truncate(p, &ret->delete_from);
    }
    if (parser_accept(p, "DESCRIBE") || parser_accept(p, "DESC"))
        return parse_describe(p, ret);
    if (parser_accept(p, "SHOW"))
        return parse_show(p, ret);
    if (parser_at(p, "WITH"))
        return parse_with(p, ret);
    TRY(parse_change(p, ret));
    return ret->kind == STATEMENT_QUERY ? parse_maintenance(p, ret) : 0;
}

int statement_parse(struct arena *arena, struct str script, struct str text, struct statement *ret, struct err *err)
{
    struct statement s = {.kind = STATEMENT_QUERY};
    struct parser p;

    parser_init(&p, arena, script, text, err);
    s.text = parser_rest(&p);
    if (p.rc)
        return p.rc;
    parser_init(&p, arena, script, s.text.n ? s.text : text, err);
    TRY(parse_any(&p, &s));
    *ret = s;
    return 0;
}

const char *statement_kind_name(enum statement_kind kind)
{
    static const char *const names[] = {
        [STATEMENT_QUERY] = "query",
        [STATEMENT_CREATE_TABLE] = "CREATE TABLE",
        [STATEMENT_CLONE] = "CLONE",
        [STATEMENT_DROP_TABLE] = "DROP TABLE",
        [STATEMENT_ALTER_TABLE] = "ALTER TABLE",
        [STATEMENT_INSERT] = "INSERT",
        [STATEMENT_UPDATE] = "UPDATE",
        [STATEMENT_DELETE] = "DELETE",
        [STATEMENT_MERGE] = "MERGE",
        [STATEMENT_OPTIMIZE] = "OPTIMIZE",
        [STATEMENT_VACUUM] = "VACUUM",
        [STATEMENT_RESTORE] = "RESTORE",
        [STATEMENT_REORG] = "REORG",
        [STATEMENT_CONVERT] = "CONVERT TO DELTA",
        [STATEMENT_GENERATE] = "GENERATE",
        [STATEMENT_DESCRIBE] = "DESCRIBE",
        [STATEMENT_DESCRIBE_HISTORY] = "DESCRIBE HISTORY",
        [STATEMENT_DESCRIBE_DETAIL] = "DESCRIBE DETAIL",
        [STATEMENT_SHOW_SCHEMAS] = "SHOW SCHEMAS",
        [STATEMENT_SHOW_TABLES] = "SHOW TABLES",
        [STATEMENT_SHOW_COLUMNS] = "SHOW COLUMNS",
        [STATEMENT_SHOW_PARTITIONS] = "SHOW PARTITIONS",
        [STATEMENT_SHOW_PROPERTIES] = "SHOW TBLPROPERTIES",
        [STATEMENT_SHOW_CREATE_TABLE] = "SHOW CREATE TABLE",
    };

    assert((size_t)kind < ARRAY_LEN(names));
    return names[kind];
}
