/* Statements that Spark or Databricks have and this has not: what to write instead. */
#include "server/session_internal.h"

struct known {
    const char *words[4]; /* "…": something, up to the next word */
    const char *hint;
};

static const struct known known[] = {
    {{"MSCK"},
     "a Delta table's files and partitions are in its log: nothing is to be repaired. CONVERT TO DELTA takes in a folder of Parquet files"},
    {{"FSCK"},
     "RESTORE goes back to a version whose files are there; VACUUM t DRY RUN shows files that the log does not name"},
    {{"CACHE"}, "CREATE TEMP TABLE c AS FROM t keeps the rows of a query"},
    {{"UNCACHE"}, "nothing is cached: each statement reads the newest version"},
    {{"CLEAR", "CACHE"}, "nothing is cached: each statement reads the newest version"},
    {{"REFRESH"}, "nothing is to be refreshed: each statement reads the newest version"},
    {{"ANALYZE"}, "statistics are in the log, for every file, and kept by every writer: nothing is to be computed"},
    {{"LOAD", "DATA"}, "INSERT INTO t BY NAME SELECT * FROM read_parquet('…') (or read_csv, read_json)"},
    {{"COPY", "INTO"}, "INSERT INTO t BY NAME SELECT * FROM read_parquet('…') (or read_csv, read_json)"},
    {{"UNDROP"}, "the folder of a dropped table is deleted"},
    {{"DESCRIBE", "SCHEMA"}, "a schema is a folder of the lake: SHOW TABLES IN s lists its tables"},
    {{"DESCRIBE", "DATABASE"}, "a schema is a folder of the lake: SHOW TABLES IN s lists its tables"},
    {{"DESCRIBE", "QUERY"}, "DESCRIBE SELECT … describes a query"},
    {{"USE"}, "a table of another schema is named with it: s.t"},
    {{"CREATE", "DATABASE"}, "a schema is made with its first table: CREATE TABLE s.t (…)"},
    {{"DROP", "SCHEMA"}, "a schema is a folder of the lake: DROP TABLE its tables, then remove it"},
    {{"DROP", "DATABASE"}, "a schema is a folder of the lake: DROP TABLE its tables, then remove it"},
    {{"INSERT", "…", "REPLACE", "ON"}, "INSERT … REPLACE USING (columns) or MERGE INTO … does it"},
    {{"SHOW", "TABLE"}, "DESCRIBE DETAIL t tells all of a table"},
    {{"DESCRIBE", "…", "PARTITION"}, "SHOW PARTITIONS t lists the partitions"},
    {{"ALTER", "TABLE", "…", "PARTITION"},
     "partitions come with their rows (INSERT) and go with them (DELETE FROM t WHERE …)"},
    {{"ALTER", "TABLE", "…", "PARTITIONS"}, "a Delta table's partitions are in its log: nothing is to be recovered"},
    {{"ALTER", "TABLE", "…", "LOCATION"}, "a table is its folder: move that, or CREATE TABLE … SHALLOW CLONE"},
    {{"TRUNCATE", "…", "PARTITION"}, "DELETE FROM t WHERE p = … deletes the rows of a partition"},
    {{"TRUNCATE"}, "TRUNCATE TABLE t deletes all rows"},
    {{"…", "(", "DESCRIBE", "HISTORY"}, "in a query it is table_history('t')"},
    {{"…", "(", "DESC", "HISTORY"}, "in a query it is table_history('t')"},
};

/* Statements that DuckDB takes for something else, and what it says then: its hint, or ours, would lead astray. */
static const struct {
    struct known known;
    const char *said;
} mistaken[] = {
    {{{"SHOW", "VIEWS"}, "FROM duckdb_views() lists the session's views"}, "there is no table"},
    {{{"SHOW", "FUNCTIONS"}, "FROM duckdb_functions() lists the functions"}, "there is no table"},
    {{{"SHOW", "CATALOGS"}, "there is one catalog, the lake: SHOW SCHEMAS lists what is in it"}, "there is no table"},
    {{{"SET", "spark"},
      "of Spark's settings there are spark.sql.sources.partitionOverwriteMode and "
      "spark.databricks.delta.retentionDurationCheck.enabled; WITH SCHEMA EVOLUTION stands in the statement itself"},
     "unrecognized configuration parameter"},
};

static bool matches(struct str statement, const char *const words[4])
{
    struct lexer lx = lexer_of(statement);
    bool skips = false;
    unsigned k = 0;
    struct token t;

    while (k < 4 && words[k] && lexer_next(&lx, &t, NULL) == 0) {
        if (strcmp(words[k], "…") == 0) {
            skips = true;
            k++;
        }
        if (token_is(&t, words[k]))
            k++;
        else if (!skips)
            return false;
    }
    return k == 4 || !words[k];
}

void session_hint(struct str statement, struct err *err)
{
    for (size_t i = 0; err && i < ARRAY_LEN(mistaken); i++)
        if (strstr(err->msg, mistaken[i].said) && matches(statement, mistaken[i].known.words))
            (void)err_hint(err, "%s", mistaken[i].known.hint);
    for (size_t i = 0; err && !err->hint[0] && i < ARRAY_LEN(known); i++)
        if (matches(statement, known[i].words))
            (void)err_hint(err, "%s", known[i].hint);
}
