"""What a controller can be told: predicates, debounce; and what it tells: reasons and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proa.app import Backoff, Metrics
from proa.app.testing import virtual_time
from proa.kube import Api, Merge
from proa.kube.models.apps_v1 import ReplicaSet
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.runtime import Action, Controller, ObjectRef, Reflectors, predicates
from proa.runtime._queue import WorkQueue
from proa.runtime.testing import FakeSource, MemoryServer


def config(name: str, **labels: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels=labels))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


@asynccontextmanager
async def running(controller: Controller[Any]) -> AsyncIterator[None]:
    async with controller:
        await settle()
        yield


class Log:
    def __init__(self, *actions: Action) -> None:
        self.calls: list[str] = []
        self.actions = list(actions)

    async def __call__(self, ref: ObjectRef) -> Action:
        self.calls.append(ref.name)
        return self.actions.pop(0) if self.actions else Action.await_change()


def versioned(name: str, generation: int | None, **labels: str) -> ConfigMap:
    obj = config(name, **labels)
    obj.metadata.generation = generation
    return obj


@virtual_time
async def test_a_change_that_does_not_matter_leads_to_no_run() -> None:
    source, log = FakeSource(ConfigMap), Log()
    await source.put(versioned("a", 1))
    async with running(Controller(source, log, on=predicates.generation)):
        await source.put(versioned("a", 1, team="red"))
        await settle()
        assert log.calls == ["a"]
        await source.put(versioned("a", 2))
        await settle()
        await source.remove("a", "default")
        await settle()
        await source.put(versioned("a", 2))  # another object of the same name
        await settle()
        assert log.calls == ["a"] * 4


@virtual_time
async def test_predicates_combine_and_deletion_marks_always_matter() -> None:
    server, log = MemoryServer(), Log()
    async with server.client() as client:
        configs = Api(client, ConfigMap, namespace="default")
        on = predicates.any_of(predicates.labels, predicates.annotations)
        async with running(Controller(configs, log, on=on)):
            await configs.create(ConfigMap(metadata=ObjectMeta(name="a", finalizers=["example.com/x"])))
            for patch in (
                {"data": {"x": "y"}},
                {"metadata": {"labels": {"x": "y"}}},
                {"metadata": {"annotations": {"x": "y"}}},
                {"metadata": {"annotations": {"x": "y"}, "finalizers": ["example.com/z"]}},
            ):
                await configs.patch("a", Merge(patch))
                await settle()
            assert len(log.calls) == 3
            await configs.delete("a")
            await settle()
            assert len(log.calls) == 4


def test_a_kind_without_generations_is_looked_at_at_every_change() -> None:
    meta = ObjectMeta(name="a", resource_version="7")
    assert predicates.generation(ConfigMap(metadata=meta)) == "7"
    assert predicates.finalizers(ConfigMap(metadata=meta)) == ()


@virtual_time
async def test_owned_objects_are_filtered_too_but_a_change_of_owner_matters() -> None:
    def pod(owner: str) -> Pod:
        reference = OwnerReference(
            api_version="apps/v1", kind="ReplicaSet", name=owner, uid="u", controller=True
        )
        return Pod(
            metadata=ObjectMeta(name="p", namespace="default", generation=1, owner_references=[reference])
        )

    sets, pods, log = FakeSource(ReplicaSet), FakeSource(Pod), Log()
    await pods.put(pod("old"))
    async with running(Controller(sets, log).owns(pods, on=predicates.generation)):
        await pods.put(pod("old"))
        await settle()
        assert log.calls == ["old"]
        await pods.put(pod("new"))
        await settle()
        assert sorted(log.calls) == ["new", "old", "old"]


@virtual_time
async def test_debounce_waits_for_quiet_but_not_for_ever() -> None:
    source, times = FakeSource(ConfigMap), []

    async def reconcile(_ref: ObjectRef) -> Action:
        times.append(asyncio.get_running_loop().time())
        return Action.await_change()

    await source.put(config("a"))
    async with running(Controller(source, reconcile, debounce=2)):
        await asyncio.sleep(10)
        assert times == [2]
        for _ in range(5):
            await source.put(config("a"))
            await asyncio.sleep(1)
        await asyncio.sleep(10)
        assert times == [2, 16]
        for _ in range(60):
            await source.put(config("a"))
            await asyncio.sleep(1)
        assert times[2:] == [45, 65]


@pytest.mark.parametrize("collect", [2, lambda ref: {"a": 2}[ref.name]])
@virtual_time
async def test_changes_of_others_can_be_collected_while_own_ones_count_at_once(
    collect: float | Callable[[ObjectRef], float],
) -> None:
    configs, pods, times = FakeSource(ConfigMap), FakeSource(Pod), []

    async def reconcile(_ref: ObjectRef) -> Action:
        times.append(asyncio.get_running_loop().time())
        return Action.await_change()

    await configs.put(config("a"))
    controller = Controller(configs, reconcile)
    controller.watches(pods, lambda _: [ObjectRef("a", "default")], collect=collect)
    async with running(controller):
        await asyncio.sleep(10)
        for number in range(5):
            await pods.put(Pod(metadata=ObjectMeta(name=f"p{number}", namespace="default")))
        await asyncio.sleep(5)
        await pods.put(Pod(metadata=ObjectMeta(name="p0", namespace="default")))
        await configs.put(config("a"))
        await asyncio.sleep(5)
    assert times == [0, 12, 15]


def test_debounce_delays_no_requeue_and_no_retry() -> None:
    queue: WorkQueue[str] = WorkQueue(Backoff(initial=1, maximum=8), debounce=5)
    queue.add("a", 0, 3)
    assert queue.next_due() == 3
    assert queue.take(3) == "a"
    queue.failed("a", 3)
    assert queue.next_due() == 4


@virtual_time
async def test_every_run_says_why_it_happened() -> None:
    configs, pods = FakeSource(ConfigMap), FakeSource(Pod)
    outcomes: list[Any] = [Action.requeue(7), ValueError("no"), Action.await_change()]

    async def reconcile(_ref: ObjectRef) -> Action:
        outcome = outcomes.pop(0) if outcomes else Action.await_change()
        if isinstance(outcome, Exception):
            raise outcome
        assert isinstance(outcome, Action)
        return outcome

    await configs.put(config("a"))
    controller = Controller(configs, reconcile, backoff=Backoff(initial=3, maximum=3))
    controller.watches(pods, lambda _: [ObjectRef("a", "default")])
    async with running(controller):
        await asyncio.sleep(20)
        await configs.put(config("a"))
        await pods.put(Pod(metadata=ObjectMeta(name="p", namespace="default")))
        await settle()
        controller.request(ObjectRef("a", "default"), 5)
        await asyncio.sleep(10)
    runs = controller.trace()
    assert [[str(reason) for reason in run.reasons] for run in runs] == [
        ["listed ConfigMap default/a"],
        ["requeued ConfigMap default/a"],
        ["retried ConfigMap default/a"],
        ["applied ConfigMap default/a", "applied Pod default/p"],
        ["requested ConfigMap default/a"],
    ]
    assert [run.error for run in runs] == [None, "no", None, None, None]
    assert [run.waited for run in runs] == [0, 7, 3, 0, 5]


@virtual_time
async def test_controllers_of_one_registry_tell_prometheus_under_their_names() -> None:
    metrics, source = Metrics(), FakeSource(ConfigMap)

    async def reconcile(ref: ObjectRef) -> Action:
        if ref.name == "bad":
            raise ValueError
        await asyncio.sleep(0.2)
        return Action.requeue(3600)

    await source.put(config("a"), config("bad"))
    backoff = Backoff(initial=3600, maximum=3600)
    first = Controller(source, reconcile, name="first", backoff=backoff, metrics=metrics)
    second = Controller(source, Log(), name="second", metrics=metrics)
    async with running(first), running(second):
        await asyncio.sleep(10)
        text = (metrics.render())[0].decode()
    for line in (
        'proa_controller_queue_depth{controller="first"} 2.0',
        'proa_controller_queue_depth{controller="second"} 0.0',
        'proa_controller_running{controller="first"} 0.0',
        'proa_controller_reconciles_total{controller="first",result="success"} 1.0',
        'proa_controller_reconciles_total{controller="first",result="error"} 1.0',
        'proa_controller_reconciles_total{controller="second",result="success"} 2.0',
        'proa_controller_reconcile_seconds_sum{controller="first"} 0.2',
    ):
        assert line in text, text


@virtual_time
async def test_one_watch_serves_all_who_ask_for_the_same() -> None:
    server = MemoryServer()
    async with server.client() as client, Reflectors(client) as shared:
        first, second = Log(), Log()
        configs = await shared.get(ConfigMap, namespace="default")
        assert await shared.get(ConfigMap, namespace="default") is configs
        assert await shared.get(ConfigMap, namespace="default", label_selector="a=b") is not configs
        assert len(shared) == 2
        await Api(client, ConfigMap, namespace="default").create(ConfigMap(metadata=ObjectMeta(name="a")))
        async with running(Controller(configs, first)), running(Controller(configs, second)):
            assert first.calls == second.calls == ["a"]
    watches = [request for request in server.requests if "watch" in request.query]
    assert len(watches) == 2
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("value", [-1.0, 0.0])
def test_no_debounce_by_default(value: float) -> None:
    queue: WorkQueue[str] = WorkQueue(Backoff())
    queue.add("a", 10, value)
    assert queue.take(10) == "a"
