"""A container's log as a reader wants it: from a line or a time on, followed or not, limited or not."""

import asyncio
import contextlib
import mmap
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO, Final

from proa.kubelet import _cri
from proa.kubelet._log_options import LogOptions
from proa.kubelet._log_writer import LogFile, rotated, rotated_files

_BLOCK: Final = 256 * 1024


async def read(
    path: Path, options: LogOptions, live: LogFile | None = None, begun: asyncio.Event | None = None
) -> AsyncGenerator[bytes, None]:
    """Give a log in pieces of bounded size.

    Args:
        path: The log file; one that does not exist is an empty log.
        options: What of it is wanted.
        live: The file's writer while there is one; following ends when it closes.
        begun: Set when it is settled where reading begins: what is printed later will be given.
    """
    file = await _opened(path, options, live, begun)
    if file is None:
        return
    excerpt = _Excerpt(file, options)
    try:
        while not excerpt.exhausted:
            change = live.next_change if live is not None and not live.closed else None
            if piece := await asyncio.to_thread(excerpt.next_piece):
                yield piece
            elif options.follow and await asyncio.to_thread(excerpt.turn_over, path):
                continue
            elif options.follow and change is not None:
                await change.wait()
            else:
                break
        if rest := excerpt.rest():
            yield rest
    finally:
        excerpt.close()


async def _opened(
    path: Path, options: LogOptions, live: LogFile | None, begun: asyncio.Event | None
) -> BinaryIO | None:
    """Open the file at the place where reading begins; wait for one that is to come. None without any."""
    tail_lines = options.tail_lines
    while True:
        change = live.next_change if live is not None and not live.closed else None
        try:
            return await asyncio.to_thread(_open_at, path, tail_lines)
        except FileNotFoundError:
            if not options.follow or change is None:
                return None
            tail_lines = None  # Whatever will be in it is new.
        finally:
            if begun is not None:
                begun.set()
        await change.wait()


class _Excerpt:
    """Reads records on from where the file stands and turns them back into the guest's output.

    Lines come whole: the streams' parts may lie between each other's. A long line comes in pieces, so that a
    guest which never ends one does not fill the memory.
    """

    def __init__(self, file: BinaryIO, options: LogOptions) -> None:
        self._file = file
        self._options = options
        self._remaining = options.limit_bytes
        self._incomplete = b""
        self._superseded = False
        self._held: dict[bytes, bytes] = {}
        self._begun: set[bytes] = set()

    def close(self) -> None:
        self._file.close()

    def turn_over(self, path: Path) -> bool:
        """Whether this file was moved aside and another begun, so that there is more to read."""
        newer = _successor(path, self._file)
        if newer is None:
            return False
        if not self._superseded:
            # What was written between the last read and the move is still to be read.
            self._superseded = True
            newer.close()
            return True
        self._file.close()
        self._file, self._incomplete, self._superseded = newer, b"", False
        return True

    @property
    def exhausted(self) -> bool:
        return self._remaining == 0

    def next_piece(self) -> bytes:
        """What the next block of records holds; empty only at the end of the file."""
        piece = b""
        while not piece and (block := self._file.read(_BLOCK)):
            *lines, self._incomplete = (self._incomplete + block).split(b"\n")
            piece = b"".join(map(self._text, lines))
        return self._limited(piece)

    def rest(self) -> bytes:
        """What was written of lines that were never ended."""
        rest = b"".join(self._held.values())
        self._held.clear()
        return self._limited(rest)

    def _text(self, line: bytes) -> bytes:
        record = _cri.parse(line)
        if record is None or record.time < self._options.since:
            return b""
        text = self._held.pop(record.stream, b"")
        if self._options.timestamps and record.stream not in self._begun:
            text = record.time + b" "
        text += record.content
        if record.complete:
            self._begun.discard(record.stream)
            return text + b"\n"
        self._begun.add(record.stream)
        if len(text) >= _cri.MAX_PART:
            return text
        self._held[record.stream] = text
        return b""

    def _limited(self, text: bytes) -> bytes:
        if self._remaining is None:
            return text
        text = text[: self._remaining]
        self._remaining -= len(text)
        return text


def _successor(path: Path, file: BinaryIO) -> BinaryIO | None:
    """Open the file that was begun after this one: there may have been several since. None without any."""
    while (number := _rotations(path, file)) != 0:
        names = rotated_files(path)
        name = rotated(path, number - 1) if number is not None else names[-1] if names else None
        with contextlib.suppress(FileNotFoundError):
            newer = name.open("rb") if name is not None else None
            if _rotations(path, file) == number:
                return newer
            if newer is not None:
                newer.close()  # All were moved on meanwhile.
    return None


def _rotations(path: Path, file: BinaryIO) -> int | None:
    """How often a log was rotated since this file of it was the newest; None when it is gone."""
    own = os.fstat(file.fileno())
    for number, name in enumerate(rotated_files(path)):
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(name.stat(), own):
                return number
    return None


def _open_at(path: Path, tail_lines: int | None) -> BinaryIO:
    file = path.open("rb")
    if tail_lines is not None and (size := path.stat().st_size):
        with mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as records:
            file.seek(_cri.tail_offset(records, tail_lines))
    return file
