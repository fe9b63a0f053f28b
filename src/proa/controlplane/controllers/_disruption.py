"""The disruption controller: says how many pods each PodDisruptionBudget lets go, for `kubectl drain`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from proa.controlplane.controllers._clock import look_in
from proa.controlplane.controllers._discovery import Kinds
from proa.controlplane.controllers._disruption_plan import Scale, needs_scale, status
from proa.controlplane.controllers._pods import COLLECT, controller_of
from proa.kube import Api, Client, ConflictError, KubeError, NotFoundError, Selector
from proa.kube.models import now
from proa.kube.models.apps_v1 import Deployment, ReplicaSet, StatefulSet
from proa.kube.models.core_v1 import Pod
from proa.kube.models.meta_v1 import OwnerReference
from proa.kube.models.policy_v1 import PodDisruptionBudget
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector


class DisruptionController:
    """Writes the status of PodDisruptionBudgets, which the API server holds evictions against."""

    def __init__(
        self,
        client: Client,
        budgets: Reflector[PodDisruptionBudget],
        pods: Reflector[Pod],
        deployments: Reflector[Deployment],
        sets: Reflector[ReplicaSet],
        stateful_sets: Reflector[StatefulSet],
        kinds: Kinds,
        recorder: Recorder,
    ) -> None:
        self._client = client
        self._kinds = kinds
        self._api = Api(client, PodDisruptionBudget)
        self._budgets = budgets.store
        self._pods_in = pods.store.index(lambda pod: [pod.metadata.namespace])
        self._budgets_in = budgets.store.index(lambda one: [one.metadata.namespace])
        self._deployments = deployments.store
        self._sets = sets.store
        self._stateful_sets = stateful_sets.store
        self._recorder = recorder
        self.controller = (
            Controller(budgets, self.reconcile, name="disruption")
            .watches(pods, self._selecting, collect=COLLECT)
            .watches(deployments, self._in_namespace)
            .watches(sets, self._in_namespace)
            .watches(stateful_sets, self._in_namespace)
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Bring the status of one budget up to date."""
        budget = self._budgets.find(ref)
        if budget is None:
            return Action.await_change()
        pods = [pod for pod in self._pods_in[ref.namespace] if _selects(budget, pod)]
        scale = await self._scale(pods) if needs_scale(budget) else Scale(None)
        if scale.problem:
            self._recorder.event(
                budget, type="Warning", reason="CalculateExpectedPodCountFailed", message=scale.problem
            )
        wanted, again = status(budget, pods, scale, now())
        if wanted != budget.status:
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(budget, status=wanted))
        return Action(look_in(again))

    async def _scale(self, pods: Sequence[Pod]) -> Scale:
        """Add up what the pods' controllers are to keep, each once."""
        wanted: dict[str, int] = {}
        for pod in pods:
            found, owner = self._known(pod), controller_of(pod)
            if found is not None:
                wanted[found.metadata.uid or ""] = 1 if found.spec.replicas is None else found.spec.replicas
            elif owner is not None and owner.uid in wanted:
                continue
            elif owner is not None and (replicas := await self._asked(owner, pod)) is not None:
                wanted[owner.uid] = replicas
            else:
                return Scale(None, f"found no controller with a scale for pod {pod.metadata.name}")
        return Scale(sum(wanted.values()))

    async def _asked(self, owner: OwnerReference, pod: Pod) -> int | None:
        """Return how many pods a controller of any other kind is to keep, if it has a scale."""
        with suppress(KubeError):
            kind: Any = await self._kinds.of(owner.api_version, owner.kind)
            api: Api[Any] = Api(self._client, kind)
            scale = await api.get_scale(owner.name, namespace=pod.metadata.namespace)
            if scale.metadata.uid == owner.uid:
                return scale.spec.replicas or 0
        return None

    def _known(self, pod: Pod) -> Deployment | ReplicaSet | StatefulSet | None:
        owner, namespace = controller_of(pod), pod.metadata.namespace
        if owner is not None and owner.kind == "StatefulSet":
            return self._stateful_sets.get(owner.name, namespace)
        if owner is None or owner.kind != "ReplicaSet":
            return None
        replica_set = self._sets.get(owner.name, namespace)
        above = controller_of(replica_set) if replica_set is not None else None
        if above is not None and above.kind == "Deployment":
            return self._deployments.get(above.name, namespace)
        return replica_set

    def _selecting(self, pod: Pod) -> Iterable[ObjectRef]:
        budgets = self._budgets_in[pod.metadata.namespace]
        return [ObjectRef.of(one) for one in budgets if _selects(one, pod)]

    def _in_namespace(self, owner: Deployment | ReplicaSet | StatefulSet) -> Iterable[ObjectRef]:
        return [ObjectRef.of(one) for one in self._budgets_in[owner.metadata.namespace]]


def _selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    selector = budget.spec.selector
    return selector is not None and Selector.of(selector).matches(pod.metadata.labels)
