/*
 * INSERT, UPDATE, DELETE and MERGE of a session: the parsed statement as delta/dml/dml.h wants it.
 *
 * Tables inside conditions and queries are rewritten to what DuckDB can read before they are handed on.
 */
#include "server/session_internal.h"

#include "base/mem.h"
#include "delta/dml/dml_internal.h"

#include <ctype.h>

/* A text of the statement with its tables replaced. */
static int rewritten(struct session *s, struct str text, struct str *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf out = {0};

    *ret = (struct str){0};
    if (!text.n)
        return 0;
    TRY(sql_rewrite(&s->arena, text, session_replace, s, &out, err));
    *ret = arena_str(&s->arena, buf_str(&out));
    return 0;
}

static int rewrite_sets(struct session *s, const struct sql_assignment *set, uint32_t n, struct dml_set **ret,
                        struct err *err)
{
    *ret = ARENA_NEW_N(&s->arena, struct dml_set, n + 1);
    for (uint32_t i = 0; i < n; i++) {
        struct dml_set *to = &(*ret)[i];
        to->path = set[i].column.parts;
        to->n_path = set[i].column.n_parts;
        TRY(rewritten(s, set[i].value, &to->expr, err));
    }
    return 0;
}

/* "t.a.b" may call the table by its name or alias: the rest is the column. */
static void strip_table(const struct dml_target *t, struct dml_set *set)
{
    struct str alias = t->alias;

    if (set->n_path > 1 && str_eq_nocase(set->path[0], alias)) {
        set->path++;
        set->n_path--;
    }
}

static void forget_scans(void *ctx)
{
    session_unpin(ctx);
}

static int open_target(struct session *s, const struct statement *st, const struct sql_table *table,
                       struct dml_target *ret, struct err *err)
{
    const struct sql_name *name = &table->name;
    struct open_table *t;
    const char *path;

    TRY(session_path(s, table, &path, err));
    TRY(session_table_at(s, path, &t, err));
    *ret = (struct dml_target){.table = t->table,
                               .conn = s->conn,
                               .name = name->text,
                               .alias = table->alias,
                               .forget = forget_scans,
                               .forget_ctx = s,
                               .in_transaction = s->in_transaction,
                               .hidden_clock = s->hidden_clock};
    if (!ret->alias.n)
        ret->alias = name->n_parts ? name->parts[name->n_parts - 1] : STR("target");
    return rewritten(s, st->with, &ret->with, err);
}

static int one_part(const struct sql_name *name, const char *what, struct str *ret, struct err *err)
{
    if (name->n_parts > 1)
        return err_set(err, ERR_USAGE, "%.*s: %s takes whole columns", STR_ARG(name->text), what);
    *ret = name->parts[0];
    return 0;
}

static bool is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

/* Does the text name the table? Said too often rather than too seldom: it makes conflicts where there are none. */
static bool mentions(struct str text, const struct sql_table *t)
{
    struct str name = t->name.n_parts ? t->name.parts[t->name.n_parts - 1] : t->path;

    for (size_t i = 0; name.n && i + name.n <= text.n; i++) {
        size_t end = i + name.n;
        if (str_eq_nocase(str_make(text.p + i, name.n), name) && !(i && is_word(text.p[i - 1])) &&
            !(end < text.n && is_word(text.p[end])))
            return true;
    }
    return false;
}

static int insert_lists(struct session *s, const struct sql_insert *i, struct dml_insert *ret, struct err *err)
{
    struct str *columns = ARENA_NEW_N(&s->arena, struct str, i->n_columns + 1);
    struct str *using = ARENA_NEW_N(&s->arena, struct str, i->n_replace_using + 1);
    struct dml_partition *partition = ARENA_NEW_N(&s->arena, struct dml_partition, i->n_partition + 1);

    for (uint32_t k = 0; k < i->n_columns; k++)
        TRY(one_part(&i->columns[k], "INSERT", &columns[k], err));
    for (uint32_t k = 0; k < i->n_replace_using; k++)
        TRY(one_part(&i->replace_using[k], "REPLACE USING", &using[k], err));
    for (uint32_t k = 0; k < i->n_partition; k++) {
        TRY(one_part(&i->partition[k].column, "PARTITION", &partition[k].column, err));
        partition[k].expr = i->partition[k].value;
    }
    ret->columns = columns;
    ret->n_columns = i->n_columns;
    ret->replace_using = using;
    ret->n_replace_using = i->n_replace_using;
    ret->partition = partition;
    ret->n_partition = i->n_partition;
    return 0;
}

static int run_insert(struct session *s, const struct statement *st, struct dml_result *ret, struct err *err)
{
    const struct sql_insert *i = &st->insert;
    struct dml_insert ins = {.by_name = i->by_name,
                             .schema_evolution = i->schema_evolution,
                             .overwrite = i->overwrite || i->replace_where.n || i->n_replace_using,
                             .dynamic = s->dynamic_overwrite && i->overwrite};
    struct dml_target t;

    if (i->if_not_exists)
        return err_set(err, ERR_UNSUPPORTED, "INSERT … PARTITION (…) IF NOT EXISTS is not supported");
    if (i->schema_evolution && !i->by_name)
        return err_set(err, ERR_UNSUPPORTED, "INSERT WITH SCHEMA EVOLUTION needs BY NAME");
    if (i->n_partition && (i->replace_where.n || i->n_replace_using))
        return err_set(err, ERR_USAGE, "PARTITION and REPLACE do not go together");
    TRY(open_target(s, st, &i->table, &t, err));
    TRY(insert_lists(s, i, &ins, err));
    ins.reads_target = mentions(i->query, &i->table) || mentions(st->with, &i->table);
    TRY(rewritten(s, i->query, &ins.query, err));
    TRY(rewritten(s, i->replace_where, &ins.replace_where, err));
    session_values(s, &ins);
    bool reads_more = dml_has_query(ins.replace_where);
    for (uint32_t k = 0; k < i->n_partition; k++)
        reads_more |= dml_has_query(i->partition[k].value);
    if (!reads_more)
        session_plan_part(s, t.with, ins.query);
    return delta_insert(&t, &ins, ret, err);
}

static int run_update(struct session *s, const struct statement *st, struct dml_result *ret, struct err *err)
{
    struct dml_target t;
    struct dml_set *set;
    struct str where;

    TRY(open_target(s, st, &st->update.table, &t, err));
    TRY(rewrite_sets(s, st->update.set, st->update.n_set, &set, err));
    for (uint32_t i = 0; i < st->update.n_set; i++)
        strip_table(&t, &set[i]);
    TRY(rewritten(s, st->update.where, &where, err));
    return delta_update(&t, set, st->update.n_set, where, ret, err);
}

static int run_delete(struct session *s, const struct statement *st, struct dml_result *ret, struct err *err)
{
    struct dml_target t;
    struct str where;

    TRY(open_target(s, st, &st->delete_from.table, &t, err));
    TRY(rewritten(s, st->delete_from.where, &where, err));
    return delta_delete(&t, where, ret, err);
}

/* "(query) AS "s" (a, b)" */
static int merge_source(struct session *s, const struct sql_merge *m, struct dml_merge *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct sql_name *name = &m->source.name;
    struct str from = m->source_query;

    ret->source_alias = m->source.alias.n ? m->source.alias
                        : name->n_parts   ? name->parts[name->n_parts - 1]
                                          : STR("source");
    if (!from.n)
        from = str_of(arena_printf(&s->arena, "FROM %.*s", (int)(m->source_text.n), m->source_text.p));
    TRY(rewritten(s, from, &from, err));
    buf_printf(&text, "(%.*s\n) AS ", STR_ARG(from));
    buf_add_sql_ident(&text, ret->source_alias);
    for (uint32_t i = 0; i < m->n_source_columns; i++) {
        buf_add_cstr(&text, i ? ", " : " (");
        buf_add_sql_ident(&text, m->source_columns[i].parts[0]);
    }
    buf_add_cstr(&text, m->n_source_columns ? ")" : "");
    ret->source = arena_str(&s->arena, buf_str(&text));
    return 0;
}

static int run_merge(struct session *s, const struct statement *st, struct dml_result *ret, struct err *err)
{
    static const enum dml_when whens[] = {[MERGE_MATCHED] = DML_MATCHED,
                                          [MERGE_NOT_MATCHED] = DML_NOT_MATCHED,
                                          [MERGE_NOT_MATCHED_BY_SOURCE] = DML_NOT_MATCHED_BY_SOURCE};
    static const enum dml_action actions[] = {
        [MERGE_UPDATE] = DML_UPDATE, [MERGE_UPDATE_ALL] = DML_UPDATE_ALL, [MERGE_DELETE] = DML_DELETE,
        [MERGE_INSERT] = DML_INSERT, [MERGE_INSERT_ALL] = DML_INSERT_ALL, [MERGE_DO_NOTHING] = DML_NOTHING};
    const struct sql_merge *m = &st->merge;
    struct dml_clause *clauses = ARENA_NEW_N(&s->arena, struct dml_clause, m->n_clauses);
    struct dml_merge merge = {.clauses = clauses, .n_clauses = m->n_clauses, .schema_evolution = m->schema_evolution};
    struct dml_target t;
    bool reads_more = dml_has_query(m->on);

    merge.reads_target =
        mentions(m->source_query, &m->target) || mentions(m->source_text, &m->target) || mentions(st->with, &m->target);
    TRY(open_target(s, st, &m->target, &t, err));
    TRY(merge_source(s, m, &merge, err));
    TRY(rewritten(s, m->on, &merge.on, err));
    for (uint32_t i = 0; i < m->n_clauses; i++) {
        struct dml_set *set;
        clauses[i].when = whens[m->clauses[i].when];
        clauses[i].action = actions[m->clauses[i].action];
        TRY(rewritten(s, m->clauses[i].condition, &clauses[i].condition, err));
        TRY(rewrite_sets(s, m->clauses[i].set, m->clauses[i].n_set, &set, err));
        reads_more |= dml_has_query(clauses[i].condition);
        for (uint32_t k = 0; k < m->clauses[i].n_set; k++) {
            strip_table(&t, &set[k]);
            reads_more |= dml_has_query(set[k].expr);
        }
        clauses[i].set = set;
        clauses[i].n_set = m->clauses[i].n_set;
    }
    if (!reads_more)
        session_plan_part(s, t.with, str_of(arena_printf(&s->arena, "SELECT * FROM %.*s", STR_ARG(merge.source))));
    return delta_merge(&t, &merge, ret, err);
}

int session_change(struct session *s, const struct statement *st, struct buf *out, struct err *err)
{
    struct dml_result r = {0};
    unsigned long long all;

    switch (st->kind) {
    case STATEMENT_INSERT:
        TRY(run_insert(s, st, &r, err));
        break;
    case STATEMENT_UPDATE:
        TRY(run_update(s, st, &r, err));
        break;
    case STATEMENT_DELETE:
        TRY(run_delete(s, st, &r, err));
        break;
    default:
        TRY(run_merge(s, st, &r, err));
    }
    all = st->kind == STATEMENT_INSERT ? r.inserted : r.inserted + r.updated + r.deleted;
    buf_printf(out, "SELECT %llu AS num_affected_rows", all);
    if (st->kind == STATEMENT_MERGE)
        buf_printf(out, ", %llu AS num_updated_rows, %llu AS num_deleted_rows", (unsigned long long)r.updated,
                   (unsigned long long)r.deleted);
    if (st->kind == STATEMENT_MERGE || st->kind == STATEMENT_INSERT)
        buf_printf(out, ", %llu AS num_inserted_rows", (unsigned long long)r.inserted);
    return 0;
}

int session_set(struct session *s, struct str text, struct err *err)
{
    struct lexer lx = lexer_of(text);
    CLEANUP(buf_deinit) struct buf key = {0};
    struct token t;

    if (lexer_next(&lx, &t, NULL) != 0 || !token_is(&t, "SET"))
        return 1;
    while (lexer_next(&lx, &t, NULL) == 0 && !token_is(&t, "=") && !token_is(&t, "TO"))
        buf_add_str(&key, t.text);
    bool retention = str_eq_nocase(buf_str(&key), STR("spark.databricks.delta.retentionDurationCheck.enabled"));
    if (!retention && !str_eq_nocase(buf_str(&key), STR("spark.sql.sources.partitionOverwriteMode")) &&
        !str_eq_nocase(buf_str(&key), STR("partition_overwrite_mode")))
        return 1;
    if (lexer_next(&lx, &t, err) != 0)
        t = (struct token){0};
    struct str value = t.kind == TOKEN_STRING ? token_string(&t, &s->arena) : t.text;
    if (retention) {
        s->any_retention = str_eq_nocase(value, STR("false"));
        if (!s->any_retention && !str_eq_nocase(value, STR("true")))
            return err_set(err, ERR_USAGE, "%.*s is true or false", STR_ARG(buf_str(&key)));
        return 0;
    }
    bool dynamic = str_eq_nocase(value, STR("dynamic"));
    if (!dynamic && !str_eq_nocase(value, STR("static")))
        return err_set(err, ERR_USAGE, "partition_overwrite_mode is static or dynamic");
    s->dynamic_overwrite = dynamic;
    return 0;
}
