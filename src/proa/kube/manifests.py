"""Manifests: YAML or JSON with objects of any kinds, and the order in which they depend on each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from proa.kube.errors import ManifestError
from proa.kube.models import DynamicObject

__all__ = ["ORDER", "dump", "in_order", "parse", "read"]

# What others need comes first; what is not listed (custom resources) comes after what may define it, last
# what acts on pods that are already wanted.
ORDER = (
    "Namespace",
    "CustomResourceDefinition",
    "PriorityClass",
    "RuntimeClass",
    "StorageClass",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "ClusterRole",
    "ClusterRoleBinding",
    "Role",
    "RoleBinding",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
)
_LAST = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
_RANKS = {kind: rank for rank, kind in enumerate(ORDER)} | dict.fromkeys(_LAST, 1001)
_OTHERS = 1000


def read(path: Path) -> list[DynamicObject]:
    """Read a file, or all `.yaml`, `.yml` and `.json` files of a directory, by name.

    Raises:
        ManifestError: naming the file and the document in it.
    """
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml", ".json"})
        if not files:
            raise ManifestError(f"{path}: has no .yaml, .yml or .json file")
        return [obj for file in files for obj in read(file)]
    try:
        text = path.read_text()
    except OSError as error:
        raise ManifestError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{path}: is not text in UTF-8") from error
    return parse(text, str(path))


def parse(text: str, source: str = "manifest") -> list[DynamicObject]:
    """Read a text; the items of a List are taken out of it, empty documents are passed over.

    Args:
        text: YAML with any number of documents, or JSON.
        source: how messages call it.

    Raises:
        ManifestError: naming the source and the document in it.
    """
    import yaml

    try:
        documents = list(yaml.load_all(text, Loader=_loader()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" at line {mark.line + 1}" if mark else ""
        raise ManifestError(
            f"{source}: is not YAML{line}: {getattr(error, 'problem', None) or 'unreadable'}"
        ) from error
    found = []
    for number, document in enumerate(documents, 1):
        where = source if len(documents) == 1 else f"{source}: document {number}"
        found += list(_objects(document, where))
    return found


def in_order(objects: Iterable[DynamicObject]) -> list[DynamicObject]:
    """Return objects with those first that others need; else as they came."""
    return sorted(objects, key=lambda obj: _RANKS.get(obj.kind, _OTHERS))


def dump(obj: DynamicObject) -> str:
    """Return an object as YAML."""
    import yaml

    text: str = yaml.safe_dump(obj.to_document(), sort_keys=False, allow_unicode=True)
    return text


def _objects(document: object, where: str) -> Iterator[DynamicObject]:
    if document is None:
        return
    if not isinstance(document, dict):
        raise ManifestError(f"{where}: is no object but {type(document).__name__}")
    kind = document.get("kind")
    if isinstance(kind, str) and kind.endswith("List") and isinstance(document.get("items"), list):
        for index, item in enumerate(document["items"]):
            yield from _objects(item, f"{where}: items[{index}]")
        return
    for name in ("apiVersion", "kind"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise ManifestError(f"{where}: {name}: is missing")
    yield _object(document, where)


def _object(document: dict[str, Any], where: str) -> DynamicObject:
    try:
        obj = DynamicObject.from_document(document)
    except msgspec.ValidationError as error:
        raise ManifestError(f"{where}: {error}") from error
    if not (obj.metadata.name or obj.metadata.generate_name):
        raise ManifestError(f"{where}: metadata.name: is missing")
    return obj


@cache
def _loader() -> Any:
    """Return YAML's safe loader without its timestamps: in manifests those are texts."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    resolvers = {
        first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
        for first, found in base.yaml_implicit_resolvers.items()
    }
    return type("_ManifestLoader", (base,), {"yaml_implicit_resolvers": resolvers})
