"""Every example runs: against the embedded API server, or a fake one where that cannot do it yet."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from proa.controlplane.testing import api_server
from proa.kube.core.channels import V4, V5

EXAMPLES = Path(__file__).parents[2] / "examples/kube"
EMBEDDED = {
    "pod_list": "server v1.",
    "config_map_change": "as expected: AlreadyExists\n{'a': '1', 'b': '2', 'c': '3'}\n",
    "config_map_watch": "ADDED watched\nDELETED watched\n",
    "metadata_list": "{'kubernetes.io/metadata.name': 'default', 'seen': 'yes'}",
    "dynamic_get": "namespaces in v1\n",
    "deployment_scale": "3 replicas\n",
    "token_create": "as expected: ",
    "request_retry": "0 nodes\n0 nodes, asked once\n",
    "crd_derive": "name: widgets.example.com",
    "manifest_apply": "namespace/example-apply created\nconfigmap/settings created\n",
}
FAKED = {
    "pod_exec": (["p"], "hello\n ended with 0\n"),
    "pod_logs": (["p"], "one\ntwo\n"),
    "pod_port_forward": (["p", "80"], "pong"),
}


async def run(name: str, kubeconfig: Path, *arguments: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(EXAMPLES / f"{name}.py"),
        *arguments,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    return process.returncode or 0, stdout.decode(), stderr.decode()


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    async with api_server(tmp_path) as server:
        yield server.kubeconfig


@pytest.mark.parametrize("name", EMBEDDED)
async def test_an_example_does_what_it_says(name: str, kubeconfig: Path) -> None:
    code, stdout, stderr = await run(name, kubeconfig)
    assert code == 0, stderr
    assert EMBEDDED[name] in stdout


@pytest.mark.parametrize("name", FAKED)
async def test_an_example_of_streams_does_what_it_says(name: str, server: Any, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/log"):
            return web.Response(body=b"one\ntwo\n")
        port = request.path.endswith("/portforward")
        socket = web.WebSocketResponse(protocols=(V4 if port else V5,))
        await socket.prepare(request)
        if port:
            for channel in (0, 1):
                await socket.send_bytes(bytes((channel, 80, 0)))
            await socket.receive_bytes()
            await socket.send_bytes(b"\x00pong")
        else:
            data = await socket.receive_bytes()
            await socket.send_bytes(b"\x01" + data[1:])
            await socket.send_bytes(b'\x03{"kind":"Status","status":"Success"}')
        await socket.close()
        return socket

    server.handler = handler
    document = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "contexts": [{"name": "x", "context": {"cluster": "c"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    arguments, expected = FAKED[name]
    code, stdout, stderr = await run(name, tmp_path / "config", *arguments)
    assert (code, stdout) == (0, expected), stderr


def test_no_example_is_left_out() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == EMBEDDED.keys() | FAKED.keys()
