"""Images for containers: from the node's own store or from a registry, by the pull policy."""

from pathlib import Path
from typing import Final

from proa.kube.models.core_v1 import Container
from proa.oci import BlobStore, PulledModule, Reference, RegistryClient, find_module, pull_module

DEFAULT_TAG: Final = "latest"


class Images:
    """The node's images.

    Args:
        directory: Where they are kept.
        client: How registries are reached.
    """

    def __init__(self, directory: Path, client: RegistryClient) -> None:
        self._store = BlobStore(directory)
        self._client = client

    async def find(self, reference: Reference) -> PulledModule | None:
        """The image if it is on the node; the registry is not asked."""
        return await find_module(reference, self._store)

    async def pull(self, reference: Reference) -> PulledModule:
        """Ask the registry what the reference means now, and fetch what is missing.

        Raises:
            proa.oci.OciError: It cannot be had.
        """
        return await pull_module(self._client, reference, self._store)


def pull_policy(container: Container) -> str:
    """`Always`, `IfNotPresent` or `Never`: what is set, else Kubernetes' default by the tag."""
    if container.image_pull_policy:
        return container.image_pull_policy
    last_component = (container.image or "").rpartition("/")[2]
    named, _, digest = last_component.partition("@")
    tag = named.partition(":")[2] or DEFAULT_TAG
    return "IfNotPresent" if digest or tag != DEFAULT_TAG else "Always"
