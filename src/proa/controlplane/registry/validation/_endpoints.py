"""Endpoints and their slices. Pure.

Unlike in Kubernetes they may have loopback addresses: that is where Proa's pods and servers listen.
"""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, duplicate, invalid_value, required, too_many
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import NameRule, dns_label, dns_subdomain, label_value, qualified_name

from ._parts import PROTOCOLS, address_of, each, ip_address, labels, names, ordinary_address, port_number

_PROTOCOL = one_of(*PROTOCOLS)
_FAMILIES = ("IPv4", "IPv6")


def _subset(subset: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    if not subset.get("addresses") and not subset.get("notReadyAddresses"):
        found.append(required(path, "must specify `addresses` or `notReadyAddresses`"))
    several = len(subset.get("ports", ())) > 1
    for port, at in each(subset, "ports", path):
        name = port.get("name")
        if name:
            found += names(dns_label, name, f"{at}.name")
        elif several:
            found.append(required(f"{at}.name"))
        found += port_number(port.get("port"), f"{at}.port")
        found += _PROTOCOL(port.get("protocol"), f"{at}.protocol")
        if "appProtocol" in port:
            found += names(qualified_name, port["appProtocol"], f"{at}.appProtocol")
    return found


def _endpoint_address(address: Any, path: str) -> list[Cause]:
    value, at = address.get("ip", ""), f"{path}.ip"
    found = ip_address(value, at) + ordinary_address(value, at, loopback=True)
    if address.get("hostname"):
        found += names(dns_label, address["hostname"], f"{path}.hostname")
    if "nodeName" in address:
        found += names(dns_subdomain, address["nodeName"], f"{path}.nodeName")
    return found


def _slice(value: Any, path: str) -> list[Cause]:
    del path
    kind, endpoints, ports = (
        value.get("addressType", ""),
        value.get("endpoints") or (),
        value.get("ports") or (),
    )
    known = ("FQDN", "IPv4", "IPv6")
    found = one_of(*known)(kind, "addressType") if kind else [required("addressType")]
    if len(endpoints) > 1000:
        found.append(too_many("endpoints", len(endpoints), 1000))
    for index, endpoint in enumerate(endpoints if len(endpoints) <= 1000 else ()):
        found += _endpoint(endpoint, f"endpoints[{index}]", kind)
    seen: set[str] = set()
    for index, port in enumerate(ports):
        name, at = port.get("name", ""), f"ports[{index}]"
        found += names(dns_label, name, f"{at}.name") if name else []
        found += [duplicate(f"{at}.name", name)] if name in seen else []
        seen.add(name)
        found += _PROTOCOL(port.get("protocol"), f"{at}.protocol")
        if "appProtocol" in port:
            found += names(qualified_name, port["appProtocol"], f"{at}.appProtocol")
    return found


def _endpoint(endpoint: Document, path: str, kind: str) -> list[Cause]:
    addresses, at = endpoint.get("addresses", []), f"{path}.addresses"
    found = [] if addresses else [required(at, "must contain at least 1 address")]
    if len(addresses) > 100:
        found.append(too_many(at, len(addresses), 100))
    for index, address in enumerate(addresses):
        found += _slice_address(address, f"{at}[{index}]", kind)
    if "nodeName" in endpoint:
        found += names(dns_subdomain, endpoint["nodeName"], f"{path}.nodeName")
    if "hostname" in endpoint:
        found += names(dns_label, endpoint["hostname"], f"{path}.hostname")
    found += labels(endpoint.get("deprecatedTopology"), f"{path}.deprecatedTopology")
    hints = endpoint.get("hints") or {}
    found += _hints(hints.get("forZones", []), f"{path}.hints.forZones", label_value)
    return found + _hints(hints.get("forNodes", []), f"{path}.hints.forNodes", dns_subdomain)


def _hints(hints: list[Document], path: str, rule: NameRule) -> list[Cause]:
    if len(hints) > 8:
        return [too_many(path, len(hints), 8)]
    found: list[Cause] = []
    for index, hint in enumerate(hints):
        where, name = f"{path}[{index}].name", hint.get("name", "")
        found += [duplicate(where, name)] if hint in hints[:index] else []
        found += names(rule, name, where)
    return found


def _slice_address(address: str, path: str, kind: str) -> list[Cause]:
    if kind == "FQDN":
        found = names(dns_subdomain, address.removesuffix("."), path) if address else [required(path)]
        if not found and "." not in address.removesuffix("."):
            found.append(invalid_value(path, address, "should be a domain with at least two segments"))
        return found
    if kind not in _FAMILIES:
        return []
    parsed = address_of(address)
    fits = parsed is not None and kind == f"IPv{parsed.version}"
    found = [] if fits else [invalid_value(path, address, f"must be a valid {kind} address")]
    return found + ordinary_address(address, path, loopback=True)


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.EndpointSubset": {"": (_subset,)},
    "core.v1.EndpointAddress": {"": (_endpoint_address,)},
    "discovery.v1.EndpointSlice": {"": (_slice,)},
}
