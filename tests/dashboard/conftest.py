"""Headless Chromium, spoken to by its DevTools protocol, and a cluster for its pages."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from proa.controlplane.testing import api_server
from proa.dashboard import Dashboard, DashboardSettings
from proa.kube import Client, Config

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 30.0


class Tab:
    """A page in a browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            message: dict[str, Any] = await self._socket.receive_json()
            self._note(message)
            if message.get("id") == number:
                assert "error" not in message, message
                result: dict[str, Any] = message.get("result", {})
                return result

    def _note(self, message: dict[str, Any]) -> None:
        """Keep what the page complains of: scripts that fail, policies that are broken."""
        parameters = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"]))
        entry = parameters.get("entry", {})
        if message.get("method") == "Log.entryAdded" and entry.get("source") in {"security", "javascript"}:
            self.complaints.append(entry["text"])

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    async def until(self, script: str) -> Any:
        """Wait until a script's value is true, and return it."""
        latest = None
        try:
            async with asyncio.timeout(PATIENCE):
                while not (latest := await self.run(script)):  # noqa: ASYNC110 - a page has no events of ours
                    await asyncio.sleep(0.05)
        except TimeoutError:
            text = await self.run("document.body.innerText")
            pytest.fail(f"waited in vain for {script}; the page says: {text}; complaints: {self.complaints}")
        return latest

    async def text(self, selector: str = "body") -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def shows(self, text: str, selector: str = "body") -> None:
        where = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{where} && {where}.innerText.includes({json.dumps(text)})")

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )

    async def dark(self) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    async def picture(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", captureBeyondViewport=False)
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    """A tab of a browser with a profile of its own."""
    if CHROMIUM is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="proa-chromium-", ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-first-run",
            "--ignore-certificate-errors",
            "--remote-debugging-port=0",
            f"--user-data-dir={profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            async with aiohttp.ClientSession() as session, _connected(session, Path(profile)) as socket:
                yield Tab(socket)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            await process.wait()


@contextlib.asynccontextmanager
async def _connected(
    session: aiohttp.ClientSession, profile: Path
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    async with asyncio.timeout(PATIENCE):
        while not (told := await asyncio.to_thread(_read, profile / "DevToolsActivePort")):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)
    port = told.split()[0]
    async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
        pages = [each for each in await answer.json() if each["type"] == "page"]
    async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=1 << 26) as socket:
        yield socket


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Any]:
    async with api_server(tmp_path) as server:
        yield server


@pytest.fixture
async def client(cluster: Any) -> AsyncIterator[Client]:
    async with Client(Config.from_kubeconfig(cluster.kubeconfig)) as client:
        yield client


@pytest.fixture
async def page(cluster: Any) -> AsyncIterator[Dashboard]:
    """The page of the cluster."""
    pki = cluster.settings.data_dir / "pki"
    settings = DashboardSettings(
        port=0, tls_cert_file=pki / "apiserver.crt", tls_private_key_file=pki / "apiserver.key"
    )
    async with Dashboard(settings, Config.from_kubeconfig(cluster.kubeconfig)) as page:
        yield page
