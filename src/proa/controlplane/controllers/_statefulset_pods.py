"""The pods of a StatefulSet: a name, a place and claims that stay, whichever revision they are made from."""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from proa.controlplane.controllers._history import HASH, template_of
from proa.controlplane.controllers._pods import controlled_by
from proa.kube.models.apps_v1 import ControllerRevision, StatefulSet
from proa.kube.models.core_v1 import (
    PersistentVolumeClaim,
    PersistentVolumeClaimVolumeSource,
    Pod,
    Volume,
)
from proa.kube.models.meta_v1 import ObjectMeta, OwnerReference

POD_NAME = "statefulset.kubernetes.io/pod-name"
POD_INDEX = "apps.kubernetes.io/pod-index"


def first_ordinal(stateful_set: StatefulSet) -> int:
    """Return the number that the pods' numbering begins with."""
    return (stateful_set.spec.ordinals.start if stateful_set.spec.ordinals else 0) or 0


def ordinals(stateful_set: StatefulSet) -> range:
    """Return the numbers that the pods are to have."""
    start = first_ordinal(stateful_set)
    return range(start, start + (1 if stateful_set.spec.replicas is None else stateful_set.spec.replicas))


def pod_name(stateful_set: StatefulSet, ordinal: int) -> str:
    """Return the name of the set's pod of that number."""
    return f"{stateful_set.metadata.name}-{ordinal}"


def ordinal_of(stateful_set: StatefulSet, pod: Pod) -> int | None:
    """Return a pod's number; None if its name is none of the set's."""
    match = re.fullmatch(
        re.escape(stateful_set.metadata.name or "") + r"-(0|[1-9]\d*)", pod.metadata.name or ""
    )
    return int(match[1]) if match else None


def revision_of(pod: Pod) -> str | None:
    """Return the name of the revision that a pod was made from."""
    return pod.metadata.labels.get(HASH)


def claim_names(stateful_set: StatefulSet, ordinal: int) -> Mapping[str, str]:
    """Return the claims of the pod of that number, by the name of their template."""
    templates = [one.metadata.name or "" for one in stateful_set.spec.volume_claim_templates]
    return {name: f"{name}-{pod_name(stateful_set, ordinal)}" for name in templates}


def new_pod(stateful_set: StatefulSet, ordinal: int, revision: ControllerRevision) -> Pod:
    """Return the pod of that number as `revision` has it."""
    template, name = template_of(revision), pod_name(stateful_set, ordinal)
    claims = claim_names(stateful_set, ordinal)
    volumes = [one for one in template.spec.volumes if one.name not in claims]
    volumes += [
        Volume(name=volume, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=claim))
        for volume, claim in claims.items()
    ]
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace=stateful_set.metadata.namespace,
            labels={
                **template.metadata.labels,
                POD_NAME: name,
                POD_INDEX: str(ordinal),
                HASH: revision.metadata.name or "",
            },
            annotations=dict(template.metadata.annotations),
            finalizers=list(template.metadata.finalizers),
            owner_references=[controlled_by(stateful_set)],
        ),
        spec=msgspec.structs.replace(
            template.spec, hostname=name, subdomain=stateful_set.spec.service_name, volumes=volumes
        ),
    )


def new_claims(stateful_set: StatefulSet, ordinal: int) -> list[PersistentVolumeClaim]:
    """Return the claims that the pod of that number needs; they outlive it, and by default also the set."""
    names = claim_names(stateful_set, ordinal)
    policy = stateful_set.spec.persistent_volume_claim_retention_policy
    goes = policy is not None and policy.when_deleted == "Delete"
    owners = [_owned_by(stateful_set)] if goes else []
    return [
        PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=names[template.metadata.name or ""],
                namespace=stateful_set.metadata.namespace,
                labels={**template.metadata.labels, **stateful_set.spec.selector.match_labels},
                annotations=dict(template.metadata.annotations),
                owner_references=owners,
            ),
            spec=template.spec,
        )
        for template in stateful_set.spec.volume_claim_templates
    ]


def _owned_by(owner: StatefulSet | Pod) -> OwnerReference:
    return OwnerReference(
        api_version=owner.api_version,
        kind=owner.kind,
        name=owner.metadata.name or "",
        uid=owner.metadata.uid or "",
    )


def owners_of_claim(
    stateful_set: StatefulSet, pod: Pod, claim: PersistentVolumeClaim
) -> list[OwnerReference]:
    """Return with whom the claim of a pod that is there is to go, as the set's policy says now.

    That is the pod itself, if it is beyond the set's size, or the set, or nobody. Owners that others gave it
    stay.
    """
    kept = [one for one in claim.metadata.owner_references if not _is_ours(stateful_set, pod, one)]
    policy = stateful_set.spec.persistent_volume_claim_retention_policy
    if policy is None:
        return kept
    if policy.when_scaled == "Delete" and ordinal_of(stateful_set, pod) not in ordinals(stateful_set):
        return [*kept, _owned_by(pod)]
    return [*kept, _owned_by(stateful_set)] if policy.when_deleted == "Delete" else kept


def goes_with_former_pod(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Tell whether a claim goes with a pod of this one's name that is no more: it is another's data."""
    return any(
        one.kind == "Pod" and one.name == pod.metadata.name and one.uid != pod.metadata.uid
        for one in claim.metadata.owner_references
    )


def _is_ours(stateful_set: StatefulSet, pod: Pod, owner: OwnerReference) -> bool:
    return owner.uid == stateful_set.metadata.uid or (owner.kind == "Pod" and owner.uid == pod.metadata.uid)
