"""Columns of Services and what stands behind and before them."""

from __future__ import annotations

from collections.abc import Iterable

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, Column, computed, few, joined, pairs, value


def _ports(service: Document) -> str:
    return joined(
        f"{port['port']}:{port['nodePort']}/{port['protocol']}"
        if port.get("nodePort")
        else f"{port['port']}/{port['protocol']}"
        for port in service["spec"].get("ports") or []
    )


def _cluster_address(service: Document) -> str:
    spec = service["spec"]
    return next(iter(spec.get("clusterIPs") or ()), spec.get("clusterIP") or NONE)


def _load_balancer(document: Document) -> list[str]:
    points = ((document.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return sorted({one.get("ip") or one.get("hostname") or "" for one in points} - {""})


def _external(service: Document) -> str:
    spec = service["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName"))
    balances = spec.get("type") == "LoadBalancer"
    given = [*(_load_balancer(service) if balances else []), *(spec.get("externalIPs") or [])]
    return ",".join(given) or ("<pending>" if balances else NONE)


def _endpoints(endpoints: Document) -> str:
    found = [
        _host_port(address["ip"], port["port"]) if port else str(address["ip"])
        for subset in endpoints.get("subsets") or []
        for port in subset.get("ports") or [None]
        for address in subset.get("addresses") or []
    ]
    return few(found, 3) or NONE


def _host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _slice_ports(slice_: Document) -> str:
    ports = slice_.get("ports") or []
    return few([str(port.get("port") or port.get("name") or "*") for port in ports], 3) or "<unset>"


def _slice_addresses(slice_: Document) -> str:
    endpoints = slice_.get("endpoints") or []
    return few([address for one in endpoints for address in one["addresses"]], 3) or "<unset>"


def _hosts(ingress: Document) -> str:
    rules = ingress["spec"].get("rules") or []
    hosts = [rule["host"] for rule in rules[:3] if rule.get("host")]
    more = f" + {len(rules) - 3} more..." if len(rules) > 3 else ""
    return ",".join(hosts) + more if hosts else "*"


def _parameters(class_: Document) -> str:
    parameters = class_["spec"].get("parameters")
    if not parameters:
        return NONE
    return f"{_qualified(parameters['kind'], parameters.get('apiGroup'))}/{parameters['name']}"


def _parent(address: Document) -> str:
    parent = address["spec"].get("parentRef")
    if not parent:
        return NONE
    resource = _qualified(parent.get("resource", ""), parent.get("group")).lower()
    return "/".join(part for part in (resource, parent.get("namespace"), parent.get("name")) if part)


def _qualified(name: str, group: str | None) -> str:
    return f"{name}.{group}" if group else name


def _commas(path: str, name: str) -> Column:
    def cell(document: Document) -> str:
        items: Iterable[str] = document["spec"].get(path) or ()
        return ",".join(items)

    return computed(name, cell)


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Service"): (
        NAME,
        value("Type", "spec.type"),
        computed("Cluster-IP", _cluster_address),
        computed("External-IP", _external),
        computed("Port(s)", _ports),
        AGE,
        pairs("Selector", "spec.selector"),
    ),
    ("", "Endpoints"): (NAME, computed("Endpoints", _endpoints), AGE),
    ("discovery.k8s.io", "EndpointSlice"): (
        NAME,
        value("AddressType", "addressType"),
        computed("Ports", _slice_ports),
        computed("Endpoints", _slice_addresses),
        AGE,
    ),
    ("networking.k8s.io", "Ingress"): (
        NAME,
        value("Class", "spec.ingressClassName", NONE),
        computed("Hosts", _hosts),
        computed("Address", lambda one: ",".join(_load_balancer(one))),
        computed("Ports", lambda one: "80, 443" if one["spec"].get("tls") else "80"),
        AGE,
    ),
    ("networking.k8s.io", "IngressClass"): (
        NAME,
        value("Controller", "spec.controller"),
        computed("Parameters", _parameters),
        AGE,
    ),
    ("networking.k8s.io", "NetworkPolicy"): (
        NAME,
        computed("Pod-Selector", lambda one: to_text(one["spec"].get("podSelector")) or NONE),
        AGE,
    ),
    ("networking.k8s.io", "ServiceCIDR"): (NAME, _commas("cidrs", "CIDRs"), AGE),
    ("networking.k8s.io", "IPAddress"): (NAME, computed("ParentRef", _parent)),
}
