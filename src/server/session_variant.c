/* Which columns of the tables that a statement names are variants: see sql/variants.h. */
#include "server/session_internal.h"

#include "engine/parquet_write.h"
#include "sql/parser.h"
#include "sql/variants.h"

static bool has_column(struct session *s, const struct sql_table *t, struct str name)
{
    struct open_table *table;
    const char *path;

    if (!t->path.n && (!t->name.n_parts || t->name.n_parts > 2))
        return false;
    if (session_path(s, t, &path, NULL) < 0 ||
        session_table_at(s, arena_strdup(&s->arena, str_of(path)), &table, NULL) < 0)
        return false;
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = delta_table_snapshot(table->table);
    int i = schema_find(snapshot->head->schema, name);
    return i >= 0 && snapshot->head->schema->fields[i].type.id == TYPE_VARIANT;
}

/* Every name behind a word that a table may follow. */
static bool is_variant(void *ctx, struct str text, struct str name)
{
    static const char *const words[] = {"FROM", "JOIN", "INTO", "USING", "UPDATE"};
    struct session *s = ctx;
    struct parser p;

    parser_init(&p, &s->arena, text, text, NULL);
    for (bool follows = false; !parser_at_end(&p);) {
        struct sql_table t;
        if (follows && (token_is_name(parser_peek(&p, 0)) || parser_peek(&p, 0)->kind == TOKEN_STRING)) {
            if (parser_table(&p, &t) == 0 && has_column(s, &t, name))
                return true;
            follows = parser_accept(&p, ",");
            continue;
        }
        struct token word = parser_take(&p);
        follows = token_is(&word, ",");
        for (size_t i = 0; i < ARRAY_LEN(words); i++)
            follows |= token_is(&word, words[i]);
    }
    return false;
}

int session_variants(struct session *s, struct str text, struct str *ret, struct err *err)
{
    const struct sql_variants knows = {is_variant, parquet_type_sql, s};

    return sql_variants(&s->arena, text, &knows, ret, err);
}
