/* The columns of a query as a table would have them. */
#include "delta/scan/query_columns.h"

#include "base/buf.h"
#include "delta/scan/query_type.h"

int delta_query_columns(struct engine_conn *conn, const char *select, struct arena *arena, struct field **ret,
                        uint32_t *ret_n, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "SELECT * FROM (%s) LIMIT 0", select);
    TRY(engine_query(conn, sql.p, &result, err));
    *ret_n = engine_result_n_columns(result);
    *ret = ARENA_NEW_N(arena, struct field, *ret_n + 1);
    for (uint32_t i = 0; i < *ret_n; i++) {
        const struct engine_column *c = engine_result_column(result, i);
        struct field *f = &(*ret)[i];
        f->name = f->physical = arena_str(arena, c->name);
        f->nullable = true;
        TRY(delta_type_of_query(&c->type, c->name, arena, &f->type, err));
    }
    return 0;
}
