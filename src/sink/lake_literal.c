/* A value as an expression of DuckDB's. */
#include "sink/lake_file.h"

#include "codec/pg_value.h"
#include "engine/parquet_write.h"

int lake_add_literal(const struct column *c, uint32_t row, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct listview *list = (const struct listview *)c->data + row;

    if (!column_is_valid(c, row)) {
        buf_add_cstr(out, "NULL");
        return 0;
    }
    switch (c->type->id) {
    case TYPE_STRING:
        buf_add_sql_literal(out, column_str(c, row));
        return 0;
    case TYPE_BINARY:
        pg_value_text(c, row, &text);
        buf_printf(out, "unhex('%.*s')", (int)text.n - 2, text.p + 2); /* without its \x */
        return 0;
    case TYPE_DATE:
        buf_printf(out, "(DATE '1970-01-01' + %d)", ((const int32_t *)c->data)[row]);
        return 0;
    case TYPE_TIMESTAMP: /* DuckDB's time zone is UTC */
    case TYPE_TIMESTAMP_NTZ:
        buf_printf(out, "make_timestamp(%lld)", (long long)((const int64_t *)c->data)[row]);
        return 0;
    case TYPE_ARRAY:
        buf_add_char(out, '[');
        for (uint64_t i = 0; i < list->length; i++) {
            buf_add_cstr(out, i ? "," : "");
            TRY(lake_add_literal(c->child, (uint32_t)(list->offset + i), out, err));
        }
        buf_add_char(out, ']');
        return 0;
    default:
        pg_value_text(c, row, &text);
        buf_add_sql_literal(out, buf_str(&text));
        buf_add_cstr(out, "::");
        return parquet_type_sql(c->type, out, err);
    }
}
