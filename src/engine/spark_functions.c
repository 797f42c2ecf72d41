/* Functions of Spark's that DuckDB has not, or has otherwise, by names that begin with spark_: for expressions of tables. */
#include "engine/internal.h"

static const char *const MACROS[] = {
    "spark_item(l, i) AS CASE WHEN i < 0 OR i >= len(l) THEN error('the array has no element ' || i) ELSE l[i + 1] END",
    "spark_element(l, i) AS CASE WHEN i = 0 OR abs(i) > len(l) THEN error('the array has no element ' || i) ELSE l[i] END",
    "spark_divisor(x) AS CASE WHEN x = 0 THEN error('division by zero') ELSE x END",
};

int spark_functions_register(struct engine_conn *conn, struct err *err)
{
    TRY(spark_text_register(conn, err));
    for (size_t i = 0; i < ARRAY_LEN(MACROS); i++) {
        CLEANUP(buf_deinit) struct buf sql = {0};
        buf_printf(&sql, "CREATE OR REPLACE MACRO %s", MACROS[i]);
        TRY(engine_exec(conn, sql.p, err));
    }
    return 0;
}
