"""What a DaemonSet needs next: a plain function of the set, its pods, the nodes and the time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from proa.controlplane.controllers._history import HASH, hash_of, template_of
from proa.controlplane.controllers._pods import EPOCH, available_since, controlled_by, is_active, is_ready
from proa.controlplane.scheduler import admits, effective, untolerated
from proa.kube.models import scaled
from proa.kube.models.apps_v1 import ControllerRevision, DaemonSet, DaemonSetStatus
from proa.kube.models.core_v1 import (
    Affinity,
    Node,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Pod,
    Toleration,
)
from proa.kube.models.meta_v1 import ObjectMeta

NAME_FIELD = "metadata.name"
_EVICTING = ("not-ready", "unreachable")
_PRESSING = ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
STARTING = frozenset({"NoSchedule", "NoExecute"})
STAYING = frozenset({"NoExecute"})


@dataclass
class Place:
    """A node and the set's pods on it.

    Attributes:
        runs: Whether a pod is to be there.
        stays: Whether one that is there may stay.
        old: Active pods of other revisions.
        new: Active pods of the newest one.
        failed: Pods that have ended.
        going: Pods that have been deleted.
    """

    name: str
    runs: bool = False
    stays: bool = False
    old: list[Pod] = field(default_factory=list)
    new: list[Pod] = field(default_factory=list)
    failed: list[Pod] = field(default_factory=list)
    going: list[Pod] = field(default_factory=list)

    @property
    def active(self) -> list[Pod]:
        """The pods that run or will, the oldest first."""
        return sorted([*self.old, *self.new], key=lambda pod: pod.metadata.creation_timestamp or EPOCH)


@dataclass(frozen=True)
class Plan:
    """The writes that bring the set closer to what it says."""

    create: tuple[Pod, ...]
    delete: tuple[Pod, ...]
    failed: tuple[Pod, ...]
    """Those of `delete` that have ended: not to be replaced at once again and again."""


def tolerations() -> list[Toleration]:
    """Return what every pod of a DaemonSet tolerates, as it is part of its node."""
    prefix = "node.kubernetes.io/"
    return [
        *(Toleration(key=prefix + key, operator="Exists", effect="NoExecute") for key in _EVICTING),
        *(Toleration(key=prefix + key, operator="Exists", effect="NoSchedule") for key in _PRESSING),
    ]


def new_pod(daemon_set: DaemonSet, node_name: str, revision: ControllerRevision) -> Pod:
    """Return the set's pod for a node; the scheduler puts it there, as its affinity leaves no choice."""
    template = template_of(revision)
    return Pod(
        metadata=ObjectMeta(
            generate_name=f"{daemon_set.metadata.name}-",
            namespace=daemon_set.metadata.namespace,
            labels={**template.metadata.labels, HASH: hash_of(revision)},
            annotations=dict(template.metadata.annotations),
            finalizers=list(template.metadata.finalizers),
            owner_references=[controlled_by(daemon_set)],
        ),
        spec=msgspec.structs.replace(
            template.spec,
            affinity=_pinned(template.spec.affinity, node_name),
            tolerations=[*template.spec.tolerations, *tolerations()],
        ),
    )


def _pinned(affinity: Affinity | None, node_name: str) -> Affinity:
    """Bind to one node. Other required terms were looked at before, and are replaced as in Kubernetes."""
    name = NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=[node_name])
    only = NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=[name])])
    affinity = affinity or Affinity()
    node_affinity = msgspec.structs.replace(
        affinity.node_affinity or NodeAffinity(), required_during_scheduling_ignored_during_execution=only
    )
    return msgspec.structs.replace(affinity, node_affinity=node_affinity)


def node_of(pod: Pod) -> str:
    """Return the node that a pod is on, or bound for."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    for term in required.node_selector_terms if required else ():
        for requirement in term.match_fields:
            if requirement.key == NAME_FIELD and requirement.values:
                return requirement.values[0]
    return ""


def places(
    daemon_set: DaemonSet, pods: Iterable[Pod], nodes: Iterable[Node], revision: ControllerRevision
) -> list[Place]:
    """Return every node, and every other name that a pod of the set says it is on."""
    found: dict[str, Place] = {}
    spec = daemon_set.spec.template.spec
    tolerated = [*spec.tolerations, *tolerations()]
    probe = Pod(spec=spec)
    for node in nodes:
        name = node.metadata.name or ""
        fits = admits(probe, node) and spec.node_name in {None, "", name}
        hard = {taint.effect for taint in untolerated(effective(node), tolerated, STARTING)}
        found[name] = Place(name, runs=fits and not hard, stays=fits and not hard & STAYING)
    for pod in pods:
        place = found.setdefault(node_of(pod), Place(node_of(pod)))
        if not is_active(pod):
            (place.failed if pod.metadata.deletion_timestamp is None else place.going).append(pod)
        elif pod.metadata.labels.get(HASH) == hash_of(revision):
            place.new.append(pod)
        else:
            place.old.append(pod)
    return list(found.values())


def plan(daemon_set: DaemonSet, where: Sequence[Place], revision: ControllerRevision, now: datetime) -> Plan:
    """Return what to do next."""
    create: list[str] = []
    delete: list[Pod] = []
    failed = [pod for place in where for pod in place.failed]
    for place in where:
        if place.stays:
            # One pod a node; the oldest of a revision is kept.
            for kind in (place.old, place.new):
                delete += sorted(kind, key=lambda pod: pod.metadata.creation_timestamp or EPOCH)[1:]
            if place.runs and not (place.active or place.failed or place.going):
                create.append(place.name)
        else:
            delete += place.active
    rolled_create, rolled_delete = _roll(daemon_set, where, now)
    chosen = {pod.metadata.uid: pod for pod in (*failed, *delete, *rolled_delete)}
    pods = [new_pod(daemon_set, name, revision) for name in (*create, *rolled_create)]
    return Plan(tuple(pods), tuple(chosen.values()), tuple(failed))


def _roll(daemon_set: DaemonSet, where: Sequence[Place], now: datetime) -> tuple[list[str], list[Pod]]:
    """Return the nodes that get a new pod beside the old one, and the old pods that go."""
    if daemon_set.spec.update_strategy.type == "OnDelete":
        return [], []
    rolling = daemon_set.spec.update_strategy.rolling_update
    desired = sum(place.runs for place in where)
    surge = scaled((rolling.max_surge if rolling else None) or 0, desired, round_up=True)
    if surge:
        return _roll_with_surge(daemon_set, where, surge, now)
    given = rolling.max_unavailable if rolling and rolling.max_unavailable is not None else 1
    most = max(1, scaled(given, desired, round_up=True))
    return [], _roll_in_place(daemon_set, where, most, now)


def _roll_in_place(daemon_set: DaemonSet, where: Sequence[Place], most: int, now: datetime) -> list[Pod]:
    """End old pods: what does not serve at once, of the others as many as may be missing."""
    ending: list[Pod] = []
    serving: list[Pod] = []
    missing = 0
    for place in where:
        if not place.runs:
            continue
        available = [pod for pod in place.active if _is_available(daemon_set, pod, now)]
        missing += not available
        if place.old:
            alone = [pod for pod in available if pod in place.old] == available
            (serving if available and alone else ending).append(place.old[0])
    return ending + serving[: max(0, most - missing)]


def _roll_with_surge(
    daemon_set: DaemonSet, where: Sequence[Place], most: int, now: datetime
) -> tuple[list[str], list[Pod]]:
    """Put new pods beside old ones; an old one goes once the new one serves, or at once if it does not."""
    ending: list[Pod] = []
    waiting: list[str] = []
    surging = 0
    for place in where:
        if not place.runs or not place.old or place.failed:
            continue
        if any(_is_available(daemon_set, pod, now) for pod in place.new) or (
            not place.new and not _is_available(daemon_set, place.old[0], now)
        ):
            ending += place.old
        elif place.new:
            surging += 1
        else:
            waiting.append(place.name)
    return waiting[: max(0, most - surging)], ending


def _is_available(daemon_set: DaemonSet, pod: Pod, now: datetime) -> bool:
    since = available_since(pod, daemon_set.spec.min_ready_seconds or 0)
    return since is not None and since <= now


def status(
    daemon_set: DaemonSet, where: Sequence[Place], now: datetime
) -> tuple[DaemonSetStatus, float | None]:
    """Return the set's status, and the seconds until time alone makes another pod available."""
    wanted = [place for place in where if place.runs]
    ready = sum(any(map(is_ready, place.active)) for place in wanted)
    available = sum(any(_is_available(daemon_set, pod, now) for pod in place.active) for place in wanted)
    patience = daemon_set.spec.min_ready_seconds or 0
    ends = [available_since(pod, patience) for place in wanted for pod in place.active]
    left = [(end - now).total_seconds() for end in ends if end is not None and end > now]
    result = DaemonSetStatus(
        observed_generation=daemon_set.metadata.generation,
        desired_number_scheduled=len(wanted),
        current_number_scheduled=sum(bool(place.active) for place in wanted),
        number_misscheduled=sum(bool(place.active) for place in where if not place.runs),
        number_ready=ready,
        number_available=available,
        number_unavailable=len(wanted) - available,
        updated_number_scheduled=sum(bool(place.new) for place in wanted),
        collision_count=daemon_set.status.collision_count,
        conditions=daemon_set.status.conditions,
    )
    return result, min(left, default=None)
