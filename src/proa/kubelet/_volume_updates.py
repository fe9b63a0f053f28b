"""Keeps what the API has put into a pod's volumes new: files when they change, tokens before they end."""

import asyncio
import contextlib
from datetime import datetime
from typing import Final

from proa.app import logs
from proa.app.backoff import Backoff
from proa.kube import KubeError
from proa.kube.models import now
from proa.kubelet import _references, _volumes
from proa.kubelet._pod_context import PodContext
from proa.kubelet._references import References
from proa.kubelet.errors import KubeletError

_log = logs.get_logger(__name__)
_RETRY: Final = Backoff(initial=1.0, maximum=120.0, jitter=0.3)


async def keep_current(context: PodContext) -> None:
    """Write volumes anew when something in them has changed, until cancelled.

    What cannot be had any more is left as it was, and a Warning Event tells of it.
    """
    volumes = [volume for volume in context.pod.spec.volumes if _volumes.is_from_api(volume)]
    if not volumes:
        return
    references = References.union(map(_references.of_volume, volumes))
    backoff = _RETRY.start()
    with context.services.watches.listen(context.namespace, references) as changed:
        context.volumes_changed = changed
        await context.mounted.wait()
        while True:
            await _wait(changed, context.tokens.due)
            changed.clear()
            try:
                for volume in volumes:
                    path = context.directory.volumes / volume.name
                    await _volumes.fill(context.services.client, volume, path, context.fields, context.tokens)
                backoff.reset()
            except (KubeletError, KubeError, OSError) as error:
                _log.debug("cannot bring a volume up to date", pod=context.title, error=str(error))
                context.event("FailedMount", f"cannot bring volumes up to date: {error}", "Warning")
                await asyncio.sleep(backoff.next())
                changed.set()


async def _wait(changed: asyncio.Event, due: datetime | None) -> None:
    seconds = max(0.0, (due - now()).total_seconds()) if due is not None else None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await changed.wait()
