"""All that a registry keeps: blobs in a store, and a catalog that says which repository has which."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, TypeVarTuple, Unpack

from proa.app.files import storage_errors
from proa.app.threads import in_thread
from proa.oci.errors import StorageError
from proa.oci.registry._catalog import Catalog, ManifestRecord
from proa.oci.store import BlobStore, BlobWriter

__all__ = ("State",)

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")


class State:
    """The state of one registry; of a directory only one process can have it open.

    Content is durable before the catalog names it, and the catalog forgets it before it is removed: a crash
    in between leaves at worst content that nothing names.
    """

    def __init__(self, directory: Path) -> None:
        self.blobs = BlobStore(directory)
        self._directory = directory
        self._catalog: Catalog | None = None
        self._one_at_a_time = asyncio.Lock()

    async def open(self) -> None:
        """Open the state, made if need be; `close` it even if this fails or is cancelled.

        Raises:
            StorageError: not a directory, not writable, damaged or in use; one line that says what to do.
        """
        await in_thread(self._open)

    def _open(self) -> None:
        with storage_errors(self._directory, StorageError):
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._catalog = Catalog.open(self._directory / "catalog.db")
        self.blobs.prepare_blocking()

    async def close(self) -> None:
        """Close the state when what is under way has ended. Harmless when repeated or never opened."""
        async with self._one_at_a_time:
            if self._catalog is not None:
                catalog, self._catalog = self._catalog, None
                await in_thread(catalog.close)

    async def ask(self, question: Callable[[Catalog, Unpack[Arguments]], T], *arguments: *Arguments) -> T:
        """Call a method of the catalog: `await state.ask(Catalog.tags, repository, "", 100)`.

        Raises:
            StorageError: the database failed.
        """
        async with self._one_at_a_time:
            return await self._ask(question, *arguments)

    async def add_blob(self, repository: str, writer: BlobWriter, digest: str) -> None:
        """Keep what was written, if it is `digest`, as a blob of the repository.

        Raises:
            DigestMismatchError: it is not.
            StorageError: the disk refused.
        """
        async with self._one_at_a_time:
            await writer.commit(digest)
            await self._ask(Catalog.add_blob, repository, digest)

    async def mount_blob(self, repository: str, source: str, digest: str) -> bool:
        """Let the repository share a blob of `source`; return whether it has it."""
        async with self._one_at_a_time:
            if not await self._ask(Catalog.has_blob, source, digest):
                return False
            await self._ask(Catalog.add_blob, repository, digest)
            return True

    async def put_manifest(
        self,
        repository: str,
        content: bytes,
        record: ManifestRecord,
        tag: str | None,
        blobs: list[str],
        manifests: list[str],
    ) -> list[str]:
        """Keep a manifest if the repository has all `blobs` and `manifests`; return those that it lacks."""
        async with self._one_at_a_time:
            missing = await self._ask(Catalog.missing, repository, blobs, manifests)
            if not missing:
                await self.blobs.write(content, record.digest)
                await self._ask(Catalog.put_manifest, repository, record, tag)
            return missing

    async def remove_blob(self, repository: str, digest: str) -> bool:
        """Remove a blob from the repository, and its content when no other has it; return whether it was
        there.
        """
        return await self._remove(Catalog.remove_blob, repository, digest)

    async def remove_manifest(self, repository: str, digest: str) -> bool:
        """Remove a manifest with its tags, and its content when no other repository has it."""
        return await self._remove(Catalog.remove_manifest, repository, digest)

    async def _remove(
        self, remove: Callable[[Catalog, str, str], bool], repository: str, digest: str
    ) -> bool:
        async with self._one_at_a_time:
            found = await self._ask(remove, repository, digest)
            if found and not await self._ask(Catalog.is_used, digest):
                await self.blobs.delete(digest)
            return found

    async def _ask(self, question: Callable[[Catalog, Unpack[Arguments]], T], *arguments: *Arguments) -> T:
        if self._catalog is None:
            raise StorageError(f"the registry in {self._directory} is closed")
        try:
            return await in_thread(question, self._catalog, *arguments)
        except sqlite3.Error as error:
            raise StorageError(f"the catalog in {self._directory} failed: {error}") from error
