"""When timing begins, and how many calls are timed."""

from __future__ import annotations

import time
from itertools import chain, repeat

import pytest

from merzoo.benchmark.sampling import BLOCK, FEWEST, Limits, planned, steady, warm_up
from merzoo.errors import UsageError


def test_steady_when_three_blocks_agree_within_two_percent() -> None:
    assert steady([50.0, 10.0, 10.1, 10.2])
    assert not steady([10.0, 10.1])
    assert not steady([10.0, 10.1, 10.3])
    assert not steady([10.0, 10.0, 10.0, 11.0])


def test_warm_up_ends_when_the_times_have_settled() -> None:
    slow = chain([500.0] * BLOCK, [300.0] * BLOCK, [200.0] * BLOCK, repeat(100.0))
    found = warm_up(lambda: next(slow), 60.0)
    assert (found.calls, found.steady) == (6 * BLOCK, True)


def test_one_slow_call_in_a_block_does_not_delay_it() -> None:
    times = chain([9000.0], repeat(100.0))
    assert warm_up(lambda: next(times), 60.0).calls == 3 * BLOCK


def test_warm_up_that_never_settles_ends_with_the_time() -> None:
    doubling = (2.0**call for call in range(1000))

    def call() -> float:
        time.sleep(0.001)
        return next(doubling)

    found = warm_up(call, 0.05)
    assert not found.steady
    assert found.calls >= FEWEST
    assert found.record().keys() == {"calls", "seconds", "steady"}


def test_a_slow_call_is_made_three_times_all_the_same() -> None:
    grows = iter(range(1, 100))
    assert warm_up(lambda: float(next(grows)), 0.0).calls == FEWEST


def test_planned_calls_fit_into_the_limits() -> None:
    limits = Limits(1000, 30, 10.0)
    assert planned(limits, 0.001) == 1000
    assert planned(limits, 0.1) == 100
    assert planned(limits, 5.0) == 30


def test_fewer_never_asks_for_more() -> None:
    fewer = Limits(20, 20, 5.0).fewer(100, 50)
    assert (fewer.samples, fewer.least) == (20, 20)
    assert Limits().within(1.0).seconds == 1.0


@pytest.mark.parametrize(("samples", "seconds"), [(0, 1.0), (10, 0.0), (10, float("nan"))])
def test_limits_that_cannot_be_are_refused(samples: int, seconds: float) -> None:
    with pytest.raises(UsageError):
        Limits(samples, 1, seconds)
