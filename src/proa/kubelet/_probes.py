"""Probes of one running container: has it started, is it ready, is it alive?

`Streak` is the pure part: how many outcomes in a row count. Times and thresholds are Kubernetes': a probe
runs at `initialDelaySeconds` after the start of the container and each `periodSeconds` from then on, fails
when it takes longer than `timeoutSeconds`, and nothing but the startup probe runs before that has succeeded.
"""

import asyncio
from datetime import datetime
from typing import Final, Literal, Protocol

from proa.kube.models import now
from proa.kube.models.core_v1 import Container, ContainerStatus, Probe
from proa.kubelet import _actions
from proa.kubelet._actions import Target
from proa.kubelet.errors import ActionError

_PERIOD: Final = 10
_TIMEOUT: Final = 1
_FAILURES: Final = 3


class Probed(Protocol):
    """What probes need of a container."""

    status: ContainerStatus

    @property
    def spec(self) -> Container: ...
    @property
    def target(self) -> Target: ...
    async def has_started(self) -> None: ...
    async def set_ready(self, *, ready: bool) -> None: ...
    def event(self, reason: str, message: str, type: Literal["Normal", "Warning"] = ...) -> None: ...  # noqa: A002


class Streak:
    """Counts equal outcomes in a row.

    Args:
        successes: How many it takes for success to count.
        failures: How many it takes for failure to count.
    """

    def __init__(self, successes: int, failures: int) -> None:
        self._needed = {True: successes, False: failures}
        self._last: bool | None = None
        self._length = 0

    def counts(self, *, success: bool) -> bool:
        """Note an outcome; whether it is to be believed now."""
        self._length = self._length + 1 if success == self._last else 1
        self._last = success
        return self._length >= self._needed[success]


def supported(probe: Probe | None) -> Probe | None:
    """The probe, unless it is of a kind that a guest cannot answer (`exec`, `grpc`)."""
    return probe if probe is not None and (probe.http_get or probe.tcp_socket) else None


async def watch(container: Probed) -> str:
    """Keep the container's `started` and `ready` true to its probes until it must be ended.

    Returns:
        The kind of probe that says that it must: `startup` or `liveness`. Without any of these, never.
    """
    spec, run = container.spec, container.status.state.running
    began = (run.started_at if run is not None else None) or now()
    startup = supported(spec.startup_probe)
    if startup is not None and not container.status.started:
        prober = _Prober(container, "Startup", startup, began)
        if not await prober.next_verdict():
            return "startup"
    await container.has_started()
    readiness, liveness = supported(spec.readiness_probe), supported(spec.liveness_probe)
    async with asyncio.TaskGroup() as group:
        keeping = None
        if readiness is not None:
            keeping = group.create_task(_keep_ready(_Prober(container, "Readiness", readiness, began)))
        if liveness is None:
            await asyncio.Event().wait()
        else:
            await _until_failed(_Prober(container, "Liveness", liveness, began))
        if keeping is not None:
            keeping.cancel()
    return "liveness"


async def _keep_ready(prober: "_Prober") -> None:
    while True:
        await prober.container.set_ready(ready=await prober.next_verdict())


async def _until_failed(prober: "_Prober") -> None:
    while await prober.next_verdict():
        pass


class _Prober:
    """One probe of one instance of a container."""

    def __init__(self, container: Probed, kind: str, probe: Probe, began: datetime) -> None:
        self.container = container
        self._kind = kind
        self._probe = probe
        self._period = probe.period_seconds or _PERIOD
        self._streak = Streak(probe.success_threshold or 1, probe.failure_threshold or _FAILURES)
        passed = (now() - began).total_seconds()
        loop = asyncio.get_running_loop()
        self._due = loop.time() + max(0.0, (probe.initial_delay_seconds or 0) - passed)

    async def next_verdict(self) -> bool:
        """Probe until an outcome counts; return it."""
        while True:
            await self._pause()
            success = await self._succeeds()
            if self._streak.counts(success=success):
                return success

    async def _pause(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(0.0, self._due - loop.time()))
        self._due = max(self._due + self._period, loop.time())

    async def _succeeds(self) -> bool:
        seconds = self._probe.timeout_seconds or _TIMEOUT
        try:
            async with asyncio.timeout(seconds):
                await self._ask()
        except ActionError as error:
            problem = str(error)
        except TimeoutError:
            problem = f"no answer within {seconds} s"
        else:
            return True
        self.container.event("Unhealthy", f"{self._kind} probe failed: {problem}", "Warning")
        return False

    async def _ask(self) -> None:
        target = self.container.target
        if self._probe.http_get is not None:
            await _actions.http_get(self._probe.http_get, target)
        elif self._probe.tcp_socket is not None:
            await _actions.tcp_connect(self._probe.tcp_socket, target)
