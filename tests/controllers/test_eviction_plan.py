"""When a pod leaves a tainted node."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from proa.controlplane.controllers._eviction_plan import leaves_at
from proa.controlplane.controllers._pods import bound_at
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
    assert leaves_at(tolerations, taints, NOW) == expected


def test_a_pod_that_comes_to_a_node_that_was_tainted_before_has_its_whole_time() -> None:
    arrived = NOW - timedelta(seconds=10)
    assert leaves_at([tolerates(60)], [LOST], NOW, arrived) == NOW + timedelta(seconds=50)
    assert leaves_at([tolerates(60)], [LOST], NOW, NOW - timedelta(hours=1)) == NOW - timedelta(seconds=40)
    assert leaves_at([], [LOST], NOW, arrived) == NOW


def test_a_pod_came_to_its_node_when_it_was_bound_or_else_when_it_was_made() -> None:
    made, bound = NOW - timedelta(hours=1), NOW
    pod = Pod(metadata=ObjectMeta(creation_timestamp=made))
    assert bound_at(pod) == made
    refused = PodCondition(type="PodScheduled", status="False", last_transition_time=bound)
    assert bound_at(replace(pod, status=PodStatus(conditions=[refused]))) == made
    scheduled = replace(refused, status="True")
    assert bound_at(replace(pod, status=PodStatus(conditions=[scheduled]))) == bound
