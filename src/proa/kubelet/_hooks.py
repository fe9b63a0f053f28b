"""Lifecycle hooks: `postStart` right after a container has started, `preStop` before it is ended.

As in Kubernetes, a hook may run more than once when the kubelet is restarted while it runs.
"""

import asyncio
from typing import TYPE_CHECKING

from proa.kube.models.core_v1 import LifecycleHandler
from proa.kubelet import _actions
from proa.kubelet._actions import Target
from proa.kubelet.errors import ActionError

if TYPE_CHECKING:
    from proa.kubelet._container import Container


def supported(handler: LifecycleHandler | None) -> LifecycleHandler | None:
    """The hook, unless it is of a kind that a guest cannot answer (`exec`) or Kubernetes dropped."""
    return handler if handler is not None and (handler.http_get or handler.sleep) else None


def post_start(container: "Container") -> LifecycleHandler | None:
    """The hook that runs when the container has started."""
    lifecycle = container.spec.lifecycle
    return supported(lifecycle.post_start) if lifecycle is not None else None


def pre_stop(container: "Container") -> LifecycleHandler | None:
    """The hook that runs before the container is ended."""
    lifecycle = container.spec.lifecycle
    return supported(lifecycle.pre_stop) if lifecycle is not None else None


async def run(handler: LifecycleHandler, target: Target) -> None:
    """Run a hook to its end.

    Raises:
        ActionError: It failed.
    """
    if handler.http_get is not None:
        await _actions.http_get(handler.http_get, target)
    elif handler.sleep is not None:
        await asyncio.sleep(handler.sleep.seconds)


async def before_stop(container: "Container", seconds: float) -> None:
    """Run the `preStop` hook, if there is one, for at most so long. A failure is told and changes nothing."""
    handler = pre_stop(container)
    if handler is None:
        return
    try:
        async with asyncio.timeout(seconds):
            await run(handler, container.target)
    except ActionError as error:
        container.event("FailedPreStopHook", f"PreStopHook failed: {error}", "Warning")
    except TimeoutError:
        message = f"PreStopHook did not end within the grace period of {seconds:.0f} s"
        container.event("FailedPreStopHook", message, "Warning")
