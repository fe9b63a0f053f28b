"""Rolling updates by the numbers: always between the limits, always getting there."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proa.controlplane.controllers._revisions import DESIRED, REVISION, changes, new_set
from proa.controlplane.controllers._rollout import Limits, Part, new_size, resize, roll
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec
from proa.kube.models.core_v1 import PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (4, 0, 0, (0, 1)),
        (4, 0, "100%", (0, 4)),
        (3, 1, 10, (1, 3)),
        (4, "0%", "1%", (0, 1)),
    ],
)
def test_limits_are_rounded_in_favour_of_serving_and_never_both_zero(
    replicas: int, surge: int | str, unavailable: int | str, expected: tuple[int, int]
) -> None:
    limits = Limits.of(replicas, surge, unavailable)
    assert (limits.surge, limits.unavailable) == expected


def test_a_new_set_begins_as_large_as_the_surge_allows() -> None:
    assert new_size(Limits(10, 3, 2), 0, 10) == 3
    assert new_size(Limits(10, 3, 2), 0, 0) == 10


def test_pods_that_do_not_serve_go_first() -> None:
    limits = Limits(10, 0, 2)
    old = [Part("broken", 3, 0), Part("good", 7, 7)]
    assert roll(limits, Part("new", 0, 0), old) == {"broken": 1}


def test_a_resize_in_the_middle_of_a_rollout_keeps_the_shares() -> None:
    old, new = Part("old", 8, 8, limit=13), Part("new", 5, 5, limit=13)
    assert resize(Limits(20, 6, 0), [old, new]) == {"old": 16, "new": 10}


def test_a_resize_names_sets_that_keep_their_size_too() -> None:
    """They are noted as resized as well: otherwise the rollout would wait for that for ever."""
    assert resize(Limits(2, 1, 0), [Part("old", 2, 2, 4), Part("new", 1, 1, 4)]) == {"old": 2, "new": 1}


def test_a_resize_to_nothing_empties_all() -> None:
    assert resize(Limits(0, 1, 0), [Part("old", 3, 3, 5), Part("new", 2, 2, 5)]) == {"old": 0, "new": 0}


limits = st.builds(Limits.of, st.integers(1, 20), st.integers(0, 5), st.integers(0, 5))


@settings(max_examples=300)
@given(limits=limits, history=st.integers(1, 3), order=st.randoms(use_true_random=False))
def test_a_rollout_ends_and_stays_within_its_limits(limits: Limits, history: int, order: object) -> None:
    assert hasattr(order, "random")
    each = max(1, limits.replicas // history)
    old = [Part(f"old-{number}", each, each) for number in range(history - 1)]
    old.append(Part("old", limits.replicas - each * (history - 1), limits.replicas - each * (history - 1)))
    parts = {part.name: part for part in old if part.size > 0}
    parts["new"] = Part("new", 0, 0)
    for _ in range(1000):
        new, others = parts["new"], [part for name, part in parts.items() if name != "new"]
        for name, size in roll(limits, new, others).items():
            assert size >= 0
            part = parts[name]
            assert (size >= part.size) == (name == "new")
            parts[name] = replace(part, size=size, available=min(part.available, size))
        assert sum(part.size for part in parts.values()) <= limits.most
        assert sum(part.available for part in parts.values()) >= limits.least_available
        if parts["new"] == Part("new", limits.replicas, limits.replicas):
            break
        if order.random() < 0.7 and parts["new"].available < parts["new"].size:
            parts["new"] = replace(parts["new"], available=parts["new"].available + 1)
    assert {name: part.size for name, part in parts.items() if part.size} == {"new": limits.replicas}


sizes = st.lists(st.integers(1, 12), min_size=1, max_size=4)


@given(sizes=sizes, replicas=st.integers(0, 40), surge=st.integers(0, 5))
def test_a_resize_gives_out_exactly_what_is_wanted(sizes: list[int], replicas: int, surge: int) -> None:
    parts = [Part(str(number), size, size, limit=sum(sizes)) for number, size in enumerate(sizes)]
    limits = Limits(replicas, surge, 0)
    changed = resize(limits, parts)
    total = sum(changed.get(part.name, part.size) for part in parts)
    assert total == (limits.most if replicas else 0)


def test_the_newest_set_follows_its_deployments_annotations_and_patience() -> None:
    template = PodTemplateSpec(metadata=ObjectMeta(labels={"app": "web"}))
    spec = DeploymentSpec(selector=LabelSelector(match_labels={"app": "web"}), template=template)
    metadata = ObjectMeta(name="web", annotations={"cause": "first", DESIRED: "9"})
    deployment = Deployment(metadata=metadata, spec=spec)
    new = new_set(deployment, 1, 1, [])
    assert changes(deployment, new, 1) == {}
    deployment.metadata.annotations["cause"] = "second"
    deployment.spec.min_ready_seconds = 5
    assert changes(deployment, new, 2) == {
        "metadata": {"annotations": {"cause": "second", REVISION: "2"}},
        "spec": {"minReadySeconds": 5},
    }
