/*
 * Relation ⇄ schema, and what became of the columns between two Relation messages.
 *
 * "sluice.column" is a JSON string: "<attnum> <declared oid> <type oid> <typmod> <element oid> <typtype> <flags>", where
 * the flags are 'k' (part of the identity key) or '-'.
 */
#include "codec/pg_schema.h"

#include "base/mem.h"
#include "codec/pg_columns.h"

#include "codec/pg_type.h"

#include <stdio.h>

struct schema *pg_schema_of(const struct relation *rel)
{
    struct schema *s = schema_new();

    s->n_fields = rel->n_columns;
    s->fields = ARENA_NEW_N(&s->arena, struct field, rel->n_columns);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        const struct relation_column *col = &rel->columns[i];
        struct field *f = &s->fields[i];
        enum pg_kind kind;
        f->name = f->physical = arena_str(&s->arena, col->name);
        f->nullable = true;
        pg_type_map(col, &s->arena, &f->type, &kind);
        char *json =
            arena_printf(&s->arena, "\"%d %u %u %d %u %c %c\"", col->attnum, col->declared_oid, col->type_oid,
                         col->typmod, col->elem_oid, col->typtype ? col->typtype : 'b', col->key_seq ? 'k' : '-');
        field_meta_set(f, &s->arena, STR(PG_SCHEMA_COLUMN), str_of(json));
    }
    return s;
}

bool pg_schema_column(const struct field *f, struct relation_column *ret_col)
{
    struct str json = field_meta_get(f, STR(PG_SCHEMA_COLUMN));
    struct relation_column col = {.name = f->name};
    char text[128], key = '-';
    int attnum;

    if (json.n < 2 || json.n >= sizeof text)
        return false;
    memcpy(text, json.p, json.n);
    text[json.n] = 0;
    if (sscanf(text, "\"%d %u %u %d %u %c %c\"", &attnum, &col.declared_oid, &col.type_oid, &col.typmod, &col.elem_oid,
               &col.typtype, &key) != 7 ||
        attnum < 1 || attnum > INT16_MAX)
        return false;
    col.attnum = (int16_t)attnum;
    col.key_seq = key == 'k';
    *ret_col = col;
    return true;
}

struct relation *pg_schema_relation(const struct schema *s, uint32_t oid, struct table_name name)
{
    struct relation *rel = relation_new();

    rel->oid = oid;
    rel->schema = arena_str(&rel->arena, name.schema);
    rel->name = arena_str(&rel->arena, name.table);
    rel->identity = IDENTITY_NONE;
    rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, s->n_fields);
    for (uint32_t i = 0; i < s->n_fields; i++) {
        struct relation_column col;
        if (!pg_schema_column(&s->fields[i], &col))
            continue;
        col.name = arena_str(&rel->arena, col.name);
        if (col.key_seq)
            rel->identity = IDENTITY_KEY;
        /* The lake keeps its own column order; here the catalog's counts. */
        uint32_t at = rel->n_columns++;
        for (; at > 0 && rel->columns[at - 1].attnum > col.attnum; at--)
            rel->columns[at] = rel->columns[at - 1];
        rel->columns[at] = col;
    }
    if (!rel->n_columns) {
        relation_unref(rel);
        return NULL;
    }
    return rel;
}

/* Type as the catalog resolved it, when the message means the same declared type; else the declared one itself. */
static void resolve_type(struct relation_column *c, const struct pgoutput_column *msg, const struct relation *live,
                         const struct relation *prev)
{
    const struct relation_column *known[2] = {relation_column_of(live, c->attnum), relation_column_of(prev, c->attnum)};

    c->declared_oid = c->type_oid = msg->type_oid;
    c->typmod = msg->typmod;
    c->typtype = 'b';
    for (int i = 0; i < 2; i++) {
        const struct relation_column *k = known[i];
        if (!k || k->declared_oid != msg->type_oid)
            continue;
        c->type_oid = k->type_oid;
        c->elem_oid = k->elem_oid;
        c->typtype = k->typtype;
        if (k->type_oid != k->declared_oid) /* a domain: the message has no typmod for it */
            c->typmod = k->typmod;
        return;
    }
}

/* What the catalog knows of a column beyond what the message says. */
static void adopt_missing(struct relation *rel, struct relation_column *c, const struct relation *live)
{
    const struct relation_column *l = relation_column_of(live, c->attnum);

    if (!l || !l->has_missing || l->declared_oid != c->declared_oid)
        return;
    c->has_missing = true;
    c->missing_text = arena_str(&rel->arena, l->missing_text);
}

static bool same_columns(const struct relation *a, const struct relation *b)
{
    if (!b || a->n_columns != b->n_columns)
        return false;
    for (uint32_t i = 0; i < a->n_columns; i++)
        if (a->columns[i].attnum != b->columns[i].attnum)
            return false;
    return true;
}

static bool same_key(const struct relation *a, const struct relation *b)
{
    if (a->identity != IDENTITY_KEY || b->identity != IDENTITY_KEY)
        return false;
    for (uint32_t i = 0; i < a->n_columns; i++) {
        const struct relation_column *c = relation_column_of(b, a->columns[i].attnum);
        if (c && !c->key_seq != !a->columns[i].key_seq)
            return false;
    }
    return true;
}

/* REPLICA IDENTITY FULL flags all columns; which of them are the primary key is not in the message. Before and after must
 * agree on it: rows that are found by a key which was dropped, or is not there yet, could be several. */
static const struct relation *known_key(const struct relation *live, const struct relation *prev)
{
    if (!live || !prev)
        return live ? live : prev;
    return same_key(live, prev) ? live : NULL;
}

static void set_identity(struct relation *rel, const struct pgoutput_relation *msg, const struct relation *live,
                         const struct relation *prev)
{
    const struct relation *known = known_key(live, prev);
    bool has_key = false;

    rel->full = msg->identity == 'f';
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        struct relation_column *c = &rel->columns[i];
        if (rel->full) {
            const struct relation_column *k = relation_column_of(known, c->attnum);
            c->key_seq = k ? k->key_seq : 0;
        }
        has_key |= c->key_seq > 0;
    }
    rel->identity = has_key ? IDENTITY_KEY : rel->full ? IDENTITY_ROW : IDENTITY_NONE;
}

static bool is_wanted(const struct pg_schema_filter *filter, const struct pgoutput_relation *msg, struct str column)
{
    return !filter->wanted || filter->wanted(filter->ctx, msg->schema, msg->name, column);
}

/* The catalog now is what the message describes, column by column: no guessing is needed. */
static bool is_catalog_now(const struct relation *live, const struct pgoutput_relation *msg,
                           const struct pg_schema_filter *filter)
{
    struct pgoutput_columns cols = msg->columns;
    struct pgoutput_column col;
    uint32_t n = 0;

    while (live && pgoutput_columns_next(&cols, &col)) {
        if (!is_wanted(filter, msg, col.name))
            continue;
        if (n == live->n_columns || !str_eq(live->columns[n].name, col.name) ||
            live->columns[n].declared_oid != col.type_oid)
            return false;
        n++;
    }
    return live && n == live->n_columns;
}

/* A name that the catalog does not have any more is not followed: the table has it no longer, or will not for long. */
static void set_name(struct relation *rel, const struct pgoutput_relation *msg, const struct relation *live,
                     const struct relation *prev)
{
    bool is_now = !live || (str_eq(live->schema, msg->schema) && str_eq(live->name, msg->name));
    bool keep = !is_now && prev;

    rel->schema = arena_str(&rel->arena, keep ? prev->schema : msg->schema);
    rel->name = arena_str(&rel->arena, keep ? prev->name : msg->name);
}

/* The attnums of the message's wanted columns. Free with mem_free. */
static int16_t *attnums_of(const struct relation *prev, const struct relation *live,
                           const struct pgoutput_relation *msg, const struct pg_schema_filter *filter,
                           int16_t *ret_doubtful)
{
    struct pgoutput_columns cols = msg->columns;
    int16_t *ret = MEM_NEW_N(int16_t, cols.n + 1u);
    CLEANUP(mem_freep) struct pgoutput_column *wanted = MEM_NEW_N(struct pgoutput_column, cols.n + 1u);
    uint32_t n = 0;

    while (pgoutput_columns_next(&cols, &wanted[n]))
        n += is_wanted(filter, msg, wanted[n].name);
    bool is_now = is_catalog_now(live, msg, filter), is_new = !is_now;
    for (uint32_t i = 0; i < n && is_now; i++)
        is_new |= !relation_column_of(prev, live->columns[i].attnum);
    if (is_new)
        *ret_doubtful = pg_columns_align(prev, live, wanted, n, ret);
    for (uint32_t i = 0; i < n && is_now; i++) /* no guessing is needed */
        ret[i] = live->columns[i].attnum;
    return ret;
}

struct relation *pg_schema_reconcile(const struct relation *prev, const struct relation *live,
                                     const struct pgoutput_relation *msg, const struct pg_schema_filter *filter,
                                     int16_t *ret_map)
{
    struct relation *rel = relation_new();
    struct pgoutput_columns cols = msg->columns;
    struct pgoutput_column col;
    CLEANUP(mem_freep) int16_t *attnums = attnums_of(prev, live, msg, filter, &rel->doubtful);
    int highest = prev ? prev->max_attnum : 0;

    rel->oid = msg->oid;
    set_name(rel, msg, live, prev);
    rel->blocks = live ? live->blocks : 0;
    rel->row_estimate = live ? live->row_estimate : -1;
    rel->partitioned = live ? live->partitioned : false;
    rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, cols.n);
    for (uint32_t i = 0; prev && i < prev->n_columns; i++)
        highest = MAX(highest, (int)prev->columns[i].attnum);
    for (uint32_t i = 0; pgoutput_columns_next(&cols, &col); i++) {
        if (!is_wanted(filter, msg, col.name)) {
            ret_map[i] = -1;
            continue;
        }
        ret_map[i] = (int16_t)rel->n_columns;
        struct relation_column *c = &rel->columns[rel->n_columns++];
        c->name = arena_str(&rel->arena, col.name);
        c->attnum = attnums[rel->n_columns - 1];
        highest = MAX(highest, (int)c->attnum);
        c->key_seq = col.key ? (uint16_t)rel->n_columns : 0;
        resolve_type(c, &col, live, prev);
        adopt_missing(rel, c, live);
    }
    rel->storage = live ? live->storage : 0;
    rel->shape = live ? live->shape : 0;
    rel->n_attributes = live ? live->n_attributes : 0;
    rel->current = same_columns(rel, live);
    rel->max_attnum = (int16_t)highest;
    set_identity(rel, msg, live, prev);
    return rel;
}
