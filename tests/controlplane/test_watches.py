"""Watches: what they begin with, their forms, and what becomes of clients that are slow or go."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from typing import Any
from unittest.mock import Mock

import aiohttp

from proa.controlplane.registry import catalogue
from proa.controlplane.selectors import parse_fields, parse_labels
from proa.controlplane.serving import _channel
from proa.controlplane.serving._channel import LEAST_BYTES, WRITE_BYTES, Channel, Crowd, Watcher
from proa.controlplane.serving._listing import ListOptions
from proa.controlplane.serving._representation import WHOLE
from proa.controlplane.serving._view import View

PATH = "/api/v1/namespaces/default/configmaps"


def channel() -> Channel:
    resource = catalogue().find("", "configmaps")
    assert resource is not None
    options = ListOptions(labels=parse_labels(""), fields=parse_fields("", resource.field_names))
    return Channel(View(resource, "", options, WHOLE), Crowd())


def watcher(watched: Channel) -> tuple[Watcher, Mock]:
    request = Mock()
    return Watcher(watched, request, bookmarks=True), request


async def create(admin: aiohttp.ClientSession, name: str) -> dict[str, Any]:
    async with admin.post(PATH, json={"metadata": {"name": name}}) as response:
        document: dict[str, Any] = await response.json()
        return document


async def events(admin: aiohttp.ClientSession, query: str, count: int, accept: str = "") -> list[Any]:
    headers = {"Accept": accept or "application/json"}
    async with asyncio.timeout(10), admin.get(f"{PATH}?watch=1&{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        return [json.loads(await response.content.readline()) for _ in range(count)]


async def test_initial_events_end_with_a_bookmark_that_says_so(admin: aiohttp.ClientSession) -> None:
    created = [await create(admin, name) for name in ("a", "b")]
    query = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    first, second, mark = await events(admin, query, 3)
    assert [first["type"], second["type"], mark["type"]] == ["ADDED", "ADDED", "BOOKMARK"]
    assert [first["object"], second["object"]] == created
    metadata = mark["object"]["metadata"]
    assert metadata["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert int(metadata["resourceVersion"]) >= int(created[1]["metadata"]["resourceVersion"])


async def test_a_watch_comes_as_tables_or_metadata(admin: aiohttp.ClientSession) -> None:
    await create(admin, "a")
    (table,) = await events(admin, "", 1, "application/json;as=Table;v=v1;g=meta.k8s.io")
    assert table["object"]["kind"] == "Table"
    assert table["object"]["rows"][0]["cells"][0] == "a"
    (partial,) = await events(admin, "", 1, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io")
    assert (partial["object"]["kind"], "data" in partial["object"]) == ("PartialObjectMetadata", False)


async def test_a_client_that_goes_is_forgotten_at_once(admin: aiohttp.ClientSession) -> None:
    async def watching() -> float:
        async with admin.get("/metrics") as response:
            lines = (await response.text()).splitlines()
        wanted = 'apiserver_longrunning_requests{verb="WATCH"} '
        return next(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    async with asyncio.timeout(10):
        before = await watching()
        async with admin.get(f"{PATH}?watch=1") as response:
            assert response.status == 200
            assert await watching() == before + 1
            response.close()
        while await watching() != before:
            pass


async def test_a_client_that_reads_too_slowly_is_cut_off_and_holds_no_memory(monkeypatch: Any) -> None:
    monkeypatch.setattr(_channel, "QUEUE_BYTES", 1000)
    watched = channel()
    (slow, request), (quick, other) = watcher(watched), watcher(watched)
    for _ in range(5):
        watched.send(b"x" * 400)
        assert await quick.next() == b"x" * 400
    data = b"y" * 400
    held = sys.getrefcount(data)
    watched.send(data)
    watched.send(b"z")
    assert await quick.next() == data + b"z"
    request.transport.abort.assert_called_once()
    assert await slow.next() is None
    assert sys.getrefcount(data) == held
    other.transport.abort.assert_not_called()


async def test_what_waits_is_kept_once_for_all_watchers_and_no_longer_than_for_the_slowest() -> None:
    watched = channel()
    watchers = [watcher(watched)[0] for _ in range(100)]
    data = b"x" * 1000
    held = sys.getrefcount(data)
    watched.send(data)
    watched.send(b"y")
    assert sys.getrefcount(data) == held + 1
    for one in watchers:
        assert one.behind == 1001
        assert sys.getrefcount(data) == held + 1
        assert await one.next() == data + b"y"
    assert sys.getrefcount(data) == held


async def test_those_who_see_the_same_share_what_is_encoded_and_others_do_not(
    admin: aiohttp.ClientSession,
) -> None:
    await create(admin, "a")
    async with AsyncExitStack() as stack:
        queries = ["", "", "&labelSelector=app=x", "&labelSelector=app=x", "&fieldSelector=metadata.name=b"]
        streams = [
            await stack.enter_async_context(admin.get(f"{PATH}?watch=1{query}&resourceVersion=1"))
            for query in queries
        ]
        body = {"metadata": {"name": "b", "labels": {"app": "x"}}}
        async with asyncio.timeout(10), admin.post(PATH, json=body) as response:
            assert response.status == 201
        async with asyncio.timeout(10):
            for stream, query in zip(streams, queries, strict=True):
                expected = ["b"] if query else ["a", "b"]
                names = [
                    json.loads(await stream.content.readline())["object"]["metadata"]["name"]
                    for _ in expected
                ]
                assert names == expected


async def test_what_waits_is_written_in_pieces_and_then_the_end() -> None:
    watched = channel()
    reader, _ = watcher(watched)
    for _ in range(10):
        watched.send(b"x" * 30_000)
    sizes = []
    for _ in range(4):
        data = await reader.next()
        assert data is not None
        sizes.append(len(data))
    assert sizes == [90_000, 90_000, 90_000, 30_000]
    reader.end()
    assert await reader.next() is None


def test_the_more_watchers_there_are_the_less_is_written_at_once() -> None:
    crowd = Crowd()
    assert crowd.piece == WRITE_BYTES
    crowd.count = 100_000
    assert crowd.piece == LEAST_BYTES


def test_a_watcher_that_was_cut_off_is_counted_once() -> None:
    watched = channel()
    slow, _ = watcher(watched)
    assert watched.crowd.count == 1
    slow.cut_off()
    slow.leave()
    assert watched.crowd.count == 0
