"""Trying a transfer again, where what went wrong may pass."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from proa.app import Backoff
from proa.oci.errors import RegistryUnavailableError

__all__ = ("retrying",)

_ATTEMPTS: Final = 5


async def retrying(attempt: Callable[[], Awaitable[None]], backoff: Backoff) -> None:
    """Await `attempt()` until it succeeds, up to five times with the pauses of `backoff` in between.

    Raises:
        RegistryUnavailableError: from the last attempt. Any other error ends it at once.
    """
    timer = backoff.start()
    while True:
        try:
            return await attempt()
        except RegistryUnavailableError:
            pause = timer.next()
            if timer.attempts == _ATTEMPTS:
                raise
        await asyncio.sleep(pause)
