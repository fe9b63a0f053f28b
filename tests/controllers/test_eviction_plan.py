"""When a pod leaves a tainted node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from proa.controlplane.controllers._eviction_plan import arrived_at, leaves_at
from proa.kube.models.core_v1 import Pod, PodCondition, PodStatus, Taint, Toleration
from proa.kube.models.meta_v1 import ObjectMeta

NOW = datetime(2026, 1, 1, tzinfo=UTC)
LOST = Taint(key="lost", effect="NoExecute", time_added=NOW - timedelta(seconds=100))


def tolerates(seconds: int | None, key: str = "lost") -> Toleration:
    return Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=seconds)


@pytest.mark.parametrize(
    ("tolerations", "taints", "left"),
    [
        ([], [], None),
        ([], [LOST], 0),
        ([], [Taint(key="lost", effect="NoSchedule")], None),
        ([tolerates(None)], [LOST], None),
        ([tolerates(300)], [LOST], 200),
        ([tolerates(60)], [LOST], -40),
        ([tolerates(300), tolerates(150)], [LOST], 50),
        ([tolerates(300), tolerates(None)], [LOST], 200),
        ([tolerates(300)], [LOST, Taint(key="other", effect="NoExecute")], 0),
        ([tolerates(-5)], [LOST], -100),
    ],
)
def test_it_leaves_when_what_it_tolerates_for_a_time_has_lasted_that_long(
    tolerations: list[Toleration], taints: list[Taint], left: float | None
) -> None:
    expected = None if left is None else NOW + timedelta(seconds=left)
    assert leaves_at(tolerations, taints, NOW - timedelta(seconds=900), NOW) == expected


def test_a_pod_that_came_after_the_taint_has_its_whole_time() -> None:
    for age, left in ((100, 200), (30, 270), (0, 300)):
        arrived = NOW - timedelta(seconds=age)
        assert leaves_at([tolerates(300)], [LOST], arrived, NOW) == NOW + timedelta(seconds=left)


def test_a_pod_came_to_its_node_when_it_was_bound() -> None:
    made, bound = NOW - timedelta(hours=1), NOW
    pod = Pod(metadata=ObjectMeta(creation_timestamp=made))
    assert arrived_at(pod) == made
    refused = PodCondition(type="PodScheduled", status="False", last_transition_time=bound)
    assert arrived_at(replace(pod, status=PodStatus(conditions=[refused]))) == made
    scheduled = replace(refused, status="True")
    assert arrived_at(replace(pod, status=PodStatus(conditions=[scheduled]))) == bound
