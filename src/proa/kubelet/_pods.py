"""All pods of the node: follows what the API server has bound to it, with a worker for each."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import Api
from proa.kube.models.core_v1 import Pod, PodStatus
from proa.kubelet._addresses import PodAddresses
from proa.kubelet._admission import Refusal
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_context import PodContext, Services
from proa.kubelet._pod_directory import PodDirectory
from proa.kubelet._pod_status import TERMINAL_PHASES
from proa.kubelet._sandbox_host import SandboxName
from proa.kubelet.errors import KubeletError
from proa.runtime import Apply, Delete, Init, InitApply, InitDone, watcher
from proa.wasm import Sandbox, WasmError

_log = logs.get_logger(__name__)
_MIRROR: Final = "kubernetes.io/config.mirror"
_SETTLING_SECONDS: Final = 2.0
_AFTER_A_BUG: Final = Backoff(initial=1.0, maximum=300.0)


class Pods:
    """The workers of the node's pods, by uid.

    Args:
        services: What they share.
        node_name: Whose pods.
        directory: Where pods are kept.
        addresses: Where theirs come from.
        refuse: Says why the node does not take a pod beside others that are active; None when it does.
    """

    def __init__(
        self,
        services: Services,
        node_name: str,
        directory: Path,
        addresses: PodAddresses,
        refuse: Callable[[Pod, list[PodContext]], Refusal | None],
    ) -> None:
        self.synchronized = asyncio.Event()
        self._services = services
        self._node_name = node_name
        self._directory = directory
        self._addresses = addresses
        self._refuse = refuse
        self.mirrors: dict[tuple[str, str], Pod] = {}
        """What the API server is shown of static pods, by namespace and name."""
        self.mirrors_changed = asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._static: dict[str, Pod] = {}
        self._workers: dict[str, PodWorker] = {}
        self._saved: dict[str, PodStatus] = {}

    def workers(self) -> list[PodWorker]:
        """All workers."""
        return [*self._workers.values()]

    def count(self, phase: str) -> int:
        """How many pods are in this phase."""
        return sum(worker.status.phase == phase for worker in self._workers.values())

    def find(self, namespace: str, name: str) -> PodWorker | None:
        """The worker of the pod of that name; the newest, should an older one still be ending."""
        for worker in reversed(self._workers.values()):
            metadata = worker.context.pod.metadata
            if (metadata.namespace, metadata.name) == (namespace, name):
                return worker
        return None

    async def settled(self) -> None:
        """Wait for a short while until the API server knows of all that has ended."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLING_SECONDS):
                for worker in self.workers():
                    await worker.settled()

    async def run(self) -> None:
        """Follow the API server for ever. If cancelled, containers run on for the next kubelet."""
        listed: list[Pod] = []
        pods = Api(self._services.client, Pod)
        try:
            async with asyncio.TaskGroup() as group:
                await self._load(group)
                self._group = group
                self.keep_static(self._static.values())
                async for event in watcher(pods, field_selector=f"spec.nodeName={self._node_name}"):
                    match event:
                        case Init():
                            listed = []
                        case InitApply(pod):
                            listed.append(pod)
                        case InitDone():
                            self._begin(listed, group)
                        case Apply(pod):
                            self._apply(pod, group)
                        case Delete(pod):
                            self._delete(pod)
        finally:
            for worker in self._workers.values():
                worker.close_logs()

    def keep_static(self, pods: Iterable[Pod]) -> None:
        """Run these static pods, and no others."""
        self._static = {pod.metadata.uid or "": pod for pod in pods}
        if self._group is None:
            return  # They are begun as soon as it is known what runs already.
        for pod in self._static.values():
            self._apply(pod, self._group)
            shown = self.mirrors.get(_place(pod))
            if shown is not None:
                self._workers[pod.metadata.uid or ""].shown_as(shown)
        for uid, worker in self._workers.items():
            if worker.is_static and uid not in self._static:
                worker.end()

    async def _load(self, group: asyncio.TaskGroup) -> None:
        """Take up what an earlier kubelet left: the API server may be away, and guests print on.

        All addresses in use are known before one is given to a new pod.
        """
        found = []
        for directory in await asyncio.to_thread(lambda: list(PodDirectory.all(self._directory))):
            saved = await asyncio.to_thread(directory.load)
            if saved is not None and self._addresses.keep(saved.pod_ip):
                self._saved[directory.uid] = saved
                found.append(await asyncio.to_thread(directory.load_pod))
        for pod in found:
            if pod is not None:
                self._apply(pod, group)

    def _begin(self, pods: list[Pod], group: asyncio.TaskGroup) -> None:
        for pod in pods:
            self._apply(pod, group)
        if not self.synchronized.is_set():
            for uid in self._workers.keys() - {pod.metadata.uid for pod in pods}:
                if not self._workers[uid].is_static:
                    self._workers[uid].gone()
            self.synchronized.set()
            group.create_task(self._clean_up(), name="clean up after pods that are gone")

    def _apply(self, pod: Pod, group: asyncio.TaskGroup) -> None:
        uid = pod.metadata.uid or ""
        if _MIRROR in pod.metadata.annotations:
            self._see_mirror(pod)
            return
        worker = self._workers.get(uid)
        if worker is not None:
            if not worker.is_static:
                worker.update(pod)
            return
        try:
            worker = self._worker(pod)
        except KubeletError as error:
            _log.error(
                "a pod cannot be run", pod=f"{pod.metadata.namespace}/{pod.metadata.name}", error=str(error)
            )
            return
        self._workers[uid] = worker
        group.create_task(self._supervise(uid), name=f"pod {worker.context.title}")

    def _see_mirror(self, pod: Pod) -> None:
        self.mirrors[_place(pod)] = pod
        self.mirrors_changed.set()
        for worker in self._workers.values():
            if worker.is_static and _place(worker.context.pod) == _place(pod):
                worker.shown_as(pod)

    def _delete(self, pod: Pod) -> None:
        if _MIRROR in pod.metadata.annotations:
            shown = self.mirrors.get(_place(pod))
            if shown is not None and shown.metadata.uid == pod.metadata.uid:
                del self.mirrors[_place(pod)]
            self.mirrors_changed.set()
        if worker := self._workers.get(pod.metadata.uid or ""):
            worker.gone()

    def _worker(self, pod: Pod) -> PodWorker:
        saved = self._saved.pop(pod.metadata.uid or "", None)
        directory = PodDirectory.of(self._directory, pod)
        ip = saved.pod_ip if saved is not None else None
        if not ip:
            ip = (
                pod.status.pod_ip
                if self._addresses.reserve(pod.status.pod_ip)
                else self._addresses.allocate()
            )
        refusal = self._refusal(pod) if saved is None else None
        return PodWorker(self._services, pod, directory, ip or "", saved, refusal)

    def _refusal(self, pod: Pod) -> Refusal | None:
        if pod.status.start_time is not None:
            return None
        active = [
            worker.context
            for worker in self._workers.values()
            if worker.refusal is None and worker.status.phase not in TERMINAL_PHASES
        ]
        return self._refuse(pod, active)

    async def _supervise(self, uid: str) -> None:
        """Run a worker to its end. A bug in one pod's worker is that pod's trouble and no other's."""
        backoff = _AFTER_A_BUG.start()
        while True:
            worker = self._workers[uid]
            try:
                await worker.run()
                break
            except Exception:  # noqa: BLE001 - whatever it is, other pods must go on
                _log.error("a pod's worker failed; it begins anew", pod=worker.context.title, exc_info=True)
                await asyncio.sleep(backoff.next())
                self._workers[uid] = worker.renewed()
        del self._workers[uid]
        self._addresses.release(worker.context.ip)

    async def _clean_up(self) -> None:
        """Remove what belongs to pods that went while no kubelet ran."""
        for sandbox in self._services.sandboxes.all():
            name = SandboxName.parse(sandbox.id)
            if name is None or name.pod_uid not in self._workers:
                await self._remove(sandbox)
        for directory in await asyncio.to_thread(lambda: list(PodDirectory.all(self._directory))):
            if directory.uid not in self._workers:
                await directory.remove()
        for saved in self._saved.values():
            self._addresses.release(saved.pod_ip or "")
        self._saved.clear()

    async def _remove(self, sandbox: Sandbox) -> None:
        _log.info("killing a sandbox whose pod is gone", sandbox=sandbox.id)
        try:
            sandbox.kill()
            await sandbox.wait()
            await self._services.sandboxes.forget(sandbox.id)
        except WasmError as error:
            _log.warning("cannot remove a sandbox", sandbox=sandbox.id, error=str(error))


def _place(pod: Pod) -> tuple[str, str]:
    return pod.metadata.namespace or "", pod.metadata.name or ""
