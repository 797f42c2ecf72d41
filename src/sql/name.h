/* Names, tables and points in time as a statement mentions them. Everything points into the statement or its arena. */
#ifndef SLUICE_SQL_NAME_H
#define SLUICE_SQL_NAME_H

#include "base/str.h"

/* a, a.b, "A"."b c", `x`.y: at most SQL_NAME_PARTS parts. */
#define SQL_NAME_PARTS 32
struct sql_name {
    struct str text; /* as written */
    size_t at;       /* where, in the script */
    uint32_t n_parts;
    struct str *parts; /* without quotes, case as written */
};

enum sql_travel_kind { TRAVEL_NONE, TRAVEL_VERSION, TRAVEL_TIMESTAMP };

/* AT (VERSION => 3), VERSION AS OF 3, AT (TIMESTAMP => …), TIMESTAMP AS OF …, each also with FOR before it. */
struct sql_travel {
    enum sql_travel_kind kind;
    struct str expr; /* as written: a number or string, or an expression for DuckDB to evaluate */
};

/* A table as mentioned. Either name.n_parts is 1..3 (catalog, schema, table) and path is empty, or the table was given by
 * its path (delta.`/path`, '/path') and name.n_parts is 0. */
struct sql_table {
    struct sql_name name; /* .text and .at hold for a path too */
    struct str path;
    struct sql_travel travel;
    struct str alias; /* without quotes; empty: none */
};

#endif
