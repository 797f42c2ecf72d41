/* Fuzz target: any bytes as a binary COPY, whole and in slices of any size; both must give the same rows and end. */
#include "codec/pg_copy.h"

#include "base/mem.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int read_sliced(const uint8_t *data, size_t n, uint16_t n_fields, size_t slice, uint64_t *ret_sum)
{
    struct pg_copy_reader r;
    const struct str *f;
    int rc = ERR_AGAIN;

    pg_copy_reader_init(&r, n_fields, 4096);
    *ret_sum = 0;
    for (size_t at = 0; at < n && rc == ERR_AGAIN; at += slice) {
        size_t m = MIN(slice, n - at);
        uint8_t *copy = mem_dup(data + at, m);
        pg_copy_feed(&r, copy, m);
        while ((rc = pg_copy_read_row(&r, &f, NULL)) == 0)
            for (uint16_t i = 0; i < n_fields; i++)
                for (size_t b = 0; b < f[i].n; b++)
                    *ret_sum = *ret_sum * 31 + (uint8_t)f[i].p[b] + i;
        mem_free(copy);
        if (rc == 1 && at + m < n)
            rc = ERR_INPUT; /* bytes after the trailer */
    }
    pg_copy_reader_deinit(&r);
    return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    uint64_t whole, sliced;

    if (n < 3)
        return 0;
    uint16_t n_fields = data[0] % 8;
    int a = read_sliced(data + 2, n - 2, n_fields, n, &whole);
    int b = read_sliced(data + 2, n - 2, n_fields, data[1] % 32 + 1u, &sliced);
    assert(a == b && whole == sliced);
    return 0;
}
