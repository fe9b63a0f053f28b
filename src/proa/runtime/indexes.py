"""What objects are commonly looked up by: `pods = store.index(indexes.by_node)`, then `pods["node-1"]`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from proa.kube.models import Resource

__all__ = ["by_controller", "by_label", "by_namespace", "by_node", "by_owner"]


class _Spec(Protocol):
    @property
    def node_name(self) -> str | None: ...


class Bound(Protocol):
    """What runs on a node: a pod."""

    @property
    def spec(self) -> _Spec: ...


def by_owner(obj: Resource) -> Iterable[str]:
    """By the uid of each owner."""
    return [owner.uid for owner in obj.metadata.owner_references]


def by_controller(obj: Resource) -> Iterable[str]:
    """By the uid of the owner that controls it."""
    return [owner.uid for owner in obj.metadata.owner_references if owner.controller]


def by_namespace(obj: Resource) -> Iterable[str]:
    """By namespace."""
    return [obj.metadata.namespace or ""]


def by_node(pod: Bound) -> Iterable[str]:
    """By the name of the node that a pod is bound to; a pod that is not bound is under no name."""
    return [pod.spec.node_name] if pod.spec.node_name else []


def by_label(key: str) -> Callable[[Resource], Iterable[str]]:
    """By the value of a label; an object without the label is under no value."""
    return lambda obj: [obj.metadata.labels[key]] if key in obj.metadata.labels else []
