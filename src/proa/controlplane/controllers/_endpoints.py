"""The endpoints controller: says for each Service where its pods are, in EndpointSlices and Endpoints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

import msgspec

from proa.controlplane.controllers._endpoints_plan import (
    MANAGED_BY,
    MANAGER,
    MIRRORER,
    SERVICE_NAME,
    Plan,
    endpoints,
    mirrored,
    plan,
    slices,
)
from proa.kube import AlreadyExistsError, Api, Client, ConflictError, NotFoundError
from proa.kube.models.core_v1 import Endpoints, Pod, Service
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.runtime import Action, Controller, ObjectRef, Reflector

PAUSE = 0.1
"""Seconds between two looks at one Service: hundreds of pods that start together cost ten writes a second."""


class EndpointsController:
    """Keeps the EndpointSlices and Endpoints of Services that select pods.

    A Service without a selector has its user's own; if those are Endpoints, slices say the same.
    """

    def __init__(
        self,
        client: Client,
        services: Reflector[Service],
        pods: Reflector[Pod],
        parts: Reflector[EndpointSlice],
        endpoints_: Reflector[Endpoints],
    ) -> None:
        self._slices_api = Api(client, EndpointSlice)
        self._endpoints_api = Api(client, Endpoints)
        self._services = services
        self._endpoints = endpoints_
        self._services_in = services.store.index(lambda one: [one.metadata.namespace])
        self._pods_in = pods.store.index(lambda one: [one.metadata.namespace])
        self._slices_of = parts.store.index(_service_of)
        self._looked: dict[ObjectRef, float] = {}
        self.controller = (
            Controller(services, self.reconcile, name="endpoints")
            .watches(pods, self._selecting)
            .watches(parts, _service_of)
            .watches(endpoints_, lambda one: [ObjectRef.of(one)])
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the endpoints of one Service up to date."""
        service = self._services.store.find(ref)
        if service is None:
            self._looked.pop(ref, None)
            return Action.await_change()
        if service.spec.type == "ExternalName":
            return Action.await_change()
        clock = asyncio.get_running_loop().time()
        early = self._looked.get(ref, clock - PAUSE) + PAUSE - clock
        if early > 0:
            return Action.requeue(early)
        self._looked[ref] = clock
        if not service.spec.selector:
            source = self._endpoints.store.find(ref)
            await self._carry_out(plan(mirrored(service, source) if source else (), self._slices_of[ref]))
            return Action.await_change()
        pods = [pod for pod in self._pods_in[ref.namespace] if _selects(service, pod)]
        wanted = slices(service, pods)
        await self._carry_out(plan(wanted, self._slices_of[ref]))
        await self._write_endpoints(endpoints(service, wanted))
        return Action.await_change()

    async def _carry_out(self, todo: Plan) -> None:
        # Whatever is refused has changed meanwhile; that change leads here again.
        for one in todo.create:
            with suppress(AlreadyExistsError):
                await self._slices_api.create(one)
        for one in todo.replace:
            with suppress(NotFoundError, ConflictError):
                await self._slices_api.replace(one)
        for one in todo.delete:
            with suppress(NotFoundError, ConflictError):
                await self._slices_api.delete(
                    one.metadata.name or "", uid=one.metadata.uid, namespace=one.metadata.namespace
                )

    async def _write_endpoints(self, wanted: Endpoints) -> None:
        present = self._endpoints.store.get(wanted.metadata.name or "", wanted.metadata.namespace)
        if present is None:
            with suppress(AlreadyExistsError):
                await self._endpoints_api.create(wanted)
            return
        metadata = msgspec.structs.replace(
            present.metadata, labels=wanted.metadata.labels, annotations=wanted.metadata.annotations
        )
        merged = msgspec.structs.replace(wanted, metadata=metadata)
        if merged != present:
            with suppress(NotFoundError, ConflictError):
                await self._endpoints_api.replace(merged)

    def _selecting(self, pod: Pod) -> Iterable[ObjectRef]:
        services = self._services_in[pod.metadata.namespace]
        return [ObjectRef.of(one) for one in services if one.spec.selector and _selects(one, pod)]


def _selects(service: Service, pod: Pod) -> bool:
    return service.spec.selector.items() <= pod.metadata.labels.items()


def _service_of(part: EndpointSlice) -> list[ObjectRef]:
    """Return the Service of a slice that this controller keeps."""
    name = part.metadata.labels.get(SERVICE_NAME)
    mine = part.metadata.labels.get(MANAGED_BY) in {MANAGER, MIRRORER}
    return [ObjectRef(name, part.metadata.namespace)] if name and mine else []
