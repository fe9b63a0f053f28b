"""The garbage collector and kinds that are defined while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from proa.controlplane.testing import eventually
from proa.kube import Api, Client, DynamicObject
from proa.kube.models import ResourceInfo
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference

Kubectl = Callable[..., Awaitable[str]]

DEFINITION = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: boats.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Boat, plural: boats}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
BOAT = """
apiVersion: example.com/v1
kind: Boat
metadata: {name: proa, namespace: default}
"""


def owned(name: str, owner: DynamicObject, kind: str = "Boat") -> ConfigMap:
    reference = OwnerReference(
        api_version="example.com/v1",
        kind=kind,
        name=owner.metadata.name or "",
        uid=owner.metadata.uid or "",
        block_owner_deletion=True,
    )
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", owner_references=[reference]))


async def test_what_belongs_to_an_object_of_a_new_kind_goes_with_it(client: Client, kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=DEFINITION)
    await kubectl("wait", "--for=condition=established", "crd/boats.example.com", "--timeout=20s")
    await kubectl("apply", "-f", "-", stdin=BOAT)
    info = ResourceInfo("example.com", "v1", "Boat", "boats", "boat", True)
    boats = Api(client, DynamicObject.of(info), namespace="default")
    boat = await boats.get("proa")
    configs = Api(client, ConfigMap, namespace="default")
    for name in ("sail", "mast"):
        await configs.create(owned(name, boat))
    await boats.delete("proa", propagation="Foreground")

    async def left() -> set[str | None]:
        names = {one.metadata.name async for one in configs.list()}
        return names & {"sail", "mast"} | {one.metadata.name async for one in boats.list()}

    assert await eventually(left, lambda names: not names) == set()


async def test_two_that_own_each_other_stay_until_one_is_deleted_and_take_nothing_along(
    client: Client,
) -> None:
    configs = Api(client, ConfigMap, namespace="default")
    one = await configs.create(ConfigMap(metadata=ObjectMeta(name="one")))
    other = await configs.create(ConfigMap(metadata=ObjectMeta(name="other")))
    bystander = await configs.create(ConfigMap(metadata=ObjectMeta(name="bystander")))
    assert bystander.metadata.uid
    for owner, dependent in ((one, other), (other, one)):
        reference = OwnerReference(
            api_version="v1",
            kind="ConfigMap",
            name=owner.metadata.name or "",
            uid=owner.metadata.uid or "",
            block_owner_deletion=True,
        )
        current = await configs.get(dependent.metadata.name or "")
        current.metadata.owner_references = [reference]
        await configs.replace(current)
    await asyncio.gather(*(configs.get(name) for name in ("one", "other")))
    await configs.delete("one", propagation="Foreground")

    async def left() -> set[str | None]:
        return {one.metadata.name async for one in configs.list()} & {"one", "other", "bystander"}

    assert await eventually(left, lambda names: len(names) == 1) == {"bystander"}
