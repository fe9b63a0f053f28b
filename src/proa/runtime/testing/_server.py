"""An API server in memory, without sockets: fast, in virtual time, and with faults drawn from a seed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any

import msgspec

from proa.kube import Client, Config, ConnectError, Selector, TransportError
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.kube.core.retrying import Retry
from proa.kube.transport import Socket
from proa.runtime.testing._faults import Faults
from proa.runtime.testing._patching import PatchError, json_patch, merge, strategic
from proa.runtime.testing._storage import Change, Document, Key, Refusal, Storage

PATCHES = {
    "application/merge-patch+json": merge,
    "application/json-patch+json": json_patch,
    "application/strategic-merge-patch+json": strategic,
}
FAILURES = ((500, "InternalError"), (503, "ServiceUnavailable"), (429, "TooManyRequests"))

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class MemoryServer:
    """The behaviour of an API server that controllers rely on, as a `Transport` of `proa.kube`.

    ::

        server = MemoryServer()
        async with server.client() as client:
            await Api(client, ConfigMap, namespace="default").create(...)

    It has versions and conflicts, uids, generations, the status subresource, finalizers, preconditions,
    label selectors, pages, merge and JSON patches, strategic ones as far as they need no schema, the binding
    of pods, watches with bookmarks, initial events and 410. It has no schemas, no defaults, no garbage
    collection, no server-side apply and no access control: kinds of any name can be used.

    Args:
        faults: What goes wrong; nothing by default.
    """

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.storage = Storage()
        self.requests: list[Request] = []
        """What was asked, in order."""
        self._changed = asyncio.Event()
        self._down = False
        self._lives = 0

    def client(self, *, retry: Retry | None = None, connection: Connection | None = None) -> Client:
        """Return a new client; by default it sends nothing twice by itself.

        Args:
            retry: What it sends again.
            connection: Its way to the server, to be cut.
        """
        transport = connection or Connection(self)
        return Client(Config(server="https://memory.invalid"), transport=transport, retry=retry)

    def documents(self, resource: str, namespace: str = "") -> list[Document]:
        """Return the objects of a resource, such as "configmaps" or "apps/deployments"."""
        key = resource if "/" in resource else f"/{resource}"
        return [document for _, document in self.storage.all(key, namespace)]

    def forget(self) -> None:
        """Forget the past: watches that resume at a version before this are told 410."""
        self.storage.forget()

    def stop(self) -> None:
        """Break all watches and refuse every connection until `start`."""
        self._down = True
        self._lives += 1
        self._tell()

    def start(self) -> None:
        """Accept connections again; what was stored is there."""
        self._down = False

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def close(self) -> None:
        """Let go of what it holds: nothing here."""

    # Requests

    async def answer(self, request: Request, *, reliably: bool = False) -> Response:
        """Answer any request but a watch; `reliably` means without any fault."""
        self.requests.append(request)
        if reliably:
            return await self._respond(request)
        await self._arrive()
        if self.faults.happens(self.faults.rates.failing):
            code, reason = self.faults.random.choice(FAILURES)
            return _refused(Refusal(code, reason, "the server has trouble"))
        if request.method in {"PUT", "PATCH"} and self.faults.happens(self.faults.rates.conflict):
            await self._interfere(request)
        response = await self._respond(request)
        if self.faults.happens(self.faults.rates.slow):
            await asyncio.sleep(self.faults.seconds())
        if self._down or self.faults.happens(self.faults.rates.lost):
            raise TransportError("the connection was lost before the answer")
        return response

    async def _respond(self, request: Request) -> Response:
        try:
            document = self._carry_out(request)
        except Refusal as refusal:
            return _refused(refusal)
        finally:
            self._tell()
        return Response(201 if request.method == "POST" else 200, {}, _encode(document))

    async def _arrive(self) -> None:
        await asyncio.sleep(0)
        if self._down or self.faults.happens(self.faults.rates.refused):
            raise ConnectError("connection refused")

    def _carry_out(self, request: Request) -> Document:
        key, subresource = _parse(request.path)
        if subresource == "binding" and request.method == "POST":
            return self._bind(key, _decode(request.body or b"{}"))
        if subresource not in {"", "status"}:
            raise Refusal(404, "NotFound", f"there is no subresource {subresource}")
        match request.method, bool(key.name):
            case "GET", True:
                return self.storage.get(key)
            case "GET", False:
                return self._list(key, _flat(request.query))
            case "POST", False:
                return self._create(key, _decode(request.body or b"{}"))
            case "PUT" | "PATCH", True:
                return self._change(key, request, status=subresource == "status")
            case "DELETE", True:
                options = _decode(request.body or b"{}")
                return self.storage.delete(key, options.get("preconditions") or {})
        raise Refusal(405, "MethodNotAllowed", f"{request.method} {request.path} is not offered")

    def _list(self, key: Key, query: Mapping[str, str]) -> Document:
        after, _, version = query.get("continue", "").rpartition(" ")
        if version and int(version) < self.storage.oldest:
            raise Refusal(410, "Expired", "the continue token is too old")
        found = [
            (f"{at.namespace}/{at.name}", document)
            for at, document in self.storage.all(key.resource, key.namespace)
            if _selected(document, query)
        ]
        rest = [item for item in found if item[0] > after]
        limit = int(query.get("limit", 0)) or len(rest)
        metadata = {"resourceVersion": version or str(self.storage.version)}
        if len(rest) > limit:
            metadata["continue"] = f"{rest[limit - 1][0]} {metadata['resourceVersion']}"
        items = [document for _, document in rest[:limit]]
        return {"kind": "List", "apiVersion": "v1", "metadata": metadata, "items": items}

    def _create(self, key: Key, document: Document) -> Document:
        metadata = document.get("metadata", {})
        name = metadata.get("name") or f"{metadata['generateName']}{self.storage.version:05}"
        return self.storage.create(
            key._replace(name=name), {field: value for field, value in document.items() if field != "status"}
        )

    def _bind(self, key: Key, binding: Document) -> Document:
        """Give a pod its node; one that has a node keeps it."""
        uid = binding.get("metadata", {}).get("uid")

        def bound(pod: Document) -> Document:
            if pod["spec"].get("nodeName") or uid not in {None, pod["metadata"]["uid"]}:
                raise Refusal(409, "Conflict", f'pod "{key.name}" is assigned to a node already')
            return {**pod, "spec": {**pod["spec"], "nodeName": binding["target"]["name"]}}

        return self.storage.update(key, bound, status=False)

    def _change(self, key: Key, request: Request, *, status: bool) -> Document:
        body = _decode(request.body or b"{}")
        if request.method == "PUT":
            return self.storage.update(key, lambda _: body, status=status)
        patch = PATCHES.get(request.content_type)
        if patch is None:
            raise Refusal(415, "UnsupportedMediaType", f"cannot read {request.content_type}")
        try:
            return self.storage.update(key, lambda document: patch(document, body), status=status)
        except PatchError as error:
            raise Refusal(422, "Invalid", str(error)) from error

    async def _interfere(self, request: Request) -> None:
        key, _ = _parse(request.path)
        note = {"metadata": {"annotations": {"testing.proa.dev/touched": str(self.storage.version)}}}
        with suppress(Refusal):
            self.storage.update(key, lambda document: merge(document, note), status=False)

    # Watches

    async def watch(self, request: Request) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a watch, until it ends or breaks."""
        key, _ = _parse(request.path)
        query, life = _flat(request.query), self._lives
        position = int(query.get("resourceVersion") or 0)
        ends = asyncio.get_running_loop().time() + float(query.get("timeoutSeconds", 1800))
        if not position or query.get("sendInitialEvents") == "true":
            for _, document in self.storage.all(key.resource, key.namespace):
                if _selected(document, query):
                    yield _line("ADDED", document)
            position = self.storage.version
            if query.get("sendInitialEvents") == "true":
                yield _bookmark(position, {"k8s.io/initial-events-end": "true"})
        elif self.faults.happens(self.faults.rates.expired):
            position = 0
        told: bytes | None = None
        while position >= self.storage.oldest:
            changed, newest = self._changed, self.storage.version
            for change in self._since(position, key):
                await self._trouble(life)
                line = _told(change, query)
                if line is not None:
                    if told is not None and self.faults.happens(self.faults.rates.twice):
                        yield told
                    yield line
                    told = line
            position = newest
            if not await self._wait(changed, ends):
                yield _bookmark(position, {})
                return
            self._alive(life)
        yield self._expired()

    @staticmethod
    def _expired() -> bytes:
        return _line("ERROR", _status(Refusal(410, "Expired", "too old resource version")))

    def _since(self, position: int, key: Key) -> list[Change]:
        found = []
        for change in reversed(self.storage.history):
            if change.version <= position:
                break
            if change.key.resource == key.resource and key.namespace in {"", change.key.namespace}:
                found.append(change)
        return found[::-1]

    async def _trouble(self, life: int) -> None:
        if self.faults.happens(self.faults.rates.late):
            await asyncio.sleep(self.faults.seconds())
        self._alive(life)
        if self.faults.happens(self.faults.rates.cut):
            raise TransportError("the watch broke off")

    def _alive(self, life: int) -> None:
        if self._lives != life:
            raise TransportError("the server went away")

    @staticmethod
    async def _wait(changed: asyncio.Event, ends: float) -> bool:
        try:
            async with asyncio.timeout_at(ends):
                await changed.wait()
        except TimeoutError:
            return False
        return True


class Connection:
    """One client's way to the server: the transport.

    Args:
        server: The server.
        reliable: Whether nothing goes wrong on this way, whatever the server's faults are.
    """

    def __init__(self, server: MemoryServer, *, reliable: bool = False) -> None:
        self._server = server
        self._reliable = reliable
        self.cut = False
        """While it is set, nothing gets through."""

    async def request(self, request: Request) -> Response:
        """See `proa.kube.transport.Transport`."""
        self._check()
        response = await self._server.answer(request, reliably=self._reliable)
        self._check()
        return response

    def _check(self) -> None:
        if self.cut:
            raise ConnectError("there is no way to the server")

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[_Stream]:
        """See `proa.kube.transport.Transport`."""
        del silence
        self._check()
        self._server.requests.append(request)
        await self._server._arrive()  # noqa: SLF001 - the two are one
        async with aclosing(self._server.watch(request)) as lines:
            yield _Stream(lines)

    @asynccontextmanager
    async def connect(self, request: Request, protocols: Sequence[str]) -> AsyncIterator[Socket | Response]:
        """Refuse: nothing here speaks WebSocket."""
        del protocols
        self._server.requests.append(request)
        yield Response(501, {}, b"")

    async def close(self) -> None:
        """See `proa.kube.transport.Transport`."""


class _Stream:
    """The answer to a watch."""

    def __init__(self, lines: AsyncIterator[bytes]) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {}
        self._lines = lines

    def chunks(self) -> AsyncIterator[bytes]:
        return self._lines


def _flat(query: Mapping[str, str | tuple[str, ...]]) -> dict[str, str]:
    return {name: value for name, value in query.items() if isinstance(value, str)}


def _parse(path: str) -> tuple[Key, str]:
    """Return what a path names, and the subresource."""
    parts = path.strip("/").split("/")
    group, rest = ("", parts[2:]) if parts[0] == "api" else (parts[1], parts[3:])
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
        namespace, rest = rest[1], rest[2:]
    plural, name, subresource = (*rest, "", "")[:3]
    return Key(f"{group}/{plural}", namespace, name), subresource


def _selected(document: Document | None, query: Mapping[str, str]) -> bool:
    if document is None:
        return False
    metadata = document["metadata"]
    labels = query.get("labelSelector")
    if labels and not Selector.parse(labels).matches(metadata.get("labels", {})):
        return False
    fields = query.get("fieldSelector")
    return not fields or all(_field(document, term) for term in fields.split(","))


def _field(document: Document, term: str) -> bool:
    path, _, value = term.partition("=")
    found: Any = document
    for part in path.rstrip("=!").split("."):
        found = found.get(part, "") if isinstance(found, dict) else ""
    return (str(found) == value.lstrip("=")) != path.endswith("!")


def _told(change: Change, query: Mapping[str, str]) -> bytes | None:
    before, after = _selected(change.before, query), _selected(change.after, query)
    if after:
        return _line("MODIFIED" if before else "ADDED", change.last)
    if not before or change.before is None:
        return None
    if change.after is None:
        return _line("DELETED", change.last)
    # It left the selection: its last state within, numbered as the change.
    version = {"resourceVersion": str(change.version)}
    return _line("DELETED", {**change.before, "metadata": {**change.before["metadata"], **version}})


def _line(kind: str, document: Document) -> bytes:
    return _encode({"type": kind, "object": document}) + b"\n"


def _bookmark(version: int, annotations: Mapping[str, str]) -> bytes:
    return _line("BOOKMARK", {"metadata": {"resourceVersion": str(version), "annotations": annotations}})


def _refused(refusal: Refusal) -> Response:
    return Response(refusal.code, {}, _encode(_status(refusal)))


def _status(refusal: Refusal) -> Document:
    message = {"code": refusal.code, "reason": refusal.reason, "message": str(refusal)}
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", **message}
