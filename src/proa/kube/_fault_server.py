"""A server on loopback whose faults are scripted; see `proa.kube.testing`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, Self
from urllib.parse import parse_qsl, urlsplit

from proa.kube.core.request import Request

End = Literal["end", "cut", "silence"]


@dataclass(frozen=True)
class Answer:
    """What a scripted server says."""

    status: int = 200
    chunks: Sequence[bytes] = ()
    """The body, in the pieces in which it arrives."""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None
    """What goes wrong after the last chunk, for `ScriptedTransport`."""
    end: End = "end"
    """What a `FaultServer` does after the last chunk: end cleanly, cut the connection, or say no more."""


@dataclass(frozen=True)
class Fault:
    """What a server does instead of answering: `cut` the connection, or keep it in `silence`."""

    kind: Literal["cut", "silence"]


Step = Answer | Fault


class FaultServer:
    """Answers each request with the next step of a script; the last one over and over.

        async with FaultServer(status(429, "TooManyRequests", retry_after=1), answer(pod)) as server:
            async with Client(Config(server=server.url)) as client: ...

    What was asked is in `requests`. `pause` refuses connections until `resume`.
    """

    def __init__(self, *script: Step) -> None:
        self.script = list(script)
        self.requests: list[Request] = []
        self.port = 0
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        await self.resume()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pause()

    async def pause(self) -> None:
        """Close all connections, and refuse new ones."""
        if self._listener is not None:
            self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._listener is not None:
            await self._listener.wait_closed()
            self._listener = None

    async def resume(self) -> None:
        """Listen, on the same port as before."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            while head := await _head(reader):
                self.requests.append(await _request(head, reader))
                if not await _carry_out(self._next(), writer):
                    break
        except ConnectionError:
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _next(self) -> Step:
        assert self.script, "a FaultServer needs at least one step"
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


async def _head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None


async def _request(head: bytes, reader: asyncio.StreamReader) -> Request:
    first, *lines = head.decode("latin-1").splitlines()
    method, target, _ = first.split(" ")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    parts = urlsplit(target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    media = headers.get("content-type", "application/json")
    return Request(method, parts.path, query, body or None, media, headers.get("accept", ""))


async def _carry_out(step: Step, writer: asyncio.StreamWriter) -> bool:
    """Do what the script says; returns whether the connection goes on."""
    if isinstance(step, Fault):
        if step.kind == "silence":
            await asyncio.Event().wait()
        return False
    headers = {"content-type": "application/json", "transfer-encoding": "chunked", **step.headers}
    lines = [f"HTTP/1.1 {step.status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    for chunk in step.chunks:
        if chunk:
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        await writer.drain()
    if step.end == "silence":
        await asyncio.Event().wait()
    if step.end == "cut":
        return False
    writer.write(b"0\r\n\r\n")
    await writer.drain()
    return True
