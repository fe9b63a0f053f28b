"""The controllers against the embedded API server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from proa.kube import Api, Client, Merge, Strategic
from proa.kube.models import now
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec, ReplicaSet
from proa.kube.models.core_v1 import (
    ConfigMap,
    Container,
    Event,
    Namespace,
    Pod,
    PodSpec,
    PodTemplateSpec,
    ServiceAccount,
)
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference

T = TypeVar("T")


async def eventually(look: Callable[[], Awaitable[T]], holds: Callable[[T], bool]) -> T:
    """Look until what is seen holds."""
    for _ in range(750):
        if holds(seen := await look()):
            return seen
        await asyncio.sleep(0.02)  # others act meanwhile, and say nothing of it
    raise AssertionError(f"still {seen}")


def deployment(replicas: int, image: str = "hello:1") -> Deployment:
    return Deployment(
        metadata=ObjectMeta(name="web", namespace="default"),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(match_labels={"app": "web"}),
            template=PodTemplateSpec(
                metadata=ObjectMeta(labels={"app": "web"}),
                spec=PodSpec(containers=[Container(name="main", image=image)]),
            ),
        ),
    )


async def listed(api: Api[T]) -> list[T]:  # type: ignore[type-var]
    return [obj async for obj in api.list()]


async def make_ready(pods: Api[Pod]) -> None:
    """Play the kubelet: every pod that lives is running and ready."""
    for pod in await listed(pods):
        if pod.metadata.deletion_timestamp is None and pod.status.phase != "Running":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now()}
            status = {"status": {"phase": "Running", "conditions": [ready]}}
            await pods.patch_status(pod.metadata.name or "", Strategic(status))


async def rolled_out(client: Client) -> Deployment:
    deployments, pods = Api(client, Deployment, namespace="default"), Api(client, Pod, namespace="default")

    async def look() -> Deployment:
        await make_ready(pods)
        return await deployments.get("web")

    def complete(seen: Deployment) -> bool:
        wanted, status = seen.spec.replicas, seen.status
        settled = status.observed_generation == seen.metadata.generation
        counts = {status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0}
        return settled and counts == {wanted}

    return await eventually(look, complete)


async def test_a_deployment_gets_its_pods_and_says_so(client: Client) -> None:
    await Api(client, Deployment, namespace="default").create(deployment(3))
    seen = await rolled_out(client)

    conditions = {one.type: (one.status, one.reason) for one in seen.status.conditions}
    assert conditions == {
        "Available": ("True", "MinimumReplicasAvailable"),
        "Progressing": ("True", "NewReplicaSetAvailable"),
    }
    assert seen.metadata.annotations["deployment.kubernetes.io/revision"] == "1"
    pods = await listed(Api(client, Pod, namespace="default"))
    (replica_set,) = await listed(Api(client, ReplicaSet, namespace="default"))
    assert len(pods) == 3
    assert {owner.uid for pod in pods for owner in pod.metadata.owner_references} == {
        replica_set.metadata.uid
    }
    digest = replica_set.metadata.labels["pod-template-hash"]
    assert replica_set.metadata.name == f"web-{digest}"
    assert all(pod.metadata.labels["pod-template-hash"] == digest for pod in pods)


async def test_a_change_of_the_template_rolls_without_dropping_below_the_minimum(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await deployments.create(deployment(4))
    await rolled_out(client)
    container = {"name": "main", "image": "hello:2"}
    await deployments.patch("web", Strategic({"spec": {"template": {"spec": {"containers": [container]}}}}))
    pods = Api(client, Pod, namespace="default")
    fewest, most = 99, 0

    async def look() -> set[str | None]:
        nonlocal fewest, most
        alive = [pod for pod in await listed(pods) if pod.metadata.deletion_timestamp is None]
        fewest = min(fewest, sum(pod.status.phase == "Running" for pod in alive))
        most = max(most, len(alive))
        await make_ready(pods)
        return {pod.spec.containers[0].image for pod in alive}

    await eventually(look, lambda images: images == {"hello:2"})
    seen = await rolled_out(client)
    assert fewest >= 3
    assert most <= 5
    assert seen.metadata.annotations["deployment.kubernetes.io/revision"] == "2"


async def test_recreate_ends_the_old_pods_before_it_makes_new_ones(client: Client) -> None:
    deployments, pods = Api(client, Deployment, namespace="default"), Api(client, Pod, namespace="default")
    wanted = deployment(2)
    wanted.spec.strategy.type = "Recreate"
    await deployments.create(wanted)
    await rolled_out(client)
    container = {"name": "main", "image": "hello:2"}
    await deployments.patch("web", Strategic({"spec": {"template": {"spec": {"containers": [container]}}}}))

    async def look() -> set[str | None]:
        return {pod.spec.containers[0].image for pod in await listed(pods)}

    images: set[str | None] = set()
    async with asyncio.timeout(15):
        while images != {"hello:2"}:
            images = await look()
            assert len(images) <= 1
    await rolled_out(client)


async def test_scaling_up_and_down_and_to_nothing(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await deployments.create(deployment(1))
    for replicas in (1, 5, 2, 0):
        await deployments.patch("web", Merge({"spec": {"replicas": replicas}}))
        await rolled_out(client)
        pods = await listed(Api(client, Pod, namespace="default"))
        assert len([pod for pod in pods if pod.metadata.deletion_timestamp is None]) == replicas


async def test_a_deleted_pod_is_replaced(client: Client) -> None:
    await Api(client, Deployment, namespace="default").create(deployment(2))
    await rolled_out(client)
    pods = Api(client, Pod, namespace="default")
    victim = (await listed(pods))[0]
    await pods.delete(victim.metadata.name or "", grace_period=0)

    names = await eventually(lambda: listed(pods), lambda seen: len(seen) == 2)
    assert victim.metadata.uid not in {pod.metadata.uid for pod in names}
    await rolled_out(client)


async def test_deleting_a_deployment_takes_its_sets_and_pods_with_it(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await deployments.create(deployment(2))
    await rolled_out(client)
    await deployments.delete("web")

    await eventually(lambda: listed(Api(client, Pod, namespace="default")), lambda pods: not pods)
    await eventually(lambda: listed(Api(client, ReplicaSet, namespace="default")), lambda sets: not sets)


async def test_deleting_in_the_foreground_takes_the_dependents_first(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    await deployments.create(deployment(2))
    await rolled_out(client)
    await deployments.delete("web", propagation="Foreground")

    async def look() -> tuple[bool, int]:
        there = await deployments.get_opt("web") is not None
        return there, len(await listed(Api(client, Pod, namespace="default")))

    await eventually(look, lambda seen: seen == (False, 0))


async def test_orphaning_leaves_the_dependents(client: Client) -> None:
    deployments = Api(client, Deployment, namespace="default")
    sets = Api(client, ReplicaSet, namespace="default")
    await deployments.create(deployment(2))
    await rolled_out(client)
    await deployments.delete("web", propagation="Orphan")

    await eventually(lambda: deployments.get_opt("web"), lambda seen: seen is None)
    (left,) = await listed(sets)
    assert left.metadata.owner_references == []
    assert len(await listed(Api(client, Pod, namespace="default"))) == 2


async def test_an_object_of_any_kind_goes_with_its_last_owner(client: Client) -> None:
    configs = Api(client, ConfigMap, namespace="default")
    owners = [await configs.create(ConfigMap(metadata=ObjectMeta(name=name))) for name in ("one", "two")]
    references = [
        OwnerReference(
            api_version="v1", kind="ConfigMap", name=one.metadata.name or "", uid=one.metadata.uid or ""
        )
        for one in owners
    ]
    await configs.create(ConfigMap(metadata=ObjectMeta(name="child", owner_references=references)))

    await configs.delete("one")
    child = await eventually(
        lambda: configs.get("child"), lambda seen: len(seen.metadata.owner_references) == 1
    )
    assert child.metadata.owner_references[0].name == "two"
    await configs.delete("two")
    await eventually(lambda: configs.get_opt("child"), lambda seen: seen is None)


async def test_an_object_that_names_an_owner_which_never_was_is_collected(client: Client) -> None:
    configs = Api(client, ConfigMap, namespace="default")
    owner = OwnerReference(api_version="v1", kind="ConfigMap", name="never", uid="0000")
    await configs.create(ConfigMap(metadata=ObjectMeta(name="child", owner_references=[owner])))

    await eventually(lambda: configs.get_opt("child"), lambda seen: seen is None)


async def test_a_namespace_goes_with_everything_in_it(client: Client) -> None:
    namespaces = Api(client, Namespace)
    await namespaces.create(Namespace(metadata=ObjectMeta(name="team")))
    await Api(client, ConfigMap, namespace="team").create(ConfigMap(metadata=ObjectMeta(name="settings")))
    await namespaces.delete("team")

    await eventually(lambda: namespaces.get_opt("team"), lambda seen: seen is None)
    assert await Api(client, ConfigMap, namespace="team").get_opt("settings") is None


async def test_every_namespace_has_a_default_service_account(client: Client) -> None:
    await Api(client, Namespace).create(Namespace(metadata=ObjectMeta(name="team")))
    accounts = Api(client, ServiceAccount, namespace="team")
    await eventually(lambda: accounts.get_opt("default"), lambda seen: seen is not None)
    await accounts.delete("default")
    await eventually(lambda: accounts.get_opt("default"), lambda seen: seen is not None)


async def test_what_the_controllers_did_is_told_as_events(client: Client) -> None:
    await Api(client, Deployment, namespace="default").create(deployment(1))
    await rolled_out(client)
    events = Api(client, Event, namespace="default")

    def told(seen: list[Event]) -> set[str | None]:
        return {event.reason for event in seen}

    await eventually(
        lambda: listed(events), lambda seen: {"ScalingReplicaSet", "SuccessfulCreate"} <= told(seen)
    )
