"""How a container's status changes. Pure: each function returns a new status.

The states are Kubernetes' own: waiting, running, terminated. What a container last died of moves to
`last_state` when it waits or runs again; `restart_count` grows when it runs again.
"""

from datetime import datetime
from typing import Final

from msgspec.structs import replace

from proa.kube.models.core_v1 import (
    Container,
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
)

CREATING: Final = "ContainerCreating"
INITIALIZING: Final = "PodInitializing"
KILLED: Final = 128 + 9
"""Exit code of a process that SIGKILL ended, as shells and Kubernetes count."""


def initial(container: Container, reason: str) -> ContainerStatus:
    """A container that has not been started."""
    state = ContainerState(waiting=ContainerStateWaiting(reason=reason))
    return ContainerStatus(
        name=container.name, image=container.image or "", image_id="", restart_count=0, ready=False,
        started=False, state=state, last_state=ContainerState(),
    )  # fmt: skip


def waiting(status: ContainerStatus, reason: str, message: str | None = None) -> ContainerStatus:
    """The container waits, for the reason given."""
    state = ContainerState(waiting=ContainerStateWaiting(reason=reason, message=message))
    return replace(status, state=state, last_state=_last_state(status), ready=False, started=False)


def still_waiting(status: ContainerStatus, message: str) -> ContainerStatus:
    """The container still waits for the same, and there is something to say about that; empty for nothing."""
    reason = status.state.waiting.reason if status.state.waiting else CREATING
    return waiting(status, reason or CREATING, message or None)


def was_started(status: ContainerStatus) -> bool:
    """Whether any instance of the container ever ran."""
    return status.state.waiting is None or status.last_state.terminated is not None


def running(
    status: ContainerStatus,
    container_id: str,
    restart: int,
    started_at: datetime,
    *,
    started: bool = True,
    ready: bool = True,
) -> ContainerStatus:
    """The container runs, for the `restart`-th time after the first.

    Args:
        status: As it was.
        container_id: Of this instance.
        restart: Its number, from 0 on.
        started_at: When its process began; whole seconds.
        started: It has no startup probe and no `postStart` hook that come first.
        ready: It has started, and no readiness probe comes first.
    """
    return replace(
        status,
        state=ContainerState(running=ContainerStateRunning(started_at=started_at)),
        last_state=_last_state(status),
        container_id=container_id,
        restart_count=restart,
        ready=ready,
        started=started,
    )


def terminated(
    status: ContainerStatus, end: ContainerStateTerminated, *, init: bool = False
) -> ContainerStatus:
    """The container has ended; an init container that ended well is what Kubernetes calls ready."""
    return replace(
        status,
        state=ContainerState(terminated=end),
        ready=init and end.exit_code == 0,
        started=False,
    )


def lost(status: ContainerStatus, now: datetime) -> ContainerStateTerminated:
    """How a container ended of which no trace is left: its node or its runtime went away under it."""
    run = status.state.running
    return ContainerStateTerminated(
        exit_code=KILLED,
        reason="ContainerStatusUnknown",
        message="The container could not be located when the pod was synchronized: its sandbox is gone",
        container_id=status.container_id,
        started_at=run.started_at if run else None,
        finished_at=now,
    )


def last_end(status: ContainerStatus) -> ContainerStateTerminated | None:
    """How the newest instance that has ended did so; None while the first has not."""
    return status.state.terminated or status.last_state.terminated


def _last_state(status: ContainerStatus) -> ContainerState:
    return status.state if status.state.terminated else status.last_state
