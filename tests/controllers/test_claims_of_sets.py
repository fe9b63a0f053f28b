"""The claims of a StatefulSet's pods: kept, handed over, and never taken from a pod of the past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proa.app.testing import virtual_time
from proa.controlplane.controllers._statefulset import StatefulSetController
from proa.kube import Api, Client, Merge
from proa.kube.models.apps_v1 import ControllerRevision, StatefulSet, StatefulSetSpec
from proa.kube.models.core_v1 import Container, PersistentVolumeClaim, Pod, PodSpec, PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta, OwnerReference
from proa.runtime import Recorder, Reflector, background
from proa.runtime.testing import MemoryServer


@asynccontextmanager
async def controller() -> AsyncIterator[Client]:
    async with (
        MemoryServer().client() as client,
        Recorder(client, "statefulset-controller") as recorder,
        Reflector(Api(client, StatefulSet)) as sets,
        Reflector(Api(client, Pod)) as pods,
        Reflector(Api(client, ControllerRevision)) as revisions,
        Reflector(Api(client, PersistentVolumeClaim)) as claims,
    ):
        made = StatefulSetController(client, sets, pods, revisions, claims, recorder)
        async with background(made.follow(), "own writes"), made.controller:
            yield client


def stateful_set() -> StatefulSet:
    spec = StatefulSetSpec(
        replicas=1,
        service_name="db",
        selector=LabelSelector(match_labels={"app": "db"}),
        template=PodTemplateSpec(
            metadata=ObjectMeta(labels={"app": "db"}), spec=PodSpec(containers=[Container(name="main")])
        ),
        volume_claim_templates=[PersistentVolumeClaim(metadata=ObjectMeta(name="data"))],
    )
    return StatefulSet(metadata=ObjectMeta(name="db", namespace="default"), spec=spec)


@virtual_time
async def test_a_pod_does_not_get_the_claim_that_goes_with_the_one_before_it() -> None:
    async with controller() as client:
        claims, pods = (Api(client, kind, namespace="default") for kind in (PersistentVolumeClaim, Pod))
        former = OwnerReference(api_version="v1", kind="Pod", name="db-0", uid="former")
        metadata = ObjectMeta(name="data-db-0", namespace="default", owner_references=[former])
        await claims.create(PersistentVolumeClaim(metadata=metadata))
        await Api(client, StatefulSet, namespace="default").create(stateful_set())
        await asyncio.sleep(1000)
        assert await pods.get_opt("db-0") is None
        await claims.delete("data-db-0")  # as the garbage collector does
        await asyncio.sleep(1)
        assert await pods.get_opt("db-0") is not None
        assert (await claims.get("data-db-0")).metadata.owner_references == []


@virtual_time
async def test_a_pod_that_has_not_begun_gets_its_claim_back() -> None:
    async with controller() as client:
        claims = Api(client, PersistentVolumeClaim, namespace="default")
        await Api(client, StatefulSet, namespace="default").create(stateful_set())
        await asyncio.sleep(1)
        lost = await claims.get("data-db-0")
        await claims.delete("data-db-0")
        await asyncio.sleep(1)
        assert (await claims.get("data-db-0")).metadata.uid != lost.metadata.uid
        await Api(client, Pod, namespace="default").patch_status(
            "db-0", Merge({"status": {"phase": "Running"}})
        )
        await claims.delete("data-db-0")
        await asyncio.sleep(1000)
        assert await claims.get_opt("data-db-0") is None


@virtual_time
async def test_a_policy_that_changes_counts_for_the_claims_there_are() -> None:
    async with controller() as client:
        claims = Api(client, PersistentVolumeClaim, namespace="default")
        sets = Api(client, StatefulSet, namespace="default")
        uid = (await sets.create(stateful_set())).metadata.uid
        await asyncio.sleep(1)
        assert (await claims.get("data-db-0")).metadata.owner_references == []
        for when_deleted, owners in (("Delete", [uid]), ("Retain", [])):
            policy = {"whenDeleted": when_deleted, "whenScaled": "Retain"}
            await sets.patch("db", Merge({"spec": {"persistentVolumeClaimRetentionPolicy": policy}}))
            await asyncio.sleep(1)
            found = (await claims.get("data-db-0")).metadata.owner_references
            assert [one.uid for one in found] == owners
