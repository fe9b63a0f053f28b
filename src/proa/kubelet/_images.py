"""Images for containers: from the node's own store, a registry or a Bindle server, by the pull policy."""

from pathlib import Path
from typing import Final

from proa.kube.models.core_v1 import Container
from proa.kubelet._bindles import SCHEME, BindleReference, Bindles
from proa.oci import BlobStore, OciError, PulledModule, Reference, RegistryClient, find_module, pull_module

DEFAULT_TAG: Final = "latest"

ImageReference = Reference | BindleReference


class Images:
    """The node's images.

    Args:
        directory: Where they are kept.
        client: How registries are reached.
        bindles: How bindles are, if they are.
    """

    def __init__(self, directory: Path, client: RegistryClient, bindles: Bindles | None = None) -> None:
        self._store = BlobStore(directory)
        self._client = client
        self._bindles = bindles

    async def find(self, reference: ImageReference) -> PulledModule | None:
        """The image if it is on the node; nobody is asked."""
        if isinstance(reference, BindleReference):
            return await self._bindles.find(reference) if self._bindles else None
        return await find_module(reference, self._store)

    async def pull(self, reference: ImageReference) -> PulledModule:
        """Ask the registry or server what the reference means now, and fetch what is missing.

        Raises:
            proa.oci.OciError: It cannot be had, or is not to be trusted.
        """
        if isinstance(reference, BindleReference):
            if self._bindles is None:
                raise OciError("this node has no Bindle server: start its kubelet with --bindle-url")
            return await self._bindles.pull(reference)
        return await pull_module(self._client, reference, self._store)


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
