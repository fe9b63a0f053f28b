"""Stores, indexes and subscriptions."""

from __future__ import annotations

import asyncio

import pytest

from proa.app.testing import virtual_time
from proa.kube import ConnectError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Apply, Delete, Event, InitApply, ObjectRef, Reflector, StoreClosedError
from proa.runtime.testing import FakeSource, gone


def config(name: str, team: str = "", uid: str | None = None) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", labels={"team": team}, uid=uid))


def told(event: Event[ConfigMap]) -> str:
    name = type(event).__name__
    return f"{name} {event.obj.metadata.name}" if isinstance(event, InitApply | Apply | Delete) else name


async def settle() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


@virtual_time
async def test_the_store_follows_the_server() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"), config("b"))
    async with Reflector(source) as reflector:
        await reflector.store.ready()
        assert len(reflector.store) == 2
        await source.remove("a", "default")
        await source.put(config("c"))
        await settle()
        assert {obj.metadata.name for obj in reflector.store} == {"b", "c"}
        assert reflector.store.get("c", "default") is reflector.store.find(ObjectRef("c", "default"))
        assert reflector.store.get("a", "default") is None


@virtual_time
async def test_a_fresh_list_replaces_the_content_at_one_instant() -> None:
    source = FakeSource(ConfigMap)
    await source.put(*(config(f"c{number}") for number in range(600)))
    async with Reflector(source) as reflector:
        await reflector.store.ready()
        await settle()
        await source.end(ConnectError("reset"))
        await settle()
        source.failures += [gone()]  # the watch; then the first page succeeds and the second fails
        source.forget()
        sizes = set()
        for _ in range(1000):
            await asyncio.sleep(0.01)
            sizes.add(len(reflector.store))
        assert sizes == {600}


@virtual_time
async def test_indexes_follow_changes_moves_deletions_and_fresh_lists() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a", "red"), config("b", "red"), config("c", "blue"))
    async with Reflector(source) as reflector:
        teams = reflector.store.index(lambda obj: [obj.metadata.labels["team"]])
        await reflector.store.ready()
        late = reflector.store.index(lambda obj: [obj.metadata.labels["team"]])
        await settle()
        await source.put(config("a", "blue"))
        await source.remove("b", "default")
        await settle()
        for index in (teams, late):
            assert index["red"] == ()
            assert sorted(obj.metadata.name or "" for obj in index["blue"]) == ["a", "c"]
            assert index.values() == {"blue"}
        await source.end(gone())
        await settle()
        await source.remove("c", "default")
        await asyncio.sleep(60)
        assert [obj.metadata.name for obj in teams["blue"]] == ["a"]


@virtual_time
async def test_a_late_subscriber_gets_everything_there_is_first() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"))
    async with Reflector(source) as reflector:
        await reflector.store.ready()
        await settle()
        await source.put(config("b"))
        await settle()
        events = aiter(reflector.subscribe())
        assert [told(await anext(events)) for _ in range(4)] == [
            "Init",
            "InitApply a",
            "InitApply b",
            "InitDone",
        ]
        await source.remove("a", "default")
        assert told(await anext(events)) == "Delete a"


@virtual_time
async def test_a_slow_subscriber_gets_the_last_state_of_each_object_and_every_deletion() -> None:
    source = FakeSource(ConfigMap)
    async with Reflector(source) as reflector:
        events = aiter(reflector.subscribe())
        assert [told(await anext(events)) for _ in range(2)] == ["Init", "InitDone"]
        await settle()
        for team in ("red", "green", "blue"):
            await source.put(config("a", team, uid="1"))
        await settle()
        first = await anext(events)
        assert isinstance(first, Apply)
        assert first.obj.metadata.labels["team"] == "blue"
        await source.remove("a", "default")
        await source.put(config("a", uid="2"))
        await settle()
        assert [told(await anext(events)) for _ in range(2)] == ["Delete a", "Apply a"]


@virtual_time
async def test_a_fresh_list_tells_subscribers_only_what_differs() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("same"), config("changed"), config("gone"))
    async with Reflector(source) as reflector:
        events = aiter(reflector.subscribe())
        for _ in range(5):
            await anext(events)
        await settle()
        await source.end(ConnectError("reset"))
        await settle()
        await source.put(config("changed", "red"))
        await source.remove("gone", "default")
        source.forget()
        assert [told(await anext(events)) for _ in range(3)] == [
            "Apply changed",
            "InitDone",
            "Delete gone",
        ]


@virtual_time
async def test_subscriptions_end_with_the_reflector() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"))
    seen = []
    async with asyncio.TaskGroup() as group, Reflector(source) as reflector:
        subscription = reflector.subscribe()

        async def follow() -> None:
            seen.extend([told(event) async for event in subscription])

        group.create_task(follow())
        await reflector.store.ready()
        await settle()
    assert seen == ["Init", "InitApply a", "InitDone"]


@virtual_time
async def test_waiting_for_a_store_that_is_never_filled_fails_when_its_reflector_stops() -> None:
    source = FakeSource(ConfigMap)
    source.failures += [ConnectError("refused") for _ in range(1000)]
    async with Reflector(source) as reflector:
        waiting = asyncio.ensure_future(reflector.store.ready())
        await asyncio.sleep(60)
        assert not waiting.done()
    with pytest.raises(StoreClosedError):
        await waiting
