"""Where volumes come from: the sources of pods' volumes and of persistent volumes. Pure."""

from __future__ import annotations

import re
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
from proa.controlplane.registry._checks import Afterwards, Check, between, named, need, needed, one_of
from proa.controlplane.registry._names import dns_label, dns_subdomain, qualified_name

from ._parts import (
    each,
    labels,
    local_path,
    names,
    needed_name,
    no_backsteps,
    of_the_first,
    only_one,
    relative_path,
)

ONE_TYPE = "may not specify more than 1 volume type"
_MODE = between(0, 0o777, "must be a number between 0 and 0777 (octal), both inclusive")
_LUN = between(0, 255)
_HOST_PATHS = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket",
)  # fmt: skip
_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([\w.-]+)(:[^,;*&$|\s]+)$"),
    "eui": re.compile(r"eui.[0-9A-Za-z]{16}$"),
    "naa": re.compile(r"naa.[0-9A-Za-z]{32}$"),
}
SOURCES = (
    "emptyDir", "hostPath", "gitRepo", "gcePersistentDisk", "awsElasticBlockStore", "secret", "nfs", "iscsi",
    "glusterfs", "flocker", "persistentVolumeClaim", "rbd", "cinder", "cephfs", "quobyte", "downwardAPI",
    "fc", "flexVolume", "configMap", "azureFile", "vsphereVolume", "photonPersistentDisk", "portworxVolume",
    "azureDisk", "storageos", "projected", "scaleIO", "csi", "ephemeral", "image",
)  # fmt: skip


def csi_driver(value: Any, path: str) -> list[Cause]:
    """The name of a CSI driver."""
    name = value or ""
    found = [] if name else [required(path)]
    found += [too_long(path, 63)] if len(name) > 63 else []
    return found + [invalid_value(path, name, why) for why in dns_subdomain(name.lower())]


def _volume(volume: Any, path: str) -> list[Cause]:
    found = only_one(volume, SOURCES, path, ONE_TYPE)
    name = volume.get("name", "")
    found += names(dns_label, name, f"{path}.name") if name else [required(f"{path}.name")]
    if quantity(volume.get("emptyDir", {}).get("sizeLimit", 0)) < 0:
        found.append(forbidden(f"{path}.emptyDir.sizeLimit", "must be a valid resource quantity"))
    return found


def pod_volumes(spec: Document, path: str) -> list[Cause]:
    """Volumes have names of their own."""
    found, seen = [], set()
    for volume, at in each(spec, "volumes", path):
        if volume.get("name", "") in seen:
            found.append(duplicate(f"{at}.name", volume.get("name", "")))
        seen.add(volume.get("name"))
    return found


def claims_of_pod(pod: Document) -> list[Cause]:
    """The claims that are made for a pod's volumes: their names, and that no volume uses one otherwise."""
    name, found = pod["metadata"].get("name", ""), []
    volumes = pod["spec"].get("volumes", ())
    made = {f"{name}-{volume.get('name', '')}" for volume in volumes if "ephemeral" in volume}
    for index, volume in enumerate(volumes):
        at, claim = f"spec.volumes[{index}]", volume.get("persistentVolumeClaim", {}).get("claimName")
        if claim in made:
            why = "must not reference a PVC that gets created for an ephemeral volume"
            found.append(invalid_value(f"{at}.persistentVolumeClaim.claimName", claim, why))
        if "ephemeral" in volume and name and volume.get("name"):
            found += names(dns_subdomain, f"{name}-{volume['name']}", f"{at}.name")
    return found


def _host_path(source: Any, path: str) -> list[Cause]:
    if not source.get("path"):
        return [required(f"{path}.path")]
    found = no_backsteps(source["path"], f"{path}.path")
    return found + one_of(*_HOST_PATHS)(source.get("type"), f"{path}.type")


def _nfs(source: Any, path: str) -> list[Cause]:
    where = source.get("path", "")
    return [] if where.startswith("/") else [invalid_value(f"{path}.path", where, "must be an absolute path")]


def _local_path(value: Any, path: str) -> list[Cause]:
    return local_path(value or "", path)


def _iscsi_name(value: Any, path: str) -> list[Cause]:
    if not value:
        return []
    form = _ISCSI_NAMES.get(value[:3])
    return [] if form and form.match(value) else [invalid_value(path, value, "must be valid format")]


def _iscsi(source: Any, path: str) -> list[Cause]:
    secured = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    return [required(f"{path}.secretRef")] if secured and "secretRef" not in source else []


def _fibre_channel(source: Any, path: str) -> list[Cause]:
    targets, identifiers = source.get("targetWWNs"), source.get("wwids")
    if not targets and not identifiers:
        return [required(f"{path}.targetWWNs", "must specify either targetWWNs or wwids, but not both")]
    found = []
    if targets and identifiers:
        why = "targetWWNs and wwids can not be specified simultaneously"
        found.append(invalid_value(f"{path}.targetWWNs", targets, why))
    if targets and "lun" not in source:
        found.append(required(f"{path}.lun", "lun is required if targetWWNs is specified"))
    return found + (_LUN(source.get("lun"), f"{path}.lun") if targets else [])


def _flocker(source: Any, path: str) -> list[Cause]:
    name, uid = source.get("datasetName", ""), source.get("datasetUUID", "")
    if not name and not uid:
        return [required(path, "one of datasetName and datasetUUID is required")]
    found = []
    if name and uid:
        why = "datasetName and datasetUUID can not be specified simultaneously"
        found.append(invalid_value(path, "resource", why))
    if "/" in name:
        found.append(invalid_value(f"{path}.datasetName", name, "must not contain '/'"))
    return found


def _flex(source: Any, path: str) -> list[Cause]:
    found = [] if source.get("driver") else [required(f"{path}.driver")]
    for key in source.get("options") or {}:
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io")):
            why = "kubernetes.io and k8s.io namespaces are reserved"
            found.append(invalid_value(f"{path}.options[{key}]", key, why))
    return found


def _azure_disk(source: Any, path: str) -> list[Cause]:
    uri, kind = source.get("diskURI", ""), source.get("kind")
    beginning = "/subscriptions/" if kind == "Managed" else "https://"
    if kind is None or uri.startswith(beginning):
        return []
    return [not_supported(f"{path}.diskURI", uri, (f"{beginning}...",))]


_FILE_FIELDS = ("annotations", "labels", "name", "namespace", "uid")
_FIELD_PATHS = tuple(f"metadata.{name}" for name in _FILE_FIELDS)
ENVIRONMENT_PATHS = (
    "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName",
    "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs",
)  # fmt: skip
_SUBSCRIPT = re.compile(r"(.*)\['(.*)'\]", re.DOTALL)
_RESOURCES = tuple(
    f"{kind}.{name}" for kind in ("limits", "requests") for name in ("cpu", "ephemeral-storage", "memory")
)
_SIZES = frozenset({"1", *(f"1{unit}" for unit in "kMGTPE"), *(f"1{unit}i" for unit in "KMGTPE")})


def field_reference(reference: Document, path: str, known: tuple[str, ...] = _FIELD_PATHS) -> list[Cause]:
    """A field of the pod that a file or variable shows."""
    field = reference.get("fieldPath", "")
    if not field:
        return [required(f"{path}.fieldPath")]
    if reference.get("apiVersion", "v1") != "v1":
        why = "error converting fieldPath: unsupported pod version"
        return [invalid_value(f"{path}.fieldPath", field, why)]
    match = _SUBSCRIPT.fullmatch(field)
    if match is not None:
        if match[1] == "metadata.annotations":
            return names(qualified_name, match[2].lower(), path)
        if match[1] == "metadata.labels":
            return names(qualified_name, match[2], path)
        return [invalid_value(f"{path}.fieldPath", field, "error converting fieldPath: no such field label")]
    if field in known:
        return []
    if field in {
        *_FIELD_PATHS,
        *ENVIRONMENT_PATHS,
        "spec.restartPolicy",
        "spec.schedulerName",
        "status.phase",
    }:
        return [not_supported(f"{path}.fieldPath", field, known)]
    return [invalid_value(f"{path}.fieldPath", field, "error converting fieldPath: no such field label")]


def resource_reference(reference: Document, path: str, *, of_file: bool) -> list[Cause]:
    """A container's resource that a file or variable shows."""
    name, divisor = reference.get("resource", ""), str(reference.get("divisor", "0"))
    huge = name.startswith(("limits.hugepages-", "requests.hugepages-"))
    found = []
    if of_file and not reference.get("containerName"):
        found.append(required(f"{path}.containerName"))
    elif not name:
        found.append(required(f"{path}.resource"))
    elif name not in _RESOURCES and not huge:
        found.append(not_supported(f"{path}.resource", name, _RESOURCES))
    if quantity(divisor) == 0 or (name not in _RESOURCES and not huge):
        return found
    allowed = {"1m", "1"} if name.endswith(".cpu") else _SIZES
    if divisor not in allowed:
        found.append(invalid_value(f"{path}.divisor", name, "is not a divisor of that resource"))
    return found


def _downward_file(file: Document, path: str) -> list[Cause]:
    """Its path has no index: Kubernetes names the list."""
    where, found = file.get("path", ""), []
    if not where:
        found.append(required(f"{path}.path"))
    found += local_path(where, f"{path}.path")
    field, resource = file.get("fieldRef"), file.get("resourceFieldRef")
    if field is not None:
        found += field_reference(field, f"{path}.fieldRef")
        if resource is not None:
            why = "fieldRef and resourceFieldRef can not be specified simultaneously"
            found.append(invalid_value(path, "resource", why))
    elif resource is not None:
        found += resource_reference(resource, f"{path}.resourceFieldRef", of_file=True)
    else:
        found.append(required(path, "one of fieldRef and resourceFieldRef is required"))
    return found + _MODE(file.get("mode"), f"{path}.mode")


def _downward_files(source: Any, path: str) -> list[Cause]:
    return [cause for file in source.get("items") or () for cause in _downward_file(file, path)]


def _projected(value: Any, path: str) -> list[Cause]:
    found: list[Cause] = []
    taken: set[str] = set()

    def take(where: str) -> None:
        if where in taken:
            found.append(invalid_value(path, where, "conflicting duplicate paths"))
        taken.add(where)

    for source, at in each(value, "sources", path):
        for kind in ("secret", "configMap", "downwardAPI"):
            for item in source.get(kind, {}).get("items", ()):
                if item.get("path"):
                    take(item["path"])
        token, bundle = source.get("serviceAccountToken"), source.get("clusterTrustBundle")
        if token is not None:
            found += _token(token, path)
        if bundle is not None:
            take(bundle.get("path", ""))
        if sum(type(one) is dict for one in source.values()) > 1:
            found.append(forbidden(at, f"{ONE_TYPE} per source"))
    return found


def _token(token: Document, path: str) -> list[Cause]:
    where = token.get("path", "")
    return local_path(where, f"{path}.path") if where else [required(f"{path}.path")]


def _trust_bundle(bundle: Any, path: str) -> list[Cause]:
    name, signer = bundle.get("name"), bundle.get("signerName")
    found = []
    if name is not None and signer is not None:
        found.append(invalid_value(path, bundle, "only one of name and signerName may be used"))
    elif name is None and signer is None:
        found.append(required(path, "either name or signerName must be specified"))
    elif name is not None and bundle.get("labelSelector") is not None:
        found.append(invalid_value(f"{path}.labelSelector", {}, "must be unset if name is specified"))
    return found + ([] if bundle.get("path") else [required(f"{path}.path")])


def _ephemeral_template(template: Any, path: str) -> list[Cause]:
    metadata = template.get("metadata", {})
    found = labels(metadata.get("labels"), f"{path}.metadata.labels")
    set_otherwise = [name for name in metadata if name not in {"labels", "annotations"} and metadata[name]]
    return found + [forbidden(f"{path}.metadata.{name}", "cannot be set") for name in set_otherwise]


def _relative(value: Any, path: str) -> list[Cause]:
    return relative_path(value or "", path)


_SECRET_REFERENCE: dict[str, tuple[Check, ...]] = {
    "name": (needed_name(dns_subdomain),),
    "namespace": (needed_name(dns_label),),
}


def _whole_reference(value: Any, path: str) -> list[Cause]:
    if value is None:
        return []
    return [
        cause
        for name, checks in _SECRET_REFERENCE.items()
        for check in checks
        for cause in check(value.get(name), f"{path}.{name}")
    ]


_PARTITION = between(0, 255, "must be between 1 and 255, inclusive")
_ISCSI: dict[str, tuple[Check, ...]] = {
    "": (_iscsi,),
    "targetPortal": (need,),
    "iqn": (need, _iscsi_name),
    "lun": (_LUN,),
}
_MONITORS: dict[str, tuple[Check, ...]] = {"monitors": (need,)}
_IMAGES: dict[str, tuple[Check, ...]] = {"monitors": (need,), "image": (need,)}
_SCALE_IO: dict[str, tuple[Check, ...]] = {"gateway": (need,), "system": (need,), "volumeName": (need,)}
_VOLUME_ID: dict[str, tuple[Check, ...]] = {"volumeID": (need,)}
_STORAGE_OS: dict[str, tuple[Check, ...]] = {
    "volumeName": (needed_name(dns_label),),
    "volumeNamespace": (named(dns_label),),
}
_AZURE_FILE: dict[str, tuple[Check, ...]] = {"secretName": (need,), "shareName": (need,)}
_GLUSTER: dict[str, tuple[Check, ...]] = {"endpoints": (need,), "path": (need,)}
_DISK: dict[str, tuple[Check, ...]] = {"volumeID": (need,), "partition": (_PARTITION,)}

RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.Volume": {"": (_volume,)},
    "core.v1.HostPathVolumeSource": {"": (_host_path,)},
    "core.v1.GitRepoVolumeSource": {"repository": (need,), "directory": (_relative,)},
    "core.v1.GCEPersistentDiskVolumeSource": {"pdName": (need,), "partition": (_PARTITION,)},
    "core.v1.AWSElasticBlockStoreVolumeSource": _DISK,
    "core.v1.SecretVolumeSource": {"secretName": (need,), "defaultMode": (_MODE,)},
    "core.v1.ConfigMapVolumeSource": {"name": (need,), "defaultMode": (_MODE,)},
    "core.v1.SecretProjection": {"name": (need,)},
    "core.v1.ConfigMapProjection": {"name": (need,)},
    "core.v1.KeyToPath": {"key": (need,), "path": (need, _local_path), "mode": (_MODE,)},
    "core.v1.DownwardAPIVolumeSource": {"": (_downward_files,), "defaultMode": (_MODE,)},
    "core.v1.DownwardAPIProjection": {"": (_downward_files,)},
    "core.v1.ProjectedVolumeSource": {"": (_projected,), "defaultMode": (_MODE,)},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": (between(600, 2**32),)},
    "core.v1.ClusterTrustBundleProjection": {"": (_trust_bundle,), "path": (_local_path,)},
    "core.v1.PersistentVolumeClaimVolumeSource": {"claimName": (need,)},
    "core.v1.NFSVolumeSource": {"": (_nfs,), "server": (need,), "path": (need,)},
    "core.v1.ISCSIVolumeSource": _ISCSI,
    "core.v1.ISCSIPersistentVolumeSource": _ISCSI,
    "core.v1.FCVolumeSource": {"": (_fibre_channel,)},
    "core.v1.QuobyteVolumeSource": {"registry": (need,), "volume": (need,)},
    "core.v1.GlusterfsVolumeSource": _GLUSTER,
    "core.v1.GlusterfsPersistentVolumeSource": _GLUSTER,
    "core.v1.FlockerVolumeSource": {"": (_flocker,)},
    "core.v1.FlexVolumeSource": {"": (_flex,)},
    "core.v1.FlexPersistentVolumeSource": {"": (_flex,)},
    "core.v1.RBDVolumeSource": _IMAGES,
    "core.v1.RBDPersistentVolumeSource": _IMAGES,
    "core.v1.CinderVolumeSource": _VOLUME_ID,
    "core.v1.CinderPersistentVolumeSource": _VOLUME_ID,
    "core.v1.CephFSVolumeSource": _MONITORS,
    "core.v1.CephFSPersistentVolumeSource": _MONITORS,
    "core.v1.AzureFileVolumeSource": _AZURE_FILE,
    "core.v1.AzureFilePersistentVolumeSource": _AZURE_FILE,
    "core.v1.AzureDiskVolumeSource": {
        "": (_azure_disk,),
        "diskName": (need,),
        "diskURI": (need,),
        "cachingMode": (one_of("None", "ReadOnly", "ReadWrite"),),
        "kind": (one_of("Dedicated", "Managed", "Shared"),),
    },
    "core.v1.VsphereVirtualDiskVolumeSource": {"volumePath": (need,)},
    "core.v1.PhotonPersistentDiskVolumeSource": {"pdID": (need,)},
    "core.v1.PortworxVolumeSource": _VOLUME_ID,
    "core.v1.ScaleIOVolumeSource": _SCALE_IO,
    "core.v1.ScaleIOPersistentVolumeSource": _SCALE_IO,
    "core.v1.StorageOSVolumeSource": _STORAGE_OS,
    "core.v1.StorageOSPersistentVolumeSource": _STORAGE_OS,
    "core.v1.LocalVolumeSource": {"path": (need, lambda value, path: no_backsteps(value or "", path))},
    "core.v1.CSIVolumeSource": {"driver": (csi_driver,)},
    "core.v1.CSIPersistentVolumeSource": {
        "driver": (csi_driver,),
        "volumeHandle": (need,),
        "controllerPublishSecretRef": (_whole_reference,),
        "controllerExpandSecretRef": (_whole_reference,),
        "nodePublishSecretRef": (_whole_reference,),
        "nodeExpandSecretRef": (_whole_reference,),
    },
    "core.v1.EphemeralVolumeSource": {"volumeClaimTemplate": (needed("it is what the claim is made of"),)},
    "core.v1.PersistentVolumeClaimTemplate": {"": (_ephemeral_template,)},
    "core.v1.ImageVolumeSource": {"pullPolicy": (one_of("Always", "IfNotPresent", "Never"),)},
}
AFTERWARDS: Afterwards = {"core.v1.Volume": of_the_first(SOURCES)}
