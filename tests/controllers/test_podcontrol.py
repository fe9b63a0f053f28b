"""Pods made in an owner's name, by a controller whose answers get lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proa.app.testing import virtual_time
from proa.controlplane.controllers._podcontrol import PodControl
from proa.kube import Api, KubeError
from proa.kube.models.batch_v1 import Job, JobSpec
from proa.kube.models.core_v1 import Container, Pod, PodSpec, PodTemplateSpec
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.runtime import Recorder, Reflector
from proa.runtime.testing import CALM, Faults, MemoryServer, Rates

ONLY = {"refused": 0, "lost": 0, "failing": 0, "conflict": 0, "slow": 0, "cut": 0, "late": 0, "twice": 0}


def only(name: str) -> Rates:
    """One thing goes wrong, always."""
    return Rates(**{**ONLY, "expired": 0, name: 1})


class Desk:
    """A server, a Job on it, and what makes pods for the Job; nobody watches them."""

    def __init__(self, server: MemoryServer, control: PodControl, job: Job) -> None:
        self.server = server
        self.control = control
        self.job = job

    async def create(self, rates: Rates, index: str = "") -> None:
        self.server.faults.rates = rates
        try:
            await self.control.create(self.job, pod(self.job, index))
        finally:
            self.server.faults.rates = CALM

    def names(self) -> list[str]:
        return [one["metadata"]["name"] for one in self.server.documents("pods")]


def pod(job: Job, index: str) -> Pod:
    owner = OwnerReference(
        api_version="batch/v1", kind="Job", name="job", uid=job.metadata.uid or "", controller=True
    )
    metadata = ObjectMeta(
        generate_name="job-", namespace="default", owner_references=[owner], labels={"index": index}
    )
    return Pod(metadata=metadata, spec=PodSpec(containers=[Container(name="main", image="hello:1")]))


@asynccontextmanager
async def desk() -> AsyncIterator[Desk]:
    server = MemoryServer(Faults())
    spec = JobSpec(template=PodTemplateSpec(spec=PodSpec(containers=[Container(name="main")])))
    async with server.client() as client, Recorder(client, "job-controller") as recorder:
        job = await Api(client, Job, namespace="default").create(
            Job(metadata=ObjectMeta(name="job", namespace="default"), spec=spec)
        )
        yield Desk(server, PodControl(client, Reflector(Api(client, Pod)), recorder), job)


@virtual_time
async def test_a_creation_whose_answer_was_lost_is_not_done_twice() -> None:
    async with desk() as here:
        with pytest.raises(KubeError):
            await here.create(only("lost"))
        (made,) = here.names()
        await here.create(CALM)
        assert here.names() == [made]
        await here.create(CALM)
        assert len(here.names()) == 2


@virtual_time
async def test_a_creation_of_another_pod_is_no_repetition() -> None:
    async with desk() as here:
        with pytest.raises(KubeError):
            await here.create(only("lost"), index="0")
        await here.create(CALM, index="1")
        assert len(here.names()) == 2


@virtual_time
@pytest.mark.parametrize("trouble", ["refused", "failing"])
async def test_a_creation_that_did_not_happen_is_done_the_next_time(trouble: str) -> None:
    async with desk() as here:
        with pytest.raises(KubeError):
            await here.create(only(trouble))
        assert here.names() == []
        await here.create(CALM)
        assert len(here.names()) == 1
