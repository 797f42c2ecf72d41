/* Tests of key hashes: what is equal in PostgreSQL hashes equally, and nothing else does. */
#include "delta/index/key_hash.h"

#include <math.h>
#include <setjmp.h>

#include <cmocka.h>

static struct hash128 hash_one(struct type t, const void *value)
{
    struct key_col_view view = {.type = &t, .data = value};
    struct hash128 h;

    assert_true(key_type_ok(&t));
    key_hash_rows(&view, 1, 0, 1, &h);
    return h;
}

static bool same(struct hash128 a, struct hash128 b)
{
    return a.lo == b.lo && a.hi == b.hi;
}

static struct hash128 hash_decimal(uint8_t precision, uint8_t scale, __int128 v)
{
    struct type t = {.id = TYPE_DECIMAL, .precision = precision, .scale = scale};

    return hash_one(t, &v); /* little-endian: the low bytes are the value */
}

static void test_key_hash__integers_of_all_widths_are_alike(void **state)
{
    int8_t a = -7;
    int16_t b = -7;
    int32_t c = -7, d = 7;
    int64_t e = -7;
    (void)state;
    struct hash128 h = hash_one((struct type){.id = TYPE_LONG}, &e);
    assert_true(same(h, hash_one((struct type){.id = TYPE_BYTE}, &a)));
    assert_true(same(h, hash_one((struct type){.id = TYPE_SHORT}, &b)));
    assert_true(same(h, hash_one((struct type){.id = TYPE_INTEGER}, &c)));
    assert_false(same(h, hash_one((struct type){.id = TYPE_INTEGER}, &d)));
}

static void test_key_hash__floats_by_value(void **state)
{
    float f = 0.5f, nan_f = nanf("");
    double d = 0.5, zero = 0.0, minus_zero = -0.0, nan_d = nan("7"), other_nan = -nan("1");
    const struct type float_type = {.id = TYPE_FLOAT}, double_type = {.id = TYPE_DOUBLE};
    (void)state;
    assert_true(same(hash_one(float_type, &f), hash_one(double_type, &d)));
    assert_true(same(hash_one(double_type, &zero), hash_one(double_type, &minus_zero)));
    assert_true(same(hash_one(double_type, &nan_d), hash_one(double_type, &other_nan)));
    assert_true(same(hash_one(double_type, &nan_d), hash_one(float_type, &nan_f)));
    assert_false(same(hash_one(double_type, &zero), hash_one(double_type, &d)));
}

static void test_key_hash__decimals_without_trailing_zeros(void **state)
{
    __int128 big = (__int128)1000000000000000000 * 1000000000000000;
    (void)state;
    assert_true(same(hash_decimal(4, 1, -105), hash_decimal(38, 5, -1050000)));
    assert_true(same(hash_decimal(9, 0, 100), hash_decimal(18, 4, 1000000)));
    assert_true(same(hash_decimal(38, 10, big), hash_decimal(38, 0, big / 10000000000)));
    assert_true(same(hash_decimal(4, 0, 0), hash_decimal(38, 20, 0)));
    assert_false(same(hash_decimal(4, 1, 105), hash_decimal(4, 2, 105)));
    assert_false(same(hash_decimal(9, 0, 100), hash_decimal(9, 0, 10)));
}

static void test_key_hash__a_date_is_its_midnight(void **state)
{
    int32_t day = 19000, before = -1;
    int64_t us = 19000 * 86400000000ll, us_before = -86400000000ll;
    const struct type date = {.id = TYPE_DATE}, ntz = {.id = TYPE_TIMESTAMP_NTZ};
    (void)state;
    assert_true(same(hash_one(date, &day), hash_one(ntz, &us)));
    assert_true(same(hash_one(date, &before), hash_one(ntz, &us_before)));
}

static struct schema *make_schema(void)
{
    static struct field element = {.name = {"element", 7}, .type = {.id = TYPE_STRING}, .nullable = true};
    struct schema *s = schema_new();

    s->n_fields = 3;
    s->fields = ARENA_NEW_N(&s->arena, struct field, 3);
    s->fields[0] = (struct field){.name = STR("id"), .type = {.id = TYPE_LONG}};
    s->fields[1] = (struct field){.name = STR("name"), .type = {.id = TYPE_STRING}, .nullable = true};
    s->fields[2] = (struct field){
        .name = STR("tags"), .type = {.id = TYPE_ARRAY, .n_children = 1, .children = &element}, .nullable = true};
    return s;
}

static void add_row(struct batch *b, int64_t id, struct str name, struct str tag)
{
    uint32_t i = batch_add_row(b, OP_INSERT, (struct position){0}, 0);

    column_set(&b->cols[0], i, &id);
    if (name.p)
        column_set_str(b, &b->cols[1], i, name);
    if (tag.p) {
        uint32_t e = column_child_add(&b->cols[2]);
        column_set_str(b, b->cols[2].child, e, tag);
        column_set_list(&b->cols[2], i, e, 1);
    }
}

static void test_key_hash_batch__every_column_and_null_counts(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = make_schema();
    CLEANUP(batch_freep) struct batch *b = batch_new(s, 8);
    static const int all[] = {0, 1, 2};
    struct hash128 h[9];
    (void)state;
    add_row(b, 1, STR("a"), STR("x"));
    add_row(b, 1, STR("a"), STR("y"));
    add_row(b, 1, STR("b"), STR("x"));
    add_row(b, 2, STR("a"), STR("x"));
    add_row(b, 1, (struct str){0}, STR("x"));
    add_row(b, 1, STR(""), STR("x"));
    add_row(b, 1, STR("a"), (struct str){0});
    add_row(b, 1, STR("a string that is longer than twelve bytes"), STR("x"));
    add_row(b, 1, STR("a string that is longer than twelve bytes"), STR("x"));
    key_hash_batch(b, all, 3, 0, 9, h);
    for (int i = 0; i < 9; i++)
        for (int j = 0; j < i; j++)
            assert_int_equal(same(h[i], h[j]), i == 8 && j == 7);
    struct hash128 again[2];
    key_hash_batch(b, all, 3, 2, 4, again);
    assert_true(same(again[0], h[2]) && same(again[1], h[3]));
    /* One integer column has a path of its own, which must agree with a key of which it is a part. */
    static const int id_only[] = {0};
    int64_t one = 1;
    key_hash_batch(b, id_only, 1, 0, 1, again);
    assert_true(same(again[0], hash_one((struct type){.id = TYPE_LONG}, &one)));
}

static void test_key_hash__where_strings_end_counts(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = make_schema();
    CLEANUP(batch_freep) struct batch *b = batch_new(s, 2);
    struct hash128 h[2];
    (void)state;
    add_row(b, 1, STR("ab"), STR("c"));
    add_row(b, 1, STR("a"), STR("bc"));
    key_hash_batch(b, (const int[]){1, 2}, 2, 0, 2, h);
    assert_false(same(h[0], h[1]));
}

static void test_key_type_ok__refuses_what_has_no_canonical_form(void **state)
{
    static const enum type_id bad[] = {TYPE_STRUCT, TYPE_MAP, TYPE_VARIANT, TYPE_VOID, TYPE_OTHER};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct type t = {.id = bad[i]};
        assert_false(key_type_ok(&t));
        struct field element = {.type = t};
        struct type array = {.id = TYPE_ARRAY, .n_children = 1, .children = &element};
        assert_false(key_type_ok(&array));
    }
}

static void test_key_fingerprint__changes_with_what_changes_hashes(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = make_schema();
    (void)state;
    uint64_t f = key_fingerprint(s, (const int[]){0, 1}, 2);
    assert_true(f != key_fingerprint(s, (const int[]){1, 0}, 2));
    assert_true(f != key_fingerprint(s, (const int[]){0}, 1));
    s->fields[0].type.id = TYPE_INTEGER;
    assert_true(f == key_fingerprint(s, (const int[]){0, 1}, 2));
    s->fields[0].type.id = TYPE_DOUBLE;
    assert_true(f != key_fingerprint(s, (const int[]){0, 1}, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_hash__integers_of_all_widths_are_alike),
        cmocka_unit_test(test_key_hash__floats_by_value),
        cmocka_unit_test(test_key_hash__decimals_without_trailing_zeros),
        cmocka_unit_test(test_key_hash__a_date_is_its_midnight),
        cmocka_unit_test(test_key_hash_batch__every_column_and_null_counts),
        cmocka_unit_test(test_key_hash__where_strings_end_counts),
        cmocka_unit_test(test_key_type_ok__refuses_what_has_no_canonical_form),
        cmocka_unit_test(test_key_fingerprint__changes_with_what_changes_hashes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
