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
