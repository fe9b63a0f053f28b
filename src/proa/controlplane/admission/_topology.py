"""Pods carry the topology labels of their node, for the downward API.

https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#pod-topology-labels
"""

from __future__ import annotations

from proa.controlplane.registry import Review
from proa.controlplane.storage import Key, Store

_LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


class TopologyLabels:
    """Labels pods by where their node is, when they are given to it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def copy(self, review: Review) -> None:
        """Labels a pod that is bound to a node, or that is created on one."""
        given = review.subresource == "binding" or (review.operation == "CREATE" and not review.subresource)
        if review.new is None or not given or not review.new["spec"].get("nodeName"):
            return
        node = self._store.latest(Key("nodes", "", review.new["spec"]["nodeName"]))
        labels = (node.lazy()["metadata"].get("labels") or {}) if node is not None else {}
        found = {name: labels[name] for name in _LABELS if name in labels}
        if found:
            metadata = review.new["metadata"]
            review.new["metadata"] = {**metadata, "labels": {**(metadata.get("labels") or {}), **found}}
