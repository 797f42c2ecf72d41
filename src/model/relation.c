/* Relations: shared, immutable once published. */
#include "model/relation.h"

#include "base/mem.h"

struct relation *relation_new(void)
{
    struct relation *r = MEM_NEW(struct relation);

    r->refs = 1;
    return r;
}

struct relation *relation_ref(const struct relation *r)
{
    struct relation *shared = (struct relation *)r;

    atomic_fetch_add(&shared->refs, 1);
    return shared;
}

void relation_unref(struct relation *r)
{
    if (!r || atomic_fetch_sub(&r->refs, 1) > 1)
        return;
    arena_deinit(&r->arena);
    mem_free(r);
}

static bool same_column(const struct relation_column *a, const struct relation_column *b)
{
    return str_eq(a->name, b->name) && a->attnum == b->attnum && a->declared_oid == b->declared_oid &&
           a->type_oid == b->type_oid && a->typmod == b->typmod && a->elem_oid == b->elem_oid &&
           a->typtype == b->typtype && a->has_missing == b->has_missing && a->key_seq == b->key_seq &&
           str_eq(a->missing_text, b->missing_text);
}

bool relation_same_columns(const struct relation *a, const struct relation *b)
{
    bool same = a->n_columns == b->n_columns;

    for (uint32_t i = 0; same && i < a->n_columns; i++) {
        const struct relation_column *x = &a->columns[i], *y = &b->columns[i];
        same = x->attnum == y->attnum && str_eq(x->name, y->name) && x->declared_oid == y->declared_oid &&
               x->typmod == y->typmod;
    }
    return same;
}

bool relation_same(const struct relation *a, const struct relation *b)
{
    bool same = str_eq(a->schema, b->schema) && str_eq(a->name, b->name) && a->identity == b->identity &&
                a->full == b->full && a->storage == b->storage && a->shape == b->shape &&
                a->n_attributes == b->n_attributes && a->doubtful == b->doubtful && a->current == b->current &&
                a->n_columns == b->n_columns;

    for (uint32_t i = 0; same && i < a->n_columns; i++)
        same = same_column(&a->columns[i], &b->columns[i]);
    return same;
}

const struct relation_column *relation_column_of(const struct relation *r, int attnum)
{
    for (uint32_t i = 0; r && i < r->n_columns; i++)
        if (r->columns[i].attnum == attnum)
            return &r->columns[i];
    return NULL;
}
