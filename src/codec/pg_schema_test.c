/* What became of the columns between two Relation messages: a table of cases. */
#include "codec/pg_schema.h"

#include "base/mem.h"
#include "codec/pg_type.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/*
 * Relations in a few letters: "1:id* 2:a 4:c" are columns by attnum and name, '*' is part of the key, '!' int8, '~' a
 * domain over int4, '#' text, else int4. A message has no attnums.
 */
static struct relation *relation_of(const char *text, enum relation_identity identity)
{
    struct relation *rel = relation_new();
    struct str rest = str_of(text);

    rel->schema = STR("s"), rel->name = STR("t");
    rel->identity = identity;
    rel->full = identity == IDENTITY_ROW;
    rel->columns = ARENA_NEW_N(&rel->arena, struct relation_column, 32);
    while (rest.n) {
        struct str col = str_split(&rest, ' '), num = str_split(&col, ':');
        int64_t attnum;
        struct relation_column c = {.typmod = -1, .typtype = 'b', .type_oid = PG_OID_INT4};
        assert_true(str_to_i64(num, &attnum));
        c.attnum = (int16_t)attnum;
        for (; col.n && strchr("*!~#", col.p[col.n - 1]); col.n--) {
            char mark = col.p[col.n - 1];
            c.key_seq = mark == '*' ? (uint16_t)(rel->n_columns + 1) : c.key_seq;
            c.type_oid = mark == '!' ? PG_OID_INT8 : mark == '#' ? PG_OID_TEXT : c.type_oid;
            c.declared_oid = mark == '~' ? 99999 : 0;
        }
        c.name = arena_str(&rel->arena, col);
        if (!c.declared_oid)
            c.declared_oid = c.type_oid;
        rel->columns[rel->n_columns++] = c;
    }
    return rel;
}

/* The Relation message of a relation, as bytes. */
static void message_of(const struct relation *rel, char identity, const char *name, struct buf *out)
{
    buf_add_char(out, 'R');
    buf_add_be32(out, 4711);
    buf_add(out, "s", 2);
    buf_add(out, name, strlen(name) + 1);
    buf_add_char(out, identity);
    buf_add_be16(out, (uint16_t)rel->n_columns);
    for (uint32_t i = 0; i < rel->n_columns; i++) {
        buf_add_char(out, identity == 'f' || rel->columns[i].key_seq ? 1 : 0);
        buf_add(out, rel->columns[i].name.p, rel->columns[i].name.n + 1);
        buf_add_be32(out, rel->columns[i].declared_oid);
        buf_add_be32(out, (uint32_t)rel->columns[i].typmod);
    }
}

static bool without_secret(void *ctx, struct str schema, struct str table, struct str column)
{
    (void)ctx, (void)schema, (void)table;
    return !str_is(column, "secret");
}

static void reconcile(const char *prev_text, const char *live_text, const char *msg_text, char identity,
                      const char *name, struct relation **ret, int16_t *map)
{
    CLEANUP(relation_unrefp) struct relation *prev = prev_text ? relation_of(prev_text, IDENTITY_KEY) : NULL;
    CLEANUP(relation_unrefp) struct relation *live = live_text ? relation_of(live_text, IDENTITY_KEY) : NULL;
    CLEANUP(relation_unrefp) struct relation *said = relation_of(msg_text, IDENTITY_KEY);
    CLEANUP(buf_deinit) struct buf bytes = {0};
    struct pg_schema_filter filter = {.wanted = without_secret};
    struct pgoutput_msg msg;
    struct err err;

    message_of(said, identity, name, &bytes);
    assert_int_equal(pgoutput_read(bytes.p, bytes.n, false, &msg, &err), 0);
    *ret = pg_schema_reconcile(prev, live, &msg.relation, &filter, map);
}

static const struct {
    const char *what, *prev, *live, *msg; /* the message's attnums are not used */
    const char *want;                     /* attnum:name of each column */
} cases[] = {
    {"nothing known", NULL, "1:id* 2:a 5:b", "0:id* 0:a 0:b", "1:id 2:a 5:b"},
    {"nothing at all known", NULL, NULL, "0:id* 0:a", "1:id 2:a"},
    {"the same", "1:id* 2:a 3:b", "1:id* 2:a 3:b", "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"renamed in the middle", "1:id* 2:a 3:b", "1:id* 2:x 3:b", "0:id* 0:x 0:b", "1:id 2:x 3:b"},
    {"first renamed", "1:id* 2:a 3:b", "1:key* 2:a 3:b", "0:key* 0:a 0:b", "1:key 2:a 3:b"},
    {"last renamed", "1:id* 2:a 3:b", "1:id* 2:a 3:x", "0:id* 0:a 0:x", "1:id 2:a 3:x"},
    {"last dropped, another added", "1:id* 2:a 3:b", "1:id* 2:a 4:x", "0:id* 0:a 0:x", "1:id 2:a 4:x"},
    {"middle dropped", "1:id* 2:a 3:b", "1:id* 3:b", "0:id* 0:b", "1:id 3:b"},
    {"middle dropped, one added", "1:id* 2:a 3:b", "1:id* 3:b 4:c", "0:id* 0:b 0:c", "1:id 3:b 4:c"},
    {"added", "1:id* 2:a", "1:id* 2:a 3:b", "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"added after one was dropped before", "1:id* 2:a", "1:id* 2:a 7:b", "0:id* 0:a 0:b", "1:id 2:a 7:b"},
    {"two added, the catalog has one more", "1:id*", "1:id* 2:a 3:b 4:c", "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"dropped, added by the same name", "1:id* 2:a 3:b", "1:id* 2:a 4:b", "0:id* 0:a 0:b", "1:id 2:a 4:b"},
    {"middle one dropped, added by the same name", "1:id* 2:a 3:b", "1:id* 3:b 4:a", "0:id* 0:b 0:a", "1:id 3:b 4:a"},
    {"renamed, its name taken", "1:id* 2:a 3:b", "1:id* 2:x 3:b 4:a", "0:id* 0:x 0:b 0:a", "1:id 2:x 3:b 4:a"},
    {"several at once", "1:id* 2:a 3:b 4:c", "1:id* 3:x 4:c 5:y 6:z", "0:id* 0:x 0:c 0:y 0:z", "1:id 3:x 4:c 5:y 6:z"},
    {"two renamed", "1:id* 2:a 3:b", "1:id* 2:x 3:y", "0:id* 0:x 0:y", "1:id 2:x 3:y"},
    {"excluded columns", "1:id* 3:b", "1:id* 3:b", "0:id* 0:secret 0:b", "1:id 3:b"},
    {"excluded columns, one added", "1:id* 3:b", "1:id* 3:b 4:c", "0:id* 0:secret 0:b 0:c", "1:id 3:b 4:c"},
    {"the table is gone", "1:id* 2:a 3:b", NULL, "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"the catalog is ahead: dropped since", "1:id* 2:a 3:b", "1:id* 3:b", "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"the catalog is ahead: renamed since", "1:id* 2:a 3:b", "1:id* 2:x 3:b", "0:id* 0:a 0:b", "1:id 2:a 3:b"},
    {"renamed and dropped since, beside one dropped", "1:id* 2:a! 3:b 4:c 5:d", "1:id* 4:c 5:d 6:e",
     "0:id* 0:x 0:c 0:d", "1:id 3:x 4:c 5:d"},
    {"the same, of the other type", "1:id* 2:a! 3:b 4:c", "1:id* 4:c", "0:id* 0:x! 0:c", "1:id 2:x 4:c"},
    {"renamed since, beside one renamed and dropped since", "1:id* 2:a 3:b 4:c", "1:id* 2:y 4:c", "0:id* 0:x 0:z 0:c",
     "1:id 2:x 3:z 4:c"},
    {"added since, and renamed once more", "1:id* 2:a", "1:id* 2:a 3:e", "0:id* 0:a 0:t", "1:id 2:a 3:t"},
    {"the same, or it came and went", "1:id* 2:a", "1:id* 2:a 5:e", "0:id* 0:a 0:t", "1:id 2:a 3:t"},
    {"added and dropped since", "1:id* 2:a", "1:id* 2:a 5:e!", "0:id* 0:a 0:t", "1:id 2:a 3:t"},
    {"added and dropped since, before one that stays", "1:id* 2:a", "1:id* 2:a 4:e", "0:id* 0:a 0:t 0:e",
     "1:id 2:a 3:t 4:e"},
    {"renamed and widened", "1:id* 2:a 3:b", "1:id* 2:x! 3:b", "0:id* 0:x! 0:b", "1:id 2:x 3:b"},
    {"a message older than what is known", "1:id* 2:a 3:b", "1:id* 2:a 3:b", "0:id* 0:a", "1:id 2:a"},
    {"another table altogether", "1:q* 2:r", "1:q* 2:r 3:s 4:t", "0:id*", "1:id"},
    {"the catalog is ahead: added since", "1:id* 2:a", "1:id* 2:a 3:b", "0:id* 0:a", "1:id 2:a"},
};

static void test_reconcile__finds_out_what_became_of_columns(void **state)
{
    int bad = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        CLEANUP(relation_unrefp) struct relation *rel = NULL;
        CLEANUP(buf_deinit) struct buf have = {0};
        int16_t map[32];
        reconcile(cases[i].prev, cases[i].live, cases[i].msg, 'd', "t", &rel, map);
        for (uint32_t c = 0; c < rel->n_columns; c++)
            buf_printf(&have, "%s%d:%.*s", c ? " " : "", rel->columns[c].attnum, STR_ARG(rel->columns[c].name));
        if (strcmp(have.p, cases[i].want) != 0) {
            print_message("%s: %s and not %s\n", cases[i].what, have.p, cases[i].want);
            bad++;
        }
        assert_int_equal(rel->identity, IDENTITY_KEY);
    }
    assert_int_equal(bad, 0);
}

static void test_reconcile__says_when_a_column_may_be_either_of_two(void **state)
{
    CLEANUP(relation_unrefp) struct relation *either = NULL, *after = NULL, *typed = NULL;
    int16_t map[32];

    (void)state;
    reconcile("1:id* 2:a 3:b", "1:id* 2:a 4:b", "0:id* 0:a 0:b", 'd', "t", &either, map);
    assert_int_equal(either->doubtful, 4);
    reconcile("1:id* 2:a 3:b", "1:id* 3:b 4:a", "0:id* 0:b 0:a", 'd', "t", &after, map); /* its place says it */
    assert_int_equal(after->doubtful, 0);
    reconcile("1:id* 2:a!", "1:id* 3:a", "0:id* 0:a", 'd', "t", &typed, map); /* its type */
    assert_int_equal(typed->doubtful, 0);
}

static const struct {
    const char *what, *prev, *live, *msg;
    int16_t doubtful;
} doubts[] = {
    {"3 came and went, or 4 was renamed", "1:id* 2:a", "1:id* 2:a 4:x", "0:id* 0:a 0:t", 3},
    {"4 is there, as one after it is", "1:id* 2:a", "1:id* 2:a 4:x 5:y", "0:id* 0:a 0:t 0:y", 0},
    {"3 was dropped, or 4 renamed", "1:id* 2:a 3:b", "1:id* 2:a 4:x", "0:id* 0:a 0:t", 3},
    {"3 was dropped, and is of another type", "1:id* 2:a 3:b!", "1:id* 2:a 4:x", "0:id* 0:a 0:t", 0},
    {"3 is the message's by its name", "1:id* 2:a 3:t", "1:id* 2:a 4:x", "0:id* 0:a 0:t", 0},
    {"no place is free", "1:id* 2:a", "1:id* 2:a 3:x", "0:id* 0:a 0:t", 0},
    {"4 has the name", "1:id* 2:a", "1:id* 2:a 4:t", "0:id* 0:a 0:t", 0},
    {"3 was dropped, and 4 added", "1:id* 2:a 3:b", "1:id* 2:a 4:x", "0:id* 0:a 0:x", 0},
    {"both are there", "1:id* 2:a", "1:id* 2:a 4:x", "0:id* 0:a 0:t 0:x", 0},
    {"4 has another type, which needs new rows", "1:id* 2:a", "1:id* 2:a 4:x!", "0:id* 0:a 0:t", 0},
    {"4 has another type, which may be a domain", "1:id* 2:a", "1:id* 2:a 4:x~", "0:id* 0:a 0:t", 3},
    {"renamed, nothing new", "1:id* 2:a 3:b", "1:id* 2:x 3:b", "0:id* 0:y 0:b", 0},
};

static void test_reconcile__says_when_a_new_column_may_be_one_that_is_gone(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(doubts); i++) {
        CLEANUP(relation_unrefp) struct relation *rel = NULL;
        int16_t map[32];
        reconcile(doubts[i].prev, doubts[i].live, doubts[i].msg, 'd', "t", &rel, map);
        if (rel->doubtful != doubts[i].doubtful)
            fail_msg("%s: %d and not %d", doubts[i].what, rel->doubtful, doubts[i].doubtful);
    }
}

static void test_reconcile__map_leaves_out_what_is_not_wanted(void **state)
{
    CLEANUP(relation_unrefp) struct relation *rel = NULL;
    int16_t map[32];

    (void)state;
    reconcile("1:id* 3:b", "1:id* 3:b", "0:id* 0:secret 0:b", 'd', "t", &rel, map);
    assert_int_equal(map[0], 0);
    assert_int_equal(map[1], -1);
    assert_int_equal(map[2], 1);
}

static void test_reconcile__types(void **state)
{
    CLEANUP(relation_unrefp) struct relation *domain = NULL, *wider = NULL, *behind = NULL;
    int16_t map[32];

    (void)state;
    reconcile("1:id* 2:a~", "1:id* 2:a~", "0:id* 0:a~", 'd', "t", &domain, map);
    assert_int_equal(domain->columns[1].declared_oid, 99999);
    assert_int_equal(domain->columns[1].type_oid, PG_OID_INT4);
    reconcile("1:id* 2:a", "1:id* 2:a!", "0:id* 0:a!", 'd', "t", &wider, map);
    assert_int_equal(wider->columns[1].type_oid, PG_OID_INT8);
    reconcile("1:id* 2:a", "1:id* 2:a!", "0:id* 0:a", 'd', "t", &behind, map); /* the catalog is ahead */
    assert_int_equal(behind->columns[1].type_oid, PG_OID_INT4);
}

static const struct {
    const char *what, *prev, *live, *msg;
    char identity;
    enum relation_identity want;
    const char *key; /* names */
} identities[] = {
    {"default", "1:id* 2:a", "1:id* 2:a", "0:id* 0:a", 'd', IDENTITY_KEY, "id"},
    {"default without a key", "1:id 2:a", "1:id 2:a", "0:id 0:a", 'd', IDENTITY_NONE, ""},
    {"nothing", "1:id 2:a", "1:id 2:a", "0:id 0:a", 'n', IDENTITY_NONE, ""},
    {"index", "1:id* 2:a", "1:id 2:a*", "0:id 0:a*", 'i', IDENTITY_KEY, "a"},
    {"full with a key", "1:id* 2:a", "1:id* 2:a", "0:id* 0:a", 'f', IDENTITY_KEY, "id"},
    {"full with a key, new", NULL, "1:id* 2:a", "0:id* 0:a", 'f', IDENTITY_KEY, "id"},
    {"full with a key, gone", "1:id* 2:a", NULL, "0:id* 0:a", 'f', IDENTITY_KEY, "id"},
    {"full without", "1:id 2:a", "1:id 2:a", "0:id 0:a", 'f', IDENTITY_ROW, ""},
    {"full, its key dropped", "1:id* 2:a", "1:id 2:a", "0:id 0:a", 'f', IDENTITY_ROW, ""},
    {"full, a key to come", "1:id 2:a", "1:id* 2:a", "0:id 0:a", 'f', IDENTITY_ROW, ""},
    {"full, another key", "1:id* 2:a", "1:id 2:a*", "0:id 0:a", 'f', IDENTITY_ROW, ""},
};

static enum relation_identity identity_of(const char *text)
{
    return text && strchr(text, '*') ? IDENTITY_KEY : IDENTITY_ROW;
}

static void test_reconcile__finds_the_identity(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(identities); i++) {
        const char *p = identities[i].prev, *l = identities[i].live;
        CLEANUP(relation_unrefp) struct relation *prev = p ? relation_of(p, identity_of(p)) : NULL;
        CLEANUP(relation_unrefp) struct relation *live = l ? relation_of(l, identity_of(l)) : NULL;
        CLEANUP(relation_unrefp) struct relation *said = relation_of(identities[i].msg, IDENTITY_KEY);
        CLEANUP(buf_deinit) struct buf bytes = {0}, key = {0};
        struct pg_schema_filter filter = {0};
        struct pgoutput_msg msg;
        int16_t map[32];
        message_of(said, identities[i].identity, "t", &bytes);
        assert_int_equal(pgoutput_read(bytes.p, bytes.n, false, &msg, NULL), 0);
        CLEANUP(relation_unrefp)
        struct relation *rel = pg_schema_reconcile(prev, live, &msg.relation, &filter, map);
        for (uint32_t c = 0; c < rel->n_columns; c++)
            if (rel->columns[c].key_seq)
                buf_add_str(&key, rel->columns[c].name);
        if (rel->identity != identities[i].want || !str_is(buf_str(&key), identities[i].key))
            fail_msg("%s: identity %d, key %.*s", identities[i].what, rel->identity, STR_ARG(buf_str(&key)));
    }
}

static void test_reconcile__follows_names_that_the_catalog_has(void **state)
{
    CLEANUP(relation_unrefp) struct relation *now = NULL, *old = NULL, *gone = NULL;
    int16_t map[32];

    (void)state;
    reconcile("1:id*", "1:id*", "0:id*", 'd', "t", &now, map);
    assert_true(str_is(now->name, "t"));
    reconcile("1:id*", "1:id*", "0:id*", 'd', "before", &old, map); /* the catalog says t */
    assert_true(str_is(old->name, "t"));
    reconcile("1:id*", NULL, "0:id*", 'd', "last", &gone, map);
    assert_true(str_is(gone->name, "last"));
}

static void test_schema__remembers_its_relation(void **state)
{
    CLEANUP(relation_unrefp) struct relation *rel = relation_of("1:id* 3:a~ 7:b#", IDENTITY_KEY);
    CLEANUP(schema_unrefp) struct schema *s = pg_schema_of(rel), *empty = schema_new();
    CLEANUP(relation_unrefp) struct relation *back = pg_schema_relation(s, 12, (struct table_name){STR("x"), STR("y")});

    (void)state;
    assert_int_equal(back->n_columns, 3);
    assert_int_equal(back->identity, IDENTITY_KEY);
    assert_true(str_is(back->schema, "x") && str_is(back->name, "y"));
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(str_eq(back->columns[i].name, rel->columns[i].name));
        assert_int_equal(back->columns[i].attnum, rel->columns[i].attnum);
        assert_int_equal(back->columns[i].declared_oid, rel->columns[i].declared_oid);
        assert_int_equal(back->columns[i].type_oid, rel->columns[i].type_oid);
        assert_int_equal(!back->columns[i].key_seq, !rel->columns[i].key_seq);
    }
    assert_null(pg_schema_relation(empty, 12, (struct table_name){STR("x"), STR("y")}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reconcile__finds_out_what_became_of_columns),
        cmocka_unit_test(test_reconcile__says_when_a_column_may_be_either_of_two),
        cmocka_unit_test(test_reconcile__says_when_a_new_column_may_be_one_that_is_gone),
        cmocka_unit_test(test_reconcile__map_leaves_out_what_is_not_wanted),
        cmocka_unit_test(test_reconcile__types),
        cmocka_unit_test(test_reconcile__finds_the_identity),
        cmocka_unit_test(test_reconcile__follows_names_that_the_catalog_has),
        cmocka_unit_test(test_schema__remembers_its_relation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
