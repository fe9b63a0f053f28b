"""Ending the node's pods before the machine goes down: by priority, the less important ones first."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Iterable, Iterator
from pathlib import Path
from typing import Final

from proa.app import logs
from proa.kubelet import _logind
from proa.kubelet._admission import Admission
from proa.kubelet._node_agent import NodeAgent
from proa.kubelet._pod import PodWorker
from proa.kubelet._pod_states import Sentence
from proa.kubelet._pods import Pods
from proa.kubelet._shutdown_plan import Turn, turn_of

_log = logs.get_logger(__name__)
MESSAGE = "Pod was terminated in response to imminent node shutdown."
_SYSTEMD: Final = Path("/run/systemd/system")
_ANSWER_SECONDS: Final = 5.0


class Shutdown:
    """The machine's going down, as far as the node's pods are concerned.

    Args:
        plan: In which turns pods are ended; empty to leave them.
        pods: The node's.
        agent: Tells the cluster of it.
        admission: Lets no more pods in.
    """

    def __init__(self, plan: list[Turn], pods: Pods, agent: NodeAgent, admission: Admission) -> None:
        self._plan = plan
        self._pods = pods
        self._agent = agent
        self._admission = admission

    def watching(self) -> Iterator[Coroutine[None, None, None]]:
        """What is to be done all the time to hear of it early."""
        if self._plan:
            yield _logind.watch(sum(turn.seconds for turn in self._plan), self.prepare, self.call_off)

    async def leave(self) -> None:
        """The kubelet is ended: prepare if that is because the machine goes down."""
        if self._plan and await is_imminent():
            await self.prepare()

    async def prepare(self) -> None:
        """End all pods in order, and let the cluster know."""
        self._admission.shutting_down = True
        self._agent.not_ready = "node is shutting down"
        await self._agent.report_now()
        await end_pods(self._pods.workers, self._plan)
        await self._pods.settled()

    async def call_off(self) -> None:
        """The machine does not go down after all."""
        self._admission.shutting_down = False
        self._agent.not_ready = None
        await self._agent.report_now()


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
