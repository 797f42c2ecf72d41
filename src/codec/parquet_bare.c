/* The schema's elements, which stand depth first, are gone through with the numbers of their leaves. */
#include "codec/parquet_bare.h"

#include "codec/thrift.h"

/* Ids of fields in parquet.thrift. */
enum { FILE_SCHEMA = 2, FILE_GROUPS = 4 };
enum { ELEMENT_TYPE = 1, ELEMENT_NAME = 4, ELEMENT_CHILDREN = 5, ELEMENT_LOGICAL = 10, LOGICAL_VARIANT = 16 };
enum {
    GROUP_COLUMNS = 1,
    COLUMN_META = 3,
    META_VALUES = 5,
    META_STATISTICS = 12,
    STATISTICS_NULLS = 3,
    STATISTICS_MIN = 6
};
enum { BYTE_ARRAY = 6 };

struct baring {
    struct thrift *schema, *groups;
    struct parquet_variants found;
    struct err *err;
};

static bool is_leaf(const struct thrift *e, const char *name)
{
    const struct thrift *n = thrift_field(e, ELEMENT_NAME, THRIFT_BINARY);

    return n && str_is(n->bytes, name) && thrift_number(e, ELEMENT_TYPE, -1) == BYTE_ARRAY &&
           !thrift_number(e, ELEMENT_CHILDREN, 0);
}

/* Is none of the leaf's values the null of JSON, a single 0 byte? */
static bool has_no_null(const struct thrift *group, uint32_t leaf)
{
    const struct thrift *columns = thrift_field(group, GROUP_COLUMNS, THRIFT_LIST);
    const struct thrift *meta =
        columns && leaf < columns->n ? thrift_field(&columns->v[leaf], COLUMN_META, THRIFT_STRUCT) : NULL;
    const struct thrift *statistics = meta ? thrift_field(meta, META_STATISTICS, THRIFT_STRUCT) : NULL;

    if (!statistics)
        return false;
    if (thrift_number(statistics, STATISTICS_NULLS, -1) == thrift_number(meta, META_VALUES, -2))
        return true; /* there are no values */
    const struct thrift *min = thrift_field(statistics, STATISTICS_MIN, THRIFT_BINARY);
    return min && min->bytes.n && min->bytes.p[0];
}

/* `e` is annotated, and `leaf` the number of the first leaf in it. */
static void bare(struct baring *b, struct thrift *e, uint32_t left, uint32_t leaf)
{
    bool plain = thrift_number(e, ELEMENT_CHILDREN, 0) == 2 && left > 2;
    uint32_t value = plain && is_leaf(&e[2], "value");

    b->found.any = true;
    if (!plain || !is_leaf(&e[2 - value], "metadata") || !is_leaf(&e[1 + value], "value")) {
        b->found.shredded = true;
        return;
    }
    for (uint32_t i = 0; i < b->groups->n; i++)
        b->found.nulls |= !has_no_null(&b->groups->v[i], leaf + value);
    for (uint32_t i = 0; i < e->n; i++) {
        if (e->v[i].id != ELEMENT_LOGICAL)
            continue;
        memmove(&e->v[i], &e->v[i + 1], (e->n - 1 - i) * sizeof *e->v);
        e->n--;
    }
}

int parquet_bare(struct str footer, struct parquet_variants *ret, struct buf *out, struct err *err)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    struct baring b = {.err = err};
    struct thrift file;
    uint32_t leaf = 0;

    TRY(thrift_read(footer, &arena, &file, err));
    b.schema = thrift_field(&file, FILE_SCHEMA, THRIFT_LIST);
    b.groups = thrift_field(&file, FILE_GROUPS, THRIFT_LIST);
    if (!b.schema || !b.groups || b.schema->element != THRIFT_STRUCT || b.groups->element != THRIFT_STRUCT)
        return err_set(err, ERR_INPUT, "a footer without a schema or row groups");
    for (uint32_t i = 0; i < b.schema->n; i++) {
        struct thrift *e = &b.schema->v[i], *logical = thrift_field(e, ELEMENT_LOGICAL, THRIFT_STRUCT);
        if (logical && thrift_field(logical, LOGICAL_VARIANT, THRIFT_STRUCT))
            bare(&b, e, b.schema->n - i, leaf);
        leaf += !thrift_number(e, ELEMENT_CHILDREN, 0);
    }
    *ret = b.found;
    thrift_write(&file, out);
    return 0;
}

static void bare_type(struct type *type, struct arena *arena)
{
    static const char *const names[] = {"metadata", "value"};

    for (uint32_t i = 0; i < type->n_children; i++)
        bare_type(&type->children[i].type, arena);
    if (type->id != TYPE_VARIANT)
        return;
    *type = (struct type){.id = TYPE_STRUCT, .n_children = 2, .children = ARENA_NEW_N(arena, struct field, 2)};
    for (uint32_t i = 0; i < 2; i++) {
        struct str name = str_of(names[i]);
        type->children[i] =
            (struct field){.name = name, .physical = name, .type = {.id = TYPE_BINARY}, .nullable = true};
    }
}

void parquet_bare_schema(struct schema *schema)
{
    for (uint32_t i = 0; i < schema->n_fields; i++)
        bare_type(&schema->fields[i].type, &schema->arena);
}
