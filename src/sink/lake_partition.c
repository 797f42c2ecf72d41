/* Partition columns: choosing and finding them, values ⇄ keys, rows by partition. */
#include "sink/lake_partition.h"

#include "base/mem.h"
#include "codec/delta_partition.h"
#include "codec/pg_schema.h"
#include "codec/pg_value.h"

#include <assert.h>
#include <stdio.h>

/* ---- which columns ---- */

uint32_t lake_partition_choose(const struct lake_env *env, struct table_name name, const struct schema *s,
                               uint32_t *ret)
{
    uint32_t n = 0;

    for (uint32_t i = 0; env->partitions_by && i < s->n_fields; i++)
        if (env->partitions_by(env->ctx, name, s->fields[i].name))
            ret[n++] = i;
    return n;
}

static bool type_ok(const struct type *t)
{
    return t->id <= TYPE_TIMESTAMP_NTZ && t->id != TYPE_BINARY;
}

int lake_partition_check(const struct lake_env *env, struct table_name name, const struct schema *s, struct err *err)
{
    CLEANUP(mem_freep) uint32_t *chosen = MEM_NEW_N(uint32_t, s->n_fields + 1);
    uint32_t n = lake_partition_choose(env, name, s, chosen);

    for (uint32_t i = 0; i < n; i++) {
        const struct field *f = &s->fields[chosen[i]];
        CLEANUP(buf_deinit) struct buf type = {0};
        if (type_ok(&f->type))
            continue;
        type_text(&f->type, &type);
        return err_set(err, ERR_UNSUPPORTED, "table %.*s.%.*s cannot be partitioned by column %.*s, whose type is %s",
                       STR_ARG(name.schema), STR_ARG(name.table), STR_ARG(f->name), type.p);
    }
    if (n && n == s->n_fields)
        return err_set(err, ERR_UNSUPPORTED, "table %.*s.%.*s cannot be partitioned by all of its columns",
                       STR_ARG(name.schema), STR_ARG(name.table));
    return 0;
}

static int attnum_of(const struct field *f)
{
    struct relation_column col;

    return pg_schema_column(f, &col) ? col.attnum : 0;
}

static void set_columns(struct lake_table *t, const struct schema *s, const uint32_t *fields, uint32_t n)
{
    lake_partition_deinit(t);
    t->n_parts = n;
    t->parts = MEM_NEW_N(struct lake_part, n + 1);
    for (uint32_t i = 0; i < n; i++)
        t->parts[i] = (struct lake_part){.attnum = attnum_of(&s->fields[fields[i]]), .type = TYPE_OTHER};
}

int lake_partition_stage(struct lake_table *t, struct table_name name, const struct schema *s, struct err *err)
{
    CLEANUP(mem_freep) uint32_t *chosen = MEM_NEW_N(uint32_t, s->n_fields + 1);
    size_t cursor = 0;
    void *f;

    TRY(lake_partition_check(t->env, name, s, err));
    set_columns(t, s, chosen, lake_partition_choose(t->env, name, s, chosen));
    while (imap_next(&t->files, &cursor, NULL, &f) == 0) /* they leave with the commit that shows the new ones */
        ((struct lake_file *)f)->part = NULL;
    return 0;
}

int lake_partition_open(struct lake_table *t, const struct delta_metadata *m, struct err *err)
{
    CLEANUP(mem_freep) uint32_t *fields = MEM_NEW_N(uint32_t, m->n_partition_columns + 1);

    for (uint32_t i = 0; i < m->n_partition_columns; i++) {
        int at = schema_find(t->lake, m->partition_columns[i]);
        if (at < 0 || !attnum_of(&t->lake->fields[at]))
            return err_set(err, ERR_UNSUPPORTED, "table %s is partitioned by %.*s, which is no column of the source",
                           t->name, STR_ARG(m->partition_columns[i]));
        fields[i] = (uint32_t)at;
    }
    set_columns(t, t->lake, fields, m->n_partition_columns);
    return lake_partition_bind(t, NULL, err);
}

static int find(const struct schema *s, int attnum)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (attnum_of(&s->fields[i]) == attnum)
            return (int)i;
    return -1;
}

int lake_partition_bind(struct lake_table *t, const struct schema *source, struct err *err)
{
    for (uint32_t i = 0; i < t->n_parts; i++) {
        struct lake_part *p = &t->parts[i];
        int field = find(t->lake, p->attnum);
        if (field < 0) {
            t->stale = true;
            return err_set(err, ERR_UNSUPPORTED,
                           "table %s is partitioned by a column that was dropped: it is copied anew", t->name);
        }
        enum type_id type = t->lake->fields[field].type.id;
        if (p->type == TYPE_FLOAT && type != TYPE_FLOAT) /* 0.1 as text is another double than float */
            return lake_copy_anew(t, t->lake->fields[field].name,
                                  "partition values have not the digits for the new type of", err);
        *p = (struct lake_part){
            .attnum = p->attnum, .type = type, .field = (uint32_t)field, .col = source ? find(source, p->attnum) : -1};
    }
    return 0;
}

bool lake_partition_differs(const struct lake_table *t)
{
    CLEANUP(mem_freep) uint32_t *chosen = MEM_NEW_N(uint32_t, t->lake->n_fields + 1);
    struct str rest = str_of(t->name), schema = str_split(&rest, '.');
    uint32_t n = lake_partition_choose(t->env, (struct table_name){schema, rest}, t->lake, chosen);
    bool differs = n && n != t->n_parts;

    for (uint32_t i = 0; !differs && i < n; i++)
        differs = chosen[i] != t->parts[i].field;
    return differs;
}

void lake_partition_deinit(struct lake_table *t)
{
    mem_free(TAKE_PTR(t->parts));
    map_deinit(&t->partitions);
    t->partitions = (struct map){0};
    t->n_parts = 0;
}

/* ---- values ---- */

static void add_value(struct buf *key, struct str value)
{
    if (value.n)
        buf_printf(key, "%zu:", value.n);
    if (value.n)
        buf_add_str(key, value);
    else
        buf_add_char(key, '~');
}

bool lake_partition_next(struct str *key, struct str *ret)
{
    int64_t n;

    *ret = (struct str){0};
    if (key->n && key->p[0] == '~') {
        *key = str_make(key->p + 1, key->n - 1);
        return true;
    }
    if (!str_to_i64(str_split(key, ':'), &n) || n <= 0 || (size_t)n > key->n)
        return false;
    *ret = str_make(key->p, (size_t)n);
    *key = str_make(key->p + n, key->n - (size_t)n);
    return true;
}

static int refuse(const struct field *f, const char *why, struct err *err)
{
    err_set(err, ERR_UNSUPPORTED, "column %.*s: %s", STR_ARG(f->name), why);
    return err_hint(err, "choose other columns with --partition-by, and copy the table anew with --resync");
}

int lake_partition_add(const struct field *f, const struct column *c, uint32_t row, struct buf *key, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0}, value = {0};
    bool time = f->type.id == TYPE_DATE || f->type.id == TYPE_TIMESTAMP || f->type.id == TYPE_TIMESTAMP_NTZ;

    assert(!column_is_missing(c, row));
    if (!column_is_valid(c, row)) {
        add_value(key, (struct str){0});
        return 0;
    }
    if (f->type.id == TYPE_BOOLEAN)
        buf_add_cstr(&text, ((const uint8_t *)c->data)[row] ? "true" : "false");
    else
        pg_value_text(c, row, &text);
    if (text.n > PARTITION_VALUE_MAX)
        return refuse(f, "a value is too long to be that of a partition", err);
    if (time && (text.n < 10 || text.p[4] != '-' || delta_partition_text(&f->type, buf_str(&text), &value, NULL)))
        return refuse(f, "the year of a value is not one that a partition can have (1 to 9999)", err);
    add_value(key, time ? buf_str(&value) : buf_str(&text));
    return 0;
}

struct lake_partition *lake_partition_of(struct lake_table *t, struct str key)
{
    struct lake_partition *p = map_get(&t->partitions, key.n ? key : STR(""));
    struct str rest;

    if (p)
        return p;
    p = ARENA_NEW(&t->part_arena, struct lake_partition);
    rest = p->key = arena_str(&t->part_arena, key);
    p->values = ARENA_NEW_N(&t->part_arena, struct str, t->n_parts + 1);
    for (uint32_t i = 0; i < t->n_parts; i++)
        lake_partition_next(&rest, &p->values[i]);
    map_put(&t->partitions, p->key, p);
    return p;
}

struct lake_partition *lake_partition_logged(struct lake_table *t, const struct delta_file *f)
{
    CLEANUP(buf_deinit) struct buf key = {0};

    for (uint32_t i = 0; i < t->n_parts; i++)
        add_value(&key, delta_kv_get(f->parts, f->n_parts, t->lake->fields[t->parts[i].field].physical));
    return lake_partition_of(t, buf_str(&key));
}

struct str lake_partition_value(const struct lake_table *t, const struct lake_file *f, const struct field *field)
{
    for (uint32_t i = 0; f->part && i < t->n_parts; i++)
        if (str_eq(t->lake->fields[t->parts[i].field].physical, field->physical))
            return f->part->values[i];
    return (struct str){0};
}

struct delta_kv *lake_partition_values(const struct lake_table *t, const struct lake_file *f, struct arena *arena)
{
    struct delta_kv *kv = t->n_parts ? ARENA_NEW_N(arena, struct delta_kv, t->n_parts) : NULL;

    for (uint32_t i = 0; i < t->n_parts; i++)
        kv[i] = (struct delta_kv){t->lake->fields[t->parts[i].field].physical, f->part->values[i]};
    return kv;
}

struct str *lake_partition_names(const struct lake_table *t, struct arena *arena)
{
    struct str *names = t->n_parts ? ARENA_NEW_N(arena, struct str, t->n_parts) : NULL;

    for (uint32_t i = 0; i < t->n_parts; i++)
        names[i] = t->lake->fields[t->parts[i].field].name;
    return names;
}

/* ---- the rows of a flush ---- */

void lake_groups_deinit(struct lake_groups *g)
{
    mem_free(g->ordinals);
    mem_free(g->parts);
    mem_free(g->n);
    *g = (struct lake_groups){0};
}

/* The number of the row's partition among those of this flush. */
static int group_of(struct lake_table *t, uint32_t ordinal, struct map *seen, struct buf *key, struct lake_groups *g,
                    uint32_t *cap, uint32_t *ret, struct err *err)
{
    uint32_t row;
    struct batch *b = row_buffer_at(&t->buffer, ordinal, &row);

    buf_reset(key);
    for (uint32_t i = 0; i < t->n_parts; i++)
        TRY(lake_partition_add(&t->lake->fields[t->parts[i].field], &b->cols[t->parts[i].col], row, key, err));
    uintptr_t at = key->n ? (uintptr_t)map_get(seen, buf_str(key)) : 0;
    if (!at) {
        if (g->n_groups == PARTITIONS_MAX)
            return err_set(err, ERR_UNSUPPORTED, "more than %d partitions have new rows at once", PARTITIONS_MAX);
        MEM_GROW(g->parts, g->n_groups, *cap);
        g->parts[g->n_groups++] = lake_partition_of(t, buf_str(key));
        at = g->n_groups;
        map_put(seen, g->parts[at - 1]->key, (void *)at);
    }
    *ret = (uint32_t)at - 1;
    return 0;
}

/* A counting sort: rows of a partition keep their order. */
static void sort_rows(const struct row_buffer *b, const uint32_t *groups, struct lake_groups *g)
{
    CLEANUP(mem_freep) uint32_t *at = MEM_NEW_N(uint32_t, g->n_groups + 1);
    uint32_t sum = 0;

    for (uint32_t i = 0; i < g->n_groups; sum += g->n[i++])
        at[i] = sum;
    g->ordinals = MEM_NEW_N(uint32_t, b->n_live + 1);
    for (uint32_t i = 0, n = 0; i < b->n_rows; i++)
        if (bit_get(b->live, i))
            g->ordinals[at[groups[n++]]++] = i;
}

int lake_partition_group(struct lake_table *t, struct lake_groups *ret, struct err *err)
{
    struct row_buffer *b = &t->buffer;
    CLEANUP(mem_freep) uint32_t *groups = MEM_NEW_N(uint32_t, b->n_live + 1); /* by live row */
    CLEANUP(buf_deinit) struct buf key = {0};
    CLEANUP(map_deinit) struct map seen = {0};
    uint32_t cap = 0, n = 0;

    if (!t->n_parts)
        TRY(group_of(t, 0, &seen, &key, ret, &cap, &n, err)); /* all in the first */
    for (uint32_t i = 0; t->n_parts && i < b->n_rows; i++)
        if (bit_get(b->live, i))
            TRY(group_of(t, i, &seen, &key, ret, &cap, &groups[n++], err));
    ret->n = MEM_NEW_N(uint32_t, ret->n_groups + 1);
    for (uint32_t i = 0; i < b->n_live; i++)
        ret->n[groups[i]]++;
    sort_rows(b, groups, ret);
    return 0;
}
