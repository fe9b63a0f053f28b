"""Static pods: manifests in a directory of the node, run whether there is an API server or not.

The API server is shown a mirror of each: a pod that only says how the static one is doing. Deleting it does
nothing but have it made again. A manifest is as good as its file: what is changed in it makes another pod.
"""

import asyncio
import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import yaml
from msgspec.structs import replace

from proa import kube
from proa.app import logs
from proa.kube import AlreadyExistsError, Api, Client, KubeError, NotFoundError
from proa.kube.models.core_v1 import Node, Pod, Toleration
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.kubelet._pods import Pods
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)
HASH: Final = "kubernetes.io/config.hash"
MIRROR: Final = "kubernetes.io/config.mirror"
SOURCE: Final = "kubernetes.io/config.source"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


def from_manifest(content: bytes, place: str, node: str) -> Pod:
    """The pod that a manifest describes, as it runs on a node. Pure.

    Args:
        content: The manifest.
        place: Where it is from: the same manifest elsewhere is another pod.
        node: The node's name, which becomes part of the pod's.

    Raises:
        KubeletError: It describes no pod.
    """
    try:
        document: Any = yaml.safe_load(content)
        pod = kube.decode(json.dumps(document).encode(), Pod)
    except (yaml.YAMLError, kube.KubeError, TypeError, ValueError) as error:
        raise KubeletError(f"{place} is no manifest of a pod: {error}") from error
    if document.get("kind") != "Pod" or not pod.metadata.name or not pod.spec.containers:
        raise KubeletError(f"{place} describes no pod with a name and containers")
    digest = hashlib.sha256(b"\0".join((content, place.encode(), node.encode()))).hexdigest()[:32]
    metadata = replace(
        pod.metadata,
        name=f"{pod.metadata.name}-{node}",
        namespace=pod.metadata.namespace or "default",
        uid=digest,
        annotations=pod.metadata.annotations | {HASH: digest, SOURCE: "file"},
    )
    everywhere = Toleration(operator="Exists", effect="NoExecute")
    spec = replace(pod.spec, node_name=node, tolerations=[*pod.spec.tolerations, everywhere])
    return replace(pod, metadata=metadata, spec=spec)


def mirror(pod: Pod, node: Node) -> Pod:
    """What the API server is shown of a static pod. Pure."""
    own = pod.metadata
    owner = OwnerReference(
        api_version="v1", kind="Node", name=node.metadata.name or "", uid=node.metadata.uid or "",
        controller=True,
    )  # fmt: skip
    annotations = own.annotations | {MIRROR: own.annotations[HASH]}
    metadata = ObjectMeta(
        name=own.name, namespace=own.namespace, labels=own.labels, annotations=annotations,
        owner_references=[owner],
    )  # fmt: skip
    return Pod(metadata=metadata, spec=pod.spec)


class StaticPods:
    """Keeps the pods of a directory running, and their mirrors true.

    Args:
        client: The API server.
        pods: The node's.
        directory: Where the manifests are; it need not be there yet.
        node: The node's name.
        every: Seconds between looks into the directory.
    """

    def __init__(self, client: Client, pods: Pods, directory: Path, node: str, every: float) -> None:
        self._client = client
        self._pods = pods
        self._directory = directory
        self._node = node
        self._every = every
        self._told: set[str] = set()

    async def run(self) -> None:
        """Look for ever; what fails is tried again."""
        while True:
            wanted = await asyncio.to_thread(self._read)
            self._pods.keep_static(wanted)
            changed = self._pods.mirrors_changed
            changed.clear()
            for pod in wanted:
                await self._attempt(lambda pod=pod: self._show(pod))  # type: ignore[misc]
            known = {(pod.metadata.namespace, pod.metadata.name) for pod in wanted}
            for place, shown in [*self._pods.mirrors.items()]:
                if place not in known:
                    await self._attempt(lambda shown=shown: self._remove(shown))  # type: ignore[misc]
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._every):
                    await changed.wait()

    def _read(self) -> list[Pod]:
        found = []
        for path in sorted(self._directory.glob("[!.]*")):
            if path.suffix not in _SUFFIXES:
                continue
            try:
                found.append(from_manifest(path.read_bytes(), str(path), self._node))
                self._told.discard(str(path))
            except (KubeletError, OSError) as error:
                if str(path) not in self._told:
                    _log.error("a manifest cannot be used", path=str(path), error=str(error))
                self._told.add(str(path))
        return found

    async def _attempt(self, work: Callable[[], Any]) -> None:
        try:
            await work()
        except KubeError as error:
            _log.debug("cannot bring a mirror pod up to date yet", error=str(error))

    async def _show(self, pod: Pod) -> None:
        shown = self._pods.mirrors.get((pod.metadata.namespace or "", pod.metadata.name or ""))
        if shown is not None and shown.metadata.annotations.get(HASH) == pod.metadata.annotations[HASH]:
            if shown.metadata.deletion_timestamp is not None:
                await self._remove(shown)
            return
        if shown is not None:
            await self._remove(shown)
        node = await Api(self._client, Node).get(self._node)
        with contextlib.suppress(AlreadyExistsError):
            await self._api(pod).create(mirror(pod, node))

    async def _remove(self, shown: Pod) -> None:
        with contextlib.suppress(NotFoundError):
            await self._api(shown).delete(shown.metadata.name or "", grace_period=0, uid=shown.metadata.uid)

    def _api(self, pod: Pod) -> Api[Pod]:
        return Api(self._client, Pod, namespace=pod.metadata.namespace or "")
