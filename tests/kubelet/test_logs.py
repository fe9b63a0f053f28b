import asyncio
import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from proa.kubelet import _cri, _log_reader
from proa.kubelet._log_options import LogOptions
from proa.kubelet._log_writer import LogFile, LogLimits
from proa.kubelet._server import while_connected
from proa.kubelet.errors import LogQueryError

NOW = 1_763_719_866_000_000_000


class Guest:
    """The write ends of a guest's pipes."""

    def __init__(self) -> None:
        self.read_ends = []
        self._write_ends = []
        for _ in range(2):
            read_end, write_end = os.pipe()
            os.set_blocking(read_end, False)
            self.read_ends.append(read_end)
            self._write_ends.append(write_end)

    def write(self, text: bytes, stream: int = 0) -> None:
        os.write(self._write_ends[stream], text)

    def end(self) -> None:
        while self._write_ends:
            os.close(self._write_ends.pop())


@asynccontextmanager
async def logging_to(path: Path, limits: LogLimits | None = None) -> AsyncIterator[tuple[Guest, LogFile]]:
    guest, log = Guest(), LogFile(path, limits or LogLimits())
    copying = asyncio.create_task(log.copy(*guest.read_ends))
    try:
        yield guest, log
    finally:
        guest.end()
        await copying
        log.close()
        for fd in guest.read_ends:
            os.close(fd)


async def text(path: Path, live: LogFile | None = None, **options: object) -> bytes:
    pieces = _log_reader.read(path, LogOptions(**options), live)  # type: ignore[arg-type]
    return b"".join([piece async for piece in pieces])


async def test_output_of_both_streams_is_written_before_the_copy_ends(tmp_path: Path) -> None:
    path = tmp_path / "pod" / "0.log"
    async with logging_to(path) as (guest, _):
        guest.write(b"hello\n")
        guest.write(b"trouble\n", stream=1)
        guest.write(b"no newline")
    records = [line.split(b" ", 3)[1:] for line in path.read_bytes().splitlines()]
    assert sorted(records) == [
        [b"stderr", b"F", b"trouble"],
        [b"stdout", b"F", b"hello"],
        [b"stdout", b"P", b"no newline"],
    ]
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_follower_gets_each_write_at_once_and_ends_with_the_container(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    async with logging_to(path) as (guest, log):
        follower = _log_reader.read(path, LogOptions(follow=True), log)
        guest.write(b"one\n")
        while not path.exists() or not path.stat().st_size:
            await log.next_change.wait()
        assert await anext(follower) == b"one\n"
        guest.write(b"par")
        await log.next_change.wait()
        guest.write(b"tial\n")
        assert await anext(follower) == b"partial\n"
        guest.write(b"no newline")
    assert [piece async for piece in follower] == [b"no newline"]


async def test_lines_stay_whole_when_the_streams_are_written_in_turns(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    async with logging_to(path) as (guest, log):
        for stream, piece in [(0, b"on"), (1, b"tw"), (0, b"e\n"), (1, b"o\n")]:
            change = log.next_change
            guest.write(piece, stream)
            await change.wait()
    assert await text(path) == b"one\ntwo\n"
    stamped = await text(path, timestamps=True)
    assert [line.split(b" ", 1)[1] for line in stamped.splitlines()] == [b"one", b"two"]


async def test_a_flood_arrives_complete_and_never_blocks_the_loop(tmp_path: Path) -> None:
    path, lines = tmp_path / "0.log", 200_000
    slowest = 0.0

    async def pulse() -> None:
        nonlocal slowest
        clock = asyncio.get_running_loop().time
        while True:
            began = clock()
            await asyncio.sleep(0.001)
            slowest = max(slowest, clock() - began)

    pulsing = asyncio.create_task(pulse())
    async with logging_to(path) as (guest, _):
        flood = b"".join(b"line %d\n" % number for number in range(lines))
        for start in range(0, len(flood), 65536):
            await asyncio.to_thread(guest.write, flood[start : start + 65536])
    pulsing.cancel()
    assert await text(path) == flood
    assert slowest < 0.5  # generous: the machine is shared; without threads it would be seconds


async def test_a_long_line_is_split_into_parts_of_16_kib_and_read_whole(tmp_path: Path) -> None:
    path, line = tmp_path / "0.log", b"x" * 50_000 + b"\n"
    async with logging_to(path) as (guest, _):
        guest.write(line)
    assert max(len(record) for record in path.read_bytes().splitlines()) <= 16 * 1024 + 60
    assert await text(path) == line


async def test_a_log_is_continued_by_the_next_kubelet(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    for part in (b"before\n", b"after\n"):
        async with logging_to(path) as (guest, _):
            guest.write(part)
    assert await text(path) == b"before\nafter\n"


async def test_a_cancelled_copy_leaves_what_it_has_not_read_in_the_pipe(tmp_path: Path) -> None:
    path, guest, log = tmp_path / "0.log", Guest(), LogFile(tmp_path / "0.log")
    first = asyncio.create_task(log.copy(*guest.read_ends))
    guest.write(b"one\n")
    await log.next_change.wait()
    first.cancel()
    await asyncio.wait([first])
    guest.write(b"two\n")
    guest.end()
    await log.copy(*guest.read_ends)
    assert await text(path) == b"one\ntwo\n"
    for fd in guest.read_ends:
        os.close(fd)


async def test_a_full_disk_makes_the_guest_wait_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, failures = tmp_path / "0.log", os.write, [None]

    def write(fd: int, data: bytes) -> int:
        if failures and b" stdout " in data:
            failures.pop()
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, data)

    monkeypatch.setattr("proa.kubelet._log_writer.os.write", write)
    async with logging_to(path) as (guest, _):
        guest.write(b"one\n")
        guest.write(b"two\n")
    assert not failures
    assert await text(path) == b"one\ntwo\n"


async def test_a_client_that_goes_away_ends_what_is_done_for_it() -> None:
    request = SimpleNamespace(transport=None)
    await while_connected(request, asyncio.Event().wait())  # type: ignore[arg-type]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    second = 1_000_000_000
    path.write_bytes(b"".join(_cri.encode(b"line %d\n" % n, "stdout", NOW + n * second) for n in range(5)))
    return path


async def test_tail_gives_the_last_lines(written: Path) -> None:
    assert await text(written, tail_lines=2) == b"line 3\nline 4\n"
    assert await text(written, tail_lines=0) == b""
    assert await text(written, tail_lines=99) == await text(written)


async def test_since_gives_what_was_written_at_or_after_that_time(written: Path) -> None:
    assert await text(written, since=_cri.timestamp(NOW + 3_000_000_000)) == b"line 3\nline 4\n"


async def test_timestamps_begin_each_line(written: Path) -> None:
    assert await text(written, timestamps=True, tail_lines=1) == b"2025-11-21T10:11:10.000000000Z line 4\n"


async def test_the_limit_is_to_the_byte(written: Path) -> None:
    assert await text(written, limit_bytes=9) == b"line 0\nli"


async def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert await text(tmp_path / "none.log") == b""


def test_a_query_is_read_as_kubernetes_means_it() -> None:
    query = {"follow": "true", "previous": "1", "timestamps": "", "tailLines": "3", "limitBytes": "10"}
    options = LogOptions.parse(query | {"sinceSeconds": "6"}, NOW + 500_000_000)
    assert options == LogOptions(
        follow=True,
        previous=True,
        timestamps=True,
        tail_lines=3,
        limit_bytes=10,
        since=b"2025-11-21T10:11:00.500000000Z",
    )
    assert (
        LogOptions.parse({"sinceTime": "2025-11-21T11:11:00.25+01:00"}, NOW).since
        == b"2025-11-21T10:11:00.250000000Z"
    )
    assert LogOptions.parse({}, NOW) == LogOptions()


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ({"follow": "perhaps"}, "follow: 'perhaps' is neither true nor false"),
        ({"tailLines": "-1"}, "tailLines: '-1' is not a whole number of 0 or more"),
        ({"limitBytes": "0"}, "limitBytes: '0' is not a whole number of 1 or more"),
        ({"sinceTime": "yesterday"}, "sinceTime: 'yesterday' is not a time of RFC 3339"),
        ({"sinceTime": "2025-11-21T10:11:00"}, "sinceTime: '2025-11-21T10:11:00' has no time zone"),
        (
            {"sinceTime": "2025-11-21T10:11:00Z", "sinceSeconds": "1"},
            "only one of sinceTime and sinceSeconds",
        ),
    ],
)
def test_a_wrong_query_is_explained(query: dict[str, str], problem: str) -> None:
    with pytest.raises(LogQueryError, match=problem.replace("[", r"\[")):
        LogOptions.parse(query, NOW)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


SMALL = LogLimits(max_bytes=64 * 1024, max_files=3)


async def test_a_flood_takes_no_more_disk_than_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    async with logging_to(path, SMALL) as (guest, _):
        for number in range(400):
            await asyncio.to_thread(guest.write, b"%05d " % number + b"x" * 4000 + b"\n")
    files = contents(tmp_path)
    assert files.keys() == {"0.log", "0.log.1", "0.log.2"}
    assert max(map(len, files.values())) < 2 * SMALL.max_bytes
    assert (await text(path)).splitlines()[-1].startswith(b"00399")


async def test_who_follows_a_log_follows_it_through_rotations(tmp_path: Path) -> None:
    path, received = tmp_path / "0.log", bytearray()
    async with logging_to(path, SMALL) as (guest, log):
        guest.write(b"begin\n")
        await log.next_change.wait()
        pieces = _log_reader.read(path, LogOptions(follow=True), log)
        for number in range(100):
            line = b"%05d " % number + b"x" * 4000 + b"\n"
            await asyncio.to_thread(guest.write, line)
            while line not in received:
                received += await anext(pieces)
        await pieces.aclose()
    lines = [line[:5] for line in received.splitlines()]
    assert lines == [b"begin", *(b"%05d" % number for number in range(100))]


async def test_who_follows_slowly_misses_no_rotation(tmp_path: Path) -> None:
    path, received = tmp_path / "0.log", bytearray()
    async with logging_to(path, LogLimits(max_bytes=64 * 1024, max_files=9)) as (guest, log):
        guest.write(b"begin\n")
        await log.next_change.wait()
        pieces = _log_reader.read(path, LogOptions(follow=True), log)
        received += await anext(pieces)
        for number in range(100):
            await asyncio.to_thread(guest.write, b"%05d " % number + b"x" * 4000 + b"\n")
        while b"00099" not in received or not received.endswith(b"\n"):
            received += await anext(pieces)
        await pieces.aclose()
    assert "0.log.4" in contents(tmp_path)
    lines = [line[:5] for line in received.splitlines()]
    assert lines == [b"begin", *(b"%05d" % number for number in range(100))]


async def test_who_follows_a_log_that_is_not_there_yet_gets_all_of_it(tmp_path: Path) -> None:
    path, begun = tmp_path / "0.log", asyncio.Event()
    log = LogFile(path)

    async def follow() -> bytes:
        options = LogOptions(follow=True, tail_lines=0)
        return b"".join([piece async for piece in _log_reader.read(path, options, log, begun)])

    following = asyncio.create_task(follow())
    await begun.wait()
    guest = Guest()
    guest.write(b"hello\n")
    guest.end()
    await log.copy(*guest.read_ends)
    log.close()
    assert await following == b"hello\n"
    for fd in guest.read_ends:
        os.close(fd)


async def test_a_rotated_log_is_continued_by_the_next_kubelet(tmp_path: Path) -> None:
    path = tmp_path / "0.log"
    for _ in range(2):
        async with logging_to(path, SMALL) as (guest, _):
            for _ in range(20):
                await asyncio.to_thread(guest.write, b"x" * 4000 + b"\n")
    files = contents(tmp_path)
    assert sum(content.count(b"\n") for content in files.values()) >= 40
    assert "0.log.1" in files
