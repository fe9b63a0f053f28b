"""Work side by side, of which one piece ends the others."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def first_of(*work: Coroutine[Any, Any, T]) -> set[asyncio.Task[T]]:
    """Do all until one is done, cancel the others and wait for their ends; return what was done first.

    Whether it went well is for the caller to look at.
    """
    tasks = {asyncio.create_task(one) for one in work}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    for task in tasks - done:
        if not task.cancelled():
            task.exception()  # It was not waited for any more.
    return done
