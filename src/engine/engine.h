/*
 * DuckDB, wrapped: open a database, run SQL, read results as columns. This folder alone includes duckdb.h.
 *
 * Threads: a `struct engine` is shared by all; an `engine_conn` belongs to one thread at a time (only
 * engine_interrupt() may come from another); results belong to the thread of their connection, and a connection has at
 * most one open result.
 *
 * Errors: the user's SQL (parse, bind, conversion, constraint …) is ERR_USAGE; over the memory or temp limit ERR_LIMIT;
 * files and disk ERR_IO; interrupted ERR_CANCELLED; DuckDB's own faults ERR_INTERNAL. `err->sqlstate` has PostgreSQL's
 * nearest code, for pgwire.
 */
#ifndef SLUICE_ENGINE_ENGINE_H
#define SLUICE_ENGINE_ENGINE_H

#include "base/err.h"
#include "base/str.h"

struct engine;
struct engine_conn;
struct engine_result;

struct engine_options {
    uint64_t memory_limit_bytes; /* 0: DuckDB's default, 80 % of the machine */
    unsigned threads;            /* 0: one a core. 1 is faster for tiny statements */
    const char *temp_dir;        /* where it spills; NULL: it does not spill, and goes over the limit with ERR_LIMIT */
    const char *path;            /* a database file; NULL: in memory */
};

/* Takes ~15 ms. Extensions are never installed nor loaded by themselves, time zone UTC, rows keep their order. */
int engine_open(const struct engine_options *options, struct engine **ret, struct err *err) MUST_CHECK;
void engine_free(struct engine *engine); /* all connections must be gone; takes NULL */
DEFINE_FREEP(engine)

int engine_connect(struct engine *engine, struct engine_conn **ret, struct err *err) MUST_CHECK; /* 3 us */
void engine_conn_free(struct engine_conn *conn);                                                 /* takes NULL */
DEFINE_FREEP(engine_conn)
struct engine *engine_of(struct engine_conn *conn);
const char *engine_temp_dir(const struct engine *engine); /* as in the options; it may have to be made */
void engine_interrupt(struct engine_conn *conn); /* the running statement fails with ERR_CANCELLED; any thread */

/* Runs one or more statements and drops their results. */
int engine_exec(struct engine_conn *conn, const char *sql, struct err *err) MUST_CHECK;
/*
 * Runs a statement (of several, all; DuckDB makes two out of a PIVOT) and streams the result of the last: rows are computed
 * as they are fetched. The result keeps the connection busy until it is freed.
 */
int engine_query(struct engine_conn *conn, const char *sql, struct engine_result **ret, struct err *err) MUST_CHECK;
void engine_result_free(struct engine_result *result); /* takes NULL */
DEFINE_FREEP(engine_result)

/* DuckDB's types, with its own numbers. */
enum engine_kind {
    ENGINE_INVALID = 0,
    ENGINE_BOOLEAN = 1, /* uint8_t */
    ENGINE_TINYINT,
    ENGINE_SMALLINT,
    ENGINE_INTEGER,
    ENGINE_BIGINT,
    ENGINE_UTINYINT,
    ENGINE_USMALLINT,
    ENGINE_UINTEGER,
    ENGINE_UBIGINT,
    ENGINE_FLOAT = 10,
    ENGINE_DOUBLE,
    ENGINE_TIMESTAMP, /* microseconds, no zone */
    ENGINE_DATE,      /* int32_t days */
    ENGINE_TIME,      /* microseconds */
    ENGINE_INTERVAL,
    ENGINE_HUGEINT, /* __int128 */
    ENGINE_VARCHAR, /* struct strview */
    ENGINE_BLOB,
    ENGINE_DECIMAL, /* as in model/batch.h */
    ENGINE_TIMESTAMP_S = 20,
    ENGINE_TIMESTAMP_MS,
    ENGINE_TIMESTAMP_NS,
    ENGINE_ENUM, /* uint8_t, uint16_t or uint32_t by the size of the dictionary */
    ENGINE_LIST, /* struct listview */
    ENGINE_STRUCT,
    ENGINE_MAP,
    ENGINE_UUID,
    ENGINE_UNION,
    ENGINE_BIT,
    ENGINE_TIME_TZ = 30,
    ENGINE_TIMESTAMP_TZ, /* microseconds UTC */
    ENGINE_UHUGEINT,
    ENGINE_ARRAY,
    ENGINE_BIGNUM = 35,
    ENGINE_SQLNULL,
    ENGINE_TIME_NS = 39,
    ENGINE_GEOMETRY,
    ENGINE_VARIANT,
};

struct engine_type {
    enum engine_kind kind;
    uint8_t precision, scale; /* DECIMAL */
    uint32_t
        n_children; /* STRUCT, UNION fields; LIST, ARRAY 1 element; MAP 1: struct(key, value); VARIANT: its parts */
    struct engine_type *children; /* UNION: [0] is the tag */
    struct str *names;            /* of the children of STRUCT and UNION */
    uint64_t array_size;          /* ARRAY */
    uint32_t n_dictionary;        /* ENUM */
    struct str *dictionary;
    bool json; /* VARCHAR with the alias JSON */
};

struct engine_column {
    struct str name;
    struct engine_type type;
};

/* A run of values. `data` is laid out as in model/batch.h (strings are struct strview, lists struct listview). */
struct engine_vector {
    const struct engine_type *type;
    const void *data;      /* NULL for STRUCT, UNION and ARRAY: see children */
    const uint64_t *valid; /* bit i: value i is not NULL; NULL: none is NULL */
    uint32_t n_children;
    struct engine_vector *children; /* LIST, MAP: of all lists; ARRAY: array_size a row */
};

struct engine_chunk {
    uint32_t n; /* rows, 1..2048 */
    uint32_t n_cols;
    struct engine_vector *cols;
};

uint32_t engine_result_n_columns(const struct engine_result *result);
const struct engine_column *engine_result_column(const struct engine_result *result, uint32_t i);
/* Does the statement return rows (SELECT, SHOW …), or else a count of changed rows, or nothing? */
bool engine_result_has_rows(const struct engine_result *result);
uint64_t engine_result_changed(const struct engine_result *result); /* rows changed by INSERT, COPY … */
/* 0 and the next chunk, 1 at the end. The chunk is borrowed until the next call. */
int engine_result_next(struct engine_result *result, const struct engine_chunk **ret, struct err *err) MUST_CHECK;

/*
 * Hands the rows of `SELECT columns from` to `fn`, in their order, by DuckDB's threads, one at a time: nothing is copied, so what
 * a chunk points to is gone when fn returns. For many long texts; `fn` must not use the connection. An error ends it.
 */
typedef int engine_visit_fn(void *ctx, const struct engine_chunk *chunk, struct err *err);
int engine_visit(struct engine_conn *conn, const char *columns, const char *from, engine_visit_fn *fn, void *ctx,
                 struct err *err) MUST_CHECK;

bool engine_is_null(const struct engine_vector *v, uint64_t row);
/* Booleans, integers that fit, dates, times and timestamps as their integer; DECIMAL unscaled. NULL gives 0. */
int64_t engine_i64(const struct engine_vector *v, uint64_t row);
double engine_f64(const struct engine_vector *v, uint64_t row); /* any number */
bool engine_bool(const struct engine_vector *v, uint64_t row);
struct str engine_str(const struct engine_vector *v, uint64_t row); /* VARCHAR, BLOB, ENUM; NULL gives {0}; borrowed */

/* Runs a statement that gives one row and one column. NULL or no row: ERR_NOT_FOUND. */
int engine_query_i64(struct engine_conn *conn, const char *sql, int64_t *ret, struct err *err) MUST_CHECK;
struct buf;
int engine_query_text(struct engine_conn *conn, const char *sql, struct buf *ret, struct err *err) MUST_CHECK;

/*
 * Tables by name: called on the thread of the connection's caller when a statement names a table that the catalog does
 * not have. Appends a SELECT and returns 0, or returns 1: not one of ours; or an error. Schema names do not arrive here.
 * To be set before the engine is used.
 */
typedef int engine_table_fn(void *ctx, struct str name, struct buf *ret_sql, struct err *err);
void engine_set_table_lookup(struct engine *engine, engine_table_fn *lookup, void *ctx);

/* Value `i` of a vector into a column of the same type. */
struct batch;
struct column;
void engine_value_copy(struct batch *b, struct column *c, uint32_t row, const struct engine_vector *v, uint64_t i);

#endif
