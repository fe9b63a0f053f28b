"""`kill -9` in the middle of uploads: what was acknowledged is there, and nothing blocks a retry."""

import asyncio
import contextlib
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import pytest

from proa.app import Backoff
from proa.bindle.client import BindleClient
from proa.bindle.errors import BindleError
from proa.bindle.invoice import Invoice
from proa.bindle.keys import Keyring, SecretKey
from proa.bindle.signing import sign
from proa.bindle.testing import make_invoice
from proa.bindle.transfer import push

ONCE = Backoff(initial=0, maximum=0)


class Server:
    """`proa bindle serve` as a process that can be killed and started again."""

    def __init__(self, directory: Path, *words: str) -> None:
        self.directory = directory
        self._words = words

    @contextlib.contextmanager
    def running(self) -> Iterator["subprocess.Popen[str]"]:
        command = [
            sys.executable,
            "-m",
            "proa.cli",
            "bindle",
            "serve",
            "--unauthenticated",
            "-i",
            "127.0.0.1:0",
        ]
        command += ["-d", str(self.directory / "data"), "-r", str(self.directory / "keyring.toml")]
        command += ["--signing-keys", str(self.directory / "signing-keys.toml"), *self._words]
        with (self.directory / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "listens on" in line, (self.directory / "log").read_text()
            self.url = line.split()[-1]
            yield process
        finally:
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=20)


@pytest.fixture(autouse=True)
def _no_blocking() -> None:
    """Override: starting processes blocks, and is not what is tested."""


@pytest.mark.parametrize("kind", ["files", "sqlite"])
def test_nothing_acknowledged_is_lost_and_nothing_blocks_a_retry(tmp_path: Path, kind: str) -> None:
    key = SecretKey.generate("me", ["creator"])
    Keyring.of(key.public()).save(tmp_path / "keyring.toml")
    server = Server(tmp_path, *(("--use-embedded-db",) if kind == "sqlite" else ()))
    contents = {str(number): os.urandom(3_000_000) for number in range(6)}
    paths = {}
    for content in contents.values():
        digest = hashlib.sha256(content).hexdigest()
        paths[digest] = tmp_path / digest
        paths[digest].write_bytes(content)
    invoices = [
        sign(make_invoice(f"a/{n}.0.0", {str(n): contents[str(n)]}), key, "creator", 1) for n in range(6)
    ]
    acknowledged: set[str] = set()
    for round_ in range(3):
        with server.running() as process:
            asyncio.run(
                until_killed(server.url, process.pid, invoices, paths, acknowledged, after=2 + round_)
            )
    with server.running():
        asyncio.run(all_there(server.url, invoices, paths, acknowledged))
    left = [path.name for path in (tmp_path / "data" / "uploads").iterdir()]
    assert left == []


async def until_killed(
    url: str, pid: int, invoices: list[Invoice], paths: dict[str, Path], acknowledged: set[str], after: int
) -> None:
    """Push bindles, and kill the server somewhere in the middle of the parcels after so many are stored."""
    async with BindleClient(url, backoff=ONCE) as client:
        started = 0

        def progress(_moved: int) -> None:
            nonlocal started
            started += 1
            if started == after * 2:
                os.kill(pid, signal.SIGKILL)

        for invoice in invoices:
            try:
                await push(client, invoice, lambda label: paths[label.sha256], progress)
            except BindleError:
                return
            acknowledged.update(label.sha256 for label in invoice.labels)


async def all_there(
    url: str, invoices: list[Invoice], paths: dict[str, Path], acknowledged: set[str]
) -> None:
    async with BindleClient(url) as client, aiohttp.ClientSession() as session:
        for sha256 in acknowledged:
            (invoice,) = (each for each in invoices if each.label(sha256))
            async with session.get(f"{url}_i/{invoice.id}@{sha256}") as response:
                assert hashlib.sha256(await response.read()).hexdigest() == sha256
        for invoice in invoices:
            await push(client, invoice, lambda label: paths[label.sha256])
            assert await client.missing(invoice.id) == []
    assert acknowledged
