/* Tests of base/crash: each case forks, because the point of it is that the process dies. */
#include "base/crash.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* Passes "one", "two", "one", "two" in a child with the setting given; returns its wait status. The exit code is 0. */
static int run_with(const char *setting)
{
    int status = 0;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){0});
        signal(SIGABRT, SIG_DFL);
        if (setting)
            setenv("SLUICE_CRASH_AT", setting, 1);
        else
            unsetenv("SLUICE_CRASH_AT");
        for (int i = 0; i < 2; i++) {
            crash_point("one");
            crash_point("two");
        }
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void test_crash__without_setting_nothing_happens(void **state)
{
    (void)state;
    assert_int_equal(run_with(NULL), 0);
    assert_int_equal(run_with(""), 0);
}

static void test_crash__dies_at_the_nth_hit_of_the_named_step(void **state)
{
    (void)state;
    int first = run_with("two"), second = run_with("one:2");
    assert_true(WIFSIGNALED(first) && WTERMSIG(first) == SIGKILL);
    assert_true(WIFSIGNALED(second) && WTERMSIG(second) == SIGKILL);
    assert_int_equal(run_with("one:3"), 0);
    assert_int_equal(run_with("three"), 0);
    assert_int_equal(run_with("on"), 0);
}

static void test_crash__a_setting_that_cannot_be_meant_stops_the_process(void **state)
{
    (void)state;
    const char *wrong[] = {"one:0", "one:", "one:x", ":1", "one:-1"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        int status = run_with(wrong[i]);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash__without_setting_nothing_happens),
        cmocka_unit_test(test_crash__dies_at_the_nth_hit_of_the_named_step),
        cmocka_unit_test(test_crash__a_setting_that_cannot_be_meant_stops_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
