/* ALTER TABLE t …: one function an action. */
#include "sql/parse.h"

static int add_columns(struct parser *p, struct sql_alter *a)
{
    a->action = ALTER_ADD_COLUMNS;
    a->if_not_exists = parser_accept(p, "IF NOT EXISTS");
    bool brackets = parser_accept(p, "(");
    do {
        a->columns = parser_grow(p, a->columns, a->n_columns, sizeof *a->columns);
        TRY(parse_column(p, true, &a->columns[a->n_columns]));
        a->n_columns++;
    } while (parser_accept(p, ","));
    return brackets && !parser_accept(p, ")") ? parser_fail(p, ", or )") : 0;
}

static int drop_columns(struct parser *p, struct sql_alter *a)
{
    a->action = ALTER_DROP_COLUMNS;
    a->if_exists = parser_accept(p, "IF EXISTS");
    if (parser_at(p, "("))
        return parser_names(p, "a column name", &a->n_names, &a->names);
    do {
        a->names = parser_grow(p, a->names, a->n_names, sizeof *a->names);
        TRY(parser_name(p, "a column name", &a->names[a->n_names]));
        a->n_names++;
    } while (parser_accept(p, ","));
    return 0;
}

static int parse_add(struct parser *p, struct sql_alter *a)
{
    if (parser_accept(p, "COLUMN") || parser_accept(p, "COLUMNS"))
        return add_columns(p, a);
    if (!parser_accept(p, "CONSTRAINT"))
        return parser_fail(p, "COLUMN, COLUMNS or CONSTRAINT");
    a->action = ALTER_ADD_CONSTRAINT;
    return parse_constraint(p, &a->constraint);
}

static int parse_drop(struct parser *p, struct sql_alter *a)
{
    if (parser_accept(p, "COLUMN") || parser_accept(p, "COLUMNS"))
        return drop_columns(p, a);
    if (parser_accept(p, "FEATURE")) {
        a->action = ALTER_DROP_FEATURE;
        if (parser_peek(p, 0)->kind == TOKEN_STRING)
            TRY(parser_string(p, "a feature", &a->new_name));
        else
            TRY(parser_ident(p, "a feature", &a->new_name));
        a->truncate_history = parser_accept(p, "TRUNCATE HISTORY");
        return 0;
    }
    if (!parser_accept(p, "CONSTRAINT"))
        return parser_fail(p, "COLUMN, COLUMNS, CONSTRAINT or FEATURE");
    a->action = ALTER_DROP_CONSTRAINT;
    a->if_exists = parser_accept(p, "IF EXISTS");
    return parser_ident(p, "a constraint name", &a->constraint.name);
}

static int parse_rename(struct parser *p, struct sql_alter *a)
{
    if (parser_accept(p, "TO")) {
        a->action = ALTER_RENAME_TABLE;
        return parser_table(p, &a->new_table);
    }
    if (!parser_accept(p, "COLUMN"))
        return parser_fail(p, "COLUMN or TO");
    a->action = ALTER_RENAME_COLUMN;
    TRY(parser_name(p, "a column name", &a->column));
    TRY(parser_expect(p, "TO"));
    return parser_ident(p, "the new name", &a->new_name);
}

/* CHANGE COLUMN a a TYPE [COMMENT …] [FIRST | AFTER b]: Hive's form, in which the name is written twice. */
static int parse_change(struct parser *p, struct sql_column_change *c)
{
    struct str name;

    TRY(parser_ident(p, "the column name again", &name));
    if (!str_eq_nocase(name, c->column.parts[c->column.n_parts - 1])) {
        sql_error(p->err, ERR_UNSUPPORTED, p->lx.script, c->column.at, "CHANGE COLUMN does not rename");
        err_hint(p->err, "use ALTER TABLE … RENAME COLUMN %.*s TO %.*s", STR_ARG(c->column.text), STR_ARG(name));
        return ERR_UNSUPPORTED;
    }
    c->field = (struct field){.name = name, .physical = name, .nullable = true};
    TRY(parse_type_into(p, &c->field));
    c->set_type = true;
    if (parser_accept(p, "COMMENT")) {
        TRY(parser_string(p, "the comment as a string", &c->comment));
        c->set_comment = true;
    }
    if (parser_at(p, "FIRST") || parser_at(p, "AFTER")) {
        c->move = true;
        TRY(parse_place(p, &c->place, &c->after));
    }
    return 0;
}

static int parse_alter_column(struct parser *p, bool change, struct sql_column_change *c)
{
    TRY(parser_name(p, "a column name", &c->column));
    if (parser_accept(p, "TYPE") || parser_accept(p, "SET DATA TYPE")) {
        c->field.name = c->field.physical = c->column.parts[c->column.n_parts - 1];
        c->set_type = true;
        return parse_type_into(p, &c->field);
    }
    if (parser_accept(p, "SET NOT NULL")) {
        c->set_not_null = true;
    } else if (parser_accept(p, "DROP NOT NULL")) {
        c->drop_not_null = true;
    } else if (parser_accept(p, "SET DEFAULT")) {
        return parse_default(p, &c->default_expr);
    } else if (parser_accept(p, "DROP DEFAULT")) {
        c->drop_default = true;
    } else if (parser_accept(p, "SYNC IDENTITY")) {
        c->sync_identity = true;
    } else if (parser_accept(p, "COMMENT")) {
        c->set_comment = true;
        return parser_string(p, "the comment as a string", &c->comment);
    } else if (parser_at(p, "FIRST") || parser_at(p, "AFTER")) {
        c->move = true;
        return parse_place(p, &c->place, &c->after);
    } else if (change) {
        return parse_change(p, c);
    } else {
        return parser_fail(p, "TYPE, SET NOT NULL, DROP NOT NULL, SET DEFAULT, DROP DEFAULT, COMMENT, FIRST or AFTER");
    }
    return 0;
}

/* a COMMENT 'x', b FIRST, … */
static int parse_alter_columns(struct parser *p, bool change, struct sql_alter *a)
{
    a->action = ALTER_COLUMN;
    do {
        a->changes = parser_grow(p, a->changes, a->n_changes, sizeof *a->changes);
        struct sql_column_change *c = &a->changes[a->n_changes++];
        *c = (struct sql_column_change){0};
        TRY(parse_alter_column(p, change, c));
    } while (parser_accept(p, ","));
    return 0;
}

static int replace_columns(struct parser *p, struct sql_alter *a)
{
    TRY(parser_expect(p, "("));
    a->action = ALTER_REPLACE_COLUMNS;
    do {
        a->columns = parser_grow(p, a->columns, a->n_columns, sizeof *a->columns);
        struct sql_column *c = &a->columns[a->n_columns++];
        TRY(parse_column(p, false, c));
        if (!c->field.nullable || c->default_expr.n || c->generated_expr.n || c->identity != IDENTITY_NONE)
            return sql_error(p->err, ERR_UNSUPPORTED, p->lx.script, c->name.at,
                             "REPLACE COLUMNS says names, types and comments only: %.*s", STR_ARG(c->field.name));
    } while (parser_accept(p, ","));
    return parser_accept(p, ")") ? 0 : parser_fail(p, ", or )");
}

static int parse_action(struct parser *p, struct sql_alter *a)
{
    if (parser_accept(p, "ADD"))
        return parse_add(p, a);
    if (parser_accept(p, "DROP"))
        return parse_drop(p, a);
    if (parser_accept(p, "RENAME"))
        return parse_rename(p, a);
    if (parser_at(p, "ALTER") || parser_at(p, "CHANGE")) {
        bool change = parser_accept(p, "CHANGE");
        if (!change)
            parser_take(p);
        parser_accept(p, "COLUMN");
        return parse_alter_columns(p, change, a);
    }
    if (parser_accept(p, "REPLACE COLUMNS"))
        return replace_columns(p, a);
    if (parser_accept(p, "SET TBLPROPERTIES")) {
        a->action = ALTER_SET_PROPERTIES;
        return parse_properties(p, false, &a->n_properties, &a->properties);
    }
    if (parser_accept(p, "UNSET TBLPROPERTIES")) {
        a->action = ALTER_UNSET_PROPERTIES;
        a->if_exists = parser_accept(p, "IF EXISTS");
        return parse_properties(p, true, &a->n_properties, &a->properties);
    }
    if (parser_accept(p, "CLUSTER BY")) {
        a->action = ALTER_CLUSTER_BY;
        return parser_accept(p, "NONE") ? 0 : parser_names(p, "a column name", &a->n_names, &a->names);
    }
    return parser_fail(p, "ADD, DROP, RENAME, ALTER COLUMN, CHANGE COLUMN, REPLACE COLUMNS, SET TBLPROPERTIES, "
                          "UNSET TBLPROPERTIES or CLUSTER BY");
}

int parse_alter(struct parser *p, struct sql_alter *ret)
{
    *ret = (struct sql_alter){.table_if_exists = parser_accept(p, "IF EXISTS")};
    TRY(parser_table(p, &ret->table));
    TRY(parse_action(p, ret));
    return parser_end(p);
}
