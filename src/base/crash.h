/*
 * Named places where a test may have the process die, as a power cut would, to prove that a restart puts things right.
 *
 * SLUICE_CRASH_AT=<step>[:n] in the environment sends SIGKILL to the own process at the n-th hit (from 1) of
 * crash_point("<step>"); anything else in it stops the process at the first crash point. Unset, a crash point costs one
 * relaxed load and one branch, so it is compiled in always: what is tested is what is shipped.
 */
#ifndef SLUICE_BASE_CRASH_H
#define SLUICE_BASE_CRASH_H

#include <stdatomic.h>

enum crash_state { CRASH_UNREAD, CRASH_OFF, CRASH_ARMED };

extern atomic_int crash_state; /* read by crash_point only */

void crash_hit(const char *step);

/* `step` is a literal in snake_case that says what has just been done: "spool_synced", "delta_committed".
 * tests/torture.py finds the names by reading the sources. Safe from any thread. */
static inline void crash_point(const char *step)
{
    if (atomic_load_explicit(&crash_state, memory_order_relaxed) != CRASH_OFF)
        crash_hit(step);
}

#endif
