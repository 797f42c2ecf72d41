/*
 * Dies at a named step when the environment asks for it.
 *
 *   SLUICE_CRASH_AT=delta_committed:3     the third time that crash_point("delta_committed") is passed
 *
 * SIGKILL and not abort(): no handler, no atexit, no flush of stdio may run, as none would run on a power cut.
 */
#include "base/crash.h"

#include "base/str.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

atomic_int crash_state = CRASH_UNREAD;

static atomic_llong hits;

static void die_wrong_setting(const char *setting)
{
    fprintf(stderr, "SLUICE_CRASH_AT=%s: not <step>[:n] with n from 1\n", setting);
    abort();
}

void crash_hit(const char *step)
{
    const char *setting = getenv("SLUICE_CRASH_AT");
    struct str rest = str_of(setting);
    int64_t nth = 1;

    if (!setting || !*setting) {
        atomic_store(&crash_state, CRASH_OFF);
        return;
    }
    struct str wanted = str_split(&rest, ':');
    if (wanted.n == 0 || (rest.p && (!str_to_i64(rest, &nth) || nth < 1)))
        die_wrong_setting(setting);
    atomic_store(&crash_state, CRASH_ARMED);
    if (!str_is(wanted, step) || atomic_fetch_add(&hits, 1) + 1 != nth)
        return;
    kill(getpid(), SIGKILL);
    for (;;)
        pause(); /* the signal is on its way: nothing after the step may happen */
}
