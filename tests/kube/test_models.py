"""The generated models: that they are what the generator writes, and that their wire form is the schema's."""

import copy
import importlib.util
import json
import pickle
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import proa.kube.models
from proa.kube import decode, encode
from proa.kube.models import Cluster, Merging, Model, Namespaced, Resource, ResourceInfo
from proa.kube.models.apiextensions_v1 import JSONSchemaProps
from proa.kube.models.apps_v1 import Deployment, DeploymentSpec, ReplicaSet, ReplicaSetStatus
from proa.kube.models.core_v1 import Container, Node, Pod, PodSpec, PodStatus, Volume
from proa.kube.models.meta_v1 import DeleteOptions, ObjectMeta

ROOT = Path(__file__).parents[2]
SCALARS = {"integer": 7, "number": 0.5, "boolean": True, "string": "text"}
FORMATS = {"byte": "aGk=", "date-time": "2026-11-21T10:00:00Z", "int-or-string": "25%"}
TEXTS = {
    "Quantity": "100m",
    "IntOrString": "http",
    "Time": "2026-11-21T10:00:00Z",
    "MicroTime": "2026-11-21T10:00:00.500000Z",
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "tools")
        yield load(ROOT / "tools/generate_models.py")


@pytest.fixture(scope="module")
def pinned() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((ROOT / "tools/kubernetes/schema.json").read_text())
    return document


def generated_modules() -> Iterator[ModuleType]:
    for info in pkgutil.iter_modules(proa.kube.models.__path__):
        if not info.name.startswith("_"):
            yield import_module(f"proa.kube.models.{info.name}")


def all_types() -> list[type[Model]]:
    return [getattr(module, name) for module in generated_modules() for name in module.__all__]


def sample(definitions: dict[str, Any], schema: dict[str, Any], within: tuple[str, ...] = ()) -> Any:
    """Return a document with every property of a schema; a type inside itself is left out."""
    if "$ref" in schema:
        name = schema["$ref"]
        if name.endswith(".FieldsV1"):
            return {"f:spec": {}}
        short = name.rpartition(".")[2]
        if short in TEXTS:
            return TEXTS[short]
        return None if name in within else sample(definitions, definitions[name], (*within, name))
    if schema.get("type") == "array":
        item = sample(definitions, schema["items"], within)
        return None if item is None else [item]
    if schema.get("type") == "object" and "additionalProperties" in schema:
        item = sample(definitions, schema["additionalProperties"], within)
        return None if item is None else {"key": item}
    if schema.get("type") == "object" or "type" not in schema:
        fields = {
            key: sample(definitions, prop, within) for key, prop in schema.get("properties", {}).items()
        }
        return {key: value for key, value in fields.items() if value is not None and key != "managedFields"}
    return FORMATS.get(schema.get("format", ""), SCALARS[schema["type"]])


def test_the_committed_models_are_what_the_generator_writes(
    generator: ModuleType, pinned: dict[str, Any]
) -> None:
    discovery = [
        json.loads(path.read_text()) for path in sorted((ROOT / "tools/kubernetes").glob("discovery-*"))
    ]
    committed = {path.name: path.read_text() for path in generator.MODELS.glob("*_v*.py")}
    assert generator.generate(pinned, discovery) == committed, "run 'make models' and commit what it writes"


def test_every_type_round_trips_with_every_property_by_its_wire_name(
    generator: ModuleType, pinned: dict[str, Any]
) -> None:
    definitions = pinned["definitions"]
    for name, (module, cls) in generator.place(definitions).items():
        type_ = getattr(import_module(f"proa.kube.models.{module}"), cls)
        document = sample(definitions, definitions[name], (name,))
        if issubclass(type_, Resource):
            document |= {"apiVersion": type_.resource.api_version, "kind": type_.resource.kind}
        assert json.loads(encode(decode(json.dumps(document), type_))) == document, name


def test_every_type_decodes_and_reproduces_an_empty_status_and_metadata() -> None:
    assert decode(b"{}", Pod) == Pod()
    assert json.loads(encode(Pod())) == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {},
        "status": {},
    }


def test_every_resource_knows_its_endpoint_and_scope() -> None:
    resources = [type_ for type_ in all_types() if issubclass(type_, Resource)]
    assert len(resources) > 80
    for type_ in resources:
        assert type_.resource.namespaced == issubclass(type_, Namespaced) != issubclass(type_, Cluster)
        assert type_.resource.plural
    assert Deployment.resource == ResourceInfo(
        "apps", "v1", "Deployment", "deployments", "deployment", True, ("deploy",), ("all",)
    )
    assert Deployment.resource.api_version == "apps/v1"
    assert Deployment.resource.qualified_name == "deployments.apps"
    assert issubclass(Node, Cluster)


def test_metadata_spec_and_status_of_a_kind_are_never_none() -> None:
    parts = {
        f"{type_.__name__}.{part}": type_.__annotations__.get(part, "ObjectMeta")
        for type_ in all_types()
        for part in ("metadata", "spec", "status")
        if issubclass(type_, Resource) and part in type_.__struct_fields__
    }
    pointers_in_go = {"ResourcePoolStatusRequest.status"}
    assert {part for part, annotation in parts.items() if "None" in annotation} == pointers_in_go


def test_attributes_are_the_wire_names_in_snake_case(generator: ModuleType) -> None:
    expected = {
        "podIP": "pod_ip",
        "hostIPs": "host_ips",
        "clusterIP": "cluster_ip",
        "externalID": "external_id",
        "$ref": "ref",
        "continue": "continue_",
        "x-kubernetes-list-map-keys": "x_kubernetes_list_map_keys",
        "openAPIV3Schema": "open_api_v3_schema",
        "currentCPUUtilizationPercentage": "current_cpu_utilization_percentage",
        "stubPKCS10Request": "stub_pkcs10_request",
        "setHostnameAsFQDN": "set_hostname_as_fqdn",
        "nonResourceURLs": "non_resource_urls",
        "hostIPC": "host_ipc",
        "bool": "bool_",
        "Port": "port",
    }
    assert {wire: generator.attribute(wire) for wire in expected} == expected


def test_absent_lists_and_maps_are_empty_and_absent_scalars_none() -> None:
    pod = decode(b'{"metadata":{"name":"a"}}', Pod)
    assert (pod.spec.containers, pod.metadata.labels, pod.status.phase) == ([], {}, None)
    pod.metadata.labels["app"] = "web"
    assert decode(b"{}", Pod).metadata.labels == {}


def test_required_scalars_must_be_given() -> None:
    with pytest.raises(TypeError, match="Missing required argument 'name'"):
        Container()  # type: ignore[call-arg]


def test_required_counts_of_a_status_are_written_even_if_zero() -> None:
    assert json.loads(encode(ReplicaSet().status)) == {"replicas": 0}
    assert ReplicaSetStatus().replicas == 0


def test_kind_and_api_version_are_filled_in_wherever_they_belong() -> None:
    assert encode(DeleteOptions()) == b'{"apiVersion":"v1","kind":"DeleteOptions"}'
    assert (Deployment().kind, Deployment().api_version) == ("Deployment", "apps/v1")


def test_managed_fields_are_not_read() -> None:
    meta = decode(b'{"name":"a","managedFields":[{"manager":"x","fieldsV1":{"f:a":{}}}]}', ObjectMeta)
    assert encode(meta) == b'{"name":"a"}'


def test_schemas_may_hold_schemas() -> None:
    text = b'{"items":{"properties":{"a":{"additionalProperties":false}}},"x-kubernetes-int-or-string":true}'
    schema = decode(text, JSONSchemaProps)
    assert isinstance(schema.items, JSONSchemaProps)
    assert schema.items.properties["a"].additional_properties is False
    assert json.loads(encode(schema)) == json.loads(text)


def test_merge_rules_can_be_read_at_run_time() -> None:
    assert PodSpec.merging["containers"] == Merging("map", ("name",), None, "merge", "name")
    assert PodSpec.merging["nodeSelector"] == Merging(map_type="atomic")
    assert PodStatus.merging["podIPs"].merge_key == "ip"
    assert DeploymentSpec.merging["strategy"].strategy == "retainKeys"


CRD_DOCUMENT = {
    "definitions": {
        "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta": {
            "description": "Standard metadata.",
            "type": "object",
            "properties": {"name": {"type": "string", "description": "Its name."}},
        },
        "com.example.stable.v1.CronTab": {
            "description": "A table.",
            "type": "object",
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"$ref": "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"},
                "spec": {
                    "type": "object",
                    "required": ["cronSpec"],
                    "properties": {
                        "cronSpec": {"type": "string", "pattern": "^.*$"},
                        "port": {"x-kubernetes-int-or-string": True},
                        "hosts": {
                            "type": "array",
                            "items": {"type": "object", "properties": {"hostIP": {"type": "string"}}},
                        },
                    },
                },
            },
            "x-kubernetes-group-version-kind": [
                {"group": "stable.example.com", "version": "v1", "kind": "CronTab"}
            ],
        },
    },
    "paths": {
        "/apis/stable.example.com/v1/crontabs": {
            "get": {
                "x-kubernetes-action": "list",
                "x-kubernetes-group-version-kind": {
                    "group": "stable.example.com",
                    "kind": "CronTab",
                    "version": "v1",
                },
            }
        },
        "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs": {
            "parameters": [],
            "post": {
                "x-kubernetes-group-version-kind": {
                    "group": "stable.example.com",
                    "kind": "CronTab",
                    "version": "v1",
                }
            },
        },
        "/apis/stable.example.com/v1/namespaces/{namespace}/crontabs/{name}/status": {
            "get": {
                "x-kubernetes-group-version-kind": {
                    "group": "stable.example.com",
                    "kind": "CronTab",
                    "version": "v1",
                }
            }
        },
    },
}


def test_the_document_of_a_cluster_gives_its_custom_resources(tmp_path: Path) -> None:
    (tmp_path / "openapi.json").write_text(json.dumps(CRD_DOCUMENT))
    subprocess.run(
        [
            sys.executable,
            ROOT / "tools/generate_models.py",
            *("--openapi", tmp_path / "openapi.json", "--output", tmp_path / "models"),
        ],
        check=True,
        capture_output=True,
    )
    text = (tmp_path / "models/stable_v1.py").read_text()
    assert "Its name" not in text
    crontab = load(tmp_path / "models/stable_v1.py").CronTab
    assert "class CronTab(Namespaced" in text
    assert "port: IntOrString | None = None" in text
    assert "hosts: list[CronTabSpecHosts] = ABSENT" in text
    assert 'host_ip: str | None = field(default=None, name="hostIP")' in text
    assert crontab.resource == ResourceInfo(
        "stable.example.com", "v1", "CronTab", "crontabs", "crontab", True
    )


def test_absent_lists_are_empty_and_shared_and_cannot_be_changed_by_mistake() -> None:
    pod, other = Pod(), decode(b"{}", Pod)
    assert pod.spec.volumes == [] == pod.metadata.finalizers
    assert pod.spec.volumes is other.spec.volumes
    with pytest.raises(TypeError, match=r"write `obj.items \+= \[item\]`"):
        pod.spec.volumes.append(Volume(name="data"))
    pod.spec.volumes += [Volume(name="data")]
    pod.spec.volumes += [Volume(name="more")]
    assert [volume.name for volume in pod.spec.volumes] == ["data", "more"]
    assert other.spec.volumes == []
    other.spec.volumes += []
    assert b"volumes" not in encode(other)


def test_an_empty_list_says_the_same_as_none() -> None:
    assert encode(PodSpec(volumes=[], containers=[])) == encode(PodSpec()) == b"{}"
    assert PodSpec(volumes=[]) == PodSpec()
    copied = copy.deepcopy(PodSpec(hostname="a"))
    assert encode(copied) == b'{"hostname":"a"}'
    assert pickle.loads(pickle.dumps(copied.volumes)) is copied.volumes
