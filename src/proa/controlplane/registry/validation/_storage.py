"""Persistent volumes and claims, storage classes, CSI's objects. Pure."""

from __future__ import annotations

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
from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry._checks import Afterwards, Check, at_least, named, need, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain, qualified_name

from ._parts import each, is_positive, name_even_empty, names, of_the_first, only_one, unique_items
from ._volumes import ONE_TYPE, csi_driver

_SOURCES = (
    "hostPath", "gcePersistentDisk", "awsElasticBlockStore", "glusterfs", "flocker", "nfs", "rbd", "quobyte",
    "cephfs", "iscsi", "cinder", "fc", "flexVolume", "azureFile", "vsphereVolume", "photonPersistentDisk",
    "portworxVolume", "azureDisk", "scaleIO", "local", "storageos", "csi",
)  # fmt: skip
_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
_POSITIVE = "must be greater than zero"


def _access_modes(spec: Document, path: str, why: str = "") -> list[Cause]:
    modes, at = spec.get("accessModes", []), f"{path}.accessModes"
    found = [] if modes else [required(at, why)]
    found += [not_supported(at, mode, _MODES) for mode in modes if mode not in _MODES]
    if "ReadWriteOncePod" in modes and {*modes} & {*_MODES[:3]}:
        found.append(forbidden(at, "may not use ReadWriteOncePod with other access modes"))
    return found


def _volume(spec: Any, path: str) -> list[Cause]:
    found = _access_modes(spec, path) + _capacity(spec, path)
    found += only_one(spec, _SOURCES, path, ONE_TYPE)
    if not any(source in spec for source in _SOURCES):
        found.append(required(path, "must specify a volume type"))
    affinity, source = spec.get("nodeAffinity"), spec.get("hostPath")
    if affinity is not None and "required" not in affinity:
        found.append(required(f"{path}.nodeAffinity.required", "must specify required node constraints"))
    if "local" in spec and affinity is None:
        found.append(required(f"{path}.nodeAffinity", "Local volume requires node affinity"))
    policy = spec.get("persistentVolumeReclaimPolicy")
    if source and policy == "Recycle" and not source.get("path", "").strip("/."):
        why = "may not be 'recycle' for a hostPath mount of '/'"
        found.append(forbidden(f"{path}.persistentVolumeReclaimPolicy", why))
    attributes, at = spec.get("volumeAttributesClassName"), f"{path}.volumeAttributesClassName"
    if attributes is not None:
        found += names(dns_subdomain, attributes, at) if attributes else [required(at)]
        if "csi" not in spec:
            why = "has to be specified when using volumeAttributesClassName"
            found.append(required(f"{path}.csi", why))
    return found


def _capacity(spec: Document, path: str) -> list[Cause]:
    capacity, at = spec.get("capacity") or {}, f"{path}.capacity"
    found = [] if capacity else [required(at)]
    if set(capacity) != {"storage"}:
        found.append(not_supported(at, capacity, ("storage",)))
    for name, amount in capacity.items():
        if quantity(amount) < 0:
            found.append(invalid_value(f"{at}[{name}]", str(amount), "must be a valid resource quantity"))
        if not is_positive(amount):
            found.append(invalid_value(f"{at}[{name}]", str(amount), _POSITIVE))
    return found


def volume_update(new: Document, old: Document) -> list[Cause]:
    """Where a volume comes from stays, and how it is used."""
    after, before = new["spec"], old["spec"]
    sources = [{name: _fixed(spec[name]) for name in _SOURCES if name in spec} for spec in (after, before)]
    found = []
    if sources[0] != sources[1]:
        why = "spec.persistentvolumesource is immutable after creation"
        found.append(forbidden("spec.persistentvolumesource", why))
    if after.get("volumeMode") != before.get("volumeMode"):
        found.append(invalid_value("volumeMode", after.get("volumeMode"), "field is immutable"))
    affinity = after.get("nodeAffinity")
    if before.get("nodeAffinity") is not None and affinity != before["nodeAffinity"]:
        found.append(invalid_value("nodeAffinity", affinity, "field is immutable"))
    if "volumeAttributesClassName" in before and "volumeAttributesClassName" not in after:
        why = "update from non-nil value to nil is forbidden"
        found.append(forbidden("spec.volumeAttributesClassName", why))
    return found


def _fixed(source: Document) -> Document:
    return {name: value for name, value in source.items() if name != "controllerExpandSecretRef"}


def _claim(spec: Any, path: str) -> list[Cause]:
    found = _access_modes(spec, path, "at least 1 access mode is required")
    wanted, at = (
        (spec.get("resources") or {}).get("requests", {}).get("storage"),
        f"{path}.resources[storage]",
    )
    if wanted is None:
        found.append(required(at))
    elif not is_positive(wanted):
        found.append(invalid_value(at, str(wanted), _POSITIVE))
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for name, value in (("dataSource", source), ("dataSourceRef", reference)):
        found += _data_source(value, f"{path}.{name}") if value is not None else []
    if reference is not None and reference.get("namespace"):
        found += names(dns_label, reference["namespace"], f"{path}.dataSourceRef.namespace")
        if source is not None:
            why = "may not be specified when dataSourceRef.namespace is specified"
            found.append(invalid_value(path, "dataSource", why))
    elif source is not None and reference is not None and source != reference:
        found.append(invalid_value(path, "dataSource", "must match dataSourceRef"))
    return found


def _data_source(source: Document, path: str) -> list[Cause]:
    found = [required(f"{path}.{name}") for name in ("name", "kind") if not source.get(name)]
    group, kind = source.get("apiGroup") or "", source.get("kind")
    if not group and kind != "PersistentVolumeClaim":
        why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        found.append(invalid_value(path, kind, why))
    return found + (names(dns_subdomain, group, f"{path}.apiGroup") if group else [])


def claim_update(new: Document, old: Document) -> list[Cause]:
    """A claim keeps its spec, but for its size once it is bound, and the volume that it gets."""
    after, before = new["spec"], old["spec"]
    bound = (new.get("status") or {}).get("phase") == "Bound"
    kept = [_lasting_claim(spec, before, bound=bound) for spec in (after, before)]
    found = []
    if kept[0] != kept[1]:
        why = "only resources.requests and volumeAttributesClassName may change, once the claim is bound"
        found.append(forbidden("spec", why))
    sizes = [spec.get("resources", {}).get("requests", {}).get("storage", "0") for spec in (after, before)]
    given = (old.get("status") or {}).get("capacity", {}).get("storage", "0")
    if quantity(sizes[0]) < quantity(sizes[1]) and quantity(sizes[0]) <= quantity(given):
        why = "field can not be less than status.capacity"
        found.append(forbidden("spec.resources.requests.storage", why))
    if after.get("volumeMode") != before.get("volumeMode"):
        found.append(invalid_value("volumeMode", after.get("volumeMode"), "field is immutable"))
    if before.get("volumeAttributesClassName") and not after.get("volumeAttributesClassName"):
        why = "update from non-nil value to nil is forbidden"
        found.append(forbidden("spec.volumeAttributesClassName", why))
    return found


def _lasting_claim(spec: Document, before: Document, *, bound: bool) -> Document:
    kept = dict(spec)
    if not before.get("volumeName"):
        kept.pop("volumeName", None)
    if before.get("storageClassName") is None:
        kept.pop("storageClassName", None)
    if bound:
        kept.pop("volumeAttributesClassName", None)
        resources = dict(kept.get("resources", {}))
        resources["requests"] = {k: v for k, v in resources.get("requests", {}).items() if k != "storage"}
        kept["resources"] = resources
    return kept


_RESIZES = (
    "ControllerResizeInProgress", "ControllerResizeInfeasible", "NodeResizePending", "NodeResizeInProgress",
    "NodeResizeInfeasible",
)  # fmt: skip
_MODIFICATIONS = ("InProgress", "Infeasible", "Pending")


def claim_status(new: Document, old: Document) -> list[Cause]:
    """What a claim has got, and how it is being resized or modified."""
    del old
    status, found = new.get("status") or {}, []
    for field in ("capacity", "allocatedResources"):
        for name, amount in status.get(field, {}).items():
            at = f"status.{field}[{name}]" if field == "capacity" else "status.allocatedResources"
            if quantity(amount) < 0:
                found.append(invalid_value(at, str(amount), "must be a valid resource quantity"))
    statuses = status.get("allocatedResourceStatuses", {})
    for field, names_ in (
        ("allocatedResourceStatuses", statuses),
        ("allocatedResources", status.get("allocatedResources", {})),
    ):
        found += [cause for name in names_ for cause in _claimed_resource(name, f"status.{field}")]
    at = "status.allocatedResourceStatus"
    found += [not_supported(at, value, _RESIZES) for value in statuses.values() if value not in _RESIZES]
    modification = status.get("modifyVolumeStatus")
    if modification is not None:
        at = "status.modifyVolumeStatus.status"
        found += one_of(*_MODIFICATIONS)(modification.get("status", ""), at)
    return found


def _claimed_resource(name: str, path: str) -> list[Cause]:
    found = [invalid_value(path, name, why) for why in qualified_name(name)]
    if found or name == "storage":
        return found
    if "/" not in name or "kubernetes.io/" in name:
        return [not_supported(path, name, ("storage",))]
    return []


def _provisioner(value: Any, path: str) -> list[Cause]:
    name = value or ""
    return (
        [invalid_value(path, name, why) for why in qualified_name(name.lower())] if name else [required(path)]
    )


def _parameters(value: Any, path: str) -> list[Cause]:
    parameters = value or {}
    if len(parameters) > 512:
        return [too_long(path, 512)]
    found = [invalid_value(path, key, "field can not be empty.") for key in parameters if not key]
    size = sum(len(key) + len(text) for key, text in parameters.items())
    return found + ([too_long(path, 256 * 1024)] if size > 256 * 1024 else [])


def _topology(term: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    keys: set[str] = set()
    for requirement, at in each(term, "matchLabelExpressions", path):
        key, values = requirement.get("key", ""), requirement.get("values", [])
        found += [] if values else [required(f"{at}.values")]
        found += unique_items(values, f"{at}.values") + names(qualified_name, key, f"{at}.key")
        found += [duplicate(f"{at}.key", key)] if key in keys else []
        keys.add(key)
    return found


def class_update(new: Document, old: Document) -> list[Cause]:
    """A storage class stays what it is."""
    found = [
        forbidden(name, f"updates to {name} are forbidden.")
        for name in ("parameters", "provisioner", "reclaimPolicy")
        if new.get(name) != old.get(name)
    ]
    mode = new.get("volumeBindingMode")
    if mode != old.get("volumeBindingMode"):
        found.append(invalid_value("volumeBindingMode", mode, "field is immutable"))
    return found


def _attachment(spec: Any, path: str) -> list[Cause]:
    source, at = spec.get("source") or {}, f"{path}.source"
    name, inline = source.get("persistentVolumeName"), source.get("inlineVolumeSpec")
    found = names(dns_subdomain, spec.get("nodeName", ""), f"{path}.nodeName")
    why = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
    if name is None and inline is None:
        found.append(required(at, why))
    elif name is not None and inline is not None:
        found.append(forbidden(at, why))
    elif name == "":
        found.append(required(f"{at}.persistentVolumeName", "must specify non empty persistentVolumeName"))
    return found + ([] if spec.get("attacher") else [required(f"{path}.attacher")])


def new_attachment(attachment: Document) -> list[Cause]:
    """What is attached is named by a driver's name, and a volume's."""
    spec = attachment["spec"]
    found, volume = (
        csi_driver(spec.get("attacher"), "spec.attacher"),
        spec.get("source", {}).get("persistentVolumeName"),
    )
    return found + (
        [] if volume is None else names(dns_subdomain, volume, "spec.source.persistentVolumeName")
    )


def _csi_node(node: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    seen: set[str] = set()
    for driver, at in each(node, "drivers", path):
        name, own, limit = driver.get("name", ""), driver.get("nodeID", ""), 256
        found += csi_driver(name, f"{at}.name") + ([] if own else [required(f"{at}.nodeID")])
        if len(own) > limit:
            found.append(invalid_value(f"{at}.nodeID", own, f"must be {limit} characters or less"))
        found += [duplicate(f"{at}.name", name)] if name in seen else []
        seen.add(name)
        count = (driver.get("allocatable") or {}).get("count", 0)
        if count < 0:
            why = "must be greater than or equal to 0"
            found.append(invalid_value(f"{at}.allocatable.count", count, why))
        keys = driver.get("topologyKeys") or []
        for index, key in enumerate(keys):
            found += [duplicate(at, key)] if key in keys[:index] else []
            found += names(qualified_name, key, at) + ([] if key else [required(at)])
    return found


def csi_node_update(new: Document, old: Document) -> list[Cause]:
    """A driver on a node stays what it is."""
    found = []
    for before in old["spec"].get("drivers") or ():
        for after in new["spec"].get("drivers") or ():
            kept = [{k: v for k, v in one.items() if k != "allocatable"} for one in (before, after)]
            if before["name"] == after["name"] and kept[0] != kept[1]:
                found.append(invalid_value("spec.drivers", after, "field is immutable"))
    return found


def _csi_driver(spec: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    modes = ("Persistent", "Ephemeral")
    at = f"{path}.volumeLifecycleModes"
    found += [
        not_supported(at, mode, modes) for mode in spec.get("volumeLifecycleModes", ()) if mode not in modes
    ]
    audiences: set[str] = set()
    for request, where in each(spec, "tokenRequests", path):
        audience, seconds = request.get("audience", ""), request.get("expirationSeconds", 600)
        if audience in audiences:
            found.append(duplicate(f"{where}.audience", audience))
        elif not 600 <= seconds <= 2**32:
            why = "must be between 10 minutes and 2^32 seconds"
            found.append(invalid_value(f"{where}.expirationSeconds", seconds, why))
        audiences.add(audience)
    return found


def _not_negative(value: Any, path: str) -> list[Cause]:
    if value is None or quantity(value) >= 0:
        return []
    return [invalid_value(path, str(value), "must be greater than or equal to 0")]


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.PersistentVolumeSpec": {
        "": (_volume,),
        "persistentVolumeReclaimPolicy": (one_of("Delete", "Recycle", "Retain"),),
        "volumeMode": (one_of("Block", "Filesystem"),),
        "storageClassName": (named(dns_subdomain),),
    },
    "core.v1.PersistentVolumeClaimSpec": {
        "": (_claim,),
        "volumeMode": (one_of("Block", "Filesystem"),),
        "storageClassName": (named(dns_subdomain),),
        "volumeAttributesClassName": (named(dns_subdomain),),
    },
    "core.v1.TopologySelectorTerm": {"": (_topology,)},
    "storage.v1.StorageClass": {
        "provisioner": (_provisioner,),
        "parameters": (_parameters,),
        "reclaimPolicy": (one_of("Delete", "Retain"),),
        "volumeBindingMode": (one_of("Immediate", "WaitForFirstConsumer"),),
    },
    "storage.v1.VolumeAttachmentSpec": {"": (_attachment,)},
    "storage.v1.CSINodeSpec": {"": (_csi_node,)},
    "storage.v1.CSIDriverSpec": {
        "": (_csi_driver,),
        "fsGroupPolicy": (one_of("File", "None", "ReadWriteOnceWithFSType"),),
        "nodeAllocatableUpdatePeriodSeconds": (at_least(10, "must be at least 10 seconds"),),
    },
    "storage.v1.CSIStorageCapacity": {
        "storageClassName": (name_even_empty(dns_subdomain),),
        "capacity": (_not_negative,),
        "maximumVolumeSize": (_not_negative,),
    },
    "storage.v1.VolumeAttributesClass": {"driverName": (_provisioner,), "parameters": (need, _parameters)},
}
AFTERWARDS: Afterwards = {"core.v1.PersistentVolumeSpec": of_the_first(_SOURCES)}
