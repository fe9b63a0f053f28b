"""Log records in the format of the container runtime interface (CRI). Pure.

A record is one line of a log file::

    2026-11-21T10:11:06.123456789Z stdout F text of the line

`F` ends a line of the guest's output, `P` is a part of one that goes on in the next record of the same
stream. Times are UTC with nine digits, so that records have a fixed layout and times compare as bytes.

What a guest has written without a newline yet is recorded as a part at once, not kept in memory: a kubelet
that is killed loses nothing of it. Readers put the parts of a stream together again.
"""

import mmap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

MAX_PART: Final = 16 * 1024
"""Most bytes of content in one record: longer lines are split into parts."""

_NANOSECONDS: Final = 1_000_000_000
_TAG: Final = len(b"2026-11-21T10:11:06.123456789Z stdout ")
_CONTENT: Final = _TAG + len(b"F ")


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its time as written, whether it ends a line, and its content without the newline."""

    time: bytes
    stream: bytes
    complete: bool
    content: bytes


def timestamp(nanoseconds: int) -> bytes:
    """The time in RFC 3339 with nine digits, from nanoseconds since the epoch."""
    seconds, fraction = divmod(nanoseconds, _NANOSECONDS)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z".encode()


def encode(chunk: bytes, stream: str, nanoseconds: int) -> bytes:
    """Write a piece of output as records that share one time.

    Args:
        chunk: What was read, at most MAX_PART bytes; it may begin and end in the middle of a line.
        stream: `stdout` or `stderr`.
        nanoseconds: When it was read, since the epoch.
    """
    head = timestamp(nanoseconds) + f" {stream} ".encode()
    lines, newline, rest = chunk.rpartition(b"\n")
    records = head + b"F " + lines.replace(b"\n", b"\n" + head + b"F ") + b"\n" if newline else b""
    return records + head + b"P " + rest + b"\n" if rest else records


def parse(line: bytes) -> Record | None:
    """Read a record without its newline; None when it is not one (a file damaged by a full disk)."""
    if line[_TAG - 1 : _TAG] != b" " or line[_TAG:_CONTENT] not in {b"F ", b"P "}:
        return None
    time, stream = line[: _TAG - 1].split(b" ", 1)
    return Record(time, stream, line[_TAG : _TAG + 1] == b"F", line[_CONTENT:])


def tail_offset(records: bytes | mmap.mmap, lines: int) -> int:
    """Where the last `lines` lines of the guest's output begin; parts count with the line they make up."""
    end = start_of_line = len(records)
    counted = 0
    while end > 0:
        start = records.rfind(b"\n", 0, end - 1) + 1
        if counted == 0 or records[start + _TAG : start + _TAG + 1] == b"F":
            if counted == lines:
                break
            counted += 1
        start_of_line = end = start
    return start_of_line
