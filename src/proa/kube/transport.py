"""The seam between the client and the network. `proa.kube.testing` has another side for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from proa.kube.core.request import Request
from proa.kube.core.response import Response

__all__ = ["Request", "Response", "Socket", "Stream", "Timeouts", "Transport"]


@dataclass(frozen=True, kw_only=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float = 30.0
    """For a connection: name look-up, proxy and TLS handshake included."""
    silence: float = 45.0
    """Without a byte of the answer, once a request is sent; watches and logs have their own."""
    total: float = 60.0
    """For one attempt at a whole request, wait for a free connection included; streams have no such limit."""

    def __post_init__(self) -> None:
        for name in ("connect", "silence", "total"):
            if not getattr(self, name) > 0:
                raise ValueError(f"the timeout {name} must be more than 0 seconds")


class Stream(Protocol):
    """An answer that is read as it comes. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield what arrives until the end; raises TransportError if it is cut off or silent too long."""


class Socket(Protocol):
    """A WebSocket."""

    protocol: str
    """The subprotocol that the server chose."""

    async def send(self, message: bytes) -> None:
        """Send a binary message; raises TransportError if the connection is gone."""

    async def receive(self) -> bytes | None:
        """Return the next message, None at the end; raises TransportError if the connection broke."""


class Transport(Protocol):
    """Carries requests. Getting no answer is a TransportError; an answer's status is none of its business."""

    async def request(self, request: Request) -> Response:
        """Send a request and read the whole answer."""

    def stream(self, request: Request, *, silence: float | None) -> AbstractAsyncContextManager[Stream]:
        """Send a request and leave the answer to be read; leaving the context abandons it.

        `silence` is the number of seconds without a byte after which the connection counts as dead.
        """

    def connect(
        self, request: Request, protocols: Sequence[str]
    ) -> AbstractAsyncContextManager[Socket | Response]:
        """Open a WebSocket; give the server's answer where it refuses. Leaving the context closes it."""

    async def close(self) -> None:
        """Close all connections."""
