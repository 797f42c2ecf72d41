/* Functions of Spark's that DuckDB has not, or has otherwise, by names that begin with spark_: for expressions of tables. */
#include "engine/internal.h"

/* Each has its arguments once, in a lambda: twice in a macro, they are bound twice, and some dozens in each other for ever. */
static const char *const MACROS[] = {
    "spark_item(l, i) AS list_transform([{'l': l, 'i': i}], lambda __v: CASE WHEN __v.i < 0 OR __v.i >= len(__v.l) "
    "THEN error('the array has no element ' || __v.i) ELSE __v.l[__v.i + 1] END)[1]",
    "spark_element(l, i) AS list_transform([{'l': l, 'i': i}], lambda __v: CASE WHEN __v.i = 0 OR abs(__v.i) > len(__v.l) "
    "THEN error('the array has no element ' || __v.i) ELSE __v.l[__v.i] END)[1]",
    "spark_divisor(x) AS list_transform([x], lambda __v: CASE WHEN __v = 0 THEN error('division by zero') ELSE __v END)[1]",
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
