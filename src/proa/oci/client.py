"""The registry client: manifests and blobs, pulled and pushed, nothing believed that was not checked."""

import asyncio
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from proa.app import Backoff
from proa.app.threads import SharedWork
from proa.oci import _download, _transport, _upload
from proa.oci import digest as digests
from proa.oci._auth import Authenticator, Scope
from proa.oci._download import Progress
from proa.oci._transport import Transport, check_status, plain
from proa.oci.credentials import Credentials
from proa.oci.errors import (
    DigestMismatchError,
    InvalidManifestError,
    InvalidReferenceError,
    ManifestNotFoundError,
    OciError,
)
from proa.oci.manifest import ACCEPTED, MANIFEST_LIMIT, Descriptor, ImageIndex, ImageManifest, encode, parse
from proa.oci.reference import Reference
from proa.oci.store import BlobStore

__all__ = ("FetchedManifest", "RegistryClient")

_DOCUMENT_DEADLINE: Final = 60.0


@dataclass(frozen=True, slots=True)
class FetchedManifest:
    """A manifest or index as a registry gave it.

    Attributes:
        document: what it says.
        digest: the digest of its bytes, computed here.
        content: the bytes themselves.
    """

    document: ImageManifest | ImageIndex
    digest: str
    content: bytes


class RegistryClient:
    """Speaks to registries by the OCI distribution specification 1.1. An async context manager; share one
    widely.

    This machine (localhost, 127.0.0.0/8, ::1) and `insecure_registries` are spoken to by plain HTTP, all
    others by HTTPS. Credentials go to their own registry and to the token server that it names, and nowhere
    by a redirect.

    Args:
        credentials: by registry (`docker.io`), or by registry and leading components of the repository. See
            `proa.oci.credentials.parse_docker_config`.
        insecure_registries: hosts, with port if any, that speak plain HTTP.
        timeout: seconds to wait for a connection, and then for each piece of data.
        backoff: the pauses between attempts to carry on with a broken transfer of a blob. Nothing else is
            retried.
    """

    def __init__(
        self,
        *,
        credentials: Mapping[str, Credentials] | None = None,
        insecure_registries: Collection[str] = (),
        timeout: float = 30.0,
        backoff: Backoff | None = None,
    ) -> None:
        self._credentials = dict(credentials or {})
        self._insecure_registries = insecure_registries
        self._timeout = timeout
        self._backoff = backoff or Backoff(initial=0.2, maximum=5.0, jitter=0.5)
        self._transfers: SharedWork[Path] = SharedWork()

    async def __aenter__(self) -> Self:
        self._session = _transport.open_session(self._timeout)
        authenticator = Authenticator(self._session, self._credentials)
        self._transport = Transport(self._session, authenticator, self._insecure_registries, self._timeout)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    def using(self, credentials: Mapping[str, Credentials]) -> "RegistryClient":
        """Return the same client with other credentials: it shares connections and transfers with this one,
        and is of no use once this one is closed.
        """
        other = RegistryClient(
            credentials=credentials,
            insecure_registries=self._insecure_registries,
            timeout=self._timeout,
            backoff=self._backoff,
        )
        other._session, other._transfers = self._session, self._transfers
        authenticator = Authenticator(self._session, other._credentials)
        other._transport = Transport(self._session, authenticator, self._insecure_registries, self._timeout)
        return other

    async def ping(self, registry: str) -> None:
        """Check that `registry` is there, speaks the protocol and lets us in.

        Raises:
            RegistryUnavailableError: it gave no usable answer.
            UnauthorizedError: it wants other credentials.
        """
        scope = Scope(registry)
        async with self._transport.request("GET", "", scope, deadline=_DOCUMENT_DEADLINE) as response:
            await check_status(response, scope, "distribution API")

    async def get_manifest(self, reference: Reference) -> FetchedManifest:
        """Fetch the manifest or index that `reference` names; its digest decides where it has one.

        Raises:
            ManifestNotFoundError: it is not there; names the reference.
            DigestMismatchError: the registry gave other content than the digest stands for.
            InvalidManifestError: what it gave is no manifest, or is over `MANIFEST_LIMIT`.
            RegistryUnavailableError: no usable answer.
            UnauthorizedError: it wants other credentials.
        """
        scope = Scope(reference.registry, reference.repository)
        target = f"{reference.repository}/manifests/{reference.identifier}"
        headers = {"Accept": ", ".join(ACCEPTED)}
        async with self._transport.request(
            "GET", target, scope, headers=headers, deadline=_DOCUMENT_DEADLINE
        ) as response:
            await check_status(response, scope, f"manifest {reference}", not_found=ManifestNotFoundError)
            content = await _transport.read_limited(response, MANIFEST_LIMIT)
            media_type = response.content_type
        if content is None:
            raise InvalidManifestError(
                f"the manifest of {reference} is over the limit of {MANIFEST_LIMIT} bytes"
            )
        digest = await _verified_digest(reference, content)
        return FetchedManifest(_parse(reference, content, media_type), digest, content)

    async def put_manifest(self, reference: Reference, document: ImageManifest | ImageIndex) -> str:
        """Store a manifest under the tag of `reference`, or under its digest if it has no tag; return its
        digest.

        Raises:
            DigestMismatchError: the reference has a digest, and it is another one.
            InvalidReferenceError: the document has no media type.
            RegistryError: the registry does not want it.
        """
        content = encode(document)
        digest = await _verified_digest(reference, content)
        if document.media_type is None:
            raise InvalidReferenceError(f"the manifest for {reference} has no media type to push it as")
        scope = Scope(reference.registry, reference.repository, push=True)

        async def body() -> AsyncIterator[bytes]:
            yield content

        async with self._transport.request(
            "PUT",
            f"{reference.repository}/manifests/{reference.tag or digest}",
            scope,
            headers={"Content-Type": document.media_type, "Content-Length": str(len(content))},
            body=body,
            deadline=_DOCUMENT_DEADLINE,
        ) as response:
            await check_status(response, scope, f"manifest {reference}")
        return digest

    async def has_blob(self, reference: Reference, digest: str) -> bool:
        """Whether the repository of `reference` has the blob `digest`."""
        return await _upload.exists(self._transport, _pull(reference), digests.check(digest))

    async def pull_blob(
        self,
        reference: Reference,
        descriptor: Descriptor,
        store: BlobStore,
        progress: Progress | None = None,
    ) -> Path:
        """Bring the blob that `descriptor` describes from the repository of `reference` into `store`.

        Nothing is fetched that the store has. All who ask for one digest at a time share one transfer; one of
        them being cancelled does not disturb the others. `progress` hears how many bytes of how many are
        here, if the transfer begins with this call.

        Raises:
            BlobNotFoundError: the repository does not have it.
            DigestMismatchError: what came is not what the descriptor says; nothing is kept.
            RegistryUnavailableError: no usable answer, after several attempts.
            StorageError: the disk refused.
        """
        if await store.has(descriptor.digest):
            return store.path(descriptor.digest)
        return await self._transfers.run(
            (store.directory, descriptor.digest),
            lambda: _download.download(
                self._transport, _pull(reference), descriptor, store, self._backoff, progress
            ),
        )

    async def push_blob(
        self, reference: Reference, source: bytes | Path, *, chunk_size: int | None = None
    ) -> Descriptor:
        """Send a blob to the repository of `reference` unless it is there; return its descriptor, without
        media type.

        Args:
            reference: where to.
            source: the bytes, or the file that holds them. The file must not change meanwhile.
            chunk_size: send that many bytes a request, and after a broken transfer only what is missing. By
                default a blob goes in one request, which every registry takes.

        Raises:
            RegistryUnavailableError: no usable answer, after several attempts.
            RegistryError: the registry does not want it.
        """
        content = await _upload.Content.of(source)
        scope = Scope(reference.registry, reference.repository, push=True)
        if not await _upload.exists(self._transport, scope, content.digest):
            await _upload.upload(self._transport, scope, content, self._backoff, chunk_size)
        return Descriptor(media_type="application/octet-stream", digest=content.digest, size=content.size)


def _pull(reference: Reference) -> Scope:
    return Scope(reference.registry, reference.repository)


async def _verified_digest(reference: Reference, content: bytes) -> str:
    expected = reference.digest
    if expected is None:
        return digests.of(content)
    hasher = digests.hasher(expected)
    await asyncio.to_thread(hasher.update, content)
    actual = f"{hasher.name}:{hasher.hexdigest()}"
    if actual != expected:
        raise DigestMismatchError(f"the manifest for {reference} is {actual}, not what its digest says")
    return actual


def _parse(reference: Reference, content: bytes, media_type: str) -> ImageManifest | ImageIndex:
    try:
        return parse(content, media_type)
    except OciError as error:
        raise InvalidManifestError(f"{reference}: {plain(str(error))}") from None
