"""The last look at an object before it is checked and written: what depends on other objects.

Namespaces must be there and not be going; services get their addresses; pods get their priority.
"""

from __future__ import annotations

import ipaddress
import random

from ._errors import Qualified, StatusError, details, invalid, invalid_value, not_found
from ._json import Document
from .registry import Resource
from .storage import Key, Store

SERVICE_NETWORK = "127.67.0.0/16"
NODE_PORTS = range(30000, 32768)
PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}


class Admission:
    """Looks at every object about to be written, and at what it replaces; may change it or refuse it."""

    def __init__(self, store: Store, service_network: str = SERVICE_NETWORK) -> None:
        self._store = store
        self._network = ipaddress.ip_network(service_network)

    def __call__(self, resource: Resource, new: Document, old: Document | None) -> None:
        """Admits an object.

        Raises:
            StatusError: 403, 404 or 422, it is refused.
        """
        if resource.namespaced and old is None:
            self._check_namespace(resource, new)
        if resource.storage == "services":
            self._give_addresses(resource, new, old)
        elif resource.storage == "pods" and old is None:
            self._give_priority(new)

    def _check_namespace(self, resource: Resource, new: Document) -> None:
        name = new["metadata"]["namespace"]
        stored = self._store.latest(Key("namespaces", "", name))
        if stored is None:
            raise not_found(Qualified("", "namespaces"), name)
        document = stored.document()
        if document.get("status", {}).get("phase") == "Terminating":
            raise _terminating(resource, new["metadata"].get("name", ""), name)

    def _give_addresses(self, resource: Resource, new: Document, old: Document | None) -> None:
        spec = new["spec"]
        if spec.get("type") == "ExternalName":
            for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
                spec.pop(field, None)
            return
        given = spec.get("clusterIP")
        if not given:
            spec["clusterIP"] = self._free_address()
        elif given != "None" and (old is None or old["spec"].get("clusterIP") != given):
            self._check_address(resource, new, given)
        spec["clusterIPs"] = [spec["clusterIP"]]
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
            known = False
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
            for port in spec.get("ports", ()):
                port.pop("nodePort", None)
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

    def _give_priority(self, pod: Document) -> None:
        name = pod["spec"].get("priorityClassName")
        if not name:
            return
        stored = self._store.latest(Key("priorityclasses.scheduling.k8s.io", "", name))
        if stored is None and name not in PRIORITIES:
            pod_name = pod["metadata"].get("name", "")
            message = f'pods "{pod_name}" is forbidden: no PriorityClass with name {name} was found'
            raise StatusError(403, "Forbidden", message, {"kind": "pods"})
        given = stored.document() if stored else {"value": PRIORITIES[name]}
        pod["spec"]["priority"] = given["value"]
        pod["spec"]["preemptionPolicy"] = given.get("preemptionPolicy", "PreemptLowerPriority")


def _terminating(resource: Resource, name: str, namespace: str) -> StatusError:
    what = resource.qualified
    message = (
        f'{what} "{name}" is forbidden: unable to create new content in namespace {namespace} '
        "because it is being terminated"
    )
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {namespace} is being terminated",
        "field": "metadata.namespace",
    }
    return StatusError(403, "Forbidden", message, details(what, name, causes=[cause]))
