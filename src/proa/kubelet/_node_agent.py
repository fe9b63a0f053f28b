"""Registers the node and keeps what the API server knows of it true: its status and its lease."""

import asyncio
import contextlib
from datetime import UTC
from typing import Any, Final

import msgspec

from proa import kube
from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import AlreadyExistsError, Api, Client, KubeError, Merge, Strategic
from proa.kube.models import MicroTime, now
from proa.kube.models.coordination_v1 import Lease, LeaseSpec
from proa.kube.models.core_v1 import Node, NodeStatus
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference
from proa.kubelet import _host_facts, _node
from proa.kubelet._node_events import NodeEvents
from proa.kubelet._pressure import Pressure
from proa.kubelet._settings import KubeletSettings

_log = logs.get_logger(__name__)
LEASE_NAMESPACE: Final = "kube-node-lease"
LEASE_SECONDS: Final = 40
RENEW_EVERY: Final = 10.0
LOOK_EVERY: Final = 10.0
_REPORT_SECONDS: Final = 5.0
_RETRY: Final = Backoff(initial=0.2, maximum=7.0, jitter=0.3)

_OWNED_STATUS: Final = ("addresses", "allocatable", "capacity", "conditions", "daemonEndpoints", "nodeInfo")


class NodeAgent:
    """The node's part in the cluster.

    The API server being away is never fatal: everything is tried again. A node that somebody deleted is
    registered anew. On exit the node stays; without its lease renewed the cluster will call it not ready.
    """

    def __init__(
        self, client: Client, settings: KubeletSettings, port: int, pressure: Pressure, events: NodeEvents
    ) -> None:
        self._pressure = pressure
        self._events = events
        self.not_ready: str | None = None
        self._nodes = Api(client, Node)
        self._leases = Api(client, Lease, namespace=LEASE_NAMESPACE)
        self._settings = settings
        self._port = port

    async def register(self) -> None:
        """Create the node, or bring its labels up to date, and report its status; again until it works."""
        backoff = _RETRY.start()
        while True:
            try:
                await self._register()
                return
            except KubeError as error:
                _log.warning("cannot register the node yet", node=self._settings.name, error=str(error))
                await asyncio.sleep(backoff.next())

    async def report_now(self) -> None:
        """Report the status at once; the API server may be away."""
        with contextlib.suppress(KubeError, TimeoutError):
            async with asyncio.timeout(_REPORT_SECONDS):
                await self._report(await self._nodes.get(self._settings.name))

    async def run(self) -> None:
        """Keep lease and status current until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keep_lease(), name="node lease")
            group.create_task(self._keep_status(), name="node status")

    async def _register(self) -> None:
        name = self._settings.name
        existing = await self._nodes.get_opt(name)
        if existing is None:
            try:
                existing = await self._nodes.create(_node.node(self._settings))
                _log.info("registered the node", node=name)
            except AlreadyExistsError:
                existing = await self._nodes.get(name)
        labels = _node.labels(self._settings)
        if not labels.items() <= existing.metadata.labels.items():
            existing = await self._nodes.patch(name, Merge({"metadata": {"labels": labels}}))
        await self._report(existing)

    async def _keep_status(self) -> None:
        backoff = _RETRY.start()
        while True:
            try:
                node = await self._nodes.get_opt(self._settings.name)
                await (self._register() if node is None else self._report(node))
                pause = LOOK_EVERY
                backoff.reset()
            except KubeError as error:
                _log.debug("cannot report the node's status", error=str(error))
                pause = backoff.next()
            await asyncio.sleep(pause)

    async def _report(self, node: Node) -> None:
        host = await asyncio.to_thread(_host_facts.observe, self._settings.data_dir)
        before = node.status.node_info.boot_id if node.status.node_info else None
        if before and host.boot_id and before != host.boot_id:
            message = f"Node {self._settings.name} has been rebooted, boot id: {host.boot_id}"
            self._events.event("Rebooted", message, "Warning")
        pressing = self._pressure.conditions
        wanted = _node.status(self._settings, self._port, host, node.status, now(), pressing, self.not_ready)
        if _node.must_report(node.status, wanted, now()):
            await self._nodes.patch_status(self._settings.name, Strategic(_status_patch(wanted)))
            for reason in _node.changes(node.status, wanted):
                self._events.event(reason, f"Node {self._settings.name} status is now: {reason}")

    async def _keep_lease(self) -> None:
        backoff = _RETRY.start()
        while True:
            try:
                await self._renew()
                pause = RENEW_EVERY
                backoff.reset()
            except KubeError as error:
                tell = _log.warning if backoff.attempts == 0 else _log.debug
                tell("cannot renew the node's lease", node=self._settings.name, error=str(error))
                pause = backoff.next()
            await asyncio.sleep(pause)

    async def _renew(self) -> None:
        name, moment = self._settings.name, MicroTime.now(UTC)
        if await self._leases.get_opt(name) is not None:
            await self._leases.patch(name, Merge({"spec": {"renewTime": str(moment)}}))
        else:
            await self._leases.create(_lease(name, await self._nodes.get_opt(name), moment))


def _lease(name: str, node: Node | None, moment: MicroTime) -> Lease:
    owners = []
    if node is not None:
        owners = [OwnerReference(api_version="v1", kind="Node", name=name, uid=node.metadata.uid or "")]
    return Lease(
        metadata=ObjectMeta(name=name, namespace=LEASE_NAMESPACE, owner_references=owners),
        spec=LeaseSpec(holder_identity=name, lease_duration_seconds=LEASE_SECONDS, renew_time=moment),
    )


def _status_patch(status: NodeStatus) -> dict[str, Any]:
    document: dict[str, Any] = msgspec.json.decode(kube.encode(status))
    return {"status": {key: document[key] for key in _OWNED_STATUS if key in document}}
