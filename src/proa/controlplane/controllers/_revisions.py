"""The ReplicaSets of a Deployment as revisions of its template."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from proa.controlplane.controllers._pods import controlled_by
from proa.kube import encode
from proa.kube.models.apps_v1 import Deployment, ReplicaSet, ReplicaSetSpec
from proa.kube.models.core_v1 import PodTemplateSpec
from proa.kube.models.meta_v1 import LabelSelector, ObjectMeta

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED = "deployment.kubernetes.io/desired-replicas"
MAXIMUM = "deployment.kubernetes.io/max-replicas"
NOT_INHERITED = {
    "kubectl.kubernetes.io/last-applied-configuration",
    "deployment.kubernetes.io/revision-history",
    "deprecated.deployment.rollback.to",
    REVISION,
    DESIRED,
    MAXIMUM,
}

# Without vowels and look-alikes, as in Kubernetes, so that no hash spells a word.
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def find_new(deployment: Deployment, sets: Sequence[ReplicaSet]) -> ReplicaSet | None:
    """Return the oldest set made from the template that the Deployment has now."""
    template = _plain(deployment.spec.template)
    same = [candidate for candidate in sets if _plain(candidate.spec.template) == template]
    return min(same, key=age, default=None)


def age(replica_set: ReplicaSet) -> tuple[float, str]:
    """Return a key that sorts sets from the oldest to the youngest."""
    created = replica_set.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, replica_set.metadata.name or "")


def revision(replica_set: ReplicaSet) -> int:
    """Return the revision a set stands for; 0 if it doesn't say."""
    try:
        return int(replica_set.metadata.annotations.get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(old: Sequence[ReplicaSet]) -> int:
    """Return the revision of a new set beside `old` ones."""
    return max(map(revision, old), default=0) + 1


def template_hash(deployment: Deployment) -> str:
    """Return the hash that names the set for the Deployment's template."""
    salt = str(deployment.status.collision_count or 0).encode()
    number = int.from_bytes(hashlib.sha256(encode(deployment.spec.template) + salt).digest()[:8], "big")
    digits = []
    for _ in range(10):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return "".join(digits)


def inherited(deployment: Deployment) -> dict[str, str]:
    """Return the annotations that a set takes over from its Deployment."""
    return {key: text for key, text in deployment.metadata.annotations.items() if key not in NOT_INHERITED}


def new_set(deployment: Deployment, size: int, limit: int, old: Sequence[ReplicaSet]) -> ReplicaSet:
    """Return the set to create for the Deployment's template."""
    digest = template_hash(deployment)
    spec = deployment.spec
    metadata = spec.template.metadata
    labels = {**metadata.labels, HASH_LABEL: digest}
    return ReplicaSet(
        metadata=ObjectMeta(
            name=f"{deployment.metadata.name}-{digest}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            annotations={
                **inherited(deployment),
                REVISION: str(next_revision(old)),
                **sizing(spec.replicas or 0, limit),
            },
            owner_references=[controlled_by(deployment)],
        ),
        spec=ReplicaSetSpec(
            replicas=size,
            min_ready_seconds=spec.min_ready_seconds,
            selector=LabelSelector(
                match_labels={**spec.selector.match_labels, HASH_LABEL: digest},
                match_expressions=spec.selector.match_expressions,
            ),
            template=PodTemplateSpec(
                metadata=msgspec.structs.replace(metadata, labels=labels), spec=spec.template.spec
            ),
        ),
    )


def changes(deployment: Deployment, new: ReplicaSet, number: int) -> dict[str, Any]:
    """Return the patch by which the newest set, of revision `number`, follows its Deployment; {} for none."""
    wanted = {**inherited(deployment), REVISION: str(number)}
    annotations = {key: text for key, text in wanted.items() if new.metadata.annotations.get(key) != text}
    found: dict[str, Any] = {"metadata": {"annotations": annotations}} if annotations else {}
    if (new.spec.min_ready_seconds or 0) != (deployment.spec.min_ready_seconds or 0):
        found["spec"] = {"minReadySeconds": deployment.spec.min_ready_seconds or 0}
    return found


def sizing(desired: int, limit: int) -> dict[str, str]:
    """Return the annotations by which a later resize knows what a set's size was a share of."""
    return {DESIRED: str(desired), MAXIMUM: str(limit)}


def _plain(template: PodTemplateSpec) -> PodTemplateSpec:
    labels = {key: text for key, text in template.metadata.labels.items() if key != HASH_LABEL}
    return msgspec.structs.replace(
        template, metadata=msgspec.structs.replace(template.metadata, labels=labels)
    )
