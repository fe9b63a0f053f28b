"""Evictions: pods deleted by the API when their disruption budgets allow it.

https://kubernetes.io/docs/concepts/scheduling-eviction/api-eviction/
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from proa.controlplane._errors import Qualified, StatusError, bad_request, details
from proa.controlplane._json import Document, clone
from proa.controlplane.registry import Catalogue, Options, Registry, Review
from proa.controlplane.registry._deletion import timestamp
from proa.controlplane.registry._options import DeleteOptions
from proa.controlplane.selectors import from_document
from proa.controlplane.storage import Stored

from . import _bodies, _responses
from ._dispatcher import Answer, Call

_ATTEMPTS = 20
_BUDGETS = Qualified("policy", "poddisruptionbudgets")
_REFUSED = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_MOST_DISRUPTED = 2000
"""Evictions that were allowed and of which the disruption controller has not heard yet."""


class EvictionService:
    """Answers for evictions."""

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue

    def answers(self) -> dict[str, Answer]:
        """Who answers for which subresource."""
        return {"pods/eviction": self.evict}

    async def evict(self, call: Call) -> web.Response:
        """A pod deleted, unless a disruption budget forbids that for now."""
        info = call.info
        eviction = await _bodies.read_typed(call.request, "policy", "Eviction")
        if (eviction.get("metadata") or {}).get("name", "") != info.name:
            raise bad_request("name in URL does not match name in Eviction object")
        options = DeleteOptions.parse(info.query, eviction.get("deleteOptions"))
        eviction["metadata"]["namespace"] = info.namespace
        whole = {"kind": "Eviction", "apiVersion": "policy/v1", **eviction}
        how = Options(dry_run=options.dry_run)
        review = Review("CREATE", call.resource, info.namespace, info.name, whole, None, how, "eviction")
        await self._registry.ask(review)
        options = replace(options, asked=True)
        for attempt in range(_ATTEMPTS):
            pod = self._registry.latest(call.resource, info.namespace, info.name)
            try:
                # The pod is to be as it was when it was judged: not become ready meanwhile.
                guarded = await self._judge(info.namespace, pod, options)
                await self._registry.delete(call.resource, info.namespace, info.name, guarded)
                break
            except StatusError as error:
                if error.code != 409 or options.resource_version or attempt == _ATTEMPTS - 1:
                    raise
        response = _responses.json(_responses.CREATED, 201)
        _responses.warn(response, review.warnings)
        return response

    async def _judge(self, namespace: str, stored: Stored, options: DeleteOptions) -> DeleteOptions:
        """How the pod may be deleted.

        Raises:
            StatusError: 429 not now; 403 the budget's state is not one to rely on; 500 there are several
                budgets.
        """
        pod = stored.document()
        as_it_is = replace(options, resource_version=options.resource_version or str(stored.revision))
        phase = pod.get("status", {}).get("phase")
        if phase in {"Succeeded", "Failed"} or "deletionTimestamp" in pod["metadata"]:
            return options
        if phase == "Pending":
            return as_it_is
        budgets = [budget for budget in self._budgets(namespace) if _is_about(budget, pod)]
        if not budgets:
            return options
        if len(budgets) > 1:
            raise StatusError(500, "", _SEVERAL)
        if not _is_ready(pod) and _lets_unready_go(budgets[0]):
            return as_it_is
        await self._spend(namespace, budgets[0]["metadata"]["name"], pod, dry_run=options.dry_run)
        return options

    def _budgets(self, namespace: str) -> list[Document]:
        store = self._registry.store
        return [stored.document() for stored in store.scan("poddisruptionbudgets.policy", namespace)]

    async def _spend(self, namespace: str, name: str, pod: Document, *, dry_run: bool) -> None:
        """Takes one of the disruptions that a budget allows."""

        def change(budget: Document) -> Document:
            _check(budget)
            new: Document = clone(budget)
            status = new["status"]
            status["disruptionsAllowed"] -= 1
            status.setdefault("disruptedPods", {})[pod["metadata"]["name"]] = timestamp()
            if not status["disruptionsAllowed"]:
                _note_insufficient(new)
            return new

        budgets = self._catalogue.find("policy", "poddisruptionbudgets")
        assert budgets is not None
        await self._registry.update(budgets, namespace, name, change, Options(dry_run=dry_run), "status")


def _is_about(budget: Document, pod: Document) -> bool:
    # Only a selector that says something: an empty one is about no pod here.
    selector = from_document(budget["spec"].get("selector"))
    return selector is not None and bool(selector) and selector.matches(pod["metadata"].get("labels") or {})


def _is_ready(pod: Document) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _lets_unready_go(budget: Document) -> bool:
    if budget["spec"].get("unhealthyPodEvictionPolicy") == "AlwaysAllow":
        return True
    status = budget.get("status") or {}
    desired, current = int(status.get("desiredHealthy", 0)), int(status.get("currentHealthy", 0))
    return 0 < desired <= current


def _check(budget: Document) -> None:
    name, status = budget["metadata"]["name"], budget.get("status") or {}
    allowed = status.get("disruptionsAllowed", 0)
    if status.get("observedGeneration", 0) < budget["metadata"].get("generation", 0):
        raise _too_many(f"The disruption budget {name} is still being processed by the server.", retry=10)
    if len(status.get("disruptedPods") or ()) > _MOST_DISRUPTED:
        why = "DisruptedPods map too big - too many evictions not confirmed by PDB controller"
        message = f'{_BUDGETS} "{name}" is forbidden: {why}'
        raise StatusError(403, "Forbidden", message, details(_BUDGETS, name))
    if not allowed:
        desired, current = status.get("desiredHealthy", 0), status.get("currentHealthy", 0)
        raise _too_many(
            f"The disruption budget {name} needs {desired} healthy pods and has {current} currently"
        )


def _too_many(why: str, retry: int = 0) -> StatusError:
    about: Document = {"causes": [{"reason": "DisruptionBudget", "message": why}]}
    if retry:
        about["retryAfterSeconds"] = retry
    return StatusError(429, "TooManyRequests", _REFUSED, about)


def _note_insufficient(budget: Document) -> None:
    status = budget["status"]
    conditions = status.get("conditions") or []
    if any(one["type"] == "DisruptionAllowed" and one["status"] == "False" for one in conditions):
        return
    others = [one for one in conditions if one["type"] != "DisruptionAllowed"]
    condition = {
        "type": "DisruptionAllowed",
        "status": "False",
        "observedGeneration": status.get("observedGeneration", 0),
        "lastTransitionTime": timestamp(),
        "reason": "InsufficientPods",
        "message": "",
    }
    status["conditions"] = [*others, condition]
