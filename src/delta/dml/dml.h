/*
 * DELETE, UPDATE, INSERT and MERGE on a Delta table.
 *
 * Conditions, values and queries come as SQL text for DuckDB (the tables in them already replaced by what DuckDB can
 * read). Rows that go are masked by deletion vectors, or, where delta.enableDeletionVectors is not true, their files are
 * written again without them. New rows pass the table's rules first: NOT NULL, CHECK, invariants, lengths of CHAR and
 * VARCHAR, generated, default and identity columns. A table with a change data feed gets its change files.
 *
 * All take the table's newest version; when another writer gets in between with something that clashes, the statement is
 * run again from the start, a few times. The connection must be idle; temporary tables whose names start with
 * __sluice_ are used in it.
 */
#ifndef SLUICE_DELTA_DML_H
#define SLUICE_DELTA_DML_H

#include "delta/log/table.h"
#include "engine/engine.h"

/* The table that a statement changes. All borrowed. */
struct dml_target {
    struct delta_table *table;
    struct engine_conn *conn;
    struct str name;  /* for messages, and what expressions call the table when there is no alias; may have dots */
    struct str alias; /* what expressions call the table; empty: the last part of `name` */
    struct str with;  /* "WITH a AS (…)" to put before what is asked of DuckDB; empty: none */
    /* Called before the statement is run again, or NULL: what its texts read of Delta tables must be read anew. */
    void (*forget)(void *ctx);
    void *forget_ctx;
    bool in_transaction;         /* the connection is in a transaction of DuckDB's that the user began */
    const struct delta_txn *txn; /* set with the commit, or NULL */
    bool hidden_clock;           /* the statement may ask the clock (now()) in a view or macro */
};

/* column[.field…] = expr. The expr DEFAULT is the column's default. */
struct dml_set {
    const struct str *path;
    uint32_t n_path;
    struct str expr;
    const struct engine_type *type; /* of the expression, where it is known; callers leave it NULL */
};

struct dml_result {
    int64_t version; /* of the commit; the version read when nothing had to be done */
    bool committed;
    uint64_t inserted, updated, deleted; /* rows */
    uint64_t copied;                     /* rows written again, unchanged */
    uint64_t files_added, files_removed, vectors_added;
};

/* `where` empty: every row. ERR_USAGE: the condition does not hold water; ERR_REFUSED: an append-only table. */
int delta_delete(const struct dml_target *t, struct str where, struct dml_result *ret, struct err *err) MUST_CHECK;
int delta_update(const struct dml_target *t, const struct dml_set *set, uint32_t n_set, struct str where,
                 struct dml_result *ret, struct err *err) MUST_CHECK;

/* PARTITION (column = expr); no expr: the column's values come out of the query. */
struct dml_partition {
    struct str column, expr;
};

struct dml_insert {
    const struct str *columns; /* none: all but those that PARTITION gives, by position */
    uint32_t n_columns;
    const struct dml_partition *partition;
    uint32_t n_partition;
    bool by_name;             /* columns are those of the query, by name */
    bool schema_evolution;    /* with by_name: columns of the query that the table lacks are added to it */
    bool overwrite;           /* all that is there goes first, or what is in the given partitions */
    bool dynamic;             /* with overwrite, of a partitioned table: only what is in partitions of new rows */
    struct str replace_where; /* with overwrite: only what matches goes, and new rows must match */
    const struct str *replace_using; /* with overwrite: only rows with the same values there as a new row's (=) go */
    uint32_t n_replace_using;
    bool reads_target; /* the query reads this table, too */
    struct str query;  /* SELECT …, VALUES …; empty: one row of defaults */
    /* The query is a list of VALUES and nothing more: its expressions, a row after the other. 0: it is something else. */
    const struct str *values;
    uint32_t n_rows, n_row_values;
};
int delta_insert(const struct dml_target *t, const struct dml_insert *insert, struct dml_result *ret,
                 struct err *err) MUST_CHECK;

enum dml_when { DML_MATCHED, DML_NOT_MATCHED, DML_NOT_MATCHED_BY_SOURCE };
enum dml_action { DML_UPDATE, DML_UPDATE_ALL, DML_DELETE, DML_INSERT, DML_INSERT_ALL, DML_NOTHING };
struct dml_clause {
    enum dml_when when;
    enum dml_action action;
    struct str condition; /* empty: always */
    const struct dml_set *set;
    uint32_t n_set;
};
struct dml_merge {
    struct str source; /* a table expression with its alias: "(SELECT …) AS s(a, b)" */
    struct str source_alias;
    struct str on;
    const struct dml_clause *clauses;
    uint32_t n_clauses;
    bool schema_evolution; /* columns of the source that the table lacks are added to it */
    bool reads_target;     /* the source reads this table, too */
};
/* ERR_USAGE also when a row of the table matches several rows of the source. */
int delta_merge(const struct dml_target *t, const struct dml_merge *merge, struct dml_result *ret,
                struct err *err) MUST_CHECK;

#endif
