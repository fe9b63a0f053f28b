"""Several worker processes on one port: reload, replacement, the end, and what is written down."""

import asyncio
import contextlib
import ipaddress
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import ClientSession
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from yarl import URL

from proa.app import Health, Metrics, http
from proa.app.http import PortInUseError
from proa.wagi._journal import stderr_path
from proa.wagi.errors import ConfigError
from proa.wagi.service import Service
from proa.wagi.settings import WagiSettings
from proa.wagi.status import application
from proa.wagi.tls import TlsError
from proa.wasm.testing import cache_directory

CHROMIUM = "/usr/bin/chromium"


def _write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def settings(tmp_path: Path, guest: Path) -> WagiSettings:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / "compiled").symlink_to(cache_directory() / "compiled")
    config = _write(tmp_path / "modules.toml", f'[[module]]\nroute = "/a/..."\nmodule = "{guest}"\n')
    return WagiSettings(
        config=config, listen="127.0.0.1:0", workers=2, executors=4, module_cache=cache, watch=False
    )


async def _status(client: ClientSession, url: str) -> int:
    async with client.get(url) as response:
        await response.read()
        return response.status


async def _until(condition: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def _client() -> AsyncIterator[ClientSession]:
    async with ClientSession() as client:
        yield client


async def test_workers_serve_and_one_that_dies_is_replaced(settings: WagiSettings) -> None:
    async with Service.open(settings) as service, _client() as client:
        assert len(service.workers) == 2
        assert await _status(client, service.url + "/a") == 200
        before = service.workers
        os.kill(before[0], signal.SIGKILL)
        await _until(lambda: len(service.workers) == 2 and service.workers != before)
    async with _client() as client:
        with pytest.raises(OSError, match="Cannot connect"):
            await _status(client, service.url + "/a")


async def test_a_new_configuration_drops_no_request_and_a_wrong_one_changes_nothing(
    settings: WagiSettings, guest: Path
) -> None:
    async with Service.open(settings) as service, _client() as client:
        statuses: list[int] = []

        async def ask() -> None:
            while True:
                statuses.append(await _status(client, service.url + "/a"))

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask()) for _ in range(4)]
            for _ in range(5):
                statuses.clear()
                assert await service.reload()
                await _until(lambda: 200 in statuses)
                assert set(statuses) == {200}
            text = (
                f'[[module]]\nroute = "/a"\nmodule = "{guest}"\n[[module]]\nroute = "/b"\nmodule = "{guest}"'
            )
            await asyncio.to_thread(settings.config.write_text, text)
            assert await service.reload()
            for task in asking:
                task.cancel()
        assert set(statuses) == {200}
        assert await _status(client, service.url + "/b") == 200
        await asyncio.to_thread(settings.config.write_text, '[[module]]\nroute = "nonsense"\n')
        assert not await service.reload()
        assert await _status(client, service.url + "/b") == 200


async def test_a_change_of_the_file_and_a_request_to_reload_are_noticed(
    settings: WagiSettings, guest: Path
) -> None:
    async with Service.open(replace(settings, watch=True)) as service, _client() as client:
        text = f'[[module]]\nroute = "/changed"\nmodule = "{guest}"'
        await asyncio.to_thread(settings.config.write_text, text)
        await _until(lambda: service.handlers[0].route == "/changed")
        assert await _status(client, service.url + "/changed") == 200
    async with Service.open(settings) as service, _client() as client:
        await asyncio.to_thread(settings.config.write_text, text.replace("changed", "asked"))
        service.request_reload()
        await _until(lambda: service.handlers[0].route == "/asked")


async def test_what_runs_when_the_service_ends_is_finished(settings: WagiSettings) -> None:
    release = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 50_000
        await release.wait()

    async with _client() as client:
        async with Service.open(settings) as service:
            response = await client.post(service.url + "/a?trickle", data=body())
            assert await response.content.readline() == b"first\n"
            asyncio.get_running_loop().call_later(0.2, release.set)
        assert await response.read() == b"last\n"


async def test_https_with_a_certificate_that_can_be_replaced(settings: WagiSettings, tmp_path: Path) -> None:
    chosen = replace(settings, tls_cert=tmp_path / "cert.pem", tls_key=tmp_path / "key.pem")
    await asyncio.to_thread(_write_certificate, tmp_path, 1)
    async with Service.open(chosen) as service:
        assert service.url.startswith("https://127.0.0.1:")
        assert await _serial(service.url, tmp_path / "cert.pem") == 1
        await asyncio.to_thread(_write_certificate, tmp_path, 2)
        assert await service.reload()
        assert await _serial(service.url, tmp_path / "cert.pem") == 2
    await asyncio.to_thread(_write, tmp_path / "key.pem", "no key")
    with pytest.raises(TlsError, match="cannot serve HTTPS"):
        async with Service.open(chosen):
            pass


async def _serial(url: str, certificate: Path) -> int:
    context = await asyncio.to_thread(lambda: ssl.create_default_context(cafile=certificate))
    async with ClientSession() as client, client.get(url + "/a", ssl=context) as response:
        assert response.status == 200
    address = URL(url)
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=context)
    try:
        return int(writer.get_extra_info("peercert")["serialNumber"], 16)
    finally:
        writer.close()
        await writer.wait_closed()


def _write_certificate(directory: Path, serial: int) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), serial, now, now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )


async def test_requests_and_standard_error_are_written_down(settings: WagiSettings, tmp_path: Path) -> None:
    chosen = replace(settings, log_dir=tmp_path / "logs", access_log=tmp_path / "access.log")
    async with Service.open(chosen) as service, _client() as client:
        async with client.get(service.url + "/a/x?q=1", headers={"User-Agent": 'a"b'}) as response:
            assert response.status == 200
        await _status(client, service.url + "/none")
    first, second = (await asyncio.to_thread((tmp_path / "access.log").read_text)).splitlines()
    assert first.startswith("127.0.0.1 - - [")
    assert '] "GET /a/x?q=1 HTTP/1.1" 200 12 "-" "a\'b" /a/... 0.' in first
    assert '"GET /none HTTP/1.1" 404 0 ' in second
    errors = stderr_path(tmp_path / "logs", "/a/...")
    assert await asyncio.to_thread(errors.read_text) == "Some logging\n"
    assert stderr_path(Path(), "/").parent.name.startswith("8a5edab282632443")


@contextlib.asynccontextmanager
async def _status_page(service: Service) -> AsyncIterator[str]:
    async with http.listen(application(service, Health(), Metrics())) as server:
        yield server.url


async def test_the_status_page_and_metrics_show_every_workers_counts(settings: WagiSettings) -> None:
    async with Service.open(settings) as service, _status_page(service) as url, _client() as client:
        for _ in range(10):
            async with ClientSession() as other:  # Another connection, and perhaps another worker.
                assert await _status(other, service.url + "/a") == 200
        await _status(client, service.url + "/a?trap")
        async with client.get(url + "/status.json") as response:
            [route] = (await response.json())["routes"]
        assert (route["route"], route["requests"], route["errors"]) == ("/a/...", 11, 1)
        assert route["failures"] == {"trap": 1}
        assert 0 < route["p50"] <= route["p99"]
        async with client.get(url + "/metrics") as response:
            text = await response.text()
        assert 'proa_wagi_requests_total{code="200",route="/a/..."} 10.0' in text
        assert 'proa_wagi_request_seconds_count{route="/a/..."} 11.0' in text
        assert await _status(client, url + "/readyz") == 200


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="needs Chromium (Debian's package chromium)")
async def test_a_browser_shows_the_status_page(settings: WagiSettings, tmp_path: Path) -> None:
    async with Service.open(settings) as service, _status_page(service) as url, _client() as client:
        await _status(client, service.url + "/a")
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *options,
            "--virtual-time-budget=3000",
            "--dump-dom",
            url,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        page, _ = await process.communicate()
    assert b"<td>/a/...</td><td>1</td>" in page
    assert b"2 workers" in page


async def test_a_port_that_is_taken_is_told(settings: WagiSettings) -> None:
    async with Service.open(settings) as service:
        taken = replace(settings, listen=service.url.removeprefix("http://"))
        with pytest.raises(PortInUseError, match="another program has it"):
            async with Service.open(taken):
                pass


async def test_a_wrong_configuration_is_told_before_anything_starts(settings: WagiSettings) -> None:
    await asyncio.to_thread(settings.config.write_text, '[[module]]\nroute = "/"\nmodule = "none.wasm"\n')
    with pytest.raises(ConfigError, match="line 1: /: cannot read none"):
        async with Service.open(settings):
            pass


def test_the_command_says_what_is_wrong_and_exits_with_2(tmp_path: Path) -> None:
    config = _write(tmp_path / "modules.toml", '[[module]]\nroute = "x"\n\n[[module]]\nroute = "/b"\n')
    result = _proa("wagi", "--config", str(config))
    assert result.returncode == 2
    assert [line.partition("modules.toml: ")[2] for line in result.stderr.splitlines()] == [
        "line 2: route: 'x' is wrong: expected a path such as /hello or /hello/...: a route begins with /",
        "line 1: module: is missing",
        "line 4: module: is missing",
    ]
    result = _proa("wagi", "--listen", "nowhere", "--memory", "much", "--tls-cert", "x")
    assert result.returncode == 2
    assert {"--listen", "--memory", "--tls-cert"} <= {
        word for line in result.stderr.splitlines() for word in line.replace(":", " ").split()
    }


def test_the_command_serves_until_it_is_told_to_stop(settings: WagiSettings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "proa.cli", "wagi", "-c", str(settings.config), "-l", "127.0.0.1:0"]
    command += ["--workers", "1", "--module-cache", str(settings.module_cache), "-e", "A=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        assert line.startswith("1 routes are served on http://127.0.0.1:")
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0


def _proa(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "proa.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
