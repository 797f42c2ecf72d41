/*
 * DESCRIBE [TABLE] [EXTENDED] of a Delta table as Spark shows it: a row a column, then those that partition the table; EXTENDED adds
 * what is known of the table as a whole. Headings stand in the column of names.
 */
#include "server/session_internal.h"

#include "base/mem.h"
#include "delta/dml/dml.h"
#include "delta/log/clustering.h"

static void add_row(struct buf *out, struct str name, struct str type, struct str comment)
{
    buf_add_cstr(out, out->n ? ", (" : "(");
    buf_add_sql_literal(out, name);
    buf_add_cstr(out, ", ");
    buf_add_sql_literal(out, type);
    buf_add_cstr(out, ", ");
    if (comment.p)
        buf_add_sql_literal(out, comment);
    else
        buf_add_cstr(out, "NULL");
    buf_add_char(out, ')');
}

static void add_heading(struct buf *out, const char *text)
{
    add_row(out, str_of(text), STR(""), STR(""));
}

static void add_column(struct session *s, const struct field *f, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf type = {0};
    struct str comment = delta_field_text(f, "comment", &s->arena);

    type_text(&f->type, &type);
    add_row(out, f->name, buf_str(&type), comment.n ? comment : (struct str){0});
}

static void add_partitions(struct session *s, const struct delta_head *head, struct buf *out)
{
    const struct delta_metadata *m = head->metadata;

    if (!m->n_partition_columns)
        return;
    add_heading(out, "# Partition Information");
    add_row(out, STR("# col_name"), STR("data_type"), STR("comment"));
    for (uint32_t i = 0; i < m->n_partition_columns; i++) {
        int k = schema_find(head->schema, m->partition_columns[i]);
        if (k >= 0)
            add_column(s, &head->schema->fields[k], out);
    }
}

static int add_clustering(struct session *s, const struct delta_snapshot *snapshot, struct buf *out, struct err *err)
{
    CLEANUP(buf_deinit) struct buf name = {0};
    struct delta_path *columns;
    uint32_t n;

    TRY(delta_clustering_read(snapshot, &s->arena, &columns, &n, err));
    for (uint32_t i = 0; i < n; i++) {
        buf_reset(&name);
        delta_clustering_text(&columns[i], 1, &name);
        if (!i)
            add_heading(out, "# Clustering Information");
        add_row(out, buf_str(&name), STR(""), STR(""));
    }
    return 0;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* [a=b,delta.minReaderVersion=1,…], by name. */
static void add_properties(struct session *s, const struct delta_head *head, struct buf *out)
{
    CLEANUP(buf_deinit) struct buf list = {0};
    const struct delta_metadata *m = head->metadata;
    const struct delta_protocol *p = head->protocol;
    char **v = ARENA_NEW_N(&s->arena, char *, m->n_configuration + p->n_writer_features + 2);
    size_t n = 0;

    for (uint32_t i = 0; i < m->n_configuration; i++)
        v[n++] =
            arena_printf(&s->arena, "%.*s=%.*s", STR_ARG(m->configuration[i].key), STR_ARG(m->configuration[i].value));
    for (uint32_t i = 0; i < p->n_writer_features; i++)
        v[n++] = arena_printf(&s->arena, "delta.feature.%.*s=supported", STR_ARG(p->writer_features[i]));
    v[n++] = arena_printf(&s->arena, "delta.minReaderVersion=%d", p->reader);
    v[n++] = arena_printf(&s->arena, "delta.minWriterVersion=%d", p->writer);
    qsort(v, n, sizeof *v, compare_texts);
    for (size_t i = 0; i < n; i++)
        buf_printf(&list, "%c%s", i ? ',' : '[', v[i]);
    buf_add_char(&list, ']');
    add_row(out, STR("Table Properties"), buf_str(&list), STR(""));
}

static void add_defaults(struct session *s, const struct schema *schema, struct buf *out)
{
    bool any = false;

    for (uint32_t i = 0; i < schema->n_fields; i++) {
        CLEANUP(buf_deinit) struct buf type = {0};
        struct str value = delta_field_text(&schema->fields[i], "CURRENT_DEFAULT", &s->arena);
        if (!value.n)
            continue;
        if (!any) {
            add_heading(out, "");
            add_heading(out, "# Column Default Values");
        }
        any = true;
        type_text(&schema->fields[i].type, &type);
        add_row(out, schema->fields[i].name, buf_str(&type), value);
    }
}

static void add_table(struct session *s, const struct sql_show *show, const char *path,
                      const struct delta_snapshot *snapshot, struct buf *out)
{
    const struct delta_metadata *m = snapshot->head->metadata;

    add_heading(out, "");
    add_heading(out, "# Detailed Table Information");
    add_row(out, STR("Name"), show->table.name.text, STR(""));
    if (m->description.p)
        add_row(out, STR("Comment"), m->description, STR(""));
    add_row(out, STR("Location"), str_of(path), STR(""));
    add_row(out, STR("Provider"), STR("delta"), STR(""));
    add_properties(s, snapshot->head, out);
    add_defaults(s, snapshot->head->schema, out);
}

static const struct field *find_field(const struct schema *schema, const struct sql_name *name)
{
    int i = schema_find(schema, name->parts[0]);
    const struct field *f = i < 0 ? NULL : &schema->fields[i];

    for (uint32_t k = 1; f && k < name->n_parts; k++) {
        const struct field *in = NULL;
        for (uint32_t c = 0; f->type.id == TYPE_STRUCT && c < f->type.n_children; c++)
            if (str_eq_nocase(f->type.children[c].name, name->parts[k]))
                in = &f->type.children[c];
        f = in;
    }
    return f;
}

/* DESCRIBE t a.b: name, type and comment, a row each. */
static int describe_column(struct session *s, const struct schema *schema, const struct sql_name *name, struct buf *out,
                           struct err *err)
{
    CLEANUP(buf_deinit) struct buf type = {0};
    const struct field *f = find_field(schema, name);

    if (!f)
        return err_set(err, ERR_USAGE, "the table has no column %.*s", STR_ARG(name->text));
    struct str comment = delta_field_text(f, "comment", &s->arena);
    type_text(&f->type, &type);
    buf_add_cstr(out, "FROM (VALUES ('col_name', ");
    buf_add_sql_literal(out, f->name);
    buf_add_cstr(out, "), ('data_type', ");
    buf_add_sql_literal(out, buf_str(&type));
    buf_add_cstr(out, "), ('comment', ");
    buf_add_sql_literal(out, comment.n ? comment : STR("NULL"));
    buf_add_cstr(out, ")) AS d(info_name, info_value)");
    return 0;
}

int session_describe(struct session *s, const struct sql_show *show, struct buf *out, struct err *err)
{
    CLEANUP(delta_snapshot_unrefp) struct delta_snapshot *snapshot = NULL;
    CLEANUP(buf_deinit) struct buf rows = {0};
    struct open_table *t;
    const char *path;

    TRY(session_path(s, &show->table, &path, err));
    TRY(session_table_at(s, arena_strdup(&s->arena, str_of(path)), &t, err));
    snapshot = delta_table_snapshot(t->table);
    const struct schema *schema = snapshot->head->schema;
    if (show->column.n_parts)
        return describe_column(s, schema, &show->column, out, err);
    for (uint32_t i = 0; i < schema->n_fields; i++)
        add_column(s, &schema->fields[i], &rows);
    add_partitions(s, snapshot->head, &rows);
    TRY(add_clustering(s, snapshot, &rows, err));
    if (show->extended)
        add_table(s, show, t->path, snapshot, &rows);
    if (rows.n)
        buf_printf(out, "FROM (VALUES %s) AS d(col_name, data_type, comment)", rows.p);
    else
        buf_add_cstr(out, "SELECT '' AS col_name, '' AS data_type, '' AS comment LIMIT 0");
    return 0;
}
