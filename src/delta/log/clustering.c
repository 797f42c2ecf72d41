/* The domain delta.clustering ⇄ columns by name. */
#include "delta/log/clustering.h"

#include "delta/log/transaction.h"

#include <yyjson.h>

enum { MAX_COLUMNS = 4, INDEXED_COLUMNS = 32 };

static const struct field *find(const struct field *fields, uint32_t n, struct str name, bool physical)
{
    for (uint32_t i = 0; i < n; i++)
        if (physical ? str_eq(fields[i].physical, name) : str_eq_nocase(fields[i].name, name))
            return &fields[i];
    return NULL;
}

/* One path with its names of the other kind. NULL: there is no such column. */
static const struct field *translate(const struct schema *schema, struct delta_path path, bool from_physical,
                                     struct str *out)
{
    const struct field *fields = schema->fields, *f = NULL;
    uint32_t n = schema->n_fields;

    for (uint32_t k = 0; k < path.n; k++) {
        if (!(f = find(fields, n, path.parts[k], from_physical)))
            return NULL;
        out[k] = from_physical ? f->name : f->physical;
        n = f->type.id == TYPE_STRUCT ? f->type.n_children : 0;
        fields = f->type.children;
    }
    return f;
}

static int read_path(const struct delta_snapshot *s, yyjson_val *list, struct arena *arena, struct delta_path *ret,
                     struct err *err)
{
    size_t cap = yyjson_arr_size(list), i, n;
    struct str *physical = ARENA_NEW_N(arena, struct str, cap + 1), *names = ARENA_NEW_N(arena, struct str, cap + 1);
    yyjson_val *part;

    yyjson_arr_foreach(list, i, n, part) physical[i] = str_make(yyjson_get_str(part), yyjson_get_len(part));
    *ret = (struct delta_path){names, (uint32_t)cap};
    if (!translate(s->head->schema, (struct delta_path){physical, (uint32_t)cap}, true, names))
        return err_set(err, ERR_INPUT, "the domain " DELTA_CLUSTERING " names a column that the table does not have");
    return 0;
}

int delta_clustering_read(const struct delta_snapshot *s, struct arena *arena, struct delta_path **ret, uint32_t *ret_n,
                          struct err *err)
{
    struct str json = delta_snapshot_domain(s, STR(DELTA_CLUSTERING));
    yyjson_doc *doc = yyjson_read(json.n ? json.p : "", json.n, 0);
    yyjson_val *columns = yyjson_obj_get(yyjson_doc_get_root(doc), "clusteringColumns"), *path;
    size_t i, n;
    int rc = 0;

    *ret = ARENA_NEW_N(arena, struct delta_path, yyjson_arr_size(columns) + 1);
    *ret_n = 0;
    yyjson_arr_foreach(columns, i, n, path)
    {
        if (rc == 0)
            rc = read_path(s, path, arena, &(*ret)[*ret_n], err);
        ++*ret_n;
    }
    yyjson_doc_free(doc);
    return rc;
}

void delta_clustering_text(const struct delta_path *columns, uint32_t n, struct buf *out)
{
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < columns[i].n; k++)
            buf_printf(out, "%s%.*s", k ? "." : i ? "," : "", STR_ARG(columns[i].parts[k]));
}

/* Leaf columns before the field; -1 when it is among them. */
static int64_t leaves_before(const struct field *fields, uint32_t n, const struct field *end, int64_t count)
{
    for (uint32_t i = 0; i < n; i++) {
        if (&fields[i] == end)
            return -1 - count;
        if (fields[i].type.id == TYPE_STRUCT) {
            count = leaves_before(fields[i].type.children, fields[i].type.n_children, end, count);
            if (count < 0)
                return count;
        } else {
            count++;
        }
    }
    return count;
}

static bool has_statistics(const struct delta_metadata *m, const struct schema *schema, const struct field *f)
{
    struct str text = delta_kv_get(m->configuration, m->n_configuration, STR("delta.dataSkippingNumIndexedCols"));
    int64_t limit;

    if (delta_kv_get(m->configuration, m->n_configuration, STR("delta.dataSkippingStatsColumns")).n)
        return true; /* its owner has chosen */
    if (!str_to_i64(text, &limit))
        limit = INDEXED_COLUMNS;
    return limit < 0 || -1 - leaves_before(schema->fields, schema->n_fields, f, 0) < limit;
}

static bool has_order(const struct type *t)
{
    switch (t->id) {
    case TYPE_BOOLEAN:
    case TYPE_BINARY:
    case TYPE_STRUCT:
    case TYPE_ARRAY:
    case TYPE_MAP:
    case TYPE_VARIANT:
    case TYPE_VOID:
    case TYPE_OTHER:
        return false;
    default:
        return true;
    }
}

int delta_clustering_make(const struct delta_metadata *m, const struct schema *schema, const struct delta_path *columns,
                          uint32_t n, struct arena *arena, struct str *ret, struct err *err)
{
    CLEANUP(buf_deinit) struct buf json = {0}, name = {0};

    if (m->n_partition_columns)
        return err_set(err, ERR_USAGE, "a table is either partitioned or clustered, not both");
    if (n > MAX_COLUMNS)
        return err_set(err, ERR_USAGE, "CLUSTER BY takes at most %d columns", MAX_COLUMNS);
    buf_add_cstr(&json, "{\"clusteringColumns\":[");
    for (uint32_t i = 0; i < n; i++) {
        struct str *physical = ARENA_NEW_N(arena, struct str, columns[i].n + 1);
        const struct field *f = translate(schema, columns[i], false, physical);
        buf_reset(&name);
        delta_clustering_text(&columns[i], 1, &name);
        if (!f)
            return err_set(err, ERR_USAGE, "CLUSTER BY %s: the table has no such column", name.p);
        if (!has_order(&f->type) || !has_statistics(m, schema, f))
            return err_set(err, ERR_USAGE, "CLUSTER BY %s: no statistics are kept of that column", name.p);
        for (uint32_t k = 0; k < columns[i].n; k++) {
            buf_add_cstr(&json, k ? "," : i ? ",[" : "[");
            buf_add_json_str(&json, physical[k]);
        }
        buf_add_char(&json, ']');
    }
    buf_add_cstr(&json, "],\"domainName\":\"" DELTA_CLUSTERING "\"}");
    *ret = arena_str(arena, buf_str(&json));
    return 0;
}

int delta_clustering_protocol(const struct delta_protocol *p, struct arena *arena, const struct delta_protocol **ret,
                              struct err *err)
{
    TRY(delta_protocol_with(p, "domainMetadata", arena, ret, err));
    return delta_protocol_with(*ret, "clustering", arena, ret, err);
}

static void set_parameters(struct delta_tx *tx, const struct delta_path *old, uint32_t n_old,
                           const struct delta_path *new, uint32_t n_new)
{
    CLEANUP(buf_deinit) struct buf json = {0}, text = {0};

    delta_clustering_text(old, n_old, &text);
    buf_add_cstr(&json, "{\"oldClusteringColumns\":");
    buf_add_json_str(&json, buf_str(&text));
    buf_reset(&text);
    delta_clustering_text(new, n_new, &text);
    buf_add_cstr(&json, ",\"newClusteringColumns\":");
    buf_add_json_str(&json, buf_str(&text));
    buf_add_char(&json, '}');
    delta_tx_set_parameters(tx, buf_str(&json));
}

int delta_set_clustering(struct delta_table *t, const struct delta_path *columns, uint32_t n, struct err *err)
{
    CLEANUP(delta_tx_freep) struct delta_tx *tx = NULL;
    const struct delta_protocol *p;
    struct delta_path *old;
    struct str configuration;
    uint32_t n_old;
    int64_t version;

    TRY(delta_table_refresh(t, err));
    tx = delta_tx_new(t, "CLUSTER BY");
    tx->blind_append = true; /* as Spark says of commits without files */
    const struct delta_head *head = tx->read->head;
    TRY(delta_clustering_read(tx->read, &tx->arena, &old, &n_old, err));
    if (!n && !head->metadata->n_partition_columns && !delta_protocol_has(head->protocol, "clustering"))
        return 0;
    TRY(delta_clustering_make(head->metadata, head->schema, columns, n, &tx->arena, &configuration, err));
    TRY(delta_clustering_protocol(head->protocol, &tx->arena, &p, err));
    if (p != head->protocol)
        delta_tx_set_protocol(tx, p);
    delta_tx_set_domain(tx, STR(DELTA_CLUSTERING), configuration, false);
    set_parameters(tx, old, n_old, columns, n);
    return delta_commit(tx, &version, err);
}
