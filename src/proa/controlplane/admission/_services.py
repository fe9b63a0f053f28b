"""Services get their addresses and node ports."""

from __future__ import annotations

import ipaddress
import random

from proa.controlplane._errors import StatusError, invalid, invalid_value
from proa.controlplane._json import Document
from proa.controlplane.registry import Resource, Review
from proa.controlplane.storage import Store

SERVICE_NETWORK = "127.67.0.0/16"
NODE_PORTS = range(30000, 32768)


class ServiceAddresses:
    """Gives services addresses of the service network that no other has."""

    def __init__(self, store: Store, service_network: str = SERVICE_NETWORK) -> None:
        self._store = store
        self._network = ipaddress.ip_network(service_network)

    def give(self, review: Review) -> None:
        """Gives a service what it is missing, and checks what it asks for.

        Raises:
            StatusError: 422, an address is taken, or none of ours.
        """
        if review.new is not None and not review.subresource:
            self._give_addresses(review.resource, review.new, review.old)

    def _give_addresses(self, resource: Resource, new: Document, old: Document | None) -> None:
        spec = new["spec"]
        if spec.get("type") == "ExternalName":
            return
        given = spec.get("clusterIP")
        if not given:
            if spec.get("clusterIPs"):
                return  # which is refused: the one address is the first of them
            spec["clusterIP"] = self._free_address()
        elif given != "None" and (old is None or old["spec"].get("clusterIP") != given):
            self._check_address(resource, new, given)
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        self._give_node_ports(spec)

    def _taken(self) -> set[str]:
        services = [stored.document()["spec"] for stored in self._store.scan("services")]
        return {spec.get("clusterIP", "") for spec in services}

    def _free_address(self) -> str:
        taken, size = self._taken(), self._network.num_addresses
        start = random.randrange(256, size - 1)  # noqa: S311 - the first addresses are for those who ask for one
        for offset in range(size):
            address = str(self._network[(start + offset) % (size - 2) + 1])
            if address not in taken:
                return address
        raise StatusError(500, "InternalError", f"no address is free in the service network {self._network}")

    def _check_address(self, resource: Resource, new: Document, address: str) -> None:
        try:
            known = ipaddress.ip_address(address) in self._network
        except ValueError:
            return  # which is refused for what it is
        why = ""
        if not known:
            why = f"failed to allocate IP {address}: it is not in the service network {self._network}"
        elif address in self._taken():
            why = f"failed to allocate IP {address}: provided IP is already allocated"
        if why:
            cause = invalid_value("spec.clusterIPs", [address], why)
            raise invalid(resource.qualified_kind, new["metadata"].get("name", ""), [cause])

    def _give_node_ports(self, spec: Document) -> None:
        if spec.get("type") not in {"NodePort", "LoadBalancer"}:
            return
        missing = [port for port in spec.get("ports", ()) if not port.get("nodePort")]
        if not missing:
            return
        taken = {
            port.get("nodePort")
            for stored in self._store.scan("services")
            for port in stored.document()["spec"].get("ports", ())
        }
        taken |= {port.get("nodePort") for port in spec["ports"]}
        free = [number for number in NODE_PORTS if number not in taken]
        for port, number in zip(missing, random.sample(free, len(missing)), strict=True):
            port["nodePort"] = number
