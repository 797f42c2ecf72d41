/* Any bytes as a footer: refused, or written again as what reads the same, without annotations of variants, with joined columns. */
#include "codec/parquet_bare.h"
#include "codec/parquet_join.h"
#include "codec/thrift.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void write_again(const struct thrift *t)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf first = {0}, second = {0};
    struct thrift again;

    thrift_write(t, &first);
    int rc = thrift_read(buf_str(&first), &arena, &again, NULL);
    assert(rc == 0);
    thrift_write(&again, &second);
    assert(str_eq(buf_str(&first), buf_str(&second)));
}

static void join(struct str footer)
{
    CLEANUP(buf_deinit) struct buf out = {0};
    struct field element = {.name = STR("element"), .type = {.id = TYPE_VARIANT}};
    struct field fields[] = {{.name = STR("v"), .type = {.id = TYPE_VARIANT}},
                             {.name = STR("l"), .type = {.id = TYPE_ARRAY, .n_children = 1, .children = &element}}};
    const struct schema schema = {.n_fields = 2, .fields = fields};

    (void)!parquet_join_variants(footer, &schema, &out, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct str footer = str_make(data, size);
    struct parquet_variants found;
    struct thrift t;

    if (thrift_read(footer, &arena, &t, NULL) < 0)
        return 0;
    write_again(&t);
    join(footer);
    (void)!parquet_bare(footer, &found, &out, NULL);
    return 0;
}
