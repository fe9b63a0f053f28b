"""Volumes that are directories, from a claim to their end."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from proa.controlplane import ApiServer
from proa.controlplane.controllers import ControllerManager, _local_path, ensure_storage_class
from proa.controlplane.scheduler import Scheduler
from proa.controlplane.testing import eventually, fake_kubelet
from proa.kube import Api, Client, Config, ForbiddenError, InvalidError, Merge
from proa.kube.models import Quantity
from proa.kube.models.core_v1 import (
    Container,
    EphemeralVolumeSource,
    Event,
    Node,
    NodeCondition,
    NodeStatus,
    PersistentVolume,
    PersistentVolumeClaim,
    PersistentVolumeClaimSpec,
    PersistentVolumeClaimTemplate,
    PersistentVolumeClaimVolumeSource,
    Pod,
    PodSpec,
    Volume,
    VolumeResourceRequirements,
)
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.models.storage_v1 import StorageClass

WISH = PersistentVolumeClaimSpec(
    access_modes=["ReadWriteOnce"],
    resources=VolumeResourceRequirements(requests={"storage": Quantity("1Gi")}),
)


@pytest.fixture
async def client(server: ApiServer, tmp_path: Path) -> AsyncIterator[Client]:
    """An administrator's client of a cluster with a node, a scheduler and the provisioner."""
    own = server.kubeconfig_for("system:kube-controller-manager")
    scheduling = server.kubeconfig_for("system:kube-scheduler")
    async with (
        Client(Config.from_kubeconfig(server.kubeconfig)) as client,
        Client(Config.from_kubeconfig(own)) as controllers,
        Client(Config.from_kubeconfig(scheduling)) as scheduler,
        ControllerManager(controllers, tmp_path / "volumes"),
        Scheduler(scheduler),
        fake_kubelet(client),
    ):
        await ensure_storage_class(client, "node-1")
        nodes = Api(client, Node)
        node = await nodes.create(
            Node(metadata=ObjectMeta(name="node-1", labels={"kubernetes.io/hostname": "node-1"}))
        )
        room = {"cpu": Quantity("4"), "memory": Quantity("4Gi"), "pods": Quantity("9")}
        ready = NodeCondition(type="Ready", status="True")
        node.status = NodeStatus(allocatable=room, conditions=[ready])
        await nodes.replace_status(node)
        yield client


def pod(name: str, volume: Volume) -> Pod:
    containers = [Container(name="main", image="hello:1")]
    return Pod(metadata=ObjectMeta(name=name), spec=PodSpec(containers=containers, volumes=[volume]))


def of(claim: str) -> Volume:
    return Volume(name="v", persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))


def is_there(directory: Path) -> bool:
    return directory.is_dir()


async def bound(client: Client, name: str) -> PersistentVolumeClaim:
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    found = await eventually(
        lambda: claims.get_opt(name), lambda one: bool(one and one.status.phase == "Bound")
    )
    assert found is not None
    return found


async def test_from_a_claim_to_a_directory_and_to_nothing(client: Client, tmp_path: Path) -> None:
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    pods, volumes = Api(client, Pod, namespace="default"), Api(client, PersistentVolume)
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=WISH))
    await pods.create(pod("user", of("data")))
    claim = await bound(client, "data")
    assert claim.status.capacity == {"storage": Quantity("1Gi")}
    volume = await eventually(
        lambda: volumes.get(claim.spec.volume_name or ""), lambda one: one.status.phase == "Bound"
    )
    assert volume.spec.local is not None
    directory = Path(volume.spec.local.path)
    assert directory.parent == tmp_path / "volumes"
    assert is_there(directory)
    await eventually(lambda: pods.get("user"), lambda one: one.status.phase == "Running")

    await claims.delete("data")
    kept = await claims.get("data")
    assert kept.metadata.finalizers == ["kubernetes.io/pvc-protection"], "the pod still uses it"
    await pods.delete("user")
    await eventually(lambda: claims.get_opt("data"), lambda one: one is None)
    await eventually(lambda: volumes.get_opt(volume.metadata.name or ""), lambda one: one is None)
    assert not is_there(directory)


async def test_a_claim_grows_where_its_class_allows_it_and_never_shrinks(client: Client) -> None:
    claims, classes = Api(client, PersistentVolumeClaim, namespace="default"), Api(client, StorageClass)
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=WISH))
    await Api(client, Pod, namespace="default").create(pod("user", of("data")))
    await bound(client, "data")

    def asking(size: str) -> Merge:
        return Merge({"spec": {"resources": {"requests": {"storage": size}}}})

    await claims.patch("data", asking("2Gi"))
    grown = await eventually(
        lambda: claims.get("data"), lambda one: one.status.capacity == {"storage": Quantity("2Gi")}
    )
    volume = await Api(client, PersistentVolume).get(grown.spec.volume_name or "")
    assert volume.spec.capacity == {"storage": Quantity("2Gi")}
    with pytest.raises(InvalidError, match="can not be less than status"):
        await claims.patch("data", asking("1Gi"))
    await classes.patch("local-path", Merge({"allowVolumeExpansion": False}))
    with pytest.raises(ForbiddenError, match="must support resize"):
        await claims.patch("data", asking("3Gi"))
    await ensure_storage_class(client, "node-1")
    assert (await classes.get("local-path")).allow_volume_expansion is False, "somebody wants it so"


async def test_a_retained_volume_outlives_its_claim_and_can_be_given_to_another(client: Client) -> None:
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    pods, volumes = Api(client, Pod, namespace="default"), Api(client, PersistentVolume)
    classes = Api(client, StorageClass)
    local = await classes.get("local-path")
    keeping = StorageClass(
        metadata=ObjectMeta(name="keeping"),
        provisioner=local.provisioner,
        reclaim_policy="Retain",
        volume_binding_mode="Immediate",
        allowed_topologies=local.allowed_topologies,
    )
    await classes.create(keeping)
    wish = PersistentVolumeClaimSpec(
        access_modes=["ReadWriteOnce"], resources=WISH.resources, storage_class_name="keeping"
    )
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=wish))
    name = (await bound(client, "data")).spec.volume_name or ""
    await claims.delete("data")
    volume = await eventually(lambda: volumes.get(name), lambda one: one.status.phase == "Released")
    assert volume.spec.local is not None
    assert is_there(Path(volume.spec.local.path))
    await volumes.patch(name, Merge({"spec": {"claimRef": None}}))
    await eventually(lambda: volumes.get(name), lambda one: one.status.phase == "Available")
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="heir"), spec=wish))
    assert (await bound(client, "heir")).spec.volume_name == name
    await pods.create(pod("user", of("heir")))
    await eventually(lambda: pods.get("user"), lambda one: one.spec.node_name == "node-1")


async def test_a_pods_own_claim_goes_with_it(client: Client) -> None:
    template = PersistentVolumeClaimTemplate(spec=WISH)
    own = Volume(name="scratch", ephemeral=EphemeralVolumeSource(volume_claim_template=template))
    pods = Api(client, Pod, namespace="default")
    await pods.create(pod("user", own))
    await bound(client, "user-scratch")
    await pods.delete("user")
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    await eventually(lambda: claims.get_opt("user-scratch"), lambda one: one is None)


async def test_a_full_disk_is_told_and_nothing_is_left_behind(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_local_path, "_make", full)
    claims = Api(client, PersistentVolumeClaim, namespace="default")
    await claims.create(PersistentVolumeClaim(metadata=ObjectMeta(name="data"), spec=WISH))
    await Api(client, Pod, namespace="default").create(pod("user", of("data")))

    async def told() -> list[str]:
        events = Api(client, Event, namespace="default").list()
        return [event.message or "" async for event in events if event.reason == "ProvisioningFailed"]

    (message,) = await eventually(told, bool)
    assert message.endswith("No space left on device")
    assert (await claims.get("data")).status.phase == "Pending"
    assert [one async for one in Api(client, PersistentVolume).list()] == []


async def test_the_storage_class_follows_the_name_of_the_machine(client: Client) -> None:
    classes = Api(client, StorageClass)
    before = await classes.get("local-path")
    await ensure_storage_class(client, "node-1")
    assert (await classes.get("local-path")).metadata.uid == before.metadata.uid
    await ensure_storage_class(client, "renamed")
    (topology,) = (await classes.get("local-path")).allowed_topologies
    assert [one.values for one in topology.match_label_expressions] == [["renamed"]]
