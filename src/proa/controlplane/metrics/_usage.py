"""What is used, from two readings: processors as a rate between them, memory as of the later one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime

from proa.controlplane._json import Document

from ._scrape import Container, Figures, Reading

API_VERSION = "metrics.k8s.io/v1beta1"


def node_metrics(name: str, labels: Mapping[str, str], before: Reading, now: Reading) -> Document | None:
    """Return a NodeMetrics; None if the readings do not say enough."""
    usage = _usage(before.node, now.node, now.at - before.at)
    if usage is None:
        return None
    return _head("NodeMetrics", name, None, labels, before, now) | {"usage": usage}


def pod_metrics(
    namespace: str, name: str, labels: Mapping[str, str], before: Reading, now: Reading
) -> Document | None:
    """Return a PodMetrics; None if the readings say nothing of one of its containers or of all."""
    mine = {
        key: figures
        for key, figures in now.containers.items()
        if (key.namespace, key.pod) == (namespace, name)
    }
    containers = []
    for key, figures in sorted(mine.items()):
        usage = _of_container(key, figures, before, now)
        if usage is None:
            return None
        containers.append({"name": key.name, "usage": usage})
    if not containers:
        return None
    return _head("PodMetrics", name, namespace, labels, before, now) | {"containers": containers}


def _of_container(key: Container, figures: Figures, before: Reading, now: Reading) -> Document | None:
    """A container that started between the readings is measured from its start."""
    known = before.containers.get(key)
    if known is not None and known.started == figures.started:
        return _usage(known, figures, now.at - before.at)
    if figures.started <= 0 or now.at - figures.started > now.at - before.at:
        return None
    return _usage(Figures(cpu=0.0), figures, now.at - figures.started)


def _usage(before: Figures, now: Figures, seconds: float) -> Document | None:
    if before.cpu is None or now.cpu is None or now.memory is None or now.cpu < before.cpu or seconds <= 0:
        return None
    nanocores = math.ceil((now.cpu - before.cpu) / seconds * 1e9)
    return {"cpu": f"{nanocores}n" if nanocores else "0", "memory": f"{int(now.memory) // 1024}Ki"}


def _head(
    kind: str, name: str, namespace: str | None, labels: Mapping[str, str], before: Reading, now: Reading
) -> Document:
    at = datetime.fromtimestamp(now.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata: Document = {"name": name, "creationTimestamp": at}
    if namespace is not None:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    return {
        "kind": kind,
        "apiVersion": API_VERSION,
        "metadata": metadata,
        "timestamp": at,
        "window": f"{now.at - before.at:.3f}s",
    }
