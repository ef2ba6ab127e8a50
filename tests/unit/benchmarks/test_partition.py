"""The benchmark of coverage counts what intervals hold, and refuses what has to be refused."""

import pytest

from benchmarks import annealing
from benchmarks.partition import problems
from benchmarks.partition.__main__ import as_row, measure


def test_a_missed_mode_is_refused_where_draws_are_many_enough_to_see_it():
    """Of forty runs all but a few are refused, each with a probability that is near one."""
    result = measure("importance", problems.missed_mode(10_000), 40, 0)
    assert result["no_interval"] > 0.5
    assert as_row(result).count("|") == 11


@pytest.mark.slow
def test_bridges_cover():
    """At a coverage of 0.93, fewer than 72% of 200 intervals hold the truth once in 1e15 tests."""
    problem = next(case for case in problems.analytic() if case.name == "normal, 10-D")
    result = measure("bridge", problem, 200, 0)
    assert result["coverage"] > 0.72
    assert result["no_interval"] == 0.0


@pytest.mark.slow
def test_annealing_is_compared_on_one_task():
    """Each implementation's 200 chains are within 5.5 standard errors of 0.02 of the exact log Z."""
    runs, exact = annealing.implementations(chains=200, temperatures=100)
    for name, turns in annealing.measure(runs, turns=1).items():
        for seconds, log_z in turns:
            assert seconds > 0
            assert abs(log_z - exact) < 0.11, name
