/*
 * What Spark's SQL has of variants and DuckDB's has not:
 *
 *   v:a.b[0]['c d']                 variant_get(v, '$.a.b[0][''c d'']')
 *   variant_get(v, '$.a', 'int')    CAST(variant_whole(variant_get(v, '$.a')) AS INTEGER); of try_variant_get TRY_CAST
 *
 * In a list of SELECT or FROM, DuckDB reads `a: b` as b with the alias a. So it stays there, unless the name in front is one
 * of a variant, which the caller knows.
 */
#ifndef SLUICE_SQL_VARIANTS_H
#define SLUICE_SQL_VARIANTS_H

#include "base/buf.h"
#include "model/type.h"

/* What the caller knows. */
struct sql_variants {
    /* Is it the name of a column of variants in one of the tables that the text names? */
    bool (*is_column)(void *ctx, struct str text, struct str name);
    /* The type as DuckDB writes it. */
    int (*type_sql)(const struct type *type, struct buf *out, struct err *err);
    void *ctx;
};

/* `ret` is `text` itself where there is nothing to do; else in the arena. ERR_INPUT, ERR_UNSUPPORTED: an unknown type. */
int sql_variants(struct arena *arena, struct str text, const struct sql_variants *knows, struct str *ret,
                 struct err *err) MUST_CHECK;

#endif
