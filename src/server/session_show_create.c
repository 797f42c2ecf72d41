/*
 * SHOW CREATE TABLE: the statement that would make the table as it is, without its rows.
 *
 * Properties that CREATE TABLE sets by itself (ids of columns, names of hidden columns, when something was switched on) are left
 * out; CHECK constraints, which are properties, too, become constraints. Texts in expressions are in the form that CREATE TABLE reads here.
 */
#include "server/session_internal.h"

#include "base/mem.h"
#include "delta/dml/table_words.h"
#include "delta/log/clustering.h"
#include "delta/dml/dml.h"

#include <ctype.h>

static void add_name(struct buf *out, struct str name)
{
    buf_add_char(out, '`');
    for (size_t i = 0; i < name.n; i++) {
        buf_add_char(out, name.p[i]);
        if (name.p[i] == '`')
            buf_add_char(out, '`');
    }
    buf_add_char(out, '`');
}

static void add_comment(const struct field *f, struct arena *arena, struct buf *out)
{
    struct str comment = delta_field_text(f, "comment", arena);

    if (!comment.n)
        return;
    buf_add_cstr(out, " COMMENT ");
    buf_add_sql_literal(out, comment);
}

static void add_type(const struct field *f, struct arena *arena, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    const struct type *t = &f->type;
    struct str chars = delta_field_text(f, "__CHAR_VARCHAR_TYPE_STRING", arena);

    if (t->id == TYPE_ARRAY || t->id == TYPE_MAP || t->id == TYPE_STRUCT) {
        buf_add_cstr(out, t->id == TYPE_ARRAY ? "ARRAY<" : t->id == TYPE_MAP ? "MAP<" : "STRUCT<");
        for (uint32_t i = 0; i < t->n_children; i++) {
            buf_add_cstr(out, i ? ", " : "");
            if (t->id == TYPE_STRUCT) {
                add_name(out, t->children[i].name);
                buf_add_cstr(out, ": ");
            }
            add_type(&t->children[i], arena, out);
            if (t->id != TYPE_STRUCT)
                continue;
            buf_add_cstr(out, t->children[i].nullable ? "" : " NOT NULL");
            add_comment(&t->children[i], arena, out);
        }
        buf_add_char(out, '>');
        return;
    }
    type_text(t, &text);
    struct str s = chars.n ? chars : buf_str(&text);
    for (size_t i = 0; i < s.n; i++)
        buf_add_char(out, (char)toupper((unsigned char)s.p[i]));
}

static void add_column(const struct field *f, struct arena *arena, struct buf *out)
{
    struct str generated = delta_field_text(f, "delta.generationExpression", arena);
    struct str value = delta_field_text(f, "CURRENT_DEFAULT", arena);
    struct str step = field_meta_get(f, STR("delta.identity.step"));
    bool by_default = str_is(field_meta_get(f, STR("delta.identity.allowExplicitInsert")), "true");

    add_name(out, f->name);
    buf_add_char(out, ' ');
    add_type(f, arena, out);
    buf_add_cstr(out, f->nullable ? "" : " NOT NULL");
    if (generated.n) {
        buf_add_cstr(out, " GENERATED ALWAYS AS (");
        table_words_plain_texts(generated, out);
        buf_add_char(out, ')');
    }
    if (step.n)
        buf_printf(out, " GENERATED %s AS IDENTITY (START WITH %.*s INCREMENT BY %.*s)",
                   by_default ? "BY DEFAULT" : "ALWAYS", STR_ARG(field_meta_get(f, STR("delta.identity.start"))),
                   STR_ARG(step));
    if (value.n) {
        buf_add_cstr(out, " DEFAULT ");
        table_words_plain_texts(value, out);
    }
    add_comment(f, arena, out);
}

static bool sets_itself(struct str key)
{
    static const char *const prefixes[] = {"delta.constraints.", "delta.columnMapping.maxColumnId",
                                           "delta.rowTracking.materialized", "delta.inCommitTimestampEnablement",
                                           "delta.requireCheckpointProtection"};

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_has_prefix(key, str_of(prefixes[i])))
            return true;
    return false;
}

static void add_properties(const struct delta_metadata *m, struct buf *out)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++) {
        if (sets_itself(m->configuration[i].key))
            continue;
        buf_add_cstr(out, n++ ? ",\n  " : "\nTBLPROPERTIES (\n  ");
        buf_add_sql_literal(out, m->configuration[i].key);
        buf_add_cstr(out, " = ");
        buf_add_sql_literal(out, m->configuration[i].value);
    }
    buf_add_cstr(out, n ? "\n)" : "");
}

static void add_constraints(const struct delta_metadata *m, struct buf *out)
{
    struct str prefix = STR("delta.constraints.");

    for (uint32_t i = 0; i < m->n_configuration; i++) {
        struct str key = m->configuration[i].key;
        if (!str_has_prefix(key, prefix))
            continue;
        buf_add_cstr(out, ",\n  CONSTRAINT ");
        add_name(out, str_make(key.p + prefix.n, key.n - prefix.n));
        buf_add_cstr(out, " CHECK (");
        table_words_plain_texts(m->configuration[i].value, out);
        buf_add_char(out, ')');
    }
}

static int add_statement(const struct delta_snapshot *snapshot, struct str name, struct arena *arena, struct buf *out,
                         struct err *err)
{
    const struct delta_metadata *m = snapshot->head->metadata;
    const struct schema *schema = snapshot->head->schema;
    struct delta_path *columns;
    uint32_t n;

    buf_printf(out, "CREATE TABLE %.*s", STR_ARG(name));
    for (uint32_t i = 0; i < schema->n_fields; i++) {
        buf_add_cstr(out, i ? ",\n  " : " (\n  ");
        add_column(&schema->fields[i], arena, out);
    }
    add_constraints(m, out);
    buf_add_cstr(out, schema->n_fields ? ")\nUSING delta" : "\nUSING delta");
    for (uint32_t i = 0; i < m->n_partition_columns; i++) {
        buf_add_cstr(out, i ? ", " : "\nPARTITIONED BY (");
        add_name(out, m->partition_columns[i]);
    }
    buf_add_cstr(out, m->n_partition_columns ? ")" : "");
    TRY(delta_clustering_read(snapshot, arena, &columns, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        buf_add_cstr(out, i ? ", " : "\nCLUSTER BY (");
        for (uint32_t k = 0; k < columns[i].n; k++) {
            buf_add_cstr(out, k ? "." : "");
            add_name(out, columns[i].parts[k]);
        }
    }
    buf_add_cstr(out, n ? ")" : "");
    if (m->description.n) {
        buf_add_cstr(out, "\nCOMMENT ");
        buf_add_sql_literal(out, m->description);
    }
    add_properties(m, out);
    return 0;
}

int session_show_create(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    CLEANUP(buf_deinit) struct buf text = {0};
    struct open_table *t;
    const char *path;

    TRY(session_path(s, &show->table, &path, err));
    TRY(session_table_at(s, arena_strdup(&s->arena, str_of(path)), &t, err));
    snapshot = delta_table_snapshot(t->table);
    TRY(add_statement(snapshot, show->table.name.text, &s->arena, &text, err));
    buf_add_cstr(out, "SELECT ");
    buf_add_sql_literal(out, buf_str(&text));
    buf_add_cstr(out, " AS createtab_stmt");
    return 0;
}

int session_like(struct session *s, const struct sql_create *c, struct sql_create *ret, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    CLEANUP(buf_deinit) struct buf text = {0};
    struct sql_property *all;
    struct statement st;
    struct open_table *t;
    const char *path;

    TRY(session_path(s, &c->like, &path, err));
    TRY(session_table_at(s, arena_strdup(&s->arena, str_of(path)), &t, err));
    snapshot = delta_table_snapshot(t->table);
    TRY(add_statement(snapshot, STR("t"), &s->arena, &text, err));
    struct str copy = arena_str(&s->arena, buf_str(&text));
    TRY(statement_parse(&s->arena, copy, copy, &st, err));
    *ret = *c;
    ret->n_columns = st.create.n_columns;
    ret->columns = st.create.columns;
    ret->n_constraints = st.create.n_constraints;
    ret->constraints = st.create.constraints;
    ret->n_partition_by = st.create.n_partition_by;
    ret->partition_by = st.create.partition_by;
    ret->n_cluster_by = st.create.n_cluster_by;
    ret->cluster_by = st.create.cluster_by;
    ret->comment = c->has_comment ? c->comment : st.create.comment;
    ret->has_comment = c->has_comment || st.create.has_comment;
    all = ARENA_NEW_N(&s->arena, struct sql_property, st.create.n_properties + c->n_properties + 1);
    for (uint32_t i = 0; i < c->n_properties; i++) {
        struct delta_kv kv = {c->properties[i].key, c->properties[i].value};
        TRY(delta_property_check(&kv, err));
        all[i] = (struct sql_property){kv.key, kv.value};
    }
    ret->n_properties = c->n_properties;
    for (uint32_t i = 0; i < st.create.n_properties; i++) {
        bool given = false;
        for (uint32_t k = 0; k < c->n_properties; k++)
            given |= str_eq(all[k].key, st.create.properties[i].key);
        if (!given)
            all[ret->n_properties++] = st.create.properties[i];
    }
    ret->properties = all;
    return 0;
}
