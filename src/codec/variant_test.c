/* Tests of variants: bytes against those of Spark 4.1, JSON and back, broken bytes. */
#include "codec/variant.h"

#include "base/mem.h"

#include <setjmp.h>
#include <stdlib.h>
#include <zlib.h>

#include <cmocka.h>

static struct str unhex(const char *hex, struct buf *out)
{
    buf_reset(out);
    for (; *hex; hex += 2) {
        char two[3] = {hex[0], hex[1], 0};
        buf_add_char(out, (char)strtoul(two, NULL, 16));
    }
    return buf_str(out);
}

static void assert_bytes(struct str got, struct str expected)
{
    assert_int_equal(got.n, expected.n);
    assert_memory_equal(got.p, expected.p, got.n);
}

/* Made by Spark 4.1.1: parse_json(json) and to_json() of it. */
static const struct {
    const char *json, *metadata, *value;
    const char *back; /* NULL: as it was */
} GOLDEN[] = {
    {"null", "010000", "00", NULL},
    {"true", "010000", "04", NULL},
    {"false", "010000", "08", NULL},
    {"0", "010000", "0c00", NULL},
    {"-0", "010000", "0c00", "0"},
    {"1", "010000", "0c01", NULL},
    {"127", "010000", "0c7f", NULL},
    {"128", "010000", "108000", NULL},
    {"-128", "010000", "0c80", NULL},
    {"-129", "010000", "107fff", NULL},
    {"32767", "010000", "10ff7f", NULL},
    {"32768", "010000", "1400800000", NULL},
    {"2147483647", "010000", "14ffffff7f", NULL},
    {"2147483648", "010000", "180000008000000000", NULL},
    {"-2147483649", "010000", "18ffffff7fffffffff", NULL},
    {"9223372036854775807", "010000", "18ffffffffffffff7f", NULL},
    {"9223372036854775808", "010000", "280000000000000000800000000000000000", NULL},
    {"-9223372036854775808", "010000", "180000000000000080", NULL},
    {"1.0", "010000", "20010a000000", "1"},
    {"1.25", "010000", "20027d000000", NULL},
    {"-1.25", "010000", "200283ffffff", NULL},
    {"0.05", "010000", "200205000000", NULL},
    {"0.00", "010000", "200200000000", "0"},
    {"-0.0", "010000", "200100000000", "0"},
    {"999999999", "010000", "14ffc99a3b", NULL},
    {"99999999.9", "010000", "2001ffc99a3b", NULL},
    {"9999999999.9", "010000", "2401ffe7764817000000", NULL},
    {"0.1234567891", "010000", "240ad302964900000000", NULL},
    {"123456789012345678.9", "010000", "28011581e97df41022110000000000000000", NULL},
    {"12345678901234567890123456789012345678", "010000", "28004ef338de509049c4133302f0f6b04909", NULL},
    {"123456789012345678901234567890123456789", "010000", "1c800558693a38d747", "1.2345678901234568E38"},
    {"1e5", "010000", "1c00000000006af840", "100000.0"},
    {"1.5e300", "010000", "1c355800662deb417e", "1.5E300"},
    {"-2.5E-3", "010000", "1c7b14ae47e17a64bf", "-0.0025"},
    {"1e400", "010000", "1c000000000000f07f", "\"Infinity\""},
    {"0.12345678901234567890123456789012345678", "010000", "28264ef338de509049c4133302f0f6b04909", NULL},
    {"0.123456789012345678901234567890123456789", "010000", "1c5ff64637dd9abf3f", "0.12345678901234568"},
    {"\"\"", "010000", "01", NULL},
    {"\"x\"", "010000", "0578", NULL},
    {"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "010000",
     "fd616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161",
     NULL},
    {"\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"", "010000",
     "404000000061616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161616161",
     NULL},
    {"\"\303\251\360\237\230\200\\u0000\\n\"", "010000", "21c3a9f09f9880000a", NULL},
    {"[]", "010000", "030000", NULL},
    {"{}", "010000", "020000", NULL},
    {"[1,2,3]", "010000", "0303000204060c010c020c03", NULL},
    {"[[],{}]", "010000", "0302000306030000020000", NULL},
    {"{\"b\":1,\"a\":2}", "01020001026261", "020201000200040c010c02", "{\"a\":2,\"b\":1}"},
    {"{\"z\":{\"a\":1,\"z\":[null]},\"a\":\"x\",\"\303\244\":1.5}", "0103000102047a61c3a4",
     "02030100020e001016020201000002070c010301000100057820010f000000",
     "{\"a\":\"x\",\"z\":{\"a\":1,\"z\":[null]},\"\303\244\":1.5}"},
    {" { \"a\" : 1 } ", "0101000161", "02010000020c01", "{\"a\":1}"},
};

static void test_variant_from_json__gives_the_bytes_of_spark(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN); i++) {
        CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
        CLEANUP(buf_deinit) struct buf metadata = {0}, expected = {0};
        assert_int_equal(variant_from_json(&w, str_of(GOLDEN[i].json), NULL), 0);
        assert_int_equal(variant_metadata(&w, &metadata, NULL), 0);
        assert_bytes(buf_str(&metadata), unhex(GOLDEN[i].metadata, &expected));
        assert_bytes(buf_str(&w.value), unhex(GOLDEN[i].value, &expected));
    }
}

static void test_variant_to_json__reads_the_bytes_of_spark(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN); i++) {
        CLEANUP(buf_deinit) struct buf metadata = {0}, value = {0}, text = {0};
        unhex(GOLDEN[i].metadata, &metadata);
        unhex(GOLDEN[i].value, &value);
        assert_int_equal(variant_to_json(buf_str(&metadata), buf_str(&value), &text, NULL), 0);
        assert_string_equal(text.p, GOLDEN[i].back ? GOLDEN[i].back : GOLDEN[i].json);
    }
}

static void add_ones(struct buf *out, int n)
{
    for (int i = 0; i < n; i++)
        buf_add_cstr(out, i ? ",1" : "[1");
    buf_add_char(out, ']');
}

static void add_names(struct buf *out, int n)
{
    for (int i = 0; i < n; i++)
        buf_printf(out, "%s\"k%03d\":%d", i ? "," : "{", i, i);
    buf_add_char(out, '}');
}

static void add_text(struct buf *out, const char *before, char c, int n, const char *after)
{
    buf_add_cstr(out, before);
    while (n--)
        buf_add_char(out, c);
    buf_add_cstr(out, after);
}

/* Offsets of two and three bytes, ids of two, counts of four. */
static void test_variant_from_json__of_large_values_gives_the_bytes_of_spark(void **state)
{
    struct buf json[5] = {{0}};
    static const struct {
        size_t metadata, value;
        uint32_t crc; /* of both */
    } expected[] = {{3, 1024, 0x23c423a5},
                    {3, 1031, 0x262fac7e},
                    {1805, 1979, 0x9842af22},
                    {3, 315, 0x24d561d6},
                    {7, 70020, 0x19d97dfd}};

    (void)state;
    add_ones(&json[0], 255);
    add_ones(&json[1], 256);
    add_names(&json[2], 300);
    add_text(&json[3], "[\"", 'a', 300, "\",1]");
    add_text(&json[4], "{\"a\":\"", 'b', 70000, "\",\"c\":1}");
    for (size_t i = 0; i < ARRAY_LEN(json); i++) {
        CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
        CLEANUP(buf_deinit) struct buf metadata = {0}, text = {0};
        assert_int_equal(variant_from_json(&w, buf_str(&json[i]), NULL), 0);
        assert_int_equal(variant_metadata(&w, &metadata, NULL), 0);
        assert_int_equal(metadata.n, expected[i].metadata);
        assert_int_equal(w.value.n, expected[i].value);
        uLong crc =
            crc32(crc32(0, (const Bytef *)metadata.p, (uInt)metadata.n), (const Bytef *)w.value.p, (uInt)w.value.n);
        assert_int_equal(crc, expected[i].crc);
        assert_int_equal(variant_to_json(buf_str(&metadata), buf_str(&w.value), &text, NULL), 0);
        assert_string_equal(text.p, json[i].p);
        buf_deinit(&json[i]);
    }
}

static void test_variant_from_json__refuses_what_is_no_json(void **state)
{
    static const char *bad[] = {"",    "{",  "[1,]", "nul",      "1 2",
                                "NaN", "01", "'x'",  "{a:1}",    "+1",
                                "1.",  ".5", "-",    "\"\xff\"", "{\"a\":1,\"a\":2}"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
        struct err err;
        assert_int_equal(variant_from_json(&w, str_of(bad[i]), &err), ERR_USAGE);
        assert_true(err.msg[0]);
        variant_writer_reset(&w); /* and it can be used again */
        assert_int_equal(variant_from_json(&w, STR("[true]"), &err), 0);
        assert_int_equal(w.value.n, 5);
    }
}

static void test_variant__is_at_most_a_thousand_deep(void **state)
{
    (void)state;
    for (int deep = VARIANT_DEPTH; deep <= VARIANT_DEPTH + 1; deep++) {
        CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
        CLEANUP(buf_deinit) struct buf json = {0}, text = {0};
        add_text(&json, "", '[', deep, "");
        add_text(&json, "", ']', deep, "");
        assert_int_equal(variant_from_json(&w, buf_str(&json), NULL), deep > VARIANT_DEPTH ? ERR_LIMIT : 0);
        if (deep == VARIANT_DEPTH)
            assert_int_equal(variant_to_json(STR("\1\0\0"), buf_str(&w.value), &text, NULL), 0);
    }
}

/* The value of a table that Spark wrote: every other type, members not in the order of their names. */
static void test_variant_to_json__knows_every_type(void **state)
{
    static const struct {
        const char *value, *json;
    } cases[] = {
        {"02070300040506020117001e24290e052b2c0b4d0000300020211"
         "0d70d0600340020211"
         "0d70d06003c02000000010220033930000038"
         "0000c03f0c07",
         "{\"b\":\"AQI=\",\"d\":\"2024-01-01\",\"dec\":12.345,\"f\":1.5,\"i\":7,\"n\":\"2024-01-01 00:00:00\",\"t\":\"2024-01-01 00:00:00+00:00\"}"},
        {"44ffffffff13000000", "\"23:51:39.345919\""}, /* 0x13ffffffff microseconds are less than a day */
        {"48152cd9a40b1f5617", "\"2023-04-15 13:34:05.740256277+00:00\""},
        {"4c152cd9a40b1f5617", "\"2023-04-15 13:34:05.740256277\""},
        {"30ffffffffffffffff", "\"1969-12-31 23:59:59.999999+00:00\""},
        {"5000112233445566778899aabbccddeeff", "\"00112233-4455-6677-8899-aabbccddeeff\""},
        {"1c000000000000f8ff", "\"NaN\""},
        {"38000080ff", "\"-Infinity\""},
        {"2c6af60a00", "\"3937-01-11\""},
        {"3c00000000", "\"\""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf value = {0}, text = {0};
        unhex(cases[i].value, &value);
        assert_int_equal(variant_to_json(STR("\1\7\0\1\2\3\4\7\10\11dtnbdecfi"), buf_str(&value), &text, NULL), 0);
        assert_string_equal(text.p, cases[i].json);
    }
}

static void test_variant_writer__keeps_types_of_their_own(void **state)
{
    CLEANUP(variant_writer_deinit) struct variant_writer w = {0};
    CLEANUP(buf_deinit) struct buf metadata = {0}, text = {0}, expected = {0};
    int32_t days = 19723;

    (void)state;
    variant_begin(&w, true);
    variant_next(&w, STR("i"));
    variant_put_int(&w, 1, 4);
    variant_next(&w, STR("d"));
    variant_put(&w, VARIANT_DATE, &days, sizeof days);
    variant_next(&w, STR("b"));
    variant_put_binary(&w, STR("\1\2\3"));
    assert_int_equal(variant_end(&w, NULL), 0);
    assert_int_equal(variant_metadata(&w, &metadata, NULL), 0);
    assert_bytes(buf_str(&w.value), unhex("02030201000a05001214010000002c0b4d00003c03000000010203", &expected));
    assert_int_equal(variant_to_json(buf_str(&metadata), buf_str(&w.value), &text, NULL), 0);
    assert_string_equal(text.p, "{\"b\":\"AQID\",\"d\":\"2024-01-01\",\"i\":1}");
}

/* Memory of just that size, so that a read past its end is seen. */
static int read_cut(struct str metadata, struct str value, struct err *err)
{
    CLEANUP(buf_deinit) struct buf text = {0};
    CLEANUP(mem_freep) char *m = mem_alloc(metadata.n + !metadata.n), *v = mem_alloc(value.n + !value.n);

    memcpy(m, metadata.p, metadata.n);
    memcpy(v, value.p, value.n);
    return variant_to_json(str_make(m, metadata.n), str_make(v, value.n), &text, err);
}

static void test_variant_to_json__refuses_a_cut_at_every_length(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(GOLDEN); i++) {
        CLEANUP(buf_deinit) struct buf metadata = {0}, value = {0};
        struct err err;
        unhex(GOLDEN[i].metadata, &metadata);
        unhex(GOLDEN[i].value, &value);
        assert_int_equal(read_cut(buf_str(&metadata), buf_str(&value), &err), 0);
        for (size_t n = 0; n < value.n; n++)
            assert_int_equal(read_cut(buf_str(&metadata), str_make(value.p, n), &err), ERR_INPUT);
        bool names = metadata.n > 3;
        for (size_t n = 0; names && n < metadata.n; n++)
            assert_int_equal(read_cut(str_make(metadata.p, n), buf_str(&value), &err), ERR_INPUT);
    }
}

static void test_variant_to_json__refuses_what_points_outside(void **state)
{
    static const struct {
        const char *metadata, *value;
        int code;
    } cases[] = {
        {"020000", "00", ERR_INPUT}, /* another version */
        {"01010001"
         "61",
         "02010100020c01", ERR_INPUT}, /* a name that is not there */
        {"01010500"
         "61",
         "02010000020c01", ERR_INPUT}, /* a name whose end is before its start */
        {"01010001"
         "ff",
         "02010000020c01", ERR_INPUT}, /* a name that is not UTF-8 */
        {"01010001"
         "61",
         "02010002020c01", ERR_INPUT}, /* a member behind the last */
        {"010000", "05ff", ERR_INPUT}, /* a text that is not UTF-8 */
        {"010000",
         "2027"
         "01000000",
         ERR_INPUT},                                                   /* a scale of 39 */
        {"010000", "2800ffffffffffffffffffffffffffffff7f", ERR_INPUT}, /* 39 digits */
        {"010000", "44ffffffffffffffff", ERR_INPUT},                   /* a time that is none */
        {"010000", "54", ERR_UNSUPPORTED},                             /* a type of the future */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(buf_deinit) struct buf metadata = {0}, value = {0};
        struct err err;
        unhex(cases[i].metadata, &metadata);
        unhex(cases[i].value, &value);
        assert_int_equal(read_cut(buf_str(&metadata), buf_str(&value), &err), cases[i].code);
    }
}

/* Arrays whose elements are all the same bytes, 40 deep: 2^40 elements in a hundred bytes. */
static void test_variant_to_json__stops_at_the_limit_of_its_output(void **state)
{
    CLEANUP(buf_deinit) struct buf value = {0}, text = {.max = 1 << 16};
    struct err err;

    (void)state;
    buf_add(&value, "\0", 1);
    for (unsigned i = 0; i < 40; i++) {
        const char head[] = {0x3 | 1 << 2, 2, 0, 0, 0, 0, (char)value.n, (char)(value.n >> 8)};
        CLEANUP(buf_deinit) struct buf outer = {0};
        buf_add(&outer, head, sizeof head);
        buf_add_str(&outer, buf_str(&value));
        buf_reset(&value);
        buf_add_str(&value, buf_str(&outer));
    }
    assert_int_equal(variant_to_json(STR("\1\0\0"), buf_str(&value), &text, &err), ERR_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_variant_from_json__gives_the_bytes_of_spark),
        cmocka_unit_test(test_variant_to_json__reads_the_bytes_of_spark),
        cmocka_unit_test(test_variant_from_json__of_large_values_gives_the_bytes_of_spark),
        cmocka_unit_test(test_variant_from_json__refuses_what_is_no_json),
        cmocka_unit_test(test_variant__is_at_most_a_thousand_deep),
        cmocka_unit_test(test_variant_to_json__knows_every_type),
        cmocka_unit_test(test_variant_writer__keeps_types_of_their_own),
        cmocka_unit_test(test_variant_to_json__refuses_a_cut_at_every_length),
        cmocka_unit_test(test_variant_to_json__refuses_what_points_outside),
        cmocka_unit_test(test_variant_to_json__stops_at_the_limit_of_its_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
