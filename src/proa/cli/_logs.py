"""`proa logs POD`: what a container has printed."""

import argparse
import asyncio
import sys
from collections.abc import Coroutine, Sequence
from contextlib import aclosing
from typing import Any

from proa.app import App, run
from proa.cli._kube import add_target, target
from proa.kube import Api
from proa.kube.models.core_v1 import Pod


def main(arguments: Sequence[str]) -> int:
    """Print a container's log, and with `--follow` what it goes on to print."""
    parser = argparse.ArgumentParser(prog="proa logs", description="Print the log of a container.")
    parser.add_argument("pod", metavar="POD")
    parser.add_argument("-c", "--container", help="which, where the pod has several")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the container ends")
    parser.add_argument("-p", "--previous", action="store_true", help="of the run before this one")
    parser.add_argument("--tail", type=int, metavar="LINES", help="only the last lines")
    parser.add_argument("--since", type=int, metavar="SECONDS", help="only lines not older than that")
    parser.add_argument("--timestamps", action="store_true", help="begin each line with its time")
    add_target(parser)
    words = parser.parse_args(arguments)

    async def copy() -> None:
        async with target(words) as found:
            lines = Api(found.client, Pod, namespace=found.namespace).logs(
                words.pod,
                container=words.container,
                follow=words.follow,
                previous=words.previous,
                tail_lines=words.tail,
                since_seconds=words.since,
                timestamps=words.timestamps,
            )
            async with aclosing(lines):
                async for line in lines:
                    sys.stdout.buffer.write(line + b"\n")
                    sys.stdout.buffer.flush()

    async def body(app: App) -> int:
        return await until_stopped(app, copy())

    return run(body)


async def until_stopped(app: App, work: Coroutine[Any, Any, int | None]) -> int:
    """Do some work, but end it when the program is told to; 130 then, as shells have it."""
    task = asyncio.create_task(work)
    stop = asyncio.create_task(app.stopping.wait())
    try:
        await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
        return (task.result() or 0) if task.done() else 130
    finally:
        for one in (task, stop):
            one.cancel()
        await asyncio.gather(task, stop, return_exceptions=True)
