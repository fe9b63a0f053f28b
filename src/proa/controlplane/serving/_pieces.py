"""A large body that is sent as the pieces that it is made of, some at a time.

Megabytes in one piece are copied by everyone on their way out, and the client waits until the last byte is
encrypted. In groups they stay in the processor's cache, and the client reads while the server writes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

GROUP_BYTES = 256 * 1024


class Pieces(payload.Payload):
    """A body made of pieces, of a length that is known."""

    _autoclose = True

    def __init__(self, pieces: Sequence[bytes]) -> None:
        super().__init__(pieces, content_type="application/json")
        self._pieces = pieces
        self._size = sum(map(len, pieces))

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size or 0

    def joined(self) -> bytes:
        """The whole body."""
        return b"".join(self._pieces)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole body as text."""
        return self.joined().decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Sends it, no faster than the client reads."""
        for group in self._groups():
            await writer.write(group)

    def _groups(self) -> Iterator[bytes]:
        group: list[bytes] = []
        size = 0
        for piece in self._pieces:
            group.append(piece)
            size += len(piece)
            if size >= GROUP_BYTES:
                yield b"".join(group)
                group, size = [], 0
        if group:
            yield b"".join(group)
