/* Tests of pgoutput: frames captured from PostgreSQL 16, cut at every length, and whole captured streams. */
#include "codec/pgoutput.h"

#include "base/test_fixture.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <yyjson.h>
#include <zlib.h>

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

/* One of every message, as PostgreSQL 16 sent it (protocols 2, 3 and 4). */
static const struct {
    const char *hex;
    bool in_stream;
} golden[] = {
    {"420000000001525760000303f336039cff000002e5", false},
    {"430000000000015257600000000001525790000303f336039cff", false},
    {"4f000000001234abcd6e6f64655f6100", false},
    {"52000040227075626c6963007431006400010169640000000017ffffffff", false},
    {"52000002f1000040037075626c69630062756c6b006400020169640000000017ffffffff00760000000019ffffffff", true},
    {"59000040017075626c6963006d6f6f6400", false},
    {"59000002f4000040377075626c6963006d6f6f643200", true},
    {"49000040224e0001740000000131", false},
    {"49000002f1000040034e000274000000013174000000027631", true},
    {"550000400a4b00037400000001326e6e4e000374000000023230740000000474776f21740000000132", false},
    {"55000040164e000374000000013174000000013275", false},
    {"55000040114f00027400000001317400000001614e0002740000000131740000000162", false},
    {"55000002f3000040034e0002740000000137740000000177", true},
    {"440000400a4b00037400000001336e6e", false},
    {"44000040114f00027400000001326e", false},
    {"44000002f3000040034b00027400000001386e", true},
    {"54000000010000004022", false},
    {"54000002f3000000010000004022", true},
    {"4d000000000001529da866697874757265000000000300ff10", false},
    {"4d000002f10100000000015d0f40666978747572650000000009696e2073747265616d", true},
    {"53000002f101", false},
    {"45", true},
    {"63000002f1000000000001625dd00000000001625ea8000303f336056076", false},
    {"41000002f1000002f2", false},
    {"41000002f1000002f200000000015d0de8000303f33604d3dd", false},
    {"6200000000016a048000000000016a0578000303f336063b42000002f5736d616c6c00", false},
    {"500000000000016a048000000000016a0578000303f336063b42000002f5736d616c6c00", false},
    {"4b0000000000016a057800000000016a05b0000303f336063bf1000002f5736d616c6c00", false},
    {"720000000000016a072800000000016a0760000303f3360644f8000303f336064568000002f6676f6e6500", false},
    {"70000000000001716df80000000001716ef0000303f33606adab000002f76c6172676500", false},
    {"5400000002030000402200004027", false},
};

static struct pgoutput_msg read_hex(const char *hex, bool in_stream, uint8_t bytes[256])
{
    struct pgoutput_msg m;
    struct err err = {0};
    size_t n = unhex(hex, bytes);

    if (pgoutput_read(bytes, n, in_stream, &m, &err) < 0)
        fail_msg("%s: %s", hex, err.msg);
    return m;
}

static void assert_value(struct pgoutput_tuple *t, char kind, const char *text)
{
    struct pgoutput_value v = {0};

    assert_true(pgoutput_tuple_next(t, &v));
    assert_int_equal(v.kind, kind);
    assert_true(str_is(v.bytes, text));
}

static void test_pgoutput__transaction_marks(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_msg m = read_hex(golden[0].hex, false, bytes);

    assert_int_equal(m.tag, 'B');
    assert_int_equal(m.begin.final_lsn, 0x1525760);
    assert_int_equal(m.begin.commit_us, 0x000303f336039cff + INT64_C(946684800000000));
    assert_int_equal(m.xid, 0x2e5);
    m = read_hex(golden[1].hex, false, bytes);
    assert_int_equal(m.commit.commit_lsn, 0x1525760);
    assert_int_equal(m.commit.end_lsn, 0x1525790);
    assert_int_equal(m.commit.commit_us, 0x000303f336039cff + INT64_C(946684800000000));
    m = read_hex(golden[2].hex, false, bytes);
    assert_int_equal(m.origin.commit_lsn, 0x1234abcd);
    assert_true(str_is(m.origin.name, "node_a"));
    assert_int_equal(m.xid, 0);
}

static void test_pgoutput__relation_and_type(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_column col;
    struct pgoutput_msg m = read_hex(golden[4].hex, true, bytes);

    assert_int_equal(m.xid, 0x2f1);
    assert_int_equal(m.relation.oid, 0x4003);
    assert_true(str_is(m.relation.schema, "public"));
    assert_true(str_is(m.relation.name, "bulk"));
    assert_int_equal(m.relation.identity, 'd');
    assert_int_equal(m.relation.columns.n, 2);
    assert_true(pgoutput_columns_next(&m.relation.columns, &col));
    assert_true(col.key && str_is(col.name, "id") && col.type_oid == 23 && col.typmod == -1);
    assert_true(pgoutput_columns_next(&m.relation.columns, &col));
    assert_true(!col.key && str_is(col.name, "v") && col.type_oid == 25 && col.typmod == -1);
    assert_false(pgoutput_columns_next(&m.relation.columns, &col));
    m = read_hex(golden[5].hex, false, bytes);
    assert_int_equal(m.type.oid, 0x4001);
    assert_true(str_is(m.type.schema, "public") && str_is(m.type.name, "mood"));
    m = read_hex(golden[6].hex, true, bytes);
    assert_int_equal(m.xid, 0x2f4);
    assert_true(str_is(m.type.schema, "public") && str_is(m.type.name, "mood2"));
}

static void test_pgoutput__rows(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_value v;
    struct pgoutput_msg m = read_hex(golden[8].hex, true, bytes);

    assert_true(m.tag == 'I' && m.xid == 0x2f1 && m.row.relation_oid == 0x4003 && m.row.has_new && !m.row.old_kind);
    assert_value(&m.row.new_row, 't', "1");
    assert_value(&m.row.new_row, 't', "v1");
    assert_false(pgoutput_tuple_next(&m.row.new_row, &v));
    m = read_hex(golden[9].hex, false, bytes);
    assert_true(m.tag == 'U' && m.row.old_kind == 'K' && m.row.has_new && m.row.relation_oid == 0x400a);
    assert_value(&m.row.old_row, 't', "2");
    assert_value(&m.row.old_row, 'n', "");
    assert_value(&m.row.old_row, 'n', "");
    assert_value(&m.row.new_row, 't', "20");
    assert_value(&m.row.new_row, 't', "two!");
    m = read_hex(golden[10].hex, false, bytes);
    assert_true(!m.row.old_kind && m.row.has_new && m.row.new_row.n == 3);
    assert_value(&m.row.new_row, 't', "1");
    assert_value(&m.row.new_row, 't', "2");
    assert_value(&m.row.new_row, 'u', "");
    m = read_hex(golden[11].hex, false, bytes);
    assert_int_equal(m.row.old_kind, 'O');
    m = read_hex(golden[13].hex, false, bytes);
    assert_true(m.tag == 'D' && m.row.old_kind == 'K' && !m.row.has_new);
    m = read_hex(golden[14].hex, false, bytes);
    assert_true(m.row.old_kind == 'O' && m.row.old_row.n == 2);
}

static void test_pgoutput__truncate_and_messages(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_msg m = read_hex(golden[17].hex, true, bytes);

    assert_true(m.xid == 0x2f3 && m.truncate.n == 1 && !m.truncate.cascade && !m.truncate.restart_identity);
    assert_int_equal(pgoutput_truncate_oid(&m, 0), 0x4022);
    m = read_hex(golden[30].hex, false, bytes);
    assert_true(m.truncate.n == 2 && m.truncate.cascade && m.truncate.restart_identity);
    assert_int_equal(pgoutput_truncate_oid(&m, 1), 0x4027);
    m = read_hex(golden[18].hex, false, bytes);
    assert_true(!m.message.transactional && m.message.lsn == 0x1529da8 && str_is(m.message.prefix, "fixture"));
    assert_true(str_eq(m.message.content, str_make("\0\xff\x10", 3)));
    m = read_hex(golden[19].hex, true, bytes);
    assert_true(m.xid == 0x2f1 && m.message.transactional && str_is(m.message.content, "in stream"));
}

static void test_pgoutput__streams_and_two_phase(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_msg m = read_hex(golden[20].hex, false, bytes);
    const int64_t epoch = INT64_C(946684800000000);

    assert_true(m.xid == 0x2f1 && m.stream_start.first);
    m = read_hex(golden[22].hex, false, bytes);
    assert_true(m.xid == 0x2f1 && m.commit.commit_lsn == 0x1625dd0 && m.commit.end_lsn == 0x1625ea8);
    m = read_hex(golden[23].hex, false, bytes);
    assert_true(m.xid == 0x2f1 && m.stream_abort.subxid == 0x2f2 && !m.stream_abort.has_time);
    m = read_hex(golden[24].hex, false, bytes);
    assert_true(m.xid == 0x2f1 && m.stream_abort.subxid == 0x2f2 && m.stream_abort.has_time);
    assert_true(m.stream_abort.abort_lsn == 0x15d0de8 && m.stream_abort.abort_us == 0x000303f33604d3dd + epoch);
    for (size_t i = 25; i <= 29; i++) {
        if (i == 28)
            continue;
        m = read_hex(golden[i].hex, false, bytes);
        assert_true(m.prepare.lsn < m.prepare.end_lsn && m.prepare.us > epoch && m.xid >= 0x2f5);
        assert_true(str_is(m.prepare.gid, i == 29 ? "large" : "small"));
    }
    m = read_hex(golden[28].hex, false, bytes);
    assert_true(m.rollback_prepared.prepare_end_lsn == 0x16a0728 && m.rollback_prepared.rollback_end_lsn == 0x16a0760);
    assert_true(m.rollback_prepared.prepare_us < m.rollback_prepared.rollback_us && m.xid == 0x2f6);
    assert_true(str_is(m.rollback_prepared.gid, "gone"));
}

/* A shorter message is an error, whatever its length; the copy ends where it is cut, so that ASan sees a read past it. */
static void test_pgoutput__refuses_every_truncation(void **state)
{
    uint8_t bytes[256];
    struct pgoutput_msg m;

    for (size_t g = 0; g < ARRAY_LEN(golden); g++) {
        size_t n = unhex(golden[g].hex, bytes);
        for (size_t cut = 0; cut < n; cut++) {
            CLEANUP(mem_freep) uint8_t *copy = mem_dup(bytes, MAX(cut, 1u));
            if (n == 25 && bytes[0] == 'A' && cut == 9)
                continue; /* that is the message of protocols 2 and 3 */
            int rc = pgoutput_read(copy, cut, golden[g].in_stream, &m, NULL);
            if (rc != ERR_INPUT)
                fail_msg("%s cut at %zu gives %d", golden[g].hex, cut, rc);
        }
        bytes[n] = 0;
        assert_int_equal(pgoutput_read(bytes, n + 1, golden[g].in_stream, &m, NULL), ERR_INPUT);
    }
}

static void test_pgoutput__refuses_nonsense(void **state)
{
    static const struct {
        const char *hex;
        int code;
    } bad[] = {
        {"58", ERR_UNSUPPORTED},
        {"49000042b34b0001740000000131", ERR_INPUT}, /* insert of an old row */
        {"44000042b34e0001740000000131", ERR_INPUT}, /* delete of a new row */
        {"49000042b34e000178", ERR_INPUT},           /* unknown kind of value */
        {"49000042b34e000174ffffffff31", ERR_INPUT}, /* length below 0 */
        {"49000042b34e0681", ERR_LIMIT},             /* 1665 columns */
        {"52000042b3700070006406817f", ERR_LIMIT},
        {"54ffffffff0000000001", ERR_INPUT},                       /* 2^32 - 1 relations */
        {"4200000000027359b07fffffffffffffff00000341", ERR_INPUT}, /* a time past the year 294000 */
    };
    uint8_t bytes[256];
    struct pgoutput_msg m;

    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(pgoutput_read(bytes, unhex(bad[i].hex, bytes), false, &m, NULL), bad[i].code);
}

/* Reads a captured stream and counts its messages by tag. */
static bool count_fixture(const char *name, unsigned counts[256])
{
    char path[4096], full[256], *line = mem_alloc(4 << 20);
    uint8_t *bytes = mem_alloc(2 << 20);
    bool in_stream = false;

    snprintf(full, sizeof full, "fixtures/debezium/%s", name);
    gzFile f = fixture_path(full, path) ? gzopen(path, "r") : NULL;
    memset(counts, 0, 256 * sizeof *counts);
    while (f && gzgets(f, line, 4 << 20)) {
        yyjson_doc *doc = yyjson_read(line, strlen(line), 0);
        size_t n = unhex(yyjson_get_str(yyjson_obj_get(yyjson_doc_get_root(doc), "data")), bytes);
        struct pgoutput_msg m;
        struct err err = {0};
        if (pgoutput_read(bytes, n, in_stream, &m, &err) < 0)
            fail_msg("%s: %s", name, err.msg);
        counts[(uint8_t)m.tag]++;
        in_stream = m.tag == 'S' || (in_stream && m.tag != 'E');
        yyjson_doc_free(doc);
    }
    mem_free(line);
    mem_free(bytes);
    if (f)
        gzclose(f);
    return f;
}

static void test_pgoutput__captured_streams(void **state)
{
    unsigned text[256], other[256], n[256];

    if (!count_fixture("pgoutput_changes_proto1.jsonl.gz", text))
        skip();
    assert_true(text['B'] == text['C'] && text['B'] > 50 && text['T'] > 0 && text['U'] > 10 && text['D'] > 5);
    assert_true(count_fixture("pgoutput_changes_proto1_binary.jsonl.gz", other));
    assert_memory_equal(text, other, sizeof text);
    assert_true(count_fixture("pgoutput_changes_proto2_messages.jsonl.gz", other));
    assert_int_equal(other['I'], text['I']);
    assert_true(other['M'] > 0);
    assert_true(count_fixture("pgoutput_stream_proto2_streaming_messages.jsonl.gz", n));
    assert_true(n['S'] == n['E'] && n['S'] > 1 && n['c'] > 0 && n['A'] > 0 && n['M'] > 0);
    assert_true(count_fixture("pgoutput_stream_proto3_twophase_streaming.jsonl.gz", n));
    assert_true(n['b'] > 0 && n['b'] == n['P'] && n['K'] > 0 && n['r'] > 0 && n['p'] > 0 && n['c'] > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pgoutput__transaction_marks),
        cmocka_unit_test(test_pgoutput__relation_and_type),
        cmocka_unit_test(test_pgoutput__rows),
        cmocka_unit_test(test_pgoutput__truncate_and_messages),
        cmocka_unit_test(test_pgoutput__streams_and_two_phase),
        cmocka_unit_test(test_pgoutput__refuses_every_truncation),
        cmocka_unit_test(test_pgoutput__refuses_nonsense),
        cmocka_unit_test(test_pgoutput__captured_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
