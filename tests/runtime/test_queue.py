"""The work queue's guarantees, by the reader's own clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proa.app import Backoff
from proa.runtime._queue import FOREVER, WorkQueue


@pytest.fixture
def queue() -> WorkQueue[str]:
    return WorkQueue(Backoff(initial=1, maximum=8))


def test_a_key_asked_for_twice_is_handed_out_once(queue: WorkQueue[str]) -> None:
    queue.add("a", 0)
    queue.add("a", 0)

    assert queue.take(0) == "a"
    queue.done("a", 0)
    assert queue.take(0) is None


def test_keys_come_out_in_the_order_they_were_asked_for(queue: WorkQueue[str]) -> None:
    for key in "cab":
        queue.add(key, 0)

    assert [queue.take(0), queue.take(0), queue.take(0)] == ["c", "a", "b"]


@pytest.mark.parametrize(("first", "second"), [(5, 2), (2, 5)])
def test_the_earlier_of_two_times_wins(queue: WorkQueue[str], first: float, second: float) -> None:
    queue.add("a", 0, delay=first)
    queue.add("a", 0, delay=second)

    assert queue.next_due() == 2
    assert queue.take(1.9) is None
    assert queue.take(2) == "a"
    queue.done("a", 2)
    assert queue.next_due() is None


def test_a_key_asked_for_while_worked_on_waits_for_the_end(queue: WorkQueue[str]) -> None:
    queue.add("a", 0)
    assert queue.take(0) == "a"
    queue.add("a", 0)
    queue.add("a", 0)

    assert queue.take(0) is None
    queue.done("a", 3)
    assert queue.take(3) == "a"
    queue.done("a", 3)
    assert queue.take(3) is None


def test_a_request_while_worked_on_beats_the_later_requeue(queue: WorkQueue[str]) -> None:
    queue.add("a", 0)
    queue.take(0)
    queue.add("a", 0, delay=4)
    queue.done("a", 1, again_after=60)

    assert queue.next_due() == 4


def test_failures_in_a_row_double_the_delay_up_to_the_maximum_and_a_success_forgets_them(
    queue: WorkQueue[str],
) -> None:
    queue.add("a", 0)
    now, delays = 0.0, []
    for _ in range(5):
        assert queue.take(now) == "a"
        delays.append(queue.failed("a", now))
        now += delays[-1]
    assert delays == [1, 2, 4, 8, 8]

    assert queue.take(now) == "a"
    queue.done("a", now, again_after=0)
    queue.take(now)
    assert queue.failed("a", now) == 1


def test_one_key_s_failures_do_not_delay_another(queue: WorkQueue[str]) -> None:
    for key in "ab":
        queue.add(key, 0)
        queue.take(0)
    queue.failed("a", 0)
    queue.failed("a", 0)

    assert queue.failed("b", 0) == 1


def test_overlong_delays_are_cut_to_what_timers_can_hold(queue: WorkQueue[str]) -> None:
    queue.add("a", 0, delay=float("inf"))

    assert queue.next_due() == FOREVER


def test_requests_that_were_overtaken_are_not_kept(queue: WorkQueue[str]) -> None:
    for turn in range(10_000):
        queue.add("a", turn)
        queue.take(turn)
        queue.done("a", turn, again_after=1_000_000)

    assert len(queue._heap) < 200


Steps = st.lists(
    st.tuples(st.sampled_from(["add", "take", "done", "fail"]), st.sampled_from("abc"), st.integers(0, 5))
)


@given(Steps)
def test_whatever_the_order_of_calls_no_request_is_lost_and_no_key_is_worked_on_twice(
    steps: list[tuple[str, str, int]],
) -> None:
    queue: WorkQueue[str] = WorkQueue(Backoff(initial=1, maximum=1))
    running: set[str] = set()
    wanted: set[str] = set()
    for now, (what, key, delay) in enumerate(steps):
        if what == "add":
            queue.add(key, now, delay)
            wanted.add(key)
        elif what == "take" and (taken := queue.take(now)):
            assert taken not in running
            running.add(taken)
            wanted.discard(taken)
        elif what == "done" and key in running:
            running.remove(key)
            queue.done(key, now)
        elif what == "fail" and key in running:
            running.remove(key)
            queue.failed(key, now)
            wanted.add(key)
    for key in running:
        queue.done(key, 1000)
    left = set()
    while (taken := queue.take(2000)) is not None:
        assert taken not in left
        left.add(taken)
    assert left == wanted
