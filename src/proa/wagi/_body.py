"""A request's body on its way to a handler's standard input."""

import asyncio
import contextlib
import os
from io import FileIO
from typing import TYPE_CHECKING, Final

from proa.wagi.errors import HandlerError

if TYPE_CHECKING:
    from aiohttp import StreamReader

__all__ = ["INLINE", "BodyCounter", "feed", "read_beginning"]

INLINE: Final = 32 * 1024
"""Bytes of a body that reach the handler together with its invocation; longer ones are streamed."""


class BodyCounter:
    """How much of a body has come, and when it is too much."""

    def __init__(self, limit: int | None) -> None:
        self.received = 0
        self._limit = limit

    def expect(self, length: int | None) -> None:
        """Hear how much a client says will come; raises HandlerError (413) when that is too much."""
        if self._limit is not None and length and length > self._limit:
            raise HandlerError(413, "body", f"a body of {length} bytes is more than {self._limit}")

    def count(self, length: int) -> None:
        """Count what has come; raises HandlerError (413) when that is too much."""
        self.received += length
        if self._limit is not None and self.received > self._limit:
            raise HandlerError(413, "body", f"the body has more than {self._limit} bytes")


async def read_beginning(content: "StreamReader", counter: BodyCounter) -> tuple[bytes, bool]:
    """Read a body until it is longer than can be sent inline; return that, and whether it was all."""
    beginning = b""
    while not content.at_eof() and len(beginning) <= INLINE:
        chunk = await content.readany()
        counter.count(len(chunk))
        beginning += chunk
    return beginning, content.at_eof()


async def feed(pipe: FileIO, beginning: bytes, content: "StreamReader", counter: BodyCounter) -> None:
    """Write a body to a pipe as it comes, and close the pipe. A reader that wants no more is no error."""
    try:
        descriptor = pipe.fileno()
        os.set_blocking(descriptor, False)
        chunk = beginning
        while True:
            await _write(descriptor, chunk)
            chunk = await content.readany()
            if not chunk and content.at_eof():
                return
            counter.count(len(chunk))
    except BrokenPipeError:
        return
    finally:
        pipe.close()


async def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        with contextlib.suppress(BlockingIOError):
            view = view[os.write(descriptor, view) :]
            continue
        await _writable(descriptor)


async def _writable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    writable = asyncio.Event()
    loop.add_writer(descriptor, writable.set)
    try:
        await writable.wait()
    finally:
        loop.remove_writer(descriptor)
