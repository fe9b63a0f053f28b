"""The names of `cluster.local`: what each Service and endpoint is called, and where it is.

Follows Kubernetes' DNS specification, version 1.1.0
(https://github.com/kubernetes/dns/blob/master/docs/specification.md).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from proa.controlplane.network._routes import SERVICE_NAME, is_headless
from proa.kube.models.core_v1 import Service
from proa.kube.models.discovery_v1 import Endpoint, EndpointSlice

ZONE = ("cluster", "local")
VERSION = "1.1.0"


@dataclass(frozen=True)
class Record:
    """One answer: `A`, `CNAME`, `SRV`, `PTR` or `TXT`, with its data as a zone file has it."""

    type: str
    data: str


@dataclass(frozen=True)
class View:
    """The Services and slices of the cluster, by what names are made of.

    Attributes:
        service: Finds a Service by name and namespace.
        slices: Finds the slices of a Service.
        services_at: Finds the Services that have an address.
        slices_at: Finds the slices that have an endpoint at an address.
        has_namespace: Tells whether some Service is in a namespace.
    """

    service: Callable[[str, str], Service | None]
    slices: Callable[[Service], Sequence[EndpointSlice]]
    services_at: Callable[[str], Sequence[Service]]
    slices_at: Callable[[str], Sequence[EndpointSlice]]
    has_namespace: Callable[[str], bool]


def look_up(labels: Sequence[str], view: View) -> list[Record] | None:
    """Return the records of a name below `cluster.local`, of all types; None if there is no such name.

    Args:
        labels: The name's labels in lower case, without the zone's.
        view: What there is.
    """
    match list(labels):
        case []:
            return []
        case ["dns-version"]:
            return [Record("TXT", f'"{VERSION}"')]
        case [kind] if kind in {"svc", "pod"}:
            return []
        case [namespace, "svc" | "pod"]:
            return [] if view.has_namespace(namespace) else None
        case [address, _, "pod"]:
            return _pod(address)
        case [*host, name, namespace, "svc"]:
            service = view.service(name, namespace)
            return None if service is None else _service(host, service, view)
    return None


def reverse(address: str, view: View) -> list[Record] | None:
    """Return the names of an address, a Service's or an endpoint's of headless ones; None if it has none."""
    names = {_name(one) for one in view.services_at(address)}
    for part in () if names else view.slices_at(address):
        name = part.metadata.labels.get(SERVICE_NAME, "")
        service = view.service(name, part.metadata.namespace or "")
        if service is not None and is_headless(service):
            here = (one for one in _endpoints(service, [part]) if address in one.addresses)
            names |= {f"{_hostname(one)}.{_name(service)}" for one in here}
    return [Record("PTR", name) for name in sorted(names)] or None


def _service(host: Sequence[str], service: Service, view: View) -> list[Record] | None:
    if service.spec.type == "ExternalName":
        return None if host else [Record("CNAME", f"{(service.spec.external_name or '').rstrip('.')}.")]
    parts = view.slices(service)
    match host:
        case []:
            return _addresses(service, parts) + [
                record
                for port in service.spec.ports
                for record in _ports(service, parts, port.name, port.protocol)
            ]
        case [protocol] if protocol in {"_tcp", "_udp"}:
            return []
        case [port, protocol] if port.startswith("_") and protocol.startswith("_"):
            return _ports(service, parts, port[1:], protocol[1:].upper()) or None
        case [hostname] if is_headless(service):
            found = [one for one in _endpoints(service, parts) if _hostname(one) == hostname]
            return [Record("A", one.addresses[0]) for one in found] or None
    return None


def _addresses(service: Service, parts: Iterable[EndpointSlice]) -> list[Record]:
    if not is_headless(service):
        return [Record("A", service.spec.cluster_ip or "")]
    return sorted(
        {Record("A", one.addresses[0]) for one in _endpoints(service, parts)}, key=lambda one: one.data
    )


def _ports(
    service: Service, parts: Sequence[EndpointSlice], name: str | None, protocol: str | None
) -> list[Record]:
    """Return the SRV records of a named port: the Service's own, or one for each endpoint."""
    wanted = [
        one for one in service.spec.ports if name and one.name == name and (one.protocol or "TCP") == protocol
    ]
    if not is_headless(service):
        return [Record("SRV", f"0 100 {one.port} {_name(service)}") for one in wanted]
    return [
        Record("SRV", f"0 100 {port.port} {_hostname(endpoint)}.{_name(service)}")
        for part in parts
        for port in part.ports
        if wanted and port.name == name and port.port
        for endpoint in _endpoints(service, [part])
    ]


def _endpoints(service: Service, parts: Iterable[EndpointSlice]) -> Iterator[Endpoint]:
    """Yield the endpoints that clients are told of: the ready ones, or all where the Service says so."""
    for part in parts:
        for one in part.endpoints:
            if one.addresses and (
                one.conditions.ready is not False or service.spec.publish_not_ready_addresses
            ):
                yield one


def _hostname(endpoint: Endpoint) -> str:
    return endpoint.hostname or endpoint.addresses[0].replace(".", "-")


def _pod(dashed: str) -> list[Record] | None:
    try:
        return [Record("A", str(ipaddress.IPv4Address(dashed.replace("-", "."))))]
    except ValueError:
        return None


def _name(service: Service) -> str:
    return ".".join((service.metadata.name or "", service.metadata.namespace or "", "svc", *ZONE)) + "."
