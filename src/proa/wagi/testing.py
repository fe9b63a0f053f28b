"""Helpers for tests of handlers: a gateway with a client, and an observer that remembers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proa.wagi.errors import HandlerError
from proa.wagi.gateway import Gateway
from proa.wagi.protocol import Request
from proa.wasm import CompiledModule

if TYPE_CHECKING:
    from aiohttp import ClientSession

__all__ = ["Site", "Witness"]


@dataclass
class Witness:
    """An observer that remembers what it heard."""

    follows_answers = True
    failures: list[HandlerError] = field(default_factory=list)
    prints: list[bytes] = field(default_factory=list)
    answers: list[tuple[str, int]] = field(default_factory=list)

    def answered(self, request: Request, route: str, status: int, sent: int, seconds: float) -> None:
        """Remember route and status."""
        self.answers.append((route, status))

    def printed(self, route: str, request_id: str, text: bytes) -> None:
        """Remember the text."""
        self.prints.append(text)

    def failed(self, route: str, request_id: str, error: HandlerError) -> None:
        """Remember the error."""
        self.failures.append(error)


@dataclass
class Site:
    """A gateway that serves, and a client of it."""

    gateway: Gateway
    url: str
    client: "ClientSession"
    module: CompiledModule
    observer: Witness

    @property
    def witness(self) -> Witness:
        """The observer, once it has heard of everything that has been answered."""
        self.gateway.catch_up()
        return self.observer

    async def get(self, target: str, headers: Mapping[str, str] | None = None) -> tuple[int, str]:
        """Return status and body."""
        async with self.client.get(self.url + target, headers=headers) as response:
            return response.status, await response.text()
