import asyncio
import hashlib
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from proa.oci import BlobNotFoundError, BlobStore, DigestMismatchError, InvalidDigestError, StorageError
from proa.oci import digest as digests
from proa.oci.store import BlobWriter


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def files(store: BlobStore) -> list[str]:
    return sorted(str(p.relative_to(store.directory)) for p in store.directory.rglob("*") if p.is_file())


async def test_what_is_written_can_be_read_by_its_digest(store: BlobStore) -> None:
    digest = await store.write(b"content")
    assert digest == digests.of(b"content")
    assert await store.has(digest)
    assert await store.read(digest) == b"content"
    assert await store.size(digest) == 7
    assert store.path(digest).read_bytes() == b"content"
    await store.verify(digest)


async def test_the_empty_blob_is_a_blob(store: BlobStore) -> None:
    assert await store.read(await store.write(b"")) == b""


async def test_sha512_is_kept_apart_from_sha256(store: BlobStore) -> None:
    digest = await store.write(b"x", f"sha512:{hashlib.sha512(b'x').hexdigest()}")
    assert store.path(digest).parent.name == "sha512"
    async with store.writer() as writer:
        await writer.write(b"x")
        assert await writer.commit(digest) == digest


async def test_content_that_is_not_its_digest_leaves_nothing(store: BlobStore) -> None:
    with pytest.raises(DigestMismatchError, match="not sha256:"):
        await store.write(b"wrong", digests.of(b"right"))
    assert files(store) == []


async def test_content_of_the_wrong_size_leaves_nothing(store: BlobStore) -> None:
    with pytest.raises(DigestMismatchError, match="larger than the 3 bytes"):
        async with store.writer(size=3) as writer:
            await writer.write(b"four")
    async with store.writer(size=3) as writer:
        await writer.write(b"xx")
        with pytest.raises(DigestMismatchError, match="has 2 bytes, not the 3"):
            await writer.commit()
    assert files(store) == []


async def test_a_writer_that_is_left_without_a_commit_leaves_nothing(store: BlobStore) -> None:
    async with store.writer() as writer:
        for _ in range(3):
            await writer.write(bytes(2**20))
    assert files(store) == []


async def test_a_writer_can_begin_again(store: BlobStore) -> None:
    async with store.writer(digests.of(b"good")) as writer:
        await writer.write(bytes(2**21))
        await writer.restart()
        await writer.write(b"good")
        await writer.commit()
    assert await store.read(digests.of(b"good")) == b"good"


async def test_writing_what_is_there_changes_nothing_for_readers(store: BlobStore) -> None:
    digest = await store.write(b"content")
    with store.path(digest).open("rb") as reader:
        await asyncio.gather(*(store.write(b"content") for _ in range(8)))
        assert reader.read() == b"content"
    assert files(store) == [f"blobs/sha256/{digest[7:]}"]


async def test_a_missing_blob_is_an_error_that_names_it(store: BlobStore) -> None:
    digest = digests.of(b"nothing")
    assert not await store.has(digest)
    assert not await store.delete(digest)
    for attempt in (store.read, store.size, store.verify):
        with pytest.raises(BlobNotFoundError, match=digest):
            await attempt(digest)


async def test_damage_is_found_on_demand(store: BlobStore) -> None:
    digest = await store.write(b"content")
    store.path(digest).write_bytes(b"cOntent")
    with pytest.raises(DigestMismatchError, match="is damaged"):
        await store.verify(digest)
    assert await store.delete(digest)
    assert not await store.has(digest)


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../x", "../../etc:passwd", "sha256:" + "0" * 63 + "/"]
)
def test_only_digests_become_paths(store: BlobStore, digest: str) -> None:
    with pytest.raises(InvalidDigestError):
        store.path(digest)


async def test_a_file_in_place_of_the_directory_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("in the way")
    with pytest.raises(StorageError, match="a file is where a directory should be"):
        await BlobStore(tmp_path / "store").write(b"x")
    with pytest.raises(StorageError, match="a file is where a directory should be"):
        await BlobStore(tmp_path / "store" / "below").prepare()


async def test_links_give_names_to_digests(store: BlobStore) -> None:
    first, second = await store.write(b"1"), await store.write(b"2")
    assert await store.linked("hello:1") is None
    await store.link("hello:1", first)
    await store.link("hello:1", second)
    assert await BlobStore(store.directory).linked("hello:1") == second


KILLED_WRITER = """
import asyncio, sys, pathlib
from proa.oci import BlobStore
async def main():
    async with BlobStore(pathlib.Path(sys.argv[1])).writer() as writer:
        await writer.write(bytes(2**20))
        print("written", flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""


async def test_leftovers_of_a_killed_writer_go_and_those_of_a_living_one_stay(store: BlobStore) -> None:
    async with store.writer() as mine:
        await mine.write(bytes(2**20))
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", KILLED_WRITER, str(store.directory), stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == b"written\n"
        await BlobStore(store.directory).prepare()
        assert len(files(store)) == 2
        child.send_signal(signal.SIGKILL)
        await child.wait()
        await BlobStore(store.directory).prepare()
        assert len(files(store)) == 1
        await mine.commit()
    assert len(files(store)) == 1


async def test_cancelling_a_write_waits_for_the_disk_and_leaves_nothing(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, proceed = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    append = BlobWriter._append

    def slow_append(writer: BlobWriter, chunks: list[bytes]) -> None:
        loop.call_soon_threadsafe(started.set)
        proceed.wait()
        append(writer, chunks)

    monkeypatch.setattr(BlobWriter, "_append", slow_append)
    before = open_files()
    task = asyncio.create_task(store.write(bytes(2**20)))
    await started.wait()
    task.cancel()
    loop.call_later(0.01, proceed.set)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert files(store) == []
    assert open_files() == before
