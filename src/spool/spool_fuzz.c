/* Any bytes as a segment header, a block, or frames: never more than an error. */
#include "spool/spool_format.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
    static struct spool_zstd *zstd;
    CLEANUP(buf_deinit) struct buf raw = {.max = 1 << 20};
    struct spool_segment_header h;
    struct spool_block b;
    struct spool_frame f;
    struct err err;
    struct reader r = reader_of(p, n);

    if (!zstd)
        zstd = spool_zstd_new();
    (void)!spool_segment_decode(p, n, &h, &err);
    while (spool_frame_decode(&r, &f, &err) == 0)
        assert(f.payload.n <= n);
    (void)!spool_block_check(p, n, 1, SPOOL_SEGMENT_HEADER, &b, &err);
    /* The checksum keeps nearly all inputs out: unpack what only looks like a block, too. */
    if (n >= SPOOL_BLOCK_HEADER) {
        b = (struct spool_block){
            .flags = p[0] & 1, .raw_len = (uint32_t)p[1] << 4, .stored_len = (uint32_t)(n - SPOOL_BLOCK_HEADER)};
        if (spool_block_unpack(zstd, &b, p, &raw, &err) == 0) {
            r = reader_of(raw.p, raw.n);
            while (spool_frame_decode(&r, &f, &err) == 0)
                ;
        }
    }
    return 0;
}
