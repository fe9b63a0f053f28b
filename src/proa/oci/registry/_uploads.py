"""Uploads under way. They live in memory: one that its registry did not survive is begun again by its
client.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from proa.app import logs
from proa.oci.registry._errors import ApiError
from proa.oci.store import BlobStore, BlobWriter

__all__ = ("Upload", "Uploads")

_MOST: Final = 256

log = logs.get_logger(__name__)


class Upload:
    """One upload. Whoever works on it holds `lock` (see `Uploads.use`); `touched` is when somebody last
    did.
    """

    def __init__(self, repository: str, writer: BlobWriter, now: float) -> None:
        self.id = secrets.token_hex(16)
        self.repository = repository
        self.writer = writer
        self.lock = asyncio.Lock()
        self.touched = now

    @property
    def location(self) -> str:
        """The path at which it is carried on."""
        return f"/v2/{self.repository}/blobs/uploads/{self.id}"

    @property
    def headers(self) -> dict[str, str]:
        """What a client is told about it: where it is and how much has arrived."""
        return {
            "Location": self.location,
            "Range": f"0-{max(self.writer.offset - 1, 0)}",
            "Docker-Upload-UUID": self.id,
        }


class Uploads:
    """The uploads of a registry, at most 256, each forgotten when nobody touched it for `max_idle`
    seconds.
    """

    def __init__(
        self, blobs: BlobStore, max_idle: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._blobs = blobs
        self._max_idle = max_idle
        self._clock = clock
        self._uploads: dict[str, Upload] = {}

    def begin(self, repository: str) -> Upload:
        """Begin an upload.

        Raises:
            ApiError: too many are under way.
        """
        if len(self._uploads) >= _MOST:
            raise ApiError(429, "TOOMANYREQUESTS", "too many uploads are under way: finish or cancel some")
        upload = Upload(repository, BlobWriter(self._blobs), self._clock())
        self._uploads[upload.id] = upload
        return upload

    @contextlib.asynccontextmanager
    async def use(self, repository: str, upload_id: str) -> AsyncIterator[Upload]:
        """Work on the upload of that id, alone.

        Raises:
            ApiError: there is none such in that repository, or it ended while others worked on it.
        """
        async with self._find(repository, upload_id).lock:
            upload = self._find(repository, upload_id)
            try:
                yield upload
            finally:
                upload.touched = self._clock()

    def _find(self, repository: str, upload_id: str) -> Upload:
        upload = self._uploads.get(upload_id)
        if upload is None or upload.repository != repository:
            raise ApiError(404, "BLOB_UPLOAD_UNKNOWN", "no such upload: it ended or expired; begin again")
        return upload

    async def end(self, upload: Upload) -> None:
        """Forget the upload, and whatever of it was not kept."""
        self._uploads.pop(upload.id, None)
        await upload.writer.aclose()

    async def expire(self) -> None:
        """End the uploads that nobody touched for too long."""
        oldest = self._clock() - self._max_idle
        for upload in list(self._uploads.values()):
            if upload.touched < oldest and not upload.lock.locked():
                await self.end(upload)

    async def expire_forever(self) -> None:
        """Look for uploads to end again and again, until cancelled."""
        while True:
            await asyncio.sleep(self._max_idle / 4)
            try:
                await self.expire()
            except OSError as error:  # the disk may be well again the next time
                log.warning("could not remove an expired upload", error=str(error))

    async def close(self) -> None:
        """End them all."""
        for upload in list(self._uploads.values()):
            await self.end(upload)
