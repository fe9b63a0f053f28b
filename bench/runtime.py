"""Controllers in `proa.runtime`, beside kopf in the same run; both against the same prepared answers.

Each measurement has a process of its own, and the server has another.
"""

import asyncio
import gc
import json
import multiprocessing
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, contextmanager, suppress
from importlib.metadata import version
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from aiohttp import web

from bench._table import private_bytes, show
from bench.client import _pod
from proa.app import garbage, http
from proa.kube import Api, Client, Config
from proa.kube.models.core_v1 import Pod
from proa.runtime import Action, Controller, Event, InitDone, ObjectRef, Reflector, background

OBJECTS = 10_000
PEER_OBJECTS = 2_000
ROUNDS = 5

Result = dict[str, float]
T = TypeVar("T")


def main() -> None:
    """Measure and print."""
    with served(OBJECTS) as url:
        proa = measured(_proa, url)
        stalls = measured(_stalls, url)
        held = measured(_store, url)
    with served(PEER_OBJECTS) as url:
        peer = measured(_kopf, url)
        same = measured(_proa, url)
    show(
        "A controller that does nothing, CPU seconds of its process counted",
        ("", "objects", "no-op reconciles/s", "listed objects handled/s", "memory, KB/object"),
        (
            (
                "proa.runtime",
                OBJECTS,
                proa["reconciles"],
                proa["events"],
                f"{proa['bytes'] / OBJECTS / 1e3:.1f}",
            ),
            ("proa.runtime", PEER_OBJECTS, same["reconciles"], same["events"], ""),
            (
                f"kopf {version('kopf')}",
                PEER_OBJECTS,
                "",
                peer["events"],
                f"{peer['bytes'] / PEER_OBJECTS / 1e3:.1f}",
            ),
        ),
        note=f"Beside kopf: {same['events'] / peer['events']:.0f} times its events. "
        f"The {OBJECTS:,} objects alone, in a dict, take {held['bytes'] / OBJECTS / 1e3:.1f} KB each: "
        f"the controller's memory is {proa['bytes'] / held['bytes']:.2f} times that.",
    )
    show(
        f"How long the event loop stands still while {OBJECTS:,} pods are read, ms of CPU time",
        ("", "longest"),
        ((what, longest * 1e3) for what, longest in stalls.items()),
    )


# What is measured


async def _proa(url: str) -> Result:
    before = private_bytes(os.getpid())
    times: list[float] = []

    async def reconcile(_ref: ObjectRef) -> Action:
        times.append(time.process_time())
        return Action.await_change()

    async with Client(Config(server=url)) as client:
        controller = Controller(Api(client, Pod), reconcile)
        began = time.process_time()
        async with controller:
            while len(times) < len(controller.store) or not controller.store.is_ready:  # noqa: ASYNC110 - measured as it is
                await asyncio.sleep(0.01)
            count = len(times)
            events = count / (times[-1] - began)
            gc.collect()
            used = private_bytes(os.getpid()) - before
            refs = [ObjectRef.of(obj) for obj in controller.store]
            times.clear()
            began = time.process_time()
            for _ in range(ROUNDS):
                wanted = len(times) + count
                for ref in refs:
                    controller.request(ref)
                while len(times) < wanted:  # noqa: ASYNC110 - measured as it is
                    await asyncio.sleep(0)
            return {
                "reconciles": ROUNDS * count / (time.process_time() - began),
                "events": events,
                "bytes": used,
            }


async def _store(url: str) -> Result:
    async with Client(Config(server=url)) as client:
        await Api(client, Pod).list_page(limit=1)
        before = private_bytes(os.getpid())
        held = {ObjectRef.of(obj): obj async for obj in Api(client, Pod).list()}
        gc.collect()
        return {"bytes": private_bytes(os.getpid()) - before, "count": len(held)}


async def _stalls(url: str) -> Result:
    async with Client(Config(server=url)) as client:
        pods = Api(client, Pod)
        await pods.list_page(limit=1)
        pulse = _Pulse()
        async with background(pulse.beat(), "pulse"):
            held = [pod async for pod in pods.list()]
            stalls = {"listed in pages of 500": await pulse.longest()}
            del held
            await pulse.longest()
            held = (await pods.list_page()).items
            stalls["listed in one page"] = await pulse.longest()
            async with aclosing(pods.watch("0")) as events:
                async for number, _event in _numbered(events):
                    if number == OBJECTS:
                        break
            stalls["watched"] = await pulse.longest()
            del held
            await pulse.longest()
            async with Reflector(pods) as reflector:
                await reflector.store.ready()
                stalls["listed by a reflector"] = await pulse.longest()
                changes = aiter(reflector.subscribe())
                await _listed(changes)
                await pulse.longest()
                await client.request_raw("POST", "/expire")
                await _listed(changes)
                await asyncio.sleep(1)  # while the objects from before are let go
                stalls["listed anew after 410"] = await pulse.longest()
        return stalls


async def _listed(changes: AsyncIterator[Event[Pod]]) -> None:
    async for event in changes:
        if isinstance(event, InitDone):
            return


async def _numbered(events: AsyncIterator[T]) -> AsyncIterator[tuple[int, T]]:
    number = 0
    async for event in events:
        number += 1
        yield number, event


class _Pulse:
    """Feels how long other tasks keep the loop."""

    def __init__(self) -> None:
        self._longest = 0.0

    async def beat(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            self._longest = max(self._longest, now - last)
            last = now

    async def longest(self) -> float:
        """The longest time since this was last asked."""
        await asyncio.sleep(0.1)
        longest, self._longest = self._longest, 0.0
        return longest


async def _kopf(url: str) -> Result:
    import kopf

    registry = kopf.OperatorRegistry()
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    before = private_bytes(os.getpid())
    times: list[float] = []
    done = asyncio.Event()

    @kopf.on.login(registry=registry)
    def login(**_: Any) -> kopf.ConnectionInfo:
        return kopf.ConnectionInfo(server=url, expiration=None)

    @kopf.on.event("", "v1", "pods", registry=registry)
    async def seen(**_: Any) -> None:
        times.append(time.process_time())
        if len(times) == PEER_OBJECTS:
            done.set()

    began = time.process_time()
    running = asyncio.create_task(
        kopf.operator(registry=registry, settings=settings, standalone=True, clusterwide=True)
    )
    async with asyncio.timeout(30):
        await done.wait()
    gc.collect()
    used = private_bytes(os.getpid()) - before
    assert not running.done()
    return {"events": PEER_OBJECTS / (times[-1] - began), "bytes": used}


# Processes


def measured(work: Callable[[str], Any], url: str) -> Result:
    """Run a measurement in a process of its own."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_measure, args=(work, url, there))
    process.start()
    if not here.poll(60):
        process.kill()
    result: Result = here.recv()
    process.join()
    return result


def _measure(work: Callable[[str], Any], url: str, answer: Connection) -> None:
    garbage.tune()  # as programs on proa.app do

    async def run() -> None:
        answer.send(await work(url))
        os._exit(0)  # what the peer leaves running does not end when it is cancelled

    asyncio.run(run())


@contextmanager
def served(count: int) -> Any:
    """Run the server in a process of its own; yields its address."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(count, there), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


def _serve(count: int, answer: Connection) -> None:
    asyncio.run(_Prepared(count).run(answer))


class _Prepared:
    """As much of an API server as both need: discovery, pods in pages or at once, and silent watches."""

    def __init__(self, count: int) -> None:
        self._pods = [json.dumps(_pod(number)).encode() for number in range(count)]
        self._expire = asyncio.Event()

    async def run(self, answer: Connection) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        async with http.listen(application) as server:
            answer.send(server.url)
            await asyncio.Event().wait()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/expire":
            self._expire.set()
            return web.json_response({})
        if request.query.get("watch"):
            return await self._watch(request)
        if request.path == "/api/v1/pods":
            return self._list(request)
        if request.path.endswith(("namespaces", "customresourcedefinitions")):
            return web.json_response({"kind": "List", "metadata": {"resourceVersion": "1"}, "items": []})
        return web.json_response(_DISCOVERY.get(request.path, {"kind": "Status", "code": 404}))

    def _list(self, request: web.Request) -> web.Response:
        start = int(request.query.get("continue", 0))
        stop = start + int(request.query.get("limit", len(self._pods)))
        token = b'"continue":"%d",' % stop if stop < len(self._pods) else b""
        head = (
            b'{"kind":"PodList","apiVersion":"v1","metadata":{%b"resourceVersion":"1000000"},"items":['
            % token
        )
        body = head + b",".join(self._pods[start:stop]) + b"]}"
        return web.Response(body=body, content_type="application/json")

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        if request.query.get("resourceVersion") == "0":
            for pod in self._pods:
                await response.write(b'{"type":"ADDED","object":%b}\n' % pod)
        await self._expire.wait()
        self._expire.clear()
        status = {
            "kind": "Status",
            "status": "Failure",
            "code": 410,
            "reason": "Expired",
            "message": "too old",
        }
        with suppress(ConnectionError):  # a client that is gone
            await response.write(json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
        return response


_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def _resource(plural: str, singular: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    names = {"name": plural, "singularName": singular, "kind": kind, "shortNames": []}
    return {**names, "namespaced": namespaced, "verbs": _VERBS}


_CRD = _resource(
    "customresourcedefinitions", "customresourcedefinition", "CustomResourceDefinition", namespaced=False
)
_VERSION = {"groupVersion": "apiextensions.k8s.io/v1", "version": "v1"}
_DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {
        "kind": "APIGroupList",
        "groups": [{"name": "apiextensions.k8s.io", "versions": [_VERSION], "preferredVersion": _VERSION}],
    },
    "/api/v1": {
        "kind": "APIResourceList",
        "groupVersion": "v1",
        "resources": [
            _resource("pods", "pod", "Pod", namespaced=True),
            _resource("namespaces", "namespace", "Namespace", namespaced=False),
        ],
    },
    "/apis/apiextensions.k8s.io/v1": {
        "kind": "APIResourceList",
        "groupVersion": "apiextensions.k8s.io/v1",
        "resources": [_CRD],
    },
    "/version": {"major": "1", "minor": "36", "gitVersion": "v1.36.0"},
}
