"""Columns of pods and what makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, Column, age, computed, duration, pairs, parse_time, value


def _ready(pod: Document) -> str:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    sidecars = _sidecars(pod)
    started = [
        one for one in pod.get("status", {}).get("initContainerStatuses") or [] if one["name"] in sidecars
    ]
    ready = sum(1 for status in [*statuses, *started] if status.get("ready"))
    return f"{ready}/{len(pod['spec'].get('containers') or []) + len(sidecars)}"


def _sidecars(pod: Document) -> list[str]:
    init = pod["spec"].get("initContainers") or []
    return [container["name"] for container in init if container.get("restartPolicy") == "Always"]


def _restarts(pod: Document, now: datetime) -> str:
    status = pod.get("status", {})
    statuses = [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]
    count = sum(one.get("restartCount", 0) for one in status.get("containerStatuses") or [])
    ended = [
        parse_time(state["finishedAt"])
        for one in statuses
        if (state := (one.get("lastState") or {}).get("terminated")) and state.get("finishedAt")
    ]
    if not count or not ended:
        return str(count)
    return f"{count} ({duration(max(int((now - max(ended)).total_seconds()), 0))} ago)"


def pod_status(pod: Document) -> str:
    """What kubectl says of a pod in one word: why it waits, how it ended, or its phase."""
    status = pod.get("status", {})
    reason: str = status.get("reason") or status.get("phase") or "Unknown"
    initialising = _init_status(pod)
    reason = initialising or _container_reason(status.get("containerStatuses") or [], reason)
    if "deletionTimestamp" in pod["metadata"] and status.get("phase") not in {"Succeeded", "Failed"}:
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _init_status(pod: Document) -> str:
    statuses = pod.get("status", {}).get("initContainerStatuses") or []
    total, sidecars = len(pod["spec"].get("initContainers") or []), _sidecars(pod)
    for index, one in enumerate(statuses):
        state = one.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if (ended and ended.get("exitCode") == 0) or (one["name"] in sidecars and one.get("started")):
            continue
        if ended:
            return f"Init:{_ended(ended)}"
        if waiting.get("reason") and waiting["reason"] != "PodInitializing":
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _ended(state: Document) -> str:
    if state.get("reason"):
        return str(state["reason"])
    return f"Signal:{state['signal']}" if state.get("signal") else f"ExitCode:{state.get('exitCode', 0)}"


def _container_reason(statuses: list[Document], reason: str) -> str:
    running = False
    for one in reversed(statuses):
        state = one.get("state") or {}
        waiting, ended = state.get("waiting") or {}, state.get("terminated")
        if waiting.get("reason"):
            reason = waiting["reason"]
        elif ended is not None:
            reason = _ended(ended)
        elif one.get("ready") and state.get("running") is not None:
            running = True
    return "Running" if reason == "Completed" and running else reason


def _gates(pod: Document) -> str:
    gates = pod["spec"].get("readinessGates") or []
    if not gates:
        return NONE
    true = {
        one["type"] for one in pod.get("status", {}).get("conditions") or [] if one.get("status") == "True"
    }
    return f"{sum(1 for gate in gates if gate['conditionType'] in true)}/{len(gates)}"


def _containers(path: str, *, wide: bool = True) -> list[Column]:
    def of(document: Document) -> list[Document]:
        found: Any = document
        for part in path.split("."):
            found = (found or {}).get(part)
        return found or []

    return [
        computed("Containers", lambda document: ",".join(one["name"] for one in of(document)), wide=wide),
        computed(
            "Images", lambda document: ",".join(one.get("image", "") for one in of(document)), wide=wide
        ),
    ]


_TEMPLATE = _containers("spec.template.spec.containers")
_SELECTOR = computed(
    "Selector", lambda document: to_text(document["spec"].get("selector")) or NONE, wide=True
)


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


def _controller(revision: Document) -> str:
    for owner in revision["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            group, grouped, _ = owner["apiVersion"].rpartition("/")
            return f"{owner['kind']}{f'.{group}' if grouped else ''}".lower() + f"/{owner['name']}"
    return NONE


def _last_schedule(cron_job: Document, now: datetime) -> str:
    last = cron_job.get("status", {}).get("lastScheduleTime")
    return age(last, now) if last else NONE


COLUMNS: dict[tuple[str, str], tuple[Column, ...]] = {
    ("", "Pod"): (
        NAME,
        computed("Ready", _ready),
        computed("Status", pod_status),
        Column("Restarts", _restarts),
        AGE,
        value("IP", "status.podIP", NONE, wide=True),
        value("Node", "spec.nodeName", NONE, wide=True),
        value("Nominated Node", "status.nominatedNodeName", NONE, wide=True),
        computed("Readiness Gates", _gates, wide=True),
    ),
    ("", "PodTemplate"): (
        NAME,
        *_containers("template.spec.containers", wide=False),
        pairs("Pod Labels", "template.metadata.labels", wide=False),
    ),
    ("", "ReplicationController"): (
        NAME,
        _number("Desired", "spec.replicas"),
        _number("Current", "status.replicas"),
        _number("Ready", "status.readyReplicas"),
        AGE,
        *_TEMPLATE,
        pairs("Selector", "spec.selector"),
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
        pairs("Node Selector", "spec.template.spec.nodeSelector", wide=False),
        AGE,
        *_TEMPLATE,
        _SELECTOR,
    ),
    ("apps", "ControllerRevision"): (
        NAME,
        computed("Controller", _controller),
        _number("Revision", "revision"),
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
        computed("Suspend", lambda document: str(bool(document["spec"].get("suspend"))), kind="boolean"),
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
