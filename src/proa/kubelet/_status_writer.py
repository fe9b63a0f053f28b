"""Keeps the API server's idea of one pod's status equal to the kubelet's."""

import asyncio
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import Api, ConflictError, KubeError, NotFoundError, Strategic
from proa.kube.models.core_v1 import Pod, PodStatus
from proa.kubelet._pod_status import is_starting
from proa.kubelet._status_patch import status_patch

_log = logs.get_logger(__name__)
_RETRY: Final = Backoff(initial=0.2, maximum=10.0, jitter=0.5)
_SETTLING_SECONDS: Final = 0.15
"""A status that only says "starting" is held back this long: usually the next one is there by then."""


class StatusWriter:
    """Writes the newest status, as a patch of what differs, until the server has it.

    One writer a pod, one write at a time, always of the newest status: the server never sees an older one
    after a newer. Nothing is lost when the server is away; statuses that nobody could see are skipped.

    Args:
        api: The pod's namespace.
        pod: As the server has it.
        mirrored: The server has mirrors of the pod only, which come and go: nothing is written without one.
    """

    def __init__(self, api: Api[Pod], pod: Pod, *, mirrored: bool = False) -> None:
        self._api = api
        self._mirrored = mirrored
        self._observed = pod
        self._wanted: PodStatus | None = None
        self._due = asyncio.Event()
        self._settled = asyncio.Event()
        self._settled.set()

    def report(self, status: PodStatus) -> None:
        """This is the status from now on."""
        self._wanted = status
        self._settled.clear()
        if is_starting(status):
            asyncio.get_running_loop().call_later(_SETTLING_SECONDS, self._due.set)
        else:
            self._due.set()

    def observe(self, pod: Pod) -> None:
        """This is what the server has: somebody else may have written to it."""
        if _version(pod) > _version(self._observed):
            self._observed = pod
            self._due.set()

    async def settled(self) -> None:
        """Wait until the server has the newest status, or the pod is gone from it."""
        await self._settled.wait()

    async def run(self) -> None:
        """Write whenever something differs, until cancelled or the pod is gone."""
        backoff = _RETRY.start()
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._write()
            except NotFoundError:
                self._settled.set()
                if not self._mirrored:
                    return
            except KubeError as error:
                self._complain(error, backoff.attempts)
                await asyncio.sleep(backoff.next())
                self._due.set()
            else:
                backoff.reset()

    async def _write(self) -> None:
        wanted, pod = self._wanted, self._observed
        if wanted is None:
            return
        if self._mirrored and not pod.metadata.resource_version:
            self._settled.set()
            return
        patch = status_patch(pod.metadata.uid or "", pod.status, wanted)
        if patch is not None:
            written = await self._api.patch_status(pod.metadata.name or "", Strategic(patch))
            if _version(written) > _version(self._observed):
                self._observed = written
                if status_patch(pod.metadata.uid or "", written.status, wanted) not in (None, patch):
                    self._due.set()  # Somebody else has written meanwhile.
        if self._wanted is wanted:
            self._settled.set()

    def _complain(self, error: KubeError, attempts: int) -> None:
        if isinstance(error, ConflictError):
            # Another pod has the name: this one is gone, of which the watch will tell.
            return
        tell = _log.warning if attempts == 0 else _log.debug
        tell("cannot write a pod's status yet", pod=self._observed.metadata.name, error=str(error))


def _version(pod: Pod) -> int:
    # Comparable by Kubernetes' contract since 1.35, and in practice ever before.
    version = pod.metadata.resource_version or ""
    return int(version) if version.isdecimal() else 0
