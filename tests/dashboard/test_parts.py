"""What needs no server: who may look, what is shown of objects, what is remembered of usage."""

import math
from typing import Any

import pytest

from proa import kube
from proa.dashboard import _life, _summaries
from proa.dashboard._sessions import IDLE_SECONDS, Pass, Sessions
from proa.dashboard._usage import History, _samples
from proa.kube.models.apps_v1 import Deployment
from proa.kube.models.batch_v1 import CronJob, Job
from proa.kube.models.core_v1 import Event, Node, Pod, Service
from proa.kube.models.discovery_v1 import EndpointSlice
from proa.kube.models.networking_v1 import Ingress


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def read(kind: type[Any], **fields: Any) -> Any:
    return kube.decode(kube.encode({"metadata": {"name": "x", "namespace": "default"}} | fields), kind)


def pod(*containers: dict[str, Any], phase: str = "Running", **fields: Any) -> Pod:
    statuses = [
        {"name": "main", "image": "i", "imageID": "", "ready": False, "restartCount": 0} | c
        for c in containers
    ]
    spec = {"nodeName": "n", "containers": [{"name": "main", "image": "i"}]}
    found: Pod = read(
        Pod,
        spec=spec,
        status={"phase": phase, "containerStatuses": statuses} | fields.pop("status", {}),
        **fields,
    )
    return found


def test_a_code_lets_in_once_and_not_after_a_day() -> None:
    clock = Clock()
    sessions: Sessions[str] = Sessions(clock)
    code, late = sessions.code("ada"), sessions.code("ada")
    assert sessions.redeem("nonsense") is None
    assert sessions.redeem(code) == "ada"
    assert sessions.redeem(code) is None
    clock.now = 25 * 3600.0
    assert sessions.redeem(late) is None


def test_a_session_ends_when_it_is_not_used_and_when_it_is_closed() -> None:
    clock = Clock()
    sessions: Sessions[str] = Sessions(clock)
    used, closed, idle = (sessions.open("ada") for _ in range(3))
    sessions.close(closed)
    clock.now = IDLE_SECONDS - 1
    assert sessions.find(used) == "ada"
    clock.now = IDLE_SECONDS + 1
    assert [sessions.find(each) for each in (used, closed, idle)] == ["ada", None, None]


def test_half_of_a_pass_opens_nothing() -> None:
    sessions: Sessions[str] = Sessions(Clock())
    one, other = sessions.open("ada"), sessions.open("ada")
    for wrong in (Pass(one.cookie, ""), Pass("", one.key), Pass(one.cookie, other.key), Pass("", "")):
        assert sessions.find(wrong) is None
        sessions.close(wrong)
    assert sessions.find(one) == "ada"


def test_of_too_many_sessions_the_one_unused_longest_ends() -> None:
    clock = Clock()
    sessions: Sessions[int] = Sessions(clock)
    cookies = []
    for number in range(257):
        clock.now = float(number)
        cookies.append(sessions.open(number))
    assert sessions.find(cookies[0]) is None
    assert sessions.find(cookies[1]) == 1


RUNNING = {"state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}
CRASHED = {
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
    "lastState": {"terminated": {"exitCode": 3, "reason": "Error"}},
    "restartCount": 4,
}
PULLING = {"state": {"waiting": {"reason": "ErrImagePull", "message": "no manifest"}}}
UNSCHEDULED = {
    "conditions": [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    ]
}


@pytest.mark.parametrize(
    ("item", "level", "state", "why", "life"),
    [
        (pod({**RUNNING, "ready": True}), "good", "Running", "", "Running"),
        (pod(RUNNING), "busy", "NotReady", "not ready: main", "Running"),
        (pod(CRASHED), "bad", "CrashLoopBackOff", "main: Error, exit code 3; 4 restarts", "CrashLoopBackOff"),
        (pod(PULLING, phase="Pending"), "bad", "ErrImagePull", "main: no manifest", "PullFailed"),
        (
            pod({"state": {"terminated": {"exitCode": 0}}}, phase="Succeeded"),
            "done",
            "Completed",
            "",
            "Ended",
        ),
        (
            pod({"state": {"terminated": {"exitCode": 3, "reason": "Error"}}}, phase="Failed"),
            "bad",
            "Error",
            "main: exit code 3",
            "Ended",
        ),
        (pod(phase="Pending", status=UNSCHEDULED), "bad", "Unschedulable", "0/1 nodes", None),
        (
            pod(phase="Failed", status={"reason": "Evicted", "message": "disk"}),
            "bad",
            "Evicted",
            "disk",
            None,
        ),
    ],
)
def test_a_pod_says_how_it_is(item: Pod, level: str, state: str, why: str, life: str | None) -> None:
    row = _summaries.pod(item)
    assert (row["level"], row["state"], row["why"]) == (level, state, why)
    assert row["containers"][0].get("life") == life


def test_every_state_that_is_told_is_one_of_the_kubelets() -> None:
    container = {kind.__name__ for kind in _life.DRAWINGS["container"].edges}
    pods = {kind.__name__ for kind in _life.DRAWINGS["pod"].edges}
    for reason, state in _life._WAITING.items():
        assert state in container, reason
    states: list[dict[str, Any]] = [{"running": {}}, {"terminated": {"exitCode": 0}}]
    running = pod(*({"state": state} for state in states))
    statuses = running.status.container_statuses
    for stopping in (False, True):
        assert {_life.container_state(status, stopping=stopping) for status in statuses} <= container
    for phase in ("Pending", "Running", "Succeeded"):
        assert _life.pod_state(pod(phase=phase)) in pods
    assert _life.pod_state(read(Pod, spec={"containers": []})) is None


@pytest.mark.parametrize("name", ["pod", "container"])
def test_drawings_carry_no_style_of_their_own(name: str) -> None:
    assert "<style" not in _life.drawing(name)
    assert ">Running</text>" in _life.drawing(name)


def test_workloads_nodes_and_events_say_how_they_are() -> None:
    template = {"spec": {"containers": [{"name": "main", "image": "i"}]}}
    spec = {"replicas": 3, "selector": {}, "template": template}
    rolling = read(Deployment, spec=spec, status={"readyReplicas": 2, "updatedReplicas": 3})
    assert (_summaries.workload(rolling)["level"], _summaries.workload(rolling)["why"]) == (
        "busy",
        "2 of 3 ready",
    )
    stuck = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "message": "stuck",
    }
    row = _summaries.workload(read(Deployment, spec=spec, status={"conditions": [stuck]}))
    assert (row["level"], row["why"], row["ready"], row["wanted"]) == ("bad", "stuck", 0, 3)
    done = read(
        Job,
        spec={"template": template},
        status={"succeeded": 1, "conditions": [{"type": "Complete", "status": "True"}]},
    )
    assert _summaries.workload(done)["level"] == "done"
    lost = read(Node, status={"conditions": [{"type": "Ready", "status": "Unknown", "message": "gone"}]})
    assert (_summaries.node(lost)["level"], _summaries.node(lost)["why"]) == ("bad", "gone")
    happened = read(
        Event, type="Warning", reason="Boom", involvedObject={"kind": "Pod", "name": "x"}, count=7
    )
    assert (_summaries.event(happened)["level"], _summaries.event(happened)["count"]) == ("bad", 7)


def test_services_ingresses_and_cron_jobs_say_where_and_when() -> None:
    spec = {"clusterIP": "127.67.0.9", "selector": {"a": "b"}, "type": "NodePort"}
    ports = [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    row = _summaries.service(read(Service, spec=spec | {"ports": ports}))
    assert (row["type"], row["address"], row["ports"]) == ("NodePort", "127.67.0.9", "80:30080, 53/UDP")
    away = read(Service, spec={"type": "ExternalName", "externalName": "example.com"})
    row = _summaries.service(away)
    assert (row["address"], row["selects"]) == ("example.com", False)
    slice_ = read(
        EndpointSlice,
        metadata={"name": "x", "namespace": "d", "labels": {"kubernetes.io/service-name": "web"}},
        addressType="IPv4",
        endpoints=[{"addresses": ["1.2.3.4"]}, {"addresses": ["1.2.3.5"], "conditions": {"ready": False}}],
    )
    row = _summaries.endpoints(slice_)
    assert (row["service"], row["ready"], row["count"]) == ("web", 1, 2)
    backend = {"service": {"name": "web", "port": {"name": "http"}}}
    rule = {"host": "shop", "http": {"paths": [{"path": "/a", "pathType": "Prefix", "backend": backend}]}}
    row = _summaries.ingress(
        read(Ingress, spec={"rules": [rule], "tls": [{"hosts": ["shop"]}], "defaultBackend": backend})
    )
    assert (row["level"], row["ports"]) == ("busy", "https://shop/a → web:http; * → web:http")
    template = {"spec": {"template": {"spec": {"containers": [{"name": "main", "image": "i"}]}}}}
    nightly = {"schedule": "0 3 * * *", "timeZone": "Europe/Paris", "jobTemplate": template, "suspend": True}
    row = _summaries.cron_job(read(CronJob, spec=nightly))
    assert (row["schedule"], row["level"], row["why"]) == ("0 3 * * * Europe/Paris", "done", "suspended")


def test_what_metrics_say_is_added_up_by_node_and_pod() -> None:
    node = {"metadata": {"name": "n"}, "usage": {"cpu": "1500m", "memory": "2Gi"}}
    containers = [{"usage": {"cpu": "250m", "memory": "1Mi"}}, {"usage": {"cpu": "5000000n"}}]
    pod = {"metadata": {"name": "p", "namespace": "team"}, "containers": containers}
    assert dict(_samples("nodes", [node])) == {"nodes/n": (1.5, 2.0**31)}
    assert dict(_samples("pods", [pod])) == {"pods/team/p": (0.255, 2.0**20)}


def test_histories_have_gaps_where_nothing_was_measured_and_end_with_their_things() -> None:
    history = History(samples=3)
    for now in ({"a": (1.0, 10.0)}, {}, {"a": (2.0, 20.0), "b": (0.5, 5.0)}):
        history.add(now)
    assert history.of("a") == {"cpu": [1.0, None, 2.0], "memory": [10.0, None, 20.0]}
    assert history.of("b")["cpu"] == [None, None, 0.5]
    assert history.latest() == {"a": [2.0, 20.0], "b": [0.5, 5.0]}
    for _ in range(3):
        history.add({})
    assert history.of("a") == {"cpu": [], "memory": []}
    assert not history.latest()
    assert not math.isnan(history.length)
