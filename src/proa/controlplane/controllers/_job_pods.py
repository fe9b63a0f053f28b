"""What a Job asks of its pods, and the pods that it makes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import msgspec

from proa.controlplane.controllers._pods import EPOCH, controlled_by, is_going
from proa.kube.models.batch_v1 import Job, PodFailurePolicyRule
from proa.kube.models.core_v1 import (
    Container,
    ContainerStateTerminated,
    EnvVar,
    EnvVarSource,
    ObjectFieldSelector,
    Pod,
)
from proa.kube.models.meta_v1 import ObjectMeta

TRACKING = "batch.kubernetes.io/job-tracking"
"""The finalizer that keeps a finished pod until the Job's status counts it."""

NAME = "batch.kubernetes.io/job-name"
INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"


def is_indexed(job: Job) -> bool:
    """Tell whether each of the Job's pods stands for an index."""
    return job.spec.completion_mode == "Indexed"


def replaces_failed_only(job: Job) -> bool:
    """Tell whether a pod that is going has to be gone before another takes its place."""
    return job.spec.pod_replacement_policy == "Failed" or job.spec.pod_failure_policy is not None


def is_tracked(pod: Pod) -> bool:
    """Tell whether a pod has not been counted yet."""
    return TRACKING in pod.metadata.finalizers


def has_succeeded(pod: Pod) -> bool:
    """Tell whether a pod did its work."""
    return pod.status.phase == "Succeeded"


def has_failed(job: Job, pod: Pod) -> bool:
    """Tell whether a pod failed; one deleted by somebody counts, as it may never get to say so itself."""
    if pod.status.phase == "Failed":
        return True
    going = is_going(pod) and not has_succeeded(pod)
    return going and not replaces_failed_only(job)


def index_of(job: Job, pod: Pod) -> int | None:
    """Return the completion index that a pod stands for; None if it is none of the Job's, or no more."""
    text = pod.metadata.annotations.get(INDEX, "")
    index = int(text) if text.isdecimal() and is_indexed(job) else None
    return index if index is not None and index < (job.spec.completions or 0) else None


def failures_of(pod: Pod) -> int:
    """Return how often the pod's index had failed when the pod was made."""
    text = pod.metadata.annotations.get(FAILURES, "0")
    return int(text) if text.isdecimal() else 0


def finished_at(pod: Pod) -> datetime:
    """Return when a finished pod ended: its last container's end, else its deletion or creation."""
    ends = [end.finished_at for _, end in terminations(pod) if end.finished_at]
    fallback = pod.metadata.deletion_timestamp or pod.metadata.creation_timestamp or EPOCH
    return max(ends, default=fallback)


def terminations(pod: Pod) -> list[tuple[str, ContainerStateTerminated]]:
    """Return the name and end of each container that has ended."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    return [(one.name, one.state.terminated) for one in statuses if one.state.terminated]


def restarts_of(pod: Pod) -> int:
    """Return how often the pod's containers were started anew."""
    return sum(
        one.restart_count for one in [*pod.status.init_container_statuses, *pod.status.container_statuses]
    )


@dataclass(frozen=True)
class Judgement:
    """What the Job's pod failure policy says of a failed pod."""

    action: str
    message: str


def judge(job: Job, pod: Pod) -> Judgement:
    """Apply the pod failure policy: the first rule that matches; without one the failure counts."""
    rules = job.spec.pod_failure_policy.rules if job.spec.pod_failure_policy else []
    for number, rule in enumerate(rules):
        if (why := _matches(rule, pod)) is not None:
            return Judgement(rule.action, f"{why} matching {rule.action} rule at index {number}")
    return Judgement("Count", "")


def _matches(rule: PodFailurePolicyRule, pod: Pod) -> str | None:
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if codes := rule.on_exit_codes:
        for container, end in terminations(pod):
            named = codes.container_name in {None, container}
            listed = end.exit_code in codes.values
            if named and end.exit_code != 0 and listed == (codes.operator == "In"):
                return f"Container {container} for pod {name} failed with exit code {end.exit_code}"
    conditions = {condition.type: condition.status for condition in pod.status.conditions}
    for pattern in rule.on_pod_conditions:
        if conditions.get(pattern.type) == (pattern.status or "True"):
            return f"Pod {name} has condition {pattern.type}"
    return None


def new_pod(job: Job, index: int | None, failures: int = 0) -> Pod:
    """Return a pod of the Job, for an index if it has them; the server completes its name."""
    template, name = job.spec.template, job.metadata.name
    metadata = ObjectMeta(
        generate_name=f"{name}-" if index is None else f"{name}-{index}-",
        namespace=job.metadata.namespace,
        labels=dict(template.metadata.labels),
        annotations=dict(template.metadata.annotations),
        finalizers=[*template.metadata.finalizers, TRACKING],
        owner_references=[controlled_by(job)],
    )
    spec = template.spec
    if index is not None:
        metadata.labels[INDEX] = metadata.annotations[INDEX] = str(index)
        spec = msgspec.structs.replace(
            spec,
            hostname=spec.hostname or f"{name}-{index}",
            containers=_told(spec.containers),
            init_containers=_told(spec.init_containers),
        )
    if job.spec.backoff_limit_per_index is not None:
        metadata.annotations[FAILURES] = str(failures)
    return Pod(metadata=metadata, spec=spec)


def _told(containers: Iterable[Container]) -> list[Container]:
    """Tell containers their index."""
    field = ObjectFieldSelector(field_path=f"metadata.annotations['{INDEX}']")
    variable = EnvVar(name="JOB_COMPLETION_INDEX", value_from=EnvVarSource(field_ref=field))
    return [
        one
        if any(known.name == variable.name for known in one.env)
        else msgspec.structs.replace(one, env=[*one.env, variable])
        for one in containers
    ]
