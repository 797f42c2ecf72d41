"""The crash harness at the size that fits into every run; `make torture` is the long form."""
import os

from torture import points_in_sources, torture

KILLS = int(os.environ.get("SLUICE_TEST_KILLS", "50"))


def test_kills_at_random_and_at_named_steps(sluice):
    assert torture(KILLS // 2, seed=20) == 0


def test_kills_with_another_seed(sluice):
    assert torture(KILLS - KILLS // 2, seed=21) == 0


def test_the_sources_name_steps():
    assert points_in_sources(), "no crash_point() in the sources"
