/* Tests of the lexer: token kinds, values, errors with their place, the statement splitter. */
#include "sql/lexer.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* The tokens as "kind:text kind:text …", or the error message. */
static const char *lex(const char *sql)
{
    static const char names[] = "EWQKNSBPO";
    static char out[4096];
    struct lexer lx = lexer_of(str_of(sql));
    struct token t;
    struct err err;
    size_t n = 0;
    int rc;

    out[0] = 0;
    while ((rc = lexer_next(&lx, &t, &err)) == 0)
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%c:%.*s", n ? " " : "", names[t.kind], STR_ARG(t.text));
    if (rc < 0)
        snprintf(out, sizeof out, "%s", err.msg);
    return out;
}

static void test_lexer__kinds(void **state)
{
    (void)state;
    assert_string_equal(lex("SELECT a1, \"b\"\"c\", `d``e` FROM x.y"),
                        "W:SELECT W:a1 O:, Q:\"b\"\"c\" O:, K:`d``e` W:FROM W:x O:. W:y");
    assert_string_equal(lex("1 1.5 .5 1e-3 0x1F 1_000 2.e 1..2"),
                        "N:1 N:1.5 N:.5 N:1e-3 N:0x1F N:1_000 N:2. W:e N:1 O:. N:.2");
    assert_string_equal(lex("'a''b' e'\\'' X'1f' $$a'b$$ $t$ $$ $t$ $1 $x ?"),
                        "S:'a''b' S:e'\\'' B:X'1f' S:$$a'b$$ S:$t$ $$ $t$ P:$1 P:$x P:?");
    assert_string_equal(lex("a=>1::int<=2>=3<>4!=5||6->7"),
                        "W:a O:=> N:1 O::: W:int O:<= N:2 O:>= N:3 O:<> N:4 O:!= N:5 O:|| N:6 O:-> N:7");
    assert_string_equal(lex("ARRAY<ARRAY<INT>>"), "W:ARRAY O:< W:ARRAY O:< W:INT O:> O:>");
    assert_string_equal(lex("a -- b ; '\n/* c /* d */ ' */ e"), "W:a W:e");
    assert_string_equal(lex("\xef\xbb\xbf"
                            "a\xc2\xa0\xc3\xbc"),
                        "W:a W:\xc3\xbc");
    assert_string_equal(lex(""), "");
}

static void test_lexer__errors_name_the_place(void **state)
{
    (void)state;
    assert_string_equal(lex("SELECT\n  'abc"), "line 2, column 3: the string that starts here has no closing '");
    assert_string_equal(lex("\xc3\xbc \"abc"), "line 1, column 3: the quoted name that starts here has no closing \"");
    assert_string_equal(lex("a /* b /* c */"), "line 1, column 3: the comment that starts here has no closing */");
    assert_string_equal(lex("$a$ b $b$"), "line 1, column 1: the string that starts here has no closing $a$");
    assert_string_equal(lex("a \x01"), "line 1, column 3: a byte 0x01, which no SQL text has");
}

static struct str first_value(struct arena *arena, const char *sql)
{
    struct lexer lx = lexer_of(str_of(sql));
    struct token t;

    assert_int_equal(lexer_next(&lx, &t, NULL), 0);
    return token_is_name(&t) ? token_name(&t, arena) : token_string(&t, arena);
}

static void test_token__values(void **state)
{
    CLEANUP(arena_deinit) struct arena arena = {0};
    (void)state;
    assert_true(str_is(first_value(&arena, "Abc"), "Abc"));
    assert_true(str_is(first_value(&arena, "\"a\"\"b\""), "a\"b"));
    assert_true(str_is(first_value(&arena, "`a``b`"), "a`b"));
    assert_true(str_is(first_value(&arena, "''"), ""));
    assert_true(str_is(first_value(&arena, "'it''s'"), "it's"));
    assert_true(str_is(first_value(&arena, "E'a\\n\\x41\\u00fc\\U0001F600\\\\\\'''\\101\\q'"),
                       "a\nA\xc3\xbc\xf0\x9f\x98\x80\\''Aq"));
    assert_true(str_is(first_value(&arena, "$x$it's$x$"), "it's"));
    assert_true(str_is(first_value(&arena, "$$$$"), ""));
}

static void test_split__respects_quotes_and_comments(void **state)
{
    struct str script = STR(";; a ';' \"b;\" `c;` -- d;\n ; /* e; */ f $$;$$ ; \n g -- h"), s;
    bool terminated;
    size_t cursor = 0;
    (void)state;
    assert_int_equal(sql_split(script, &cursor, &s, &terminated, NULL), 0);
    assert_true(str_is(s, "a ';' \"b;\" `c;`") && terminated);
    assert_int_equal(sql_split(script, &cursor, &s, &terminated, NULL), 0);
    assert_true(str_is(s, "f $$;$$") && terminated);
    assert_int_equal(sql_split(script, &cursor, &s, &terminated, NULL), 0);
    assert_true(str_is(s, "g") && !terminated);
    assert_int_equal(sql_split(script, &cursor, &s, &terminated, NULL), 1);
}

static void test_is_complete__asks_for_more_while_something_is_open(void **state)
{
    (void)state;
    assert_true(sql_is_complete(STR("select 1; -- done")));
    assert_true(sql_is_complete(STR(" -- only a comment")));
    assert_false(sql_is_complete(STR("select 1")));
    assert_false(sql_is_complete(STR("select ';")));
    assert_false(sql_is_complete(STR("select 1; select 2")));
    assert_false(sql_is_complete(STR("/* ;")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lexer__kinds),
        cmocka_unit_test(test_lexer__errors_name_the_place),
        cmocka_unit_test(test_token__values),
        cmocka_unit_test(test_split__respects_quotes_and_comments),
        cmocka_unit_test(test_is_complete__asks_for_more_while_something_is_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
