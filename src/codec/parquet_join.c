/* The footer becomes a tree, its schema another; pairs of leaves become groups, and the chunks go into the new order. */
#include "codec/parquet_join.h"

#include "codec/thrift.h"

/* Ids of fields in parquet.thrift. */
enum { FILE_SCHEMA = 2, FILE_GROUPS = 4 };
enum {
    ELEMENT_TYPE = 1,
    ELEMENT_REPETITION = 3,
    ELEMENT_NAME = 4,
    ELEMENT_CHILDREN = 5,
    ELEMENT_ID = 9,
    ELEMENT_LOGICAL = 10
};
enum { GROUP_COLUMNS = 1, COLUMN_META = 3, META_PATH = 3 };
enum { LOGICAL_VARIANT = 16, VARIANT_VERSION = 1, BYTE_ARRAY = 6, REQUIRED = 0, OPTIONAL = 1, DEPTH = 100 };

struct element {
    struct thrift t; /* SchemaElement */
    uint32_t n;
    struct element *v;
    uint32_t leaf; /* without children: which of the file it is */
};

struct joining {
    struct arena *arena;
    struct err *err;
    struct thrift *schema; /* the file's */
    uint32_t next, leaves;
    /* the new ones */
    struct thrift *elements;
    uint32_t n_elements;
    uint32_t *order;      /* a new leaf: which of the file's it is */
    struct thrift *paths; /* and its path, a list of names */
    uint32_t n_order;
    struct str path[2 * DEPTH];
    unsigned depth;
};

bool parquet_has_variant(const struct type *type)
{
    for (uint32_t i = 0; i < type->n_children; i++)
        if (parquet_has_variant(&type->children[i].type))
            return true;
    return type->id == TYPE_VARIANT;
}

static int broken(struct joining *j, const char *what)
{
    return err_set(j->err, ERR_INTERNAL, "the footer of a file with variants: %s", what);
}

static int read_element(struct joining *j, struct element *ret, unsigned depth)
{
    if (j->next == j->schema->n || depth == DEPTH)
        return broken(j, "its schema is not what it should be");
    ret->t = j->schema->v[j->next++];
    int64_t n = thrift_number(&ret->t, ELEMENT_CHILDREN, 0);
    if (n < 0 || n > j->schema->n)
        return broken(j, "its schema is not what it should be");
    ret->n = (uint32_t)n;
    ret->v = ARENA_NEW_N(j->arena, struct element, (size_t)n + 1);
    if (!n)
        ret->leaf = j->leaves++;
    for (uint32_t i = 0; i < ret->n; i++)
        TRY(read_element(j, &ret->v[i], depth + 1));
    return 0;
}

/* ---- pairs become variants ---- */

static struct element make_leaf(struct joining *j, struct str name, uint32_t leaf)
{
    struct element e = {.t = {.type = THRIFT_STRUCT}, .leaf = leaf};

    thrift_set(&e.t, ELEMENT_TYPE, THRIFT_I32, j->arena)->number = BYTE_ARRAY;
    thrift_set(&e.t, ELEMENT_REPETITION, THRIFT_I32, j->arena)->number = REQUIRED;
    thrift_set(&e.t, ELEMENT_NAME, THRIFT_BINARY, j->arena)->bytes = name;
    return e;
}

static int make_variant(struct joining *j, struct element *value, const struct element *metadata)
{
    const struct thrift *name = thrift_field(&value->t, ELEMENT_NAME, THRIFT_BINARY);
    struct thrift group = {.type = THRIFT_STRUCT};
    int64_t id = thrift_number(&value->t, ELEMENT_ID, 0);

    for (const struct element *e = value;; e = metadata) {
        if (e->n || !name || thrift_number(&e->t, ELEMENT_TYPE, -1) != BYTE_ARRAY ||
            thrift_number(&e->t, ELEMENT_REPETITION, -1) != OPTIONAL)
            return broken(j, "a part of a variant is no optional binary");
        if (e == metadata)
            break;
    }
    thrift_set(&group, ELEMENT_REPETITION, THRIFT_I32, j->arena)->number = OPTIONAL;
    thrift_set(&group, ELEMENT_NAME, THRIFT_BINARY, j->arena)->bytes = name->bytes;
    thrift_set(&group, ELEMENT_CHILDREN, THRIFT_I32, j->arena)->number = 2;
    if (id)
        thrift_set(&group, ELEMENT_ID, THRIFT_I32, j->arena)->number = id;
    struct thrift *logical = thrift_set(&group, ELEMENT_LOGICAL, THRIFT_STRUCT, j->arena);
    struct thrift *variant = thrift_set(logical, LOGICAL_VARIANT, THRIFT_STRUCT, j->arena);
    thrift_set(variant, VARIANT_VERSION, THRIFT_BYTE, j->arena)->number = 1;
    struct element *parts = ARENA_NEW_N(j->arena, struct element, 2);
    parts[0] = make_leaf(j, STR("metadata"), metadata->leaf);
    parts[1] = make_leaf(j, STR("value"), value->leaf);
    *value = (struct element){.t = group, .n = 2, .v = parts};
    return 0;
}

/* What repeats within an array or map, down from its group. */
static struct element *repeated(struct element *e)
{
    return e->n == 1 ? &e->v[0] : NULL;
}

static int join(struct joining *j, const struct type *type, struct element *value, struct element *metadata)
{
    struct element *inner = repeated(value), *other = repeated(metadata);
    bool map = type->id == TYPE_MAP;

    if (type->id == TYPE_VARIANT)
        return make_variant(j, value, metadata);
    if (type->id == TYPE_STRUCT) {
        uint32_t k = 0;
        for (uint32_t i = 0; i < type->n_children; i++) {
            if (!parquet_has_variant(&type->children[i].type))
                continue;
            if (i >= value->n || k >= metadata->n)
                return broken(j, "a struct lacks a field");
            TRY(join(j, &type->children[i].type, &value->v[i], &metadata->v[k++]));
        }
        return 0;
    }
    if (!inner || !other || inner->n != (map ? 2 : 1) || other->n != 1)
        return broken(j, "an array or map is none");
    return join(j, &type->children[map].type, &inner->v[map], &other->v[0]);
}

/* ---- and all of it a footer again ---- */

static int list_leaf(struct joining *j, const struct element *e)
{
    struct thrift *path = &j->paths[j->n_order];

    if (j->n_order == j->leaves)
        return broken(j, "it has leaves too many");
    *path = (struct thrift){.type = THRIFT_LIST, .element = THRIFT_BINARY, .id = META_PATH, .n = j->depth};
    path->v = ARENA_NEW_N(j->arena, struct thrift, j->depth + 1);
    for (unsigned i = 0; i < j->depth; i++)
        path->v[i] = (struct thrift){.type = THRIFT_BINARY, .bytes = j->path[i]};
    j->order[j->n_order++] = e->leaf;
    return 0;
}

static int list_element(struct joining *j, const struct element *e, bool root)
{
    const struct thrift *name = thrift_field(&e->t, ELEMENT_NAME, THRIFT_BINARY);

    if (!name || j->depth == ARRAY_LEN(j->path))
        return broken(j, "a column has no name");
    j->elements[j->n_elements++] = e->t;
    if (!root)
        j->path[j->depth++] = name->bytes;
    if (!e->n && !root)
        TRY(list_leaf(j, e));
    for (uint32_t i = 0; i < e->n; i++)
        TRY(list_element(j, &e->v[i], false));
    j->depth -= !root;
    return 0;
}

static int order_columns(struct joining *j, struct thrift *group)
{
    struct thrift *columns = thrift_field(group, GROUP_COLUMNS, THRIFT_LIST);

    if (!columns || columns->n != j->leaves || columns->element != THRIFT_STRUCT)
        return broken(j, "a row group lacks columns");
    struct thrift *v = ARENA_NEW_N(j->arena, struct thrift, columns->n + 1);
    for (uint32_t i = 0; i < columns->n; i++) {
        v[i] = columns->v[j->order[i]];
        struct thrift *meta = thrift_field(&v[i], COLUMN_META, THRIFT_STRUCT);
        struct thrift *path = meta ? thrift_field(meta, META_PATH, THRIFT_LIST) : NULL;
        if (!path)
            return broken(j, "a column chunk has no path");
        *path = j->paths[i];
    }
    columns->v = v;
    return 0;
}

static int join_columns(struct joining *j, struct element *root, const struct schema *schema)
{
    uint32_t n = schema->n_fields, k = n;

    for (uint32_t i = 0; i < n; i++) {
        if (!parquet_has_variant(&schema->fields[i].type))
            continue;
        if (k >= root->n)
            return broken(j, "a column of metadata is not there");
        TRY(join(j, &schema->fields[i].type, &root->v[i], &root->v[k++]));
    }
    if (k != root->n)
        return broken(j, "it has columns too many");
    root->n = n;
    thrift_set(&root->t, ELEMENT_CHILDREN, THRIFT_I32, j->arena)->number = n;
    return 0;
}

int parquet_join_variants(struct str footer, const struct schema *schema, struct buf *out, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct joining j = {.arena = &arena, .err = err};
    struct element root = {0};
    struct thrift file;

    TRY(thrift_read(footer, &arena, &file, err));
    j.schema = thrift_field(&file, FILE_SCHEMA, THRIFT_LIST);
    struct thrift *groups = thrift_field(&file, FILE_GROUPS, THRIFT_LIST);
    if (!j.schema || !groups || j.schema->element != THRIFT_STRUCT)
        return broken(&j, "it has no schema");
    TRY(read_element(&j, &root, 0));
    TRY(join_columns(&j, &root, schema));
    j.elements = ARENA_NEW_N(&arena, struct thrift, 2 * (size_t)j.schema->n);
    j.order = ARENA_NEW_N(&arena, uint32_t, j.leaves + 1);
    j.paths = ARENA_NEW_N(&arena, struct thrift, j.leaves + 1);
    TRY(list_element(&j, &root, true));
    if (j.n_order != j.leaves)
        return broken(&j, "it has leaves too many");
    j.schema->v = j.elements;
    j.schema->n = j.n_elements;
    for (uint32_t i = 0; i < groups->n; i++)
        TRY(order_columns(&j, &groups->v[i]));
    thrift_write(&file, out);
    return 0;
}
