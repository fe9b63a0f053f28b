"""What is special about namespaces, nodes, services, config maps, secrets and volumes. Pure."""

from __future__ import annotations

import base64
import binascii
import re

from proa.controlplane._errors import Cause, forbidden, invalid_value, not_supported, required
from proa.controlplane._json import Document

from ._names import dns_1035_label, dns_label

NAMESPACE_LABEL = "kubernetes.io/metadata.name"
MAX_DATA = 1024 * 1024
SERVICE_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
PROTOCOLS = ("SCTP", "TCP", "UDP")
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+")

namespace_name = dns_label
service_name = dns_1035_label


def prepare_namespace(namespace: Document) -> None:
    """A namespace is born active, held by the finalizer that waits for its content, and labelled with its
    name.
    """
    finalizers = namespace["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")
    namespace["status"] = {"phase": "Active"}
    _label_namespace(namespace)


def prepare_namespace_update(new: Document, old: Document) -> None:
    """The finalizers change by way of the finalize subresource only."""
    new["spec"] = old["spec"]
    _label_namespace(new)


def _label_namespace(namespace: Document) -> None:
    metadata = namespace["metadata"]
    metadata.setdefault("labels", {})[NAMESPACE_LABEL] = metadata.get("name", "")


def prepare_node(node: Document) -> None:
    """What a node can give out is what it has, unless it says otherwise."""
    status = node.get("status", {})
    if "capacity" in status:
        status["allocatable"] = status["capacity"] | status.get("allocatable", {})


def prepare_pending(document: Document) -> None:
    """Volumes and claims are born pending."""
    document["status"] = {"phase": "Pending"}


def validate_service(service: Document) -> list[Cause]:
    """All that is wrong with a service's spec."""
    spec, found = service["spec"], []
    kind = spec["type"]
    if kind not in SERVICE_TYPES:
        found.append(not_supported("spec.type", kind, SERVICE_TYPES))
    headless = spec.get("clusterIP") == "None"
    if not spec.get("ports") and not headless and kind != "ExternalName":
        found.append(required("spec.ports"))
    if kind == "ExternalName" and not spec.get("externalName"):
        found.append(required("spec.externalName"))
    if spec["sessionAffinity"] not in {"None", "ClientIP"}:
        found.append(not_supported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
    names = [port.get("name", "") for port in spec.get("ports", ())]
    for index, port in enumerate(spec.get("ports", ())):
        found += _validate_service_port(port, f"spec.ports[{index}]", several=len(names) > 1)
        if port.get("name") and port["name"] in names[:index]:
            found.append(
                Cause(
                    "FieldValueDuplicate", f"spec.ports[{index}].name", f'Duplicate value: "{port["name"]}"'
                )
            )
    return found


def _validate_service_port(port: Document, field: str, *, several: bool) -> list[Cause]:
    found = []
    if several and not port.get("name"):
        found.append(required(f"{field}.name"))
    if not 1 <= port["port"] <= 65535:
        found.append(invalid_value(f"{field}.port", port["port"], "must be between 1 and 65535, inclusive"))
    if port["protocol"] not in PROTOCOLS:
        found.append(not_supported(f"{field}.protocol", port["protocol"], PROTOCOLS))
    target = port.get("targetPort")
    if type(target) is int and not 1 <= target <= 65535:
        found.append(invalid_value(f"{field}.targetPort", target, "must be between 1 and 65535, inclusive"))
    return found


def prepare_service_update(new: Document, old: Document) -> None:
    """An update that leaves out the addresses keeps them."""
    if new["spec"].get("type") == "ExternalName" or old["spec"].get("type") == "ExternalName":
        return
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        if field in old["spec"]:
            new["spec"].setdefault(field, old["spec"][field])
    if new["spec"].get("type") in {"NodePort", "LoadBalancer"}:
        given = {port.get("name"): port.get("nodePort") for port in old["spec"].get("ports", ())}
        for port in new["spec"].get("ports", ()):
            if given.get(port.get("name")):
                port.setdefault("nodePort", given[port.get("name")])


def validate_service_update(new: Document, old: Document) -> list[Cause]:
    """A service's address stays what it is."""
    if "ExternalName" in {new["spec"].get("type"), old["spec"].get("type")}:
        return []
    if new["spec"].get("clusterIP") == old["spec"].get("clusterIP"):
        return []
    return [invalid_value("spec.clusterIPs[0]", new["spec"].get("clusterIPs"), "may not change once set")]


def validate_config_map(config_map: Document) -> list[Cause]:
    """Keys and size of a config map."""
    data, binary = config_map.get("data", {}), config_map.get("binaryData", {})
    found = _validate_keys(data, "data") + _validate_keys(binary, "binaryData")
    for key in data:
        if key in binary:
            why = "duplicate of key present in binaryData"
            found.append(invalid_value(f"data[{key}]", key, why))
    return found + _validate_size([*data.values(), *binary.values()])


def _validate_keys(data: Document, field: str) -> list[Cause]:
    why = "a key must be letters, digits, '-', '_' and '.' (for example 'key.name')"
    return [
        invalid_value(f"{field}[{key}]", key, why)
        for key in data
        if not _CONFIG_KEY.fullmatch(key) or len(key) > 253 or key in {".", ".."}
    ]


def _validate_size(values: list[str]) -> list[Cause]:
    if sum(map(len, values)) <= MAX_DATA:
        return []
    return [Cause("FieldValueTooLong", "", f"Too long: may not be more than {MAX_DATA} bytes")]


def validate_immutable_data(new: Document, old: Document) -> list[Cause]:
    """What is marked immutable keeps its data, and the mark."""
    if not old.get("immutable"):
        return []
    found = []
    if not new.get("immutable"):
        found.append(forbidden("immutable", "field is immutable when `immutable` is set"))
    return found + [
        forbidden(field, "field is immutable when `immutable` is set")
        for field in ("data", "binaryData")
        if new.get(field) != old.get(field)
    ]


_REQUIRED_KEYS = {
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
}


def validate_secret(secret: Document) -> list[Cause]:
    """Keys, encoding and size of a secret, and what its type asks for."""
    data = secret.get("data", {})
    found = _validate_keys(data, "data")
    for key, value in data.items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            found.append(invalid_value(f"data[{key}]", "<secret contents redacted>", "must be base64"))
    found += [required(f"data[{key}]") for key in _REQUIRED_KEYS.get(secret["type"], ()) if key not in data]
    return found + _validate_size(list(data.values()))


def validate_secret_update(new: Document, old: Document) -> list[Cause]:
    """A secret's type stays; an immutable one's data, too."""
    found = validate_immutable_data(new, old)
    if new["type"] != old["type"]:
        found.append(invalid_value("type", new["type"], "field is immutable"))
    return found


def validate_claim(claim: Document) -> list[Cause]:
    """A claim says how it is accessed and how much it wants."""
    spec, found = claim["spec"], []
    if not spec.get("accessModes"):
        found.append(required("spec.accessModes", "at least 1 access mode is required"))
    if "storage" not in spec.get("resources", {}).get("requests", {}):
        found.append(required("spec.resources[storage]"))
    return found


def validate_claim_update(new: Document, old: Document) -> list[Cause]:
    """A claim keeps its spec, but for its size and the volume that it gets."""
    kept = [
        {
            key: value
            for key, value in claim["spec"].items()
            if key not in {"resources", "volumeName", "volumeAttributesClassName"}
        }
        for claim in (new, old)
    ]
    why = "only resources.requests and volumeAttributesClassName may change, once the claim is bound"
    return [forbidden("spec", why)] if kept[0] != kept[1] else []
