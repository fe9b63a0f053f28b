"""HTTP requests of guests go to the hosts that they are allowed, and nowhere else."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from wasmtime import wat2wasm

from proa.wasm import ExitReason, ModuleTerms, Outbound, Sandboxes, SandboxSpec
from proa.wasm.testing import compile_c, read_to_end

ASKS = (Path(__file__).parent / "asks.wat").read_text()


class _Answering(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def _write_asking(path: Path, authority: str) -> None:
    path.write_bytes(wat2wasm(ASKS.replace("AUTHORITY", authority).replace("LENGTH", str(len(authority)))))


async def _ask(sandboxes: Sandboxes, path: Path, authority: str, outbound: Outbound) -> int:
    _write_asking(path, authority)
    module = await sandboxes.compile(path, terms=ModuleTerms(http=True))
    sandbox = await sandboxes.start(SandboxSpec(id="asks", module=module, outbound=outbound))
    ended = await sandbox.wait()
    assert ended.reason is ExitReason.EXITED, await read_to_end(sandbox.stderr)
    await sandboxes.forget("asks")
    return ended.exit_code


async def test_a_components_requests_reach_only_allowed_hosts(
    sandboxes: Sandboxes, tmp_path: Path, port: int
) -> None:
    for host, allowed, reached in (
        ("127.0.0.1", f"http://127.0.0.1:{port}", True),
        ("127.0.0.1", "http://127.0.0.1", True),
        ("127.0.0.1", "insecure:allow-all", True),
        ("localhost", f"http://localhost:{port}", True),
        ("localhost", "insecure:allow-all", True),
        ("127.0.0.1", "http://127.0.0.1:1", False),
        ("127.0.0.1", f"http://127.0.0.2:{port}", False),
        ("localhost", f"http://127.0.0.1:{port}", False),
        ("localhost", "http://localhost:1", False),
        ("localhost", "http://localhost.example", False),
    ):
        code = await _ask(sandboxes, tmp_path / "asks.wasm", f"{host}:{port}", Outbound(hosts=(allowed,)))
        assert code == (0 if reached else 1), (host, allowed)


async def test_a_component_has_no_more_connections_than_allowed(
    sandboxes: Sandboxes, tmp_path: Path, port: int
) -> None:
    for limit, code in ((1, 0), (0, 1)):
        outbound = Outbound(hosts=("insecure:allow-all",), max_requests=limit)
        assert await _ask(sandboxes, tmp_path / "asks.wasm", f"127.0.0.1:{port}", outbound) == code


@pytest.fixture(scope="session")
def asking_guest() -> Path:
    return compile_c(
        r"""
        #include <stdint.h>
        #include <string.h>
        #define HTTP(name) __attribute__((import_module("wasi_experimental_http"), import_name(name)))
        HTTP("req") uint32_t request(const char *, uint32_t, const char *, uint32_t, const char *, uint32_t,
                                     const char *, uint32_t, uint16_t *, uint32_t *);
        int main(int argc, char **argv) {
            uint16_t status = 0;
            uint32_t handle = 0;
            uint32_t error = request(argv[1], strlen(argv[1]), "GET", 3, "", 0, "", 0, &status, &handle);
            return error ? error : status / 10;
        }
        """
    )


async def test_a_core_module_in_a_sandbox_reaches_only_allowed_hosts(
    sandboxes: Sandboxes, asking_guest: Path, port: int
) -> None:
    module = await sandboxes.compile(asking_guest, terms=ModuleTerms(http=True))
    for name, allowed, code in (
        ("127.0.0.1", "http://127.0.0.1", 20),
        ("localhost", f"http://localhost:{port}", 20),
        ("localhost", "http://127.0.0.1", 7),
    ):
        spec = SandboxSpec(
            id="asks",
            module=module,
            args=("asks", f"http://{name}:{port}/"),
            outbound=Outbound(hosts=(allowed,)),
        )
        sandbox = await sandboxes.start(spec)
        assert (await sandbox.wait()).exit_code == code, await read_to_end(sandbox.stderr)
        await sandboxes.forget("asks")


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("api.brigade.sh", True),
        ("EXAMPLE.com", True),
        ("192.168.0.1", True),
        ("test.brigade.sh", False),
        ("example.com.evil.org", False),
        ("com", False),
        ("", False),
    ],
)
def test_hosts_are_compared_whole(host: str, allowed: bool) -> None:
    outbound = Outbound(hosts=("https://api.brigade.sh", "https://example.com:443", "http://192.168.0.1"))
    assert outbound.allows(host, 443) == allowed
    assert outbound.allows_name(host) == allowed
