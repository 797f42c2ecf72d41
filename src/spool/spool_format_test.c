/* Tests of spool_format: round trip, truncation and change of every byte. */
#include "spool/test_tools.h"

/* --- The format --- */

static void fill_frames(struct buf *raw, unsigned n)
{
    CLEANUP(buf_deinit) struct buf b = {0};

    for (unsigned i = 0; i < n; i++) {
        struct spool_frame f = {.lsn = 1000 + i, .kind = i % 3 == 1 ? SPOOL_RESTART : SPOOL_DATA};
        buf_reset(&b);
        put_row(&b, 'I', 0, i, i * 3);
        f.payload = buf_str(&b);
        spool_frame_encode(&f, raw);
    }
}

static void test_format__block_survives_round_trip_and_no_change(void **state)
{
    CLEANUP(buf_deinit) struct buf raw = {0}, out = {0}, back = {0};
    struct spool_zstd *z = spool_zstd_new();
    struct spool_block b = {.flags = SPOOL_BLOCK_BOUNDARY,
                            .segment = 7,
                            .offset = 640,
                            .first_lsn = 5,
                            .state = {1, 2, 3}},
                       got;
    (void)state;
    for (unsigned frames = 1; frames < 40; frames += 13) {
        buf_reset(&raw);
        fill_frames(&raw, frames);
        spool_block_encode(z, &b, buf_str(&raw), &out);
        OK(spool_block_check(out.p, out.n, 7, 640, &got, &err));
        assert_memory_equal(&got, &b, sizeof b);
        OK(spool_block_unpack(z, &got, out.p, &back, &err));
        assert_true(str_eq(buf_str(&raw), buf_str(&back)));
        assert_int_equal(spool_block_check(out.p, out.n, 7, 641, &got, NULL), ERR_INPUT);
        assert_int_equal(spool_block_check(out.p, out.n, 8, 640, &got, NULL), ERR_INPUT);
        for (size_t n = 0; n < out.n; n++)
            assert_int_equal(spool_block_check(out.p, n, 7, 640, &got, NULL), ERR_INPUT);
        for (size_t bit = 0; bit < out.n * 8; bit++) {
            out.p[bit / 8] ^= (char)(1 << bit % 8);
            assert_int_equal(spool_block_check(out.p, out.n, 7, 640, &got, NULL), ERR_INPUT);
            out.p[bit / 8] ^= (char)(1 << bit % 8);
        }
    }
    spool_zstd_free(z);
}

static void test_format__bytes_are_as_drawn(void **state)
{
    CLEANUP(buf_deinit) struct buf raw = {0}, out = {0};
    struct spool_zstd *z = spool_zstd_new();
    struct spool_frame f = {.lsn = 0x0102030405060708, .payload = STR("Bxyz")};
    struct spool_block b = {.segment = 1, .offset = 64, .first_lsn = 9, .state = {10, 11, 12}};
    (void)state;
    spool_frame_encode(&f, &raw);
    assert_memory_equal(raw.p,
                        "\4\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01"
                        "Bxyz",
                        17);
    spool_block_encode(z, &b, buf_str(&raw), &out);
    assert_int_equal(out.n, SPOOL_BLOCK_HEADER + 17);
    assert_memory_equal(out.p + 8,
                        "SLBK\0\0\0\0\x11\0\0\0\x11\0\0\0\1\0\0\0\0\0\0\0@\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x0a", 41);
    assert_memory_equal(out.p + SPOOL_BLOCK_HEADER, raw.p, 17);
    spool_zstd_free(z);
}

static void test_format__segment_header_refuses_damage_and_newer_formats(void **state)
{
    struct spool_segment_header h = {5, -7, {1, 2, 3}}, got;
    char bytes[SPOOL_SEGMENT_HEADER];
    (void)state;
    spool_segment_encode(&h, bytes);
    OK(spool_segment_decode(bytes, sizeof bytes, &got, &err));
    assert_memory_equal(&got, &h, sizeof h);
    for (size_t n = 0; n < sizeof bytes; n++)
        assert_int_equal(spool_segment_decode(bytes, n, &got, NULL), ERR_INPUT);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        bytes[bit / 8] ^= (char)(1 << bit % 8);
        assert_int_equal(spool_segment_decode(bytes, sizeof bytes, &got, NULL), ERR_INPUT);
        bytes[bit / 8] ^= (char)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format__block_survives_round_trip_and_no_change),
        cmocka_unit_test(test_format__bytes_are_as_drawn),
        cmocka_unit_test(test_format__segment_header_refuses_damage_and_newer_formats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
