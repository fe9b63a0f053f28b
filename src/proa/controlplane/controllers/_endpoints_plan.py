"""The endpoints of a Service: a plain function of the Service and its pods."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import msgspec

from proa.controlplane.controllers._pods import controlled_by, has_ended, is_going, is_ready
from proa.kube.models.core_v1 import (
    EndpointAddress,
    EndpointPort,
    Endpoints,
    EndpointSubset,
    ObjectReference,
    Pod,
    Service,
    ServicePort,
)
from proa.kube.models.discovery_v1 import Endpoint, EndpointConditions, EndpointSlice
from proa.kube.models.discovery_v1 import EndpointPort as SlicePort
from proa.kube.models.meta_v1 import ObjectMeta

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MIRRORER = "endpointslicemirroring-controller.k8s.io"
SKIP_MIRROR = "endpointslice.kubernetes.io/skip-mirror"
HEADLESS = "service.kubernetes.io/headless"
ENDPOINTS_MANAGED_BY = "endpoints.kubernetes.io/managed-by"
OVER_CAPACITY = "endpoints.kubernetes.io/over-capacity"

SLICE_SIZE = 100
"""The most endpoints in one slice."""

ENDPOINTS_SIZE = 1000
"""The most addresses in an Endpoints object, which can't be divided."""


@dataclass(frozen=True)
class Plan:
    """The writes that make the slices say what is there."""

    create: tuple[EndpointSlice, ...]
    replace: tuple[EndpointSlice, ...]
    delete: tuple[EndpointSlice, ...]


def is_endpoint(pod: Pod) -> bool:
    """Tell whether a pod can be an endpoint at all: it has an address and has not ended."""
    return bool(pod.status.pod_ip) and not has_ended(pod)


def plan(slices: Iterable[EndpointSlice], present: Sequence[EndpointSlice]) -> Plan:
    """Compare the slices that should be with those that are."""
    wanted = {one.metadata.name: one for one in slices}
    known = {one.metadata.name: one for one in present}
    changed = [_merged(known[name], one) for name, one in wanted.items() if name in known]
    return Plan(
        create=tuple(one for name, one in wanted.items() if name not in known),
        replace=tuple(one for one in changed if one != known[one.metadata.name]),
        delete=tuple(one for name, one in known.items() if name not in wanted),
    )


def slices(service: Service, pods: Iterable[Pod]) -> list[EndpointSlice]:
    """Return the slices of a Service; pods of equal ports share them.

    Their names follow from their ports and number, so that none is ever made twice.
    """
    groups: dict[tuple[tuple[object, ...], ...], list[Pod]] = {}
    ports_of: dict[tuple[tuple[object, ...], ...], list[SlicePort]] = {}
    for pod in sorted(filter(is_endpoint, pods), key=lambda one: one.metadata.uid or ""):
        ports = _ports(service, pod)
        key = tuple((port.name, port.protocol, port.port, port.app_protocol) for port in ports)
        groups.setdefault(key, []).append(pod)
        ports_of[key] = ports
    return [
        _slice(service, ports_of[key], members[start : start + SLICE_SIZE], start // SLICE_SIZE)
        for key, members in groups.items()
        for start in range(0, len(members), SLICE_SIZE)
    ]


def _slice(service: Service, ports: list[SlicePort], pods: Sequence[Pod], number: int) -> EndpointSlice:
    return EndpointSlice(
        metadata=_metadata(service, service, MANAGER, ports, number),
        address_type="IPv4",
        endpoints=[_endpoint(service, pod) for pod in pods],
        ports=ports,
    )


def _metadata(
    service: Service, owner: Service | Endpoints, manager: str, ports: Sequence[SlicePort], number: int
) -> ObjectMeta:
    seed = repr((owner.metadata.uid, [(one.name, one.protocol, one.port) for one in ports], number))
    suffix = hashlib.sha256(seed.encode()).hexdigest()[:8]
    labels = {**owner.metadata.labels, SERVICE_NAME: service.metadata.name or "", MANAGED_BY: manager}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    return ObjectMeta(
        name=f"{service.metadata.name}-{suffix}",
        namespace=service.metadata.namespace,
        labels=labels,
        owner_references=[controlled_by(owner)],
    )


def mirrored(service: Service, source: Endpoints) -> list[EndpointSlice]:
    """Return the slices that say what somebody's own Endpoints of a Service without a selector say."""
    if SKIP_MIRROR in source.metadata.labels:
        return []
    return [_mirror(service, source, subset, number) for number, subset in enumerate(source.subsets)]


def _mirror(service: Service, source: Endpoints, subset: EndpointSubset, number: int) -> EndpointSlice:
    ports = [
        SlicePort(
            name=one.name or "", port=one.port, protocol=one.protocol or "TCP", app_protocol=one.app_protocol
        )
        for one in subset.ports
    ]
    sides = ((subset.addresses, True), (subset.not_ready_addresses, False))
    return EndpointSlice(
        metadata=_metadata(service, source, MIRRORER, ports, number),
        address_type="IPv4",
        endpoints=[
            Endpoint(
                addresses=[one.ip],
                conditions=EndpointConditions(ready=ready),
                hostname=one.hostname,
                node_name=one.node_name,
                target_ref=one.target_ref,
            )
            for addresses, ready in sides
            for one in addresses
        ],
        ports=ports,
    )


def _endpoint(service: Service, pod: Pod) -> Endpoint:
    going = is_going(pod)
    serving = is_ready(pod)
    always = bool(service.spec.publish_not_ready_addresses)
    named = pod.spec.hostname and pod.spec.subdomain == service.metadata.name
    return Endpoint(
        addresses=[pod.status.pod_ip or ""],
        conditions=EndpointConditions(
            ready=always or (serving and not going), serving=serving, terminating=going
        ),
        hostname=pod.spec.hostname if named else None,
        node_name=pod.spec.node_name,
        target_ref=_reference(pod),
    )


def _reference(pod: Pod) -> ObjectReference:
    return ObjectReference(
        kind="Pod", name=pod.metadata.name, namespace=pod.metadata.namespace, uid=pod.metadata.uid
    )


def _ports(service: Service, pod: Pod) -> list[SlicePort]:
    """Return the ports on which a pod serves; one that the Service names and the pod lacks is left out."""
    found = []
    for port in service.spec.ports:
        number = _target(port, pod)
        if number is not None:
            found.append(
                SlicePort(
                    name=port.name or "",
                    port=number,
                    protocol=port.protocol or "TCP",
                    app_protocol=port.app_protocol,
                )
            )
    return found


def _target(port: ServicePort, pod: Pod) -> int | None:
    target = port.target_port if port.target_port not in {None, 0, ""} else port.port
    if isinstance(target, int):
        return target
    for container in pod.spec.containers:
        for one in container.ports:
            if one.name == target and (one.protocol or "TCP") == (port.protocol or "TCP"):
                return one.container_port
    return None


def _merged(present: EndpointSlice, wanted: EndpointSlice) -> EndpointSlice:
    metadata = msgspec.structs.replace(
        present.metadata,
        labels=wanted.metadata.labels,
        owner_references=wanted.metadata.owner_references,
    )
    return msgspec.structs.replace(wanted, metadata=metadata)


def endpoints(service: Service, parts: Sequence[EndpointSlice]) -> Endpoints:
    """Return the Endpoints object, for those who still read it: the same as the slices in the older form."""
    labels = {**service.metadata.labels, ENDPOINTS_MANAGED_BY: "endpoint-controller"}
    if service.spec.cluster_ip == "None":
        labels[HEADLESS] = ""
    left = ENDPOINTS_SIZE
    subsets: dict[tuple[tuple[object, ...], ...], EndpointSubset] = {}
    for part in parts:
        key = tuple((port.name, port.protocol, port.port) for port in part.ports)
        ports = [
            EndpointPort(
                name=port.name or None,
                port=port.port or 0,
                protocol=port.protocol,
                app_protocol=port.app_protocol,
            )
            for port in part.ports
        ]
        subset = subsets.setdefault(key, EndpointSubset(ports=ports))
        for one in part.endpoints[: max(0, left)]:
            if one.conditions.ready:
                subset.addresses += [_address(one)]
            else:
                subset.not_ready_addresses += [_address(one)]
        left -= len(part.endpoints)
    return Endpoints(
        metadata=ObjectMeta(
            name=service.metadata.name,
            namespace=service.metadata.namespace,
            labels=labels,
            annotations={OVER_CAPACITY: "truncated"} if left < 0 else {},
        ),
        subsets=[one for one in subsets.values() if one.addresses or one.not_ready_addresses],
    )


def _address(endpoint: Endpoint) -> EndpointAddress:
    return EndpointAddress(
        ip=endpoint.addresses[0],
        hostname=endpoint.hostname,
        node_name=endpoint.node_name,
        target_ref=endpoint.target_ref,
    )
