/* Routing by relation, the memory limit, quarantine, dead letters. */
#include "sink/delta_sink.h"

#include "base/log.h"
#include "base/mem.h"

#define DEAD_SCHEMA "sluice"
#define DEAD_TABLE "dead_letters"

struct delta_sink {
    struct lake_env env;
    struct imap tables; /* relation → struct lake_table * */
    size_t limit;
    bool dirty;
    struct lake_table *dead; /* sluice.dead_letters, opened when first needed */
    struct schema *dead_schema;
    struct batch *dead_rows;
};

struct delta_sink *delta_sink_new(const struct lake_env *env, size_t buffer_bytes)
{
    struct delta_sink *s = MEM_NEW(struct delta_sink);

    s->env = *env;
    s->limit = buffer_bytes ? buffer_bytes : (size_t)64 << 20;
    return s;
}

void delta_sink_free(struct delta_sink *s)
{
    struct lake_table *t;
    size_t cursor = 0;

    if (!s)
        return;
    while (delta_sink_next(s, &cursor, NULL, &t) == 0)
        lake_table_free(t);
    imap_deinit(&s->tables);
    lake_table_free(s->dead);
    batch_free(s->dead_rows);
    schema_unref(s->dead_schema);
    mem_free(s);
}

void delta_sink_add(struct delta_sink *s, uint32_t relation, struct lake_table *t)
{
    lake_table_free(imap_put(&s->tables, relation, t));
}

struct lake_table *delta_sink_remove(struct delta_sink *s, uint32_t relation)
{
    return imap_remove(&s->tables, relation);
}

struct lake_table *delta_sink_find(const struct delta_sink *s, uint32_t relation)
{
    return imap_get(&s->tables, relation);
}

int delta_sink_next(const struct delta_sink *s, size_t *cursor, uint32_t *ret_relation, struct lake_table **ret)
{
    uint64_t key;
    void *p;

    if (imap_next(&s->tables, cursor, &key, &p))
        return 1;
    if (ret_relation)
        *ret_relation = (uint32_t)key;
    *ret = p;
    return 0;
}

bool delta_sink_is_dirty(const struct delta_sink *s)
{
    return s->dirty;
}

size_t delta_sink_buffered(const struct delta_sink *s)
{
    struct lake_table *t;
    size_t cursor = 0, bytes = 0;

    while (delta_sink_next(s, &cursor, NULL, &t) == 0)
        bytes += t->buffer.bytes;
    return bytes;
}

/* ERR_UNSUPPORTED is the table's own trouble: it is set aside, the others go on. Anything else is everybody's. */
static int quarantine_or_fail(struct lake_table *t, int rc, const struct err *why, struct err *err)
{
    if (rc == ERR_UNSUPPORTED) {
        log_err(LOG_WARN, t->stale ? "table_to_be_copied_anew" : "table_quarantined", why);
        lake_table_quarantine(t, why->msg);
        return 0;
    }
    if (err)
        *err = *why;
    return rc;
}

static int sink_relation(void *self, const struct relation *rel, const struct schema *schema, uint64_t lsn,
                         uint64_t *ret_from, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, rel->oid);
    struct err why;

    *ret_from = UINT64_MAX;
    if (!t || t->state == LAKE_QUARANTINED)
        return 0;
    if (lsn <= t->position) { /* read again: the lake may have a later schema already */
        *ret_from = t->position;
        return 0;
    }
    int rc = lake_table_relation(t, rel, schema, &why);
    if (rc)
        return quarantine_or_fail(t, rc, &why, err);
    if (t->schema_dirty)
        t->dirty = s->dirty = true;
    *ret_from = t->position;
    return 0;
}

/* Keeps the rows in memory below the limit: the largest buffer becomes a file. */
static int make_room(struct delta_sink *s, struct err *err)
{
    while (delta_sink_buffered(s) > s->limit) {
        struct lake_table *t, *largest = NULL;
        size_t cursor = 0;
        while (delta_sink_next(s, &cursor, NULL, &t) == 0)
            if (!largest || t->buffer.bytes > largest->buffer.bytes)
                largest = t;
        TRY(lake_table_flush(largest, err));
    }
    return 0;
}

static int sink_write(void *self, uint32_t relation, struct batch *batch, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, relation);
    struct err why;

    if (!t) {
        batch_free(batch);
        return 0;
    }
    s->dirty = true;
    int rc = lake_table_apply(t, batch, &why);
    if (rc)
        return quarantine_or_fail(t, rc, &why, err);
    return make_room(s, err);
}

static int sink_truncate(void *self, uint32_t relation, struct position pos, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, relation);

    (void)pos;
    if (!t)
        return 0;
    s->dirty = true;
    return lake_table_truncate(t, err);
}

/* ---- dead letters ---- */

static struct field dead_field(const char *name, enum type_id type)
{
    return (struct field){.name = str_of(name), .physical = str_of(name), .type = {.id = type}, .nullable = true};
}

static struct schema *dead_letter_schema(void)
{
    struct schema *s = schema_new();

    s->n_fields = 7;
    s->fields = ARENA_NEW_N(&s->arena, struct field, s->n_fields);
    s->fields[0] = dead_field("table_name", TYPE_STRING);
    s->fields[1] = dead_field("position", TYPE_STRING);
    s->fields[2] = dead_field("ordinal", TYPE_LONG);
    s->fields[3] = dead_field("commit_time", TYPE_TIMESTAMP);
    s->fields[4] = dead_field("column_name", TYPE_STRING);
    s->fields[5] = dead_field("value", TYPE_STRING);
    s->fields[6] = dead_field("reason", TYPE_STRING);
    for (uint32_t i = 0; i < s->n_fields; i++) /* the columns as lake_schema.c knows columns: by number */
        field_meta_set(&s->fields[i], &s->arena, STR("sluice.column"),
                       str_of(arena_printf(&s->arena, "\"%u 25 25 -1 0 b -\"", i + 1)));
    return s;
}

static int open_dead_letters(struct delta_sink *s, struct err *err)
{
    struct table_name name = {STR(DEAD_SCHEMA), STR(DEAD_TABLE)};

    if (s->dead)
        return 0;
    CLEANUP(relation_unrefp) struct relation *rel = relation_new();
    rel->schema = name.schema;
    rel->name = name.table;
    rel->identity = IDENTITY_NONE;
    if (!s->dead_schema)
        s->dead_schema = dead_letter_schema();
    TRY(lake_table_open(&s->env, name, &s->dead, err));
    if (!s->dead)
        return lake_table_stage(&s->env, rel, s->dead_schema, 0, 0, &s->dead, err);
    return lake_table_relation(s->dead, rel, s->dead_schema, err);
}

int delta_sink_dead_letter(struct delta_sink *s, const char *table, const struct reject *r, struct err *err)
{
    char at[LSN_TEXT];

    TRY(open_dead_letters(s, err));
    if (r->pos.ordinal && r->pos.lsn <= s->dead->position)
        return 0; /* seen before a restart */
    if (!s->dead_rows)
        s->dead_rows = batch_new(s->dead_schema, 16);
    struct batch *b = s->dead_rows;
    uint32_t row = batch_add_row(b, OP_INSERT, r->pos, r->commit_us);
    int64_t ordinal = (int64_t)r->pos.ordinal;
    column_set_str(b, &b->cols[0], row, str_of(table));
    column_set_str(b, &b->cols[1], row, str_of(lsn_text(r->pos.lsn, at)));
    column_set(&b->cols[2], row, &ordinal);
    column_set(&b->cols[3], row, &r->commit_us);
    column_set_str(b, &b->cols[4], row, r->column);
    if (str_is_utf8(r->value))
        column_set_str(b, &b->cols[5], row, r->value);
    column_set_str(b, &b->cols[6], row, r->reason);
    s->dirty = true;
    if (b->n < 4096)
        return 0;
    return lake_table_apply(s->dead, TAKE_PTR(s->dead_rows), err);
}

static bool is_key(const struct lake_table *t, struct str column)
{
    int at = schema_find(t->source, column);

    for (size_t i = 0; at >= 0 && i < t->n_keys; i++)
        if (t->key_cols[i] == at)
            return true;
    return false;
}

static int sink_reject(void *self, uint32_t relation, const struct reject *r, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, relation);

    if (!t || t->state == LAKE_QUARANTINED)
        return 0;
    if (t->rel->identity == IDENTITY_KEY && is_key(t, r->column)) {
        struct err why;
        int rc = err_set(&why, ERR_UNSUPPORTED, "table %s: a value of the key column %.*s does not fit: %.*s", t->name,
                         STR_ARG(r->column), STR_ARG(r->reason));
        return quarantine_or_fail(t, rc, &why, err);
    }
    return delta_sink_dead_letter(s, t->name, r, err);
}

static void sink_set_aside(void *self, uint32_t relation, const struct err *why)
{
    struct lake_table *t = delta_sink_find(self, relation);

    if (t && t->state != LAKE_QUARANTINED)
        (void)quarantine_or_fail(t, ERR_UNSUPPORTED, why, NULL);
}

static const struct sink_ops ops = {sink_relation, sink_write, sink_truncate, sink_reject, sink_set_aside};

struct sink delta_sink_ops(struct delta_sink *s)
{
    return (struct sink){&ops, s};
}

static int commit_dead_letters(struct delta_sink *s, uint64_t lsn, struct err *err)
{
    if (s->dead_rows)
        TRY(lake_table_apply(s->dead, TAKE_PTR(s->dead_rows), err));
    return s->dead ? lake_table_commit(s->dead, MAX(lsn, s->dead->position), err) : 0;
}

int delta_sink_commit_table(struct delta_sink *s, struct lake_table *t, uint64_t lsn, struct err *err)
{
    TRY(commit_dead_letters(s, lsn, err));
    return lake_table_commit(t, lsn, err);
}

int delta_sink_commit(struct delta_sink *s, uint64_t lsn, struct err *err)
{
    struct lake_table *t;
    size_t cursor = 0;

    TRY(commit_dead_letters(s, lsn, err));
    while (delta_sink_next(s, &cursor, NULL, &t) == 0) {
        struct err why;
        int rc = lake_table_commit(t, lsn, &why);
        if (rc)
            TRY(quarantine_or_fail(t, rc, &why, err));
        if (t->state == LAKE_STREAMING && lsn > t->position)
            t->position = lsn; /* it has seen everything up to here */
    }
    s->dirty = false;
    return 0;
}
