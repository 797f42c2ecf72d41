/*
 * The lake's schema follows the source's, column by column, by attnum (codec/pg_schema.h):
 *
 *   renamed    the field gets the new name; its data keeps the physical name        (column mapping is switched on)
 *   dropped    the field leaves the schema; its data stays in old files, unread     (likewise)
 *   added      a new field at the end; old rows read NULL, or what lake_backfill.c gives them
 *   widened    the field gets the wider type; old files are read through a cast     (type widening is switched on)
 *
 * No data is rewritten here. Fields that are not ours (someone added them to the table) are left alone.
 */
#include "sink/lake_partition.h"

#include "base/mem.h"
#include "codec/delta_schema.h"
#include "codec/pg_schema.h"

#include <assert.h>

static const struct field *field_by_attnum(const struct schema *s, int attnum)
{
    struct relation_column col;

    for (uint32_t i = 0; i < s->n_fields; i++)
        if (pg_schema_column(&s->fields[i], &col) && col.attnum == attnum)
            return &s->fields[i];
    return NULL;
}

static int digits_before_point(const struct type *t)
{
    switch (t->id) {
    case TYPE_BYTE: /* sic: the protocol asks for as many as for an integer */
    case TYPE_SHORT:
    case TYPE_INTEGER:
        return 10;
    case TYPE_LONG:
        return 20;
    default:
        return t->precision - t->scale;
    }
}

/* Delta protocol, "Type Widening": the changes that readers with the feature understand. */
static bool can_widen(const struct type *from, const struct type *to)
{
    bool from_int = from->id >= TYPE_BYTE && from->id <= TYPE_LONG;

    if (from_int && to->id >= TYPE_BYTE && to->id <= TYPE_LONG)
        return from->id < to->id;
    if (to->id == TYPE_DECIMAL && (from_int || from->id == TYPE_DECIMAL))
        return digits_before_point(to) >= digits_before_point(from) && to->scale >= from->scale;
    if (to->id == TYPE_DOUBLE)
        return from->id == TYPE_FLOAT || (from_int && from->id != TYPE_LONG);
    return from->id == TYPE_DATE && to->id == TYPE_TIMESTAMP_NTZ;
}

static int widen(struct lake_table *t, struct schema *s, struct field *f, const struct type *to, struct err *err)
{
    if (!can_widen(&f->type, to)) {
        CLEANUP(buf_deinit) struct buf old = {0}, new_text = {0};
        type_text(&f->type, &old);
        type_text(to, &new_text);
        err_set(err, ERR_UNSUPPORTED, "table %s: column %.*s changed from %s to %s, which is no widening", t->name,
                STR_ARG(f->name), old.p, new_text.p);
        return err_hint(err, "copy the table anew: sluice sync … --resync %s", t->name);
    }
    delta_schema_note_widening(f, &f->type, to, (struct str){0}, &s->arena);
    f->type = type_clone(to, &s->arena);
    t->widened = true;
    return 0;
}

int lake_schema_check(const char *table, const struct schema *s, struct err *err)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (!str_is_utf8(s->fields[i].name))
            return err_set(err, ERR_UNSUPPORTED, "table %s: the name of column %u is not UTF-8", table, i + 1);
    for (uint32_t i = 0; i < s->n_fields; i++)
        for (uint32_t j = i + 1; j < s->n_fields; j++)
            if (str_eq_nocase(s->fields[i].name, s->fields[j].name))
                return err_set(err, ERR_UNSUPPORTED,
                               "table %s: columns %.*s and %.*s differ only by case, which Delta tables "
                               "cannot hold",
                               table, STR_ARG(s->fields[i].name), STR_ARG(s->fields[j].name));
    return 0;
}

/* Delta without column mapping refuses these in names. */
static bool has_odd_name(const struct schema *s)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (delta_schema_is_odd_name(s->fields[i].name))
            return true;
    return false;
}

/* Was a column renamed, or is one gone? */
static bool needs_mapping(const struct schema *lake, const struct schema *source)
{
    struct relation_column col;

    for (uint32_t i = 0; i < lake->n_fields; i++) {
        const struct field *f = pg_schema_column(&lake->fields[i], &col) ? field_by_attnum(source, col.attnum) : NULL;
        if (field_meta_get(&lake->fields[i], STR(PG_SCHEMA_COLUMN)).n && (!f || !str_eq(f->name, lake->fields[i].name)))
            return true;
    }
    return false;
}

static int32_t highest_id(const struct schema *s, int32_t at_least)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        at_least = MAX(at_least, s->fields[i].id);
    return at_least;
}

/* A field of the old lake as the source has it now. */
static int update_field(struct lake_table *t, struct schema *s, struct field *f, const struct field *source,
                        struct err *err)
{
    struct str said = field_meta_get(source, STR(PG_SCHEMA_COLUMN));

    if (!type_eq(&f->type, &source->type)) {
        TRY(widen(t, s, f, &source->type, err));
        t->schema_dirty = true;
    }
    if (!str_eq(f->name, source->name)) {
        f->name = arena_str(&s->arena, source->name);
        t->schema_dirty = true;
    }
    if (!str_eq(said, field_meta_get(f, STR(PG_SCHEMA_COLUMN)))) {
        field_meta_set(f, &s->arena, STR(PG_SCHEMA_COLUMN), said);
        t->schema_dirty = true;
    }
    return 0;
}

/* The next schema of an existing table: fields that stay, in their order, then new ones. */
static int merge(struct lake_table *t, const struct schema *source, struct schema *s, struct err *err)
{
    struct relation_column col;
    uint32_t n = 0;
    uint32_t n_old = s->n_fields;
    struct field *fields = ARENA_NEW_N(&s->arena, struct field, s->n_fields + source->n_fields);

    for (uint32_t i = 0; i < s->n_fields; i++) {
        const struct field *now = NULL;
        bool ours = pg_schema_column(&s->fields[i], &col);
        if (ours && !(now = field_by_attnum(source, col.attnum))) {
            t->schema_dirty = true; /* dropped */
            continue;
        }
        fields[n] = s->fields[i];
        if (ours)
            TRY(update_field(t, s, &fields[n], now, err));
        n++;
    }
    assert(source->fields);
    for (uint32_t i = 0; i < source->n_fields; i++) {
        const struct field *now = &source->fields[i];
        if (!pg_schema_column(now, &col) ||
            field_by_attnum(&(struct schema){.n_fields = n_old, .fields = s->fields}, col.attnum))
            continue;
        struct field *f = &fields[n++];
        *f = (struct field){.nullable = true};
        f->name = f->physical = arena_str(&s->arena, now->name);
        f->type = type_clone(&now->type, &s->arena);
        field_meta_set(f, &s->arena, STR(PG_SCHEMA_COLUMN), field_meta_get(now, STR(PG_SCHEMA_COLUMN)));
        t->schema_dirty = true;
    }
    s->fields = fields;
    s->n_fields = n;
    return 0;
}

/* With one more column: the ids of rows. */
static struct schema *with_row_ids(const struct schema *source, const char *name)
{
    struct schema *s = schema_clone(source);
    struct field *fields = ARENA_NEW_N(&s->arena, struct field, s->n_fields + 1);
    struct str id = arena_str(&s->arena, str_of(name));

    memcpy(fields, s->fields, s->n_fields * sizeof *fields);
    fields[s->n_fields++] = (struct field){.name = id, .physical = id, .type = {.id = TYPE_LONG}, .nullable = true};
    s->fields = fields;
    return s;
}

/* The source's columns under the names that they have in files; those of `tracked` beyond them have theirs. */
static struct schema *write_schema(const struct schema *source, const struct schema *tracked, const struct schema *lake)
{
    struct schema *s = schema_clone(tracked ? tracked : source);
    struct relation_column col;

    for (uint32_t i = 0; i < source->n_fields; i++) {
        bool ours = pg_schema_column(&s->fields[i], &col);
        const struct field *f = ours ? field_by_attnum(lake, col.attnum) : NULL;
        assert(f);
        s->fields[i].physical = arena_str(&s->arena, f->physical);
        s->fields[i].id = f->id;
    }
    return s;
}

int lake_schema_evolve(struct lake_table *t, const struct relation *rel, const struct schema *source, struct err *err)
{
    bool fresh = !t->lake;
    CLEANUP(schema_unrefp) struct schema *s = schema_clone(fresh ? source : t->lake);

    if (!source->n_fields)
        return err_set(err, ERR_UNSUPPORTED, "table %s " LAKE_NO_COLUMNS, t->name);
    t->max_column_id = highest_id(s, t->max_column_id);
    bool maps = fresh ? t->mapped || has_odd_name(source) /* the copy's files have the names of now */
                      : !t->mapped && (needs_mapping(s, source) || has_odd_name(source));
    if (maps) {
        t->mapped = t->schema_dirty = true;
        delta_schema_map(s, &t->max_column_id, false, 0); /* what is there keeps its names in the files */
    }
    if (fresh)
        t->schema_dirty = true;
    else
        TRY(merge(t, source, s, err));
    if (t->mapped) /* columns just added; a table copied anew has files with the columns' own names */
        delta_schema_map(s, &t->max_column_id, !fresh, hash64(t->uuid, strlen(t->uuid)));
    TRY(lake_schema_check(t->name, s, err));
    schema_unref(t->lake);
    t->lake = TAKE_PTR(s);
    schema_unref(TAKE_PTR(t->tracked));
    if (t->row_id && rel->identity != IDENTITY_NONE)
        t->tracked = with_row_ids(source, t->row_id);
    schema_unref(t->write);
    t->write = write_schema(source, t->tracked, t->lake);
    return lake_partition_bind(t, source, err);
}

static void put_kv(struct delta_kv *kv, uint32_t *n, struct str key, struct str value)
{
    for (uint32_t i = 0; i < *n; i++)
        if (str_eq(kv[i].key, key)) {
            kv[i].value = value;
            return;
        }
    kv[(*n)++] = (struct delta_kv){key, value};
}

static bool type_has(const struct type *t, enum type_id id)
{
    for (uint32_t i = 0; i < t->n_children; i++)
        if (type_has(&t->children[i].type, id))
            return true;
    return t->id == id;
}

bool lake_schema_has_ntz(const struct schema *s)
{
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (type_has(&s->fields[i].type, TYPE_TIMESTAMP_NTZ))
            return true;
    return false;
}

uint32_t lake_schema_properties(const struct lake_table *t, struct arena *arena, struct delta_kv *kv, uint32_t n)
{
    put_kv(kv, &n, STR("delta.enableDeletionVectors"), t->vectors ? STR("true") : STR("false"));
    if (t->feed)
        put_kv(kv, &n, STR("delta.enableChangeDataFeed"), STR("true"));
    put_kv(kv, &n, STR("sluice.relation"), str_of(arena_printf(arena, "%u", t->rel->oid)));
    if (t->storage)
        put_kv(kv, &n, STR("sluice.storage"),
               str_of(arena_printf(arena, "%lld %d %lld", (long long)t->storage, t->attributes, (long long)t->shape)));
    if (t->mapped) {
        put_kv(kv, &n, STR("delta.columnMapping.mode"), STR("name"));
        put_kv(kv, &n, STR("delta.columnMapping.maxColumnId"), str_of(arena_printf(arena, "%d", t->max_column_id)));
    }
    if (t->widened)
        put_kv(kv, &n, STR("delta.enableTypeWidening"), STR("true"));
    return n;
}

int lake_schema_commit(struct lake_table *t, struct delta_tx *tx, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0};
    struct delta_metadata *m = delta_metadata_copy(tx->read->head->metadata, &tx->arena);
    const struct delta_protocol *p = tx->read->head->protocol;
    struct delta_kv *kv = ARENA_NEW_N(&tx->arena, struct delta_kv, m->n_configuration + LAKE_PROPERTIES);

    if (!t->schema_dirty)
        return 0;
    delta_schema_write(t->lake, &json);
    m->schema_json = arena_str(&tx->arena, buf_str(&json));
    if (m->n_configuration)
        memcpy(kv, m->configuration, m->n_configuration * sizeof *kv);
    m->n_configuration = lake_schema_properties(t, &tx->arena, kv, m->n_configuration);
    m->configuration = kv;
    m->partition_columns = lake_partition_names(t, &tx->arena);
    m->n_partition_columns = t->n_parts;
    if (t->vectors)
        TRY(delta_protocol_with(p, "deletionVectors", &tx->arena, &p, err));
    if (t->mapped)
        TRY(delta_protocol_with(p, "columnMapping", &tx->arena, &p, err));
    if (t->widened)
        TRY(delta_protocol_with(p, "typeWidening", &tx->arena, &p, err));
    if (lake_schema_has_ntz(t->lake))
        TRY(delta_protocol_with(p, "timestampNtz", &tx->arena, &p, err));
    if (p != tx->read->head->protocol)
        delta_tx_set_protocol(tx, p);
    delta_tx_set_metadata(tx, m);
    return 0;
}
