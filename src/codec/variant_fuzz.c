/*
 * Any bytes as a variant (the first says how many of the others are metadata): read or refused, in bounded room. The same
 * bytes as JSON: refused, or written and read as JSON that goes through again, in the end unchanged.
 */
#include "codec/variant.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False: no JSON. */
static bool through(struct str json, struct buf *ret_text)
{
    CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
    CLEANUP(buf_deinit) struct buf metadata = {0};
    struct err err;

    if (variant_from_json(&w, json, &err) < 0)
        return false;
    int rc = variant_metadata(&w, &metadata, &err);
    assert(rc == 0);
    rc = variant_to_json(buf_str(&metadata), buf_str(&w.value), ret_text, &err);
    assert(rc == 0);
    return true;
}

static void write_and_read(struct str json)
{
    CLEANUP(buf_deinit) struct buf first = {0}, second = {0}, third = {0};

    if (!through(json, &first))
        return;
    bool ok = through(buf_str(&first), &second); /* a double may come back as a decimal */
    assert(ok);
    ok = through(buf_str(&second), &third);
    assert(ok && str_eq(buf_str(&second), buf_str(&third)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP(buf_deinit) struct buf out = {.max = 1 << 20};
    struct err err;

    if (!size)
        return 0;
    size_t n = MIN(data[0], size - 1);
    int rc = variant_to_json(str_make(data + 1, n), str_make(data + 1 + n, size - 1 - n), &out, &err);
    assert(rc <= 0);
    write_and_read(str_make(data, size));
    return 0;
}
