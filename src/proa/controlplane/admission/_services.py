"""Services get their families, addresses and node ports."""

from __future__ import annotations

import ipaddress
import random
from collections.abc import Iterator

from proa.controlplane._errors import Cause, StatusError, internal, invalid, invalid_value
from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.storage import Store

from ._service_families import settle_families

STORAGE = "services"
SERVICE_NETWORK = "127.67.0.0/16"
NODE_PORTS = range(30000, 32768)


class ServiceAddresses:
    """Gives services addresses of the service network and ports of the nodes that no other has.

    What a service asks for and cannot have is said once its fields have been checked.
    """

    def __init__(self, store: Store, service_network: str = SERVICE_NETWORK) -> None:
        self._store = store
        self._network = ipaddress.ip_network(service_network)

    def give(self, review: Review) -> None:
        """Gives a service what it is missing."""
        if review.new is None or review.subresource:
            return
        spec = review.new["spec"]
        if spec.get("type") == "ExternalName" or self._wrong(review):
            return
        settle_families(spec, _addressed(review.old))
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            spec["clusterIP"] = self._free_address()
        if spec.get("clusterIP"):
            spec.setdefault("clusterIPs", [spec["clusterIP"]])
        self._give_node_ports(spec)

    def check(self, review: Review) -> None:
        """Refuses what a service asks for and cannot have.

        Raises:
            StatusError: 422, an address, a port or a family is taken, or none of ours.
        """
        if review.new is None or review.subresource or review.new["spec"].get("type") == "ExternalName":
            return
        causes = self._wrong(review)
        if causes:
            raise invalid(review.resource.qualified_kind, review.name, causes)

    def _wrong(self, review: Review) -> list[Cause]:
        """What is wrong with what is asked for: the families first, then addresses, then ports."""
        assert review.new is not None
        spec, old = review.new["spec"], _addressed(review.old)
        found = settle_families(dict(spec), old)
        if found:
            return found
        given = spec.get("clusterIP")
        if given and given != "None" and (old is None or old.get("clusterIP") != given):
            found = self._wrong_address(review, given)
        return found or self._wrong_ports(review, spec, old or {})

    def _others(self, review: Review | None = None) -> Iterator[Document]:
        """The specs of all services but the one that is written."""
        for stored in self._store.scan(STORAGE):
            if review is None or stored.key[1:] != (review.namespace, review.name):
                yield stored.document()["spec"]

    def _wrong_address(self, review: Review, address: str) -> list[Cause]:
        try:
            known = ipaddress.ip_address(address) in self._network
        except ValueError:
            return []  # which is refused for what it is
        why = ""
        if not known:
            why = f"failed to allocate IP {address}: it is not in the service network {self._network}"
        elif any(spec.get("clusterIP") == address for spec in self._others(review)):
            why = f"failed to allocate IP {address}: provided IP is already allocated"
        return [invalid_value("spec.clusterIPs", [address], why)] if why else []

    def _wrong_ports(self, review: Review, spec: Document, old: Document) -> list[Cause]:
        before = {port.get("nodePort") for port in old.get("ports", ())}
        wanted = [port.get("nodePort", 0) for port in spec.get("ports", ())]
        new = [(index, port) for index, port in enumerate(wanted) if port and port not in before]
        taken = _node_ports(self._others(review)) if new else set()
        for index, number in new:
            at = f"spec.ports[{index}].nodePort"
            if number not in NODE_PORTS:
                why = f"provided port is not in the valid range: {NODE_PORTS.start}-{NODE_PORTS.stop - 1}"
                return [invalid_value(at, number, why)]
            if number in taken:
                return [invalid_value(at, number, "provided port is already allocated")]
        return []

    def _free_address(self) -> str:
        taken, size = {spec.get("clusterIP", "") for spec in self._others()}, self._network.num_addresses
        start = random.randrange(256, size - 1)  # noqa: S311 - the first addresses are for those who ask for one
        for offset in range(size):
            address = str(self._network[(start + offset) % (size - 2) + 1])
            if address not in taken:
                return address
        raise StatusError(500, "InternalError", f"no address is free in the service network {self._network}")

    def _give_node_ports(self, spec: Document) -> None:
        ports, kind = spec.get("ports", ()), spec.get("type")
        checked = kind == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"
        numbered = kind == "NodePort" or (
            kind == "LoadBalancer" and spec.get("allocateLoadBalancerNodePorts", True)
        )
        missing = [port for port in ports if numbered and not port.get("nodePort")]
        unchecked = checked and not spec.get("healthCheckNodePort")
        if not missing and not unchecked:
            return
        taken = _node_ports([*self._others(), spec])
        free = [number for number in NODE_PORTS if number not in taken]
        if len(free) <= len(missing):
            raise internal()
        numbers = iter(random.sample(free, len(missing) + 1))
        given = {
            (port["port"], port.get("protocol")): port["nodePort"] for port in ports if "nodePort" in port
        }
        for port in missing:
            # One number serves the same port of another protocol, too.
            shared = [number for (other, protocol), number in given.items() if other == port["port"]]
            port["nodePort"] = shared[0] if shared else next(numbers)
            given[port["port"], port.get("protocol")] = port["nodePort"]
        if unchecked:
            spec["healthCheckNodePort"] = next(numbers)


def _addressed(service: Document | None) -> Document | None:
    """What a service had before; nothing if it had no addresses."""
    if service is None or service["spec"].get("type") == "ExternalName":
        return None
    spec: Document = service["spec"]
    return spec


def _node_ports(specs: Iterator[Document] | list[Document]) -> set[int]:
    found: set[int] = set()
    for spec in specs:
        found.add(spec.get("healthCheckNodePort", 0))
        found |= {port.get("nodePort", 0) for port in spec.get("ports", ())}
    return found
