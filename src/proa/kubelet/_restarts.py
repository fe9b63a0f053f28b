"""When a container that has ended is started again. Pure."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from proa.app.backoff import Backoff
from proa.kube.models.core_v1 import Container, ContainerRestartRule, ContainerStateTerminated, PodSpec

CRASH_LOOP: Final = Backoff(initial=10.0, maximum=300.0, factor=2.0)
"""Seconds between restarts, as Kubernetes has them; the very first restart is at once."""

RESET_AFTER: Final = timedelta(minutes=10)
"""A container that ran this long was well: its next failure counts as the first."""


def crash_loop(longest: timedelta) -> Backoff:
    """The same with a shorter wait at most."""
    seconds = longest.total_seconds()
    return replace(CRASH_LOOP, initial=min(CRASH_LOOP.initial, seconds), maximum=seconds)


def restart_policy(pod: PodSpec, container: Container, *, init: bool) -> str:
    """`Always`, `OnFailure` or `Never`: the container's own, else the pod's.

    By the pod's, an init container that ended well has done its work for good; one with a policy `Always`
    of its own is a sidecar.
    """
    if container.restart_policy is not None:
        return container.restart_policy
    policy = pod.restart_policy or "Always"
    return "OnFailure" if init and policy == "Always" else policy


def restarts(policy: str, exit_code: int, rules: Iterable[ContainerRestartRule] = ()) -> bool:
    """Whether a container that ended with this code is started again: a rule that fits, else the policy."""
    if any(rule.action == "Restart" and _fits(rule, exit_code) for rule in rules):
        return True
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _fits(rule: ContainerRestartRule, exit_code: int) -> bool:
    codes = rule.exit_codes
    return codes is not None and (exit_code in codes.values) == (codes.operator == "In")


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
