"""What is listened on for a Service, and where it leads: a plain function of the Service and its slices."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from proa.kube.models.core_v1 import Service, ServicePort
from proa.kube.models.discovery_v1 import Endpoint, EndpointSlice

LOOPBACK = "127.0.0.1"
SERVICE_NAME = "kubernetes.io/service-name"
AFFINITY_SECONDS = 10800


class Backend(NamedTuple):
    """Where an endpoint listens."""

    address: str
    port: int


class Frontend(NamedTuple):
    """Where a Service listens."""

    protocol: str
    address: str
    port: int

    def __str__(self) -> str:
        return f"{self.address}:{self.port}/{self.protocol}"


@dataclass(frozen=True)
class Route:
    """Where connections to a frontend go.

    Attributes:
        backends: The endpoints that take new connections; never none.
        affinity_seconds: How long a client keeps its endpoint after its last connection; None if it doesn't.
    """

    backends: tuple[Backend, ...]
    affinity_seconds: float | None = None


def is_headless(service: Service) -> bool:
    """Tell whether a Service has no address of its own: clients find the endpoints by DNS."""
    return service.spec.cluster_ip in {None, "", "None"}


def routes(service: Service, slices: Iterable[EndpointSlice]) -> Mapping[Frontend, Route]:
    """Return what to listen on: nothing where no endpoint can serve, so that connections are refused."""
    parts = tuple(slices)
    found: dict[Frontend, Route] = {}
    if is_headless(service) or service.spec.type == "ExternalName":
        return found
    affinity = _affinity(service)
    for port in service.spec.ports:
        chosen = backends(port, parts)
        protocol = port.protocol or "TCP"
        if chosen and protocol in {"TCP", "UDP"}:
            found[Frontend(protocol, service.spec.cluster_ip or "", port.port)] = Route(chosen, affinity)
            if port.node_port and service.spec.type in {"NodePort", "LoadBalancer"}:
                found[Frontend(protocol, LOOPBACK, port.node_port)] = Route(chosen, affinity)
    return found


def backends(port: ServicePort, slices: Iterable[EndpointSlice]) -> tuple[Backend, ...]:
    """Return the endpoints for a port: the ready ones; if there is none, those that end but still serve."""
    found = list(_endpoints(port, slices))
    ready = {backend for backend, one in found if one.conditions.ready is not False}
    last = {
        backend
        for backend, one in found
        if one.conditions.terminating and one.conditions.serving is not False
    }
    return tuple(sorted(ready or last))


def _endpoints(port: ServicePort, slices: Iterable[EndpointSlice]) -> Iterator[tuple[Backend, Endpoint]]:
    for part in slices:
        numbers = [
            one.port
            for one in part.ports
            if (one.name or "") == (port.name or "") and (one.protocol or "TCP") == (port.protocol or "TCP")
        ]
        for endpoint in part.endpoints if numbers and numbers[0] else ():
            for address in endpoint.addresses[:1]:
                yield Backend(address, numbers[0] or 0), endpoint


def _affinity(service: Service) -> float | None:
    if service.spec.session_affinity != "ClientIP":
        return None
    config = service.spec.session_affinity_config
    client = config.client_ip if config else None
    return float((client.timeout_seconds if client else None) or AFFINITY_SECONDS)
