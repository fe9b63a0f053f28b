"""What the node keeps of a pod on disk: its volumes, its logs, and its last known status."""

import asyncio
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Self

from proa import kube
from proa.app import logs
from proa.kube.models.core_v1 import Pod, PodStatus
from proa.kubelet import _memory_volumes
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)
_SEGMENT: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LONGEST_NAME: Final = 150
_STATUS: Final = "status.json"
_POD: Final = "pod.json"


class PodDirectory:
    """`PODS/<namespace>_<name>_<uid>/`: the pod, its status, `volumes/<volume>/`, `<container>/<n>.log`.

    The status is written before anything is done that depends on it, so that a kubelet that is killed at
    any moment finds restart counts, exit codes and addresses again. It is not synchronised to the disk: when
    the machine goes down the sandboxes go, too, and the API server has the status.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, pods: Path, pod: Pod) -> Self:
        """Where a pod's directory is.

        Raises:
            KubeletError: The pod has names that must not become paths.
        """
        names = [pod.metadata.namespace or "", pod.metadata.name or "", pod.metadata.uid or ""]
        names += [container.name for container in [*pod.spec.init_containers, *pod.spec.containers]]
        names += [volume.name for volume in pod.spec.volumes]
        for name in names:
            if not _SEGMENT.fullmatch(name) or ".." in name:
                raise KubeletError(f"{name!r} is no valid name")
        namespace, name, uid = names[:3]
        # Names may be longer than a directory's; the uid tells those apart that were cut.
        return cls(pods / f"{namespace}_{name[:_LONGEST_NAME]}_{uid}")

    @classmethod
    def all(cls, pods: Path) -> "Iterator[PodDirectory]":
        """The directories of all pods that were ever here and are not removed."""
        if pods.is_dir():
            yield from (cls(path) for path in pods.iterdir() if path.is_dir())

    @property
    def uid(self) -> str:
        """The uid of the pod."""
        return self.path.name.rpartition("_")[2]

    @property
    def volumes(self) -> Path:
        """Where its volumes are."""
        return self.path / "volumes"

    def log(self, container: str, restart: int) -> Path:
        """The log of one container instance."""
        return self.path / container / f"{restart}.log"

    def termination(self, container: str, restart: int) -> Path:
        """Where one container instance leaves its termination message."""
        return self.path / container / f"{restart}.end"

    def copies(self, container: str) -> Path:
        """Where single files of volumes are for a container."""
        return self.path / container / "files"

    def load(self) -> PodStatus | None:
        """The status saved last; None when there is none that can be read. Blocks."""
        try:
            return kube.decode((self.path / _STATUS).read_bytes(), PodStatus)
        except FileNotFoundError:
            return None
        except (OSError, kube.KubeError) as error:
            _log.warning(
                "a pod's saved status cannot be read; using the API server's",
                path=str(self.path),
                error=str(error),
            )
            return None

    def load_pod(self) -> Pod | None:
        """The pod saved last; None when there is none that can be read. Blocks."""
        try:
            return kube.decode((self.path / _POD).read_bytes(), Pod)
        except (OSError, kube.KubeError):
            return None

    async def save(self, status: PodStatus, pod: Pod | None = None) -> None:
        """Save a status, and the pod itself where that has changed; each whole or not at all."""
        documents = {_STATUS: kube.encode(status)}
        if pod is not None:
            documents = {_POD: kube.encode(pod)} | documents
        await asyncio.to_thread(self._save, documents)

    async def remove_old_logs(self, container: str, restart: int) -> None:
        """Remove what is left of the instances before the previous one."""
        await asyncio.to_thread(self._remove_old, container, restart)

    def _remove_old(self, container: str, restart: int) -> None:
        old = self.log(container, restart - 2)
        for path in (old, *old.parent.glob(f"{old.name}.*")):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.termination(container, restart - 1), ignore_errors=True)

    async def remove(self) -> None:
        """Remove everything."""
        await asyncio.to_thread(_memory_volumes.remove, self.volumes)
        await asyncio.to_thread(shutil.rmtree, self.path, ignore_errors=True)

    def _save(self, documents: Mapping[str, bytes]) -> None:
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, document in documents.items():
            unfinished = self.path / f".{name}"
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123
                file.write(document)
            unfinished.replace(self.path / name)
