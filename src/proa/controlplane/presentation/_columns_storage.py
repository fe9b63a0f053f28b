"""Columns of volumes, and of what provides and attaches them."""

from __future__ import annotations

from proa.controlplane._json import Document

from ._columns import AGE, NAME, NONE, Column, computed, value

_MODES = {
    "ReadWriteOnce": "RWO",
    "ReadOnlyMany": "ROX",
    "ReadWriteMany": "RWX",
    "ReadWriteOncePod": "RWOP",
}
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")
_DEFAULT_ATTRIBUTES = ("storage.alpha.kubernetes.io/is-default-class",)
_CLASS = "volume.beta.kubernetes.io/storage-class"


def _access(modes: list[str] | None) -> str:
    given = set(modes or ())
    return ",".join(short for mode, short in _MODES.items() if mode in given)


def _phase(document: Document) -> str:
    if "deletionTimestamp" in document["metadata"]:
        return "Terminating"
    return str((document.get("status") or {}).get("phase", ""))


def _class(document: Document) -> str:
    annotations = document["metadata"].get("annotations") or {}
    return str(annotations.get(_CLASS) or document["spec"].get("storageClassName") or "")


def _claim_of(volume: Document) -> str:
    claim = volume["spec"].get("claimRef")
    return f"{claim.get('namespace', '')}/{claim['name']}" if claim else ""


def _of_bound(claim: Document, name: str) -> Document:
    status: Document = claim.get("status") or {}
    return status.get(name) or {} if claim["spec"].get("volumeName") else {}


def _named(*annotations: str) -> Column:
    """The name, and whether it is the default."""

    def cell(document: Document) -> str:
        said = document["metadata"].get("annotations") or {}
        default = any(said.get(annotation) == "true" for annotation in annotations)
        return f"{document['metadata']['name']}{' (default)' if default else ''}"

    return computed("Name", cell)


def _flag(name: str, path: str, default: bool = False) -> Column:
    return value(name, path, default, kind="boolean")


def _audiences(driver: Document) -> str:
    requests = driver["spec"].get("tokenRequests")
    return "<unset>" if requests is None else ",".join(one.get("audience", "") for one in requests)


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "PersistentVolume"): (
        NAME,
        value("Capacity", "spec.capacity.storage", "0"),
        computed("Access Modes", lambda volume: _access(volume["spec"].get("accessModes"))),
        value("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        computed("Status", _phase),
        computed("Claim", _claim_of),
        computed("StorageClass", _class),
        value("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        value("Reason", "status.reason"),
        AGE,
        value("VolumeMode", "spec.volumeMode", "<unset>", wide=True),
    ),
    ("", "PersistentVolumeClaim"): (
        NAME,
        computed("Status", _phase),
        value("Volume", "spec.volumeName"),
        computed("Capacity", lambda claim: _of_bound(claim, "capacity").get("storage", "")),
        computed("Access Modes", lambda claim: _access(list(_of_bound(claim, "accessModes")))),
        computed("StorageClass", _class),
        value("VolumeAttributesClass", "spec.volumeAttributesClassName", "<unset>"),
        AGE,
        value("VolumeMode", "spec.volumeMode", "<unset>", wide=True),
    ),
    ("storage.k8s.io", "StorageClass"): (
        _named(*_DEFAULT),
        value("Provisioner", "provisioner"),
        value("ReclaimPolicy", "reclaimPolicy", "Delete"),
        value("VolumeBindingMode", "volumeBindingMode", "Immediate"),
        computed("AllowVolumeExpansion", lambda one: bool(one.get("allowVolumeExpansion"))),
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttributesClass"): (
        _named(*_DEFAULT_ATTRIBUTES),
        value("DriverName", "driverName"),
        AGE,
    ),
    ("storage.k8s.io", "VolumeAttachment"): (
        NAME,
        value("Attacher", "spec.attacher"),
        value("PV", "spec.source.persistentVolumeName"),
        value("Node", "spec.nodeName"),
        _flag("Attached", "status.attached"),
        AGE,
    ),
    ("storage.k8s.io", "CSINode"): (
        NAME,
        computed("Drivers", lambda node: len(node["spec"].get("drivers") or ()), kind="integer"),
        AGE,
    ),
    ("storage.k8s.io", "CSIDriver"): (
        NAME,
        _flag("AttachRequired", "spec.attachRequired", default=True),
        _flag("PodInfoOnMount", "spec.podInfoOnMount"),
        _flag("StorageCapacity", "spec.storageCapacity"),
        computed("TokenRequests", _audiences),
        _flag("RequiresRepublish", "spec.requiresRepublish"),
        computed("Modes", lambda one: ",".join(one["spec"].get("volumeLifecycleModes") or ()) or NONE),
        AGE,
    ),
    ("storage.k8s.io", "CSIStorageCapacity"): (
        NAME,
        value("StorageClassName", "storageClassName"),
        value("Capacity", "capacity", "<unset>"),
    ),
}
