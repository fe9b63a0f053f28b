"""A gateway with real handlers, compiled from C."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import prometheus_client  # noqa: F401 - reads /proc when it is imported
import pytest
from aiohttp import ClientSession
from blockbuster import blockbuster_ctx

from proa.wagi.handlers import Handler, Limits
from proa.wagi.serving import serve
from proa.wagi.testing import Site, Witness
from proa.wasm import Sandboxes
from proa.wasm.testing import cache_directory, compile_c, end_zygote


@pytest.fixture(autouse=True)
def _no_blocking() -> Iterator[None]:
    # It knows sockets that do not wait, but not single calls that do not (MSG_DONTWAIT).
    with blockbuster_ctx("proa.wagi") as guard:
        guard.functions["socket.socket.recvmsg"].can_block_in("proa/wagi/_executor_process.py", "take_back")
        yield


@pytest.fixture(scope="session")
def guest() -> Path:
    """Return a handler that does what its query says."""
    return compile_c((Path(__file__).parent / "handler.c").read_text())


@pytest.fixture
async def sandboxes(tmp_path: Path) -> AsyncIterator[Sandboxes]:
    try:
        async with Sandboxes.open(tmp_path / "state", cache_directory() / "compiled") as opened:
            yield opened
            await opened.shutdown()
    finally:
        await asyncio.to_thread(end_zygote, tmp_path / "state")


@pytest.fixture
async def site(sandboxes: Sandboxes, guest: Path) -> AsyncIterator[Site]:
    """Serve the handler at /..., with limits that tests can wait for at /limited."""
    module = await sandboxes.compile(guest)
    handlers = [
        Handler(route="/limited", module=module, limits=Limits(seconds=0.3, memory=32 << 20, body=100_000)),
        Handler(route="/one/...", module=module, limits=Limits(concurrency=1)),
        Handler(route="/...", module=module, environment={"GREETING": "hi"}),
    ]
    witness = Witness()
    async with (
        serve(handlers, sandboxes, executors=8, observer=witness) as (gateway, server),
        ClientSession() as client,
    ):
        yield Site(gateway, server.url, client, module, witness)
