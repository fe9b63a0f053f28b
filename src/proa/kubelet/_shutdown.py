"""Ending the node's pods before the machine goes down: by priority, the less important ones first."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_states import Sentence
from proa.kubelet._pressure import CRITICAL

_log = logs.get_logger(__name__)
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_SYSTEMD: Final = Path("/run/systemd/system")
_ANSWER_SECONDS: Final = 5.0
REFUSAL = "Pod was rejected as the node is shutting down."


async def is_imminent() -> bool:
    """Whether the machine is going down, and not this program alone. Without systemd, nobody can tell."""
    if not await asyncio.to_thread(_SYSTEMD.is_dir):
        return True
    command = ("systemctl", "is-system-running")
    try:
        asking = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
        async with asyncio.timeout(_ANSWER_SECONDS):
            output, _ = await asking.communicate()
    except (OSError, TimeoutError):
        return True
    return output.strip() == b"stopping"


def periods(whole: float, critical: float) -> list[tuple[int, float]]:
    """The least priority of each group of pods, and how many seconds it gets, in order. Pure.

    Args:
        whole: Seconds for all pods together.
        critical: Those of them that are kept for critical pods.
    """
    return [(-(2**31), max(0.0, whole - critical)), (CRITICAL, min(critical, whole))]


async def end_pods(workers: Callable[[], Iterable[PodWorker]], groups: list[tuple[int, float]]) -> None:
    """End all pods, group after group. One that does not end in its group's time is left to the machine."""
    bounds = [least for least, _ in groups] + [2**31]
    for (least, seconds), end in zip(groups, bounds[1:], strict=True):
        chosen = [one for one in workers() if least <= (one.context.pod.spec.priority or 0) < end]
        for worker in chosen:
            grace = min(worker.context.grace_period, seconds)
            worker.condemn(Sentence("Terminated", MESSAGE, grace, disrupts=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for worker in chosen:
                    await worker.until_finished()
        _log.info("ended pods for the node's shutdown", pods=len(chosen), least_priority=least)
