"""Tables say of a pod what kubectl says of it: how many containers are ready, and what keeps the others."""

from typing import Any

import pytest

from proa.controlplane.presentation._table import table_of
from proa.controlplane.registry import catalogue

Json = dict[str, Any]
SINCE = "2026-01-01T00:00:00Z"


def table(name: str, document: Json) -> Json:
    plural, _, group = name.partition(".")
    resource = catalogue().find(group, plural)
    assert resource is not None
    metadata = {"name": "x", "creationTimestamp": SINCE, **document.get("metadata", {})}
    return table_of(resource, [{**document, "metadata": metadata}], {})


def cells(name: str, document: Json) -> dict[str, Any]:
    """By column, without the age."""
    found = table(name, document)
    names = [column["name"] for column in found["columnDefinitions"]]
    return {key: cell for key, cell in zip(names, found["rows"][0]["cells"], strict=True) if key not in AGES}


AGES = {"Age", "Created At", "Last Seen", "First Seen"}


def status(name: str = "c", **state: Any) -> Json:
    more: Json = {
        key: state.pop(key) for key in ("ready", "started", "restartCount", "lastState") if key in state
    }
    return {"name": name, "state": state, **more}


def pod(*statuses: Json, init: tuple[Json, ...] = (), **more: Any) -> Json:
    sidecars = [{"name": "side", "restartPolicy": "Always"}] if init else []
    return {
        "metadata": more.pop("metadata", {}),
        "spec": {
            "containers": [{"name": "c"}],
            "initContainers": [*sidecars, {"name": "init"}] if init else [],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **more,
        },
    }


RUNNING: Json = {"running": {}, "ready": True}
DONE = {"exitCode": 0, "reason": "Completed"}
GOING: Json = {"metadata": {"deletionTimestamp": SINCE}}
PODS: list[tuple[Json, str, str, str]] = [
    (pod(status(**RUNNING)), "1/1", "Running", "0"),
    (pod(status(waiting={"reason": "ErrImagePull"})), "0/1", "ErrImagePull", "0"),
    (pod(status(terminated={"exitCode": 3})), "0/1", "ExitCode:3", "0"),
    (pod(status(terminated={"exitCode": 137, "signal": 9})), "0/1", "Signal:9", "0"),
    (pod(status(terminated=DONE), status("d", **RUNNING)), "1/1", "NotReady", "0"),
    (
        pod(
            status(terminated=DONE), status("d", **RUNNING), conditions=[{"type": "Ready", "status": "True"}]
        ),
        "1/1",
        "Running",
        "0",
    ),
    (
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        "0/1",
        "SchedulingGated",
        "0",
    ),
    (pod(init=(status("side", **RUNNING, started=True), status("init", running={}))), "1/2", "Init:1/2", "0"),
    (
        pod(init=(status("side", waiting={"reason": "CrashLoopBackOff"}, restartCount=2),)),
        "0/2",
        "Init:CrashLoopBackOff",
        "2",
    ),
    (
        pod(
            status(**RUNNING, restartCount=1),
            init=(
                status("side", **RUNNING, started=True, restartCount=2),
                status("init", terminated=DONE, restartCount=4),
            ),
        ),
        "2/2",
        "Running",
        "3",
    ),
    (pod(status(**RUNNING), **GOING), "1/1", "Terminating", "0"),
    (pod(status(**RUNNING), reason="NodeLost", **GOING), "1/1", "Unknown", "0"),
    (pod(status(terminated=DONE), phase="Succeeded", **GOING), "0/1", "Completed", "0"),
]


@pytest.mark.parametrize(("document", "ready", "word", "restarts"), PODS, ids=range(len(PODS)))
def test_a_pod_in_a_few_words(document: Json, ready: str, word: str, restarts: str) -> None:
    found = cells("pods", document)
    assert (found["Ready"], found["Status"], found["Restarts"]) == (ready, word, restarts)


def test_a_pod_that_has_ended_says_so_of_its_row() -> None:
    (row,) = table("pods", pod(phase="Failed"))["rows"]
    assert [(one["type"], one["reason"]) for one in row["conditions"]] == [("Completed", "Failed")]
    assert "conditions" not in table("pods", pod())["rows"][0]
