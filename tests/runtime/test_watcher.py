"""The watcher against every way in which a server can fail it, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from proa.app.testing import capture_logs, virtual_time
from proa.kube import ConnectError, KubeError
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta
from proa.runtime import Apply, Delete, Event, InitApply, watcher
from proa.runtime.testing import FakeSource, gone


def config(name: str, uid: str | None = None) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(name=name, namespace="default", uid=uid))


def told(event: Event[ConfigMap]) -> str:
    name = type(event).__name__
    return f"{name} {event.obj.metadata.name}" if isinstance(event, InitApply | Apply | Delete) else name


async def take(events: AsyncGenerator[Event[ConfigMap], None], count: int) -> list[str]:
    return [told(await anext(events)) for _ in range(count)]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@virtual_time
async def test_it_lists_then_follows_the_changes() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a"), config("b"))
    async with aclosing(watcher(source)) as events:
        assert await take(events, 4) == ["Init", "InitApply a", "InitApply b", "InitDone"]
        await source.put(config("c"))
        await source.remove("a", "default")
        assert await take(events, 2) == ["Apply c", "Delete a"]


@virtual_time
async def test_it_reads_long_lists_in_pages_of_500() -> None:
    source = FakeSource(ConfigMap)
    await source.put(*(config(f"c{number}") for number in range(1201)))
    async with aclosing(watcher(source)) as events:
        await take(events, 1203)
    assert source.requests == {"list": 3, "watch": 0}


@virtual_time
async def test_a_watch_that_ended_is_resumed_where_it_stood() -> None:
    source = FakeSource(ConfigMap)
    async with aclosing(watcher(source)) as events:
        await take(events, 2)
        await source.put(config("a"))
        assert await take(events, 1) == ["Apply a"]
        await source.end()
        await source.put(config("b"))
        assert await take(events, 1) == ["Apply b"]
    assert source.requests["list"] == 1


@pytest.mark.parametrize("break_off", ["in the stream", "on resuming"])
def test_what_vanished_while_the_server_forgot_is_told_as_deleted(break_off: str) -> None:
    @virtual_time
    async def scenario() -> None:
        source = FakeSource(ConfigMap)
        await source.put(config("a"), config("b"))
        async with aclosing(watcher(source)) as events:
            await take(events, 4)
            following = asyncio.ensure_future(take(events, 4))
            await settle()
            await source.end(gone() if break_off == "in the stream" else ConnectError("reset"))
            await settle()
            await source.remove("b", "default")
            source.forget()
            assert await following == ["Init", "InitApply a", "InitDone", "Delete b"]

    scenario()


@virtual_time
async def test_an_object_replaced_by_another_of_its_name_is_deleted_first() -> None:
    source = FakeSource(ConfigMap)
    await source.put(config("a", uid="1"))
    async with aclosing(watcher(source)) as events:
        await take(events, 3)
        await source.put(config("a", uid="2"))
        source.forget()
        assert await take(events, 4) == ["Init", "Delete a", "InitApply a", "InitDone"]


@virtual_time
async def test_a_bookmark_moves_the_point_of_resumption() -> None:
    source = FakeSource(ConfigMap)
    async with aclosing(watcher(source)) as events:
        await take(events, 2)
        following = asyncio.ensure_future(take(events, 1))
        await settle()
        await source.bookmark()
        await settle()
        source.forget()
        await source.end()
        await source.put(config("a"))
        assert await following == ["Apply a"]
    assert source.requests["list"] == 1


@virtual_time
async def test_an_expired_continue_token_begins_a_fresh_list() -> None:
    source = FakeSource(ConfigMap)
    await source.put(*(config(f"c{number}") for number in range(501)))
    async with aclosing(watcher(source)) as events:
        await take(events, 501)
        source.failures.append(gone())
        assert (await take(events, 503))[:2] == ["Init", "InitApply c0"]


@virtual_time
async def test_a_page_that_failed_is_asked_for_again() -> None:
    source = FakeSource(ConfigMap)
    await source.put(*(config(f"c{number}") for number in range(501)))
    async with aclosing(watcher(source)) as events:
        await take(events, 501)
        source.failures.append(ConnectError("reset"))
        assert await take(events, 2) == ["InitApply c500", "InitDone"]


@virtual_time
async def test_the_back_off_grows_while_lists_fail_and_every_failure_is_reported_once_in_the_log() -> None:
    source = FakeSource(ConfigMap)
    source.failures += [ConnectError("refused") for _ in range(10)]
    reported: list[KubeError] = []
    began = asyncio.get_running_loop().time()
    with capture_logs("warning") as logged:
        async with aclosing(watcher(source, on_error=reported.append)) as events:
            await take(events, 2)
    assert len(reported) == 10
    assert [entry["error"] for entry in logged] == ["refused"]
    assert 60 < asyncio.get_running_loop().time() - began < 300


@virtual_time
async def test_a_server_that_ends_each_watch_at_once_is_asked_ever_more_slowly() -> None:
    source = FakeSource(ConfigMap)
    for _ in range(10_000):
        await source.end()
    async with aclosing(watcher(source)) as events:
        await take(events, 2)
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(600)
        assert source.requests["watch"] < 60
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@virtual_time
async def test_a_server_that_delivers_one_event_per_watch_is_asked_once_a_second() -> None:
    source = FakeSource(ConfigMap)
    async with aclosing(watcher(source)) as events:
        await take(events, 2)
        began = asyncio.get_running_loop().time()
        for number in range(20):
            await source.put(config(f"c{number}"))
            await source.end()
            await take(events, 1)
        assert 15 < asyncio.get_running_loop().time() - began < 25


@virtual_time
async def test_a_server_that_always_forgets_is_listed_ever_more_slowly() -> None:
    source = FakeSource(ConfigMap)
    for _ in range(10_000):
        await source.end(gone())

    async def follow() -> None:
        async for _ in watcher(source):
            pass

    following = asyncio.ensure_future(follow())
    await asyncio.sleep(600)
    assert source.requests["list"] < 60
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
