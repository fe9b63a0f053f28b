"""What the page shows of each object. Pure: objects to JSON values, small ones, since browsers get them all.

A row has at least `name`, `namespace`, `since` (seconds since the epoch) and `level`: `good`, `busy` (on its
way), `bad` (needs somebody) or `done`. `why` says in a line what keeps a row from being good.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from proa.dashboard._life import container_state, pod_state
from proa.kube.models.apps_v1 import DaemonSet, Deployment, StatefulSet
from proa.kube.models.batch_v1 import CronJob, Job
from proa.kube.models.core_v1 import Container, ContainerStatus, Event, Node, Pod, Service
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.kube.models.networking_v1 import Ingress, IngressBackend

__all__ = (
    "KINDS",
    "Row",
    "cron_job",
    "endpoints",
    "event",
    "ingress",
    "node",
    "pod",
    "service",
    "workload",
)

Row = dict[str, Any]

_BAD_WAITS: Final = frozenset(
    {
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "ErrImageNeverPull",
        "ErrImagePull",
        "ImagePullBackOff",
        "InvalidImageName",
        "RunContainerError",
    }
)


def node(item: Node) -> Row:
    """A node: whether it is ready, what presses it, what it can give."""
    conditions = {each.type: each for each in item.status.conditions}
    ready = conditions.get("Ready")
    pressed = [
        f"{kind}: {each.message or each.reason or ''}"
        for kind, each in conditions.items()
        if kind != "Ready" and each.status == "True"
    ]
    why = "; ".join(pressed)
    if ready is None or ready.status != "True":
        why = (ready.message or ready.reason or "not ready") if ready else "has not reported yet"
    given = item.status.allocatable or item.status.capacity
    return _row(item, level="bad" if why else "good", why=why) | {
        "cordoned": bool(item.spec.unschedulable),
        "version": item.status.node_info.kubelet_version if item.status.node_info else "",
        "cpu": float(given["cpu"]) if "cpu" in given else None,
        "memory": float(given["memory"]) if "memory" in given else None,
        "pods": int(given["pods"]) if "pods" in given else None,
    }


def pod(item: Pod) -> Row:
    """A pod and its containers."""
    stopping = item.metadata.deletion_timestamp is not None
    specs = {each.name: each for each in [*item.spec.init_containers, *item.spec.containers]}
    statuses = [*item.status.init_container_statuses, *item.status.container_statuses]
    containers = [_container(specs.get(each.name), each, stopping=stopping) for each in statuses]
    known = {each["name"] for each in containers}
    containers += [
        {"name": name, "image": spec.image, "state": "waiting", "restarts": 0, "level": "busy"}
        for name, spec in specs.items()
        if name not in known
    ]
    level, state, why = _pod_health(item, containers, stopping=stopping)
    return _row(item, level=level, why=why) | {
        "uid": item.metadata.uid,
        "state": state,
        "life": pod_state(item),
        "node": item.spec.node_name or "",
        "ip": item.status.pod_ip or "",
        "owner": _owner(item),
        "restarts": sum(each["restarts"] for each in containers),
        "ready": f"{sum(bool(each.get('ready')) for each in containers)}/{len(item.spec.containers)}",
        "containers": containers,
        "conditions": [
            {"type": each.type, "status": each.status, "why": each.message or each.reason or ""}
            for each in item.status.conditions
        ],
    }


def _container(spec: Container | None, status: ContainerStatus, *, stopping: bool) -> Row:
    state, message, level = "waiting", "", "busy"
    if (running := status.state.running) is not None:
        state, level = "running", "good" if status.ready else "busy"
        since = running.started_at
    elif (ended := status.state.terminated) is not None:
        since = ended.finished_at
        state = ended.reason or "ended"
        message = f"exit code {ended.exit_code}" + (f": {ended.message.strip()}" if ended.message else "")
        level = "bad" if ended.exit_code else "done"
    else:
        since = None
        if (waiting := status.state.waiting) is not None:
            state, message = waiting.reason or "waiting", waiting.message or ""
            level = "bad" if state in _BAD_WAITS else "busy"
    last = status.last_state.terminated
    return {
        "name": status.name,
        "image": (spec.image if spec else "") or status.image,
        "state": state,
        "level": level,
        "why": message,
        "life": container_state(status, stopping=stopping),
        "since": _seconds(since),
        "restarts": status.restart_count,
        "ready": status.ready,
        "last": f"{last.reason or 'ended'}, exit code {last.exit_code}" if last else "",
    }


def _pod_health(item: Pod, containers: Sequence[Row], *, stopping: bool) -> tuple[str, str, str]:
    """Return level, state and reason."""
    phase, reason = item.status.phase or "Pending", item.status.reason or ""
    if stopping:
        return "busy", "Terminating", ""
    if phase == "Succeeded":
        return "done", "Completed", ""
    worst = next((each for each in containers if each["level"] == "bad"), None)
    if phase == "Failed":
        why = item.status.message or (f"{worst['name']}: {worst['why']}" if worst else "")
        return "bad", reason or (worst["state"] if worst else "Failed"), why
    if worst is not None:
        return "bad", worst["state"], f"{worst['name']}: {_reason(worst)}"
    unscheduled = next((c for c in item.status.conditions if c.type == "PodScheduled"), None)
    if unscheduled is not None and unscheduled.status == "False":
        level = "bad" if unscheduled.reason == "Unschedulable" else "busy"
        return level, unscheduled.reason or "Pending", unscheduled.message or ""
    if phase == "Running":
        unready = [each["name"] for each in containers if each["level"] == "busy"]
        return (
            ("busy", "NotReady", f"not ready: {', '.join(unready)}") if unready else ("good", "Running", "")
        )
    told = (each["state"] for each in containers if each["level"] == "busy" and each["state"] != "waiting")
    return "busy", next(told, phase), ""


def _reason(container: Row) -> str:
    """Return why a container is not well: how it ended says more than that it will be started again."""
    if container["state"] == "CrashLoopBackOff" and container["last"]:
        return f"{container['last']}; {container['restarts']} restarts"
    return str(container["why"] or container["last"])


Workload = Deployment | StatefulSet | DaemonSet | Job


def workload(item: Workload) -> Row:
    """A workload: how many of its pods are as they shall be."""
    wanted, ready, updated = _counts(item)
    why = _complaint(item)
    level = "good" if ready >= wanted and updated >= wanted else "busy"
    if isinstance(item, Job):
        level = "done" if _true(item, "Complete") else "busy"
    elif level != "good" and not why:
        why = f"{ready} of {wanted} ready" if ready < wanted else f"{updated} of {wanted} updated"
    if _complaint(item):
        level = "bad"
    return _row(item, level=level, why=why) | {
        "kind": type(item).__name__,
        "wanted": wanted,
        "ready": ready,
        "updated": updated,
        "images": [each.image or "" for each in item.spec.template.spec.containers],
    }


def _counts(item: Workload) -> tuple[int, int, int]:
    status: Any = item.status
    if isinstance(item, DaemonSet):
        return (
            status.desired_number_scheduled or 0,
            status.number_ready or 0,
            status.updated_number_scheduled or 0,
        )
    if isinstance(item, Job):
        wanted = item.spec.completions or 1
        return wanted, status.succeeded or 0, wanted
    wanted = 1 if item.spec.replicas is None else item.spec.replicas
    return wanted, status.ready_replicas or 0, status.updated_replicas or 0


def _complaint(item: Workload) -> str:
    conditions: Sequence[Any] = item.status.conditions
    for condition in conditions:
        failed = condition.type in {"Failed", "ReplicaFailure"} and condition.status == "True"
        stuck = condition.type == "Progressing" and condition.status == "False"
        if failed or (stuck and condition.reason == "ProgressDeadlineExceeded"):
            return str(condition.message or condition.reason or condition.type)
    return ""


def _true(item: Workload, kind: str) -> bool:
    return any(each.type == kind and each.status == "True" for each in item.status.conditions)


def cron_job(item: CronJob) -> Row:
    """A CronJob: when it runs, and what runs now."""
    active, suspended = len(item.status.active), bool(item.spec.suspend)
    zone = f" {item.spec.time_zone}" if item.spec.time_zone else ""
    why = "suspended" if suspended else f"{active} running" if active else ""
    return _row(item, level="done" if suspended else "good", why=why) | {
        "kind": "CronJob",
        "schedule": f"{item.spec.schedule}{zone}",
        "last": _seconds(item.status.last_schedule_time),
        "images": [each.image or "" for each in item.spec.job_template.spec.template.spec.containers],
    }


def service(item: Service) -> Row:
    """A Service: where it is; whether anything is behind it stand in its slices."""
    spec = item.spec
    ports = [
        f"{each.port}{f':{each.node_port}' if each.node_port else ''}"
        f"{'' if each.protocol in {None, 'TCP'} else f'/{each.protocol}'}"
        for each in spec.ports
    ]
    external = spec.type == "ExternalName"
    return _row(item, level="good", why="") | {
        "kind": "Service",
        "type": spec.type or "ClusterIP",
        "address": (spec.external_name if external else spec.cluster_ip) or "",
        "ports": ", ".join(ports),
        "selects": bool(spec.selector) and not external,
    }


def endpoints(item: EndpointSlice) -> Row:
    """A part of a Service's endpoints: how many there are, and how many are ready."""
    return _row(item, level="good", why="") | {
        "service": item.metadata.labels.get("kubernetes.io/service-name", ""),
        "ready": sum(each.conditions.ready is not False for each in item.endpoints),
        "count": len(item.endpoints),
    }


def ingress(item: Ingress) -> Row:
    """An Ingress: which hosts and paths lead where."""
    secured = {host for each in item.spec.tls for host in each.hosts}
    routes = [
        f"{'https' if rule.host in secured else 'http'}://{rule.host or '*'}{path.path or '/'}"
        f" → {_backend(path.backend)}"
        for rule in item.spec.rules
        if rule.http is not None
        for path in rule.http.paths
    ]
    if item.spec.default_backend is not None:
        routes.append(f"* → {_backend(item.spec.default_backend)}")
    given = item.status.load_balancer.ingress
    return _row(item, level="good" if given else "busy", why="" if given else "nobody serves it") | {
        "kind": "Ingress",
        "type": item.spec.ingress_class_name or "",
        "address": ", ".join(each.ip or each.hostname or "" for each in given),
        "ports": "; ".join(routes),
        "selects": False,
    }


def _backend(item: IngressBackend) -> str:
    if item.service is None:
        return "nothing"
    return f"{item.service.name}:{item.service.port.number or item.service.port.name}"


def event(item: Event) -> Row:
    """An event: what happened to what, how often."""
    about = item.involved_object
    last = (item.series.last_observed_time if item.series else None) or item.last_timestamp or item.event_time
    count = (item.series.count if item.series else None) or item.count or 1
    return _row(item, level="bad" if item.type == "Warning" else "good", why=item.message or "") | {
        "at": _seconds(last or item.metadata.creation_timestamp),
        "reason": item.reason or "",
        "count": count,
        "kind": about.kind or "",
        "about": about.name or "",
        "uid": about.uid or "",
    }


def _row(item: Any, *, level: str, why: str) -> Row:
    meta = item.metadata
    return {
        "name": meta.name,
        "namespace": meta.namespace or "",
        "since": _seconds(meta.creation_timestamp),
        "level": level,
        "why": why[:2000],
    }


def _owner(item: Pod) -> str:
    controller = next((each for each in item.metadata.owner_references if each.controller), None)
    return f"{controller.kind}/{controller.name}" if controller else ""


def _seconds(when: datetime | None) -> float | None:
    return when.timestamp() if when is not None else None


KINDS: Final[Mapping[type[Any], tuple[str, Callable[[Any], Row]]]] = {
    Node: ("nodes", node),
    Pod: ("pods", pod),
    Deployment: ("workloads", workload),
    StatefulSet: ("workloads", workload),
    DaemonSet: ("workloads", workload),
    Job: ("workloads", workload),
    CronJob: ("workloads", cron_job),
    Service: ("services", service),
    Ingress: ("services", ingress),
    EndpointSlice: ("endpoints", endpoints),
    Event: ("events", event),
}
"""What is followed: in which of the page's tables it goes, and what is shown of it."""
