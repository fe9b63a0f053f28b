import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.app import Backoff


def test_delays_grow_by_the_factor_up_to_the_maximum() -> None:
    backoff = Backoff(initial=1, maximum=10, factor=2)
    assert [backoff.delay(attempt) for attempt in range(6)] == [1, 2, 4, 8, 10, 10]


@given(
    attempt=st.integers(0, 10**9),
    jitter=st.floats(0, 1),
    factor=st.floats(1, 1e6),
    initial=st.floats(0, 30),
)
def test_a_delay_never_exceeds_the_maximum_nor_what_jitter_may_take_off(
    attempt: int, jitter: float, factor: float, initial: float
) -> None:
    backoff = Backoff(initial=initial, maximum=30, factor=factor, jitter=jitter)
    plain = Backoff(initial=initial, maximum=30, factor=factor).delay(attempt)
    assert plain * (1 - jitter) <= backoff.delay(attempt) <= plain <= 30


def test_jitter_is_repeatable_with_a_seed() -> None:
    backoff = Backoff(jitter=1.0)
    first, second = backoff.start(seed=7), backoff.start(seed=7)
    assert [first.next() for _ in range(5)] == [second.next() for _ in range(5)]
    assert backoff.delay(3, random.Random(1)) == backoff.delay(3, random.Random(1))


def test_a_timer_starts_over_after_reset() -> None:
    timer = Backoff(initial=1, maximum=10).start()
    assert [timer.next(), timer.next(), timer.attempts] == [1, 2, 2]
    timer.reset()
    assert [timer.next(), timer.attempts] == [1, 1]


@pytest.mark.parametrize(
    "arguments",
    [{"initial": -1}, {"initial": 31.0}, {"factor": 0.5}, {"jitter": 1.5}, {"jitter": math.nan}],
)
def test_a_senseless_backoff_is_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Backoff(**arguments)
