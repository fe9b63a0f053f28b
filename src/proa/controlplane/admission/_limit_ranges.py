"""Limit ranges: what containers get that ask for nothing, and how much pods, containers and claims may have.

https://kubernetes.io/docs/concepts/policy/limit-range/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal

from proa.controlplane._json import Document
from proa.controlplane._quantities import quantity
from proa.controlplane.registry import Review
from proa.controlplane.storage import Store

from ._refusal import refused

LIMITS = "limitranges"
_ANNOTATION = "kubernetes.io/limit-ranger"
Amounts = dict[str, str]


class LimitRanger:
    """Applies the limit ranges of a namespace."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def _limits(self, namespace: str) -> list[Document]:
        ranges = [stored.document() for stored in self._store.scan(LIMITS, namespace)]
        return [limit for one in ranges for limit in one["spec"].get("limits") or ()]

    def put_defaults(self, review: Review) -> None:
        """Gives a new pod's containers the limits and requests that they do not set."""
        pod = review.new
        if review.operation != "CREATE" or pod is None or not self._store.count(LIMITS, review.namespace):
            return
        limits = [one for one in self._limits(review.namespace) if one.get("type") == "Container"]
        given = [
            f"{', '.join(sorted(added))} for {kind} {container['name']}"
            for kind, container in _containers(pod["spec"])
            if (added := _put_defaults(container, limits))
        ]
        if given:
            annotations = pod["metadata"].setdefault("annotations", {})
            annotations[_ANNOTATION] = f"LimitRanger plugin set: {'; '.join(given)}"

    def check(self, review: Review) -> None:
        """Refuses a new pod or claim that is out of range: 403, with all reasons."""
        if review.operation != "CREATE" or not self._store.count(LIMITS, review.namespace):
            return
        limits = self._limits(review.namespace)
        if review.resource.storage == "pods":
            found = list(_pod_problems(review.document["spec"], limits))
        else:
            found = list(_claim_problems(review.document["spec"], limits))
        if found:
            raise refused(review, found[0] if len(found) == 1 else f"[{', '.join(found)}]")


def _containers(spec: Document) -> Iterator[tuple[str, Document]]:
    for container in spec.get("initContainers", ()):
        yield "init container", container
    for container in spec.get("containers", ()):
        yield "container", container


def _put_defaults(container: Document, limits: Iterable[Document]) -> set[str]:
    added: set[str] = set()
    resources = container.setdefault("resources", {})
    for limit in limits:
        for kind, source in (("limits", "default"), ("requests", "defaultRequest")):
            for name, amount in limit.get(source, {}).items():
                amounts: Amounts = resources.setdefault(kind, {})
                if name not in amounts:
                    amounts[name] = amount
                    added.add(f"{name} {kind.removesuffix('s')}")
    for name, amount in resources.get("limits", {}).items():  # a limit is a request where none is made
        resources.setdefault("requests", {}).setdefault(name, amount)
    return added


def _pod_problems(spec: Document, limits: Iterable[Document]) -> Iterator[str]:
    for limit in limits:
        if limit.get("type") == "Container":
            for _, container in _containers(spec):
                yield from _problems("Container", container.get("resources", {}), limit)
        elif limit.get("type") == "Pod":
            yield from _problems("Pod", pod_resources(spec), limit)


def _claim_problems(spec: Document, limits: Iterable[Document]) -> Iterator[str]:
    for limit in limits:
        if limit.get("type") == "PersistentVolumeClaim":
            yield from _problems(
                "PersistentVolumeClaim", {"requests": spec.get("resources", {}).get("requests", {})}, limit
            )


def _problems(kind: str, resources: Document, limit: Document) -> Iterator[str]:
    requests, limits = resources.get("requests", {}), resources.get("limits", {})
    for name, least in limit.get("min", {}).items():
        asked = requests.get(name)
        if asked is None:
            yield f"minimum {name} usage per {kind} is {least}.  No request is specified"
        elif quantity(asked) < quantity(least):
            yield f"minimum {name} usage per {kind} is {least}, but request is {asked}"
    for name, most in limit.get("max", {}).items():
        allowed = limits.get(name) if kind != "PersistentVolumeClaim" else requests.get(name)
        if allowed is None:
            yield f"maximum {name} usage per {kind} is {most}.  No limit is specified"
        elif quantity(allowed) > quantity(most):
            yield f"maximum {name} usage per {kind} is {most}, but limit is {allowed}"
    for name, ratio in limit.get("maxLimitRequestRatio", {}).items():
        yield from _ratio_problems(kind, name, requests.get(name), limits.get(name), ratio)


def _ratio_problems(
    kind: str, name: str, request: str | None, limit: str | None, ratio: str
) -> Iterator[str]:
    if request is None or limit is None or not quantity(request):
        yield f"{name} max limit to request ratio per {kind} is {ratio}, but no request or limit is specified"
    elif quantity(limit) / quantity(request) > quantity(ratio):
        found = quantity(limit) / quantity(request)
        yield f"{name} max limit to request ratio per {kind} is {ratio}, but provided ratio is {found:.6f}"


def pod_resources(spec: Document) -> dict[str, dict[str, str]]:
    """What a pod requests and is limited to as a whole: its containers together, or its hungriest init
    container, and its overhead. A resource that some container does not limit is not limited.
    """
    found: dict[str, dict[str, str]] = {}
    for kind in ("requests", "limits"):
        running = [one.get("resources", {}).get(kind, {}) for one in spec.get("containers", ())]
        starting = [one.get("resources", {}).get(kind, {}) for one in spec.get("initContainers", ())]
        names = {name for amounts in (*running, *starting) for name in amounts}
        if kind == "limits":
            names = {name for name in names if all(name in amounts for amounts in running)}
        found[kind] = {name: str(_together(name, running, starting, spec)) for name in sorted(names)}
    return found


def _together(name: str, running: list[Amounts], starting: list[Amounts], spec: Document) -> Decimal:
    total = sum((quantity(amounts.get(name, "0")) for amounts in running), Decimal(0))
    first = max((quantity(amounts.get(name, "0")) for amounts in starting), default=Decimal(0))
    return max(total, first) + quantity(spec.get("overhead", {}).get(name, "0"))
