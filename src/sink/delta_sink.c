/* Routing by relation, the memory limit, quarantine, dead letters. */
#include "sink/delta_sink.h"

#include "base/crash.h"
#include "base/log.h"
#include "base/mem.h"
#include "codec/pg_schema.h"
#include "sink/lake_history.h"

#include <assert.h>

#define DEAD_SCHEMA "sluice"
#define DEAD_TABLE "dead_letters"
enum { DEAD_COLUMNS = 7 };

struct delta_sink {
    struct lake_env env;
    struct imap tables;    /* relation → struct lake_table * */
    struct imap histories; /* relation → struct lake_history * */
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
    void *h;
    for (cursor = 0; imap_next(&s->histories, &cursor, NULL, &h) == 0;)
        lake_history_free(h);
    imap_deinit(&s->histories);
    lake_table_free(s->dead);
    batch_free(s->dead_rows);
    schema_unref(s->dead_schema);
    mem_free(s);
}

/* What stands for the table itself goes with it. */
static void forget_own_history(struct delta_sink *s, uint32_t relation)
{
    const struct lake_history *h = imap_get(&s->histories, relation);

    if (h && !h->beside)
        lake_history_free(imap_remove(&s->histories, relation));
}

void delta_sink_add(struct delta_sink *s, uint32_t relation, struct lake_table *t)
{
    forget_own_history(s, relation);
    lake_table_free(imap_put(&s->tables, relation, t));
}

struct lake_table *delta_sink_remove(struct delta_sink *s, uint32_t relation)
{
    forget_own_history(s, relation);
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

/* Somebody has removed files of the table. What the engine cannot read is an error of the disk all the same. */
static bool lacks_files(struct lake_table *t, int rc)
{
    size_t cursor = 0;
    void *f;

    if (rc == ERR_NOT_FOUND)
        return true;
    while (rc == ERR_IO && imap_next(&t->files, &cursor, NULL, &f) == 0)
        if (store_head(t->store, ((struct lake_file *)f)->path, NULL, NULL, NULL) == ERR_NOT_FOUND)
            return true;
    return false;
}

/* ERR_UNSUPPORTED is the table's own trouble, and so are files that it lacks: it is set aside, the others go on. Anything else
 * is everybody's. */
static int quarantine_or_fail(struct lake_table *t, int rc, const struct err *why, struct err *err)
{
    if (rc == ERR_UNSUPPORTED || lacks_files(t, rc)) {
        log_err(LOG_WARN, t->stale ? "table_to_be_copied_anew" : "table_quarantined", why);
        lake_table_quarantine(t, why->msg);
        return 0;
    }
    if (err)
        *err = *why;
    return rc;
}

/* Until its history is open, a table set aside asks for rows: relation() opens it. */
static uint64_t sink_from(void *self, uint32_t relation)
{
    const struct delta_sink *s = self;
    const struct lake_table *t = delta_sink_find(s, relation);
    const struct lake_history *h = imap_get(&s->histories, relation);

    if (t && (t->state != LAKE_QUARANTINED || (s->env.history == LAKE_CHANGES_BESIDE && !h)))
        return t->position;
    return h ? h->table->position : UINT64_MAX;
}

/* ---- histories ---- */

/* Trouble of a history is not its table's: it takes no more rows, and says why. */
static int history_rc(struct lake_table *h, int rc, const struct err *why, struct err *err)
{
    if (rc == 0)
        return 0;
    return quarantine_or_fail(h, rc, why, err);
}

/* The source may have a table of that name, which was there first. (One that was set aside for being the history's folder is none.) */
static int check_history_name(struct delta_sink *s, const struct relation *rel, struct err *err)
{
    CLEANUP(mem_freep) char *name = mem_printf("%.*s.%.*s__history", STR_ARG(rel->schema), STR_ARG(rel->name));
    struct lake_table *t;
    size_t cursor = 0;

    while (delta_sink_next(s, &cursor, NULL, &t) == 0)
        if (strcmp(t->name, name) == 0 &&
            (t->state != LAKE_QUARANTINED || !t->lake || schema_find(t->lake, STR("__op")) < 0))
            return err_set(err, ERR_UNSUPPORTED, "the lake has a table %s, which the source has, too", name);
    return 0;
}

/* A table whose history cannot be kept is set aside: what is missing in there could not be told later. */
static int history_open(struct delta_sink *s, struct lake_table *t, const struct relation *rel, struct err *err)
{
    struct lake_history *h = NULL;
    struct err why;

    if (s->env.history != LAKE_CHANGES_BESIDE || imap_get(&s->histories, rel->oid))
        return 0;
    int rc = check_history_name(s, rel, &why);
    if (rc == 0)
        rc = lake_history_open(&s->env, rel, t->position, &h, &why);
    if (rc)
        err_wrap(&why, "table %s cannot have a history (--history)", t->name);
    if (rc == ERR_UNSUPPORTED && t->state == LAKE_QUARANTINED)
        return 0;
    if (rc)
        return quarantine_or_fail(t, rc, &why, err);
    imap_put(&s->histories, rel->oid, h);
    s->dirty |= h->table->dirty;
    return 0;
}

static int history_write(struct delta_sink *s, uint32_t relation, const struct batch *batch, struct err *err)
{
    struct lake_history *h = imap_get(&s->histories, relation);
    struct err why;

    if (!h)
        return 0;
    int rc = lake_history_write(h, batch, &why);
    if (rc == 0 && h->table->buffer.bytes > s->limit / 4)
        rc = lake_table_flush(h->table, &why);
    return history_rc(h->table, rc, &why, err);
}

static int history_truncate(struct delta_sink *s, uint32_t relation, struct position pos, int64_t commit_us,
                            struct err *err)
{
    struct lake_history *h = imap_get(&s->histories, relation);
    struct err why;

    return h ? history_rc(h->table, lake_history_truncate(h, pos, commit_us, &why), &why, err) : 0;
}

static int commit_histories(struct delta_sink *s, uint64_t lsn, struct err *err)
{
    size_t cursor = 0;
    struct err why;
    void *p;

    while (imap_next(&s->histories, &cursor, NULL, &p) == 0) {
        struct lake_history *h = p;
        if (h->beside)
            TRY(history_rc(h->table, lake_history_commit(h, lsn, &why), &why, err));
    }
    return 0;
}

/* The table's part of it; it may set the table aside. */
static int tell_table(struct delta_sink *s, struct lake_table *t, const struct relation *rel,
                      const struct schema *schema, struct err *err)
{
    struct err why;
    int rc = lake_table_relation(t, rel, schema, &why);

    if (rc)
        return quarantine_or_fail(t, rc, &why, err);
    if (t->schema_dirty)
        t->dirty = s->dirty = true;
    return 0;
}

/* A history whose next values may belong to another column: it is copied anew, as the table would be. */
static int begin_again(struct lake_table *t, const struct relation *rel, struct err *err)
{
    struct err why;
    int rc = lake_cannot_tell(t, rel, &why);

    return quarantine_or_fail(t, rc, &why, err);
}

/* The table is its history itself: it learns of another schema with the first row. */
static int relation_of_history(struct delta_sink *s, struct lake_table *t, const struct relation *rel)
{
    struct lake_history *h = imap_get(&s->histories, rel->oid);

    if (h)
        lake_history_relation(h, rel);
    else
        imap_put(&s->histories, rel->oid, lake_history_of(t, rel));
    return 0;
}

static int sink_relation(void *self, const struct relation *rel, const struct schema *schema, uint64_t lsn,
                         uint64_t *ret_from, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, rel->oid);

    *ret_from = UINT64_MAX;
    if (t && t->state != LAKE_QUARANTINED) {
        *ret_from = t->position;
        if (s->env.history == LAKE_CHANGES_ONLY)
            return rel->doubtful && lsn > t->position ? begin_again(t, rel, err) : relation_of_history(s, t, rel);
        if (lsn <= t->position)
            return 0; /* read again: the lake may have a later schema already */
        TRY(tell_table(s, t, rel, schema, err));
    }
    if (t)
        TRY(history_open(s, t, rel, err));
    struct lake_history *h = imap_get(&s->histories, rel->oid);
    if (h)
        lake_history_relation(h, rel);
    if (!t || t->state == LAKE_QUARANTINED) /* while the table is set aside or copied anew, its history goes on */
        *ret_from = h ? h->table->position : UINT64_MAX;
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
        assert(largest); /* the bytes are somebody's */
        struct err why;
        int rc = lake_table_flush(largest, &why);
        if (rc)
            TRY(quarantine_or_fail(largest, rc, &why, err));
    }
    return 0;
}

static int sink_write(void *self, uint32_t relation, struct batch *batch, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, relation);
    struct err why;

    s->dirty = true;
    int rc = history_write(s, relation, batch, err);
    if (rc || !t || s->env.history == LAKE_CHANGES_ONLY) {
        batch_free(batch);
        return rc ? rc : make_room(s, err);
    }
    rc = lake_table_apply(t, batch, &why);
    if (rc)
        return quarantine_or_fail(t, rc, &why, err);
    return make_room(s, err);
}

static int sink_truncate(void *self, uint32_t relation, struct position pos, int64_t commit_us, struct err *err)
{
    struct delta_sink *s = self;
    struct lake_table *t = delta_sink_find(s, relation);

    s->dirty = true;
    TRY(history_truncate(s, relation, pos, commit_us, err));
    return t && s->env.history != LAKE_CHANGES_ONLY ? lake_table_truncate(t, err) : 0;
}

/* ---- dead letters ---- */

static struct field dead_field(const char *name, enum type_id type)
{
    return (struct field){.name = str_of(name), .physical = str_of(name), .type = {.id = type}, .nullable = true};
}

/* A value that is rejected again, after a restart, replaces itself: table, position, ordinal and column are a key. */
static bool is_dead_key(uint32_t column)
{
    return column <= 2 || column == 4;
}

static struct schema *dead_letter_schema(void)
{
    struct schema *s = schema_new();

    s->n_fields = DEAD_COLUMNS;
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
                       str_of(arena_printf(&s->arena, "\"%u 25 25 -1 0 b %c\"", i + 1, is_dead_key(i) ? 'k' : '-')));
    return s;
}

static int open_dead_letters(struct delta_sink *s, struct err *err)
{
    struct table_name name = {STR(DEAD_SCHEMA), STR(DEAD_TABLE)};

    if (s->dead)
        return 0;
    if (!s->dead_schema)
        s->dead_schema = dead_letter_schema();
    CLEANUP(relation_unrefp) struct relation *rel = pg_schema_relation(s->dead_schema, 0, name);
    TRY(lake_table_open(&s->env, name, &s->dead, err));
    if (!s->dead)
        return lake_table_stage(&s->env, rel, s->dead_schema, 0, 0, &s->dead, err);
    if (s->dead->state == LAKE_QUARANTINED)
        return err_set(err, ERR_REFUSED, "%s", s->dead->reason);
    return lake_table_relation(s->dead, rel, s->dead_schema, err);
}

int delta_sink_dead_letter(struct delta_sink *s, const char *table, const struct reject *r, struct err *err)
{
    char at[LSN_TEXT];

    TRY(open_dead_letters(s, err));
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

static const struct sink_ops ops = {sink_from, sink_relation, sink_write, sink_truncate, sink_reject, sink_set_aside};

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
    TRY(commit_histories(s, lsn, err)); /* first: what a table has, its history has */
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

/* ---- rows that go with partitions ---- */

/* The table as the log has it by now. */
static int open_again(struct delta_sink *s, uint32_t relation, const struct lake_gone *g, struct err *err)
{
    const struct lake_table *old = delta_sink_find(s, relation);
    struct lake_table *t;

    TRY(lake_table_open(&s->env, g->name, &t, err));
    if (!t)
        return err_set(err, ERR_CONFLICT, "table %s is not in the lake any more", old->name);
    t->position = MAX(t->position, old->position);
    t->next_file = MAX(t->next_file, old->next_file);
    t->gone_until = g->until;
    delta_sink_add(s, relation, t);
    return 0;
}

static int tell_history(struct delta_sink *s, struct lake_table *t, const struct relation *rel,
                        const struct lake_gone *g, const char *where, struct err *err)
{
    struct err why;

    if (g->as == LAKE_GONE_QUIET || s->env.history != LAKE_CHANGES_BESIDE)
        return 0;
    TRY(history_open(s, t, rel, err));
    struct lake_history *h = imap_get(&s->histories, rel->oid);
    int rc = lake_gone_tell(t, rel, h, g, where, &why);
    crash_point("gone_told");
    return history_rc(h->table, rc, &why, err);
}

int delta_sink_drop_leaves(struct delta_sink *s, uint32_t relation, const struct lake_gone *g, bool *ret_sure,
                           uint64_t *ret_rows, struct err *err)
{
    struct lake_table *t = delta_sink_find(s, relation);
    CLEANUP(buf_deinit) struct buf where = {0};
    struct err why;

    assert(t && t->state == LAKE_STREAMING && s->env.history != LAKE_CHANGES_ONLY);
    CLEANUP(relation_unrefp) struct relation *rel = pg_schema_relation(t->lake, relation, g->name);
    *ret_sure = false;
    if (!rel)
        return 0;
    TRY(lake_gone_where(t, rel, g, &where, ret_sure, err));
    if (!*ret_sure)
        return 0;
    TRY(tell_history(s, t, rel, g, where.p, err));
    int rc = lake_gone_delete(t, where.p, ret_rows, &why);
    crash_point("gone_deleted");
    TRY(open_again(s, relation, g, err));
    if (rc == ERR_REFUSED || rc == ERR_UNSUPPORTED || rc == ERR_USAGE) {
        log_err(LOG_WARN, "partition_not_deleted", &why);
        *ret_sure = false;
        return 0;
    }
    return rc ? quarantine_or_fail(delta_sink_find(s, relation), rc, &why, err) : 0;
}

/* ---- what a worker does meanwhile ---- */

static int each_table(struct delta_sink *s, int (*what)(struct lake_table *, struct err *), struct err *err)
{
    struct lake_table *t;
    size_t cursor = 0;
    struct err why;
    void *p;

    while (delta_sink_next(s, &cursor, NULL, &t) == 0) {
        int rc = what(t, &why);
        if (rc)
            TRY(quarantine_or_fail(t, rc, &why, err));
    }
    for (cursor = 0; imap_next(&s->histories, &cursor, NULL, &p) == 0;) {
        struct lake_history *h = p;
        TRY(history_rc(h->table, what(h->table, &why), &why, err));
    }
    return s->dead ? what(s->dead, err) : 0;
}

int delta_sink_mind(struct delta_sink *s, struct err *err)
{
    return s->env.worker ? each_table(s, lake_table_mind, err) : 0;
}

int delta_sink_finish(struct delta_sink *s, struct err *err)
{
    return s->env.worker ? each_table(s, lake_table_finish, err) : 0;
}

void delta_sink_sync_indexes(struct delta_sink *s)
{
    struct lake_table *t;
    size_t cursor = 0;

    while (delta_sink_next(s, &cursor, NULL, &t) == 0)
        if (t->index)
            (void)!key_index_sync(t->index, NULL);
}
