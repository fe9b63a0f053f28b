"""Ingresses, their classes, network policies, IP addresses and service networks. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, not_supported, required, too_long
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check, named, one_of
from proa.controlplane.registry._names import (
    dns_1035_label,
    dns_label,
    dns_subdomain,
    path_segment,
    port_name,
    wildcard_subdomain,
)

from ._parts import (
    address_of,
    domain_path,
    each,
    ip_address,
    ip_network,
    names,
    needed_name,
    network_of,
    port_number,
)
from ._services import balanced_host

_PATH_TYPES = ("Exact", "ImplementationSpecific", "Prefix")
_NOT_IN_PATHS = ("//", "/./", "/../", "%2f", "%2F")
_CLASS = "kubernetes.io/ingress.class"


def _ingress(spec: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    if not spec.get("rules") and "defaultBackend" not in spec:
        why = "either `defaultBackend` or `rules` must be specified"
        found.append(invalid_value(path, [], why))
    for rule, at in each(spec, "rules", path):
        host = rule.get("host", "")
        if host:
            found += _host(host, f"{at}.host")
    for secret, at in each(spec, "tls", path):
        for index, host in enumerate(secret.get("hosts", ())):
            rule = wildcard_subdomain if "*" in host else dns_subdomain
            found += names(rule, host, f"{at}.hosts[{index}]")
        if secret.get("secretName"):
            found += names(dns_subdomain, secret["secretName"], f"{at}.secretName")
    return found


def _host(host: str, path: str) -> list[Cause]:
    found = []
    if address_of(host):
        found.append(invalid_value(path, host, "must be a DNS name, not an IP address"))
    return found + names(wildcard_subdomain if "*" in host else dns_subdomain, host, path)


def new_ingress(ingress: Document) -> list[Cause]:
    """A class in an annotation is the one in the spec."""
    said, wanted = (
        ingress["metadata"].get("annotations", {}).get(_CLASS),
        ingress["spec"].get("ingressClassName"),
    )
    if said is None or wanted is None or said == wanted:
        return []
    why = "must match `ingressClassName` when both are specified"
    return [invalid_value(f"annotations.{_CLASS}", said, why)]


def _path(rule: Any, path: str) -> list[Cause]:
    kind, value, at = rule.get("pathType"), rule.get("path", ""), f"{path}.path"
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    found = []
    if kind in {"Exact", "Prefix"}:
        if not value.startswith("/"):
            found.append(invalid_value(at, value, "must be an absolute path"))
        found += [
            invalid_value(at, value, f"must not contain '{bad}'") for bad in _NOT_IN_PATHS if bad in value
        ]
        found += [
            invalid_value(at, value, f"cannot end with '{bad}'")
            for bad in ("/..", "/.")
            if value.endswith(bad)
        ]
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            found.append(invalid_value(at, value, "must be an absolute path"))
    else:
        found.append(not_supported(f"{path}.pathType", kind, _PATH_TYPES))
    return found + _backend(rule.get("backend") or {}, f"{path}.backend")


def _backend(backend: Any, path: str) -> list[Cause]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [invalid_value(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return _reference(resource, f"{path}.resource")
    if service is None:
        return [invalid_value(path, "", "resource or service backend is required")]
    name, port = service.get("name", ""), service.get("port") or {}
    at = f"{path}.service"
    found = names(dns_1035_label, name, f"{at}.name") if name else [required(f"{at}.name")]
    if port.get("name") and port.get("number"):
        found.append(invalid_value(path, "", "cannot set both port name & port number"))
    elif port.get("name"):
        found += names(port_name, port["name"], f"{at}.port.name")
    elif port.get("number"):
        found += port_number(port["number"], f"{at}.port.number")
    else:
        found.append(required(path, "port name or number is required"))
    return found


def _reference(reference: Document, path: str) -> list[Cause]:
    found = (
        names(dns_subdomain, reference["apiGroup"], f"{path}.apiGroup") if reference.get("apiGroup") else []
    )
    for field in ("kind", "name"):
        found += needed_name(path_segment)(reference.get(field), f"{path}.{field}")
    return found


def _rule(rule: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    for one, at in each(rule, "paths", path):
        found += _path(one, at)
    return found if rule.get("paths") else [required(f"{path}.paths")]


def ingress_status(new: Document, old: Document) -> list[Cause]:
    """Addresses that a load balancer has given."""
    del old
    found: list[Cause] = []
    for one, at in each(
        (new.get("status") or {}).get("loadBalancer") or {}, "ingress", "status.loadBalancer"
    ):
        found += ip_address(one["ip"], f"{at}.ip") if one.get("ip") else []
        found += balanced_host(one, at)
    return found


def _parameters(value: Any, path: str) -> list[Cause]:
    if value is None:
        return []
    found = _reference(value, path)
    scope, namespace = value.get("scope"), value.get("namespace")
    if scope is None:
        return [*found, required(f"{path}.scope")]
    found += one_of("Cluster", "Namespace")(scope, f"{path}.scope")
    at, why = f"{path}.namespace", f"`parameters.scope` is set to '{scope}'"
    if scope == "Namespace":
        found += [required(at, why)] if namespace is None else names(dns_label, namespace, at)
    elif scope == "Cluster" and namespace is not None:
        found.append(forbidden(at, why))
    return found


def _controller(value: Any, path: str) -> list[Cause]:
    name = value or ""
    return ([too_long(path, 250)] if len(name) > 250 else []) + domain_path(name, path)


def _policy(spec: Any, path: str) -> list[Cause]:
    kinds = spec.get("policyTypes", [])
    if len(kinds) > 2:
        return [invalid_value(f"{path}.policyTypes", kinds, "may not specify more than two policyTypes")]
    return [
        not_supported(f"{path}.policyTypes[{index}]", kind, ("Ingress", "Egress"))
        for index, kind in enumerate(kinds)
        if kind not in {"Ingress", "Egress"}
    ]


def _policy_port(value: Any, path: str) -> list[Cause]:
    port, last, at = value.get("port"), value.get("endPort"), f"{path}.endPort"
    found = one_of("TCP", "UDP", "SCTP", sort=False)(value.get("protocol"), f"{path}.protocol")
    if port is None:
        why = "may not be specified when `port` is not specified"
        return found + ([invalid_value(at, last, why)] if last is not None else [])
    if type(port) is str:
        why = "may not be specified when `port` is non-numeric"
        found += [invalid_value(at, last, why)] if last is not None else []
        return found + names(port_name, port, f"{path}.port")
    found += port_number(port, f"{path}.port")
    if last is not None:
        if last < port:
            found.append(invalid_value(at, last, "must be greater than or equal to `port`"))
        found += port_number(last, at)
    return found


def _peer(peer: Any, path: str) -> list[Cause]:
    there = {"podSelector", "namespaceSelector", "ipBlock"} & peer.keys()
    if not there:
        return [required(path, "must specify a peer")]
    if len(there) > 1 and "ipBlock" in there:
        return [forbidden(path, "may not specify both ipBlock and another peer")]
    return []


def _block(block: Any, path: str) -> list[Cause]:
    text = block.get("cidr", "")
    if not text:
        return [required(f"{path}.cidr")]
    found, whole = ip_network(text, f"{path}.cidr"), network_of(text)
    for index, one in enumerate(block.get("except", ()) if whole else ()):
        at, part = f"{path}.except[{index}]", network_of(one)
        found += ip_network(one, at)
        if part is not None and (part == whole or part.version != whole.version or not part.subnet_of(whole)):  # type: ignore[union-attr,arg-type]
            found.append(invalid_value(at, one, "must be a strict subset of `cidr`"))
    return found


def _parent(spec: Any, path: str) -> list[Cause]:
    parent, at = spec.get("parentRef"), f"{path}.parentRef"
    if parent is None:
        return [required(at)]
    found = names(dns_subdomain, parent["group"], f"{at}.group") if parent.get("group") else []
    for field in ("resource", "name"):
        found += needed_name(path_segment)(parent.get(field), f"{at}.{field}")
    return found + (
        names(path_segment, parent["namespace"], f"{at}.namespace") if parent.get("namespace") else []
    )


def address_name(name: str) -> list[str]:
    """IP addresses are named by themselves, in the one way that each is written."""
    address = address_of(name)
    if address is None:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return [] if str(address) == name else [f"must be in canonical form ({address})"]


def _service_network(spec: Any, path: str) -> list[Cause]:
    networks, at = spec.get("cidrs", []), f"{path}.cidrs"
    if not networks:
        return [required(at, "at least one CIDR required")]
    if len(networks) > 2:
        return [invalid_value(at, networks, "may only hold up to 2 values")]
    found = [cause for index, one in enumerate(networks) for cause in ip_network(one, f"{at}[{index}]")]
    families = [parsed.version for parsed in map(network_of, networks) if parsed]
    if len(families) == 2 and families[0] == families[1]:
        why = "may specify no more than one IP for each IP family"
        found.append(invalid_value(at, networks, why))
    return found


def service_network_update(new: Document, old: Document) -> list[Cause]:
    """A service network stays; one of the other family may be added."""
    after, before = new["spec"].get("cidrs", []), old["spec"].get("cidrs", [])
    why = "field is immutable"
    if len(after) == len(before) or (len(before), len(after)) == (1, 2):
        return [
            invalid_value(f"spec.cidrs[{index}]", after[index], why)
            for index, one in enumerate(before)
            if one != after[index]
        ]
    return [invalid_value("spec.cidrs", after, why)]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "networking.v1.IngressSpec": {
        "": (_ingress,),
        "ingressClassName": (named(dns_subdomain),),
        "defaultBackend": (lambda value, path: _backend(value, path) if value is not None else [],),
    },
    "networking.v1.HTTPIngressRuleValue": {"": (_rule,)},
    "networking.v1.IngressClassSpec": {"controller": (_controller,), "parameters": (_parameters,)},
    "networking.v1.NetworkPolicySpec": {"": (_policy,)},
    "networking.v1.NetworkPolicyPort": {"": (_policy_port,)},
    "networking.v1.NetworkPolicyPeer": {"": (_peer,)},
    "networking.v1.IPBlock": {"": (_block,)},
    "networking.v1.IPAddressSpec": {"": (_parent,)},
    "networking.v1.ServiceCIDRSpec": {"": (_service_network,)},
}
