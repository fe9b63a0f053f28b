"""The controller manager: all controllers on one set of watches."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from proa.controlplane.controllers._deployment import DeploymentController
from proa.controlplane.controllers._discovery import discover
from proa.controlplane.controllers._garbage import GarbageCollector
from proa.controlplane.controllers._nodes import LEASES, NodeController, PodCollector
from proa.controlplane.controllers._replicaset import ReplicaSetController
from proa.controlplane.controllers._rootca import NAME as ROOT_CA
from proa.controlplane.controllers._rootca import RootCaPublisher
from proa.controlplane.controllers._serviceaccounts import ServiceAccountController
from proa.kube import Api, Client
from proa.kube.models.apps_v1 import Deployment, ReplicaSet
from proa.kube.models.coordination_v1 import Lease
from proa.kube.models.core_v1 import ConfigMap, Namespace, Node, Pod, ServiceAccount
from proa.runtime import Controller, Recorder, Reflector, background


class ControllerManager:
    """Runs the controllers until the block is left, through the Kubernetes API alone.

    ::

        async with ControllerManager(client):
            ...

    Entering it asks the server which kinds there are, and may raise KubeError; later failures are retried.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        kinds = await discover(self._client)
        async with AsyncExitStack() as stack:
            client = self._client
            deployments = Reflector(Api(client, Deployment))
            sets = Reflector(Api(client, ReplicaSet))
            pods = Reflector(Api(client, Pod))
            nodes = Reflector(Api(client, Node))
            leases = Reflector(Api(client, Lease, namespace=LEASES))
            namespaces = Reflector(Api(client, Namespace))
            accounts = Reflector(Api(client, ServiceAccount))
            published = Reflector(Api(client, ConfigMap), field_selector=f"metadata.name={ROOT_CA}")
            root_ca = (client.config.ca_data or b"").decode()
            recorders = {
                name: await stack.enter_async_context(Recorder(client, f"{name}-controller"))
                for name in ("deployment", "replicaset", "node")
            }
            replica_sets = ReplicaSetController(client, sets, pods, recorders["replicaset"])
            controllers: list[Controller[Any]] = [
                DeploymentController(client, deployments, sets, pods, recorders["deployment"]).controller,
                replica_sets.controller,
                ServiceAccountController(client, namespaces, accounts).controller,
                RootCaPublisher(client, namespaces, published, root_ca).controller,
                NodeController(client, nodes, leases, recorders["node"]).controller,
                PodCollector(client, nodes, pods).controller,
            ]
            reflectors: list[Reflector[Any]] = [deployments, sets, pods, nodes, leases, namespaces]
            reflectors += [accounts, published]
            for reflector in reflectors:
                await stack.enter_async_context(reflector)
            await stack.enter_async_context(background(replica_sets.follow(), "replicaset: expectations"))
            for controller in controllers:
                await stack.enter_async_context(controller)
            await stack.enter_async_context(GarbageCollector(client, kinds))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()
