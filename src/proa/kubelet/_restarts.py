"""When a container that has ended is started again. Pure."""

from datetime import datetime, timedelta
from typing import Final

from proa.app.backoff import Backoff
from proa.kube.models.core_v1 import Container, ContainerStateTerminated, PodSpec

CRASH_LOOP: Final = Backoff(initial=10.0, maximum=300.0, factor=2.0)
"""Seconds between restarts, as Kubernetes has them; the very first restart is at once."""

RESET_AFTER: Final = timedelta(minutes=10)
"""A container that ran this long was well: its next failure counts as the first."""


def restart_policy(pod: PodSpec, container: Container, *, init: bool) -> str:
    """`Always`, `OnFailure` or `Never`; an init container that ended well has done its work for good."""
    policy = container.restart_policy or pod.restart_policy or "Always"
    return "OnFailure" if init and policy == "Always" else policy


def restarts(policy: str, exit_code: int) -> bool:
    """Whether the policy has a container that ended with this code started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


class RestartTimer:
    """Counts the quick deaths of one container and says how long to wait before the next start."""

    def __init__(self, backoff: Backoff = CRASH_LOOP) -> None:
        self._backoff = backoff
        self._deaths = 0

    def wait_until(self, end: ContainerStateTerminated, now: datetime) -> datetime:
        """Note a death and return the time of the restart; it may have passed."""
        ran_for = end.finished_at - end.started_at if end.finished_at and end.started_at else timedelta()
        if ran_for >= RESET_AFTER:
            self._deaths = 0
        delay = self._backoff.delay(self._deaths - 1) if self._deaths else 0.0
        self._deaths += 1
        return (end.finished_at or now) + timedelta(seconds=delay)
