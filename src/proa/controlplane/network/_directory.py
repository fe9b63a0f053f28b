"""Services and their endpoints as the Ingress and DNS servers look them up, kept current with the stores."""

from __future__ import annotations

from collections.abc import Sequence

from proa.controlplane.network._balancer import Balancer
from proa.controlplane.network._ingress_rules import Target
from proa.controlplane.network._names import View
from proa.controlplane.network._proxy import service_of
from proa.controlplane.network._routes import Route, backends
from proa.kube.models.core_v1 import Service, ServicePort
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.runtime import ObjectRef, Reflector


class Directory:
    """Finds Services and their endpoints.

    Args:
        services: All Services, kept current by the caller.
        slices: All EndpointSlices, likewise.
    """

    def __init__(self, services: Reflector[Service], slices: Reflector[EndpointSlice]) -> None:
        self._services = services.store
        self._slices_of = slices.store.index(service_of)
        self._slices_at = slices.store.index(
            lambda part: {address for one in part.endpoints for address in one.addresses}
        )
        self._at = services.store.index(lambda one: [one.spec.cluster_ip or ""])
        self._in = services.store.index(lambda one: [one.metadata.namespace])
        self._balancers: dict[tuple[ObjectRef, str], tuple[Balancer, Service, Sequence[EndpointSlice]]] = {}

    def view(self) -> View:
        """Return what names are made of."""
        return View(
            service=self._services.get,
            slices=lambda service: self._slices_of[ObjectRef.of(service)],
            services_at=self._at.__getitem__,
            slices_at=self._slices_at.__getitem__,
            has_namespace=lambda namespace: bool(self._in[namespace]),
        )

    def find(self, target: Target) -> Balancer | None:
        """Return who chooses the endpoint for a target; None if there is no such Service or port."""
        ref = ObjectRef(target.service, target.namespace)
        service = self._services.find(ref)
        port = port_of(service, target) if service is not None else None
        if service is None or port is None:
            for key in [key for key in self._balancers if key[0] == ref]:
                del self._balancers[key]
            return None
        slices = self._slices_of[ref]
        key = (ref, f"{port.name or port.port}")
        known = self._balancers.get(key)
        if known is not None and known[1] is service and _same(known[2], slices):
            return known[0]
        route = Route(backends(port, slices))
        balancer = known[0] if known is not None else Balancer(route)
        balancer.update(route)
        self._balancers[key] = (balancer, service, slices)
        return balancer


def port_of(service: Service, target: Target) -> ServicePort | None:
    """Return the port that a target means: by number or name, else the one for HTTP, else the first."""
    ports = [one for one in service.spec.ports if (one.protocol or "TCP") == "TCP"]
    if target.port is not None:
        return next((one for one in ports if target.port in {one.port, one.name}), None)
    return next((one for one in ports if one.name == "http" or one.port == 80), ports[0] if ports else None)


def _same(before: Sequence[EndpointSlice], now: Sequence[EndpointSlice]) -> bool:
    return len(before) == len(now) and all(one is other for one, other in zip(before, now, strict=True))
