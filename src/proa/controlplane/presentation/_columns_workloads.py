"""Columns of pods and what makes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, Column, age, computed, joined, parse_time, value


@dataclass(frozen=True)
class PodSummary:
    """What kubectl says of a pod's containers as a whole."""

    ready: int
    total: int
    status: str
    """In one word: why it waits, how it ended, or its phase."""
    restarts: int
    restarted: str
    """When a container has ended last, to be started again."""


def summary_of(pod: Document) -> PodSummary:
    """How many containers are ready, and what keeps the others."""
    spec, status = pod["spec"], pod.get("status", {})
    sidecars = _sidecars(pod)
    started = _Started(sidecars, len(spec.get("initContainers") or ()))
    reason = _scheduled(status)
    for index, one in enumerate(status.get("initContainerStatuses") or ()):
        if not started.goes_on_after(index, one):
            break
    restarts, dates, ready = started.restarts, started.dates, started.ready
    if not started.reason or _holds(status, "Initialized"):
        restarts, dates = started.sidecar_restarts, started.sidecar_dates
        reason = started.reason or reason
        statuses = status.get("containerStatuses") or []
        running = [one for one in statuses if one.get("ready") and _state(one, "running") is not None]
        restarts += sum(one.get("restartCount", 0) for one in statuses)
        dates += [date for one in statuses if (date := _ended_at(one))]
        reason = _container_reason(statuses, reason)
        ready += sum(1 for one in running if not _says_more(one))
        if reason == "Completed" and running:
            reason = "Running" if _holds(status, "Ready") else "NotReady"
    else:
        reason = started.reason
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            reason = "Unknown"
        elif status.get("phase") not in {"Succeeded", "Failed"}:
            reason = "Terminating"
    total = len(spec.get("containers") or ()) + len(sidecars)
    return PodSummary(ready, total, reason, restarts, max(dates, default=""))


class _Started:
    """How far the start of a pod has come: its init containers, one after the other."""

    def __init__(self, sidecars: list[str], total: int) -> None:
        self._sidecars, self._total = sidecars, total
        self.reason = ""
        self.ready = self.restarts = self.sidecar_restarts = 0
        self.dates: list[str] = []
        self.sidecar_dates: list[str] = []

    def goes_on_after(self, index: int, one: Document) -> bool:
        """Notes an init container; whether it lets the next one begin."""
        sidecar, date = one["name"] in self._sidecars, _ended_at(one)
        self.restarts += one.get("restartCount", 0)
        self.dates += [date] if date else []
        if sidecar:
            self.sidecar_restarts += one.get("restartCount", 0)
            self.sidecar_dates += [date] if date else []
        ended, waiting = _state(one, "terminated"), _state(one, "waiting") or {}
        if ended is not None and not ended.get("exitCode"):
            return True
        if sidecar and one.get("started"):
            self.ready += bool(one.get("ready"))
            return True
        if ended is not None:
            self.reason = f"Init:{_ended(ended)}"
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            self.reason = f"Init:{waiting['reason']}"
        else:
            self.reason = f"Init:{index}/{self._total}"
        return False


def _sidecars(pod: Document) -> list[str]:
    init = pod["spec"].get("initContainers") or []
    return [container["name"] for container in init if container.get("restartPolicy") == "Always"]


def _state(one: Document, name: str) -> Document | None:
    found: Document | None = (one.get("state") or {}).get(name)
    return found


def _ended_at(one: Document) -> str:
    ended = (one.get("lastState") or {}).get("terminated") or {}
    return ended.get("finishedAt") or ""


def _holds(status: Document, condition: str) -> bool:
    conditions = status.get("conditions") or ()
    return any(one.get("type") == condition and one.get("status") == "True" for one in conditions)


def _scheduled(status: Document) -> str:
    gated = any(
        one.get("type") == "PodScheduled" and one.get("reason") == "SchedulingGated"
        for one in status.get("conditions") or ()
    )
    if gated:
        return "SchedulingGated"
    return str(status.get("reason") or status.get("phase") or "")


def _ended(state: Document) -> str:
    if state.get("reason"):
        return str(state["reason"])
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _says_more(one: Document) -> bool:
    """Whether a container says something besides that it runs."""
    return bool((_state(one, "waiting") or {}).get("reason")) or _state(one, "terminated") is not None


def _container_reason(statuses: list[Document], reason: str) -> str:
    for one in reversed(statuses):
        waiting, ended = _state(one, "waiting") or {}, _state(one, "terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = _ended(ended)
    return reason


def pod_status(pod: Document) -> str:
    """What kubectl says of a pod in one word."""
    return summary_of(pod).status


def _ready(pod: Document) -> str:
    found = summary_of(pod)
    return f"{found.ready}/{found.total}"


def _restarts(pod: Document, now: datetime) -> str:
    found = summary_of(pod)
    if not found.restarts or not found.restarted:
        return str(found.restarts)
    return f"{found.restarts} ({age(found.restarted, now)} ago)"


_ENDED_PODS = {"Succeeded": "The pod has completed successfully.", "Failed": "The pod failed."}


def pod_conditions(pod: Document) -> list[Document]:
    """What the row of a pod says of itself."""
    phase = pod.get("status", {}).get("phase", "")
    if phase not in _ENDED_PODS:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": _ENDED_PODS[phase]}]


def _gates(pod: Document) -> str:
    gates = pod["spec"].get("readinessGates") or []
    if not gates:
        return NONE
    true = {
        one["type"] for one in pod.get("status", {}).get("conditions") or [] if one.get("status") == "True"
    }
    return f"{sum(1 for gate in gates if gate['conditionType'] in true)}/{len(gates)}"


def _containers(path: str) -> list[Column]:
    def of(document: Document) -> list[Document]:
        found: Any = document
        for part in path.split("."):
            found = (found or {}).get(part)
        return found or []

    return [
        computed("Containers", lambda document: ",".join(one["name"] for one in of(document)), wide=True),
        computed(
            "Images", lambda document: ",".join(one.get("image", "") for one in of(document)), wide=True
        ),
    ]


_TEMPLATE = _containers("spec.template.spec.containers")
_SELECTOR = computed(
    "Selector", lambda document: to_text(document["spec"].get("selector")) or NONE, wide=True
)


def _labels(labels: Document | None) -> str:
    return joined(f"{key}={item}" for key, item in sorted((labels or {}).items()))


def _number(name: str, path: str) -> Column:
    return value(name, path, 0, kind="integer")


def _text_number(name: str, path: str) -> Column:
    return value(name, path, 0)


def _ready_of(document: Document) -> str:
    return f"{document.get('status', {}).get('readyReplicas', 0)}/{document['spec'].get('replicas', 0)}"


def _job_status(job: Document) -> str:
    conditions = {
        one["type"] for one in job.get("status", {}).get("conditions") or [] if one.get("status") == "True"
    }
    for condition, word in (("Complete", "Complete"), ("Failed", "Failed")):
        if condition in conditions:
            return word
    if "deletionTimestamp" in job["metadata"]:
        return "Terminating"
    for condition, word in (
        ("Suspended", "Suspended"),
        ("FailureTarget", "FailureTarget"),
        ("SuccessCriteriaMet", "SuccessCriteriaMet"),
    ):
        if condition in conditions:
            return word
    return "Running"


def _completions(job: Document) -> str:
    succeeded = job.get("status", {}).get("succeeded", 0)
    if job["spec"].get("completions") is not None:
        return f"{succeeded}/{job['spec']['completions']}"
    parallelism = job["spec"].get("parallelism", 0)
    return f"{succeeded}/1 of {parallelism}" if parallelism > 1 else f"{succeeded}/1"


def _job_duration(job: Document, now: datetime) -> str:
    status = job.get("status", {})
    if not status.get("startTime"):
        return ""
    end = status.get("completionTime")
    return age(status["startTime"], parse_time(end) if end else now)


def _last_schedule(cron_job: Document, now: datetime) -> str:
    last = cron_job.get("status", {}).get("lastScheduleTime")
    return age(last, now) if last else NONE


def _said(value: bool | None) -> str:
    return "<unset>" if value is None else str(value)


def _kind(owner: Document) -> str:
    group, slash, _ = owner["apiVersion"].partition("/")
    return f"{owner['kind']}.{group}".lower() if slash else str(owner["kind"]).lower()


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Pod"): (
        NAME,
        computed("Ready", _ready),
        computed("Status", pod_status),
        Column("Restarts", _restarts),
        AGE,
        computed(
            "IP",
            lambda pod: (
                next((one.get("ip") for one in pod.get("status", {}).get("podIPs") or ()), "") or NONE
            ),
            wide=True,
        ),
        value("Node", "spec.nodeName", NONE, wide=True),
        value("Nominated Node", "status.nominatedNodeName", NONE, wide=True),
        computed("Readiness Gates", _gates, wide=True),
    ),
    ("", "PodTemplate"): (
        NAME,
        *(replace(column, wide=False) for column in _containers("template.spec.containers")),
        computed("Pod Labels", lambda one: _labels((one["template"].get("metadata") or {}).get("labels"))),
    ),
    ("", "ReplicationController"): (
        NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        AGE,
        *_TEMPLATE,
        computed("Selector", lambda document: _labels(document["spec"].get("selector")), wide=True),
    ),
    ("apps", "Deployment"): (
        NAME,
        computed("Ready", _ready_of),
        _text_number("Up-to-date", "status.updatedReplicas"),
        _text_number("Available", "status.availableReplicas"),
        AGE,
        *_TEMPLATE,
        _SELECTOR,
    ),
    ("apps", "ReplicaSet"): (
        NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        AGE,
        *_TEMPLATE,
        _SELECTOR,
    ),
    ("apps", "StatefulSet"): (NAME, computed("Ready", _ready_of), AGE, *_TEMPLATE),
    ("apps", "DaemonSet"): (
        NAME,
        _number("Desired", "status.desiredNumberScheduled"),
        _number("Current", "status.currentNumberScheduled"),
        _number("Ready", "status.numberReady"),
        _number("Up-to-date", "status.updatedNumberScheduled"),
        _number("Available", "status.numberAvailable"),
        computed(
            "Node Selector",
            lambda document: _labels(document["spec"]["template"]["spec"].get("nodeSelector")),
        ),
        AGE,
        *_TEMPLATE,
        _SELECTOR,
    ),
    ("apps", "ControllerRevision"): (
        NAME,
        computed(
            "Controller",
            lambda document: next(
                (
                    f"{_kind(owner)}/{owner['name']}"
                    for owner in document["metadata"].get("ownerReferences") or []
                    if owner.get("controller")
                ),
                NONE,
            ),
        ),
        _text_number("Revision", "revision"),
        AGE,
    ),
    ("batch", "Job"): (
        NAME,
        computed("Status", _job_status),
        computed("Completions", _completions),
        Column("Duration", _job_duration),
        AGE,
        *_TEMPLATE,
        _SELECTOR,
    ),
    ("batch", "CronJob"): (
        NAME,
        value("Schedule", "spec.schedule"),
        value("Timezone", "spec.timeZone", NONE),
        computed("Suspend", lambda one: _said(one["spec"].get("suspend")), kind="boolean"),
        computed(
            "Active", lambda document: len(document.get("status", {}).get("active") or []), kind="integer"
        ),
        Column("Last Schedule", _last_schedule),
        AGE,
        *_containers("spec.jobTemplate.spec.template.spec.containers"),
        computed(
            "Selector",
            lambda document: to_text(document["spec"]["jobTemplate"]["spec"].get("selector")) or NONE,
            wide=True,
        ),
    ),
}
