"""Ending the node's pods before the machine goes down: by priority, the less important ones first."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_states import Sentence
from proa.kubelet._shutdown_plan import Turn, turn_of

_log = logs.get_logger(__name__)
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_SYSTEMD: Final = Path("/run/systemd/system")
_ANSWER_SECONDS: Final = 5.0


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


async def end_pods(workers: Callable[[], Iterable[PodWorker]], plan: list[Turn]) -> None:
    """End all pods, turn after turn. One that does not end in its turn's time is left to the machine."""
    for turn in plan:
        chosen = [one for one in workers() if turn_of(one.context.pod.spec.priority or 0, plan) == turn]
        for worker in chosen:
            grace = min(worker.context.grace_period, turn.seconds)
            worker.condemn(Sentence("Terminated", MESSAGE, grace, disrupts=True))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(turn.seconds):
                for worker in chosen:
                    await worker.until_finished()
        _log.info("ended pods for the node's shutdown", pods=len(chosen), priority=turn.priority)
