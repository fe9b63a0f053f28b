"""A worker: `python -m proa.wagi.worker`, started by `proa wagi` and by nobody else.

It serves what it is told to on a socket that was bound for it, until the control connection ends or it is
told to stop by a signal. Requests under way are finished.
"""

import argparse
import asyncio
import contextlib
import socket
import ssl
import sys
from collections.abc import AsyncIterator

from proa.app import App, logs, run
from proa.app.http import Server
from proa.wagi._control import Control, Report, Start, Tell, Use
from proa.wagi._journal import Journal
from proa.wagi.gateway import Gateway
from proa.wagi.serving import serve
from proa.wagi.tls import server_context
from proa.wasm import Sandboxes

log = logs.get_logger(__name__)


def main() -> int:
    """Run until told to stop; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m proa.wagi.worker", description="Started by Proa itself.")
    parser.add_argument("--control", type=int, required=True)
    parser.add_argument("--listener", type=int, required=True)
    parser.add_argument("--log-level", default="info")
    parser.add_argument("--log-format", default="auto")
    words = parser.parse_args()
    logs.configure(level=words.log_level, format=words.log_format)

    async def work(app: App) -> None:
        control = await Control.open(socket.socket(fileno=words.control))
        try:
            await _work(app, control, socket.socket(fileno=words.listener))
        finally:
            await control.close()

    return run(work)


async def _work(app: App, control: Control, listener: socket.socket) -> None:
    start = await control.receive()
    if not isinstance(start, Start):
        return
    context = None
    if start.tls_cert and start.tls_key:
        context = await asyncio.to_thread(server_context, start.tls_cert, start.tls_key)
    stop_timeout = start.shutdown_timeout + 5
    sandboxes = await app.start("sandboxes", _sandboxes(start))
    serving = _serve(start, sandboxes, listener, context)
    gateway, _ = await app.start("gateway", serving, stop_timeout=stop_timeout)
    obeying = asyncio.create_task(_obey(control, gateway, start, context))
    stopping = asyncio.create_task(app.run_until_stopped())
    try:
        await asyncio.wait({obeying, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if obeying.done():
            obeying.result()
    finally:
        for task in (obeying, stopping):
            task.cancel()
        await asyncio.wait({obeying, stopping})


@contextlib.asynccontextmanager
async def _sandboxes(start: Start) -> AsyncIterator[Sandboxes]:
    async with Sandboxes.open(start.state_dir, start.cache_dir) as sandboxes:
        try:
            yield sandboxes
        finally:
            await sandboxes.shutdown()


@contextlib.asynccontextmanager
async def _serve(
    start: Start, sandboxes: Sandboxes, listener: socket.socket, context: ssl.SSLContext | None
) -> AsyncIterator[tuple[Gateway, Server]]:
    journal = await asyncio.to_thread(Journal, start.log_dir, start.access_log)
    try:
        async with serve(
            [],
            sandboxes,
            listener=listener,
            ssl_context=context,
            executors=start.executors,
            hostname=start.hostname,
            observer=journal,
            shutdown_timeout=start.shutdown_timeout,
        ) as served:
            yield served
    finally:
        await asyncio.to_thread(journal.close)


async def _obey(control: Control, gateway: Gateway, start: Start, context: ssl.SSLContext | None) -> None:
    """Do what the supervisor says until it is gone."""
    while (message := await control.receive()) is not None:
        match message:
            case Use(handlers):
                gateway.use(handlers)
                if context:
                    await _renew(context, start)
                await control.send(Report(gateway.statistics()))
            case Tell():
                await control.send(Report(gateway.statistics()))
            case _:
                pass


async def _renew(context: ssl.SSLContext, start: Start) -> None:
    """Use the certificate that is on the disk now for connections from now on."""
    assert start.tls_cert
    try:
        await asyncio.to_thread(context.load_cert_chain, start.tls_cert, start.tls_key)
    except (OSError, ssl.SSLError) as error:
        log.warning("the certificate cannot be read; going on with the one before", error=str(error))


if __name__ == "__main__":
    sys.exit(main())
