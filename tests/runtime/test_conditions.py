"""Waiting for objects to be as wanted, over every failure."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proa.app.testing import virtual_time
from proa.kube import Api, Merge
from proa.kube.models.apiextensions_v1 import CustomResourceDefinition
from proa.kube.models.apps_v1 import Deployment, DeploymentCondition, DeploymentStatus
from proa.kube.models.batch_v1 import Job, JobCondition, JobStatus
from proa.kube.models.core_v1 import ConfigMap, Pod, PodStatus
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime.conditions import (
    Condition,
    WaitTimeoutError,
    available,
    complete,
    deleted,
    established,
    exists,
    failed,
    field,
    ready,
    wait,
)
from proa.runtime.testing import FakeSource, MemoryServer, gone


def config(name: str, **data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name), data=data)


def has(key: str) -> Condition[ConfigMap]:
    return Condition(lambda obj: obj is not None and key in obj.data, f"has {key}")


@virtual_time
async def test_what_holds_already_is_not_waited_for() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a", x="y"))
    found = await wait(source, "a", has("x"))
    assert found is not None
    assert found.data == {"x": "y"}


@virtual_time
async def test_it_waits_for_the_change_over_failures_of_the_server() -> None:
    server = MemoryServer()
    async with server.client() as client:
        configs = Api(client, ConfigMap, namespace="default")
        waiting = asyncio.create_task(wait(configs, "a", has("x")))
        await asyncio.sleep(1)
        await configs.create(config("b", x="y"))
        await configs.create(config("a"))
        server.stop()
        await asyncio.sleep(10)
        server.start()
        await asyncio.sleep(60)
        assert not waiting.done()
        await configs.patch("a", Merge({"data": {"x": "y"}}))
        found = await waiting
        assert found is not None
        assert found.metadata.name == "a"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@virtual_time
async def test_deletion_is_noticed_when_it_happened_while_the_server_forgot() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"))
    waiting = asyncio.create_task(wait(source, "a", deleted()))
    await asyncio.sleep(1)
    assert not waiting.done()
    await source.remove("a")
    source.forget()
    await source.end(gone())
    assert await waiting is None


@virtual_time
async def test_another_object_of_the_name_is_another() -> None:
    source = FakeSource(ConfigMap)
    await source.put(ConfigMap(metadata=ObjectMeta(name="a", uid="new")))
    assert await wait(source, "a", deleted("old")) is not None
    with pytest.raises(WaitTimeoutError, match="ConfigMap a was not deleted within 5 s"):
        await wait(source, "a", deleted("new"), timeout=5)


def test_conditions_combine() -> None:
    a, b = has("a"), has("b")
    both, none = config("x", a="", b=""), config("x")
    assert (a & b)(both)
    assert not (a & ~b)(both)
    assert (a | ~b)(none)
    assert (a | ~b).name == "(has a or not has b)"
    assert (exists() & ~deleted())(none)
    assert not exists()(None)


def crd(status: str) -> Any:
    document = {"type": "Established", "status": status}
    from proa.kube import decode, encode

    spec = {"group": "g", "names": {"kind": "K", "plural": "ks"}, "scope": "Cluster", "versions": []}
    return decode(encode({"spec": spec, "status": {"conditions": [document]}}), CustomResourceDefinition)


def deployment(generation: int, observed: int) -> Deployment:
    condition = DeploymentCondition(type="Available", status="True")
    status = DeploymentStatus(conditions=[condition], observed_generation=observed)
    return Deployment(metadata=ObjectMeta(name="d", generation=generation), status=status)


def test_the_conditions_of_common_kinds() -> None:
    assert established()(crd("True"))
    assert not established()(crd("False"))
    assert available()(deployment(2, 2))
    assert not available()(deployment(3, 2))
    job = Job(status=JobStatus(conditions=[JobCondition(type="Complete", status="True")]))
    assert complete()(job)
    assert not failed()(job)
    pod = Pod(status=PodStatus(phase="Running"))
    assert field("status.phase", "Running")(pod)
    assert not field("status.phase.x", "Running")(pod)
    assert not ready()(pod)
    assert not ready()(None)
