"""Content-addressed storage of blobs: `DIRECTORY/blobs/sha256/<hex>`, as in an OCI image layout.

A blob is there entirely or not at all, whatever is killed when: it is written under another name, checked,
synced to the disk and then renamed. Any number of processes may share a directory.
"""

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from proa.app.files import create_locked, put_in_place, remove_leftovers, storage_errors
from proa.app.threads import in_thread
from proa.oci import digest as digests
from proa.oci.errors import BlobNotFoundError, DigestMismatchError, InvalidDigestError, StorageError

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ("BlobStore", "BlobWriter", "Link")

_CHUNK: Final = 1024 * 1024


class Link(NamedTuple):
    """What a name means, and when that was last asked, in seconds since the epoch."""

    used_at: float
    name: str
    digest: str


class BlobStore:
    """Blobs by digest in a directory.

    Creating the object touches no disk; the directory is made, and cleaned of what killed writers left,
    before the first write. File work happens in threads, a MiB at a time, so the event loop never waits for
    the disk.

    Args:
        directory: where the store is. May be shared between processes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ingest = directory / "ingest"
        self._prepared = False

    def path(self, digest: str) -> Path:
        """Return where the blob `digest` is, or would be.

        Raises:
            InvalidDigestError: not a digest. What is returned never lies outside the directory.
        """
        algorithm, encoded = digests.split(digest)
        return self.directory / "blobs" / algorithm / encoded

    async def prepare(self) -> None:
        """Make the directory and remove what killed writers left behind. Writing does it when it was not
        done.

        Raises:
            StorageError: the directory can't be made or written to.
        """
        await in_thread(self.prepare_blocking)

    async def has(self, digest: str) -> bool:
        """Whether the blob is here."""
        return await asyncio.to_thread(self.path(digest).is_file)

    async def size(self, digest: str) -> int:
        """Return the size of the blob in bytes.

        Raises:
            BlobNotFoundError: it is not here.
        """
        with self._accessing(digest):
            return (await asyncio.to_thread(self.path(digest).stat)).st_size

    async def read(self, digest: str) -> bytes:
        """Return the whole blob: for manifests and configs, not for layers.

        Raises:
            BlobNotFoundError: it is not here.
        """
        with self._accessing(digest):
            return await asyncio.to_thread(self.path(digest).read_bytes)

    async def write(self, content: bytes, digest: str | None = None) -> str:
        """Store `content` and return its digest.

        Raises:
            DigestMismatchError: its digest is not the expected one.
            StorageError: the disk refused.
        """
        async with self.writer(digest, len(content)) as writer:
            await writer.write(content)
            return await writer.commit()

    @contextlib.asynccontextmanager
    async def writer(self, digest: str | None = None, size: int | None = None) -> AsyncIterator["BlobWriter"]:
        """Write a blob piece by piece; nothing is kept unless `BlobWriter.commit` was called.

        Args:
            digest: what the content must turn out to be, if that is known.
            size: how many bytes it must have; the first one too many raises `DigestMismatchError`.
        """
        writer = BlobWriter(self, digest, size)
        try:
            yield writer
        finally:
            await writer.aclose()

    async def delete(self, digest: str) -> bool:
        """Remove the blob; return whether it was here."""
        try:
            with self._accessing(digest):
                await asyncio.to_thread(self.path(digest).unlink)
        except BlobNotFoundError:
            return False
        return True

    async def verify(self, digest: str) -> None:
        """Read the blob again and check that it is what its name says.

        Raises:
            BlobNotFoundError: it is not here.
            DigestMismatchError: the disk or somebody changed it. It is left where it is.
        """
        with self._accessing(digest):
            actual = await asyncio.to_thread(digests.of_file, self.path(digest), digests.split(digest)[0])
        if actual != digest:
            raise DigestMismatchError(f"{self.path(digest)} is damaged: its content is {actual}; delete it")

    async def link(self, name: str, digest: str) -> None:
        """Remember durably that `name` (an image reference, say) means `digest`.

        Raises:
            StorageError: the disk refused.
        """
        self.path(digest)
        await in_thread(self._link, name, digest)

    async def linked(self, name: str) -> str | None:
        """Return the digest that `name` means, if one was linked."""
        with storage_errors(self.directory, StorageError):
            return await asyncio.to_thread(self._linked, name)

    async def links(self) -> list["Link"]:
        """Return all links, the one whose name was longest not asked for first."""
        with storage_errors(self.directory, StorageError):
            return await asyncio.to_thread(self._links)

    async def use(self, names: Iterable[str]) -> None:
        """Note that what these names mean is in use now; unknown ones are no error."""
        await asyncio.to_thread(self._use, [*names])

    async def unlink(self, name: str) -> None:
        """Forget what a name means; an unknown one is no error."""
        with storage_errors(self.directory, StorageError):
            await asyncio.to_thread(self._link_path(name).unlink, missing_ok=True)

    def _use(self, names: list[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                os.utime(self._link_path(name))

    def _links(self) -> list["Link"]:
        found = []
        for path in (self.directory / "links").glob("*"):
            with contextlib.suppress(OSError, InvalidDigestError):
                digest, name, *_ = path.read_text().split("\n")
                found.append(Link(path.stat().st_mtime, name, digests.check(digest)))
        return sorted(found)

    def _link_path(self, name: str) -> Path:
        return self.directory / "links" / hashlib.sha256(name.encode()).hexdigest()

    def _linked(self, name: str) -> str | None:
        path = self._link_path(name)
        try:
            digest = digests.check(path.read_text().partition("\n")[0])
            os.utime(path)
            return digest
        except (FileNotFoundError, InvalidDigestError):
            return None

    def _link(self, name: str, digest: str) -> None:
        descriptor, path = self.create_file()
        try:
            with storage_errors(self.directory, StorageError):
                os.write(descriptor, f"{digest}\n{name}\n".encode())
                put_in_place(descriptor, path, self._link_path(name))
        finally:
            os.close(descriptor)

    def prepare_blocking(self) -> None:
        """Do what `prepare` does, for callers that are in a thread."""
        with storage_errors(self.directory, StorageError):
            self._ingest.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._ingest)
        self._prepared = True

    def create_file(self) -> tuple[int, Path]:
        """Open a new file for a blob to come; return its descriptor and path. Blocks: `BlobWriter` uses it in
        a thread.
        """
        if not self._prepared:
            self.prepare_blocking()
        with storage_errors(self.directory, StorageError):
            return create_locked(self._ingest)

    @contextlib.contextmanager
    def _accessing(self, digest: str) -> Iterator[None]:
        try:
            with storage_errors(self.directory, StorageError):
                yield
        except StorageError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                raise BlobNotFoundError(f"no blob {digest} in {self.directory}") from None
            raise


class BlobWriter:
    """A blob being written; not for use by two tasks at once.

    `BlobStore.writer` makes one for a block of code; who makes one itself must call `aclose`. It has a file
    only from the first MiB on. `offset` is the number of bytes taken so far. Cancelling any method is safe.
    """

    def __init__(self, store: BlobStore, digest: str | None = None, size: int | None = None) -> None:
        self.offset = 0
        self._store = store
        self._expected = digest
        self._size = size
        self._hash = _new_hash(digest)
        self._file: tuple[int, Path] | None = None
        self._pending: list[bytes] = []
        self._pending_size = 0

    async def write(self, chunk: bytes) -> None:
        """Append `chunk`. It is collected until there is a MiB for the disk.

        Raises:
            DigestMismatchError: more bytes than the expected size.
            StorageError: the disk refused.
        """
        self.offset += len(chunk)
        if self._size is not None and self.offset > self._size:
            raise DigestMismatchError(
                f"{self._name} is larger than the {self._size} bytes that were announced"
            )
        self._pending.append(chunk)
        self._pending_size += len(chunk)
        if self._pending_size >= _CHUNK:
            await self._flush()

    async def restart(self) -> None:
        """Forget everything written, to begin again from the first byte."""
        self._pending, self._pending_size, self.offset = [], 0, 0
        self._hash = _new_hash(self._expected)
        with storage_errors(self._store.directory, StorageError):
            await in_thread(self._restart)

    async def commit(self, digest: str | None = None) -> str:
        """Check digest and size, make the blob durable and visible, and return its digest.

        Args:
            digest: what the content must be, for callers who learn it last. One of another algorithm than the
                writer was made for costs reading everything again.

        Raises:
            DigestMismatchError: the content is not what was expected; nothing is kept.
            StorageError: the disk refused.
        """
        expected = digest or self._expected
        if self._size is not None and self.offset != self._size:
            raise DigestMismatchError(f"{self._name} has {self.offset} bytes, not the {self._size} announced")
        await self._flush()
        with storage_errors(self._store.directory, StorageError):
            return await in_thread(self._commit, expected)

    async def aclose(self) -> None:
        """Give everything up that was not committed. Harmless after `commit` and when repeated."""
        await in_thread(self._discard)

    @property
    def _name(self) -> str:
        return self._expected or "the blob"

    async def _flush(self) -> None:
        chunks, self._pending, self._pending_size = self._pending, [], 0
        with storage_errors(self._store.directory, StorageError):
            await in_thread(self._append, chunks)

    def _append(self, chunks: list[bytes]) -> None:
        descriptor, _ = self._opened()
        for chunk in chunks:
            self._hash.update(chunk)
            rest = memoryview(chunk)
            while rest:
                rest = rest[os.write(descriptor, rest) :]

    def _opened(self) -> tuple[int, Path]:
        if self._file is None:
            self._file = self._store.create_file()
        return self._file

    def _commit(self, expected: str | None) -> str:
        descriptor, path = self._opened()
        actual = f"{self._hash.name}:{self._hash.hexdigest()}"
        if expected is not None and digests.split(expected)[0] != self._hash.name:
            actual = digests.of_file(path, digests.split(expected)[0])
        if expected not in {None, actual}:
            raise DigestMismatchError(f"the content is {actual}, not {expected} as it should be")
        put_in_place(descriptor, path, self._store.path(actual))
        os.close(descriptor)
        self._file = None
        return actual

    def _restart(self) -> None:
        descriptor, _ = self._opened()
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)

    def _discard(self) -> None:
        if self._file is not None:
            (descriptor, path), self._file = self._file, None
            path.unlink(missing_ok=True)
            os.close(descriptor)


def _new_hash(digest: str | None) -> "_Hash":
    return hashlib.sha256() if digest is None else digests.hasher(digest)
