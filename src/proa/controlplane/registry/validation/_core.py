"""Namespaces, nodes, config maps, secrets and events. Pure."""

from __future__ import annotations

import base64
from typing import Any

from proa.controlplane._errors import (
    Cause,
    duplicate,
    forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from proa.controlplane._json import Document, UnreadableError, decode
from proa.controlplane.registry._checks import Check
from proa.controlplane.registry._metadata import STANDARD_FINALIZERS
from proa.controlplane.registry._names import config_key, dns_subdomain, label_value, qualified_name

from ._parts import ip_network, names, network_of
from ._placement import TAINT_EFFECTS
from ._resources import resource_amount

MAX_DATA = 1024 * 1024
_REDACTED = "<secret contents redacted>"
_WHOLE_IMMUTABLE = "field is immutable when `immutable` is set"


def _namespace_spec(spec: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    for finalizer in spec.get("finalizers", ()):
        found += names(qualified_name, finalizer, f"{path}.finalizers")
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS:
            why = "name is neither a standard finalizer name nor is it fully qualified"
            found.append(invalid_value(f"{path}.finalizers", finalizer, why))
    return found


def namespace_status(new: Document, old: Document) -> list[Cause]:
    """A namespace is active until it is being deleted."""
    del old
    wanted = "Terminating" if "deletionTimestamp" in new["metadata"] else "Active"
    phase = (new.get("status") or {}).get("phase", "")
    why = f"may only be '{wanted}' while `deletionTimestamp` is {'set' if wanted[0] == 'T' else 'empty'}"
    return [] if phase == wanted else [invalid_value("status.Phase", phase, why)]


def _node(node: Any, path: str) -> list[Cause]:
    del path
    spec = node.get("spec") or {}
    found = _taints(spec.get("taints", ()), "metadata.taints") + node_amounts(node)
    networks = spec.get("podCIDRs", [])
    for index, network in enumerate(networks):
        found += ip_network(network, f"spec.podCIDRs[{index}]")
    if len(networks) > 1:
        families = {parsed.version for parsed in map(network_of, networks) if parsed}
        if len(families) < 2 or len(networks) > 2:
            why = "may specify no more than one CIDR for each IP family"
            found.append(invalid_value("spec.podCIDRs", networks, why))
        found += [
            duplicate(f"spec.podCIDRs[{index}]", one)
            for index, one in enumerate(networks)
            if one in networks[:index]
        ]
    return found


def node_amounts(node: Document) -> list[Cause]:
    """What a node has and gives out."""
    return [
        cause
        for kind in ("capacity", "allocatable")
        for name, amount in (node.get("status") or {}).get(kind, {}).items()
        for cause in resource_amount(name, amount, f"status.{kind}.{name}")
    ]


def _taints(taints: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[tuple[Any, Any]] = set()
    for index, taint in enumerate(taints):
        at, key, effect = f"{path}[{index}]", taint.get("key", ""), taint.get("effect", "")
        found += names(qualified_name, key, f"{at}.key")
        problems = label_value(taint.get("value", ""))
        found += [invalid_value(f"{at}.value", taint["value"], ";".join(problems))] if problems else []
        if not effect:
            found.append(required(f"{at}.effect"))
        elif effect not in TAINT_EFFECTS:
            found.append(not_supported(f"{at}.effect", effect, TAINT_EFFECTS))
        found += [duplicate(at, taint)] if (key, effect) in seen else []
        seen.add((key, effect))
    return found


def node_update(new: Document, old: Document) -> list[Cause]:
    """A node's networks and provider stay, once they are set."""
    after, before = new.get("spec") or {}, old.get("spec") or {}
    found, addresses = [], (new.get("status") or {}).get("addresses", [])
    for index, address in enumerate(addresses):
        if address in addresses[:index]:
            found.append(duplicate(f"status.addresses[{index}]", address))
    networks, were = after.get("podCIDRs", []), before.get("podCIDRs", [])
    why = 'node updates may not change podCIDR except from "" to valid'
    if were and len(were) != len(networks):
        found.append(forbidden("spec.podCIDRs", why))
    elif were:
        found += [
            forbidden("spec.podCIDRs", why) for one, two in zip(were, networks, strict=True) if one != two
        ]
    if before.get("providerID") and after.get("providerID") != before["providerID"]:
        why = 'node updates may not change providerID except from "" to valid'
        found.append(forbidden("spec.providerID", why))
    return found


def _config_map(config_map: Any, path: str) -> list[Cause]:
    del path
    data, binary = config_map.get("data", {}), config_map.get("binaryData", {})
    found = _keys(data, "data") + _keys(binary, "binaryData")
    why = "duplicate of key present in binaryData"
    found += [invalid_value(f"data[{key}]", key, why) for key in data if key in binary]
    size = sum(len(text.encode()) for text in data.values())
    size += sum(len(text) * 3 // 4 - text[-2:].count("=") for text in binary.values())
    return found + ([too_long("", MAX_DATA)] if size > MAX_DATA else [])


def _keys(data: Document, field: str) -> list[Cause]:
    return [invalid_value(f"{field}[{key}]", key, why) for key in data for why in config_key(key)]


_REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
}
_ACCOUNT = "kubernetes.io/service-account.name"


def _secret(secret: Any, path: str) -> list[Cause]:
    del path
    data, kind = secret.get("data", {}), secret.get("type", "Opaque")
    found = _keys(data, "data")
    size = sum(len(base64.b64decode(value)) for value in data.values())
    found += [too_long("data", MAX_DATA)] if size > MAX_DATA else []
    if kind == "kubernetes.io/service-account-token":
        if not secret["metadata"].get("annotations", {}).get(_ACCOUNT):
            found.append(required(f"metadata.annotations[{_ACCOUNT}]"))
    elif kind == "kubernetes.io/basic-auth":
        if not {"username", "password"} & data.keys():
            found += [required("data[username]"), required("data[password]")]
    elif kind == "kubernetes.io/ssh-auth":
        found += [] if data.get("ssh-privatekey") else [required("data[ssh-privatekey]")]
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            found.append(required(f"data[{key}]"))
        elif key.startswith(".docker") and not _is_object(data[key]):
            found.append(invalid_value(f"data[{key}]", _REDACTED, "must be a JSON object"))
    return found


def _is_object(text: str) -> bool:
    try:
        return type(decode(base64.b64decode(text))) is dict
    except (ValueError, UnreadableError):
        return False


def data_update(new: Document, old: Document) -> list[Cause]:
    """What is marked immutable keeps its data, and the mark."""
    if not old.get("immutable"):
        return []
    found = [] if new.get("immutable") else [forbidden("immutable", _WHOLE_IMMUTABLE)]
    return found + [
        forbidden(field, _WHOLE_IMMUTABLE)
        for field in ("data", "binaryData")
        if new.get(field) != old.get(field)
    ]


def secret_update(new: Document, old: Document) -> list[Cause]:
    """A secret's type stays; an immutable one's data, too."""
    found = data_update(new, old)
    if new["type"] != old["type"]:
        found.append(invalid_value("type", new["type"], "field is immutable"))
    return found


_LIMITS = {"reportingInstance": 128, "action": 128, "reason": 128, "message": 1024}


def _event(event: Any, path: str) -> list[Cause]:
    del path
    about, own = event.get("involvedObject", {}).get("namespace", ""), event["metadata"].get("namespace", "")
    wrong = [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]
    if not event.get("eventTime"):
        fits = about == own if about else own in {"", "default"}
        return [] if fits else wrong
    found = [] if about or own in {"default", "kube-system"} else wrong
    reporter = event.get("reportingComponent", "")
    if not reporter:
        found.append(required("reportingController"))
    found += names(qualified_name, reporter, "reportingController")
    for field, most in _LIMITS.items():
        value = event.get(field, "")
        if not value and field != "message":
            found.append(required(field))
        if len(value) > most:
            found.append(invalid_value(field, "", f"can have at most {most} characters"))
    return found + names(dns_subdomain, own, "namespace")


_UNSET = ("firstTimestamp", "lastTimestamp", "count", "source")
_LASTING = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason",
    "type", "eventTime", "action", "related", "reportingController", "reportingInstance",
)  # fmt: skip


def new_event(event: Document) -> list[Cause]:
    """An event of the newer group has its time and kind, and nothing of the older one's fields."""
    found = _series(event) + ([] if event.get("eventTime") else [required("eventTime")])
    if event.get("type") not in {"Normal", "Warning"}:
        found.append(invalid_value("type", "", f"has invalid value: {event.get('type', '')}"))
    return found + [invalid_value(name, "", "needs to be unset") for name in _UNSET if event.get(name)]


def _series(event: Document) -> list[Cause]:
    series = event.get("series")
    if series is None:
        return []
    found = [] if series.get("count", 0) >= 2 else [invalid_value("series.count", "", "should be at least 2")]
    return found + ([] if series.get("lastObservedTime") else [required("series.lastObservedTime")])


def event_update(new: Document, old: Document) -> list[Cause]:
    """An event of the newer group stays what it is; its series goes on."""
    found = _series(new) if new.get("series") != old.get("series") else []
    for name in _LASTING:
        kept = "reportingComponent" if name == "reportingController" else name
        if (new.get(kept) or None) != (old.get(kept) or None):
            found.append(invalid_value(name, new.get(kept), "field is immutable"))
    return found


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.NamespaceSpec": {"": (_namespace_spec,)},
    "core.v1.Node": {"": (_node,)},
    "core.v1.ConfigMap": {"": (_config_map,)},
    "core.v1.Secret": {"": (_secret,)},
    "core.v1.Event": {"": (_event,)},
}
