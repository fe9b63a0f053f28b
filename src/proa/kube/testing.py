"""For tests of programs that use `proa.kube`: scripted answers without a network, and a server with faults.

    transport = ScriptedTransport(answer(Pod(...)), status(409, "Conflict"), answer(chunks=[b'{"ty', ...]))
    async with scripted_client(transport) as client:
        ...
    assert [request.method for request in transport.requests] == ["GET", "PUT", "GET"]

Each request takes the next step of the script; a step is an answer, or an exception to raise. A request
beyond the end of the script fails the test with an AssertionError that names the request.

`FaultServer` plays such a script on a real socket and knows what only networks do: connections refused, cut,
or silent for ever.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from proa.kube._fault_server import Answer, End, Fault, FaultServer, Step
from proa.kube.client import Client
from proa.kube.codec import encode
from proa.kube.config import Config
from proa.kube.core.request import Request
from proa.kube.core.response import Response
from proa.kube.core.retrying import Retry
from proa.kube.models import Model

__all__ = [
    "Answer",
    "Fault",
    "FaultServer",
    "ScriptedSocket",
    "ScriptedTransport",
    "Step",
    "answer",
    "event",
    "scripted_client",
    "status",
]


def answer(
    body: Model | Mapping[str, Any] | bytes = b"",
    *,
    chunks: Iterable[bytes] | None = None,
    code: int = 200,
    error: Exception | None = None,
    end: End = "end",
) -> Answer:
    """Return an answer: an object, bytes, or a body in chunks that may break off with `error`.

    `end` is for a `FaultServer`: whether it ends cleanly, cuts the connection or says no more.
    """
    whole = body if isinstance(body, bytes) else encode(body)
    return Answer(code, tuple(chunks) if chunks is not None else (whole,), error=error, end=end)


def status(code: int, reason: str, message: str = "", *, retry_after: int | None = None) -> Answer:
    """Return the answer of a server that refuses: a Status with the reason."""
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Answer(code, (encode(body | {"message": message or reason}),), headers)


def event(type_: str, obj: Model | Mapping[str, Any]) -> bytes:
    """Return a line of a watch."""
    return encode({"type": type_, "object": obj}) + b"\n"


class ScriptedTransport:
    """Answers requests from a script and records them in `requests`."""

    def __init__(self, *script: Answer | Exception) -> None:
        self._script = list(script)
        self.requests: list[Request] = []
        self.sockets: list[ScriptedSocket] = []
        self.closed = False

    async def request(self, request: Request) -> Response:
        """See `proa.kube.transport.Transport`."""
        step = self._next(request)
        if step.error:
            raise step.error
        return Response(step.status, step.headers, b"".join(step.chunks))

    @asynccontextmanager
    async def stream(self, request: Request, *, silence: float | None) -> AsyncIterator[ScriptedStream]:
        """See `proa.kube.transport.Transport`."""
        del silence
        yield ScriptedStream(self._next(request))

    @asynccontextmanager
    async def connect(
        self, request: Request, protocols: Sequence[str]
    ) -> AsyncIterator[ScriptedSocket | Response]:
        """See `proa.kube.transport.Transport`; the chunks of an answer with code 101 are its messages."""
        step = self._next(request)
        if step.status != 101:
            yield Response(step.status, step.headers, b"".join(step.chunks))
            return
        self.sockets.append(ScriptedSocket(step.headers.get("sec-websocket-protocol", protocols[0]), step))
        yield self.sockets[-1]

    async def close(self) -> None:
        """See `proa.kube.transport.Transport`."""
        self.closed = True

    def _next(self, request: Request) -> Answer:
        self.requests.append(request)
        if not self._script:
            raise AssertionError(f"the script has no answer to {request.method} {request.path}")
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        return step


class ScriptedStream:
    """The body of a scripted answer."""

    def __init__(self, step: Answer) -> None:
        self.status = step.status
        self.headers = step.headers
        self._step = step

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `proa.kube.transport.Stream`."""
        for chunk in self._step.chunks:
            yield chunk
        if self._step.error:
            raise self._step.error


class ScriptedSocket:
    """A WebSocket whose messages are scripted; what was sent is in `sent`."""

    def __init__(self, protocol: str, step: Answer) -> None:
        self.protocol = protocol
        self.sent: list[bytes] = []
        self._messages = list(step.chunks)
        self._error = step.error

    async def send(self, message: bytes) -> None:
        """See `proa.kube.transport.Socket`."""
        self.sent.append(message)

    async def receive(self) -> bytes | None:
        """See `proa.kube.transport.Socket`."""
        if self._messages:
            return self._messages.pop(0)
        if self._error:
            raise self._error
        return None


def scripted_client(transport: ScriptedTransport, *, retry: Retry | None = None) -> Client:
    """Return a client that speaks to a script; by default it sends nothing twice."""
    return Client(Config(server="https://scripted.invalid"), transport=transport, retry=retry)
