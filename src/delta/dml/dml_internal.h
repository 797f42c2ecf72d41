/*
 * One DML statement under way. Private to the dml*.c files.
 *
 * Order of things: dml_begin (snapshot) → dml_evolve → dml_open_scan (with positions) → dml_hit (which rows go) → stage new rows in the temporary
 * table DML_ROWS → dml_finish_rows (generated, identity, rules) → dml_write_rows (files) → dml_apply_hits (deletion vectors
 * or rewritten files) → dml_commit.
 */
#ifndef SLUICE_DELTA_DML_INTERNAL_H
#define SLUICE_DELTA_DML_INTERNAL_H

#include "codec/dv.h"
#include "delta/dml/dml.h"
#include "delta/scan/plan.h"
#include "delta/scan/scan.h"
#include "delta/dml/store_assign.h"
#include "delta/log/transaction.h"

#define DML_ROWS "__sluice_rows" /* staged rows: the table's columns by logical name, then __clause INTEGER */
#define DML_SOURCE "__sluice_source"

enum { DML_ATTEMPTS = 30 };

struct dml {
    const struct dml_target *t;
    struct delta_tx *tx;
    const struct delta_head *head;
    const struct schema *schema; /* logical and physical names, as the scan gives it */
    struct schema *logical;      /* the same with every physical name the logical one: for types in SQL */
    struct delta_head *evolved;  /* the table with the columns that the statement adds; `head` is then this one */
    struct delta_scan *scan;     /* with positions */
    struct dv *hits;             /* a file of the scan: rows that go */
    uint64_t n_hits;
    const struct dv **hit_list; /* a file: NULL where it has none */
    struct scan_files *hit_files;
    int64_t hit_id;      /* for dv(id, __file, __row): "is not hit" */
    struct buf concern;  /* SQL condition on a row of the table: would it have made a difference to the statement? */
    bool judges_rows;    /* `concern` depends on nothing but the row */
    bool concern_is_hit; /* exactly the rows that it is true for are hit */
    struct buf dv_bytes, dv_name;
    char **written; /* keys of files that go again when the statement fails */
    size_t n_written, cap_written;
    uint64_t bytes_added, bytes_removed, scan_us, start_us;
    bool clock_stands;       /* in a transaction of ours */
    struct delta_stub *stub; /* of the table, when its files were chosen */
    bool row_ids;    /* the table tracks rows: the scan has their ids, and rows that are written again keep them */
    bool staged_ids; /* DML_ROWS has them, too (NULL for a new row) */
    bool evolves;    /* structs of a MERGE may lack fields */
    uint64_t vectors_updated, vectors_removed, cdc_files;
    struct dml_result result;
};

/* What a DML statement does between begin and commit. */
typedef int dml_body_fn(struct dml *d, const void *arg, struct err *err);
/* Begins, runs the body, commits when it has made actions; again when another writer clashed. */
int dml_run(const struct dml_target *t, const char *operation, dml_body_fn *body, const void *arg,
            struct dml_result *ret, struct err *err) MUST_CHECK;

/* Appends "<with> " and, for FROM, "(scan) AS "alias"". */
void dml_add_with(const struct dml *d, struct buf *sql);
void dml_add_target(const struct dml *d, struct buf *sql);
void dml_add_alias(const struct dml *d, struct buf *sql);
/* Name of a column's type as SQL knows it here, with logical field names. */
int dml_add_type(const struct dml *d, uint32_t field, struct buf *sql, struct err *err) MUST_CHECK;
int dml_find_column(const struct dml *d, struct str name, uint32_t *ret, struct err *err) MUST_CHECK;
/* ERR_USAGE: an identity column, whose values no statement changes, also where INSERT may give them. */
int dml_check_updatable(const struct dml *d, uint32_t field, struct err *err) MUST_CHECK;
int dml_exec(const struct dml *d, const char *sql, struct err *err) MUST_CHECK;

/* Adds to the table what the result's columns have and it lacks (schema evolution), with the statement's commit. Before
 * anything is hit. `wanted`: a column of the result; NULL: all. */
int dml_evolve(struct dml *d, struct engine_result *result, const bool *wanted, struct err *err) MUST_CHECK;
/* Opens d->scan, with the schema of d->head, and makes room for hits. Once, by those who need the rows. `keep`: over the
 * files that it keeps; NULL: over all. */
int dml_open_scan(struct dml *d, const struct prune *keep, struct err *err) MUST_CHECK;
/* What rows of the table meet a condition, for dml_open_scan(); NULL when nothing can be said, or the clock would have to
 * stand still. In the transaction's arena. */
const struct prune *dml_keep_where(struct dml *d, struct str where);
/* The same of rows that meet a condition with some row of a temporary table under its alias: by that table's values, too. */
const struct prune *dml_keep_joined(struct dml *d, const char *table, struct str alias, struct str on);
/* Does the clock move on between planning and running this, so that now() means two times? */
bool dml_clock_moves(const struct dml *d, struct str text);
/* Takes the schema of d->head. */
void dml_take_schema(struct dml *d);

/* Marks the rows that `sql` (two columns: __file, __row) gives. Ends the collecting: the hits are then registered. */
int dml_hit(struct dml *d, const char *sql, struct err *err) MUST_CHECK;
int dml_hit_all(struct dml *d, struct err *err) MUST_CHECK;
/* Takes what is hit out of the table: removes, vectors, rewritten files. */
int dml_apply_hits(struct dml *d, struct err *err) MUST_CHECK;

/* Names a new file of vectors, which goes again when the statement fails: as the log has it, and its key. */
void dml_new_vectors(struct dml *d, struct buf *ret_name, struct buf *ret_path);
/* Makes the commit judge other writers' commits by rows (transaction.h). After the statement has set `concern`. */
void dml_judge(struct dml *d);
/* Does the expression read tables? Said too often rather than too seldom. */
bool dml_has_query(struct str expr);

/* Types of expressions over a FROM clause (empty: of constants), in the transaction's arena; NULL where they are not known. The FROM may not
 * be read: it is only bound. */
void dml_types_of(const struct dml *d, const struct str *exprs, uint32_t n, struct str from,
                  const struct engine_type **ret);
/* The columns of a query: their types, and names when asked for. An error when it cannot be bound. */
int dml_columns_of(const struct dml *d, struct str query, uint32_t *ret_n, struct str **ret_names,
                   const struct engine_type ***ret_types, struct err *err) MUST_CHECK;
/* The assignments with the types of their expressions over a FROM clause, in the transaction's arena. */
const struct dml_set *dml_typed_sets(const struct dml *d, const struct dml_set *set, uint32_t n, struct str from);
/* Appends the value of an expression of a type (NULL: not known) as one of column i. */
int dml_add_stored(const struct dml *d, uint32_t i, enum assign_fields fields, const struct engine_type *type,
                   struct str expr, bool simple, struct buf *sql, struct err *err) MUST_CHECK;
/* The same of a constant expression. */
int dml_add_constant(const struct dml *d, uint32_t i, struct str expr, struct buf *sql, struct err *err) MUST_CHECK;
/* INSERT: the statement that puts the query's rows into DML_ROWS. */
int dml_stage_query(struct dml *d, const struct dml_insert *ins, struct err *err) MUST_CHECK;
/* What PARTITION gives the column; empty: nothing. */
struct str dml_static_value(const struct dml_insert *ins, struct str column);

/* The expression for a column's new value: the assignments that name it or a part of it over its old value. */
int dml_add_assigned(const struct dml *d, uint32_t field, struct str old, const struct dml_set *set, uint32_t n_set,
                     struct buf *sql, struct err *err) MUST_CHECK;
/* The column's default as a value of it, or "NULL". */
int dml_add_default(const struct dml *d, uint32_t i, struct buf *sql, struct err *err) MUST_CHECK;

/* Where the value of a column in a staged row is from. */
enum dml_given {
    DML_OLD,    /* the row was there before, and the statement does not set the column */
    DML_GIVEN,  /* the statement says it */
    DML_ABSENT, /* a new row, and the statement does not say */
};
/* Makes the staged rows with __clause >= 0 fit to be written: computes generated and identity columns, pads CHAR, and
 * checks every rule of the table. given[clause * n_fields + i] is an enum dml_given. */
int dml_finish_rows(struct dml *d, const uint8_t *given, uint32_t n_clauses, struct err *err) MUST_CHECK;
/* Writes the staged rows with __clause >= 0 as files of the table, a partition at a time. */
int dml_write_rows(struct dml *d, uint64_t *ret_rows, struct err *err) MUST_CHECK;
/* Writes the rows of a SELECT (the table's columns by logical name, then _change_type) as change files. */
int dml_write_changes(struct dml *d, const char *select, struct err *err) MUST_CHECK;
/* Are change files due? A feed is on, and adds and removes alone would not tell what happened to the rows. */
bool dml_needs_changes(const struct dml *d, bool adds_rows);
/* Appends the table's columns, quoted, with "prefix." before each. */
void dml_add_columns(const struct dml *d, const char *prefix, struct buf *sql);
/* The actions of files that were written, and a note of them in case the statement fails. */
struct delta_data_files;
void dml_add_files(struct dml *d, const struct delta_data_files *files, bool changes);
/* Writes these n files of the scan, with so many rows alive, again without their hits. Does not remove them. */
int dml_rewrite_files(struct dml *d, const uint32_t *files, const uint64_t *live, uint32_t n,
                      struct err *err) MUST_CHECK;
/* ", id, NULL": the ids of rows that are staged with new values; nothing when the table does not track rows. */
void dml_add_staged_ids(struct dml *d, struct buf *sql);

#endif
