/*
 * MERGE: one join of the table (with positions) and the staged source decides, for each row, which clause applies, and
 * computes the row that the clause makes of it.
 *
 *   __sluice_rows: the new row's columns, __clause, __file, __row (both NULL for a new row)
 *
 *   clauses       matched                + not matched            + not matched by source
 *   join          t JOIN s               t RIGHT JOIN s           t LEFT JOIN s, t FULL JOIN s
 *
 * The first clause whose condition is true applies. A row of the table that two rows of the source change is an error,
 * but for an unconditional DELETE as the only clause for matched rows (what Spark does).
 */
#include "delta/dml/dml_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include "engine/render.h"

#include <assert.h>

#define WIDE 400 /* columns of both sides */

struct merge {
    const struct dml_merge *m;
    bool matched, not_matched, by_source; /* which kinds of clauses there are */
    uint32_t n_columns;                   /* of the source */
    struct str *columns;
    const struct engine_type **types; /* of the columns */
    uint64_t n_source, stage_us;
    uint64_t *rows; /* of each clause */
    bool shielded;  /* expressions may have subqueries */
};

static const struct dml_set *find_set(const struct dml_clause *c, struct str name)
{
    for (uint32_t k = 0; k < c->n_set; k++)
        if (str_eq_nocase(c->set[k].path[0], name))
            return &c->set[k];
    return NULL;
}

static int find_source_column(const struct merge *g, struct str name)
{
    for (uint32_t i = 0; i < g->n_columns; i++)
        if (str_eq_nocase(g->columns[i], name))
            return (int)i;
    return -1;
}

/* Schema evolution: the columns of the source that a clause gives to the table, by `*` or by name. */
static int evolve(struct dml *d, const struct merge *g, struct engine_result *source, struct err *err)
{
    CLEANUP(mem_freep) bool *wanted = MEM_NEW_N(bool, g->n_columns + 1);

    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        for (uint32_t i = 0; i < g->n_columns; i++) {
            const struct dml_set *set = find_set(clause, g->columns[i]);
            wanted[i] |= clause->action == DML_UPDATE_ALL || clause->action == DML_INSERT_ALL;
            wanted[i] |= set && set->n_path == 1;
        }
    }
    return dml_evolve(d, source, wanted, err);
}

static int stage_source(struct dml *d, struct merge *g, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    int64_t n;

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DML_SOURCE " AS ");
    dml_add_with(d, &sql);
    buf_printf(&sql, "SELECT *, 1::TINYINT AS __source FROM %.*s", STR_ARG(g->m->source));
    TRY(dml_exec(d, sql.p, err));
    TRY(engine_query_i64(d->t->conn, "SELECT count(*) FROM temp." DML_SOURCE, &n, err));
    g->n_source = (uint64_t)n;
    TRY(engine_query(d->t->conn, "SELECT * EXCLUDE (__source) FROM temp." DML_SOURCE " LIMIT 0", &result, err));
    g->n_columns = engine_result_n_columns(result);
    g->columns = ARENA_NEW_N(&d->tx->arena, struct str, g->n_columns);
    g->types = ARENA_NEW_N(&d->tx->arena, const struct engine_type *, g->n_columns);
    for (uint32_t i = 0; i < g->n_columns; i++) {
        const struct engine_column *c = engine_result_column(result, i);
        g->columns[i] = arena_str(&d->tx->arena, c->name);
        g->types[i] = store_type_copy(&c->type, &d->tx->arena);
    }
    return g->m->schema_evolution ? evolve(d, g, result, err) : 0;
}

/* A column that the table fills by itself when a new row does not say. */
static bool fills_itself(const struct field *f)
{
    return field_meta_get(f, STR("CURRENT_DEFAULT")).p || field_meta_get(f, STR("delta.generationExpression")).p ||
           field_meta_get(f, STR("delta.identity.start")).p;
}

/* The column of the source that an expression is: its name, or alias.name. -1: it is another expression. */
static int source_column_of(const struct merge *g, struct str expr)
{
    struct str alias = g->m->source_alias;

    if (expr.n > alias.n && expr.p[alias.n] == '.' && str_eq_nocase(str_make(expr.p, alias.n), alias))
        expr = str_make(expr.p + alias.n + 1, expr.n - alias.n - 1);
    return find_source_column(g, expr);
}

/* Structs of the source need the fields of the column's, without schema evolution, for nobody asked for the others to be emptied. */
static int check_fields(const struct dml *d, const struct merge *g, const struct dml_clause *clause, struct err *err)
{
    bool all = clause->action == DML_UPDATE_ALL || clause->action == DML_INSERT_ALL;

    for (uint32_t i = 0; !g->m->schema_evolution && i < d->logical->n_fields; i++) {
        const struct field *f = &d->logical->fields[i];
        const struct dml_set *set = find_set(clause, f->name);
        int column = all                       ? find_source_column(g, f->name)
                     : set && set->n_path == 1 ? source_column_of(g, set->expr)
                                               : -1;
        struct assign_to to = {ASSIGN_SAME_NAMES, &f->type, f->name};
        if (column >= 0 && store_assign_check(&to, g->types[column], err) < 0)
            return err_hint(
                err, "MERGE WITH SCHEMA EVOLUTION adds fields; UPDATE SET * leaves those that are missing as they are");
    }
    return 0;
}

static enum dml_given given_of(const struct dml *d, const struct merge *g, const struct dml_clause *c, uint32_t field)
{
    struct str name = d->schema->fields[field].name;
    bool all = c->action == DML_UPDATE_ALL || c->action == DML_INSERT_ALL;
    bool inserts = c->action == DML_INSERT || c->action == DML_INSERT_ALL;

    if (all ? find_source_column(g, name) >= 0 : find_set(c, name) != NULL)
        return DML_GIVEN;
    return inserts ? DML_ABSENT : DML_OLD;
}

static bool updates(const struct dml_clause *c)
{
    return c->action == DML_UPDATE || c->action == DML_UPDATE_ALL;
}

/* Assignments must name columns that are there; with UPDATE * and INSERT * the source must have something for each. */
static int check_clauses(const struct dml *d, const struct merge *g, struct err *err)
{
    uint32_t field;

    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        bool all = clause->action == DML_UPDATE_ALL || clause->action == DML_INSERT_ALL;
        for (uint32_t k = 0; k < clause->n_set; k++)
            TRY(dml_find_column(d, clause->set[k].path[0], &field, err));
        for (uint32_t i = 0; updates(clause) && i < d->schema->n_fields; i++)
            if (given_of(d, g, clause, i) == DML_GIVEN)
                TRY(dml_check_updatable(d, i, err));
        TRY(check_fields(d, g, clause, err));
        for (uint32_t i = 0; all && !g->m->schema_evolution && i < d->schema->n_fields; i++) {
            const struct field *f = &d->schema->fields[i];
            if (find_source_column(g, f->name) >= 0 || fills_itself(f))
                continue;
            err_set(err, ERR_USAGE, "%s: the source has no column \"%.*s\"",
                    clause->action == DML_UPDATE_ALL ? "UPDATE SET *" : "INSERT *", STR_ARG(f->name));
            return err_hint(err, "name the columns, or MERGE WITH SCHEMA EVOLUTION, which leaves it as it is");
        }
    }
    return 0;
}

static void add_source_column(const struct merge *g, struct str name, struct buf *sql)
{
    buf_add_sql_ident(sql, g->m->source_alias);
    buf_add_char(sql, '.');
    buf_add_sql_ident(sql, g->columns[find_source_column(g, name)]);
}

/* What a clause makes of column i. */
static int add_column_of(const struct dml *d, const struct merge *g, const struct dml_clause *c, uint32_t i,
                         struct str old, struct buf *sql, struct err *err)
{
    const struct field *f = &d->schema->fields[i];
    enum dml_given given = given_of(d, g, c, i);
    CLEANUP(buf_deinit) struct buf column = {0};

    if (c->action == DML_UPDATE)
        return dml_add_assigned(d, i, old, c->set, c->n_set, sql, err);
    if (c->action == DML_INSERT && given == DML_GIVEN)
        return dml_add_assigned(d, i, old, c->set, c->n_set, sql, err);
    if (given == DML_OLD) {
        buf_add_str(sql, old);
        return 0;
    }
    if (given == DML_ABSENT)
        return dml_add_default(d, i, sql, err);
    const struct engine_type *type = g->types[find_source_column(g, f->name)];
    add_source_column(g, f->name, &column);
    if (d->evolves && c->action == DML_UPDATE_ALL) {
        struct assign_to to = {ASSIGN_EVOLVING, &d->logical->fields[i].type, f->name};
        return store_assign_over(&to, type, buf_str(&column), old, sql, err);
    }
    return dml_add_stored(d, i, d->evolves ? ASSIGN_EVOLVING : ASSIGN_SAME_NAMES, type, buf_str(&column), true, sql,
                          err);
}

/* WHEN … THEN <number> for the clauses of one kind. */
static void add_chain(const struct merge *g, enum dml_when when, const char *applies, struct buf *sql)
{
    buf_printf(sql, " WHEN %s THEN CASE", applies);
    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        if (clause->when != when)
            continue;
        if (clause->condition.n)
            buf_printf(sql, " WHEN (%.*s\n)", STR_ARG(clause->condition));
        else
            buf_add_cstr(sql, " WHEN true");
        if (clause->action == DML_NOTHING)
            buf_add_cstr(sql, " THEN NULL");
        else
            buf_printf(sql, " THEN %u", c);
    }
    buf_add_cstr(sql, " END");
}

static void add_clause_number(const struct dml *d, const struct merge *g, struct buf *sql)
{
    CLEANUP(buf_deinit) struct buf t = {0}, s = {0}, applies = {0};

    dml_add_alias(d, &t);
    buf_add_sql_ident(&s, g->m->source_alias);
    buf_add_cstr(sql, "CAST(CASE");
    if (g->matched) {
        buf_printf(&applies, "%s.__row IS NOT NULL AND %s.__source IS NOT NULL", t.p, s.p);
        add_chain(g, DML_MATCHED, applies.p, sql);
    }
    if (g->not_matched) {
        buf_reset(&applies);
        buf_printf(&applies, "%s.__row IS NULL", t.p);
        add_chain(g, DML_NOT_MATCHED, applies.p, sql);
    }
    if (g->by_source) {
        buf_reset(&applies);
        buf_printf(&applies, "%s.__source IS NULL", s.p);
        add_chain(g, DML_NOT_MATCHED_BY_SOURCE, applies.p, sql);
    }
    buf_add_cstr(sql, " END AS INTEGER)");
}

/*
 * The number of the clause is a column of a side of the join, and no other expression of the SELECT: so it must be where there are
 * shields, and where the table is wide. For DuckDB looks for a name among all columns first, and lists those that are called
 * alike, before it takes it for that of another expression: the square of the number of columns (1,000: 3 s).
 */
static bool is_lateral(const struct dml *d, const struct merge *g)
{
    bool conditions = false;

    for (uint32_t c = 0; c < g->m->n_clauses; c++)
        conditions |= g->m->clauses[c].condition.n > 0;
    return g->shielded || (conditions && d->schema->n_fields + g->n_columns > WIDE);
}

/* Clauses that make the same of a column. */
struct outcome {
    struct str expr;
    struct buf clauses; /* "0, 2" */
};

struct outcomes {
    struct outcome *v;
    uint32_t n;
};

static void outcomes_deinit(struct outcomes *o)
{
    for (uint32_t i = 0; i < o->n; i++)
        buf_deinit(&o->v[i].clauses);
    mem_free(o->v);
}

/* The number of the row's clause, for each column. */
static void add_clause_name(const struct dml *d, const struct merge *g, struct buf *sql)
{
    bool plain = !g->shielded;

    for (uint32_t c = 0; c < g->m->n_clauses; c++)
        plain &= !g->m->clauses[c].condition.n;
    if (plain)
        add_clause_number(d, g, sql);
    else
        buf_add_cstr(sql, is_lateral(d, g) ? "__c.__clause" : "__clause");
}

/* Rows that go have no new values, and are not asked for their old ones: columns that no clause keeps are not read. */
static int find_outcomes(const struct dml *d, const struct merge *g, uint32_t i, struct outcomes *o, struct err *err)
{
    CLEANUP(buf_deinit) struct buf old = {0};

    o->v = MEM_NEW_N(struct outcome, g->m->n_clauses + 1);
    dml_add_alias(d, &old);
    buf_add_char(&old, '.');
    buf_add_sql_ident(&old, d->schema->fields[i].name);
    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        CLEANUP(buf_deinit) struct buf expr = {0};
        uint32_t k = 0;
        if (clause->action == DML_DELETE || clause->action == DML_NOTHING)
            continue;
        TRY(add_column_of(d, g, clause, i, buf_str(&old), &expr, err));
        while (k < o->n && !str_eq(o->v[k].expr, buf_str(&expr)))
            k++;
        if (k == o->n)
            o->v[o->n++] = (struct outcome){.expr = arena_str(&d->tx->arena, buf_str(&expr))};
        buf_printf(&o->v[k].clauses, "%s%u", o->v[k].clauses.n ? ", " : "", c);
    }
    return 0;
}

/*
 * CASE WHEN number IN (0, 2) THEN … END. The same expression is not written twice: DuckDB's hash of an expression is an XOR of its
 * parts', from which both then vanish, all columns have the same, and each is compared with all (1,000 columns: 4 s of 4.2).
 */
static int add_column(const struct dml *d, const struct merge *g, uint32_t i, struct buf *sql, struct err *err)
{
    CLEANUP(outcomes_deinit) struct outcomes o = {0};

    TRY(find_outcomes(d, g, i, &o, err));
    buf_add_cstr(sql, o.n ? "CAST(CASE" : "CAST(NULL");
    for (uint32_t k = 0; k < o.n; k++) {
        buf_add_cstr(sql, " WHEN ");
        add_clause_name(d, g, sql);
        buf_printf(sql, " IN (%s) THEN %.*s", o.v[k].clauses.p, STR_ARG(o.v[k].expr));
    }
    buf_add_cstr(sql, o.n ? " END AS " : " AS ");
    TRY(dml_add_type(d, i, sql, err));
    buf_add_cstr(sql, ") AS ");
    buf_add_sql_ident(sql, d->schema->fields[i].name);
    return 0;
}

static int stage_merged(struct dml *d, const struct merge *g, struct err *err)
{
    const char *join = g->not_matched && g->by_source ? "FULL JOIN"
                       : g->not_matched               ? "RIGHT JOIN"
                       : g->by_source                 ? "LEFT JOIN"
                                                      : "JOIN";
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "CREATE OR REPLACE TEMP TABLE " DML_ROWS " AS ");
    dml_add_with(d, &sql);
    buf_add_cstr(&sql, "SELECT ");
    if (is_lateral(d, g))
        buf_add_cstr(&sql, "__c.__clause");
    else
        add_clause_number(d, g, &sql);
    buf_add_cstr(&sql, " AS __clause");
    for (uint32_t i = 0; i < d->schema->n_fields; i++) {
        buf_add_cstr(&sql, ", ");
        TRY(add_column(d, g, i, &sql, err));
    }
    buf_add_cstr(&sql, ", __file, __row");
    dml_add_staged_ids(d, &sql);
    buf_add_cstr(&sql, " FROM ");
    dml_add_target(d, &sql);
    buf_printf(&sql, " %s temp." DML_SOURCE " AS ", join);
    buf_add_sql_ident(&sql, g->m->source_alias);
    buf_printf(&sql, " ON (%.*s\n)", STR_ARG(g->m->on));
    if (is_lateral(d, g)) {
        buf_add_cstr(&sql, " CROSS JOIN LATERAL (SELECT ");
        add_clause_number(d, g, &sql);
        buf_add_cstr(&sql, " AS __clause) AS __c");
    }
    buf_add_cstr(&sql, " WHERE __clause IS NOT NULL");
    return dml_exec(d, sql.p, err);
}

/* Rows that each clause changes. Several rows of the source may delete the same row. */
static int count_rows(struct dml *d, struct merge *g, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    const struct engine_chunk *chunk;
    int rc;

    g->rows = ARENA_NEW_N(&d->tx->arena, uint64_t, g->m->n_clauses + 1);
    TRY(engine_query(d->t->conn,
                     "SELECT __clause, count(*) FROM (SELECT DISTINCT __clause, __file, __row, CASE WHEN __row IS NULL "
                     "THEN rowid END FROM temp." DML_ROWS ") GROUP BY __clause",
                     &result, err));
    while ((rc = engine_result_next(result, &chunk, err)) == 0)
        for (uint32_t i = 0; i < chunk->n; i++)
            g->rows[engine_i64(&chunk->cols[0], i)] = (uint64_t)engine_i64(&chunk->cols[1], i);
    return rc < 0 ? rc : 0;
}

static uint64_t rows_of(const struct merge *g, enum dml_when when, enum dml_action a, enum dml_action b)
{
    uint64_t n = 0;

    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        n += clause->when == when && (clause->action == a || clause->action == b) ? g->rows[c] : 0;
    }
    return n;
}

/* A row that several rows of the source change. */
static int check_ambiguous(struct dml *d, const struct merge *g, struct err *err)
{
    CLEANUP(engine_result_freep) struct engine_result *result = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0}, row = {0};
    const struct engine_chunk *chunk;
    uint32_t matched = 0;
    bool only_delete = true;

    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        matched += clause->when == DML_MATCHED;
        only_delete &= clause->when != DML_MATCHED || (clause->action == DML_DELETE && !clause->condition.n);
    }
    if (!matched || (matched == 1 && only_delete))
        return 0;
    buf_add_cstr(&sql, "SELECT ");
    dml_add_columns(d, "", &sql);
    buf_printf(&sql,
               " FROM (%s) JOIN (SELECT __file, __row FROM temp." DML_ROWS
               " WHERE __row IS NOT NULL GROUP BY ALL HAVING count(*) > 1 LIMIT 1) USING (__file, __row)",
               delta_scan_sql(d->scan));
    TRY(engine_query(d->t->conn, sql.p, &result, err));
    int rc = engine_result_next(result, &chunk, err);
    if (rc)
        return rc < 0 ? rc : 0;
    render_json_row(&row, result, chunk, 0);
    err_set(err, ERR_USAGE,
            "a row of the table matches several rows of the source, so the outcome is not defined: %.*s",
            (int)MIN(row.n, (size_t)500), row.p);
    return err_hint(err, "make the source unique in the columns of ON, for example with GROUP BY or DISTINCT ON");
}

static int write_merge_changes(struct dml *d, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    if (!dml_needs_changes(d, true))
        return 0;
    buf_add_cstr(&sql, "SELECT ");
    dml_add_columns(d, "", &sql);
    buf_printf(&sql,
               ", CASE WHEN __clause < 0 THEN 'delete' ELSE 'update_preimage' END AS _change_type FROM (%s) JOIN "
               "(SELECT DISTINCT __file, __row, __clause FROM temp." DML_ROWS
               " WHERE __row IS NOT NULL) USING (__file, __row) UNION ALL SELECT ",
               delta_scan_sql(d->scan));
    dml_add_columns(d, "", &sql);
    buf_add_cstr(&sql, ", CASE WHEN __row IS NULL THEN 'insert' ELSE 'update_postimage' END FROM temp." DML_ROWS
                       " WHERE __clause >= 0");
    return dml_write_changes(d, sql.p, err);
}

static void add_predicates(const struct merge *g, enum dml_when when, const char *key, struct buf *json)
{
    static const char *const actions[] = {
        [DML_UPDATE] = "update", [DML_UPDATE_ALL] = "update", [DML_DELETE] = "delete",
        [DML_INSERT] = "insert", [DML_INSERT_ALL] = "insert", [DML_NOTHING] = "nothing"};
    CLEANUP(buf_deinit) struct buf list = {0};

    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        if (clause->when != when)
            continue;
        buf_add_cstr(&list, list.n ? ",{" : "[{");
        if (clause->condition.n) {
            buf_add_cstr(&list, "\"predicate\":");
            buf_add_json_str(&list, clause->condition);
            buf_add_char(&list, ',');
        }
        buf_printf(&list, "\"actionType\":\"%s\"}", actions[clause->action]);
    }
    buf_add_cstr(&list, list.n ? "]" : "[]");
    buf_printf(json, ",\"%s\":", key);
    buf_add_json_str(json, buf_str(&list));
}

static void set_info(struct dml *d, const struct merge *g)
{
    CLEANUP(buf_deinit) struct buf json = {0}, list = {0};
    const struct dml_result *r = &d->result;
    uint64_t took = (uint64_t)clock_now_us() - d->start_us;

    buf_add_char(&list, '[');
    buf_add_json_str(&list, g->m->on);
    buf_add_char(&list, ']');
    buf_add_cstr(&json, "{\"predicate\":");
    buf_add_json_str(&json, buf_str(&list));
    add_predicates(g, DML_MATCHED, "matchedPredicates", &json);
    add_predicates(g, DML_NOT_MATCHED, "notMatchedPredicates", &json);
    add_predicates(g, DML_NOT_MATCHED_BY_SOURCE, "notMatchedBySourcePredicates", &json);
    buf_add_char(&json, '}');
    delta_tx_set_parameters(d->tx, buf_str(&json));
    buf_reset(&json);
    const struct {
        const char *name;
        uint64_t value;
    } metrics[] = {
        {"numSourceRows", g->n_source},
        {"numTargetRowsInserted", r->inserted},
        {"numTargetRowsUpdated", r->updated},
        {"numTargetRowsMatchedUpdated", rows_of(g, DML_MATCHED, DML_UPDATE, DML_UPDATE_ALL)},
        {"numTargetRowsNotMatchedBySourceUpdated", rows_of(g, DML_NOT_MATCHED_BY_SOURCE, DML_UPDATE, DML_UPDATE_ALL)},
        {"numTargetRowsDeleted", r->deleted},
        {"numTargetRowsMatchedDeleted", rows_of(g, DML_MATCHED, DML_DELETE, DML_DELETE)},
        {"numTargetRowsNotMatchedBySourceDeleted", rows_of(g, DML_NOT_MATCHED_BY_SOURCE, DML_DELETE, DML_DELETE)},
        {"numTargetRowsCopied", r->copied},
        {"numOutputRows", r->inserted + r->updated + r->copied},
        {"numTargetFilesAdded", r->files_added},
        {"numTargetFilesRemoved", r->files_removed},
        {"numTargetBytesAdded", d->bytes_added},
        {"numTargetBytesRemoved", d->bytes_removed},
        {"numTargetChangeFilesAdded", d->cdc_files},
        {"numTargetDeletionVectorsAdded", r->vectors_added},
        {"numTargetDeletionVectorsUpdated", d->vectors_updated},
        {"numTargetDeletionVectorsRemoved", d->vectors_removed},
        {"materializeSourceTimeMs", g->stage_us / 1000},
        {"scanTimeMs", d->scan_us / 1000},
        {"rewriteTimeMs", (took - MIN(took, d->scan_us)) / 1000},
        {"executionTimeMs", took / 1000},
    };
    for (size_t i = 0; i < ARRAY_LEN(metrics); i++)
        buf_printf(&json, "%s\"%s\":\"%llu\"", i ? "," : "{", metrics[i].name, (unsigned long long)metrics[i].value);
    buf_add_char(&json, '}');
    delta_tx_set_metrics(d->tx, buf_str(&json));
}

/* Rows of DELETE clauses are told apart from here on by a negative number. */
static int set_deletes_aside(struct dml *d, const struct merge *g, struct err *err)
{
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_add_cstr(&sql, "UPDATE temp." DML_ROWS " SET __clause = -1 WHERE ");
    buf_add_cstr(&sql, "__clause IN (NULL");
    for (uint32_t c = 0; c < g->m->n_clauses; c++)
        if (g->m->clauses[c].action == DML_DELETE)
            buf_printf(&sql, ", %u", c);
    buf_add_char(&sql, ')');
    return dml_exec(d, sql.p, err);
}

static int write_merged(struct dml *d, struct merge *g, struct err *err)
{
    CLEANUP(mem_freep) uint8_t *given = MEM_NEW_N(uint8_t, (size_t)g->m->n_clauses * d->schema->n_fields);
    uint64_t rows;

    for (uint32_t c = 0; c < g->m->n_clauses; c++)
        for (uint32_t i = 0; i < d->schema->n_fields; i++)
            given[c * d->schema->n_fields + i] = (uint8_t)given_of(d, g, &g->m->clauses[c], i);
    TRY(count_rows(d, g, err));
    d->result.updated = rows_of(g, DML_MATCHED, DML_UPDATE, DML_UPDATE_ALL) +
                        rows_of(g, DML_NOT_MATCHED_BY_SOURCE, DML_UPDATE, DML_UPDATE_ALL);
    d->result.deleted =
        rows_of(g, DML_MATCHED, DML_DELETE, DML_DELETE) + rows_of(g, DML_NOT_MATCHED_BY_SOURCE, DML_DELETE, DML_DELETE);
    d->result.inserted = rows_of(g, DML_NOT_MATCHED, DML_INSERT, DML_INSERT_ALL);
    TRY(set_deletes_aside(d, g, err));
    TRY(dml_finish_rows(d, given, g->m->n_clauses, err));
    TRY(dml_write_rows(d, &rows, err));
    if (rows != d->result.updated + d->result.inserted)
        return err_set(err, ERR_INTERNAL, "MERGE wrote %llu rows where %llu were to be", (unsigned long long)rows,
                       (unsigned long long)(d->result.updated + d->result.inserted));
    return write_merge_changes(d, err);
}

/*
 * Which rows of the table make a difference, for other writers' commits: those that a row of the source matches, or all
 * when there is a clause for the others.
 */
static void set_concern(struct dml *d, const struct merge *g)
{
    d->judges_rows = !g->m->reads_target && !dml_has_query(g->m->on);
    for (uint32_t c = 0; c < g->m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        d->judges_rows &= !dml_has_query(clause->condition);
        for (uint32_t k = 0; k < clause->n_set; k++)
            d->judges_rows &= !dml_has_query(clause->set[k].expr);
    }
    if (g->by_source) {
        buf_add_cstr(&d->concern, "true");
        return;
    }
    buf_add_cstr(&d->concern, "EXISTS (SELECT 1 FROM temp." DML_SOURCE " AS ");
    buf_add_sql_ident(&d->concern, g->m->source_alias);
    buf_printf(&d->concern, " WHERE (%.*s\n))", STR_ARG(g->m->on));
}

/* An expression that sees the columns of one side only, unqualified too: (SELECT (expr) FROM (SELECT s."a" AS "a", …) AS s) */
static struct str shield(struct dml *d, const struct merge *g, enum dml_when when, struct str expr)
{
    CLEANUP(buf_deinit) struct buf sql = {0}, side = {0};
    bool source = when == DML_NOT_MATCHED;
    uint32_t n = source ? g->n_columns : d->schema->n_fields;

    if (!expr.n || when == DML_MATCHED || str_eq_nocase(expr, STR("DEFAULT")))
        return expr;
    if (source)
        buf_add_sql_ident(&side, g->m->source_alias);
    else
        dml_add_alias(d, &side);
    buf_printf(&sql, "(SELECT (%.*s\n) FROM (SELECT ", STR_ARG(expr));
    for (uint32_t i = 0; i < n; i++) {
        struct str name = source ? g->columns[i] : d->schema->fields[i].name;
        buf_printf(&sql, "%s%s.", i ? ", " : "", side.p);
        buf_add_sql_ident(&sql, name);
        buf_add_cstr(&sql, " AS ");
        buf_add_sql_ident(&sql, name);
    }
    buf_printf(&sql, ") AS %s)", side.p);
    return arena_str(&d->tx->arena, buf_str(&sql));
}

/* The same statement, with the expressions of clauses for rows of one side shielded from the columns of the other. */
static struct dml_merge *shielded(struct dml *d, const struct merge *g)
{
    struct dml_merge *m = arena_dup(&d->tx->arena, g->m, sizeof *m);
    struct dml_clause *clauses = ARENA_NEW_N(&d->tx->arena, struct dml_clause, m->n_clauses);

    for (uint32_t c = 0; c < m->n_clauses; c++) {
        const struct dml_clause *from = &g->m->clauses[c];
        struct dml_set *set = ARENA_NEW_N(&d->tx->arena, struct dml_set, from->n_set + 1);
        clauses[c] = *from;
        clauses[c].condition = shield(d, g, from->when, from->condition);
        clauses[c].set = set;
        for (uint32_t k = 0; k < from->n_set; k++) {
            set[k] = from->set[k];
            set[k].expr = shield(d, g, from->when, from->set[k].expr);
        }
    }
    m->clauses = clauses;
    return m;
}

/* What the expressions of a clause see. */
static void add_sides(const struct dml *d, const struct merge *g, enum dml_when when, struct buf *from)
{
    if (when != DML_NOT_MATCHED)
        dml_add_target(d, from);
    if (when == DML_NOT_MATCHED_BY_SOURCE)
        return;
    buf_add_cstr(from, from->n ? ", temp." DML_SOURCE " AS " : "temp." DML_SOURCE " AS ");
    buf_add_sql_ident(from, g->m->source_alias);
}

/* The same statement, with the types of what it assigns. */
static struct dml_merge *typed(struct dml *d, const struct merge *g)
{
    struct dml_merge *m = arena_dup(&d->tx->arena, g->m, sizeof *m);
    struct dml_clause *clauses = ARENA_NEW_N(&d->tx->arena, struct dml_clause, m->n_clauses);

    for (uint32_t c = 0; c < m->n_clauses; c++) {
        const struct dml_clause *clause = &g->m->clauses[c];
        struct dml_set *set = ARENA_NEW_N(&d->tx->arena, struct dml_set, clause->n_set + 1);
        CLEANUP(buf_deinit) struct buf from = {0};
        for (uint32_t k = 0; k < clause->n_set; k++) {
            int column = source_column_of(g, clause->set[k].expr);
            set[k] = clause->set[k];
            set[k].type = column >= 0 ? g->types[column] : NULL;
        }
        add_sides(d, g, clause->when, &from);
        clauses[c] = *clause;
        clauses[c].set = dml_typed_sets(d, set, clause->n_set, buf_str(&from));
    }
    m->clauses = clauses;
    return m;
}

/* Shields cost a join each, so only where a name turns out to mean two columns, or where there are subqueries anyhow. */
static int stage_either_way(struct dml *d, struct merge *g, struct err *err)
{
    const struct dml_merge *as_written = g->m;

    g->m = typed(d, g);
    int rc = stage_merged(d, g, err);
    if (rc != ERR_USAGE || !err || !(strstr(err->msg, "Ambiguous reference") || strstr(err->msg, "has a subquery"))) {
        g->m = as_written;
        return rc;
    }
    g->m = shielded(d, g);
    g->shielded = true;
    rc = stage_merged(d, g, err);
    g->m = as_written;
    return rc;
}

static int merge_body(struct dml *d, const void *arg, struct err *err)
{
    struct merge g = {.m = arg};
    int64_t start = clock_now_us();

    d->evolves = g.m->schema_evolution;
    for (uint32_t c = 0; c < g.m->n_clauses; c++) {
        g.matched |= g.m->clauses[c].when == DML_MATCHED;
        g.not_matched |= g.m->clauses[c].when == DML_NOT_MATCHED;
        g.by_source |= g.m->clauses[c].when == DML_NOT_MATCHED_BY_SOURCE;
    }
    if (g.by_source && d->tx->read->n_files)
        TRY(delta_tx_check_removable(d->tx, d->head, err)); /* though none may be changed, as Spark */
    TRY(stage_source(d, &g, err));
    g.stage_us = (uint64_t)(clock_now_us() - start);
    TRY(check_clauses(d, &g, err));
    const struct prune *keep = g.by_source ? NULL : dml_keep_joined(d, DML_SOURCE, g.m->source_alias, g.m->on);
    TRY(dml_open_scan(d, keep, err));
    TRY(stage_either_way(d, &g, err));
    TRY(check_ambiguous(d, &g, err));
    d->tx->read_whole_table = true;
    set_concern(d, &g);
    TRY(dml_hit(d, "SELECT __file, __row FROM temp." DML_ROWS " WHERE __row IS NOT NULL", err));
    d->scan_us = (uint64_t)(clock_now_us() - start);
    TRY(write_merged(d, &g, err));
    TRY(dml_apply_hits(d, err));
    set_info(d, &g);
    return 0;
}

int delta_merge(const struct dml_target *t, const struct dml_merge *merge, struct dml_result *ret, struct err *err)
{
    return dml_run(t, "MERGE", merge_body, merge, ret, err);
}
