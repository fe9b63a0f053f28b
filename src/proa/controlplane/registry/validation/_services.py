"""Services and the addresses behind them. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
)
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain, qualified_name

from ._parts import (
    PROTOCOLS,
    address_of,
    each,
    ip_address,
    ip_network,
    labels,
    names,
    number_or_name,
    ordinary_address,
    port_number,
    unique_items,
)

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOL = one_of(*PROTOCOLS)
_FAMILIES = ("IPv4", "IPv6")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_BALANCED = "may only be used when `type` is 'LoadBalancer'"


def is_headless(spec: Document) -> bool:
    """Whether a service has no address of its own."""
    return bool(spec.get("clusterIPs", [spec.get("clusterIP")]) == ["None"])


def _service(spec: Any, path: str) -> list[Cause]:
    kind, headless = spec.get("type", ""), is_headless(spec)
    found = []
    if not spec.get("ports") and not headless and kind != "ExternalName":
        found.append(required(f"{path}.ports"))
    if headless and kind in {"LoadBalancer", "NodePort"}:
        why = f"may not be set to 'None' for {kind} services"
        found.append(invalid_value(f"{path}.clusterIPs[0]", "None", why))
    if kind == "ExternalName":
        found += _external_name(spec, path)
    else:
        found += _addresses(spec, path)
    found += _ports(spec, path, kind) + labels(spec.get("selector"), f"{path}.selector")
    if kind not in _TYPES:
        found.append(not_supported(f"{path}.type", kind, _TYPES))
    for index, address in enumerate(spec.get("externalIPs", ())):
        at = f"{path}.externalIPs[{index}]"
        found += ip_address(address, at) or ordinary_address(address, at)
    return found + _affinity(spec, path) + _balancing(spec, path, kind) + _traffic(spec, path, kind)


def _external_name(spec: Document, path: str) -> list[Cause]:
    why = "may not be set for ExternalName services"
    fields = ("clusterIPs", "ipFamilies", "ipFamilyPolicy")
    found = [forbidden(f"{path}.{field}", why) for field in fields if spec.get(field)]
    name = spec.get("externalName", "").removesuffix(".")
    at = f"{path}.externalName"
    return found + (names(dns_subdomain, name, at) if name else [required(at)])


def _affinity(spec: Document, path: str) -> list[Cause]:
    affinity, config = spec.get("sessionAffinity"), spec.get("sessionAffinityConfig")
    at = f"{path}.sessionAffinityConfig"
    if affinity == "None" and config is not None:
        return [forbidden(at, "must not be set when session affinity is None")]
    if affinity != "ClientIP":
        return one_of("ClientIP", "None")(affinity, f"{path}.sessionAffinity")
    timeout = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
    if timeout is None or 1 <= timeout <= 86400:
        return []
    why = "must be greater than 0 and less than 86400"
    return [invalid_value(f"{at}.clientIP.timeoutSeconds", timeout, why)]


def _addresses(spec: Document, path: str) -> list[Cause]:
    one, several, at = spec.get("clusterIP", ""), spec.get("clusterIPs", []), f"{path}.clusterIPs"
    found = []
    if one and not several:
        found.append(required(at))
    elif one and several[0] != one:
        found.append(invalid_value(at, several, "first value must match `clusterIP`"))
    elif not one and several:
        found.append(invalid_value(at, several, "must be empty when `clusterIP` is not specified"))
    for index, family in enumerate(spec.get("ipFamilies", ())):
        found += one_of(*_FAMILIES)(family, f"{path}.ipFamilies[{index}]")
    found += unique_items(spec.get("ipFamilies"), f"{path}.ipFamilies")
    wrong = _wrong_addresses(several, at)
    found += wrong
    if len(several) > 2:
        found.append(invalid_value(at, several, "may only hold up to 2 values"))
    return found if wrong else found + _families(spec, several, at)


def _wrong_addresses(several: list[str], path: str) -> list[Cause]:
    found = []
    for index, address in enumerate(several):
        if index == 0 and address == "None":
            if len(several) > 1:
                found.append(invalid_value(path, several, "'None' must be the first and only value"))
            continue
        found += ip_address(address, f"{path}[{index}]")
    return found


def _families(spec: Document, several: list[str], path: str) -> list[Cause]:
    parsed = [address_of(address) for address in several]
    found = []
    if len(several) > 1 and len({one.version for one in parsed if one}) < 2:
        found.append(invalid_value(path, several, "may specify no more than one IP for each IP family"))
    for index, (address, family) in enumerate(zip(parsed, spec.get("ipFamilies", ()), strict=False)):
        if address is not None and family in _FAMILIES and family != f"IPv{address.version}":
            why = f"expected an {family} value as indicated by `ipFamilies[{index}]`"
            found.append(invalid_value(f"{path}[{index}]", several[index], why))
    return found


def _ports(spec: Document, path: str, kind: str) -> list[Cause]:
    ports = spec.get("ports", [])
    found: list[Cause] = []
    seen: set[str] = set()
    numbers: set[tuple[Any, Any]] = set()
    on_nodes: set[tuple[Any, Any]] = set()
    for port, at in each(spec, "ports", path):
        name, protocol = port.get("name"), port.get("protocol")
        if name:
            found += names(dns_label, name, f"{at}.name")
            found += [duplicate(f"{at}.name", name)] if name in seen else []
            seen.add(name)
        elif len(ports) > 1:
            found.append(required(f"{at}.name"))
        found += port_number(port.get("port"), f"{at}.port") + _PROTOCOL(protocol, f"{at}.protocol")
        found += number_or_name(port.get("targetPort"), f"{at}.targetPort")
        if "appProtocol" in port:
            found += names(qualified_name, port["appProtocol"], f"{at}.appProtocol")
        node = port.get("nodePort")
        if node:
            if kind == "ClusterIP":
                why = "may not be used when `type` is 'ClusterIP'"
                found.append(forbidden(f"{at}.nodePort", why))
            found += [duplicate(f"{at}.nodePort", node)] if (protocol, node) in on_nodes else []
            on_nodes.add((protocol, node))
        if (protocol, port.get("port")) in numbers:
            found.append(duplicate(at, {"protocol": protocol, "port": port.get("port")}))
        numbers.add((protocol, port.get("port")))
    return found


def _balancing(spec: Document, path: str, kind: str) -> list[Cause]:
    found, balanced = [], kind == "LoadBalancer"
    ranges, at = spec.get("loadBalancerSourceRanges", ()), f"{path}.LoadBalancerSourceRanges"
    if ranges and not balanced:
        found.append(forbidden(at, _BALANCED))
    for index, one in enumerate(ranges):
        found += ip_network(one.strip(), f"{at}[{index}]")
    if "allocateLoadBalancerNodePorts" in spec and not balanced:
        found.append(forbidden(f"{path}.allocateLoadBalancerNodePorts", _BALANCED))
    if "loadBalancerClass" in spec:
        at, name = f"{path}.loadBalancerClass", spec["loadBalancerClass"]
        found += names(qualified_name, name, at) if balanced else [forbidden(at, _BALANCED)]
    return found


def _traffic(spec: Document, path: str, kind: str) -> list[Cause]:
    policy, at = spec.get("externalTrafficPolicy", ""), f"{path}.externalTrafficPolicy"
    external = kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and spec.get("externalIPs"))
    found = []
    if external:
        found += one_of("Cluster", "Local")(policy, at) if policy else [required(at)]
    elif policy:
        why = "may only be set for externally-accessible services"
        found.append(invalid_value(at, policy, why))
    checked = kind == "LoadBalancer" and policy == "Local"
    port, at = spec.get("healthCheckNodePort"), f"{path}.healthCheckNodePort"
    if port and not checked:
        why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
        found.append(invalid_value(at, port, why))
    elif port:
        found += port_number(port, at)
    distribution = spec.get("trafficDistribution")
    found += one_of(*_DISTRIBUTIONS)(distribution, f"{path}.trafficDistribution")
    inner = spec.get("internalTrafficPolicy")
    return found + one_of("Cluster", "Local")(inner, f"{path}.internalTrafficPolicy")


def service_update(new: Document, old: Document) -> list[Cause]:
    """What of a service's addresses and class stays, once it is set."""
    after, before = new["spec"], old["spec"]
    found = []
    if after.get("type") == before.get("type") == "LoadBalancer":
        if after.get("loadBalancerClass") != before.get("loadBalancerClass"):
            value = after.get("loadBalancerClass")
            found.append(invalid_value("spec.loadBalancerClass", value, "may not change once set"))
        local = all(spec.get("externalTrafficPolicy") == "Local" for spec in (after, before))
        if local and after.get("healthCheckNodePort") != before.get("healthCheckNodePort"):
            found.append(forbidden("spec.healthCheckNodePort", "field is immutable"))
    if "ExternalName" in {after.get("type"), before.get("type")}:
        return found
    return found + _address_changes(after, before)


def _address_changes(after: Document, before: Document) -> list[Cause]:
    new, old = after.get("clusterIPs", []), before.get("clusterIPs", [])
    if is_headless(after) and is_headless(before):
        return []
    found = []
    if len(new) == len(old):
        found += [
            invalid_value(f"spec.clusterIPs[{index}]", new, "may not change once set")
            for index, address in enumerate(old)
            if address != new[index]
        ]
    elif not new:
        found.append(invalid_value("spec.clusterIPs[0]", new, "primary clusterIP can not be unset"))
    elif old and new[0] != old[0]:
        found.append(invalid_value("spec.clusterIPs[0]", new, "may not change once set"))
    if is_headless(after) != is_headless(before) or is_headless(after):
        return found
    families, were = after.get("ipFamilies", []), before.get("ipFamilies", [])
    if len(families) == len(were):
        changed = sum(one != two for one, two in zip(families, were, strict=True))
    else:
        changed = bool(families and were and families[0] != were[0])
    return found + [invalid_value("spec.ipFamilies[0]", families, "may not change once set")] * changed


def service_status(new: Document, old: Document) -> list[Cause]:
    """Addresses that a load balancer has given."""
    del old
    found: list[Cause] = []
    ingress = (new.get("status", {}).get("loadBalancer") or {}).get("ingress", ())
    if ingress and new["spec"].get("type") != "LoadBalancer":
        why = "may only be used when `spec.type` is 'LoadBalancer'"
        return [forbidden("status.loadBalancer.ingress", why)]
    for index, one in enumerate(ingress):
        at = f"status.loadBalancer.ingress[{index}]"
        found += ip_address(one["ip"], f"{at}.ip") if one.get("ip") else []
        if one.get("ipMode") and not one.get("ip"):
            found.append(forbidden(f"{at}.ipMode", "may not be specified when `ip` is not set"))
        found += balanced_host(one, at)
    return found


def balanced_host(ingress: Document, path: str) -> list[Cause]:
    """The name of a load balancer."""
    host, at = ingress.get("hostname", ""), f"{path}.hostname"
    if not host:
        return []
    found = names(dns_subdomain, host, at)
    if address_of(host):
        found.append(invalid_value(at, host, "must be a DNS name, not an IP address"))
    return found


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.ServiceSpec": {
        "": (_service,),
        "ipFamilyPolicy": (one_of("PreferDualStack", "RequireDualStack", "SingleStack"),),
    },
}
