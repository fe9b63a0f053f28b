"""What the kubelet does beside a running container: its `postStart` hook, its probes, and ending it."""

import asyncio
import math
from typing import TYPE_CHECKING

from proa.kube.models.core_v1 import Pod
from proa.kubelet import _hooks, _probes, _wagi
from proa.kubelet._racing import first_of
from proa.kubelet.errors import ActionError
from proa.statemachine import Latest

if TYPE_CHECKING:
    from proa.kubelet._container import Container


async def mind(container: "Container") -> None:
    """Look after a container that runs; ends it when a hook or a probe says so, or its image was changed."""
    if not await _after_start(container):
        container.kill()
        return
    done = await first_of(_until_unhealthy(container), _until_redefined(container))
    why, seconds = done.pop().result()
    container.event("Killing", f"Container {container.name} {why}, will be restarted")
    await end(container, seconds)


async def end(container: "Container", seconds: float) -> None:
    """Run the `preStop` hook for at most so long, then kill. A pod that is gone is not waited for.

    What is left of the time is a server's, for the requests that are under way. Another deletion with less
    time cuts it short.
    """
    await first_of(
        _before_kill(container, seconds), container.context.gone.wait(), _until_overdue(container, seconds)
    )
    container.kill()


async def _until_unhealthy(container: "Container") -> tuple[str, float]:
    kind = await _probes.watch(container)
    return f"failed {kind} probe", _grace(container, kind)


async def _until_redefined(container: "Container") -> tuple[str, float]:
    await container.until_redefined()
    return "definition changed", container.context.grace_period


async def _until_overdue(container: "Container", seconds: float) -> None:
    """Wait until a time has passed that a later deletion of the pod grants, which is less than the first."""
    left: float | None = None
    while True:
        try:
            async with asyncio.timeout(left):
                seconds = left = await _granted_less(container.context.latest, seconds)
        except TimeoutError:
            return


async def _granted_less(pods: Latest[Pod], seconds: float) -> float:
    def granted(pod: Pod) -> float:
        own = pod.metadata.deletion_grace_period_seconds
        return math.inf if own is None else own

    return granted(await pods.until(lambda pod: granted(pod) < seconds))


async def _before_kill(container: "Container", seconds: float) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    await _hooks.before_stop(container, seconds)
    await _wagi.finish(container, end - loop.time())


async def _after_start(container: "Container") -> bool:
    handler = _hooks.post_start(container)
    if handler is None or container.status.started:
        return True
    try:
        await _hooks.run(handler, container.target)
    except ActionError as error:
        container.event("FailedPostStartHook", f"PostStartHook failed: {error}", "Warning")
        return False
    return True


def _grace(container: "Container", kind: str) -> float:
    spec = container.spec
    probe = spec.startup_probe if kind == "startup" else spec.liveness_probe
    own = probe.termination_grace_period_seconds if probe is not None else None
    return own if own is not None else container.context.grace_period
