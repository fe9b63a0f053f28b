"""`proa apply`, `get`, `delete`, `logs`, `exec` and `crd` as a person runs them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import yaml
from aiohttp import web

from proa.cli import main
from proa.cli.testing import proa
from proa.controlplane.testing import api_server
from proa.kube import Api, Client, Config
from proa.kube.core.channels import V5
from proa.kube.models.core_v1 import ConfigMap
from proa.kube.models.meta_v1 import ObjectMeta

WIDGETS = '''
from proa.kube import crd
from proa.kube.models import Cluster

@crd.resource(group="example.com", version="v1alpha1", kind="Widget")
class Old(Cluster, kw_only=True):
    """The first try."""

@crd.resource(group="example.com", version="v1")
class Widget(Cluster, kw_only=True):
    """Something to play with."""
'''


async def run(*arguments: str | Path, **environment: str) -> CompletedProcess[str]:
    return await asyncio.to_thread(lambda: proa(*arguments, **environment))


@pytest.fixture
async def kubeconfig(tmp_path: Path) -> AsyncIterator[Path]:
    """The kubeconfig of an embedded API server with two config maps."""
    async with api_server(tmp_path) as server:
        config = await asyncio.to_thread(Config.from_kubeconfig, server.kubeconfig)
        async with Client(config) as client:
            maps = Api(client, ConfigMap, namespace="default")
            for name in ("a", "b"):
                await maps.create(
                    ConfigMap(metadata=ObjectMeta(name=name, labels={"x": name}), data={"k": "v"})
                )
        yield server.kubeconfig


@pytest.fixture
def faked(server: Any, tmp_path: Path) -> Path:
    """The kubeconfig of the fake server."""
    document = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "web"}}],
        "current-context": "x",
    }
    (tmp_path / "config").write_text(yaml.safe_dump(document))
    return tmp_path / "config"


async def test_get_prints_tables_names_yaml_and_json(kubeconfig: Path) -> None:
    arguments = ("--kubeconfig", kubeconfig)
    table = await run("get", "cm", "-l", "x in (a, b)", *arguments)
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["NAME", "DATA", "AGE"], table.stderr
    assert [line.split()[:2] for line in lines[1:]] == [["a", "1"], ["b", "1"]]
    everywhere = await run("get", "configmaps", "-A", "-l", "x=a", *arguments)
    assert everywhere.stdout.splitlines()[1].split()[:2] == ["default", "a"]
    names = await run("get", "ConfigMap", "-o", "name", "-l", "x=a", *arguments)
    assert names.stdout == "configmaps/a\n"
    document = yaml.safe_load((await run("get", "cm", "a", "-o", "yaml", *arguments)).stdout)
    assert (document["kind"], document["data"]) == ("ConfigMap", {"k": "v"})
    listed = json.loads((await run("get", "cm", "-l", "x=b", "-o", "json", *arguments)).stdout)
    assert [item["metadata"]["name"] for item in listed["items"]] == ["b"]


async def test_mistakes_are_one_line_and_no_traceback(kubeconfig: Path, tmp_path: Path) -> None:
    for words, code, text in (
        (("get", "gizmos"), 1, "the server has no resource 'gizmos'"),
        (("get", "cm", "nothing"), 1, 'configmaps "nothing" not found'),
        (("get", "cm", "--context", "no"), 2, "there is no context 'no'"),
        (("apply", "-f", tmp_path / "no.yaml"), 2, "no.yaml: No such file"),
        (("logs", "nobody"), 1, 'pods "nobody" not found'),
        (("exec", "nobody", "--", "ls"), 1, ""),
    ):
        at = words.index("--") if "--" in words else len(words)
        result = await run(*words[:at], "--kubeconfig", kubeconfig, *words[at:])
        assert result.returncode == code, (words, result.stderr)
        assert text in result.stderr
        assert len(result.stderr.splitlines()) == 1, result.stderr


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("nothing", "is not MODULE:CLASS"),
        ("no_such_module:A", "cannot import no_such_module"),
        ("proa.kube.models.core_v1:Pod", "is no class decorated"),
    ],
)
def test_what_is_no_custom_resource_is_a_mistake_too(
    name: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["crd", "generate", name]) == 2
    assert text in capsys.readouterr().err


async def test_delete_by_name_and_by_file(kubeconfig: Path, tmp_path: Path) -> None:
    arguments = ("--kubeconfig", kubeconfig)
    dry = await run("delete", "cm", "a", "--dry-run", *arguments)
    assert dry.stdout == "configmap/a deleted (dry run)\n"
    assert (await run("delete", "cm", "a", *arguments)).stdout == "configmap/a deleted\n"
    gone = await run("delete", "cm", "a", *arguments)
    assert (gone.returncode, gone.stdout) == (1, "configmap/a absent\n")
    file = tmp_path / "b.yaml"
    file.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}")
    assert (await run("delete", "-f", file, *arguments)).stdout == "configmap/b deleted\n"
    assert (await run("delete", *arguments)).returncode == 2


async def test_apply_sends_server_side_apply(server: Any, faked: Path, tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        if request.method == "PATCH":
            return web.Response(body=await request.read(), status=201, content_type="application/json")
        kind = {"resource": "configmaps", "responseKind": {"kind": "ConfigMap"}, "scope": "Namespaced"}
        versions = [{"version": "v1", "resources": [kind]}]
        items = [{"metadata": {"name": ""}, "versions": versions}] if request.path == "/api" else []
        return web.json_response({"kind": "APIGroupDiscoveryList", "items": items})

    server.handler = handler
    file = tmp_path / "a.yaml"
    file.write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: a}}")
    result = await run(
        "apply", "-f", file, "--kubeconfig", faked, "--force-conflicts", "--field-manager", "me"
    )
    assert (result.stdout, result.stderr) == ("configmap/a created\n", "")
    assert server.last[:3] == (
        "PATCH",
        "/api/v1/namespaces/web/configmaps/a",
        {"fieldManager": "me", "force": "true"},
    )


async def test_logs_are_copied_as_they_are(server: Any, faked: Path) -> None:
    server.answer(b"one\ntwo\n")
    result = await run("logs", "p", "-c", "c", "--tail", "2", "--kubeconfig", faked)
    assert result.stdout == "one\ntwo\n"
    assert server.last[1:3] == ("/api/v1/namespaces/web/pods/p/log", {"container": "c", "tailLines": "2"})


async def test_exec_returns_the_commands_own_code(server: Any, faked: Path) -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(protocols=(V5,))
        await socket.prepare(request)
        await socket.send_bytes(b"\x01out")
        await socket.send_bytes(b"\x02err")
        cause = {"reason": "ExitCode", "message": "7"}
        status = {"kind": "Status", "status": "Failure", "details": {"causes": [cause]}}
        await socket.send_bytes(b"\x03" + json.dumps(status).encode())
        await socket.close()
        return socket

    server.handler = handler
    result = await run("exec", "p", "--kubeconfig", faked, "--", "ls", "-l")
    assert (result.returncode, result.stdout, result.stderr) == (7, "out", "err")
    assert server.requests[-1].query.getall("command") == ["ls", "-l"]
    assert (await run("exec", "p", "--kubeconfig", faked)).returncode == 2


async def test_crd_generate_prints_definitions(tmp_path: Path) -> None:
    (tmp_path / "widgets.py").write_text(WIDGETS)
    result = await run("crd", "generate", "widgets:Old", "widgets:Widget", PYTHONPATH=str(tmp_path))
    document = yaml.safe_load(result.stdout)
    assert document["metadata"]["name"] == "widgets.example.com", result.stderr
    versions = {version["name"]: version["storage"] for version in document["spec"]["versions"]}
    assert versions == {"v1alpha1": False, "v1": True}
    schema = document["spec"]["versions"][1]["schema"]["openAPIV3Schema"]
    assert schema["description"] == "Something to play with."
    stored = await run(
        "crd", "generate", "widgets:Old", "widgets:Widget", "--storage", "v1alpha1", PYTHONPATH=str(tmp_path)
    )
    assert yaml.safe_load(stored.stdout)["spec"]["versions"][0]["storage"] is True
