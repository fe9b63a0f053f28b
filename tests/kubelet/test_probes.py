"""Probes: times and thresholds exactly Kubernetes', in virtual time; and on a node, to the end."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from proa.app import http
from proa.app.testing import virtual_time
from proa.kube.models import now
from proa.kube.models.core_v1 import (
    Container,
    ContainerPort,
    ContainerStatus,
    ExecAction,
    HTTPGetAction,
    HTTPHeader,
    Pod,
    Probe,
    TCPSocketAction,
)
from proa.kubelet import _actions, _container_status, _probes
from proa.kubelet._actions import Target
from proa.kubelet._probes import Streak
from proa.kubelet.errors import ActionError

Cluster = Any
ASK = HTTPGetAction(port=1)


class Probed:
    """A container that notes what its probes say, and when."""

    def __init__(self, *, started: bool = True, **probes: Probe) -> None:
        self.spec = Container(name="c", **probes)  # type: ignore[arg-type]
        waiting = _container_status.initial(self.spec, "")
        self.status: ContainerStatus = _container_status.running(
            waiting, "id", 0, now(), started=started, ready=False
        )
        self.target = Target(self.spec, "127.0.0.1")
        self.notes: list[tuple[float, str]] = []

    def note(self, what: str) -> None:
        self.notes.append((round(asyncio.get_running_loop().time(), 1), what))

    async def has_started(self) -> None:
        if not self.status.started:
            self.status = replace(self.status, started=True)
            self.note("started")

    async def set_ready(self, *, ready: bool) -> None:
        if self.status.ready != ready:
            self.status = replace(self.status, ready=ready)
            self.note("ready" if ready else "unready")

    def event(self, reason: str, message: str, type: str = "Normal") -> None:  # noqa: A002
        assert (reason, type) == ("Unhealthy", "Warning")
        self.note(message.partition(":")[0])


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """What the container answers from now on; the last answer is given for ever."""
    given = [True]

    async def ask(_action: HTTPGetAction, _target: Target) -> None:
        if not (given.pop(0) if len(given) > 1 else given[0]):
            raise ActionError("no")

    monkeypatch.setattr(_actions, "http_get", ask)
    return given


def test_a_streak_is_broken_by_the_other_outcome() -> None:
    streak = Streak(successes=1, failures=3)
    outcomes = [False, False, True, False, False, False, False, True]
    counted = [streak.counts(success=outcome) for outcome in outcomes]
    assert counted == [False, False, True, False, False, True, True, True]


@virtual_time
async def test_liveness_fails_after_the_delay_and_as_many_periods_as_failures_are_allowed(
    answers: list[bool],
) -> None:
    answers[:] = [True, False]
    probe = Probe(http_get=ASK, initial_delay_seconds=5, period_seconds=7, failure_threshold=3)
    container = Probed(liveness_probe=probe)
    assert await _probes.watch(container) == "liveness"
    assert [round(time) for time, _ in container.notes] == [12, 19, 26]


@virtual_time
async def test_nothing_else_is_probed_before_the_startup_probe_succeeds(answers: list[bool]) -> None:
    answers[:] = [False, False, True, False]
    container = Probed(
        started=False,
        startup_probe=Probe(http_get=ASK, period_seconds=10, failure_threshold=3),
        liveness_probe=Probe(http_get=ASK, period_seconds=1, failure_threshold=1),
    )
    assert await _probes.watch(container) == "liveness"
    notes = [(round(time), what) for time, what in container.notes]
    failed = "Startup probe failed"
    assert notes == [(0, failed), (10, failed), (20, "started"), (20, "Liveness probe failed")]


@virtual_time
async def test_a_container_that_never_starts_must_be_ended(answers: list[bool]) -> None:
    answers[:] = [False]
    container = Probed(started=False, startup_probe=Probe(http_get=ASK, period_seconds=2))
    assert await _probes.watch(container) == "startup"
    assert round(asyncio.get_running_loop().time()) == 4


@virtual_time
async def test_readiness_comes_and_goes_by_its_thresholds_and_ends_nothing(answers: list[bool]) -> None:
    answers[:] = [True, True, False, False, True, True, True]
    probe = Probe(http_get=ASK, period_seconds=1, success_threshold=2, failure_threshold=2)
    container = Probed(readiness_probe=probe)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            await _probes.watch(container)
    changes = [(round(time), what) for time, what in container.notes if "probe" not in what]
    assert changes == [(1, "ready"), (3, "unready"), (5, "ready")]


@virtual_time
async def test_no_answer_in_time_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_actions, "http_get", lambda *_: asyncio.sleep(60))
    probe = Probe(http_get=ASK, period_seconds=10, timeout_seconds=3, failure_threshold=2)
    assert await _probes.watch(Probed(liveness_probe=probe)) == "liveness"
    assert round(asyncio.get_running_loop().time()) == 13


# Actions


@contextlib.asynccontextmanager
async def serving(status: int = 200) -> AsyncIterator[tuple[int, list[web.Request]]]:
    """A server that answers with a status; gives its port and the requests that came."""
    requests: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        requests.append(request)
        return web.Response(status=status, text="what went wrong", headers={"Location": "/elsewhere"})

    site = web.Application()
    site.router.add_get("/{path:.*}", answer)
    async with http.listen(site) as server:
        yield server.port, requests


@pytest.mark.parametrize(("status", "succeeds"), [(200, True), (302, True), (400, False), (503, False)])
async def test_an_answer_from_200_to_399_is_a_success(status: int, succeeds: bool) -> None:
    async with serving(status) as (port, requests):
        target = Target(Container(name="c", ports=[ContainerPort(name="web", container_port=port)]), "::1")
        headers = [HTTPHeader(name="X-Who", value="probe")]
        action = HTTPGetAction(host="127.0.0.1", port="web", path="/up?full=1", http_headers=headers)
        if succeeds:
            await _actions.http_get(action, target)
        else:
            with pytest.raises(ActionError, match=f"statuscode: {status}: what went wrong"):
                await _actions.http_get(action, target)
    (request,) = requests
    assert (request.path_qs, request.headers["X-Who"]) == ("/up?full=1", "probe")
    assert request.headers["User-Agent"].startswith("kube-probe/")


async def test_a_port_that_nobody_listens_on_and_one_that_has_no_name_are_failures() -> None:
    target = Target(Container(name="c"), "127.0.0.1")
    async with serving() as (port, _):
        await _actions.tcp_connect(TCPSocketAction(port=port), target)
    with pytest.raises(ActionError, match=f"dial tcp 127.0.0.1:{port}"):
        await _actions.tcp_connect(TCPSocketAction(port=port), target)
    with pytest.raises(ActionError, match=f"127.0.0.1:{port}"):
        await _actions.http_get(HTTPGetAction(port=port), target)
    with pytest.raises(ActionError, match="has no port named 'web'"):
        await _actions.http_get(HTTPGetAction(port="web"), target)


# On a node


def main(pod: Pod) -> Any:
    return pod.status.container_statuses[0]


async def test_a_pod_is_ready_when_its_probes_say_so(node: Cluster) -> None:
    async with serving() as (port, _):
        probe = Probe(tcp_socket=TCPSocketAction(host="127.0.0.1", port=port), period_seconds=1)
        await node.run("forever", "", readiness_probe=probe, startup_probe=probe)
        pod = await node.until(lambda pod: main(pod).state.running is not None)
        assert (main(pod).started, main(pod).ready) in {(False, False), (True, False), (True, True)}
        ready = await node.until(lambda pod: bool(main(pod).ready))
    conditions = {one.type: one.status for one in ready.status.conditions}
    assert (conditions["Ready"], conditions["ContainersReady"]) == ("True", "True")
    unready = await node.until(lambda pod: not main(pod).ready)
    assert main(unready).state.running is not None
    assert {one.type: one.reason for one in unready.status.conditions}["Ready"] == "ContainersNotReady"
    assert "Readiness probe failed: dial tcp" in await node.until_event("Unhealthy")


async def test_a_container_that_is_not_alive_is_restarted(node: Cluster) -> None:
    async with serving(500) as (port, _):
        action = HTTPGetAction(host="127.0.0.1", port=port)
        probe = Probe(http_get=action, period_seconds=1, failure_threshold=1)
        await node.run("forever", "", restart_policy="Always", liveness_probe=probe)
        pod = await node.until(lambda pod: main(pod).restart_count >= 1)
    assert main(pod).last_state.terminated.exit_code == 137
    assert "failed liveness probe, will be restarted" in await node.until_event("Killing")
    assert "HTTP probe failed with statuscode: 500" in await node.until_event("Unhealthy")


async def test_probes_by_exec_are_refused_by_an_event(node: Cluster) -> None:
    await node.run("say", "x", liveness_probe=Probe(exec=ExecAction(command=["true"])))
    await node.until_phase("Succeeded")
    await node.until_event("Unsupported", having="livenessProbe.exec of main")
