/* Fuzz target: any bytes as a deletion vector, as a file of them and as Z85; what parses must survive a round trip. */
#include "codec/dv.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void round_trip(struct dv *dv)
{
    CLEANUP(buf_deinit) struct buf bytes = {0};
    CLEANUP(dv_deinit) struct dv back = {0}, both = {0};
    struct dv_iter it;
    uint64_t first, len, total = 0;

    size_t size = dv_serialize(dv, &bytes);
    assert(size == bytes.n);
    int rc = dv_parse(bytes.p, bytes.n, &back, NULL);
    assert(rc == 0 && dv_equal(dv, &back));
    dv_iter_init(&it, dv, 0);
    while (dv_iter_next(&it, &first, &len) == 0) {
        assert(dv_contains(dv, first) && dv_contains(dv, first + len - 1) && !dv_contains(dv, first + len));
        total += len;
    }
    assert(total == dv_cardinality(dv));
    dv_clone(dv, &both);
    dv_union(&both, &back);
    assert(dv_equal(&both, dv));
    dv_subtract(&both, &back);
    assert(dv_cardinality(&both) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    CLEANUP(dv_deinit) struct dv dv = {0}, in_file = {0}, in_text = {0};
    CLEANUP(buf_deinit) struct buf path = {0};

    if (dv_parse(data, n, &dv, NULL) == 0 && dv_cardinality(&dv) < 1 << 20)
        round_trip(&dv);
    if (dv_file_read(data, n, 1, n > 9 ? (int64_t)n - 9 : 0, -1, &in_file, NULL) == 0)
        assert(n > 9);
    struct str text = str_make(data, n);
    if (dv_inline_read(text, (int64_t)(n / 5 * 4), -1, &in_text, NULL) == 0)
        assert(in_text.cardinality > 0 || in_text.n == 0);
    if (dv_path('u', text, &path, NULL) == 0)
        assert(str_has_suffix(buf_str(&path), STR(".bin")));
    return 0;
}
