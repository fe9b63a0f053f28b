"""Images for containers: from the node's own store, a registry or a Bindle server, by the pull policy."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from proa.kube.models.core_v1 import Container
from proa.kubelet._bindles import SCHEME, BindleReference, Bindles
from proa.kubelet._credential_providers import CredentialProviders
from proa.oci import (
    BlobStore,
    Credentials,
    DockerConfig,
    OciError,
    PulledModule,
    Reference,
    RegistryClient,
    SignaturePolicy,
    find_module,
    image_blobs,
    pull_module,
)
from proa.oci.credentials import find
from proa.oci.signatures import is_note

DEFAULT_TAG: Final = "latest"
Progress = Callable[[int, int], None]

ImageReference = Reference | BindleReference


class _Unused(NamedTuple):
    used_at: float
    name: str
    bindles: Bindles | None


class Images:
    """The node's images.

    Args:
        directory: Where they are kept.
        client: How registries are reached.
        bindles: How bindles are, if they are.
        docker_config: Who the node is at registries where the pod does not say.
        providers: The same, by programs, which are asked first.
        policy: Which images of registries may be run; None for all. Bindles have signatures of their own.
        parallel: How many are pulled at a time; 0 for any number.
    """

    def __init__(
        self,
        directory: Path,
        client: RegistryClient,
        *,
        bindles: Bindles | None = None,
        docker_config: DockerConfig | None = None,
        providers: CredentialProviders | None = None,
        policy: SignaturePolicy | None = None,
        parallel: int = 0,
    ) -> None:
        self._store = BlobStore(directory)
        self._client = client
        self._bindles = bindles
        self._docker_config = docker_config
        self._providers = providers
        self._policy = policy
        self._pulls: dict[ImageReference, asyncio.Future[None]] = {}
        self._turns = asyncio.Semaphore(parallel) if parallel else contextlib.nullcontext()

    async def find(self, reference: ImageReference) -> PulledModule | None:
        """The image if it is on the node; nobody is asked."""
        if isinstance(reference, BindleReference):
            return await self._bindles.find(reference) if self._bindles else None
        return await find_module(reference, self._store)

    async def find_or_await(self, reference: ImageReference) -> PulledModule | None:
        """The image if it is on the node, or is once a pull of it that is under way has ended."""
        found = await self.find(reference)
        if found is None and (over := self._pulls.get(reference)) is not None:
            await asyncio.wait([over])
            found = await self.find(reference)
        return found

    async def pull(
        self,
        reference: ImageReference,
        credentials: Mapping[str, Credentials] | None = None,
        progress: Progress | None = None,
    ) -> PulledModule:
        """Ask the registry or server what the reference means now, and fetch what is missing.

        Args:
            reference: What is wanted.
            credentials: The pod's; without any of this registry's, the node's own count.
            progress: Hears how many bytes of how many of the module are here.

        Raises:
            proa.oci.OciError: It cannot be had, or is not to be trusted.
        """
        with self._noted(reference):
            return await self._pull(reference, credentials, progress)

    @contextlib.contextmanager
    def _noted(self, reference: ImageReference) -> Iterator[None]:
        """Let others know that an image is being pulled; of several pulls it is the first that counts."""
        if reference in self._pulls:
            yield
            return
        over = self._pulls[reference] = asyncio.get_running_loop().create_future()
        try:
            yield
        finally:
            del self._pulls[reference]
            over.set_result(None)

    async def _pull(
        self,
        reference: ImageReference,
        credentials: Mapping[str, Credentials] | None,
        progress: Progress | None,
    ) -> PulledModule:
        if isinstance(reference, BindleReference):
            if self._bindles is None:
                raise OciError("this node has no Bindle server: start its kubelet with --bindle-url")
            return await self._bindles.pull(reference)
        client = await self._client_for(reference, credentials or {})
        async with self._turns:
            return await pull_module(client, reference, self._store, progress)

    async def check(
        self,
        reference: ImageReference,
        image: PulledModule,
        credentials: Mapping[str, Credentials] | None = None,
    ) -> None:
        """Let an image pass by the node's signature policy.

        Raises:
            proa.oci.UnsignedImageError: It may not be run.
            proa.oci.OciError: The registry cannot be asked for its signatures.
        """
        if self._policy is not None and isinstance(reference, Reference):
            client = await self._client_for(reference, credentials or {})
            await self._policy.check(client, reference, image.manifest_digest, self._store)

    async def collect(self, in_use: Collection[str], enough: Callable[[], bool], least_age: float) -> int:
        """Remove images and parcels of bindles that no container uses, longest unused first.

        Args:
            in_use: Digests of manifests of images, and of parcels, that stay.
            enough: Whether there is room enough; asked before each removal, in a thread.
            least_age: Seconds that an image must not have been used.

        Returns:
            How many were removed.
        """
        removed, youngest = 0, time.time() - least_age
        for unused in sorted([*await self._unused(in_use), *await self._unused_parcels(in_use)]):
            if unused.used_at > youngest or await asyncio.to_thread(enough):
                break
            await self._remove(unused)
            removed += 1
        return removed

    async def modules(self) -> set[str]:
        """The digests of all that is kept, modules among it."""
        parcels = await self._bindles.cache.parcels() if self._bindles else {}
        return set().union(*await self._blobs_of_images(), (f"sha256:{digest}" for digest in parcels))

    async def _unused(self, in_use: Collection[str]) -> list["_Unused"]:
        links = await self._store.links()
        await self._store.use(link.name for link in links if link.digest in in_use)
        return [
            _Unused(link.used_at, link.name, None)
            for link in links
            if link.digest not in in_use and not is_note(link.name)
        ]

    async def _unused_parcels(self, in_use: Collection[str]) -> list["_Unused"]:
        if self._bindles is None:
            return []
        unused = []
        for digest, used_at in (await self._bindles.cache.parcels()).items():
            if f"sha256:{digest}" in in_use:
                await self._bindles.cache.use(digest)
            else:
                unused.append(_Unused(used_at, digest, self._bindles))
        return unused

    async def _remove(self, unused: "_Unused") -> None:
        if unused.bindles is not None:
            await unused.bindles.cache.remove(unused.name)
            return
        digests = {link.digest for link in await self._store.links() if link.name == unused.name}
        await self._store.unlink(unused.name)
        kept = set[str]().union(*await self._blobs_of_images())
        for digest in digests - kept:
            for blob in await image_blobs(digest, self._store) - kept:
                await self._store.delete(blob)
        for link in await self._store.links():
            if is_note(link.name) and link.digest in digests - kept:
                await self._store.unlink(link.name)

    async def _blobs_of_images(self) -> list[frozenset[str]]:
        digests = {link.digest for link in await self._store.links() if not is_note(link.name)}
        return [await image_blobs(digest, self._store) for digest in digests]

    async def _client_for(
        self, reference: Reference, credentials: Mapping[str, Credentials]
    ) -> RegistryClient:
        known = dict(credentials)
        if find(known, reference.registry, reference.repository) is None:
            own = await self._own_credentials(reference)
            if own is not None:
                known[reference.registry] = own
        return self._client.using(known) if known else self._client

    async def _own_credentials(self, reference: Reference) -> Credentials | None:
        own = await self._providers.find(reference) if self._providers is not None else None
        if own is None and self._docker_config is not None:
            own = await self._docker_config.find(reference.registry, reference.repository)
        return own


def parse_image(text: str) -> ImageReference:
    """Read what a container calls its image.

    Raises:
        proa.oci.InvalidReferenceError: It is none.
    """
    return BindleReference.parse(text) if text.startswith(SCHEME) else Reference.parse(text)


def pull_policy(container: Container) -> str:
    """`Always`, `IfNotPresent` or `Never`: what is set, else Kubernetes' default by the tag."""
    if container.image_pull_policy:
        return container.image_pull_policy
    last_component = (container.image or "").rpartition("/")[2]
    named, _, digest = last_component.partition("@")
    tag = named.partition(":")[2] or DEFAULT_TAG
    return "IfNotPresent" if digest or tag != DEFAULT_TAG else "Always"
