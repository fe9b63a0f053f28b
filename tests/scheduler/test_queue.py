"""Which pod is decided about next, and which waits for what."""

from __future__ import annotations

from proa.controlplane.scheduler._queue import LONGEST, Change, SchedulingQueue
from proa.runtime import ObjectRef

A, B, C = (ObjectRef(name, "default") for name in "abc")
RESOURCES = frozenset({"NodeResourcesFit"})


def test_priority_comes_first_then_age() -> None:
    queue = SchedulingQueue()
    for ref, priority in ((A, 0), (B, 0), (C, 5)):
        queue.add(ref, priority)
    assert [queue.take(0) for _ in range(4)] == [C, A, B, None]


def test_who_fits_nowhere_waits_for_a_change_that_can_help() -> None:
    queue = SchedulingQueue()
    queue.add(A, 0)
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    assert not queue.wake(Change.VOLUME)
    assert not queue.wake(Change.POD_PLACED)
    assert queue.take(0) is None
    assert queue.wake(Change.POD_GONE)
    assert queue.take(0) == A
    queue.stuck(A, frozenset({"VolumeBinding"}), 0)
    assert not queue.wake(Change.POD_GONE)
    assert queue.wake(Change.VOLUME)


def test_a_change_of_a_node_can_help_anyone() -> None:
    queue = SchedulingQueue()
    queue.add(A, 0)
    queue.take(0)
    queue.stuck(A, frozenset(), 0)
    assert queue.wake(Change.NODE)


def test_who_was_refused_often_lets_others_go_first() -> None:
    queue = SchedulingQueue()
    queue.add(A, 9)
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    queue.wake(Change.NODE)
    queue.add(B, 0)
    assert queue.take(0.5) == B, "A rests for a second, unless there is nobody else"
    assert queue.take(0.5) == A


def test_rest_over_priority_counts_again() -> None:
    queue = SchedulingQueue()
    queue.add(A, 9)
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    queue.wake(Change.NODE)
    queue.add(B, 0)
    assert queue.take(1.0) == A


def test_what_went_wrong_is_tried_again_later_and_later() -> None:
    queue = SchedulingQueue()
    queue.add(A, 0)
    now = 0.0
    for delay in (1, 2, 4, 8, 10, 10):
        assert queue.take(now) == A
        queue.failed(A, now)
        assert queue.take(now + delay - 0.1) is None
        assert queue.next_due() == now + delay
        now += delay


def test_an_update_of_its_own_brings_a_pod_back_at_once_but_only_one_that_matters() -> None:
    queue = SchedulingQueue()
    assert queue.add(A, 0, "v1")
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    assert not queue.add(A, 0, "v1")
    assert queue.take(0) is None
    assert queue.add(A, 0, "v2")
    assert queue.take(0) == A


def test_nobody_waits_for_ever() -> None:
    queue = SchedulingQueue()
    queue.add(A, 0)
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    assert queue.next_due() == LONGEST
    assert queue.take(LONGEST) == A


def test_who_is_gone_is_not_given_out() -> None:
    queue = SchedulingQueue()
    for ref in (A, B, C):
        queue.add(ref, 0)
    queue.take(0)
    queue.stuck(A, RESOURCES, 0)
    queue.remove(A)
    queue.remove(B)
    queue.wake(Change.NODE)
    assert [queue.take(0), queue.take(0), queue.take(LONGEST)] == [C, None, None]
