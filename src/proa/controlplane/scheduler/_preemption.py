"""Which pods of lower priority make room for one that fits nowhere: a plain function, as the decision is.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from proa.controlplane.scheduler._cluster import Cluster, NodeView, Placed
from proa.controlplane.scheduler._demand import Demand
from proa.controlplane.scheduler._filters import checks, obstacles
from proa.controlplane.scheduler._schedule import DEFAULT, Profile, Unschedulable, available
from proa.kube import Selector
from proa.kube.models.core_v1 import Pod
from proa.kube.models.policy_v1 import PodDisruptionBudget

NOT_YET = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Preemption:
    """A node, and the pods that have to leave it so that another can come.

    Attributes:
        node_name: The node.
        victims: The pods, those of highest priority first.
        broken: How many of them a disruption budget would have kept.
    """

    node_name: str
    victims: tuple[Pod, ...]
    broken: int = 0

    @property
    def cost(self) -> tuple[float, ...]:
        """What is lost; where the least is lost is best. The order is kube-scheduler's."""
        priorities = [_priority(pod) for pod in self.victims]
        first = [_started(pod) for pod in self.victims if _priority(pod) == priorities[0]]
        return self.broken, priorities[0], sum(priorities), len(priorities), -min(first)


@dataclass(frozen=True)
class NoPreemption:
    """Nothing would be won; the message goes on where the verdict's ends."""

    message: str


def preempt(
    pod: Pod,
    cluster: Cluster,
    verdict: Unschedulable,
    budgets: Iterable[PodDisruptionBudget] = (),
    profile: Profile = DEFAULT,
) -> Preemption | NoPreemption:
    """Return what has to go so that `pod` fits; the cluster is as before afterwards.

    Budgets are honoured if another choice exists; if none does, they are not.
    """
    if pod.spec.preemption_policy == "Never":
        return NoPreemption("preemption: not eligible due to preemptionPolicy=Never.")
    if _awaits(pod, cluster):
        return NoPreemption("preemption: not eligible due to a terminating pod on the nominated node.")
    known = list(budgets)
    choices = []
    helpless: Counter[str] = Counter()
    for view in cluster.nodes.values():
        against = verdict.obstacles.get(view.name, ())
        if verdict.hopeless is not None or any(obstacle.final for obstacle in against):
            helpless["Preemption is not helpful for scheduling"] += 1
        elif choice := _choice(pod, cluster, view, known, profile):
            choices.append(choice)
        else:
            helpless["No preemption victims found for incoming pod"] += 1
    if choices:
        return min(choices, key=lambda choice: choice.cost)
    return NoPreemption(f"preemption: {available(verdict.nodes, helpless)}")


def _awaits(pod: Pod, cluster: Cluster) -> bool:
    """Tell whether pods that were told to make room for this one are still leaving."""
    on = cluster.on(cluster.nomination(pod) or "")
    return any(
        one.pod.metadata.deletion_timestamp is not None and _priority(one.pod) < _priority(pod) for one in on
    )


def _choice(
    pod: Pod, cluster: Cluster, view: NodeView, budgets: Sequence[PodDisruptionBudget], profile: Profile
) -> Preemption | None:
    """Take all pods of lower priority away, then give back as many as possible, the most important first."""
    lower = [one for one in cluster.on(view.name) if _priority(one.pod) < _priority(pod)]
    if not lower:
        return None
    demand, gone = Demand.of(pod), list(lower)

    def fits(without: Sequence[Placed]) -> bool:
        with cluster.supposing(gone=without):
            judges = checks(pod, demand, cluster, profile.without)
            return not obstacles(judges, view, cluster.usage(view.name))

    if not fits(gone):
        return None
    kept, free = _by_budget(sorted(lower, key=_importance), budgets)
    for one in (*kept, *free):
        rest = [other for other in gone if other is not one]
        if fits(rest):
            gone = rest
    if not gone:
        return None  # it fits as it is: the verdict was about those nominated
    broken = sum(one in kept for one in gone)
    return Preemption(view.name, tuple(one.pod for one in sorted(gone, key=_importance)), broken)


def _by_budget(
    pods: Iterable[Placed], budgets: Sequence[PodDisruptionBudget]
) -> tuple[list[Placed], list[Placed]]:
    """Split pods into those whose end would break a budget, and the others."""
    left = {id(budget): budget.status.disruptions_allowed or 0 for budget in budgets}
    kept: list[Placed] = []
    free: list[Placed] = []
    for one in pods:
        concerned = [id(budget) for budget in budgets if _protects(budget, one.pod)]
        for budget in concerned:
            left[budget] -= 1
        (kept if any(left[budget] < 0 for budget in concerned) else free).append(one)
    return kept, free


def _protects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    selector = budget.spec.selector
    return (
        budget.metadata.namespace == pod.metadata.namespace
        and selector is not None
        and Selector.of(selector).matches(pod.metadata.labels)
        and (pod.metadata.name or "") not in budget.status.disrupted_pods
    )


def _importance(placed: Placed) -> tuple[int, float]:
    """Sort the most important first: the highest priority, then the longest running."""
    return -_priority(placed.pod), _started(placed.pod)


def _priority(pod: Pod) -> int:
    return pod.spec.priority or 0


def _started(pod: Pod) -> float:
    return (pod.status.start_time or NOT_YET).timestamp()
