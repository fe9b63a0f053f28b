"""The faults that end other clients: each over a real socket, injected by the server that `testing` ships."""

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from proa.app import Backoff
from proa.kube import (
    Api,
    Bookmark,
    Client,
    Config,
    ConnectError,
    GoneError,
    RequestTimeoutError,
    Retry,
    Timeouts,
    TooManyRequestsError,
    TransportError,
    Undecodable,
    WatchEvent,
)
from proa.kube.models.core_v1 import ConfigMap, Pod
from proa.kube.models.meta_v1 import ObjectMeta, Status
from proa.kube.testing import Fault, FaultServer, Step, answer, event, status
from proa.runtime import Apply, Delete, InitApply, InitDone, watcher

GONE = status(410, "Expired", "too old resource version")
GONE_EVENT = event("ERROR", Status(status="Failure", code=410, reason="Expired", message="too old"))
FAST = Retry(backoff=Backoff(initial=0.01, maximum=0.05))


def config_map(name: str, version: int = 1) -> ConfigMap:
    metadata = ObjectMeta(name=name, namespace="default", resource_version=str(version))
    return ConfigMap(metadata=metadata)


def listed(*objects: Any, version: str = "1", token: str = "") -> Step:
    return answer({"metadata": {"resourceVersion": version, "continue": token}, "items": list(objects)})


@pytest.fixture
async def faults() -> AsyncIterator[FaultServer]:
    async with FaultServer(Fault("cut")) as server:
        yield server


def client_of(server: FaultServer, **options: Any) -> Client:
    return Client(Config(server=server.url), **({"retry": None} | options))


async def changes(client: Client, *, timeout: int = 290) -> list[Any]:
    return [found async for found in Api(client, ConfigMap).watch("1", timeout=timeout)]


async def test_a_410_in_the_stream_and_as_a_status(faults: FaultServer) -> None:
    faults.script = [answer(chunks=[event("ADDED", config_map("a")), GONE_EVENT]), GONE]
    async with client_of(faults) as client:
        for _ in range(2):
            with pytest.raises(GoneError, match="too old"):
                await changes(client)


async def test_a_410_again_and_again_is_never_retried_by_itself(faults: FaultServer) -> None:
    faults.script = [GONE]
    async with client_of(faults, retry=FAST) as client:
        for _ in range(3):
            with pytest.raises(GoneError):
                await changes(client)
    assert len(faults.requests) == 3


async def test_a_repeated_410_is_answered_with_lists_at_a_measured_pace(faults: FaultServer) -> None:
    faults.script = [listed(config_map("a")), GONE] * 10
    lists = 0
    began = time.monotonic()
    async with client_of(faults) as client, asyncio.timeout(20):
        events = watcher(Api(client, ConfigMap), backoff=Backoff(initial=0.05, maximum=0.05))
        async with aclosing(events):
            async for found in events:
                lists += isinstance(found, InitDone)
                if lists == 4:
                    break
    assert len(faults.requests) == 7
    assert time.monotonic() - began >= 3 * 0.05


async def test_a_clean_end_ends_the_iteration(faults: FaultServer) -> None:
    faults.script = [answer(chunks=[event("ADDED", config_map("a"))])]
    async with client_of(faults) as client:
        assert [found.type for found in await changes(client)] == ["ADDED"]


async def test_a_server_that_is_away_for_a_while_is_waited_for(faults: FaultServer) -> None:
    faults.script = [answer(config_map("a"))]
    await faults.pause()
    async with client_of(
        faults, retry=Retry(limit=100, backoff=Backoff(initial=0.01, maximum=0.01))
    ) as client:
        getting = asyncio.create_task(Api(client, ConfigMap, namespace="default").get("a"))
        await asyncio.wait({getting}, timeout=0.1)
        assert not getting.done()
        await faults.resume()
        assert (await getting).metadata.name == "a"


async def test_refused_connections_are_an_error_in_the_end(faults: FaultServer) -> None:
    await faults.pause()
    async with client_of(faults, retry=FAST) as client:
        with pytest.raises(ConnectError, match="Connection refused"):
            await Api(client, ConfigMap, namespace="default").get("a")


async def test_a_half_open_socket_is_noticed(faults: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proa.kube._reading.WATCH_GRACE", -0.8)
    faults.script = [answer(chunks=[event("ADDED", config_map("a"))], end="silence"), Fault("silence")]
    async with client_of(faults, timeouts=Timeouts(silence=0.2)) as client:
        maps = Api(client, ConfigMap, namespace="default")
        async with aclosing(maps.watch("1", timeout=1)) as events:
            await anext(events)
            with pytest.raises(RequestTimeoutError, match="silent"):
                await anext(events)
        with pytest.raises(RequestTimeoutError, match=r"no answer within 0\.2 s"):
            await maps.get("a")


async def test_a_truncated_line_is_no_event(faults: FaultServer) -> None:
    whole = event("ADDED", config_map("a"))
    faults.script = [answer(chunks=[whole, whole[:30]])]
    async with client_of(faults) as client:
        with pytest.raises(TransportError, match="cut off after 30 bytes"):
            await changes(client)


async def test_a_connection_cut_in_the_middle_is_a_transport_error(faults: FaultServer) -> None:
    whole = event("ADDED", config_map("a"))
    faults.script = [answer(chunks=[whole, whole[:30]], end="cut"), Fault("cut")]
    async with client_of(faults) as client:
        for _ in range(2):
            with pytest.raises(TransportError):
                await changes(client)


async def test_a_429_is_waited_out_as_long_as_the_server_asks(faults: FaultServer) -> None:
    faults.script = [status(429, "TooManyRequests", retry_after=1), answer(config_map("a"))]
    async with client_of(faults, retry=FAST) as client:
        began = time.monotonic()
        await Api(client, ConfigMap, namespace="default").get("a")
        assert time.monotonic() - began >= 1
    async with client_of(faults) as client:
        faults.script = [status(429, "TooManyRequests", retry_after=7)]
        with pytest.raises(TooManyRequestsError) as caught:
            await Api(client, ConfigMap, namespace="default").get("a")
        assert caught.value.retry_after == 7


async def test_an_expired_continue_token_is_gone(faults: FaultServer) -> None:
    faults.script = [listed(config_map("a"), token="next"), GONE]
    seen = []
    async with client_of(faults) as client:
        items = Api(client, ConfigMap).list()
        seen.append(await anext(items))
        with pytest.raises(GoneError):
            await anext(items)
    assert faults.requests[-1].query["continue"] == "next"


async def test_one_undecodable_object_hides_no_other(faults: FaultServer) -> None:
    bad = {"kind": "Pod", "metadata": {"name": "bad", "namespace": "n", "resourceVersion": "5"}, "spec": 7}
    good = Pod(metadata=ObjectMeta(name="good", resource_version="6"))
    faults.script = [
        listed(good, bad, good),
        answer(chunks=[event("ADDED", bad), event("MODIFIED", good), event("DELETED", bad)]),
    ]
    passed_over: list[Undecodable] = []
    async with client_of(faults, on_undecodable=passed_over.append) as client:
        pods = Api(client, Pod)
        assert [pod.metadata.name async for pod in pods.list()] == ["good", "good"]
        events = [found async for found in pods.watch("1")]
    assert events[:2] == [Bookmark("5"), WatchEvent("MODIFIED", good)]
    assert isinstance(events[2], WatchEvent)
    assert (events[2].type, events[2].object.metadata.name) == ("DELETED", "bad")
    assert [(found.kind, found.name, found.namespace) for found in passed_over] == [("Pod", "bad", "n")] * 3
    assert "items[1] of a list" in str(passed_over[0])
    assert "$.spec" in str(passed_over[1])


async def test_an_object_without_even_a_name_still_fails_the_page(faults: FaultServer) -> None:
    faults.script = [listed({"spec": 7})]
    async with client_of(faults) as client:
        with pytest.raises(Exception, match=r"items\[0\]"):
            await Api(client, Pod).list_page()


async def test_what_vanished_during_a_gap_is_deleted(faults: FaultServer) -> None:
    faults.script = [
        listed(config_map("a"), config_map("b")),
        GONE,
        listed(config_map("a"), version="9"),
        Fault("silence"),
    ]
    seen: list[str] = []
    async with client_of(faults) as client, asyncio.timeout(10):
        events = watcher(Api(client, ConfigMap), backoff=Backoff(initial=0.01, maximum=0.01))
        async with aclosing(events):
            async for found in events:
                match found:
                    case InitApply(obj) | Apply(obj):
                        seen.append(f"+{obj.metadata.name}")
                    case Delete(obj):
                        seen.append(f"-{obj.metadata.name}")
                        break
                    case _:
                        pass
    assert seen[-1] == "-b"


async def test_ten_thousand_objects_do_not_stall_the_loop(faults: FaultServer) -> None:
    pods = [
        {"metadata": {"name": f"p{n}", "labels": {"app": "web"}}, "spec": {"containers": []}}
        for n in range(500)
    ]
    page = json.dumps({"metadata": {"continue": "more"}, "items": pods}).encode()
    last = page.replace(b'"more"', b'""')
    faults.script = [*([answer(page)] * 19), answer(last)]
    longest = 0.0

    async def tick() -> None:
        nonlocal longest
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0)
            longest = max(longest, time.perf_counter() - before)

    async with client_of(faults) as client:
        gc.collect()
        ticking = asyncio.create_task(tick())
        count = 0
        async for _ in Api(client, Pod).list():
            count += 1
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
    assert count == 10_000
    # The bound is 50 ms of our own work; what else runs on a shared machine is no fault of ours.
    assert longest < 0.5
