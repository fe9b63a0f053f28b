"""The controller's guarantees, in virtual time."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proa.app import Backoff
from proa.app.testing import capture_logs, virtual_time
from proa.kube import ConnectError
from proa.kube.models.apps_v1 import ReplicaSet
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.runtime import Action, Controller, ObjectRef, Reflector
from proa.runtime.testing import FakeSource


def config(name: str, **labels: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels=labels))


def pod(name: str, owner: str = "", *, controller: bool = True) -> Pod:
    owners = [
        OwnerReference(api_version="apps/v1", kind="ReplicaSet", name=owner, uid="u", controller=controller)
    ]
    return Pod(metadata=ObjectMeta(name=name, namespace="default", owner_references=owners if owner else []))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(controller: Controller[ConfigMap] | Controller[ReplicaSet]) -> AsyncIterator[None]:
    async with controller:
        await settle()
        yield


class Log:
    """A reconciler that notes what it is called with."""

    def __init__(self, *actions: Action) -> None:
        self.calls: list[str] = []
        self.actions = list(actions)

    async def __call__(self, ref: ObjectRef) -> Action:
        self.calls.append(ref.name)
        return self.actions.pop(0) if self.actions else Action.await_change()


@virtual_time
async def test_every_object_is_reconciled_at_the_start_and_on_change_and_on_deletion() -> None:
    source, log = FakeSource(ConfigMap), Log()
    await source.put(config("a"), config("b"))
    async with running(Controller(source, log)):
        assert log.calls == ["a", "b"]
        await source.put(config("a"))
        await settle()
        await source.remove("b", "default")
        await settle()
        assert log.calls == ["a", "b", "a", "b"]


@virtual_time
async def test_an_object_is_never_reconciled_twice_at_once_and_what_came_meanwhile_leads_to_one_run() -> None:
    source = FakeSource(ConfigMap)
    at_once: Counter[str] = Counter()
    calls = []

    async def reconcile(ref: ObjectRef) -> Action:
        at_once[ref.name] += 1
        assert at_once[ref.name] == 1
        calls.append(ref.name)
        await asyncio.sleep(10)
        at_once[ref.name] -= 1
        return Action.await_change()

    await source.put(config("a"))
    async with running(Controller(source, reconcile, grace=60)):
        for _ in range(5):
            await source.put(config("a"))
            await asyncio.sleep(1)
        assert calls == ["a"]
        await asyncio.sleep(100)
        assert calls == ["a", "a"]


@virtual_time
async def test_no_more_run_at_once_than_allowed() -> None:
    source, now, most = FakeSource(ConfigMap), 0, 0

    async def reconcile(_ref: ObjectRef) -> Action:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(1)
        now -= 1
        return Action.await_change()

    await source.put(*(config(f"c{number}") for number in range(10)))
    async with running(controller := Controller(source, reconcile, concurrency=3)):
        await asyncio.sleep(5)
        assert most == 3
        assert controller.statistics().reconciles == 10


@virtual_time
async def test_requeue_calls_again_after_that_time() -> None:
    source, log = FakeSource(ConfigMap), Log(Action.requeue(3600))
    await source.put(config("a"))
    async with running(Controller(source, log)):
        await asyncio.sleep(3599)
        assert log.calls == ["a"]
        await asyncio.sleep(2)
        assert log.calls == ["a", "a"]


@virtual_time
async def test_a_reconciler_that_raises_is_retried_ever_more_slowly_and_hinders_no_other() -> None:
    source = FakeSource(ConfigMap)
    calls: Counter[str] = Counter()

    async def reconcile(ref: ObjectRef) -> Action:
        calls[ref.name] += 1
        if ref.name == "bad":
            raise ValueError("no")
        return Action.await_change()

    await source.put(config("bad"), config("good"))
    with capture_logs("warning") as logged:
        async with running(
            controller := Controller(source, reconcile, backoff=Backoff(initial=1, maximum=300))
        ):
            await asyncio.sleep(3600)
            assert 15 < calls["bad"] < 25
            await source.put(config("good"))
            await settle()
            assert calls["good"] == 2
            assert controller.statistics().failures == calls["bad"]
    assert logged[0]["error"] == "no"


@virtual_time
async def test_owned_objects_lead_to_their_controlling_owner_of_the_main_kind_alone() -> None:
    sets, pods, log = FakeSource(ReplicaSet), FakeSource(Pod), Log()
    await pods.put(pod("p1", "web"), pod("p2", "db", controller=False), pod("p3"))
    async with running(Controller(sets, log).owns(pods)):
        assert log.calls == ["web"]
        await pods.remove("p1", "default")
        await settle()
        assert log.calls == ["web", "web"]


@virtual_time
async def test_an_object_that_stops_mapping_leads_to_what_it_mapped_to_before() -> None:
    sets, pods, log = FakeSource(ReplicaSet), FakeSource(Pod), Log()
    await pods.put(pod("p1", "old"))
    async with running(Controller(sets, log).owns(pods)):
        log.calls.clear()
        await pods.put(pod("p1", "new"))
        await settle()
        assert sorted(log.calls) == ["new", "old"]
        await pods.put(pod("p1"))
        await settle()
        assert sorted(log.calls) == ["new", "new", "old"]


@virtual_time
async def test_watched_objects_lead_where_the_mapper_says() -> None:
    configs, pods, log = FakeSource(ConfigMap), FakeSource(Pod), Log()
    controller = Controller(configs, log).watches(pods, lambda obj: [ObjectRef(f"of-{obj.metadata.name}")])
    await pods.put(pod("p1"))
    async with running(controller):
        assert log.calls == ["of-p1"]


@virtual_time
async def test_nothing_is_reconciled_before_every_store_is_filled() -> None:
    configs, pods, log = FakeSource(ConfigMap), FakeSource(Pod), Log()
    pods.failures += [ConnectError("refused") for _ in range(3)]
    await configs.put(config("a"))
    async with running(Controller(configs, log).watches(pods, lambda _: [])):
        assert log.calls == []
        await asyncio.sleep(60)
        assert log.calls == ["a"]


@virtual_time
async def test_controllers_share_a_reflector() -> None:
    source, first, second = FakeSource(ConfigMap), Log(), Log()
    await source.put(config("a"))
    async with Reflector(source) as shared:
        async with running(Controller(shared, first)), running(Controller(shared, second)):
            assert first.calls == second.calls == ["a"]
        assert source.requests == {"list": 1, "watch": 1}


@pytest.mark.parametrize(("lasts", "finished"), [(3, True), (30, False)])
def test_stopping_lets_runs_finish_within_their_grace(lasts: float, *, finished: bool) -> None:
    ended = []

    async def reconcile(_ref: ObjectRef) -> Action:
        await asyncio.sleep(lasts)
        ended.append(True)
        return Action.await_change()

    @virtual_time
    async def scenario() -> None:
        source = FakeSource(ConfigMap)
        await source.put(config("a"))
        async with running(Controller(source, reconcile, grace=5)):
            pass
        assert asyncio.get_running_loop().time() <= 5
        assert asyncio.all_tasks() == {asyncio.current_task()}

    scenario()
    assert bool(ended) == finished


@virtual_time
async def test_a_controller_that_never_got_its_objects_stops_at_once() -> None:
    source = FakeSource(ConfigMap)
    source.failures += [ConnectError("refused") for _ in range(1000)]
    async with Controller(source, Log()):
        await asyncio.sleep(60)
    assert asyncio.get_running_loop().time() == 60


@virtual_time
async def test_a_controller_stopped_before_it_began_stops_at_once() -> None:
    source = FakeSource(ConfigMap)
    source.failures += [ConnectError("refused") for _ in range(1000)]
    async with Controller(source, Log()):
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() < 1


@virtual_time
async def test_cancelling_leaves_nothing_behind() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"))
    forever = asyncio.Event()

    async def reconcile(_ref: ObjectRef) -> Action:
        await forever.wait()
        return Action.await_change()

    task = asyncio.create_task(Controller(source, reconcile).run())
    await settle()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert asyncio.all_tasks() == {asyncio.current_task()}
