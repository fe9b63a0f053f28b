"""Answers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter

from proa.controlplane._errors import StatusError
from proa.controlplane._json import encode

from ._pieces import Pieces

CREATED = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}
"""A Status that says that it was done, where nothing is left to show."""
FEW = 100
"""Pieces up to which a body is put together before it is sent."""
_JSON = {"Content-Type": "application/json", "Cache-Control": "no-cache, private"}


class Plain(web.StreamResponse):
    """An answer of JSON with no headers of its own, on a connection that is kept: what most requests get.

    It is written as one piece, without what `web.Response` does for all that an answer could be.
    """

    def __init__(self, content: bytes, status: int) -> None:
        super().__init__(status=status)
        self.content = content
        self._to: AbstractStreamWriter

    @property
    def keep_alive(self) -> bool:
        """Always."""
        return True

    def suits(self, request: web.BaseRequest) -> bool:
        """Whether a request can be answered so."""
        if self.headers:
            return False
        return request.keep_alive and request.version == HttpVersion11 and request.method != "HEAD"

    def full(self) -> web.Response:
        """The same answer as aiohttp usually has it, to be changed."""
        response = web.Response(body=self.content, status=self.status, headers=_JSON)
        response.headers.extend(self.headers)
        return response

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter:
        """Sends it."""
        writer = self._to = request.writer
        content = self.content
        head = _HEAD % (self.status, self.reason.encode(), len(content), _date(int(time.time())))
        await writer.write(head + content)
        return writer

    async def write_eof(self, data: bytes = b"") -> None:
        """Waits until the client keeps up."""
        assert not data
        await self._to.write_eof()


_HEAD = (
    b"HTTP/1.1 %d %b\r\nContent-Type: application/json\r\nCache-Control: no-cache, private\r\n"
    b"Content-Length: %d\r\nDate: %b\r\n\r\n"
)


@lru_cache(2)
def _date(second: int) -> bytes:
    return formatdate(second, usegmt=True).encode()


def json_bytes(body: bytes, status: int = 200, warnings: list[str] | None = None) -> Plain | web.Response:
    """An answer with a JSON body that is already encoded."""
    if not warnings:
        return Plain(body, status)
    response = web.Response(body=body, status=status, headers=_JSON)
    warn(response, warnings)
    return response


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Adds warnings to an answer, each once; together they stay within what a client reads of headers."""
    for warning in _short_enough([one for one in dict.fromkeys(warnings) if one]):
        plain = "".join(character if character.isprintable() else " " for character in warning)
        escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{escaped}"')


MAX_WARNINGS, MAX_WARNING = 4096, 256
"""Characters that all warnings, and one of them, may have where they are many: Kubernetes' bounds."""


def _short_enough(warnings: list[str]) -> Iterator[str]:
    many = sum(map(len, warnings)) > MAX_WARNINGS
    left = MAX_WARNINGS
    for warning in warnings:
        told = warning[:MAX_WARNING] if many else warning
        left -= len(told)
        if left < 0:
            return
        yield told


def json_pieces(pieces: Sequence[bytes]) -> web.Response:
    """An answer with a JSON body that is encoded in pieces, perhaps very many."""
    if len(pieces) <= FEW:
        return web.Response(body=b"".join(pieces), headers=_JSON)
    return web.Response(body=Pieces(pieces), headers=_JSON)


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer with a JSON body."""
    return web.Response(body=encode(value), status=status, headers={**_JSON, **(headers or {})})


def text(body: str, status: int = 200) -> web.Response:
    """An answer in plain text."""
    return web.Response(text=body, status=status, headers={"X-Content-Type-Options": "nosniff"})


def refusal(error: StatusError) -> web.Response:
    """A refusal as a Status object."""
    headers = {"WWW-Authenticate": 'Bearer realm="proa"'} if error.code == 401 else {}
    retry = (error.details or {}).get("retryAfterSeconds")
    if retry:
        headers["Retry-After"] = str(retry)
    response = json(error.to_document(), error.code, headers)
    warn(response, error.warnings)
    return response
