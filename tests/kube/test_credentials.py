"""Programs, providers and proxies: what a request is authenticated with and how it gets there."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proa.kube import Api, Client, Config, ConfigError, ConnectError, UnauthorizedError, encode
from proa.kube import _exec_plugin as exec_plugin
from proa.kube._proxy import proxy_of
from proa.kube.identity import ExecPlugin, Impersonation, Oidc
from proa.kube.models.core_v1 import Node
from proa.kube.models.meta_v1 import ObjectMeta
from proa.kube.testing import event

V1 = "client.authentication.k8s.io/v1"
ADDED = event("ADDED", Node(metadata=ObjectMeta(name="n", resource_version="1")))
NODE = encode(Node(metadata=ObjectMeta(name="n")))


def credential(token: str = "t", expires: str | None = None, version: str = V1) -> str:
    status = {"token": token} | ({"expirationTimestamp": expires} if expires else {})
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": status})


class Program:
    """A shell script that counts its runs and prints what is in a file."""

    def __init__(self, directory: Path, body: str = "") -> None:
        self.runs, self.output, self.info = (directory / name for name in ("runs", "output", "info"))
        self.path = directory / "program"
        self.path.write_text(
            f'#!/bin/sh\necho run >> {self.runs}\nprintf %s "$KUBERNETES_EXEC_INFO" > {self.info}\n'
            f"{body}\ncat {self.output}\n"
        )
        self.path.chmod(0o700)
        self.print(credential())

    def print(self, text: str) -> None:
        self.output.write_text(text)

    @property
    def count(self) -> int:
        return len(self.runs.read_text().splitlines())

    def plugin(self, **fields: Any) -> ExecPlugin:
        return ExecPlugin(command=str(self.path), where="/config: user 'u' of context 'x': exec", **fields)


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


async def get_node(client: Client) -> None:
    await Api(client, Node).get("n")


async def test_a_program_is_run_once_for_many_requests_at_the_same_time(
    server: Any, program: Program
) -> None:
    server.answer(NODE)
    async with Client(Config(server=server.url, exec=program.plugin(cluster={"server": "s"}))) as client:
        await asyncio.gather(*(get_node(client) for _ in range(5)))
    assert program.count == 1
    assert {request.headers["Authorization"] for request in server.requests} == {"Bearer t"}
    assert json.loads(program.info.read_text()) == {
        "apiVersion": V1,
        "kind": "ExecCredential",
        "spec": {"interactive": False, "cluster": {"server": "s"}},
    }


async def test_what_expires_within_a_minute_is_renewed(server: Any, program: Program) -> None:
    server.answer(NODE)
    program.print(credential("old", "2020-01-01T00:00:00Z"))
    async with Client(Config(server=server.url, exec=program.plugin())) as client:
        await get_node(client)
        program.print(credential("new", "2999-01-01T00:00:00Z"))
        await get_node(client)
        await get_node(client)
    assert program.count == 2
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Bearer old",
        "Bearer new",
        "Bearer new",
    ]


async def test_a_refused_token_is_renewed_once(server: Any, program: Program) -> None:
    async def handler(request: web.Request) -> web.Response:
        known = request.headers["Authorization"] == "Bearer new"
        body = ADDED if "watch" in request.query else NODE
        return web.Response(body=body if known else b"{}", status=200 if known else 401)

    server.handler = handler
    program.print(credential("old"))
    async with Client(Config(server=server.url, exec=program.plugin())) as client:
        with pytest.raises(UnauthorizedError):
            await get_node(client)
        assert program.count == 2
        program.print(credential("new"))
        async with aclosing(Api(client, Node).watch("1")) as events:
            assert (await anext(events)).type == "ADDED"
    assert program.count == 3


async def test_a_token_goes_before_a_program(server: Any, program: Program) -> None:
    server.answer(NODE)
    async with Client(Config(server=server.url, token="mine", exec=program.plugin())) as client:
        await get_node(client)
    assert not program.runs.exists()


async def test_v1beta1_is_spoken_too(server: Any, program: Program) -> None:
    server.answer(NODE)
    version = "client.authentication.k8s.io/v1beta1"
    program.print(credential(version=version))
    async with Client(Config(server=server.url, exec=program.plugin(api_version=version))) as client:
        await get_node(client)


@pytest.mark.parametrize(
    ("printed", "problem"),
    [
        ("", "did not print an ExecCredential"),
        ("not json", "did not print an ExecCredential"),
        (credential(version="client.authentication.k8s.io/v1beta1"), "not an ExecCredential of .*/v1$"),
        (
            json.dumps({"apiVersion": V1, "kind": "ExecCredential"}),
            "neither a token nor a client certificate",
        ),
        (
            json.dumps({"apiVersion": V1, "kind": "ExecCredential", "status": {"clientKeyData": "k"}}),
            "a client certificate without its key",
        ),
        (credential(expires="soon"), "did not print an ExecCredential: .*expirationTimestamp"),
    ],
)
async def test_what_is_no_credential_is_an_error_that_says_where(
    program: Program, printed: str, problem: str
) -> None:
    program.print(printed)
    with pytest.raises(ConfigError, match=problem) as caught:
        await exec_plugin.run(program.plugin())
    assert str(caught.value).startswith("/config: user 'u' of context 'x': exec: the program ")


async def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    failing = Program(tmp_path, "echo please log in >&2; exit 3")
    with pytest.raises(ConfigError, match="failed with exit code 3: please log in"):
        await exec_plugin.run(failing.plugin())


async def test_a_program_that_is_not_there_comes_with_its_hint() -> None:
    plugin = ExecPlugin(command="no-such-program", install_hint="Get it\nfrom here", where="w")
    with pytest.raises(
        ConfigError, match="w: command: there is no program 'no-such-program': Get it from here"
    ):
        await exec_plugin.run(plugin)


async def test_a_program_that_hangs_is_ended_with_all_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.3)
    hanging = Program(tmp_path, f"sleep 1000 & echo $! > {tmp_path}/child; wait")
    with pytest.raises(ConfigError, match=r"printed nothing for 0\.3 s and was ended"):
        await exec_plugin.run(hanging.plugin())
    child = int((tmp_path / "child").read_text())
    assert await asyncio.to_thread(_gone, child)


async def test_cancelling_ends_the_program(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    os.mkfifo(ready)
    hanging = Program(tmp_path, f"echo $$ > {ready}; exec sleep 1000")
    task = asyncio.create_task(exec_plugin.run(hanging.plugin()))
    pid = int(await asyncio.to_thread(ready.read_text))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(_gone, pid)


def _gone(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        os.sched_yield()
    return False


async def test_one_that_must_ask_needs_a_terminal(program: Program) -> None:
    with pytest.raises(ConfigError, match="standard input is no terminal"):
        await exec_plugin.run(program.plugin(interactive_mode="Always"))


def jwt(expires: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
    return f"e30.{claims}.sig"


@pytest.fixture
async def provider() -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    forms: list[dict[str, Any]] = []

    async def endpoints(_: web.Request) -> web.Response:
        return web.json_response({"token_endpoint": f"{url}/token"})

    async def token(request: web.Request) -> web.Response:
        forms.append(dict(await request.post()))
        if forms[-1]["refresh_token"] == "spent":
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"id_token": jwt(time.time() + 30), "refresh_token": "spent"})

    application = web.Application()
    application.router.add_get("/.well-known/openid-configuration", endpoints)
    application.router.add_post("/token", token)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield url, forms
    await runner.cleanup()


async def test_an_id_token_is_used_until_it_expires_and_then_renewed(
    server: Any, provider: tuple[str, list[dict[str, Any]]]
) -> None:
    server.answer(NODE)
    url, forms = provider
    oidc = Oidc(issuer_url=url, client_id="c", client_secret="s", refresh_token="r", where="w")
    valid = Oidc(issuer_url=url, client_id="c", id_token=jwt(time.time() + 900), where="w")
    async with Client(Config(server=server.url, oidc=valid)) as client:
        await get_node(client)
    assert (forms, server.requests[-1].headers["Authorization"]) == ([], f"Bearer {valid.id_token}")
    async with Client(Config(server=server.url, oidc=oidc)) as client:
        await get_node(client)
        await get_node(client)
    assert forms == [
        {"grant_type": "refresh_token", "refresh_token": "r", "client_id": "c", "client_secret": "s"}
    ]


async def test_a_provider_that_gives_nothing_is_an_error_that_says_where(
    server: Any, provider: tuple[str, list[dict[str, Any]]], unused_tcp_port: int
) -> None:
    url, _ = provider
    for issuer, token, problem in (
        (url, "spent", "gave no token: 400 .*invalid_grant"),
        (url, None, "no refresh-token: log in again"),
        (f"http://127.0.0.1:{unused_tcp_port}", "r", "gave no token: Cannot connect"),
    ):
        oidc = Oidc(issuer_url=issuer, client_id="c", id_token=jwt(1), refresh_token=token, where="/c: user")
        async with Client(Config(server=server.url, oidc=oidc)) as client:
            with pytest.raises(ConfigError, match=f"^/c: user: .*{problem}"):
                await get_node(client)


async def test_basic_authentication_and_impersonation(server: Any) -> None:
    server.answer(NODE)
    config = Config(
        server=server.url,
        username="me",
        password="it",
        impersonate=Impersonation(
            user="root", groups=("a", "b"), uid="7", extra={"example.com/scopes": ("x", "y")}
        ),
    )
    async with Client(config) as client:
        await get_node(client)
    headers = server.requests[-1].headers
    assert headers["Authorization"] == "Basic " + base64.b64encode(b"me:it").decode()
    assert headers["Impersonate-User"] == "root"
    assert headers.getall("Impersonate-Group") == ["a", "b"]
    assert headers["Impersonate-Uid"] == "7"
    assert headers.getall("Impersonate-Extra-example.com%2Fscopes") == ["x", "y"]


class Proxy:
    """A proxy that connects wherever it is asked to, by HTTP CONNECT, absolute URLs or SOCKS 5."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"127.0.0.1:{self._listener.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._listener
        self._listener.close()
        await self._listener.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            first = await reader.readexactly(1)
            if first == b"\x05":
                host, port = await self._socks(reader, writer)
                rest = b""
            else:
                head = first + await reader.readuntil(b"\r\n\r\n")
                target = head.split()[1].decode()
                self.asked.append(head.decode())
                authority = target.split("//")[-1].split("/")[0]
                host, port = authority.rpartition(":")[0], int(authority.rpartition(":")[2])
                connect = head.startswith(b"CONNECT")
                if connect:
                    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                rest = (
                    b"" if connect else head.replace(target.encode(), b"/" + target.split("/", 3)[3].encode())
                )
            upstream_reader, upstream = await asyncio.open_connection(host, port)
            upstream.write(rest)
            async with asyncio.TaskGroup() as both:
                both.create_task(_pump(reader, upstream))
                both.create_task(_pump(upstream_reader, writer))
        finally:
            writer.close()

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x05\x00")
        kind = (await reader.readexactly(4))[3]
        length = 4 if kind == 1 else (await reader.readexactly(1))[0]
        raw = await reader.readexactly(length)
        host = ".".join(map(str, raw)) if kind == 1 else raw.decode()
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        return host, port


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(2**16):
        writer.write(data)
    writer.close()


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    made = Proxy()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.parametrize("scheme", ["http", "socks5", "socks5h"])
async def test_requests_and_streams_go_through_the_proxy(server: Any, proxy: Proxy, scheme: str) -> None:
    server.answer(NODE)
    async with Client(Config(server=server.url, proxy_url=f"{scheme}://{proxy.url}")) as client:
        await get_node(client)
        server.answer(ADDED)
        async with aclosing(Api(client, Node).watch("1")) as events:
            assert (await anext(events)).type == "ADDED"
    assert len(proxy.asked) == 2


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_proxy_that_is_not_there(unused_tcp_port: int, scheme: str) -> None:
    config = Config(server="https://a.invalid", proxy_url=f"{scheme}://127.0.0.1:{unused_tcp_port}")
    async with Client(config, retry=None) as client:
        with pytest.raises(ConnectError, match="cannot connect"):
            await get_node(client)


@pytest.mark.parametrize(
    ("environ", "server", "expected"),
    [
        ({}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://a.example", "http://p:1"),
        ({"https_proxy": "p:1"}, "https://a.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://a.example", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://127.0.0.1:6443", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://localhost", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "b, example"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": ".example"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "*.example"}, "https://a.example", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://10.1.2.3", None),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "10.0.0.0/8"}, "https://11.1.2.3", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "a.example:6443"}, "https://a.example", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "ample"}, "https://a.example", "http://p:1"),
    ],
)
def test_the_environments_proxy_counts_as_for_go(
    environ: dict[str, str], server: str, expected: str | None
) -> None:
    assert proxy_of(Config(server=server), environ) == expected
    assert proxy_of(Config(server=server, proxy_url="http://own:1"), environ) == "http://own:1"
