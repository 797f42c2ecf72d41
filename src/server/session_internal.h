/* What the parts of a session share. Private to server/session*.c. */
#ifndef SLUICE_SERVER_SESSION_INTERNAL_H
#define SLUICE_SERVER_SESSION_INTERNAL_H

#include "base/map.h"
#include "delta/log/lake.h"
#include "delta/scan/plan.h"
#include "delta/scan/scan.h"
#include "delta/log/table.h"
#include "server/session.h"
#include "sql/rewrite.h"
#include "sql/statement.h"

struct open_table {
    char *path;
    struct store *store;
    struct delta_table *table;
    uint64_t refreshed; /* statement number */
};

struct session {
    struct engine *engine;
    struct engine_conn *conn;
    struct lake lake;
    const char *root;   /* NULL: no lake */
    struct map tables;  /* path → struct open_table */
    struct map pins;    /* "version:path" → struct delta_scan */
    struct map changes; /* "from:to:path" → struct delta_changes */
    struct arena arena; /* of the statement: keys of the pins */
    uint64_t statement;
    bool relisted;          /* in this statement */
    bool writes;            /* the statement changes a table: what it reads is copied as it is */
    struct map stubs;       /* key of a pin → struct delta_stub: what the statement needs of the table */
    bool planning;          /* tables are asked for to plan the statement, not yet to run it */
    bool hidden_clock;      /* a view or macro may ask the clock */
    bool in_transaction;    /* the user has begun one */
    bool ends_ours;         /* the statement's transaction is ours, and ends with it */
    bool dynamic_overwrite; /* SET partition_overwrite_mode = dynamic: OVERWRITE replaces only partitions of new rows */
    bool any_retention;     /* VACUUM may go below the table's retention */
    const char *word;       /* see session_word() */
};

enum { LATEST = -1 };

/* ---- session_tables.c: the tables that a session knows ---- */

/* The table at a path: opened once a session, refreshed once a statement. */
int session_table_at(struct session *s, const char *path, struct open_table **ret, struct err *err) MUST_CHECK;
void session_table_free(struct open_table *t);
/* Path of a table of the lake by name; looks again on disk, once a statement, for one that is not known. 1: none. */
int session_find(struct session *s, struct str schema, struct str name, const char **ret, struct err *err) MUST_CHECK;
/* "there is no table x", with those that there are as the hint. */
int session_no_table(struct session *s, struct str name, struct err *err) MUST_CHECK;
/* The folder that a path in a statement means (store_local_root). */
int session_folder(struct session *s, struct str path, const char **ret, struct err *err) MUST_CHECK;
/* The path of a table that a statement names. ERR_USAGE when there is none. */
int session_path(struct session *s, const struct sql_table *t, const char **ret, struct err *err) MUST_CHECK;
/* The version that a point in time means for the table at the path; LATEST when there is none. */
int session_travel(struct session *s, const char *path, const struct sql_travel *travel, int64_t *ret,
                   struct err *err) MUST_CHECK;
/* Has DuckDB's own catalog something of this name? `from`: one of its functions, as "duckdb_tables()"; `column`: of the names. */
bool session_catalog_has(struct session *s, const char *from, const char *column, struct str name);
/* Closes the scans of the statement; it opens others, of the newest versions, when it is run again. */
void session_unpin(struct session *s);
/* The statement is done, and this word is all that there is to say. */
void session_say(struct session *s, struct buf *out, const char *word);

/* ---- session_names.c, session_changes.c: names and calls in a statement ---- */

/* For sql_rewrite(), with the session as its context. */
int session_replace(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err);
/* DuckDB does not know the name: "delta:<version>:<path>", "changes:…", or a table of the lake. For engine_set_table_lookup(). */
int session_lookup(void *ctx, struct str name, struct buf *ret_sql, struct err *err);
/* On this thread DuckDB asks on behalf of this session from now on; NULL: of none. */
void session_current(struct session *s);
/* table_changes('t', from[, to]), table_changes_by_path('/path', …): the name that session_changes() answers. */
int session_changes_key(struct session *s, const struct sql_ref *ref, struct buf *out, struct err *err) MUST_CHECK;
/* `key`: the name after "changes:". Appends the SELECT. */
int session_changes(struct session *s, struct str key, struct buf *ret_sql, struct err *err) MUST_CHECK;
/* The path of the table that an argument of such a function names. */
int session_named(struct session *s, struct str text, bool by_path, const char **ret, struct err *err) MUST_CHECK;
/* The history of a table as a SELECT, for table_history('t'). */
int session_history_of(struct session *s, struct str args, struct buf *out, struct err *err) MUST_CHECK;
/* The statement with Spark's words for variants in DuckDB's: see sql/variants.h. */
int session_variants(struct session *s, struct str text, struct str *ret, struct err *err) MUST_CHECK;

/* ---- session_skip.c: files that a query does without ---- */

/* Finds out which files of lake tables the query of a statement of ours needs ("with" of it before, or empty), unless it asks the
 * clock: the scans that are then opened for the statement leave the others out. No other text of the statement may read tables. */
void session_plan_part(struct session *s, struct str with, struct str query);
/* Instead of a scan, while planning. `key`: of the pin. */
int session_stub(struct session *s, struct str key, struct delta_snapshot *snapshot, bool row_ids, struct buf *ret_sql,
                 struct err *err) MUST_CHECK;
/* Leaves files out of a scan's options that the plan does without; memory from the statement's arena. */
void session_skip(struct session *s, const struct delta_stub *stub, const struct delta_snapshot *snapshot,
                  struct delta_scan_options *o);
/* Forgets what was planned. No statement may be running. */
void session_unplan(struct session *s);
/* Plans and runs a statement of DuckDB's, in one transaction where it asks the clock. */
int session_query(struct session *s, struct str sql, struct engine_result **ret, struct err *err) MUST_CHECK;
/* Ends the transaction of the statement before. */
int session_settle(struct session *s, struct err *err) MUST_CHECK;

/* ---- statements that are no queries ---- */

/* Runs one, and appends the SELECT of what it has to say. */
int session_execute(struct session *s, const struct statement *st, struct buf *out, struct err *err) MUST_CHECK;
/* INSERT, UPDATE, DELETE, MERGE. */
int session_change(struct session *s, const struct statement *st, struct buf *out, struct err *err) MUST_CHECK;
/* The expressions of an INSERT whose query is nothing but VALUES. */
struct dml_insert;
void session_values(struct session *s, struct dml_insert *ins);
/* SET of one of our own settings. 1: it is none of ours. */
int session_set(struct session *s, struct str text, struct err *err) MUST_CHECK;
int session_create(struct session *s, const struct sql_create *c, struct buf *out, struct err *err) MUST_CHECK;
/* CREATE TABLE … LIKE as the statement that it stands for. */
int session_like(struct session *s, const struct sql_create *c, struct sql_create *ret, struct err *err) MUST_CHECK;
int session_clone(struct session *s, const struct sql_clone *st, struct buf *out, struct err *err) MUST_CHECK;
int session_convert(struct session *s, const struct sql_convert *st, struct buf *out, struct err *err) MUST_CHECK;
int session_drop(struct session *s, const struct sql_drop *d, struct buf *out, struct err *err) MUST_CHECK;
int session_alter(struct session *s, const struct sql_alter *a, struct buf *out, struct err *err) MUST_CHECK;
/* Where a new table is to lie. */
int session_new_path(struct session *s, const struct sql_table *t, struct str location, const char **ret,
                     struct err *err) MUST_CHECK;
/* Is there a table? */
int session_exists(const char *path, bool *ret, struct err *err) MUST_CHECK;
/* What the session knows of a table, and of the lake, is out of date. */
void session_forget(struct session *s, const char *path);
int session_describe(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_detail(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_history(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_properties(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_columns(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_partitions(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_show_create(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
int session_restore(struct session *s, const struct sql_restore *r, struct buf *out, struct err *err) MUST_CHECK;
int session_vacuum(struct session *s, const struct sql_vacuum *v, struct buf *out, struct err *err) MUST_CHECK;
int session_optimize(struct session *s, const struct sql_optimize *st, struct buf *out, struct err *err) MUST_CHECK;
int session_reorg(struct session *s, const struct sql_reorg *st, struct buf *out, struct err *err) MUST_CHECK;
int session_generate(struct session *s, const struct sql_show *show, struct buf *out, struct err *err) MUST_CHECK;
/* A hint where a statement failed that others know, and what to write instead. */
void session_hint(struct str statement, struct err *err);

#endif
