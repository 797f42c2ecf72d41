/* Random rows against a plain list; what takes the place of values that were not sent; a row that changes all the time. */
#include "sink/row_buffer.h"

#include "base/clock.h"
#include "base/mem.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static uint64_t seed;

static uint32_t dice(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static struct schema *two_columns(void)
{
    struct schema *s = schema_new();

    s->n_fields = 2;
    s->fields = ARENA_NEW_N(&s->arena, struct field, 2);
    s->fields[0] = (struct field){.name = STR("id"), .physical = STR("id"), .type = {.id = TYPE_LONG}};
    s->fields[1] = (struct field){.name = STR("v"), .physical = STR("v"), .type = {.id = TYPE_STRING}};
    return s;
}

static struct hash128 hash_of(uint64_t key)
{
    return hash128(&key, sizeof key);
}

/* A row of the key; v NULL: not sent. */
static uint32_t add(struct row_buffer *b, const struct schema *s, int64_t key, const char *v)
{
    struct batch *batch = batch_new(s, 16);
    uint32_t row = batch_add_row(batch, OP_UPDATE, (struct position){1, 1}, 0);
    struct hash128 hash = hash_of((uint64_t)key);

    column_set(&batch->cols[0], row, &key);
    if (v)
        column_set_str(batch, &batch->cols[1], row, str_of(v));
    else
        column_set_missing(&batch->cols[1], row);
    return row_buffer_add(b, batch, &hash);
}

static struct str value(const struct row_buffer *b, uint32_t ordinal)
{
    uint32_t row;
    struct batch *batch = row_buffer_at(b, ordinal, &row);

    return column_str(&batch->cols[1], row);
}

static void test_row_buffer__as_a_plain_list(void **state)
{
    enum { KEYS = 300 };
    CLEANUP(schema_unrefp) struct schema *s = two_columns();
    uint32_t where[KEYS];

    (void)state;
    for (seed = 1; seed < 30; seed++) {
        CLEANUP(row_buffer_deinit) struct row_buffer b = {0};
        uint32_t n_live = 0, n_keys = 1 + dice(KEYS);
        memset(where, 0xff, sizeof where);
        for (int step = 0; step < 300; step++) {
            uint32_t n = 1 + dice(20), keys[20];
            struct batch *batch = batch_new(s, n);
            struct hash128 hashes[20];
            for (uint32_t i = 0; i < n; i++) {
                keys[i] = dice(n_keys);
                hashes[i] = hash_of(keys[i]);
                int64_t key = keys[i];
                column_set(&batch->cols[0], batch_add_row(batch, OP_INSERT, (struct position){1, 1}, 0), &key);
            }
            uint32_t first = row_buffer_add(&b, batch, hashes);
            for (uint32_t i = 0; i < n; i++) {
                uint32_t k = keys[i], old = row_buffer_find(&b, hashes[i]);
                assert_int_equal(old, where[k]);
                if (old != ROW_NONE) {
                    row_buffer_kill(&b, old);
                    where[k] = ROW_NONE;
                    n_live--;
                }
                if (dice(4)) {
                    row_buffer_put(&b, first + i);
                    where[k] = first + i;
                    n_live++;
                }
            }
            assert_int_equal(b.n_live, n_live);
            if (dice(100) == 0) {
                row_buffer_reset(&b);
                memset(where, 0xff, sizeof where);
                n_live = 0;
            }
        }
        uint32_t *live = MEM_NEW_N(uint32_t, n_live + 1), *sel = MEM_NEW_N(uint32_t, n_live + 1), n = 0, seen = 0;
        for (uint32_t i = 0; i < b.n_rows; i++)
            if (bit_get(b.live, i))
                live[n++] = i;
        assert_int_equal(n, n_live);
        while (seen < n) {
            const struct batch *batch;
            uint32_t taken = row_buffer_take(&b, live + seen, n - seen, &batch, sel);
            assert_true(taken > 0);
            for (uint32_t k = 0; k < taken; k++, seen++) {
                int64_t key = ((const int64_t *)batch->cols[0].data)[sel[k]];
                assert_int_equal(where[key], live[seen]);
            }
        }
        mem_free(live);
        mem_free(sel);
    }
}

static void test_row_buffer__equal_keys_stand_beside_each_other(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = two_columns();
    CLEANUP(row_buffer_deinit) struct row_buffer b = {0};

    (void)state;
    for (uint32_t i = 0; i < 50; i++)
        row_buffer_put(&b, add(&b, s, 7, "x"));
    for (uint32_t i = 0; i < 50; i++) {
        uint32_t at = row_buffer_find(&b, hash_of(7));
        assert_int_not_equal(at, ROW_NONE);
        row_buffer_kill(&b, at);
    }
    assert_int_equal(row_buffer_find(&b, hash_of(7)), ROW_NONE);
}

static void test_row_buffer__values_not_sent_are_inherited(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = two_columns();
    CLEANUP(row_buffer_deinit) struct row_buffer b = {0};

    (void)state;
    uint32_t a = add(&b, s, 1, "a value that is longer than twelve bytes");
    row_buffer_put(&b, a);
    uint32_t c = add(&b, s, 1, NULL);
    assert_true(row_buffer_has_missing(&b, c));
    row_buffer_inherit(&b, c, a);
    assert_false(row_buffer_has_missing(&b, c));
    assert_true(str_is(value(&b, c), "a value that is longer than twelve bytes"));
    assert_int_equal(b.n_origins, 0);
}

static void test_row_buffer__origins_are_inherited(void **state)
{
    CLEANUP(schema_unrefp) struct schema *s = two_columns();
    CLEANUP(row_buffer_deinit) struct row_buffer b = {0};

    (void)state;
    uint32_t last = 0;
    for (uint32_t i = 0; i < 20; i++) { /* 20 rows that stand in a file, then each changed three times */
        last = add(&b, s, i, NULL);
        row_buffer_set_origin(&b, last, 5, 100 + i);
        row_buffer_put(&b, last);
    }
    for (uint32_t i = 0; i < 60; i++) {
        uint32_t key = i % 20, at = add(&b, s, key, NULL), old = row_buffer_find(&b, hash_of(key));
        row_buffer_inherit(&b, at, old);
        row_buffer_kill(&b, old);
        row_buffer_put(&b, at);
    }
    assert_int_equal(b.n_live, 20);
    uint32_t found = 0;
    for (uint32_t i = 0; i < b.n_origins; i++)
        if (bit_get(b.live, b.origins[i].ordinal)) {
            uint32_t row;
            struct batch *batch = row_buffer_at(&b, b.origins[i].ordinal, &row);
            assert_int_equal(b.origins[i].file, 5);
            assert_int_equal(b.origins[i].row, 100 + ((const int64_t *)batch->cols[0].data)[row]);
            found++;
        }
    assert_int_equal(found, 20);
}

/* A counter that a transaction raises a hundred thousand times must not cost the square of that. */
static void test_row_buffer__a_row_that_changes_all_the_time_is_found_at_once(void **state)
{
    enum { TIMES = 200000 };
    CLEANUP(schema_unrefp) struct schema *s = two_columns();
    CLEANUP(row_buffer_deinit) struct row_buffer b = {0};
    struct hash128 *hashes = MEM_NEW_N(struct hash128, TIMES);
    struct batch *batch = batch_new(s, TIMES);
    int64_t start = clock_mono_us();

    (void)state;
    for (uint32_t i = 0; i < TIMES; i++) {
        batch_add_row(batch, OP_UPDATE, (struct position){1, 1}, 0);
        hashes[i] = hash_of(1);
    }
    row_buffer_add(&b, batch, hashes);
    for (uint32_t i = 0; i < TIMES; i++) {
        uint32_t old = row_buffer_find(&b, hashes[i]);
        if (old != ROW_NONE)
            row_buffer_kill(&b, old);
        row_buffer_put(&b, i);
    }
    assert_int_equal(row_buffer_find(&b, hash_of(1)), TIMES - 1);
    assert_int_equal(b.slot_used, 1);
    assert_true(clock_mono_us() - start < 10000000);
    mem_free(hashes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_buffer__as_a_plain_list),
        cmocka_unit_test(test_row_buffer__equal_keys_stand_beside_each_other),
        cmocka_unit_test(test_row_buffer__values_not_sent_are_inherited),
        cmocka_unit_test(test_row_buffer__origins_are_inherited),
        cmocka_unit_test(test_row_buffer__a_row_that_changes_all_the_time_is_found_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
