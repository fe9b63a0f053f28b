"""What becomes of claims and volumes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import encode

from proa.controlplane.controllers._binder_plan import (
    Bind,
    Lost,
    Provision,
    Wait,
    bound_claim,
    bound_volume,
    decide,
    phase,
)
from proa.kube import decode
from proa.kube.models.core_v1 import PersistentVolume, PersistentVolumeClaim
from proa.kube.models.storage_v1 import StorageClass


def claim(
    name: str = "data", annotations: dict[str, str] | None = None, **spec: Any
) -> PersistentVolumeClaim:
    metadata = {"name": name, "namespace": "ns", "uid": name, "annotations": annotations or {}}
    wish = {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"], **spec}
    return decode(encode({"metadata": metadata, "spec": wish}), PersistentVolumeClaim)


def volume(name: str = "v", **spec: Any) -> PersistentVolume:
    made = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], **spec}
    return decode(encode({"metadata": {"name": name}, "spec": made}), PersistentVolume)


def storage_class(mode: str, provisioner: str = "p") -> StorageClass:
    document = {"metadata": {"name": "c"}, "provisioner": provisioner, "volumeBindingMode": mode}
    return decode(encode(document), StorageClass)


NOW, LATER = storage_class("Immediate"), storage_class("WaitForFirstConsumer")
NOBODY = storage_class("Immediate", "kubernetes.io/no-provisioner")
BOUND = {"pv.kubernetes.io/bind-completed": "yes"}
CHOSEN = {"volume.kubernetes.io/selected-node": "n"}


def reserved(name: str, uid: str | None = None) -> dict[str, Any]:
    return {"claimRef": {"namespace": "ns", "name": name, "uid": uid}}


def reason(decision: object) -> str:
    assert isinstance(decision, Wait | Lost), decision
    return decision.reason


def test_a_free_volume_is_taken_at_once_unless_the_pod_comes_first() -> None:
    free = volume(storageClassName="c")
    assert decide(claim(storageClassName="c"), [free], NOW) == Bind(free)
    assert reason(decide(claim(storageClassName="c"), [free], LATER)) == "WaitForFirstConsumer"
    chosen = volume(storageClassName="c", **reserved("data"))
    assert decide(claim(storageClassName="c"), [chosen], LATER) == Bind(chosen)


def test_a_volume_is_made_where_a_class_says_by_whom() -> None:
    wish = claim(storageClassName="c")
    assert decide(wish, [], NOW) == Provision("p")
    assert decide(claim(annotations=CHOSEN, storageClassName="c"), [], LATER) == Provision("p")
    assert reason(decide(wish, [], NOBODY)) == "FailedBinding"
    assert reason(decide(wish, [], None)) == "ProvisioningFailed"
    assert reason(decide(claim(), [], None)) == "FailedBinding"


def test_a_claim_can_name_its_volume() -> None:
    named = claim(volumeName="v")
    assert reason(decide(named, [], None)) == "FailedBinding"
    assert decide(named, [volume()], None) == Bind(volume())
    assert reason(decide(named, [volume(**reserved("other", "other"))], None)) == "FailedBinding"


def test_a_bound_claim_whose_volume_is_gone_or_another_s_is_lost() -> None:
    bound = claim(annotations=BOUND, volumeName="v")
    assert reason(decide(bound, [], None)) == "ClaimLost"
    assert reason(decide(bound, [volume(**reserved("data", "an earlier one"))], None)) == "ClaimMisbound"
    assert isinstance(decide(bound, [volume(**reserved("data", "data"))], None), Bind)


@pytest.mark.parametrize(
    ("spec", "owner", "expected"),
    [
        ({}, None, "Available"),
        (reserved("data"), None, "Available"),
        (reserved("data", "data"), claim(volumeName="v"), "Bound"),
        (reserved("data", "data"), claim(), "Available"),
        (reserved("data", "data"), None, "Released"),
        (reserved("data", "an earlier one"), claim(volumeName="v"), "Released"),
    ],
)
def test_phases(spec: dict[str, Any], owner: PersistentVolumeClaim | None, expected: str) -> None:
    assert phase(volume(**spec), owner) == expected


def test_both_sides_say_whose_they_are_and_binding_twice_changes_nothing() -> None:
    first = bound_volume(volume(), claim())
    assert first.spec.claim_ref is not None
    assert first.spec.claim_ref.uid == "data"
    assert bound_volume(first, claim()) is first
    once = bound_claim(claim(), first)
    assert (once.spec.volume_name, once.metadata.annotations["pv.kubernetes.io/bound-by-controller"]) == (
        "v",
        "yes",
    )
    assert bound_claim(once, first) == once
