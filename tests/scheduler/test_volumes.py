"""Where pods go for the sake of their volumes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.json import encode

from proa.controlplane.scheduler import Cluster, Placement, Unschedulable, find_volume, schedule
from proa.controlplane.scheduler._volumes import wanted
from proa.kube import decode
from proa.kube.models.core_v1 import Node, PersistentVolume, PersistentVolumeClaim, Pod
from proa.kube.models.storage_v1 import StorageClass


def node(name: str) -> Node:
    status = {"allocatable": {"cpu": "4", "pods": "9"}, "conditions": [{"type": "Ready", "status": "True"}]}
    return decode(encode({"metadata": {"name": name, "labels": {"host": name}}, "status": status}), Node)


def pod(*claims: str) -> Pod:
    volumes = [{"name": claim, "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
    spec = {"containers": [{"name": "c"}], "volumes": volumes}
    return decode(encode({"metadata": {"name": "p", "uid": "p", "namespace": "ns"}, "spec": spec}), Pod)


def claim(name: str, kind: str = "slow", size: str = "1Gi", **spec: Any) -> PersistentVolumeClaim:
    wish = {"resources": {"requests": {"storage": size}}, "accessModes": ["ReadWriteOnce"], **spec}
    document = {
        "metadata": {"name": name, "uid": name, "namespace": "ns"},
        "spec": {"storageClassName": kind, **wish},
    }
    return decode(encode(document), PersistentVolumeClaim)


def volume(
    name: str, host: str | None = None, kind: str = "slow", size: str = "1Gi", **spec: Any
) -> PersistentVolume:
    terms = [{"matchExpressions": [{"key": "host", "operator": "In", "values": [host]}]}]
    affinity = {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}} if host else {}
    made = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": kind}
    return decode(
        encode({"metadata": {"name": name}, "spec": {**made, **affinity, **spec}}), PersistentVolume
    )


def storage_class(
    name: str, mode: str, provisioner: str = "proa.dev/local-path", **more: Any
) -> StorageClass:
    document = {"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode, **more}
    return decode(encode(document), StorageClass)


@pytest.fixture
def world() -> Cluster:
    made = Cluster()
    for name in ("a", "b"):
        made.set_node(node(name))
    classes = (
        storage_class("slow", "WaitForFirstConsumer", "kubernetes.io/no-provisioner"),
        storage_class("made", "WaitForFirstConsumer"),
        storage_class("early", "Immediate"),
    )
    made.volumes.classes.update({one.metadata.name or "": one for one in classes})
    return made


def know(world: Cluster, *objects: PersistentVolume | PersistentVolumeClaim) -> None:
    for one in objects:
        if isinstance(one, PersistentVolume):
            world.volumes.set_volume(one)
        else:
            world.volumes.claims["ns", one.metadata.name or ""] = one


def why_not(world: Cluster, one: Pod) -> str:
    verdict = schedule(one, world)
    assert isinstance(verdict, Unschedulable), verdict
    return verdict.message.removeprefix("0/2 nodes are available: ")


def test_a_pod_goes_to_where_its_volume_is(world: Cluster) -> None:
    know(world, volume("v", "b"), claim("data", volumeName="v"))
    assert schedule(pod("data"), world) == Placement("b")


def test_volumes_in_different_places_let_no_node_have_it(world: Cluster) -> None:
    know(world, volume("v", "b"), claim("data", volumeName="v"))
    know(world, volume("w", "a"), claim("more", volumeName="w"))
    message = "2 node(s) didn't match PersistentVolume's node affinity."
    assert why_not(world, pod("data", "more")) == message


def test_what_is_missing_is_said(world: Cluster) -> None:
    assert why_not(world, pod("data")) == 'persistentvolumeclaim "data" not found.'
    know(world, claim("data", "early"))
    assert why_not(world, pod("data")) == "pod has unbound immediate PersistentVolumeClaims."
    know(world, claim("lost", volumeName="nothing"))
    reason = "2 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."
    assert why_not(world, pod("lost")) == reason


def test_a_claim_that_waits_for_its_pod_draws_it_to_a_free_volume(world: Cluster) -> None:
    know(world, claim("data"))
    assert why_not(world, pod("data")) == "2 node(s) didn't find available persistent volumes to bind."
    know(world, volume("v", "b"))
    assert schedule(pod("data"), world) == Placement("b")
    (one,) = wanted(pod("data"), world.volumes, node("b"))
    assert one.volume is not None
    world.volumes.promise(one.volume, one.claim)
    know(world, claim("other"))
    assert "available persistent volumes" in why_not(world, pod("other"))
    world.volumes.break_promises([one.claim])
    assert schedule(pod("other"), world) == Placement("b")


def test_where_volumes_can_be_made_the_claim_is_no_obstacle(world: Cluster) -> None:
    know(world, claim("data", "made"))
    assert isinstance(schedule(pod("data"), world), Placement)
    topology = [{"matchLabelExpressions": [{"key": "host", "values": ["b"]}]}]
    world.volumes.classes["made"] = storage_class("made", "WaitForFirstConsumer", allowedTopologies=topology)
    assert schedule(pod("data"), world) == Placement("b")


@pytest.mark.parametrize(
    "unfit",
    [
        volume("v", size="500Mi"),
        volume("v", kind="other"),
        volume("v", accessModes=["ReadOnlyMany"]),
        volume("v", volumeMode="Block"),
        volume("v", claimRef={"namespace": "ns", "name": "another"}),
        volume("v", claimRef={"namespace": "ns", "name": "data", "uid": "of an earlier one"}),
    ],
)
def test_only_a_volume_that_fits_is_taken(unfit: PersistentVolume) -> None:
    assert find_volume(claim("data"), [unfit], None) is None


def test_the_smallest_that_fits_is_taken_unless_one_is_reserved() -> None:
    free = [volume("large", size="9Gi"), volume("small", size="2Gi")]
    assert find_volume(claim("data"), free, None) is free[1]
    reserved = volume("reserved", size="20Gi", claimRef={"namespace": "ns", "name": "data"})
    assert find_volume(claim("data"), [*free, reserved], None) is reserved
