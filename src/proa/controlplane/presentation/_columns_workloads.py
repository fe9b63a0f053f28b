"""Columns of pods and what makes them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.selectors import to_text

from ._columns import AGE, NAME, NONE, Column, age, computed, pairs, parse_time, value
from ._pod_summary import pod_status, ready, restarts


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
        computed("Ready", ready),
        computed("Status", pod_status),
        Column("Restarts", restarts),
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
