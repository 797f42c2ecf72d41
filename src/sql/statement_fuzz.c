/* Fuzz target: a script → statements → trees, types and rewritten text. Rewriting with nothing to replace gives the same
 * text back, but for `names`; and done once more it changes nothing. */
#include "sql/rewrite.h"
#include "sql/statement.h"
#include "sql/types.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int leave(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    (void)ctx, (void)ref, (void)out, (void)err;
    return 1;
}

static int replace(void *ctx, const struct sql_ref *ref, struct buf *out, struct err *err)
{
    (void)ctx, (void)err;
    buf_add_str(out, ref->table.alias);
    buf_add_str(out, ref->args);
    buf_add_str(out, ref->table.travel.expr);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct str script = str_make(data, size), text;
    struct statement s;
    struct type type;
    size_t cursor = 0;
    struct err err;

    while (sql_split(script, &cursor, &text, NULL, &err) == 0) {
        CLEANUP(buf_deinit) struct buf same = {0}, again = {0}, out = {0};
        int rc = statement_parse(&arena, script, text, &s, &err);
        rc = sql_type_parse(&arena, text, &type, &err);
        rc = sql_rewrite(&arena, text, leave, NULL, &same, &err);
        if (rc == 0 && !memchr(text.p, '`', text.n) && !str_eq(buf_str(&same), text))
            abort();
        if (rc == 0 && sql_rewrite(&arena, buf_str(&same), leave, NULL, &again, &err) == 0 &&
            !str_eq(buf_str(&again), buf_str(&same)))
            abort();
        rc = sql_rewrite(&arena, text, replace, NULL, &out, &err);
    }
    sql_is_complete(script);
    return 0;
}
