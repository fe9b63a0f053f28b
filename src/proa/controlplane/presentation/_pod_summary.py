"""What kubectl says of a pod in a few words. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from proa.controlplane._json import Document

from ._columns import age


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


def ready(pod: Document) -> str:
    """How many containers are ready, of how many."""
    found = summary_of(pod)
    return f"{found.ready}/{found.total}"


def restarts(pod: Document, now: datetime) -> str:
    """How often containers were started again, and when for the last time."""
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
