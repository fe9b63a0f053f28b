"""The controller manager: all controllers on one set of watches."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

from proa.controlplane.controllers._autoscaler import AutoscalerController
from proa.controlplane.controllers._binder import ClaimController, VolumeController
from proa.controlplane.controllers._cronjob import CronJobController
from proa.controlplane.controllers._daemonset import DaemonSetController
from proa.controlplane.controllers._deployment import DeploymentController
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._disruption import DisruptionController
from proa.controlplane.controllers._endpoints import EndpointsController
from proa.controlplane.controllers._ephemeral import EphemeralVolumeController
from proa.controlplane.controllers._eviction import TaintEvictionController
from proa.controlplane.controllers._garbage import GarbageCollector
from proa.controlplane.controllers._job import JobController
from proa.controlplane.controllers._local_path import NAME as LOCAL_PATH
from proa.controlplane.controllers._local_path import Provisioner
from proa.controlplane.controllers._nodes import LEASES, NodeController, PodCollector
from proa.controlplane.controllers._quota import QuotaController
from proa.controlplane.controllers._replicaset import ReplicaSetController
from proa.controlplane.controllers._rootca import NAME as ROOT_CA
from proa.controlplane.controllers._rootca import RootCaPublisher
from proa.controlplane.controllers._serviceaccounts import ServiceAccountController
from proa.controlplane.controllers._statefulset import StatefulSetController
from proa.kube import Api, Client
from proa.kube.models import Resource
from proa.kube.models.apps_v1 import ControllerRevision, DaemonSet, Deployment, ReplicaSet, StatefulSet
from proa.kube.models.autoscaling_v2 import HorizontalPodAutoscaler
from proa.kube.models.batch_v1 import CronJob, Job
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import (
    ConfigMap,
    Endpoints,
    Namespace,
    Node,
    PersistentVolume,
    PersistentVolumeClaim,
    Pod,
    ResourceQuota,
    Service,
    ServiceAccount,
)
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.kube.models.policy_v1 import PodDisruptionBudget
from proa.kube.models.storage_v1 import StorageClass
from proa.runtime import Controller, Recorder, Reflector, background

K = TypeVar("K", bound=Resource)


class _Part(Protocol):
    """What the manager runs."""

    controller: Controller[Any]


@runtime_checkable
class _Following(Protocol):
    """A part that also follows what becomes of its own writes."""

    follow: Callable[[], Coroutine[Any, Any, None]]


class ControllerManager:
    """Runs the controllers until the block is left, through the Kubernetes API alone.

    ::

        async with ControllerManager(client):
            ...

    Entering it asks the server which kinds there are, and may raise KubeError; later failures are retried.

    Args:
        client: The server.
        volumes: A directory of the machine, for volumes of the storage class `local-path`; None makes none.
        quotas: Keep what ResourceQuotas say is used; the embedded API server does so itself.
    """

    def __init__(self, client: Client, volumes: Path | None = None, *, quotas: bool = False) -> None:
        self._client = client
        self._quotas = quotas
        self._directory = volumes
        self._stack = AsyncExitStack()
        self._reflectors: dict[type[Resource], Reflector[Any]] = {}

    async def __aenter__(self) -> Self:
        kinds = Kinds(self._client)
        await kinds.refresh()
        async with AsyncExitStack() as stack:
            parts = await self._parts(stack, kinds)
            for reflector in self._reflectors.values():
                await stack.enter_async_context(reflector)
            for part in parts:
                if isinstance(part, _Following):
                    follow = background(part.follow(), f"{type(part).__name__}: own writes")
                    await stack.enter_async_context(follow)
            for part in parts:
                await stack.enter_async_context(part.controller)
            await stack.enter_async_context(GarbageCollector(self._client, kinds))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def _parts(self, stack: AsyncExitStack, kinds: Kinds) -> list[_Part]:
        async def told(name: str, suffix: str = "-controller") -> Recorder:
            return await stack.enter_async_context(Recorder(client, f"{name}{suffix}"))

        client, watch = self._client, self._watch
        pods, sets, jobs, nodes = watch(Pod), watch(ReplicaSet), watch(Job), watch(Node)
        revisions, deployments = watch(ControllerRevision), watch(Deployment)
        stateful_sets = watch(StatefulSet)
        leases = self._reflectors[Lease] = Reflector(Api(client, Lease, namespace=LEASES))
        by_name = f"metadata.name={ROOT_CA}"
        published = self._reflectors[ConfigMap] = Reflector(Api(client, ConfigMap), field_selector=by_name)
        root_ca = (client.config.ca_data or b"").decode()
        claims, volumes, classes = watch(PersistentVolumeClaim), watch(PersistentVolume), watch(StorageClass)
        parts: list[_Part] = [
            DeploymentController(client, deployments, sets, pods, await told("deployment")),
            ReplicaSetController(client, sets, pods, await told("replicaset")),
            StatefulSetController(client, stateful_sets, pods, revisions, claims, await told("statefulset")),
            DaemonSetController(client, watch(DaemonSet), pods, nodes, revisions, await told("daemonset")),
            JobController(client, jobs, pods, await told("job")),
            CronJobController(client, watch(CronJob), jobs, await told("cronjob")),
            EndpointsController(client, watch(Service), pods, watch(EndpointSlice), watch(Endpoints)),
            ServiceAccountController(client, watch(Namespace), watch(ServiceAccount)),
            RootCaPublisher(client, watch(Namespace), published, root_ca),
            NodeController(client, nodes, pods, leases, await told("node")),
            TaintEvictionController(client, nodes, pods, await told("taint-eviction")),
            DisruptionController(
                client,
                watch(PodDisruptionBudget),
                pods,
                deployments,
                sets,
                stateful_sets,
                kinds,
                await told("disruption"),
            ),
            PodCollector(client, nodes, pods),
            AutoscalerController(
                client,
                watch(HorizontalPodAutoscaler),
                pods,
                kinds,
                await told("horizontal-pod-autoscaler", ""),
            ),
            ClaimController(client, claims, volumes, classes, pods, await told("persistentvolume")),
            VolumeController(client, volumes, claims),
            EphemeralVolumeController(client, pods, await told("ephemeral-volume")),
        ]
        if self._quotas:
            quotas, services = watch(ResourceQuota), watch(Service)
            parts.append(QuotaController(client, quotas, pods, claims, services, kinds))
        if self._directory is not None:
            recorder = await told(LOCAL_PATH, "")
            parts.append(Provisioner(client, self._directory, claims, volumes, classes, recorder))
        return parts

    def _watch(self, kind: type[K]) -> Reflector[K]:
        """Return the one watch of a kind that all controllers share."""
        if kind not in self._reflectors:
            self._reflectors[kind] = Reflector(Api(self._client, kind))
        return self._reflectors[kind]
