"""Parcels on disk, in the reference implementation's layout: `parcels/<sha256>/parcel.dat`.

Uploads under way are in `uploads/`, which the reference does not look at, so that one cut short never looks
like a parcel: it is renamed into place when its size and digest are right and the disk has it. An upload that
broke off stays there as `<sha256>.part` and can be carried on; of several uploads of one parcel at a time,
the first owns that file (by a lock, so a killed owner blocks nobody) and the others write files of their own.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

from proa.app.files import StorageError, create_locked, remove_leftovers, storage_errors
from proa.app.threads import in_thread
from proa.bindle.errors import ParcelExistsError, ParcelMismatchError, ParcelNotFoundError
from proa.bindle.invoice import Label, is_digest
from proa.bindle.storage._durable import put

__all__ = ("ParcelStore", "ParcelWriter")

_BLOCK: Final = 2 * 1024 * 1024
_WORTH_KEEPING: Final = 1024 * 1024
_PART_LIFETIME: Final = 24 * 3600.0


class ParcelStore:
    """Parcels by digest in a directory. Creating the object touches no disk; any number of processes may
    share one.
    """

    def __init__(self, directory: Path) -> None:
        self._parcels = directory / "parcels"
        self._uploads = directory / "uploads"

    def path(self, sha256: str) -> Path:
        """Return where the parcel is, or would be.

        Raises:
            ParcelNotFoundError: that is no digest that a parcel can have.
        """
        if not is_digest(sha256):
            raise ParcelNotFoundError(f"{sha256[:140]!r} is not a sha256 in lower-case hex")
        return self._parcels / sha256 / "parcel.dat"

    async def prepare(self) -> None:
        """Make the directories, and remove what killed writers left and nobody will carry on.

        Raises:
            StorageError: they can't be made or written to.
        """
        await in_thread(self._prepare)

    async def size(self, sha256: str) -> int | None:
        """Return the parcel's size in bytes, None where it is not here."""
        return await asyncio.to_thread(self.size_blocking, sha256)

    def size_blocking(self, sha256: str) -> int | None:
        """Do what `size` does, for callers in a thread."""
        if not is_digest(sha256):
            return None
        try:
            return self.path(sha256).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    async def missing(self, labels: list[Label]) -> list[Label]:
        """Return the labels of parcels that are not here."""
        return await asyncio.to_thread(
            lambda: [label for label in labels if self.size_blocking(label.sha256) is None]
        )

    async def arrived(self, sha256: str) -> int:
        """Return how many bytes of an upload that broke off are here to carry on from."""
        return await asyncio.to_thread(_abandoned, self._part(sha256)) if is_digest(sha256) else 0

    async def delete(self, sha256: str) -> int:
        """Remove a parcel and return its size; 0 where it was not here."""
        return await in_thread(self._delete, sha256)

    async def sizes(self) -> dict[str, int]:
        """Return all parcels with their sizes."""
        return await asyncio.to_thread(lambda: dict(self.scan()))

    @contextlib.asynccontextmanager
    async def writer(self, label: Label, offset: int = 0) -> AsyncIterator["ParcelWriter"]:
        """Write a parcel piece by piece.

        Left without `ParcelWriter.commit`, what has arrived is kept to be carried on, where that is worth it.

        Args:
            label: what it must turn out to be.
            offset: carry on from that byte; must not be beyond what `arrived` says.

        Raises:
            ParcelExistsError: it is here.
            ParcelMismatchError: the upload can't be carried on from there.
            StorageError: the disk refused.
        """
        target = self.path(label.sha256)
        if await self.size(label.sha256) is not None:
            raise ParcelExistsError(f"parcel {label.sha256} is here already")
        with storage_errors(self._uploads):
            writer = await in_thread(self._open, target, label, offset)
        try:
            yield writer
        finally:
            await writer.aclose()

    def _part(self, sha256: str) -> Path:
        return self._uploads / f"{sha256}.part"

    def _prepare(self) -> None:
        with storage_errors(self._uploads):
            self._uploads.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._uploads)
            for path in self._uploads.glob("*.part"):
                if time.time() - path.stat().st_mtime > _PART_LIFETIME:
                    path.unlink(missing_ok=True)

    def _open(self, target: Path, label: Label, offset: int) -> "ParcelWriter":
        self._uploads.mkdir(parents=True, exist_ok=True)
        owned = _lock_part(self._part(label.sha256))
        descriptor, path = owned or create_locked(self._uploads)
        try:
            if os.fstat(descriptor).st_size < offset:
                raise ParcelMismatchError(f"no upload of {label.sha256} to carry on from byte {offset}")
            return ParcelWriter(descriptor, path, target, label, offset, resumable=owned is not None)
        except BaseException:
            os.close(descriptor)
            raise

    def _delete(self, sha256: str) -> int:
        path = self.path(sha256)
        size = _size_or_zero(path)
        shutil.rmtree(path.parent, ignore_errors=True)
        return size

    def scan(self) -> Iterator[tuple[str, int]]:
        """Yield all parcels with their sizes; for callers in a thread."""
        with contextlib.suppress(FileNotFoundError), os.scandir(self._parcels) as entries:
            for entry in entries:
                size = self.size_blocking(entry.name)
                if size is not None:
                    yield entry.name, size


class ParcelWriter:
    """A parcel being written; for one task at a time. `offset` is the number of bytes taken so far.

    Blocks of 2 MiB are hashed and written in a thread while the next one arrives, so that memory stays flat.
    """

    def __init__(
        self, descriptor: int, path: Path, target: Path, label: Label, offset: int, *, resumable: bool
    ) -> None:
        self.offset = offset
        self._descriptor: int | None = descriptor
        self._path = path
        self._target = target
        self._label = label
        self._resumable = resumable
        self._hash = hashlib.sha256()
        self._block: bytearray | None = None
        self._filled = 0
        self._spare: bytearray | None = None
        self._storing: asyncio.Future[None] | None = None
        os.ftruncate(descriptor, offset)
        while block := os.read(descriptor, _BLOCK):
            self._hash.update(block)

    async def write(self, chunk: bytes) -> None:
        """Append bytes.

        Raises:
            ParcelMismatchError: more than the label's size.
            StorageError: the disk refused.
        """
        if self.offset + len(chunk) > self._label.size:
            raise self._too_large()
        rest = memoryview(chunk)
        while rest:
            room = await self.room()
            piece = rest[: len(room)]
            room[: len(piece)] = piece
            await self.filled(len(piece))
            rest = rest[len(piece) :]

    async def room(self) -> memoryview:
        """Return memory for the bytes to come, one at least; what is put there counts after `filled`.

        Raises:
            ParcelMismatchError: none are to come any more.
        """
        if self.offset >= self._label.size:
            raise self._too_large()
        if self._block is None:
            block, self._spare = self._spare, None
            self._block = block or bytearray(min(_BLOCK, self._label.size))
        return memoryview(self._block)[self._filled :]

    async def filled(self, count: int) -> None:
        """Append the first `count` bytes of what `room` returned.

        Raises:
            StorageError: the disk refused.
        """
        self.offset += count
        self._filled += count
        if self._block is not None and self._filled == len(self._block):
            await self._flush()

    def _too_large(self) -> ParcelMismatchError:
        self._resumable = False
        return ParcelMismatchError(
            f"parcel {self._label.sha256} is larger than its label says: {self._label.size}"
        )

    async def commit(self) -> None:
        """Check size and digest, and make the parcel durable and visible.

        Raises:
            ParcelMismatchError: the content is not what the label says; nothing of it is kept.
            ParcelExistsError: another writer was faster.
            StorageError: the disk refused.
        """
        await self._flush()
        await self._stored()
        if self.offset != self._label.size:
            raise ParcelMismatchError(
                f"parcel {self._label.sha256}: {self.offset} bytes came, its label says {self._label.size}"
            )
        actual = self._hash.hexdigest()
        if actual != self._label.sha256:
            self._resumable = False
            raise ParcelMismatchError(f"the content is {actual}, not {self._label.sha256} as its label says")
        with storage_errors(self._path):
            await in_thread(self._put_in_place)

    async def aclose(self) -> None:
        """Give up what was not committed, or keep it to be carried on. Harmless after `commit`."""
        with contextlib.suppress(StorageError):
            if self._filled and self._resumable and self._descriptor is not None:
                await self._flush()
            await self._stored()
        with contextlib.suppress(OSError):
            await in_thread(self._release)

    async def _flush(self) -> None:
        await self._stored()
        block, filled, self._block, self._filled = self._block, self._filled, None, 0
        if block is not None:
            self._storing = asyncio.ensure_future(asyncio.to_thread(self._append, block, filled))

    async def _stored(self) -> None:
        """Wait for the thread, also where this task is cancelled meanwhile: the file must not be closed under
        it.
        """
        storing, self._storing = self._storing, None
        while storing is not None and not storing.done():
            try:
                await asyncio.shield(storing)
            except asyncio.CancelledError:
                await asyncio.wait([storing])
                raise
        if storing is not None:
            with storage_errors(self._path):
                storing.result()

    def _append(self, block: bytearray, filled: int) -> None:
        assert self._descriptor is not None
        rest = memoryview(block)[:filled]
        self._hash.update(rest)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        self._spare = block

    def _put_in_place(self) -> None:
        assert self._descriptor is not None
        if self._target.exists():
            self._resumable = False
            raise ParcelExistsError(f"parcel {self._label.sha256} is here already")
        put(self._descriptor, self._path, self._target)
        descriptor, self._descriptor = self._descriptor, None
        os.close(descriptor)

    def _release(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        if not self._resumable or os.fstat(descriptor).st_size < _WORTH_KEEPING:
            self._path.unlink(missing_ok=True)
        os.close(descriptor)


def _lock_part(path: Path) -> tuple[int, Path] | None:
    """Open and lock the file of an upload; None where another writer has it."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        # Between opening and locking its owner may have put it in place: then it is a parcel, not a draft.
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor, path
        os.close(descriptor)


def _abandoned(path: Path) -> int:
    """Return the size of a draft that nobody is writing."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return os.fstat(file.fileno()).st_size
    except (FileNotFoundError, NotADirectoryError, BlockingIOError):
        return 0


def _size_or_zero(path: Path) -> int:
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0
