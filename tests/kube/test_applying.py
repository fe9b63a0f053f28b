"""Manifests of mixed kinds: read, put in order, applied, pruned, deleted."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from proa.kube import (
    Client,
    ConflictError,
    InvalidRequestError,
    ManifestError,
    UnknownResourceError,
    manifests,
)
from proa.kube.applying import apply, delete
from proa.kube.discovery import discover

CORE = [("", "v1", "Namespace", "namespaces", False), ("", "v1", "ConfigMap", "configmaps", True)]
GROUPS = [
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False),
    ("apps", "v1", "Deployment", "deployments", True),
]
MIXED = """
apiVersion: example.com/v1
kind: Widget
metadata: {name: w, labels: {app: web}}
spec: {since: 2026-01-01, when: 2026-01-01T00:00:00Z}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: team, labels: {app: web}}
---
# nothing here
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {app: web}}, data: {a: b}}
- {apiVersion: v1, kind: Namespace, metadata: {name: team, labels: {app: web}}}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com, labels: {app: web}}
"""


class Applied:
    """A server that knows discovery, server-side apply, lists and deletion, and nothing else."""

    def __init__(self, server: Any) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.aggregated = True
        self.polls = 0
        server.handler = self.handle

    def resources(self) -> list[tuple[str, str, str, str, bool]]:
        defined = any("customresourcedefinitions/" in path for path in self.objects)
        return GROUPS + (
            [("example.com", "v1", "Widget", "widgets", True)] if defined and self.polls > 1 else []
        )

    async def handle(self, request: web.Request) -> web.Response:
        path = request.path
        if path in {"/api", "/apis"} and self.aggregated:
            return web.json_response(self.discovery(CORE if path == "/api" else self.resources()))
        if not self.aggregated and path in {"/api", "/apis", "/api/v1", "/apis/apps/v1"}:
            return web.json_response(self.plain(path))
        if request.method == "PATCH":
            self.log.append(path)
            assert request.headers["Content-Type"] == "application/apply-patch+yaml"
            assert request.query["fieldManager"]
            body = await request.json()
            if body["metadata"].get("annotations") == {"taken": "yes"} and "force" not in request.query:
                status = {
                    "kind": "Status",
                    "status": "Failure",
                    "reason": "Conflict",
                    "message": "owned by x",
                }
                return web.json_response(status, status=409)
            known = path in self.objects
            if "dryRun" not in request.query:
                self.objects[path] = body
            return web.json_response(body, status=200 if known else 201)
        if request.method == "DELETE":
            self.log.append(f"-{path}")
            if self.objects.pop(path, None) is None:
                return web.json_response({"kind": "Status", "status": "Failure", "code": 404}, status=404)
            return web.json_response({"kind": "Status", "status": "Success"})
        if path in self.objects:
            self.polls += 1
            conditions = [{"type": "Established", "status": "True" if self.polls > 1 else "False"}]
            return web.json_response({**self.objects[path], "status": {"conditions": conditions}})
        return web.json_response({"items": self.listed(path, request.query.get("labelSelector"))})

    def listed(self, path: str, selector: str | None) -> list[dict[str, Any]]:
        found = [obj for where, obj in self.objects.items() if where.rpartition("/")[0] == path]
        wanted = dict(pair.split("=") for pair in (selector or "").split(",") if pair)
        return [obj for obj in found if wanted.items() <= obj["metadata"].get("labels", {}).items()]

    def discovery(self, resources: list[tuple[str, str, str, str, bool]]) -> dict[str, Any]:
        items = [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "resources": [
                            {
                                "resource": plural,
                                "responseKind": {"kind": kind},
                                "scope": "Namespaced" if namespaced else "Cluster",
                                "singularResource": kind.lower(),
                                "verbs": ["get"],
                            }
                            for other, _, kind, plural, namespaced in resources
                            if other == group
                        ],
                    }
                ],
            }
            for group, version in dict.fromkeys((group, version) for group, version, *_ in resources)
        ]
        return {"kind": "APIGroupDiscoveryList", "items": items}

    def plain(self, path: str) -> dict[str, Any]:
        if path == "/api":
            return {"kind": "APIVersions", "versions": ["v1"]}
        if path == "/apis":
            versions = [{"groupVersion": "apps/v1", "version": "v1"}]
            return {"kind": "APIGroupList", "groups": [{"name": "apps", "versions": versions}]}
        resources = CORE if path == "/api/v1" else [GROUPS[1]]
        listed = [
            {"name": plural, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get"]}
            for _, _, kind, plural, namespaced in resources
        ]
        status = {"name": "deployments/status", "namespaced": True, "kind": "Deployment"}
        prefix = path.removeprefix("/apis/").removeprefix("/api/")
        return {"kind": "APIResourceList", "groupVersion": prefix, "resources": [*listed, status]}


@pytest.fixture
def applied(server: Any) -> Applied:
    return Applied(server)


async def outcomes(client: Client, text: str, **options: Any) -> list[str]:
    return [str(outcome) async for outcome in apply(client, manifests.parse(text), **options)]


async def test_what_others_need_is_applied_first(applied: Applied, client: Client) -> None:
    assert await outcomes(client, MIXED, namespace="web") == [
        "namespace/team created",
        "customresourcedefinition.apiextensions.k8s.io/widgets.example.com created",
        "configmap/c created",
        "deployment.apps/d created",
        "widget.example.com/w created",
    ]
    assert applied.log == [
        "/api/v1/namespaces/team",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com",
        "/api/v1/namespaces/web/configmaps/c",
        "/apis/apps/v1/namespaces/team/deployments/d",
        "/apis/example.com/v1/namespaces/web/widgets/w",
    ]
    widget = applied.objects["/apis/example.com/v1/namespaces/web/widgets/w"]
    assert widget["spec"] == {"since": "2026-01-01", "when": "2026-01-01T00:00:00Z"}
    assert (await outcomes(client, MIXED, namespace="web"))[0] == "namespace/team applied"


async def test_a_kind_that_nobody_defines_is_an_error(applied: Applied, client: Client) -> None:
    with pytest.raises(UnknownResourceError, match=r"no kind 'Gizmo' in 'v1'"):
        await outcomes(client, "{apiVersion: v1, kind: Gizmo, metadata: {name: g}}")
    assert applied.log == []


async def test_fields_of_others_are_a_conflict_unless_taken_over(applied: Applied, client: Client) -> None:
    text = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, annotations: {taken: 'yes'}}}"
    with pytest.raises(ConflictError, match="owned by x"):
        await outcomes(client, text)
    assert await outcomes(client, text, force=True) == ["configmap/c created"]
    assert len(applied.objects) == 1


async def test_a_dry_run_applies_and_prunes_nothing(applied: Applied, client: Client) -> None:
    first = "{apiVersion: v1, kind: ConfigMap, metadata: {name: c, labels: {app: web}}}"
    assert await outcomes(client, first, dry_run=True) == ["configmap/c created"]
    assert applied.objects == {}


async def test_what_is_no_longer_in_the_files_is_pruned(applied: Applied, client: Client) -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: %s, labels: {app: %s}}}"
    await outcomes(client, one % ("other", "other"))
    await outcomes(client, f"{one % ('a', 'web')}\n---\n{one % ('b', 'web')}", prune="app=web")
    applied.objects["/api/v1/namespaces/default/configmaps/owned"] = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "owned",
            "labels": {"app": "web"},
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
        },
    }
    assert await outcomes(client, one % ("a", "web"), prune="app=web") == [
        "configmap/a applied",
        "configmap/b pruned",
    ]
    left = sorted(path.rpartition("/")[2] for path in applied.objects)
    assert left == ["a", "other", "owned"]


async def test_pruning_that_would_hit_the_wrong_objects_is_refused(applied: Applied, client: Client) -> None:
    one = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a, labels: {app: web}}}"
    with pytest.raises(InvalidRequestError, match="would be pruned next time"):
        await outcomes(client, one, prune="app=api")
    with pytest.raises(InvalidRequestError, match="needs a label selector"):
        await outcomes(client, one, prune="")
    assert applied.log == []


async def test_deleting_goes_the_other_way_and_twice(applied: Applied, client: Client) -> None:
    await outcomes(client, MIXED)
    applied.log.clear()
    found = [str(outcome) async for outcome in delete(client, manifests.parse(MIXED))]
    assert [line.split()[1] for line in found] == ["deleted"] * 5
    assert applied.log[0].startswith("-/apis/example.com")
    assert applied.log[-1] == "-/api/v1/namespaces/team"
    again = [str(outcome) async for outcome in delete(client, manifests.parse(MIXED))]
    assert {line.split()[1] for line in again} == {"absent"}


async def test_servers_without_aggregated_discovery_are_understood(applied: Applied, client: Client) -> None:
    applied.aggregated = False
    discovery = await discover(client)
    assert {item.resource.plural for item in discovery} == {"namespaces", "configmaps", "deployments"}
    (deployments,) = [item for item in discovery if item.resource.plural == "deployments"]
    assert deployments.subresources == {"status"}
    assert discovery.resolve("Deployment").api_version == "apps/v1"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "m: is not YAML at line"),
        ("7", "m: is no object but int"),
        ("kind: Pod", "m: apiVersion: is missing"),
        ("{apiVersion: v1}", "m: kind: is missing"),
        ("{apiVersion: v1, kind: Pod}", r"m: metadata\.name: is missing"),
        (
            "{apiVersion: v1, kind: Pod, metadata: {name: 7}}",
            r"m: Expected `str \| null`, got `int`.*metadata.name",
        ),
        ("{apiVersion: v1, kind: Pod, metadata: {name: a}}\n---\n[]", "m: document 2: is no object but list"),
        ("{apiVersion: v1, kind: PodList, items: [{}]}", r"m: items\[0\]: apiVersion: is missing"),
        ("!!python/object:os.system {}", "m: is not YAML"),
    ],
)
def test_what_is_no_manifest_is_an_error_that_says_where(text: str, problem: str) -> None:
    with pytest.raises(ManifestError, match=f"^{problem}"):
        manifests.parse(text, "m")


def test_files_and_directories(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("{apiVersion: v1, kind: ConfigMap, metadata: {name: b}}")
    (tmp_path / "a.json").write_text(
        json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}})
    )
    (tmp_path / "notes.txt").write_text("nonsense")
    assert [obj.metadata.name for obj in manifests.read(tmp_path)] == ["a", "b"]
    with pytest.raises(ManifestError, match=r"cannot read .*nothing: No such file"):
        manifests.read(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ManifestError, match=r"has no \.yaml"):
        manifests.read(tmp_path / "empty")
    (tmp_path / "c.yaml").write_bytes(b"\xff")
    with pytest.raises(ManifestError, match=r"c\.yaml: is not text"):
        manifests.read(tmp_path)
    (parsed,) = manifests.parse(manifests.dump(manifests.read(tmp_path / "b.yaml")[0]))
    assert parsed.metadata.name == "b"
