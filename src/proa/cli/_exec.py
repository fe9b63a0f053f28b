"""`proa exec POD -- COMMAND`: a command in a container, as if it ran here."""

import argparse
import asyncio
import os
import shutil
import signal
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

from proa.app import App, run
from proa.cli._kube import add_target, target
from proa.cli._logs import until_stopped
from proa.kube import Api
from proa.kube.models.core_v1 import Pod
from proa.kube.streams import Process

CHUNK = 2**15


def main(arguments: Sequence[str]) -> int:
    """Run a command in a container; returns its exit code."""
    before, command = _parted(list(arguments))
    parser = argparse.ArgumentParser(
        prog="proa exec",
        usage="proa exec POD [-c CONTAINER] [-i] [-t] [OPTIONS] -- COMMAND [ARGS]",
        description="Run a command in a container.",
    )
    parser.add_argument("pod", metavar="POD")
    parser.add_argument("-c", "--container", help="which, where the pod has several")
    parser.add_argument("-i", "--stdin", action="store_true", help="pass standard input on")
    parser.add_argument("-t", "--tty", action="store_true", help="give the command a terminal")
    add_target(parser)
    words = parser.parse_args(before)
    if not command:
        parser.error("say what to run, after --")
    if words.tty and not sys.stdin.isatty():
        parser.error("--tty needs standard input to be a terminal")

    async def execute() -> int:
        async with (
            target(words) as found,
            Api(found.client, Pod, namespace=found.namespace).exec(
                words.pod, command, container=words.container, stdin=words.stdin, tty=words.tty
            ) as process,
        ):
            with _raw_terminal(words.tty), _sizes(words.tty) as sizes:
                return await _joined(process, sizes, stdin=words.stdin)

    async def body(app: App) -> int:
        return await until_stopped(app, execute())

    return run(body)


def _parted(words: list[str]) -> tuple[list[str], list[str]]:
    """Part Proa's own words from the command, which comes after `--`."""
    at = words.index("--") if "--" in words else len(words)
    return words[:at], words[at + 1 :]


async def _joined(process: Process, sizes: "asyncio.Queue[os.terminal_size]", *, stdin: bool) -> int:
    """Connect a process to this one until it ends."""
    inputs = [asyncio.create_task(_pass_sizes(process, sizes))]
    if stdin:
        inputs.append(asyncio.create_task(_pass_input(process)))
    try:
        async with asyncio.TaskGroup() as outputs:
            outputs.create_task(_copy(process.stdout(), sys.stdout.buffer))
            outputs.create_task(_copy(process.stderr(), sys.stderr.buffer))
        end = await process.wait()
    finally:
        for task in inputs:
            task.cancel()
        await asyncio.gather(*inputs, return_exceptions=True)
    if end.code < 0:
        sys.stderr.write(f"proa: {end.message}\n")
        return 1
    return end.code


async def _copy(chunks: AsyncIterator[bytes], to: BinaryIO) -> None:
    async for chunk in chunks:
        to.write(chunk)
        to.flush()


async def _pass_input(process: Process) -> None:
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    transport, _ = await loop.connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
    )
    try:
        while data := await reader.read(CHUNK):
            await process.write(data)
        if process.can_close_stdin:
            await process.close_stdin()
    finally:
        transport.close()


async def _pass_sizes(process: Process, sizes: "asyncio.Queue[os.terminal_size]") -> None:
    while True:
        size = await sizes.get()
        await process.resize(size.columns, size.lines)


@contextmanager
def _raw_terminal(wanted: bool) -> Iterator[None]:
    """Hand keys on as they are pressed; the terminal is put back as it was."""
    if not wanted:
        yield
        return
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


@contextmanager
def _sizes(wanted: bool) -> Iterator["asyncio.Queue[os.terminal_size]"]:
    """Give the terminal's size now and whenever it changes."""
    found: asyncio.Queue[os.terminal_size] = asyncio.Queue()
    if not wanted:
        yield found
        return
    loop = asyncio.get_running_loop()
    found.put_nowait(shutil.get_terminal_size())
    loop.add_signal_handler(signal.SIGWINCH, lambda: found.put_nowait(shutil.get_terminal_size()))
    try:
        yield found
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)
