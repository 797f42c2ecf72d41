/*
 * Tests of PostgreSQL values: what PostgreSQL 15 sends for a value as text and as binary must give the same column bytes
 * and come back as the same text; values that do not fit are refused in both forms; broken bytes are refused.
 */
#include "codec/pg_value.h"

#include "base/test_fixture.h"
#include "base/mem.h"
#include "codec/pg_number.h"
#include "codec/pgoutput.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <yyjson.h>
#include <zlib.h>

struct sample {
    uint32_t type_oid, elem_oid;
    int32_t typmod;
    const char *text, *hex; /* as PostgreSQL 15 prints and sends it */
};

static const struct sample golden[] = {
    {16, 0, -1, "t", "01"},
    {16, 0, -1, "f", "00"},
    {21, 0, -1, "-32768", "8000"},
    {21, 0, -1, "32767", "7fff"},
    {23, 0, -1, "-2147483648", "80000000"},
    {23, 0, -1, "2147483647", "7fffffff"},
    {20, 0, -1, "-9223372036854775808", "8000000000000000"},
    {20, 0, -1, "9223372036854775807", "7fffffffffffffff"},
    {26, 0, -1, "0", "00000000"},
    {26, 0, -1, "4294967295", "ffffffff"},
    {28, 0, -1, "4294967295", "ffffffff"},
    {700, 0, -1, "NaN", "7fc00000"},
    {700, 0, -1, "Infinity", "7f800000"},
    {700, 0, -1, "-0", "80000000"},
    {700, 0, -1, "3.4028235e+38", "7f7fffff"},
    {700, 0, -1, "1e-45", "00000001"},
    {700, 0, -1, "0.1", "3dcccccd"},
    {700, 0, -1, "123456.7", "47f1205a"},
    {700, 0, -1, "1e+06", "49742400"},
    {701, 0, -1, "NaN", "7ff8000000000000"},
    {701, 0, -1, "-Infinity", "fff0000000000000"},
    {701, 0, -1, "-0", "8000000000000000"},
    {701, 0, -1, "1.7976931348623157e+308", "7fefffffffffffff"},
    {701, 0, -1, "5e-324", "0000000000000001"},
    {701, 0, -1, "0.1", "3fb999999999999a"},
    {701, 0, -1, "2.718281828459045", "4005bf0a8b145769"},
    {701, 0, -1, "100000000000000", "42d6bcc41e900000"},
    {701, 0, -1, "1e+15", "430c6bf526340000"},
    {701, 0, -1, "0.0001", "3f1a36e2eb1c432d"},
    {701, 0, -1, "1e-05", "3ee4f8b588e368f1"},
    {1700, 0, -1, "NaN", "00000000c0000000"},
    {1700, 0, -1, "Infinity", "00000000d0000020"},
    {1700, 0, -1, "-Infinity", "00000000f0000020"},
    {1700, 0, -1, "0", "0000000000000000"},
    {1700, 0, -1, "0.000", "0000000000000003"},
    {1700, 0, -1, "-0.00012340", "0002ffff4000000800010924"},
    {1700, 0, -1, "10000", "00010001000000000001"},
    {1700, 0, -1, "12345.6789012345678901234567890", "0008000100000019000109291a85007b11d722c509291a85"},
    {1700, 0, -1, "100000000.00000001", "000500020000000800010000000000000001"},
    {1700, 0, 589830, "0.00", "0000000000000002"},
    {1700, 0, 589830, "-1234567.89", "0003000140000002007b11d722c4"},
    {1700, 0, 589830, "9999999.99", "000300010000000203e7270f26ac"},
    {1700, 0, 589830, "1.10", "0002000000000002000103e8"},
    {1700, 0, 262152, "0.9999", "0001ffff00000004270f"},
    {1700, 0, 262152, "-0.0001", "0001ffff400000040001"},
    {1700, 0, 1179652, "123456789012345678", "0005000400000000000c0d801ed204d2162e"},
    {1700, 0, 2490372, "99999999999999999999999999999999999999",
     "000a0009000000000063270f270f270f270f270f270f270f270f270f"},
    {1700, 0, 2490372, "-10000", "00010001400000000001"},
    {1700, 0, 2490382, "-9999999999999999999999999999.9999999999",
     "000a00064000000a270f270f270f270f270f270f270f270f270f26ac"},
    {1700, 0, 2490382, "0.0000000001", "0001fffd0000000a0064"},
    {1700, 0, 2490410, "0.00000000000000000000000000000000000001", "0001fff6000000260064"},
    {1082, 0, -1, "1970-01-01", "ffffd533"},
    {1082, 0, -1, "0001-12-31 BC", "fff4dbf8"},
    {1082, 0, -1, "0044-03-15 BC", "fff49d7b"},
    {1082, 0, -1, "5874897-12-31", "7fda970c"},
    {1082, 0, -1, "2000-02-29", "0000003b"},
    {1114, 0, -1, "1969-12-31 23:59:59.999999", "fffca2fec4c81fff"},
    {1114, 0, -1, "2025-03-04 12:34:56.1", "0002d28244d962a0"},
    {1114, 0, -1, "0044-03-15 12:00:00.000001 BC", "ff1af9e8fb46d001"},
    {1114, 0, -1, "294247-01-10 04:00:54.775807", "7ffca2fec4c81fff"},
    {1184, 0, -1, "2025-03-04 12:34:56.123456+00", "0002d28244d9be40"},
    {1184, 0, -1, "0044-03-15 12:00:00+00 BC", "ff1af9e8fb46d000"},
    {17, 0, -1, "\\x", ""},
    {17, 0, -1, "\\xdeadbeef00ff", "deadbeef00ff"},
    {17, 0, -1, "\\x000102030405060708090a0b0c0d0e0f", "000102030405060708090a0b0c0d0e0f"},
    {25, 0, -1, "", ""},
    {25, 0, -1, "é漢😀 longer than twelve bytes",
     "c3a9e6bca2f09f9880206c6f6e676572207468616e207477656c7665206279746573"},
    {1042, 0, 9, "ab   ", "6162202020"},
    {19, 0, -1, "a_name", "615f6e616d65"},
    {18, 0, -1, "q", "71"},
    {18, 0, -1, "", "00"},
    {114, 0, -1, "{\"a\": 1,  \"b\": 2}", "7b2261223a20312c20202262223a20327d"},
    {3802, 0, -1, "{\"a\": \"x\", \"b\": [true, null, 1.50]}",
     "017b2261223a202278222c202262223a205b747275652c206e756c6c2c20312e35305d7d"},
    {142, 0, -1, "<r a=\"1\">t</r>", "3c7220613d2231223e743c2f723e"},
    {2950, 0, -1, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "a0eebc999c0b4ef8bb6d6bb9bd380a11"},
    {1083, 0, -1, "24:00:00", "000000141dd76000"},
    {1083, 0, -1, "12:34:56.789", "0000000a8be62608"},
    {1083, 0, -1, "00:00:00.000001", "0000000000000001"},
    {1266, 0, -1, "12:34:56.123456+05:30", "0000000a8bdbfe40ffffb2a8"},
    {1266, 0, -1, "24:00:00-12", "000000141dd760000000a8c0"},
    {1266, 0, -1, "12:00:00+01:02:03", "0000000a0eebb000fffff175"},
    {1266, 0, -1, "12:00:00+00:00:01", "0000000a0eebb000ffffffff"},
    {1186, 0, -1, "00:00:00", "00000000000000000000000000000000"},
    {1186, 0, -1, "1 year 2 mons 3 days 04:05:06.789012", "000000036c97ca94000000030000000e"},
    {1186, 0, -1, "-1 mons +2 days -00:00:00.000001", "ffffffffffffffff00000002ffffffff"},
    {1186, 0, -1, "178000000 years", "0000000000000000000000007f50c600"},
    {1186, 0, -1, "-1 days +01:00:00", "00000000d693a400ffffffff00000000"},
    {1186, 0, -1, "1 day", "00000000000000000000000100000000"},
    {869, 0, -1, "192.168.1.5/24", "02180004c0a80105"},
    {869, 0, -1, "10.0.0.1", "022000040a000001"},
    {869, 0, -1, "::1", "0380001000000000000000000000000000000001"},
    {869, 0, -1, "::", "0380001000000000000000000000000000000000"},
    {869, 0, -1, "2001:db8::/32", "0320001020010db8000000000000000000000000"},
    {869, 0, -1, "::ffff:1.2.3.4", "0380001000000000000000000000ffff01020304"},
    {869, 0, -1, "::1.2.3.4", "0380001000000000000000000000000001020304"},
    {869, 0, -1, "1:0:0:2::3", "0380001000010000000000020000000000000003"},
    {650, 0, -1, "10.1.0.0/16", "021001040a010000"},
    {650, 0, -1, "10.0.0.1/32", "022001040a000001"},
    {650, 0, -1, "::/0", "0300011000000000000000000000000000000000"},
    {650, 0, -1, "2001:db8::1/128", "0380011020010db8000000000000000000000001"},
    {829, 0, -1, "08:00:2b:01:02:03", "08002b010203"},
    {774, 0, -1, "08:00:2b:01:02:03:04:ff", "08002b01020304ff"},
    {1560, 0, 8, "10110001", "00000008b1"},
    {1562, 0, -1, "", "00000000"},
    {1562, 0, -1, "1011000111", "0000000ab1c0"},
    {3220, 0, -1, "16/B374D848", "00000016b374d848"},
    {1007, 23, -1, "{}", "000000000000000000000017"},
    {1007, 23, -1, "{1,NULL,-3}", "00000001000000010000001700000003000000010000000400000001ffffffff00000004fffffffd"},
    {1009, 25, -1, "{a,\"b,c\",\"d\\\"q\",NULL,\"\",\"NULL\",\"{x}\",\" s \",\"back\\\\slash\"}",
     "0000000100000001000000190000000900000001000000016100000003622c6300000003642271ffffffff00000000000000044e554c4c000000037b787d000000032073200000000a6261636b5c736c617368"},
    {1231, 1700, -1, "{1.5,NULL,NaN}",
     "0000000100000001000006a400000003000000010000000c000200000000000100011388ffffffff0000000800000000c0000000"},
    {1231, 1700, 655366, "{1.50,NULL,-3.25}",
     "0000000100000001000006a400000003000000010000000c000200000000000200011388ffffffff0000000c0002000040000002000309c4"},
    {1000, 16, -1, "{t,f}", "000000010000000000000010000000020000000100000001010000000100"},
    {1185, 1184, -1, "{\"2025-01-01 01:02:03.456789+00\"}",
     "0000000100000000000004a00000000100000001000000080002cd995cc3f115"},
    {1001, 17, -1, "{\"\\\\x0102\",NULL}", "0000000100000001000000110000000200000001000000020102ffffffff"},
    {2951, 2950, -1, "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
     "000000010000000000000b86000000010000000100000010a0eebc999c0b4ef8bb6d6bb9bd380a11"},
    {651, 650, -1, "{10.0.0.0/8}", "00000001000000000000028a000000010000000100000008020801040a000000"},
};

static const struct sample limits[] = {
    {1700, 0, 589830, "NaN", "00000000c0000000"},
    {1082, 0, -1, "infinity", "7fffffff"},
    {1082, 0, -1, "-infinity", "80000000"},
    {1114, 0, -1, "infinity", "7fffffffffffffff"},
    {1184, 0, -1, "-infinity", "8000000000000000"},
    {1114, 0, -1, "294247-01-10 04:00:54.775808", "7ffca2fec4c82000"},
    {1184, 0, -1, "294276-12-31 23:59:59.999999+00", "7fffff5bb3b29fff"},
    {1007, 23, -1, "{{1,2},{3,4}}",
     "000000020000000000000017000000020000000100000002000000010000000400000001000000040000000200000004000000030000000400000004"},
    {1009, 25, -1, "[0:1]={a,b}", "000000010000000000000019000000020000000000000001610000000162"},
    {1182, 1082, -1, "{2025-01-01,infinity}",
     "00000001000000000000043a000000020000000100000004000023ac000000047fffffff"},
    {1231, 1700, 589830, "{1.00,NaN}",
     "0000000100000000000006a400000002000000010000000a000100000000000200010000000800000000c0000000"},
};

static size_t unhex(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        unsigned byte;
        assert_int_equal(sscanf(hex + i * 2, "%2x", &byte), 1);
        out[i] = (uint8_t)byte;
    }
    return n;
}

static struct relation_column column_of(uint32_t type_oid, uint32_t elem_oid, int32_t typmod)
{
    return (struct relation_column){
        .name = STR("c"), .type_oid = type_oid, .elem_oid = elem_oid, .typmod = typmod, .typtype = 'b'};
}

/* A batch of one column and two rows. */
static struct batch *batch_of(const struct relation_column *col)
{
    struct schema *s = schema_new();
    enum pg_kind kind;

    s->n_fields = 1;
    s->fields = ARENA_NEW(&s->arena, struct field);
    pg_type_map(col, &s->arena, &s->fields[0].type, &kind);
    struct batch *b = batch_new(s, 2);
    schema_unref(s);
    batch_add_row(b, OP_INSERT, (struct position){0}, 0);
    batch_add_row(b, OP_INSERT, (struct position){0}, 0);
    return b;
}

/* Two rows hold the same, byte by byte (strings and arrays by what they point to). */
static bool same_value(const struct column *a, uint32_t i, const struct column *b, uint32_t j)
{
    if (column_is_valid(a, i) != column_is_valid(b, j))
        return false;
    if (!column_is_valid(a, i))
        return true;
    if (a->type->id == TYPE_STRING || a->type->id == TYPE_BINARY)
        return str_eq(column_str(a, i), column_str(b, j));
    if (a->type->id != TYPE_ARRAY)
        return memcmp((char *)a->data + (size_t)i * a->width, (char *)b->data + (size_t)j * b->width, a->width) == 0;
    struct listview x = ((struct listview *)a->data)[i], y = ((struct listview *)b->data)[j];
    for (uint64_t e = 0; x.length == y.length && e < x.length; e++)
        if (!same_value(a->child, (uint32_t)(x.offset + e), b->child, (uint32_t)(y.offset + e)))
            return false;
    return x.length == y.length;
}

static void test_pg_value__text_and_binary_give_the_same_and_come_back(void **state)
{
    for (size_t g = 0; g < ARRAY_LEN(golden); g++) {
        struct relation_column col = column_of(golden[g].type_oid, golden[g].elem_oid, golden[g].typmod);
        struct pg_value_codec codec = pg_value_codec_of(&col);
        CLEANUP(batch_freep) struct batch *b = batch_of(&col);
        CLEANUP(buf_deinit) struct buf text = {0};
        struct err err = {0};
        uint8_t bytes[512];
        size_t n = unhex(golden[g].hex, bytes);
        assert_true(pg_type_binary_safe(&col));
        if (pg_value_read(&codec, 't', str_of(golden[g].text), b, b->cols, 0, &err) < 0 ||
            pg_value_read(&codec, 'b', str_make(bytes, n), b, b->cols, 1, &err) < 0)
            fail_msg("%s: %s", golden[g].text, err.msg);
        if (!same_value(b->cols, 0, b->cols, 1))
            fail_msg("%s: text and binary differ", golden[g].text);
        pg_value_text(b->cols, 1, &text);
        assert_string_equal(text.n ? text.p : "", golden[g].text);
    }
}

static void test_pg_value__what_does_not_fit_is_refused_in_both_forms(void **state)
{
    for (size_t g = 0; g < ARRAY_LEN(limits); g++) {
        struct relation_column col = column_of(limits[g].type_oid, limits[g].elem_oid, limits[g].typmod);
        struct pg_value_codec codec = pg_value_codec_of(&col);
        CLEANUP(batch_freep) struct batch *b = batch_of(&col);
        struct err err = {0};
        uint8_t bytes[512];
        size_t n = unhex(limits[g].hex, bytes);
        assert_int_equal(pg_value_read(&codec, 't', str_of(limits[g].text), b, b->cols, 0, &err), ERR_LIMIT);
        assert_non_null(strstr(err.msg, "column \"c\""));
        assert_int_equal(pg_value_read(&codec, 'b', str_make(bytes, n), b, b->cols, 0, &err), ERR_LIMIT);
        assert_false(column_is_valid(b->cols, 0));
        if (codec.array) /* nothing is left behind for the next value's elements */
            assert_int_equal(b->cols->child->n, 0);
    }
}

/* Binary of another length is an error, or (where any bytes are a value) some value; never a read past the end. */
static void test_pg_value__binary_cut_at_every_length(void **state)
{
    for (size_t g = 0; g < ARRAY_LEN(golden); g++) {
        struct relation_column col = column_of(golden[g].type_oid, golden[g].elem_oid, golden[g].typmod);
        struct pg_value_codec codec = pg_value_codec_of(&col);
        CLEANUP(batch_freep) struct batch *b = batch_of(&col);
        uint8_t bytes[512];
        size_t n = unhex(golden[g].hex, bytes);
        bool any = !codec.array && (codec.kind == PG_TEXT || codec.kind == PG_BYTEA || codec.kind == PG_QCHAR);
        for (size_t cut = 0; cut < n; cut++) {
            CLEANUP(mem_freep) uint8_t *copy = mem_dup(bytes, MAX(cut, 1u));
            int rc = pg_value_read(&codec, 'b', str_make(copy, cut), b, b->cols, 0, NULL);
            if (any || (codec.kind == PG_JSONB && cut > 0))
                assert_true(rc == 0 || rc == ERR_LIMIT); /* UTF-8 cut in a character */
            else
                assert_int_equal(rc, ERR_INPUT);
        }
    }
}

static int read_as(uint32_t type_oid, uint32_t elem_oid, int32_t typmod, const char *text)
{
    struct relation_column col = column_of(type_oid, elem_oid, typmod);
    struct pg_value_codec codec = pg_value_codec_of(&col);
    CLEANUP(batch_freep) struct batch *b = batch_of(&col);
    int rc = pg_value_read(&codec, 't', str_of(text), b, b->cols, 0, NULL);

    assert_int_equal(column_is_valid(b->cols, 0), rc == 0);
    return rc;
}

static void test_pg_value__malformed_text_is_refused(void **state)
{
    static const struct {
        uint32_t type_oid, elem_oid;
        const char *text;
    } bad[] = {
        {PG_OID_BOOL, 0, "true"},
        {PG_OID_BOOL, 0, ""},
        {PG_OID_INT2, 0, "32768"},
        {PG_OID_INT4, 0, "-2147483649"},
        {PG_OID_INT8, 0, "9223372036854775808"},
        {PG_OID_INT8, 0, "-9223372036854775809"},
        {PG_OID_INT8, 0, "99999999999999999999"},
        {PG_OID_INT4, 0, ""},
        {PG_OID_INT4, 0, "-"},
        {PG_OID_INT4, 0, "1x"},
        {PG_OID_OID, 0, "-1"},
        {PG_OID_OID, 0, "4294967296"},
        {PG_OID_FLOAT8, 0, "1.5.5"},
        {PG_OID_FLOAT8, 0, "e5"},
        {PG_OID_FLOAT8, 0, "1e"},
        {PG_OID_FLOAT8, 0, "0x10"},
        {PG_OID_FLOAT8, 0, "inf"},
        {PG_OID_FLOAT4, 0, ""},
        {PG_OID_DATE, 0, "2025-13-01"},
        {PG_OID_DATE, 0, "2025-02-29"},
        {PG_OID_DATE, 0, "2025-2-2"},
        {PG_OID_DATE, 0, "0000-01-01"},
        {PG_OID_DATE, 0, "2025-01-01 AD"},
        {PG_OID_TIMESTAMP, 0, "2025-01-01"},
        {PG_OID_TIMESTAMP, 0, "2025-01-01 24:00:00"},
        {PG_OID_TIMESTAMP, 0, "2025-01-01 (/:00:00"},
        {PG_OID_TIMESTAMP, 0, "2025-01-01 00:00:00."},
        {PG_OID_TIMESTAMP, 0, "2025-01-01 00:00:00.1234567"},
        {PG_OID_TIMESTAMP, 0, "2025-01-01 00:00:00+00"},
        {PG_OID_TIMESTAMPTZ, 0, "2025-01-01 00:00:00"},
        {PG_OID_BYTEA, 0, "abc"},
        {PG_OID_BYTEA, 0, "\\x0"},
        {PG_OID_BYTEA, 0, "\\x0g"},
        {1, PG_OID_INT4, ""},
        {1, PG_OID_INT4, "{"},
        {1, PG_OID_INT4, "{1"},
        {1, PG_OID_INT4, "{1,}"},
        {1, PG_OID_INT4, "{,1}"},
        {1, PG_OID_INT4, "{1}x"},
        {1, PG_OID_INT4, "{1,x}"},
        {1, PG_OID_TEXT, "{\"a}"},
        {1, PG_OID_TEXT, "{\"a\\"},
        {1, PG_OID_TEXT, "{\"a\"b}"},
    };

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (read_as(bad[i].type_oid, bad[i].elem_oid, -1, bad[i].text) != ERR_INPUT)
            fail_msg("'%s' is taken for a value of type %u", bad[i].text, bad[i].type_oid);
    assert_int_equal(read_as(PG_OID_TEXT, 0, -1, "\xff"), ERR_LIMIT); /* a database in SQL_ASCII sends such text */
}

static void test_pg_value__other_forms_of_the_same_value(void **state)
{
    const int32_t numeric_9_2 = (9 << 16 | 2) + 4;

    assert_int_equal(read_as(PG_OID_TIMESTAMPTZ, 0, -1, "2025-01-01 00:00:00-08:30:15"), 0);
    assert_int_equal(read_as(PG_OID_NUMERIC, 0, numeric_9_2, "1"), 0);
    assert_int_equal(read_as(PG_OID_NUMERIC, 0, numeric_9_2, "1.1000"), 0);
    assert_int_equal(read_as(PG_OID_NUMERIC, 0, numeric_9_2, "1.101"), ERR_LIMIT);
    assert_int_equal(read_as(PG_OID_NUMERIC, 0, numeric_9_2, "10000000.00"), ERR_LIMIT);
    assert_int_equal(read_as(PG_OID_NUMERIC, 0, numeric_9_2, "1e3"), ERR_INPUT);
    assert_int_equal(read_as(PG_OID_QCHAR, 0, -1, "\\351"), 0); /* PostgreSQL 16 */
    assert_int_equal(read_as(PG_OID_QCHAR, 0, -1, "\xe9"), 0);  /* PostgreSQL 15 */
}

/* An instant far from UTC and storage widths, by their numbers. */
static void test_pg_value__numbers_as_stored(void **state)
{
    struct relation_column col = column_of(PG_OID_TIMESTAMPTZ, 0, -1);
    struct pg_value_codec codec = pg_value_codec_of(&col);
    CLEANUP(batch_freep) struct batch *b = batch_of(&col);
    static const struct {
        int precision, width;
    } widths[] = {{4, 2}, {5, 4}, {9, 4}, {10, 8}, {18, 8}, {19, 16}, {38, 16}};

    int rc = pg_value_read(&codec, 't', STR("1970-01-01 01:00:00.5+05:30"), b, b->cols, 0, NULL);
    assert_int_equal(rc, 0);
    assert_int_equal(((int64_t *)b->cols->data)[0], (3600 - 19800) * INT64_C(1000000) + 500000);
    for (size_t i = 0; i < ARRAY_LEN(widths); i++) {
        struct relation_column numeric = column_of(PG_OID_NUMERIC, 0, (widths[i].precision << 16 | 1) + 4);
        CLEANUP(batch_freep) struct batch *d = batch_of(&numeric);
        int128 v = 0;
        codec = pg_value_codec_of(&numeric);
        rc = pg_value_read(&codec, 't', STR("-12.3"), d, d->cols, 1, NULL);
        assert_int_equal(rc, 0);
        assert_int_equal(d->cols->width, widths[i].width);
        memcpy(&v, (char *)d->cols->data + d->cols->width, d->cols->width);
        assert_true((int128)((uint128)v << (128 - 8 * widths[i].width)) >> (128 - 8 * widths[i].width) == -123);
    }
}

static void test_pg_number__floats_equal_strtod(void **state)
{
    uint64_t x = 88172645463325252u;
    char text[64];
    double v;
    float f;

    for (int i = 0; i < 200000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        int digits = 1 + (int)(x % 19), exponent = (int)(x >> 32) % 60 - 30;
        int n = snprintf(text, sizeof text, "%.*se%d", digits, &"8765432109876543210"[x % 3], exponent);
        if (i % 3 == 0)
            n = snprintf(text, sizeof text, "%.*g", digits, (double)x / 0x1p40);
        assert_int_equal(pg_float8_parse(str_make(text, (size_t)n), &v, NULL), 0);
        assert_true(v == strtod(text, NULL));
        assert_int_equal(pg_float4_parse(str_make(text, (size_t)n), &f, NULL), 0);
        assert_true(f == strtof(text, NULL));
    }
    assert_int_equal(pg_float8_parse(STR("9007199254740993"), &v, NULL), 0); /* half way: to even */
    assert_true(v == 9007199254740992.0);
    assert_int_equal(pg_float4_parse(STR("16777217"), &f, NULL), 0);
    assert_true(f == 16777216.0f);
}

static void test_pg_type__map(void **state)
{
    static const struct {
        const char *type;
        uint32_t type_oid, elem_oid;
        int32_t typmod;
        char typtype;
        bool binary;
    } cases[] = {
        {"boolean", PG_OID_BOOL, 0, -1, 'b', true},
        {"smallint", PG_OID_INT2, 0, -1, 'b', true},
        {"int", PG_OID_INT4, 0, -1, 'b', true},
        {"bigint", PG_OID_OID, 0, -1, 'b', true},
        {"float", PG_OID_FLOAT4, 0, -1, 'b', true},
        {"string", PG_OID_NUMERIC, 0, -1, 'b', true},
        {"decimal(10,2)", PG_OID_NUMERIC, 0, (10 << 16 | 2) + 4, 'b', true},
        {"decimal(38,38)", PG_OID_NUMERIC, 0, (38 << 16 | 38) + 4, 'b', true},
        {"string", PG_OID_NUMERIC, 0, (39 << 16 | 0) + 4, 'b', true},
        {"string", PG_OID_NUMERIC, 0, (5 << 16 | 0x7fe) + 4, 'b', true}, /* numeric(5,-2) */
        {"string", PG_OID_NUMERIC, 0, (2 << 16 | 4) + 4, 'b', true},     /* numeric(2,4) */
        {"timestamp_ntz", PG_OID_TIMESTAMP, 0, -1, 'b', true},
        {"timestamp", PG_OID_TIMESTAMPTZ, 0, -1, 'b', true},
        {"binary", PG_OID_BYTEA, 0, -1, 'b', true},
        {"string", PG_OID_JSONB, 0, -1, 'b', true},
        {"string", 790, 0, -1, 'b', false}, /* money: its text depends on the server's locale */
        {"string", PG_OID_POINT, 701, -1, 'b', false},
        {"string", PG_OID_NAME, 18, -1, 'b', true},
        {"string", PG_OID_INT2VECTOR, 21, -1, 'b', false},
        {"string", 16400, 0, -1, 'e', true},  /* an enum */
        {"string", 16401, 0, -1, 'c', false}, /* a composite */
        {"array<string>", 16402, 16400, -1, 'e', true},
        {"array<decimal(10,2)>", 1231, PG_OID_NUMERIC, (10 << 16 | 2) + 4, 'b', true},
        {"array<string>", 1231, PG_OID_NUMERIC, -1, 'b', true},
        {"array<timestamp>", 1185, PG_OID_TIMESTAMPTZ, -1, 'b', true},
        {"array<string>", 1017, PG_OID_POINT, -1, 'b', false},
    };

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct relation_column col = column_of(cases[i].type_oid, cases[i].elem_oid, cases[i].typmod);
        CLEANUP(arena_deinit) struct arena arena = {0};
        CLEANUP(buf_deinit) struct buf text = {0};
        struct type type;
        enum pg_kind kind;
        col.typtype = cases[i].typtype;
        pg_type_map(&col, &arena, &type, &kind);
        type_text(&type, &text);
        assert_string_equal(text.p, cases[i].type);
        assert_int_equal(pg_type_binary_safe(&col), cases[i].binary);
    }
}

static void test_pg_value__text_of_absent_values(void **state)
{
    struct relation_column col = column_of(PG_OID_INT4, 0, -1);
    CLEANUP(batch_freep) struct batch *b = batch_of(&col);
    CLEANUP(buf_deinit) struct buf text = {0};

    column_set_missing(b->cols, 1);
    pg_value_text(b->cols, 0, &text);
    pg_value_text(b->cols, 1, &text);
    assert_string_equal(text.p, "NULL(unchanged)");
}

/* Two captures of the same changes. */
struct capture {
    gzFile f;
    char *line;
    uint8_t *bytes;
    size_t n;
};

static bool capture_open(struct capture *c, const char *name)
{
    char path[4096];

    *c = (struct capture){.line = mem_alloc(4 << 20), .bytes = mem_alloc(2 << 20)};
    c->f = fixture_path(name, path) ? gzopen(path, "r") : NULL;
    return c->f;
}

static void capture_close(struct capture *c)
{
    mem_free(c->line);
    mem_free(c->bytes);
    if (c->f)
        gzclose(c->f);
}

static bool capture_next(struct capture *c, struct pgoutput_msg *ret)
{
    if (!gzgets(c->f, c->line, 4 << 20))
        return false;
    yyjson_doc *doc = yyjson_read(c->line, strlen(c->line), 0);
    c->n = unhex(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "data")), c->bytes);
    yyjson_doc_free(doc);
    assert_int_equal(pgoutput_read(c->bytes, c->n, false, ret, NULL), 0);
    return true;
}

struct known {
    uint32_t oid;
    uint16_t n;
    struct relation_column cols[128];
};

/* The built-in array types by their element; what the catalog would say. */
static uint32_t element_of(uint32_t oid)
{
    static const uint32_t pairs[][2] = {{1000, 16},   {1001, 17},   {1007, 23},   {1009, 25},  {1115, 1114},
                                        {1182, 1082}, {1185, 1184}, {1231, 1700}, {2951, 2950}};

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (pairs[i][0] == oid)
            return pairs[i][1];
    return 0;
}

static void learn(struct known *k, const struct pgoutput_msg *m)
{
    struct pgoutput_columns columns = m->relation.columns;
    struct pgoutput_column col;

    k->oid = m->relation.oid;
    k->n = 0;
    while (pgoutput_columns_next(&columns, &col)) {
        assert_true(k->n < ARRAY_LEN(k->cols));
        k->cols[k->n] = column_of(col.type_oid, element_of(col.type_oid), col.typmod);
        k->cols[k->n++].name = STR("c");
    }
}

static unsigned compare_rows(const struct known *k, struct pgoutput_tuple text, struct pgoutput_tuple binary)
{
    struct pgoutput_value t, v;
    unsigned n = 0;

    assert_int_equal(text.n, k->n);
    for (uint16_t i = 0; pgoutput_tuple_next(&text, &t); i++) {
        assert_true(pgoutput_tuple_next(&binary, &v));
        assert_true(t.kind == v.kind || (t.kind == 't' && v.kind == 'b'));
        if (v.kind != 'b' || !pg_type_binary_safe(&k->cols[i]))
            continue;
        struct pg_value_codec codec = pg_value_codec_of(&k->cols[i]);
        CLEANUP(batch_freep) struct batch *b = batch_of(&k->cols[i]);
        struct err err = {0};
        int as_text = pg_value_read(&codec, 't', t.bytes, b, b->cols, 0, &err);
        int as_binary = pg_value_read(&codec, 'b', v.bytes, b, b->cols, 1, &err);
        if (as_text != as_binary || (as_text < 0 && as_text != ERR_LIMIT) || !same_value(b->cols, 0, b->cols, 1))
            fail_msg("'%.*s' of type %u: text gives %d, binary %d: %s", (int)MIN(t.bytes.n, 100u), t.bytes.p,
                     k->cols[i].type_oid, as_text, as_binary, err.msg);
        n++;
    }
    return n;
}

static void test_pg_value__captured_rows_in_both_forms(void **state)
{
    struct capture text, binary;
    struct pgoutput_msg t, b;
    static struct known known[64];
    unsigned n_known = 0, n = 0;

    bool there = capture_open(&text, "fixtures/debezium/pgoutput_changes_proto1.jsonl.gz");
    there &= capture_open(&binary, "fixtures/debezium/pgoutput_changes_proto1_binary.jsonl.gz");
    while (there && capture_next(&text, &t)) {
        assert_true(capture_next(&binary, &b));
        assert_int_equal(t.tag, b.tag);
        unsigned at = 0;
        uint32_t oid = t.tag == 'R' ? t.relation.oid : t.row.relation_oid;
        while (at < n_known && known[at].oid != oid)
            at++;
        if (t.tag == 'R') {
            n_known += at == n_known;
            assert_true(at < ARRAY_LEN(known));
            learn(&known[at], &t);
        } else if (t.tag == 'I' || t.tag == 'U') {
            assert_true(at < n_known);
            n += compare_rows(&known[at], t.row.new_row, b.row.new_row);
        }
    }
    capture_close(&text);
    capture_close(&binary);
    if (!there)
        skip();
    assert_true(n > 400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_type__map),
        cmocka_unit_test(test_pg_value__text_and_binary_give_the_same_and_come_back),
        cmocka_unit_test(test_pg_value__what_does_not_fit_is_refused_in_both_forms),
        cmocka_unit_test(test_pg_value__binary_cut_at_every_length),
        cmocka_unit_test(test_pg_value__malformed_text_is_refused),
        cmocka_unit_test(test_pg_value__other_forms_of_the_same_value),
        cmocka_unit_test(test_pg_value__numbers_as_stored),
        cmocka_unit_test(test_pg_value__text_of_absent_values),
        cmocka_unit_test(test_pg_value__captured_rows_in_both_forms),
        cmocka_unit_test(test_pg_number__floats_equal_strtod),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
