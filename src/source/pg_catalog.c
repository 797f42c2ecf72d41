/*
 * The catalog: tables by pattern, and their columns, types, keys and sizes.
 *
 * candidates (1 query)  → choose() by patterns  → details, columns, types, publication (1 query each, for all tables)
 *
 * Domains and arrays are resolved here from the rows of pg_type, so that nothing later needs the catalog to know a
 * type. The identity follows what the server logs as old rows (relreplident): a primary key that is deferrable does
 * not count, for the server does not use it either.
 */
#include "source/pg_catalog.h"

#include "source/pg_publication.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Memory of one load: all of it is in the arena, except the maps' slots. */
struct load {
    struct pg_conn *conn;
    const struct pg_filter *filter;
    struct pg_tables *tables;
    struct arena arena;
    struct imap relations; /* oid → struct relation */
    struct imap types;     /* oid → struct type_row */
    struct imap published; /* oid → anything: the publication has the table; oid << 16 | attnum: and the column */
    bool publication_exists, publication_generated;
    char *oids; /* "{1,2,3}" */
};

struct type_row {
    char typtype;
    uint32_t base; /* of a domain */
    int32_t typmod;
    uint32_t elem; /* of a true array */
};

struct candidate {
    uint32_t oid, parent; /* parent: of a partition */
    struct str schema, name;
    char kind, persistence;
    bool extension, taken, excluded, included;
};

static void load_deinit(struct load *l)
{
    imap_deinit(&l->relations);
    imap_deinit(&l->types);
    imap_deinit(&l->published);
    arena_deinit(&l->arena);
}

void pg_tables_deinit(struct pg_tables *t)
{
    for (size_t i = 0; i < t->n; i++)
        relation_unref(t->items[i]);
    for (size_t i = 0; i < t->n_notes; i++)
        mem_free(t->notes[i]);
    for (size_t i = 0; i < t->n_unmatched; i++)
        mem_free(t->unmatched[i]);
    mem_free(t->items);
    mem_free(t->notes);
    mem_free(t->unmatched);
    *t = (struct pg_tables){0};
}

static void add_line(char ***lines, size_t *n, char *line)
{
    *lines = mem_realloc_n(*lines, *n + 1, sizeof **lines);
    (*lines)[(*n)++] = line;
}

static void note(struct pg_tables *t, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void note(struct pg_tables *t, const char *fmt, ...)
{
    CLEANUP(buf_deinit) struct buf b = {0};
    va_list ap;

    va_start(ap, fmt);
    buf_vprintf(&b, fmt, ap);
    va_end(ap);
    add_line(&t->notes, &t->n_notes, buf_take(&b));
}

static size_t count_dots(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++)
        n += s.p[i] == '.';
    return n;
}

/* `pattern` against "a.b" or "a.b.c", with what it leaves out put in front. */
static bool matches(struct str pattern, size_t want_dots, struct str name)
{
    CLEANUP(buf_deinit) struct buf full = {0};
    size_t dots = count_dots(pattern);

    if (dots == 0 && want_dots == 2)
        buf_add_cstr(&full, "*.");
    else if (dots < want_dots)
        buf_add_cstr(&full, "public.");
    buf_add_str(&full, pattern);
    return str_glob(buf_str(&full), name);
}

static bool matches_any(const struct str *patterns, size_t n, size_t want_dots, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (matches(patterns[i], want_dots, name))
            return true;
    return false;
}

static void add_name(struct buf *b, struct str schema, struct str table)
{
    buf_add_str(b, schema);
    buf_add_char(b, '.');
    buf_add_str(b, table);
}

bool pg_filter_table(const struct pg_filter *f, struct str schema, struct str table)
{
    CLEANUP(buf_deinit) struct buf name = {0};

    add_name(&name, schema, table);
    return (f->n_include == 0 || matches_any(f->include, f->n_include, 1, buf_str(&name))) &&
           !matches_any(f->exclude, f->n_exclude, 1, buf_str(&name));
}

/* Does a column pattern speak of this table? Its part before the last dot decides. */
static bool restricts(struct str pattern, struct str table)
{
    size_t n = pattern.n;

    while (n > 0 && pattern.p[n - 1] != '.')
        n--;
    return n == 0 || matches(str_make(pattern.p, n - 1), 1, table);
}

bool pg_filter_column(const struct pg_filter *f, struct str schema, struct str table, struct str column)
{
    CLEANUP(buf_deinit) struct buf name = {0};
    bool restricted = false;

    add_name(&name, schema, table);
    for (size_t i = 0; i < f->n_include_columns; i++)
        restricted = restricted || restricts(f->include_columns[i], buf_str(&name));
    buf_add_char(&name, '.');
    buf_add_str(&name, column);
    return (!restricted || matches_any(f->include_columns, f->n_include_columns, 2, buf_str(&name))) &&
           !matches_any(f->exclude_columns, f->n_exclude_columns, 2, buf_str(&name));
}

int pg_server_read(struct pg_conn *conn, struct pg_server *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;

    TRY(pg_query(conn,
                 "SELECT s.system_identifier, c.timeline_id, pg_is_in_recovery(), current_database(), current_user,"
                 " current_setting('server_version'), (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
                 " FROM pg_control_system() s, pg_control_checkpoint() c",
                 0, NULL, &r, err));
    struct pg_server s = {.version = pg_conn_version(conn),
                          .timeline = (uint32_t)pg_result_i64(r, 0, 1),
                          .standby = pg_result_bool(r, 0, 2),
                          .now_us = pg_result_i64(r, 0, 6)};
    (void)!str_to_u64(pg_result_str(r, 0, 0), &s.system_id);
    snprintf(s.database, sizeof s.database, "%s", pg_result_str(r, 0, 3).p);
    snprintf(s.user, sizeof s.user, "%s", pg_result_str(r, 0, 4).p);
    snprintf(s.text, sizeof s.text, "%s", pg_result_str(r, 0, 5).p);
    *ret = s;
    return 0;
}

/* The chosen tables' rows in the catalog */

static const char candidates_sql[] =
    "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence,"
    " CASE WHEN c.relispartition THEN (SELECT i.inhparent FROM pg_inherits i WHERE i.inhrelid = c.oid LIMIT 1) END,"
    " EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

static int read_candidates(struct load *l, const char *where, const char *param, struct candidate **ret, size_t *ret_n,
                           struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};

    buf_printf(&sql, "%s%s ORDER BY n.nspname COLLATE \"C\", c.relname COLLATE \"C\"", candidates_sql, where);
    TRY(pg_query(l->conn, sql.p, param ? 1 : 0, &param, &r, err));
    size_t n = pg_result_rows(r);
    struct candidate *all = ARENA_NEW_N(&l->arena, struct candidate, n + 1);
    for (size_t i = 0; i < n; i++)
        all[i] = (struct candidate){
            .oid = (uint32_t)pg_result_i64(r, i, 0),
            .schema = arena_str(&l->arena, pg_result_str(r, i, 1)),
            .name = arena_str(&l->arena, pg_result_str(r, i, 2)),
            .kind = pg_result_str(r, i, 3).p[0],
            .persistence = pg_result_str(r, i, 4).p[0],
            .parent = (uint32_t)pg_result_i64(r, i, 5),
            .extension = pg_result_bool(r, i, 6),
        };
    *ret = all;
    *ret_n = n;
    return 0;
}

static void add_relation(struct load *l, const struct candidate *c)
{
    struct pg_tables *t = l->tables;
    struct relation *rel = relation_new();

    rel->oid = c->oid;
    rel->schema = arena_str(&rel->arena, c->schema);
    rel->name = arena_str(&rel->arena, c->name);
    rel->partitioned = c->kind == 'p';
    t->items = mem_realloc_n(t->items, t->n + 1, sizeof *t->items);
    t->items[t->n++] = rel;
    imap_put(&l->relations, rel->oid, rel);
}

static void note_unmatched(struct load *l, const struct candidate *all, size_t n)
{
    const struct pg_filter *f = l->filter;
    struct pg_tables *t = l->tables;

    for (size_t p = 0; p < f->n_include; p++) {
        bool found = false;
        for (size_t i = 0; i < n && !found; i++) {
            CLEANUP(buf_deinit) struct buf name = {0};
            add_name(&name, all[i].schema, all[i].name);
            found = matches(f->include[p], 1, buf_str(&name));
        }
        if (!found)
            add_line(&t->unmatched, &t->n_unmatched, mem_strndup(f->include[p].p, f->include[p].n));
    }
}

/* Which of the candidates are tables of ours; see struct pg_filter for the rules. */
static void choose(struct load *l, struct candidate *all, size_t n)
{
    const struct pg_filter *f = l->filter;
    CLEANUP(imap_deinit) struct imap by_oid = {0};

    for (size_t i = 0; i < n; i++) {
        struct candidate *c = &all[i];
        CLEANUP(buf_deinit) struct buf name = {0};
        add_name(&name, c->schema, c->name);
        imap_put(&by_oid, c->oid, c);
        c->excluded = matches_any(f->exclude, f->n_exclude, 1, buf_str(&name));
        c->included =
            f->n_include ? matches_any(f->include, f->n_include, 1, buf_str(&name)) : !c->extension && !c->parent;
        c->taken = c->included && !c->excluded;
    }
    for (size_t i = 0; i < n; i++) {
        struct candidate *c = &all[i];
        bool own = c->taken;
        for (struct candidate *up = c; own && up->parent && (up = imap_get(&by_oid, up->parent));)
            own = !up->excluded && !(up->included && up->persistence == 'p');
        if (own && c->persistence != 'p')
            note(l->tables, "table %.*s.%.*s is unlogged: its changes are never in the stream, so it is left out",
                 STR_ARG(c->schema), STR_ARG(c->name));
        else if (own)
            add_relation(l, c);
    }
    note_unmatched(l, all, n);
}

/* TRAP: pg_class joined with "f.oid IN (SELECT relid FROM pg_partition_tree(c.oid) …)" would ask for the tree once for each table that
 * there is; a thousand partitions took ten seconds. */
static const char details_sql[] =
    "SELECT c.oid, c.relreplident, i.indkey::text, s.blocks, s.tuples, s.storage, c.relnatts,"
    " (SELECT sum(a.xmin::text::bigint) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0)::bigint,"
    " CASE WHEN c.relkind = 'p' THEN concat_ws(',', '0:' || pg_snapshot_xmin(pg_current_snapshot())::text,"
    "  (SELECT string_agg(concat_ws(':', f.oid, f.relfilenode, h.xmin, f.xmin, (pg_relation_size(f.oid) > 0)::int),"
    "    ',' ORDER BY f.oid)"
    "   FROM pg_partition_tree(c.oid) t JOIN pg_class f ON f.oid = t.relid JOIN pg_inherits h ON h.inhrelid = f.oid"
    "   WHERE t.relid <> c.oid)) END"
    " FROM pg_class c"
    " LEFT JOIN LATERAL (SELECT x.indkey FROM pg_index x"
    "  WHERE x.indrelid = c.oid AND x.indisvalid AND x.indimmediate AND CASE c.relreplident"
    "   WHEN 'i' THEN x.indisreplident WHEN 'n' THEN false ELSE x.indisprimary END LIMIT 1) i ON true"
    " CROSS JOIN LATERAL (SELECT"
    "   coalesce(sum(pg_relation_size(f.oid) / current_setting('block_size')::bigint), 0)::bigint AS blocks,"
    "   CASE WHEN min(f.reltuples) < 0 THEN -1 ELSE coalesce(sum(f.reltuples), 0) END::float8 AS tuples,"
    "   1 + coalesce(sum(CASE WHEN f.relfilenode <> f.oid THEN f.relfilenode::bigint ELSE 0 END), 0)::bigint AS storage"
    "  FROM (SELECT c.oid AS leaf WHERE c.relkind = 'r' UNION ALL"
    "   SELECT relid FROM pg_partition_tree(c.oid) WHERE c.relkind = 'p' AND isleaf) l"
    "  JOIN pg_class f ON f.oid = l.leaf WHERE f.relkind = 'r') s"
    " WHERE c.oid = ANY ($1::oid[])";

/* Numbers the key columns by "1 3" (attnums in the order of the index); the columns are there already. */
static void set_key(struct relation *rel, struct str attnums)
{
    uint16_t seq = 0;

    while (attnums.p) {
        int64_t attnum = 0;
        (void)!str_to_i64(str_split(&attnums, ' '), &attnum);
        for (uint32_t i = 0; i < rel->n_columns; i++)
            if (rel->columns[i].attnum == attnum)
                rel->columns[i].key_seq = ++seq;
    }
}

static int load_details(struct load *l, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {l->oids};

    TRY(pg_query(l->conn, details_sql, 1, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        struct relation *rel = imap_get(&l->relations, (uint64_t)pg_result_i64(r, i, 0));
        assert(rel);
        rel->full = pg_result_str(r, i, 1).p[0] == 'f';
        rel->identity = !pg_result_is_null(r, i, 2) ? IDENTITY_KEY : rel->full ? IDENTITY_ROW : IDENTITY_NONE;
        rel->blocks = pg_result_i64(r, i, 3);
        rel->row_estimate = strtod(pg_result_str(r, i, 4).p, NULL);
        rel->storage = pg_result_i64(r, i, 5);
        rel->n_attributes = (int16_t)pg_result_i64(r, i, 6);
        rel->shape = pg_result_i64(r, i, 7);
        rel->leaves = arena_str(&rel->arena, pg_result_str(r, i, 8));
        rel->current = true;
        if (rel->identity == IDENTITY_KEY)
            set_key(rel, pg_result_str(r, i, 2));
    }
    return 0;
}

/* Columns and their types */

static const char types_sql[] =
    "WITH RECURSIVE need(oid) AS ("
    " SELECT DISTINCT atttypid FROM pg_attribute WHERE attrelid = ANY ($1::oid[]) AND attnum > 0 AND NOT attisdropped"
    " UNION SELECT CASE t.typtype WHEN 'd' THEN t.typbasetype ELSE t.typelem END FROM need JOIN pg_type t USING (oid)"
    " WHERE t.typtype = 'd' OR t.typelem <> 0 AND t.typoutput = 'pg_catalog.array_out'::regproc)"
    "SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod,"
    " CASE WHEN t.typoutput = 'pg_catalog.array_out'::regproc THEN t.typelem ELSE 0 END"
    " FROM need JOIN pg_type t USING (oid)";

static int load_types(struct load *l, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {l->oids};

    TRY(pg_query(l->conn, types_sql, 1, params, &r, err));
    for (size_t i = 0; i < pg_result_rows(r); i++) {
        struct type_row *t = ARENA_NEW(&l->arena, struct type_row);
        t->typtype = pg_result_str(r, i, 1).p[0];
        t->base = (uint32_t)pg_result_i64(r, i, 2);
        t->typmod = (int32_t)pg_result_i64(r, i, 3);
        t->elem = (uint32_t)pg_result_i64(r, i, 4);
        imap_put(&l->types, (uint64_t)pg_result_i64(r, i, 0), t);
    }
    return 0;
}

/* Follows domains down to the base type; the typmod is the innermost domain's. */
static const struct type_row *resolve_domain(const struct load *l, uint32_t *oid, int32_t *typmod)
{
    const struct type_row *t = imap_get(&l->types, *oid);

    while (t && t->typtype == 'd') {
        *oid = t->base;
        *typmod = t->typmod;
        t = imap_get(&l->types, *oid);
    }
    return t;
}

static void resolve_type(const struct load *l, struct relation_column *col)
{
    const struct type_row *t = resolve_domain(l, &col->type_oid, &col->typmod);

    col->typtype = t ? t->typtype : 'b'; /* the type was dropped between two queries: the column was too */
    if (!t || !t->elem)
        return;
    int32_t elem_typmod = -1;
    col->elem_oid = t->elem;
    t = resolve_domain(l, &col->elem_oid, &elem_typmod);
    col->typtype = t ? t->typtype : 'b';
    if (col->typmod == -1)
        col->typmod = elem_typmod;
}

/* The last column: what rows read that were there when the column was added with a constant default; of a partitioned
 * table the partitions know. attmissingval is an array of one element of any type. */
static const char columns_sql[] =
    "SELECT a.attrelid, a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attgenerated,"
    " CASE WHEN a.atthasmissing THEN (a.attmissingval::text::text[])[1] WHEN c.relkind = 'p' THEN"
    "  (SELECT (l.attmissingval::text::text[])[1] FROM pg_partition_tree(c.oid) p JOIN pg_attribute l"
    "   ON l.attrelid = p.relid AND l.attname = a.attname WHERE p.isleaf AND l.atthasmissing LIMIT 1) END"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid WHERE a.attrelid = ANY ($1::oid[])"
    " AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum";

/* All columns of the chosen tables; what does not belong is taken out once the keys are known. */
static int load_columns(struct load *l, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {l->oids};

    TRY(pg_query(l->conn, columns_sql, 1, params, &r, err));
    size_t n = pg_result_rows(r);
    for (size_t i = 0, end = 0; i < n; i = end) {
        int64_t oid = pg_result_i64(r, i, 0);
        struct relation *rel = imap_get(&l->relations, (uint64_t)oid);
        assert(rel);
        while (end < n && pg_result_i64(r, end, 0) == oid)
            end++;
        rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, end - i);
        for (size_t k = i; k < end; k++) {
            struct relation_column *col = &rel->columns[rel->n_columns++];
            col->attnum = (int16_t)pg_result_i64(r, k, 1);
            col->name = arena_str(&rel->arena, pg_result_str(r, k, 2));
            col->declared_oid = col->type_oid = (uint32_t)pg_result_i64(r, k, 3);
            col->typmod = (int32_t)pg_result_i64(r, k, 4);
            col->not_null = pg_result_bool(r, k, 5);
            col->generated = pg_result_str(r, k, 6).n > 0;
            col->is_virtual = str_is(pg_result_str(r, k, 6), "v");
            col->has_missing = !pg_result_is_null(r, k, 7);
            if (col->has_missing)
                col->missing_text = arena_str(&rel->arena, pg_result_str(r, k, 7));
            resolve_type(l, col);
        }
    }
    return 0;
}

/* What the publication lets through */

static uint64_t column_key(uint32_t oid, int64_t attnum)
{
    return (uint64_t)oid << 16 | (uint16_t)attnum;
}

/* What pg_publication_tables says from 15 on: it takes a lock on every table of the publication, and would wait for one that is
 * being altered. */
static const char published_sql[] =
    "SELECT c.oid, a.attnum, CASE WHEN NOT p.puballtables AND n.oid IS NULL THEN pg_get_expr(r.prqual, r.prrelid) END"
    " FROM pg_class c JOIN pg_publication p ON p.pubname IN ($1, $3)"
    " LEFT JOIN pg_publication_rel r ON r.prpubid = p.oid AND r.prrelid = c.oid"
    " LEFT JOIN pg_publication_namespace n ON n.pnpubid = p.oid AND n.pnnspid = c.relnamespace"
    " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " AND CASE WHEN p.puballtables OR n.oid IS NOT NULL OR r.prattrs IS NULL THEN a.attgenerated = ''%s"
    "  ELSE a.attnum = ANY (r.prattrs) END"
    " WHERE c.oid = ANY ($2::oid[]) AND (p.puballtables OR n.oid IS NOT NULL OR r.oid IS NOT NULL)";

static int load_publication(struct load *l, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL, *cols = NULL;
    CLEANUP(buf_deinit) struct buf sql = {0};
    char inserts[PG_NAME_MAX] = "";
    const char *const params[] = {l->filter->publication, l->oids, inserts};
    int version = pg_conn_version(l->conn);

    l->publication_generated = version >= 180000; /* as pg_publication_ensure makes it */
    if (!l->filter->publication)
        return 0;
    pg_inserts_publication(l->filter->publication, inserts);
    TRY(pg_query(l->conn,
                 version >= 180000 ? "SELECT pubgencols = 's' FROM pg_publication WHERE pubname = $1"
                                   : "SELECT false FROM pg_publication WHERE pubname = $1",
                 1, params, &r, err));
    l->publication_exists = pg_result_rows(r) > 0;
    if (!l->publication_exists)
        return 0;
    l->publication_generated = pg_result_bool(r, 0, 0);
    if (version < 150000)
        return 0; /* neither column lists nor row filters */
    buf_printf(&sql, published_sql, version >= 180000 ? " OR a.attgenerated = 's' AND p.pubgencols = 's'" : "");
    TRY(pg_query(l->conn, sql.p, 3, params, &cols, err));
    for (size_t i = 0; i < pg_result_rows(cols); i++) {
        uint32_t oid = (uint32_t)pg_result_i64(cols, i, 0);
        struct relation *rel = imap_get(&l->relations, oid);
        assert(rel);
        imap_put(&l->published, oid, rel);
        imap_put(&l->published, column_key(oid, pg_result_i64(cols, i, 1)), rel);
        if (!pg_result_is_null(cols, i, 2) && !rel->row_filter.p)
            rel->row_filter = arena_str(&rel->arena, pg_result_str(cols, i, 2));
    }
    return 0;
}

/* Whether the stream carries the column; says why not. */
static bool is_streamed(struct load *l, const struct relation *rel, const struct relation_column *col)
{
    bool known = imap_get(&l->published, rel->oid) != NULL;
    bool never =
        col->is_virtual || (col->generated && pg_conn_version(l->conn) < 180000); /* 15 lists it all the same */
    bool streamed = never   ? false
                    : known ? imap_get(&l->published, column_key(rel->oid, col->attnum)) != NULL
                            : !col->generated || l->publication_generated;

    if (streamed)
        return true;
    l->tables->n_skipped_generated += col->generated;
    note(l->tables, "column %.*s.%.*s.%.*s is left out: %s", STR_ARG(rel->schema), STR_ARG(rel->name),
         STR_ARG(col->name),
         col->generated ? "it is generated, and its values are not in the stream"
                        : "the publication's column list does not have it");
    return false;
}

/* A part of its key (generated, before 18) is not in the stream: rows cannot be found by it. */
static void drop_key(struct load *l, struct relation *rel)
{
    for (uint32_t i = 0; i < rel->n_columns; i++)
        rel->columns[i].key_seq = 0;
    rel->identity = rel->full ? IDENTITY_ROW : IDENTITY_NONE;
    note(l->tables, "table %.*s.%.*s has a key that is not in the stream%s", STR_ARG(rel->schema), STR_ARG(rel->name),
         rel->full ? ": its rows are matched as a whole" : "");
}

/* From 18 on, to publish updates of such a table makes them fail at the source: the old row would lack the column. */
static bool would_refuse_updates(const struct load *l, const struct relation *rel, const struct relation_column *col)
{
    return rel->full && pg_conn_version(l->conn) >= 180000 &&
           (col->is_virtual || (col->generated && !l->publication_generated));
}

static void drop_identity(struct load *l, struct relation *rel)
{
    for (uint32_t i = 0; i < rel->n_columns; i++)
        rel->columns[i].key_seq = 0;
    rel->identity = IDENTITY_NONE;
    rel->full = false;
    note(
        l->tables,
        "table %.*s.%.*s has REPLICA IDENTITY FULL, and a generated column that is not published: the server would refuse "
        "its updates and deletes if these were published",
        STR_ARG(rel->schema), STR_ARG(rel->name));
}

static int filter_columns(struct load *l, struct relation *rel, struct err *err)
{
    uint32_t kept = 0;
    bool lost_key = false, refused = false;

    for (uint32_t i = 0; i < rel->n_columns; i++) {
        struct relation_column *col = &rel->columns[i];
        refused |= would_refuse_updates(l, rel, col);
        bool wanted = pg_filter_column(l->filter, rel->schema, rel->name, col->name);
        if (!wanted && col->key_seq) {
            CLEANUP(buf_deinit) struct buf name = {0};
            add_name(&name, rel->schema, rel->name);
            buf_add_char(&name, '.');
            buf_add_str(&name, col->name);
            if (matches_any(l->filter->exclude_columns, l->filter->n_exclude_columns, 2, buf_str(&name))) {
                err_set(err, ERR_USAGE, "column %s cannot be excluded: rows are identified by it", name.p);
                return err_hint(err, "take it out of the excluded columns, or give the table another replica identity");
            }
            wanted = true;
        }
        rel->narrowed |= !wanted;
        if (wanted && is_streamed(l, rel, col))
            rel->columns[kept++] = *col;
        else
            lost_key |= col->key_seq > 0;
    }
    rel->n_columns = kept;
    if (refused)
        drop_identity(l, rel);
    else if (lost_key)
        drop_key(l, rel);
    return 0;
}

/* Fills the relations chosen so far. */
static int load_all(struct load *l, struct err *err)
{
    CLEANUP(buf_deinit) struct buf oids = {0};
    struct pg_tables *t = l->tables;

    if (t->n == 0)
        return 0;
    for (size_t i = 0; i < t->n; i++)
        buf_printf(&oids, "%c%u", i ? ',' : '{', t->items[i]->oid);
    buf_add_char(&oids, '}');
    l->oids = oids.p;
    TRY(load_types(l, err));
    TRY(load_columns(l, err));
    TRY(load_details(l, err));
    TRY(load_publication(l, err));
    for (size_t i = 0; i < t->n; i++)
        TRY(filter_columns(l, t->items[i], err));
    return 0;
}

int pg_catalog_relations(struct pg_conn *conn, const struct pg_filter *filter, struct pg_tables *ret, struct err *err)
{
    CLEANUP(pg_tables_deinit) struct pg_tables tables = {0};
    CLEANUP(load_deinit) struct load l = {.conn = conn, .filter = filter, .tables = &tables};
    struct candidate *all;
    size_t n;

    TRY(read_candidates(&l, "", NULL, &all, &n, err));
    choose(&l, all, n);
    TRY(load_all(&l, err));
    *ret = tables;
    tables = (struct pg_tables){0};
    return 0;
}

int pg_catalog_relation(struct pg_conn *conn, uint32_t oid, const struct pg_filter *filter, struct relation **ret,
                        struct err *err)
{
    static const struct pg_filter everything = {0};
    CLEANUP(pg_tables_deinit) struct pg_tables tables = {0};
    CLEANUP(load_deinit) struct load l = {.conn = conn, .filter = filter ? filter : &everything, .tables = &tables};
    struct candidate *all;
    size_t n;
    char text[16];

    snprintf(text, sizeof text, "%u", oid);
    TRY(read_candidates(&l, " AND c.oid = $1::oid", text, &all, &n, err));
    if (n == 0)
        return err_set(err, ERR_NOT_FOUND, "the table with oid %u is not there any more", oid);
    add_relation(&l, &all[0]);
    TRY(load_all(&l, err));
    *ret = relation_ref(tables.items[0]);
    return 0;
}

/* A leaf's name where we may read all of it. */
static int readable_leaf(struct pg_conn *conn, const char *oid, struct buf *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    const char *const params[] = {oid};

    TRY(pg_query(
        conn,
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.oid = $1::oid AND c.relkind = 'r' AND has_schema_privilege(n.oid, 'USAGE')"
        " AND has_table_privilege(c.oid, 'SELECT') AND NOT row_security_active(c.oid)",
        1, params, &r, err));
    if (pg_result_rows(r))
        buf_add_str(ret, pg_result_str(r, 0, 0));
    return 0;
}

int pg_catalog_leaf_kept_rows(struct pg_conn *conn, uint32_t oid, uint64_t xid, bool had_rows, bool *ret,
                              struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *r = NULL;
    CLEANUP(buf_deinit) struct buf name = {0}, sql = {0};
    char text[16];

    *ret = false;
    snprintf(text, sizeof text, "%u", oid);
    TRY(readable_leaf(conn, text, &name, err));
    if (!name.n)
        return 0;
    buf_printf(&sql,
               "WITH altered AS (SELECT a.xmin FROM pg_attribute a WHERE a.attrelid = %u AND a.attnum > 0"
               "  AND age(a.xmin) <= age('%u'::xid))"
               " SELECT %s OR EXISTS (SELECT FROM ONLY %s WHERE xmin IN (SELECT xmin FROM altered) OR"
               "  age(xmin) > age('%u'::xid))"
               " AND pg_snapshot_xmax(pg_current_snapshot())::text::bigint - %llu < 2000000000",
               oid, (unsigned)(uint32_t)xid, had_rows ? "false" : "EXISTS (SELECT FROM altered)", name.p,
               (unsigned)(uint32_t)xid, (unsigned long long)xid);
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    *ret = pg_result_bool(r, 0, 0);
    return 0;
}

/* Its youngest link to an ancestor: what was written in that transaction or before was not in the root's stream. */
static const char link_sql[] =
    "SELECT i.xmin::text FROM pg_inherits i WHERE i.inhrelid IN"
    " (SELECT relid FROM pg_partition_ancestors($1::oid::regclass)) ORDER BY age(i.xmin) LIMIT 1";

int pg_catalog_leaf_brought_rows(struct pg_conn *conn, uint32_t oid, bool *ret, struct err *err)
{
    CLEANUP(pg_result_freep) struct pg_result *link = NULL, *r = NULL;
    CLEANUP(buf_deinit) struct buf name = {0}, sql = {0};
    char text[16];
    const char *const params[] = {text};

    *ret = false;
    snprintf(text, sizeof text, "%u", oid);
    TRY(readable_leaf(conn, text, &name, err));
    TRY(pg_query(conn, link_sql, 1, params, &link, err));
    if (!name.n || pg_result_rows(link) == 0)
        return 0; /* partitioned, a foreign table, gone again, or we may not look (which the next start tells) */
    buf_printf(&sql, "SELECT EXISTS (SELECT FROM ONLY %s WHERE age(xmin) >= age('%s'::xid))", name.p,
               pg_result_str(link, 0, 0).p);
    TRY(pg_query(conn, sql.p, 0, NULL, &r, err));
    *ret = pg_result_bool(r, 0, 0);
    return 0;
}
