"""Sending a blob: in one piece, or in chunks that can be carried on with after a broken transfer."""

import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from yarl import URL

from proa.app import Backoff
from proa.app.threads import in_thread
from proa.oci import digest as digests
from proa.oci._auth import Scope
from proa.oci._retry import retrying
from proa.oci._transport import Transport, check_status, redirect_target
from proa.oci.errors import RegistryError

__all__ = ("Content", "exists", "upload")

_PIECE: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Content:
    """What is to be sent: bytes in memory or in a file, with their digest and size."""

    source: bytes | Path
    digest: str
    size: int

    @classmethod
    async def of(cls, source: bytes | Path) -> "Content":
        """Measure `source`. May raise `OSError` for a file."""
        if isinstance(source, bytes):
            return cls(source, await in_thread(digests.of, source), len(source))
        return cls(source, *await in_thread(_measure, source))

    async def read(self, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to `end`, a MiB at a time."""
        while start < end:
            piece = await in_thread(self._piece, start, min(start + _PIECE, end))
            if not piece:  # the file shrank: let the registry, which counts, refuse it
                return
            yield piece
            start += len(piece)

    def _piece(self, start: int, end: int) -> bytes:
        if isinstance(self.source, bytes):
            return self.source[start:end]
        with self.source.open("rb", buffering=0) as file:
            file.seek(start)
            return file.read(end - start)


async def exists(transport: Transport, scope: Scope, digest: str) -> bool:
    """Whether the repository has the blob already."""
    async with transport.request("HEAD", f"{scope.repository}/blobs/{digest}", scope) as response:
        if response.status == 404:
            return False
        await check_status(response, scope, f"blob {digest}")
        return True


async def upload(
    transport: Transport, scope: Scope, content: Content, backoff: Backoff, chunk_size: int | None
) -> None:
    """Send `content` to the repository of `scope`, again if the transfer breaks, a few times with growing
    pauses.

    Raises:
        RegistryUnavailableError: the last attempt failed, too.
        RegistryError: the registry does not want it.
    """
    sending = _Upload(transport, scope, content, chunk_size or content.size)
    await retrying(sending.attempt, backoff)


class _Upload:
    """One upload session, which may outlive several broken transfers."""

    def __init__(self, transport: Transport, scope: Scope, content: Content, chunk_size: int) -> None:
        self._transport = transport
        self._scope = scope
        self._content = content
        self._chunk_size = chunk_size
        self._location: URL | None = None
        self._offset = 0

    async def attempt(self) -> None:
        """Send what the registry does not have yet, and finish."""
        if self._location is None or not await self._resume():
            await self._begin()
        while self._content.size - self._offset > self._chunk_size:
            await self._send_chunk()
        await self._finish()

    async def _begin(self) -> None:
        target = f"{self._scope.repository}/blobs/uploads/"
        async with self._transport.request(
            "POST", target, self._scope, headers={"Content-Length": "0"}
        ) as response:
            await self._check(response, 202)
            self._offset = 0
            self._chunk_size = max(
                self._chunk_size, _number(response.headers.get("OCI-Chunk-Min-Length", ""))
            )

    async def _resume(self) -> bool:
        """Ask how much has arrived; False if the registry has forgotten the upload or all was sent in one
        piece.
        """
        if self._chunk_size >= self._content.size:
            return False
        assert self._location is not None
        async with self._transport.request("GET", self._location, self._scope) as response:
            if response.status != 204:
                return False
            await self._check(response, 204)
            self._offset = _received(response)
            return self._offset < self._content.size

    async def _send_chunk(self) -> None:
        end = self._offset + self._chunk_size
        headers = {"Content-Range": f"{self._offset}-{end - 1}"}
        async with self._sending("PATCH", end, headers) as response:
            await self._check(response, 202)
        self._offset = end

    async def _finish(self) -> None:
        headers = {"Content-Range": f"{self._offset}-{self._content.size - 1}"} if self._offset else {}
        async with self._sending("PUT", self._content.size, headers) as response:
            await check_status(response, self._scope, f"upload of blob {self._content.digest}")
            if response.status != 201:
                raise RegistryError(
                    f"{self._scope.registry} answered {response.status} at the end of an upload"
                )

    @contextlib.asynccontextmanager
    async def _sending(
        self, method: str, end: int, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        assert self._location is not None
        start = self._offset
        location = (
            self._location.update_query(digest=self._content.digest) if method == "PUT" else self._location
        )
        async with self._transport.request(
            method,
            location,
            self._scope,
            headers={
                "Content-Type": "application/octet-stream",
                "Content-Length": str(end - start),
                **headers,
            },
            body=lambda: self._content.read(start, end),
        ) as response:
            yield response

    async def _check(self, response: aiohttp.ClientResponse, expected: int) -> None:
        await check_status(response, self._scope, f"upload of blob {self._content.digest}")
        if response.status != expected:
            raise RegistryError(f"{self._scope.registry} answered {response.status} during an upload")
        self._location = redirect_target(response.url, response.headers.get("Location", ""))


def _measure(path: Path) -> tuple[str, int]:
    with path.open("rb") as file:
        digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        return digest, file.tell()


def _received(response: aiohttp.ClientResponse) -> int:
    match = re.fullmatch(r"(?:bytes=)?0-(\d+)", response.headers.get("Range", ""))
    last = int(match[1]) if match else 0
    return last + 1 if last else 0


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,12}", text) else 0
