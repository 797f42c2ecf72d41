"""Waiting for something to become true, with a deadline: the tests have no bare sleeps."""
import time


class Late(AssertionError):
    """The deadline passed."""


def wait_until(cond, deadline=30.0, what=None, every=0.05):
    """Calls cond() until it gives something true, which is returned. After `deadline` seconds: Late."""
    end = time.monotonic() + deadline
    while True:
        value = cond()
        if value:
            return value
        if time.monotonic() > end:
            raise Late(f"not within {deadline:g} s: {what or getattr(cond, '__doc__', None) or cond}")
        time.sleep(every)
        every = min(every * 1.3, 0.5)
