/* Tests of deletion vectors: the set, its bytes against those of other writers, files, inline text, names. */
#include "codec/dv.h"

#include "base/test_fixture.h"
#include "base/mem.h"

#include <dirent.h>
#include <setjmp.h>
#include <zlib.h>

#include <cmocka.h>
#include <yyjson.h>

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        char two[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

static void fill_empty(struct dv *dv)
{
    (void)dv;
}

static void fill_array(struct dv *dv)
{
    static const uint64_t rows[] = {65535, 0, 1ull << 31, 7, 65536};

    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_true(dv_add(dv, rows[i]));
}

static void fill_run(struct dv *dv)
{
    for (uint64_t row = 10; row < 5000; row++)
        dv_add(dv, row);
}

static void fill_five_runs(struct dv *dv)
{
    for (uint64_t k = 0; k < 5; k++)
        dv_add_range(dv, k * 65536 + 1, 59);
}

static void fill_bitmap(struct dv *dv)
{
    for (uint64_t row = 0; row < 60000; row += 3)
        dv_add(dv, row);
}

static void fill_mixed(struct dv *dv)
{
    fill_bitmap(dv);
    dv_add_range(dv, 65536, 30000);
    dv_add(dv, 200000);
    dv_add(dv, 200002);
}

static void fill_high(struct dv *dv)
{
    dv_add(dv, (3ull << 32) - 1);
    dv_add(dv, (1ull << 40) + 7);
    dv_add(dv, 5);
    dv_add(dv, (1ull << 32) + 6);
}

/* What CRoaring 4's BitMap64 writes for the same sets (Python package pyroaring), behind the magic. */
static const struct golden {
    void (*fill)(struct dv *dv);
    size_t cardinality, size;
    uint32_t crc;
    const char *hex; /* where it is short */
} goldens[] = {
    {fill_empty, 0, 12, 0xbf18480c, "d1d339640000000000000000"},
    {fill_array, 5, 58, 0x515d3f08,
     "d1d339640100000000000000000000003a30000003000000000002000100000000800000200000002600000028000000"
     "00000700ffff00000000"},
    {fill_run, 4990, 31, 0x8879ee06, "d1d339640100000000000000000000003b3000000100007d1301000a007d13"},
    {fill_five_runs, 295, 91, 0xcbcbea1c, NULL},
    {fill_bitmap, 20000, 8224, 0xc59d019d, NULL},
    {fill_mixed, 50002, 8235, 0xca11aefb, NULL},
    {fill_high, 4, 100, 0x5b409114,
     "d1d339640400000000000000000000003a3000000100000000000000100000000500010000003a300000010000000000000010"
     "0000000600020000003a30000001000000ffff000010000000ffff000100003a3000000100000000000000100000000700"},
};

static void test_dv_serialize__same_bytes_as_another_writer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        const struct golden *g = &goldens[i];
        CLEANUP(dv_deinit) struct dv dv = {0}, back = {0};
        CLEANUP(buf_deinit) struct buf bytes = {0};
        struct err err;
        g->fill(&dv);
        assert_int_equal(dv_cardinality(&dv), g->cardinality);
        assert_int_equal(dv_serialize(&dv, &bytes), g->size);
        assert_int_equal(crc32(0, (const Bytef *)bytes.p, (uInt)bytes.n), g->crc);
        if (g->hex) {
            uint8_t expected[256];
            assert_int_equal(unhex(g->hex, expected), bytes.n);
            assert_memory_equal(bytes.p, expected, bytes.n);
        }
        assert_int_equal(dv_parse(bytes.p, bytes.n, &back, &err), 0);
        assert_true(dv_equal(&dv, &back));
    }
}

static void test_dv_parse__truncated_anywhere_or_longer_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(goldens); i++) {
        CLEANUP(dv_deinit) struct dv dv = {0}, back = {0};
        CLEANUP(buf_deinit) struct buf bytes = {0};
        struct err err;
        goldens[i].fill(&dv);
        dv_serialize(&dv, &bytes);
        for (size_t n = 0; n < bytes.n; n++) {
            void *copy = mem_dup(bytes.p, n); /* of its own, so that a read past the end shows */
            assert_int_equal(dv_parse(copy, n, &back, &err), ERR_INPUT);
            mem_free(copy);
            assert_int_equal(back.n, 0);
        }
        buf_add_char(&bytes, 0);
        assert_int_equal(dv_parse(bytes.p, bytes.n, &back, &err), ERR_INPUT);
    }
}

static void test_dv_parse__broken_containers_are_refused(void **state)
{
    static const char *const bad[] = {
        /* array not ascending; cardinality of a bitmap wrong is in the fuzz corpus */
        "d1d339640100000000000000000000003a3000000100000000000100100000000700"
        "0700",
        /* run past 65535; runs that overlap; run that contradicts the cardinality */
        "d1d339640100000000000000000000003b3000000100007d130100ffff7d13",
        "d1d339640100000000000000000000003b3000000100000300"
        "0200"
        "0a000100"
        "0b000100",
        "d1d339640100000000000000000000003b3000000100007d1301000a007c13",
        /* container keys not ascending */
        "d1d339640100000000000000000000003b3001000301000000"
        "0100000001000000"
        "010000000000"
        "010000000000",
        /* key with its top bit set; keys not ascending; unknown cookie; other magic */
        "d1d33964010000000000000000000080"
        "3a30000000000000",
        "d1d33964020000000000000001000000"
        "3a30000000000000"
        "01000000"
        "3a30000000000000",
        "d1d3396401000000000000000000000039300000"
        "00000000",
        "d2d339640000000000000000",
        "d1d33964ffffffffffffffff",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(dv_deinit) struct dv dv = {0};
        uint8_t bytes[256];
        struct err err;
        size_t n = unhex(bad[i], bytes);
        assert_int_equal(dv_parse(bytes, n, &dv, &err), ERR_INPUT);
    }
}

static void test_dv_parse__reads_the_legacy_little_endian_form(void **state)
{
    CLEANUP(dv_deinit) struct dv dv = {0};
    uint8_t bytes[256];
    struct err err;
    (void)state;
    size_t n = unhex("d0d33964"
                     "03000000"
                     "12000000"
                     "3a3000000100000000000000100000000700"
                     "08000000"
                     "3a30000000000000"
                     "12000000"
                     "3a3000000100000000000000100000000900",
                     bytes);
    assert_int_equal(dv_parse(bytes, n, &dv, &err), 0);
    assert_int_equal(dv_cardinality(&dv), 2);
    assert_true(dv_contains(&dv, 7) && dv_contains(&dv, (2ull << 32) + 9));
    bytes[8]++; /* a size that is not that of its bitmap */
    dv_deinit(&dv);
    assert_int_equal(dv_parse(bytes, n, &dv, &err), ERR_INPUT);
}

static void test_dv__set_operations(void **state)
{
    CLEANUP(dv_deinit) struct dv a = {0}, b = {0}, c = {0};
    (void)state;
    assert_true(dv_add(&a, 3));
    assert_false(dv_add(&a, 3));
    assert_false(dv_contains(&a, (1ull << 32) + 3));
    dv_add_range(&b, (1ull << 32) - 5, 10);
    assert_int_equal(dv_cardinality(&b), 10);
    dv_union(&a, &b);
    assert_int_equal(dv_cardinality(&a), 11);
    dv_clone(&a, &c);
    assert_true(dv_equal(&a, &c));
    dv_subtract(&c, &b);
    assert_int_equal(dv_cardinality(&c), 1);
    assert_int_equal(c.n, 1);
    assert_true(dv_contains(&c, 3) && !dv_contains(&c, 1ull << 32));
    assert_false(dv_equal(&a, &c));
}

static void test_dv_iter__ranges_cross_every_boundary(void **state)
{
    static const uint64_t ranges[][2] = {{0, 1}, {5, 1000}, {65530, 70000}, {(1ull << 32) - 3, 6}, {(5ull << 32), 2}};
    CLEANUP(dv_deinit) struct dv dv = {0};
    struct dv_iter it;
    uint64_t first, n;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        dv_add_range(&dv, ranges[i][0], ranges[i][1]);
    dv_iter_init(&it, &dv, 0);
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
        assert_int_equal(dv_iter_next(&it, &first, &n), 0);
        assert_int_equal(first, ranges[i][0]);
        assert_int_equal(n, ranges[i][1]);
    }
    assert_int_equal(dv_iter_next(&it, &first, &n), 1);
    assert_int_equal(dv_iter_next(&it, &first, &n), 1);
    dv_iter_init(&it, &dv, 100000);
    assert_int_equal(dv_iter_next(&it, &first, &n), 0);
    assert_int_equal(first, 100000);
    assert_int_equal(first + n, 135530);
    dv_iter_init(&it, &dv, (1ull << 32) + 3);
    assert_int_equal(dv_iter_next(&it, &first, &n), 0);
    assert_int_equal(first, 5ull << 32);
    dv_iter_init(&it, &dv, 1ull << 50);
    assert_int_equal(dv_iter_next(&it, &first, &n), 1);
}

static void test_dv_bits__every_window_over_every_boundary(void **state)
{
    static const uint64_t ranges[][2] = {{0, 1}, {5, 1000}, {65530, 70000}, {(1ull << 32) - 3, 6}, {(5ull << 32), 2}};
    static const uint64_t from[] = {
        0, 1, 6, 1000, 65500, 65536, 135000, (1ull << 32) - 70, 1ull << 32, (5ull << 32) - 9};
    static const uint32_t lengths[] = {1, 63, 64, 65, 700};
    CLEANUP(dv_deinit) struct dv dv = {0}, empty = {0};
    uint64_t bits[11];
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(ranges); i++)
        dv_add_range(&dv, ranges[i][0], ranges[i][1]);
    for (uint64_t row = 70; row < 900; row += 7) /* and rows alone, in a container of its own */
        dv_add(&dv, (2ull << 32) + row);
    for (size_t i = 0; i < ARRAY_LEN(from); i++)
        for (size_t j = 0; j < ARRAY_LEN(lengths); j++) {
            uint32_t n = 0;
            uint32_t found = dv_bits(&dv, from[i], lengths[j], bits);
            for (uint32_t k = 0; k < lengths[j]; k++) {
                bool is_in = bits[k / 64] >> (k % 64) & 1;
                assert_int_equal(is_in, dv_contains(&dv, from[i] + k));
                n += is_in;
            }
            assert_int_equal(found, n);
            assert_int_equal(dv_bits(&empty, from[i], lengths[j], bits), 0);
        }
    assert_int_equal(dv_bits(&dv, 2ull << 32, 700, bits), 90);
}

static void test_dv__random_rows_against_a_plain_array(void **state)
{
    enum { ROWS = 300000 };
    CLEANUP(dv_deinit) struct dv dv = {0}, back = {0};
    CLEANUP(mem_freep) uint8_t *is_in = mem_alloc(ROWS);
    CLEANUP(buf_deinit) struct buf bytes = {0};
    uint64_t seed = 42, first, n, total = 0;
    struct dv_iter it;
    struct err err;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t row = (seed >> 33) % ROWS;
        row = i % 3 ? row % 70000 : row;
        assert_int_equal(dv_add(&dv, row), !is_in[row]);
        is_in[row] = 1;
        if (i % 20000 == 0) { /* back and forth between container forms */
            buf_reset(&bytes);
            dv_serialize(&dv, &bytes);
        }
    }
    buf_reset(&bytes);
    dv_serialize(&dv, &bytes);
    assert_int_equal(dv_parse(bytes.p, bytes.n, &back, &err), 0);
    dv_iter_init(&it, &back, 0);
    while (dv_iter_next(&it, &first, &n) == 0) {
        assert_true(first == 0 || !is_in[first - 1]);
        assert_true(first + n == ROWS || !is_in[first + n]);
        for (uint64_t row = first; row < first + n; row++)
            assert_true(is_in[row]);
        total += n;
    }
    assert_int_equal(total, dv_cardinality(&dv));
}

static void test_z85__known_text_and_both_tails(void **state)
{
    static const uint8_t hello[] = {0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b};
    CLEANUP(buf_deinit) struct buf out = {0};
    struct err err;
    (void)state;
    z85_encode(hello, 8, &out); /* the example of ZeroMQ RFC 32 */
    assert_string_equal(out.p, "HelloWorld");
    buf_reset(&out);
    assert_int_equal(z85_decode(STR("HelloWorld"), 8, &out, &err), 0);
    assert_memory_equal(out.p, hello, 8);
    for (size_t n = 0; n <= 8; n++) {
        CLEANUP(buf_deinit) struct buf text = {0}, back = {0};
        z85_encode(hello, n, &text);
        assert_int_equal(z85_decode(buf_str(&text), n, &back, &err), 0);
        assert_int_equal(back.n, n);
        assert_true(n == 0 || memcmp(back.p, hello, n) == 0);
    }
    static const struct {
        const char *text;
        size_t n;
        const char *bytes;
    } tails[] = {{"##093", 2, "\3\0"}, {"###30", 1, "\xff"}, {"#0001", 3, "\0\0\1"}};
    for (size_t i = 0; i < ARRAY_LEN(tails); i++) {
        buf_reset(&out);
        assert_int_equal(z85_decode(str_of(tails[i].text), tails[i].n, &out, &err), 0);
        assert_memory_equal(out.p, tails[i].bytes, tails[i].n);
    }
    static const struct {
        const char *text;
        size_t n;
    } bad[] = {{"Hello", 5}, {"Hell", 4},  {"Hel\"o", 4}, {"#####", 4},
               {"##093", 3}, {"##093", 4}, {"%nSc1", 4},  {"", 1}};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(z85_decode(str_of(bad[i].text), bad[i].n, &out, &err), ERR_INPUT);
}

static void test_dv_inline__text_that_other_writers_wrote(void **state)
{
    static const struct {
        const char *text; /* kernel-rs, table cdf-table-with-dv: the first one has the '#' tail */
        int64_t size, cardinality;
        uint64_t row; /* one that is in it */
    } cases[] = {
        {"^Bg9^0rr910000000000iXQKl0rr91000005c8Xg##093", 34, 1, 3},
        {"^Bg9^0rr910000000000iXQKl0rr91000005c8Xg0@@r3", 34, 1, 3},
        {"^Bg9^0rr910000000000iXQKl0rr91000315c8Xg000f5", 36, 2, 0},
        {"^Bg9^0rr910000000000iXQKl0rr91000935c8Xg000311onP9", 40, 4, 1},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(dv_deinit) struct dv dv = {0}, again = {0};
        CLEANUP(buf_deinit) struct buf text = {0};
        struct err err;
        assert_int_equal(dv_inline_read(str_of(cases[i].text), cases[i].size, cases[i].cardinality, &dv, &err), 0);
        assert_true(dv_contains(&dv, cases[i].row));
        assert_int_equal(dv_inline_write(&dv, &text), cases[i].size);
        if (!strchr(cases[i].text, '#'))
            assert_string_equal(text.p, cases[i].text);
        assert_int_equal(dv_inline_read(str_of(cases[i].text), cases[i].size, 99, &again, &err), ERR_INPUT);
        assert_int_equal(dv_inline_read(str_of(cases[i].text), -1, -1, &again, &err), ERR_INPUT);
    }
}

static void test_dv_path__from_uuid_prefix_and_absolute(void **state)
{
    CLEANUP(buf_deinit) struct buf path = {0}, text = {0};
    uint8_t uuid[16];
    struct err err;
    (void)state;
    assert_int_equal(dv_path('u', STR("ab^-aqEH.-t@S}K{vb[*k^"), &path, &err), 0); /* the protocol's example */
    assert_string_equal(path.p, "ab/deletion_vector_d2c639aa-8816-431a-aaf6-d3fe2512ff61.bin");
    unhex("d2c639aa8816431aaaf6d3fe2512ff61", uuid);
    dv_uuid_text(STR("ab"), uuid, &text);
    assert_string_equal(text.p, "ab^-aqEH.-t@S}K{vb[*k^");
    buf_reset(&text);
    dv_uuid_path(STR("ab"), uuid, &text);
    assert_string_equal(text.p, path.p);
    buf_reset(&path);
    assert_int_equal(dv_path('p', STR("s3://b/t/x.bin"), &path, &err), 0);
    assert_string_equal(path.p, "s3://b/t/x.bin");
    assert_int_equal(dv_path('u', STR("short"), &path, &err), ERR_INPUT);
    assert_int_equal(dv_path('u', STR("\"-aqEH.-t@S}K{vb[*k^"), &path, &err), ERR_INPUT);
    assert_int_equal(dv_path('i', STR("ab^-aqEH.-t@S}K{vb[*k^"), &path, &err), ERR_INPUT);
    assert_int_equal(dv_path(0, STR(""), &path, &err), ERR_INPUT);
}

static void test_dv_file__blocks_are_found_and_checked(void **state)
{
    CLEANUP(buf_deinit) struct buf file = {0};
    CLEANUP(dv_deinit) struct dv a = {0}, b = {0}, got = {0};
    int32_t offset[2], size[2];
    struct err err;
    (void)state;
    fill_array(&a);
    fill_run(&b);
    dv_file_begin(&file);
    assert_int_equal(dv_file_append(&file, &a, &offset[0], &size[0], &err), 0);
    assert_int_equal(dv_file_append(&file, &b, &offset[1], &size[1], &err), 0);
    assert_int_equal(offset[0], 1);
    assert_int_equal(size[0], 58);
    assert_int_equal(offset[1], 1 + 58 + DV_BLOCK_OVERHEAD);
    assert_int_equal(dv_file_read(file.p, file.n, offset[1], size[1], 4990, &got, &err), 0);
    assert_true(dv_equal(&b, &got));
    dv_deinit(&got);
    assert_int_equal(dv_file_read(file.p, file.n, offset[1], size[1], 4991, &got, &err), ERR_INPUT);
    assert_int_equal(dv_file_read(file.p, file.n, offset[1], size[1] + 1, -1, &got, &err), ERR_INPUT);
    assert_int_equal(dv_file_read(file.p, file.n, offset[1] + 1, size[1], -1, &got, &err), ERR_INPUT);
    assert_int_equal(dv_file_read(file.p, file.n, -1, size[1], -1, &got, &err), ERR_INPUT);
    assert_int_equal(dv_file_read(file.p, file.n, (int64_t)file.n + 1, size[1], -1, &got, &err), ERR_INPUT);
    for (size_t n = 0; n < file.n; n++) {
        void *copy = mem_dup(file.p, n);
        assert_int_equal(dv_file_read(copy, n, offset[1], size[1], -1, &got, &err), ERR_INPUT);
        mem_free(copy);
    }
    file.p[offset[1] + 20] ^= 1;
    assert_int_equal(dv_file_read(file.p, file.n, offset[1], size[1], -1, &got, &err), ERR_INPUT);
    assert_non_null(strstr(err.msg, "CRC-32"));
    file.p[0] = 2;
    assert_int_equal(dv_file_read(file.p, file.n, offset[0], size[0], -1, &got, &err), ERR_UNSUPPORTED);
}

/* Reads the vector of one descriptor of a table's log, writes it again, and compares the bytes. */
static void check_descriptor(const char *table, yyjson_val *desc)
{
    const char *storage = yyjson_get_str(yyjson_obj_get(desc, "storageType"));
    struct str text = str_of(yyjson_get_str(yyjson_obj_get(desc, "pathOrInlineDv")));
    int64_t size = yyjson_get_sint(yyjson_obj_get(desc, "sizeInBytes"));
    int64_t offset = yyjson_get_sint(yyjson_obj_get(desc, "offset"));
    int64_t cardinality = yyjson_get_sint(yyjson_obj_get(desc, "cardinality"));
    CLEANUP(buf_deinit) struct buf path = {0}, bytes = {0}, again = {0};
    CLEANUP(dv_deinit) struct dv dv = {0};
    struct err err = {0};

    if (storage[0] == 'i') {
        assert_int_equal(dv_inline_read(text, size, cardinality, &dv, &err), 0);
        return;
    }
    buf_printf(&path, "%s/", table);
    assert_int_equal(dv_path(storage[0], text, &path, &err), 0);
    if (file_read(path.p, &bytes, &err) == ERR_NOT_FOUND)
        return; /* vacuumed */
    if (dv_file_read(bytes.p, bytes.n, offset, size, cardinality, &dv, &err) < 0)
        fail_msg("%s: %s", path.p, err.msg);
    /* Spark does not always run-compress what it merges. */
    assert_true(dv_serialize(&dv, &again) <= (size_t)size);
    if (again.n == (size_t)size)
        assert_memory_equal(again.p, bytes.p + offset + 4, (size_t)size);
}

static int check_log_file(const char *table, const char *log)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    struct err err;
    int n = 0;

    assert_int_equal(file_read(log, &text, &err), 0);
    for (struct str rest = buf_str(&text); rest.p;) {
        struct str line = str_split(&rest, '\n');
        yyjson_doc *doc = yyjson_read(line.p, line.n, 0);
        yyjson_val *desc = yyjson_obj_get(yyjson_obj_get(yyjson_doc_get_root(doc), "add"), "deletionVector");
        if (yyjson_is_obj(desc)) {
            check_descriptor(table, desc);
            n++;
        }
        yyjson_doc_free(doc);
    }
    return n;
}

static void test_dv__fixtures_of_real_tables(void **state)
{
    static const char *const tables[] = {
        "fixtures/spark-delta/dv_many/table",      "fixtures/spark-delta/dml_dv/table",
        "fixtures/spark-delta/cdf_dv/table",       "fixtures/spark-delta/row_tracking/table",
        "fixtures/spark-delta/restore/table",      "fixtures/spark-delta/optimize/table",
        "corpora/kernel-data/table-with-dv-small", "corpora/kernel-data/with-short-dv",
    };
    char table[4096], log[5000];
    int n = 0;
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        if (!fixture_path(tables[i], table))
            skip();
        snprintf(log, sizeof log, "%s/_delta_log", table);
        DIR *dir = opendir(log);
        assert_non_null(dir);
        for (struct dirent *e; (e = readdir(dir));) {
            if (strlen(e->d_name) != 25 || !str_has_suffix(str_of(e->d_name), STR(".json")))
                continue;
            snprintf(log, sizeof log, "%s/_delta_log/%s", table, e->d_name);
            n += check_log_file(table, log);
        }
        closedir(dir);
    }
    assert_true(n >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dv_serialize__same_bytes_as_another_writer),
        cmocka_unit_test(test_dv_parse__truncated_anywhere_or_longer_is_refused),
        cmocka_unit_test(test_dv_parse__broken_containers_are_refused),
        cmocka_unit_test(test_dv_parse__reads_the_legacy_little_endian_form),
        cmocka_unit_test(test_dv__set_operations),
        cmocka_unit_test(test_dv_iter__ranges_cross_every_boundary),
        cmocka_unit_test(test_dv_bits__every_window_over_every_boundary),
        cmocka_unit_test(test_dv__random_rows_against_a_plain_array),
        cmocka_unit_test(test_z85__known_text_and_both_tails),
        cmocka_unit_test(test_dv_inline__text_that_other_writers_wrote),
        cmocka_unit_test(test_dv_path__from_uuid_prefix_and_absolute),
        cmocka_unit_test(test_dv_file__blocks_are_found_and_checked),
        cmocka_unit_test(test_dv__fixtures_of_real_tables),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
