"""The horizontal pod autoscaler: as many replicas as the use of processors and memory asks for."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import msgspec

from proa.controlplane.controllers._autoscaler_custom import Asked, CustomMetrics, Figure
from proa.controlplane.controllers._autoscaler_metrics import (
    TOLERANCE,
    NoFigure,
    Proposal,
    Resource,
    Used,
    propose,
)
from proa.controlplane.controllers._autoscaler_pace import Paced, Past, pace, rules
from proa.controlplane.controllers._discovery import Kinds
from proa.kube import Api, Client, ConflictError, KubeError, NotFoundError, Selector, decode, encode
from proa.kube.core.request import Request
from proa.kube.models import Quantity, now
from proa.kube.models.autoscaling_v1 import Scale
from proa.kube.models.autoscaling_v2 import (
    ContainerResourceMetricStatus,
    HorizontalPodAutoscaler,
    HorizontalPodAutoscalerCondition,
    HorizontalPodAutoscalerStatus,
    MetricSpec,
    MetricStatus,
    MetricValueStatus,
    ResourceMetricStatus,
)
from proa.kube.models.core_v1 import Pod
from proa.runtime import Action, Controller, ObjectRef, Recorder, Reflector

_GOT = "the HPA controller was able to get the target's current scale"
_SET = "the HPA controller was able to update the target scale to"
_NOT_SET = "the HPA controller was unable to update the target scale"
_FOUND = "the HPA was able to successfully calculate a replica count from"
_NOT_FOUND = "the HPA was unable to compute the replica count"
_RECENT = "recent recommendations were {0} than current one, applying the {1} recent recommendation"
_HELD = {
    "ScaleUpStabilized": _RECENT.format("lower", "lowest"),
    "ScaleDownStabilized": _RECENT.format("higher", "highest"),
}
EVERY = 15.0
"""Seconds between two looks at a target."""


class _Usage(msgspec.Struct):
    name: str
    usage: dict[str, Quantity] = {}


class _PodMetrics(msgspec.Struct):
    metadata: dict[str, Any]
    containers: list[_Usage] = []


class _PodMetricsList(msgspec.Struct):
    items: list[_PodMetrics] = []


class _Failed(Exception):  # noqa: N818 - no error of the program
    """What was to be done could not be; an Event and a condition say so."""

    def __init__(self, condition: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.condition, self.reason = condition, reason


@dataclass
class _Look:
    """One look at an autoscaler's target, and what is to be said about it."""

    scaler: HorizontalPodAutoscaler
    at: datetime
    current: int = 0
    desired: int = 0
    metrics: list[MetricStatus] = field(default_factory=list)
    conditions: dict[str, HorizontalPodAutoscalerCondition] = field(default_factory=dict)
    scaled: bool = False

    def say(self, type_: str, reason: str, message: str, *, holds: bool = True) -> None:
        """Set a condition."""
        known = next((one for one in self.scaler.status.conditions if one.type == type_), None)
        status = "True" if holds else "False"
        since = known.last_transition_time if known and known.status == status else None
        self.conditions[type_] = HorizontalPodAutoscalerCondition(
            type=type_, status=status, reason=reason, message=message, last_transition_time=since or self.at
        )


class AutoscalerController:
    """Sets the replicas of targets through their scale subresource, and says in the status why."""

    def __init__(
        self,
        client: Client,
        scalers: Reflector[HorizontalPodAutoscaler],
        pods: Reflector[Pod],
        kinds: Kinds,
        recorder: Recorder,
    ) -> None:
        self._client = client
        self._api = Api(client, HorizontalPodAutoscaler)
        self._scalers = scalers.store
        self._pods_in = pods.store.index(lambda pod: [pod.metadata.namespace])
        self._kinds = kinds
        self._custom = CustomMetrics(client, kinds)
        self._recorder = recorder
        self._pasts: dict[ObjectRef, Past] = {}
        self.controller = Controller(
            scalers, self.reconcile, name="autoscaler", on=lambda one: encode(one.spec)
        )

    async def reconcile(self, ref: ObjectRef) -> Action:
        """Look at one autoscaler's target, scale it if that is due, and come again in 15 s."""
        scaler = self._scalers.find(ref)
        if scaler is None or scaler.metadata.deletion_timestamp is not None:
            self._pasts.pop(ref, None)
            return Action.await_change()
        look = _Look(scaler, now(), desired=scaler.status.desired_replicas)
        look.conditions = {one.type: one for one in scaler.status.conditions}
        look.metrics = list(scaler.status.current_metrics)
        try:
            await self._look(look, self._pasts.setdefault(ref, Past()))
        except _Failed as failed:
            look.say(failed.condition, failed.reason, str(failed), holds=False)
            self._tell(scaler, failed.reason, str(failed), "Warning")
        await self._write(look)
        return Action.requeue(EVERY)

    async def _look(self, look: _Look, past: Past) -> None:
        scaler = look.scaler
        api, scale = await self._scale(scaler)
        look.say(
            "AbleToScale",
            "SucceededGetScale",
            "the HPA controller was able to get the target's current scale",
        )
        look.current = look.desired = scale.spec.replicas or 0
        least = 1 if scaler.spec.min_replicas is None else scaler.spec.min_replicas
        if look.current == 0 and least != 0:
            message = "scaling is disabled since the replica count of the target is zero"
            look.say("ScalingActive", "ScalingDisabled", message, holds=False)
            return
        asked, why = look.current, ""
        if look.current > scaler.spec.max_replicas:
            asked, why = scaler.spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"
        elif look.current < least:
            asked, why = least, "Current number of replicas below Spec.MinReplicas"
        else:
            asked, why = await self._asked(look, scale)
            paced = pace(scaler.spec, look.current, asked, past, asyncio.get_running_loop().time())
            _say_pace(look, paced)
            asked = paced.replicas
        await self._set(look, past, api, asked, why)

    async def _set(self, look: _Look, past: Past, api: Api[Any], wanted: int, why: str) -> None:
        look.desired = wanted
        if wanted == look.current:
            return
        target = look.scaler.spec.scale_target_ref.name
        try:
            await api.scale(target, wanted, namespace=look.scaler.metadata.namespace)
        except KubeError as error:
            raise _Failed("AbleToScale", "FailedUpdateScale", f"{_NOT_SET}: {error}") from error
        past.scaled(look.current, wanted, asyncio.get_running_loop().time())
        look.scaled = True
        look.say("AbleToScale", "SucceededRescale", f"{_SET} {wanted}")
        self._tell(look.scaler, "SuccessfulRescale", f"New size: {wanted}; reason: {why}", "Normal")

    async def _scale(self, scaler: HorizontalPodAutoscaler) -> tuple[Api[Any], Scale]:
        target, namespace = scaler.spec.scale_target_ref, scaler.metadata.namespace
        try:
            kind = await self._kinds.of(target.api_version or "v1", target.kind)
            api: Api[Any] = Api(self._client, kind)
            return api, await api.get_scale(target.name, namespace=namespace)
        except KubeError as error:
            message = f"the HPA controller was unable to get the target's current scale: {error}"
            raise _Failed("AbleToScale", "FailedGetScale", message) from error

    # What the metrics ask for

    async def _asked(self, look: _Look, scale: Scale) -> tuple[int, str]:
        """Return the highest of what all metrics ask for, and why.

        One that says nothing keeps the target from being made smaller, not from being made larger.
        """
        scaler = look.scaler
        selector = scale.status.selector if scale.status else None
        if not selector:
            raise _Failed("ScalingActive", "InvalidSelector", "the HPA target's scale is missing a selector")
        pods = [
            pod
            for pod in self._pods_in[scaler.metadata.namespace]
            if Selector.of(selector).matches(pod.metadata.labels)
        ]
        asked = Asked(
            scaler.metadata.namespace or "",
            selector,
            pods,
            look.current,
            scale.status.replicas if scale.status else 0,
            look.at,
            _tolerances(scaler),
        )
        used = await self._used(scaler, selector)
        found: list[Figure] = []
        failure: _Failed | None = None
        look.metrics = []
        for metric in scaler.spec.metrics:
            try:
                found.append(await self._figure(metric, asked, used))
                look.metrics += [found[-1].status]
            except _Failed as failed:
                failure = failure or failed
                look.metrics += [MetricStatus(type="")]  # keeps the others where their metrics are
        best = max(found, key=lambda one: one.replicas, default=None)
        if best is None or (failure is not None and best.replicas <= look.current):
            raise failure or _Failed("ScalingActive", "InvalidMetricSourceType", "there is no metric")
        look.say("ScalingActive", "ValidMetricFound", f"{_FOUND} {best.name}")
        above = f"{best.name} above target"
        return best.replicas, above if best.replicas > look.current else "All metrics below target"

    async def _figure(self, metric: MetricSpec, asked: Asked, used: Used | KubeError) -> Figure:
        resource = _resource(metric)
        if resource is not None:
            return self._propose(resource, asked, used)
        try:
            return await self._custom.figure(metric, asked)
        except NoFigure as error:
            message = f"{_NOT_FOUND}: {error}"
            raise _Failed("ScalingActive", f"FailedGet{metric.type}Metric", message) from error

    def _propose(self, resource: Resource, asked: Asked, used: Used | KubeError) -> Figure:
        try:
            if isinstance(used, KubeError):
                message = f"unable to get metrics for resource {resource.name}: "
                raise NoFigure(f"{message}unable to fetch metrics from resource metrics API: {used}")
            found = propose(resource, asked.pods, used, asked.current, asked.at, asked.tolerances)
        except NoFigure as error:
            kind = "Resource" if resource.container is None else "ContainerResource"
            what = "utilization" if resource.target.type == "Utilization" else "usage"
            message = f"failed to get {resource.name} {what}: {error}"
            raise _Failed("ScalingActive", f"FailedGet{kind}Metric", f"{_NOT_FOUND}: {message}") from error
        return Figure(found.replicas, _status(found, resource), _name(resource))

    async def _used(self, scaler: HorizontalPodAutoscaler, selector: str) -> Used | KubeError:
        path = f"/apis/metrics.k8s.io/v1beta1/namespaces/{scaler.metadata.namespace}/pods"
        try:
            answer = await self._client.request(Request("GET", path, query={"labelSelector": selector}))
            found = decode(answer.body, _PodMetricsList).items
        except KubeError as error:
            return error
        return {pod.metadata["name"]: {one.name: one.usage for one in pod.containers} for pod in found}

    # What is said

    async def _write(self, look: _Look) -> None:
        scaler = look.scaler
        status = HorizontalPodAutoscalerStatus(
            observed_generation=scaler.metadata.generation,
            last_scale_time=look.at if look.scaled else scaler.status.last_scale_time,
            current_replicas=look.current,
            desired_replicas=look.desired,
            current_metrics=look.metrics,
            conditions=list(look.conditions.values()),
        )
        if status != scaler.status:
            with suppress(NotFoundError, ConflictError):
                await self._api.replace_status(msgspec.structs.replace(scaler, status=status))

    def _tell(
        self,
        scaler: HorizontalPodAutoscaler,
        reason: str,
        message: str,
        type_: Literal["Normal", "Warning"],
    ) -> None:
        self._recorder.event(scaler, type=type_, reason=reason, message=message)


def _say_pace(look: _Look, paced: Paced) -> None:
    if paced.held is None:
        look.say("AbleToScale", "ReadyForNewScale", "recommended size matches current size")
    else:
        look.say("AbleToScale", paced.held, _HELD[paced.held])
    if paced.limited is None:
        message = "the desired count is within the acceptable range"
        look.say("ScalingLimited", "DesiredWithinRange", message, holds=False)
    else:
        look.say("ScalingLimited", *paced.limited)


def _tolerances(scaler: HorizontalPodAutoscaler) -> tuple[float, float]:
    """Return how far the use may be below and above the target."""
    up, down = rules(scaler.spec.behavior)
    below, above = (TOLERANCE if one.tolerance is None else float(one.tolerance.value) for one in (down, up))
    return below, above


def _resource(metric: MetricSpec) -> Resource | None:
    if metric.resource is not None:
        return Resource(metric.resource.name, metric.resource.target)
    if metric.container_resource is not None:
        own = metric.container_resource
        return Resource(own.name, own.target, own.container)
    return None


def _name(resource: Resource) -> str:
    where = "" if resource.container is None else f"container {resource.container} "
    share = " utilization (percentage of request)" if resource.target.type == "Utilization" else ""
    return f"{resource.name} {where}resource{share}" if where else f"{resource.name} resource{share}"


def _status(proposal: Proposal, resource: Resource) -> MetricStatus:
    unit = 1000 if resource.name == "memory" else 1
    average = Quantity(f"{proposal.average // unit}" if unit > 1 else f"{proposal.average}m").canonical()
    current = MetricValueStatus(average_value=average, average_utilization=proposal.utilization)
    if resource.container is None:
        own = ResourceMetricStatus(name=resource.name, current=current)
        return MetricStatus(type="Resource", resource=own)
    return MetricStatus(
        type="ContainerResource",
        container_resource=ContainerResourceMetricStatus(
            name=resource.name, container=resource.container, current=current
        ),
    )
