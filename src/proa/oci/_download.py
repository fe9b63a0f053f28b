"""Getting a blob: streamed to the disk while it is hashed, and carried on where a transfer broke."""

import re
from collections.abc import Callable
from pathlib import Path

import aiohttp

from proa.app import Backoff
from proa.oci._auth import Scope
from proa.oci._retry import retrying
from proa.oci._transport import Transport, check_status
from proa.oci.errors import BlobNotFoundError, RegistryError, RegistryUnavailableError
from proa.oci.manifest import Descriptor
from proa.oci.store import BlobStore, BlobWriter

__all__ = ("Progress", "download")

Progress = Callable[[int, int], None]
"""Told how many bytes of how many are here, with each piece that comes."""


async def download(
    transport: Transport,
    scope: Scope,
    descriptor: Descriptor,
    store: BlobStore,
    backoff: Backoff,
    progress: Progress | None = None,
) -> Path:
    """Fetch the blob that `descriptor` describes into `store` and return where it is.

    A broken transfer is carried on from the byte where it broke, a few times with growing pauses.

    Raises:
        BlobNotFoundError: the registry does not have it.
        DigestMismatchError: what came is not what the descriptor says.
        RegistryUnavailableError: the last attempt failed, too.
        StorageError: the disk refused.
    """
    async with store.writer(descriptor.digest, descriptor.size) as writer:
        await retrying(lambda: _transfer(transport, scope, descriptor, writer, progress), backoff)
        await writer.commit()
    return store.path(descriptor.digest)


async def _transfer(
    transport: Transport,
    scope: Scope,
    descriptor: Descriptor,
    writer: BlobWriter,
    progress: Progress | None,
) -> None:
    if writer.offset == descriptor.size:
        return
    headers = {"Range": f"bytes={writer.offset}-"} if writer.offset else {}
    target = f"{scope.repository}/blobs/{descriptor.digest}"
    async with transport.request("GET", target, scope, headers=headers) as response:
        if response.status == 416:
            await writer.restart()
            raise RegistryUnavailableError(f"{scope.registry} can't carry on with {descriptor.digest}")
        await check_status(response, scope, f"blob {descriptor.digest}", not_found=BlobNotFoundError)
        await _position(response, scope, writer)
        async for chunk in response.content.iter_any():
            await writer.write(chunk)
            if progress is not None:
                progress(writer.offset, descriptor.size)
    if writer.offset < descriptor.size:
        raise RegistryUnavailableError(
            f"{scope.registry} sent {writer.offset} of the {descriptor.size} bytes of {descriptor.digest}"
        )


async def _position(response: aiohttp.ClientResponse, scope: Scope, writer: BlobWriter) -> None:
    """Make the writer stand where the response begins."""
    if response.status == 206:
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != writer.offset:
            raise RegistryError(f"{scope.registry} sent another part of the blob than it was asked for")
    elif response.status != 200:
        raise RegistryError(f"{scope.registry} answered {response.status} for a blob")
    elif writer.offset:
        await writer.restart()
