"""Static pods: manifests in a directory of the node, run whether there is an API server or not.

The API server is shown a mirror of each: a pod that only says how the static one is doing. Deleting it does
nothing but have it made again. A manifest is as good as its file: what is changed in it makes another pod.
"""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from proa.app import logs
from proa.kube import AlreadyExistsError, Api, Client, KubeError, NotFoundError
from proa.kube.models.core_v1 import Node, Pod
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.kubelet._manifests import HASH, from_manifest
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._pods import Pods
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)
MIRROR: Final = "kubernetes.io/config.mirror"
_SUFFIXES: Final = frozenset({".yaml", ".yml", ".json"})


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
        events: Tells of manifests that cannot be used.
    """

    def __init__(
        self, client: Client, pods: Pods, directory: Path, node: str, every: float, events: NodeEvents
    ) -> None:
        self._client = client
        self._pods = pods
        self._directory = directory
        self._node = node
        self._every = every
        self._events = events
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look for ever; what fails is tried again."""
        while True:
            wanted, problems = await asyncio.to_thread(self._read)
            self._complain(problems)
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

    def _read(self) -> tuple[list[Pod], dict[str, str]]:
        """The pods of the directory, and what is wrong with other files of it. Blocks."""
        found: dict[tuple[str | None, str | None], Pod] = {}
        problems = {}
        for path in sorted(self._directory.glob("[!.]*")):
            if path.suffix not in _SUFFIXES:
                continue
            try:
                pod = from_manifest(path.read_bytes(), str(path), self._node)
            except KubeletError as error:
                problems[str(path)] = str(error)
            except OSError as error:
                problems[str(path)] = f"{path} cannot be read: {error.strerror}"
            else:
                place = pod.metadata.namespace, pod.metadata.name
                if found.setdefault(place, pod) is not pod:
                    problems[str(path)] = f"{path} describes {place[1]}, which another file does, too"
        return [*found.values()], problems

    def _complain(self, problems: dict[str, str]) -> None:
        for path, problem in problems.items():
            if self._told.get(path) != problem:
                _log.error("a manifest cannot be used", path=path, error=problem)
                self._events.event("InvalidStaticPod", problem, "Warning")
        self._told = problems

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
