/*
 * SQL text → statement: Delta's SQL as a small tree, everything else as text for DuckDB.
 *
 * Expressions, conditions and queries are kept as they are written (slices of the script): DuckDB parses them; rewrite.h
 * replaces the tables in them. Names are without quotes, their case as written. All of it points into the script and the
 * arena that the statement was parsed with.
 */
#ifndef SLUICE_SQL_STATEMENT_H
#define SLUICE_SQL_STATEMENT_H

#include "model/type.h"
#include "sql/lexer.h"
#include "sql/name.h"

enum statement_kind {
    STATEMENT_QUERY, /* not ours: SELECT, COPY, SET, CREATE VIEW, … */
    STATEMENT_CREATE_TABLE,
    STATEMENT_CLONE,
    STATEMENT_DROP_TABLE,
    STATEMENT_ALTER_TABLE, /* also COMMENT ON TABLE */
    STATEMENT_INSERT,
    STATEMENT_UPDATE,
    STATEMENT_DELETE,
    STATEMENT_MERGE,
    STATEMENT_OPTIMIZE,
    STATEMENT_VACUUM,
    STATEMENT_RESTORE,
    STATEMENT_REORG,
    STATEMENT_CONVERT,
    STATEMENT_GENERATE, /* GENERATE symlink_format_manifest FOR TABLE t */
    STATEMENT_DESCRIBE, /* DESCRIBE t, DESC TABLE EXTENDED t; describe of a query is a query */
    STATEMENT_DESCRIBE_HISTORY,
    STATEMENT_DESCRIBE_DETAIL,
    STATEMENT_SHOW_SCHEMAS,
    STATEMENT_SHOW_TABLES,
    STATEMENT_SHOW_COLUMNS,
    STATEMENT_SHOW_PARTITIONS,
    STATEMENT_SHOW_PROPERTIES,
    STATEMENT_SHOW_CREATE_TABLE,
};

struct sql_property {
    struct str key, value;
};
enum column_place { PLACE_LAST, PLACE_FIRST, PLACE_AFTER };
enum column_identity { IDENTITY_NONE, IDENTITY_ALWAYS, IDENTITY_BY_DEFAULT };

/* A column definition. `field` is as the table's schema will have it: name, type, nullability, and in its metadata the
 * comment, SQL_CHAR_TYPE_KEY, CURRENT_DEFAULT, delta.generationExpression, delta.identity.*. The same again, for reading: */
struct sql_column {
    struct sql_name name; /* several parts in ADD COLUMN a.b.c */
    struct field field;
    struct str default_expr, generated_expr; /* as written; empty: none */
    enum column_identity identity;
    int64_t identity_start, identity_step;
    enum column_place place; /* in ALTER TABLE */
    struct str after;
};

struct sql_constraint {
    struct str name, expr;
};
struct sql_create {
    struct sql_table table, like; /* LIKE: columns, partitions and properties are that table's */
    bool or_replace, if_not_exists, is_like, replace_only; /* the last: REPLACE TABLE, it must exist */
    uint32_t n_columns, n_constraints, n_partition_by, n_cluster_by, n_properties;
    struct sql_column *columns; /* partition columns that were given with their type are at the end */
    struct sql_constraint *constraints;
    struct str *partition_by;
    struct sql_name *cluster_by;
    struct sql_property *properties;
    struct str provider; /* of USING; empty: not given */
    struct str location, comment;
    bool has_comment;
    struct str query; /* AS …; empty: none */
};

struct sql_clone {
    struct sql_create target; /* table, or_replace, if_not_exists, properties, location */
    struct sql_table source;
    bool shallow;
};

/* column = value; the value DEFAULT is as written. */
struct sql_assignment {
    struct sql_name column;
    struct str value;
};

struct sql_insert {
    struct sql_table table;
    bool overwrite, by_name, if_not_exists, schema_evolution;
    uint32_t n_columns, n_partition, n_replace_using;
    struct sql_name *columns, *replace_using;
    struct sql_assignment *partition; /* PARTITION (p = 1, q): value empty where none is given */
    struct str replace_where;         /* empty: none */
    struct str query;                 /* VALUES …, SELECT …, TABLE …; empty: DEFAULT VALUES */
};

struct sql_update {
    struct sql_table table;
    uint32_t n_set;
    struct sql_assignment *set;
    struct str where; /* empty: all rows */
};
struct sql_delete {
    struct sql_table table;
    struct str where; /* empty: all rows */
};
enum merge_when { MERGE_MATCHED, MERGE_NOT_MATCHED, MERGE_NOT_MATCHED_BY_SOURCE };
enum merge_action { MERGE_UPDATE, MERGE_UPDATE_ALL, MERGE_DELETE, MERGE_INSERT, MERGE_INSERT_ALL, MERGE_DO_NOTHING };

struct merge_clause {
    enum merge_when when;
    enum merge_action action;
    struct str condition; /* AND …; empty: none */
    uint32_t n_set;       /* MERGE_UPDATE, MERGE_INSERT */
    struct sql_assignment *set;
};

struct sql_merge {
    struct sql_table target;
    bool schema_evolution;
    struct sql_table source; /* a table with its point in time, or only an alias when it is a query */
    struct str source_text;  /* a table as written, with its point in time */
    struct str source_query; /* USING (query): the text between the brackets; or SELECT * FROM a call; empty: a table */
    uint32_t n_source_columns; /* AS s(a, b) */
    struct sql_name *source_columns;
    struct str on;
    uint32_t n_clauses;
    struct merge_clause *clauses;
};

enum alter_action {
    ALTER_ADD_COLUMNS,      /* columns */
    ALTER_DROP_COLUMNS,     /* names, if_exists */
    ALTER_RENAME_COLUMN,    /* column, new_name */
    ALTER_COLUMN,           /* changes: one or more */
    ALTER_REPLACE_COLUMNS,  /* columns */
    ALTER_SET_PROPERTIES,   /* properties */
    ALTER_UNSET_PROPERTIES, /* properties (keys), if_exists */
    ALTER_ADD_CONSTRAINT,   /* constraint */
    ALTER_DROP_CONSTRAINT,  /* constraint.name, if_exists */
    ALTER_CLUSTER_BY,       /* names; none: CLUSTER BY NONE */
    ALTER_DROP_FEATURE,     /* new_name is the feature; truncate_history */
    ALTER_RENAME_TABLE,     /* new_table */
    ALTER_COMMENT,          /* comment; has_comment false: removed */
};

/* What ALTER COLUMN changes of a column: several at once with CHANGE COLUMN. */
struct sql_column_change {
    struct sql_name column;
    bool set_type, set_comment, set_not_null, drop_not_null, drop_default, sync_identity, move;
    struct field field; /* set_type: type, and SQL_CHAR_TYPE_KEY in its metadata */
    struct str comment, default_expr;
    enum column_place place; /* move */
    struct str after;
};

struct sql_alter {
    struct sql_table table;
    bool table_if_exists;
    enum alter_action action;
    bool if_exists, if_not_exists, truncate_history, has_comment;
    bool whole_name; /* COMMENT ON COLUMN s.t.a.b: the column has it all, also the table's name */
    uint32_t n_columns, n_names, n_properties, n_changes;
    struct sql_column *columns;
    struct sql_name *names;
    struct sql_property *properties;
    struct sql_name column;
    struct str new_name, comment;
    struct sql_table new_table;
    struct sql_constraint constraint;
    struct sql_column_change *changes;
};

struct sql_optimize {
    struct sql_table table;
    bool full;
    struct str where;
    uint32_t n_zorder;
    struct sql_name *zorder;
};

struct sql_vacuum {
    struct sql_table table;
    bool lite, dry_run, has_retain;
    double retain_hours;
    struct str inventory; /* USING INVENTORY: a query; empty: none */
};

struct sql_restore {
    struct sql_table table;
    struct sql_travel to;
};
struct sql_reorg {
    struct sql_table table;
    struct str where;
    struct str apply; /* PURGE, or UPGRADE UNIFORM (…): as written */
};

struct sql_convert {
    struct str format; /* parquet, iceberg */
    struct str path;
    bool no_statistics;
    uint32_t n_partition;
    struct sql_column *partition;
};

struct sql_drop {
    struct sql_table table;
    bool if_exists, purge;
};
struct sql_show {           /* DESCRIBE …, SHOW …, GENERATE */
    struct sql_table table; /* SHOW TABLES [FROM schema]: name.n_parts 0 or 1 */
    bool extended;
    int64_t limit;          /* DESCRIBE HISTORY; -1: all */
    struct str key;         /* SHOW TBLPROPERTIES t ('key'), SHOW TABLES LIKE 'pattern'; GENERATE's mode */
    struct sql_name column; /* DESCRIBE t a.b; n_parts 0: none */
};

struct statement {
    enum statement_kind kind;
    struct str text; /* the whole statement, without its `;` */
    struct str with; /* WITH … before INSERT, UPDATE, DELETE or MERGE: "WITH a AS (…)"; empty: none */
    union {
        struct sql_create create;
        struct sql_clone clone;
        struct sql_drop drop;
        struct sql_alter alter;
        struct sql_insert insert;
        struct sql_update update;
        struct sql_delete delete_from;
        struct sql_merge merge;
        struct sql_optimize optimize;
        struct sql_vacuum vacuum;
        struct sql_restore restore;
        struct sql_reorg reorg;
        struct sql_convert convert;
        struct sql_show show;
    };
};

/* Parses one statement: `text`, a slice of `script` as sql_split gives it (or both the same). Errors say line and column in
 * the script, what was expected and what stands there. ERR_INPUT, ERR_UNSUPPORTED (an unknown type), ERR_LIMIT. */
int statement_parse(struct arena *arena, struct str script, struct str text, struct statement *ret,
                    struct err *err) MUST_CHECK;
const char *statement_kind_name(enum statement_kind kind); /* "MERGE", "DESCRIBE HISTORY" */

#endif
