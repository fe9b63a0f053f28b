"""Pods get the number that their priority class stands for.

https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from proa.controlplane._json import Document
from proa.controlplane.registry import Review
from proa.controlplane.storage import Key, Store

from ._refusal import refused

PRIORITIES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
STORAGE = "priorityclasses.scheduling.k8s.io"
_DEFAULT = b'"globalDefault":true'


class Priorities:
    """Resolves priority classes."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def resolve(self, review: Review) -> None:
        """Sets a new pod's priority by its class, or by the class that is everybody's default."""
        pod = review.new
        if review.operation != "CREATE" or pod is None:
            return
        spec = pod["spec"]
        chosen = self._class(review, spec.get("priorityClassName", ""))
        if chosen is None:
            return
        name, value, policy = chosen
        if spec.get("priority", 0) not in {0, value}:
            why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
            raise refused(review, f"{why}priority admission controller computed {value} from the given class")
        spec |= {"priorityClassName": name, "priority": value, "preemptionPolicy": policy}

    def _class(self, review: Review, name: str) -> tuple[str, int, str] | None:
        if not name:
            found = self._default()
            return None if found is None else _terms(found)
        stored = self._store.latest(Key(STORAGE, "", name))
        if stored is not None:
            return _terms(stored.document())
        if name in PRIORITIES:
            return name, PRIORITIES[name], "PreemptLowerPriority"
        raise refused(review, f"no PriorityClass with name {name} was found")

    def _default(self) -> Document | None:
        marked = [one.document() for one in self._store.scan(STORAGE) if _DEFAULT in one.tail]
        return min(
            (one for one in marked if one.get("globalDefault")), key=lambda one: one["value"], default=None
        )

    def check_class(self, review: Review) -> None:
        """Refuses a second class that is everybody's default."""
        if review.new is None or not review.new.get("globalDefault"):
            return
        default = self._default()
        if default is not None and default["metadata"]["name"] != review.name:
            why = f"PriorityClass {default['metadata']['name']} is already marked as globalDefault"
            raise refused(review, why)


def _terms(document: Document) -> tuple[str, int, str]:
    policy = document.get("preemptionPolicy", "PreemptLowerPriority")
    return document["metadata"]["name"], document["value"], policy
