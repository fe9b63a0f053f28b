"""What the kubelet does beside a running container: its `postStart` hook, its probes, and ending it."""

import asyncio
from typing import TYPE_CHECKING

from proa.kubelet import _hooks, _probes, _wagi
from proa.kubelet.errors import ActionError

if TYPE_CHECKING:
    from proa.kubelet._container import Container


async def mind(container: "Container") -> None:
    """Look after a container that runs; ends it when a hook or a probe says so. Cancel it at the end."""
    if not await _after_start(container):
        container.kill()
        return
    kind = await _probes.watch(container)
    container.event("Killing", f"Container {container.name} failed {kind} probe, will be restarted")
    await end(container, _grace(container, kind))


async def end(container: "Container", seconds: float) -> None:
    """Run the `preStop` hook for at most so long, then kill. A pod that is gone is not waited for.

    What is left of the time is a server's, for the requests that are under way.
    """
    hook = asyncio.create_task(_before_kill(container, seconds))
    gone = asyncio.create_task(container.context.gone.wait())
    try:
        await asyncio.wait({hook, gone}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        hook.cancel()
        gone.cancel()
        await asyncio.wait({hook, gone})
    container.kill()


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
