/* Functions of Spark's that DuckDB has not, or has otherwise, by names that begin with spark_: for expressions of tables. */
#include "engine/internal.h"

/* NULL if one of them is. */
static const char CONCAT[] =
    "spark_concat(a) AS CAST(a AS VARCHAR), "
    "(a, b) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR), "
    "(a, b, c) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR) || CAST(c AS VARCHAR), "
    "(a, b, c, d) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR) || CAST(c AS VARCHAR) || CAST(d AS VARCHAR), "
    "(a, b, c, d, e) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR) || CAST(c AS VARCHAR) || CAST(d AS VARCHAR) || CAST(e AS VARCHAR), "
    "(a, b, c, d, e, f) AS CAST(a AS VARCHAR) || CAST(b AS VARCHAR) || CAST(c AS VARCHAR) || CAST(d AS VARCHAR) || CAST(e AS VARCHAR) || CAST(f AS VARCHAR) ";

/* 0 is the first place, as 1 is. */
static const char SUBSTRING[] =
    "spark_substring(s, p) AS substring(CAST(s AS VARCHAR), CASE WHEN p = 0 THEN 1 ELSE p END), "
    "(s, p, n) AS substring(CAST(s AS VARCHAR), CASE WHEN p = 0 THEN 1 ELSE p END, greatest(n, 0))";

static const char TRUNC[] =
    "spark_trunc(d, f) AS CAST(date_trunc(CASE upper(f) WHEN 'YYYY' THEN 'year' WHEN 'YY' THEN 'year' "
    "WHEN 'MM' THEN 'month' WHEN 'MON' THEN 'month' ELSE lower(f) END, CAST(d AS DATE)) AS DATE)";

static const char *const MACROS[] = {
    CONCAT,
    SUBSTRING,
    "spark_regexp_replace(s, p, r) AS regexp_replace(s, p, r, 'g')",
    TRUNC,
    "spark_dayofweek(d) AS dayofweek(CAST(d AS DATE)) + 1", /* Sunday is 1 */
    "spark_weekday(d) AS isodow(CAST(d AS DATE)) - 1",      /* Monday is 0 */
    "spark_datediff(a, b) AS CAST(CAST(a AS DATE) - CAST(b AS DATE) AS INTEGER)",
    "spark_date_sub(d, n) AS CAST(d AS DATE) - CAST(n AS INTEGER)",
    "spark_add_months(d, n) AS CAST(CAST(d AS DATE) + to_months(CAST(n AS INTEGER)) AS DATE)",
    "spark_to_date(d) AS CAST(d AS DATE)",
    "spark_unix_timestamp(t) AS CAST(floor(epoch(CAST(t AS TIMESTAMPTZ))) AS BIGINT)",
    "spark_log(x) AS CASE WHEN x > 0 THEN ln(x) END, (b, x) AS CASE WHEN x > 0 AND b > 0 THEN ln(x) / ln(b) END",
    "spark_isnull(x) AS x IS NULL",
    "spark_isnotnull(x) AS x IS NOT NULL",
    "spark_nvl2(a, b, c) AS CASE WHEN a IS NOT NULL THEN b ELSE c END",
    "spark_pmod(a, n) AS ((a % n) + n) % n",
    "spark_size(l) AS CASE WHEN l IS NULL THEN -1 ELSE len(l) END",
    "spark_locate(p, s) AS instr(s, p)",
    "spark_shiftleft(a, n) AS a << n",
    "spark_shiftright(a, n) AS a >> n",
    "spark_item(l, i) AS CASE WHEN i < 0 OR i >= len(l) THEN error('the array has no element ' || i) ELSE l[i + 1] END",
    "spark_element(l, i) AS CASE WHEN i = 0 OR abs(i) > len(l) THEN error('the array has no element ' || i) ELSE l[i] END",
    "spark_divisor(x) AS CASE WHEN x = 0 THEN error('division by zero') ELSE x END",
};

int spark_functions_register(struct engine_conn *conn, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(MACROS); i++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        buf_printf(&sql, "CREATE OR REPLACE MACRO %s", MACROS[i]);
        TRY(engine_exec(conn, sql.p, err));
    }
    return 0;
}
