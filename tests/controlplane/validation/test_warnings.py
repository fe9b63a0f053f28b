"""Valid objects that hardly say what they mean are warned of."""

from typing import Any

import aiohttp
import pytest

from proa.controlplane.registry import catalogue

Json = dict[str, Any]


def pod(container: Json | None = None, **spec: Any) -> Json:
    one = {"name": "c", "image": "i", **(container or {})}
    return {"metadata": {"name": "a"}, "spec": {"containers": [one], **spec}}


def service(**spec: Any) -> Json:
    return {"metadata": {"name": "a"}, "spec": {"type": "ClusterIP", "clusterIP": "10.0.0.1", **spec}}


def variables(*values: Json) -> Json:
    return pod({"env": [{"name": "A", **value} for value in values]})


C = "spec.containers[0]"
CASES: list[tuple[str, Json, list[str]]] = [
    ("pods", pod(), []),
    ("pods", {**pod(), "metadata": {"name": "a.b"}}, ["metadata.name"]),
    ("pods", variables({"value": "1"}, {"value": "2"}), [f"{C}.env[1]"]),
    ("pods", variables({"value": "1"}, {"value": "$(A)2"}), []),
    ("pods", variables({"value": "1"}, {"value": "$(A)"}), [f"{C}.env[1]"]),
    ("pods", pod({"resources": {"limits": {"memory": "1500m"}}}), [f"{C}.resources.limits[memory]"]),
    (
        "pods",
        pod(imagePullSecrets=[{"name": "a"}, {"name": "a"}, {}]),
        ["spec.imagePullSecrets[1].name", "spec.imagePullSecrets[2].name"],
    ),
    ("pods", pod(hostAliases=[{"ip": "1.1.1.1"}] * 2), ["spec.hostAliases[1].ip"]),
    (
        "pods",
        pod(nodeSelector={"beta.kubernetes.io/os": "linux"}),
        ["spec.nodeSelector[beta.kubernetes.io/os]"],
    ),
    ("pods", pod(volumes=[{"name": "v", "rbd": {}}]), ["spec.volumes[0].rbd"]),
    (
        "pods",
        pod(topologySpreadConstraints=[{"topologyKey": "a"}]),
        ["spec.topologySpreadConstraints[0].labelSelector"],
    ),
    (
        "pods",
        pod({"ports": [{"containerPort": 1}, {"containerPort": 1}, {"containerPort": 1, "hostPort": 2}]}),
        [f"{C}.ports[1]", f"{C}.ports[2]", f"{C}.ports[2]"],
    ),
    ("pods", pod(terminationGracePeriodSeconds=-1), ["spec.terminationGracePeriodSeconds"]),
    ("deployments.apps", {"metadata": {"name": "a.b"}, "spec": {"template": pod()}}, ["metadata.name"]),
    (
        "cronjobs.batch",
        {
            "metadata": {"name": "a"},
            "spec": {"jobTemplate": {"spec": {"template": variables({"value": "1"}, {"value": "2"})}}},
        },
        [f"spec.jobTemplate.spec.template.{C}.env[1]"],
    ),
    (
        "services",
        service(externalIPs=["1.1.1.1"]),
        ["spec.externalIPs is deprecated and may no longer be implemented in some clusters"],
    ),
    (
        "services",
        service(clusterIP="None", sessionAffinity="ClientIP"),
        ["spec.SessionAffinity is ignored for headless services"],
    ),
    ("services", service(trafficDistribution="PreferClose"), ["spec.trafficDistribution"]),
    (
        "persistentvolumeclaims",
        {"metadata": {"annotations": {"volume.beta.kubernetes.io/storage-class": "x"}}, "spec": {}},
        ["metadata.annotations[volume.beta.kubernetes.io/storage-class]"],
    ),
    (
        "persistentvolumes",
        {"metadata": {}, "spec": {"persistentVolumeReclaimPolicy": "Recycle"}},
        ["spec.persistentVolumeReclaimPolicy"],
    ),
]


@pytest.mark.parametrize(("name", "document", "expected"), CASES, ids=range(len(CASES)))
def test_what_is_odd_is_named(name: str, document: Json, expected: list[str]) -> None:
    plural, _, group = name.partition(".")
    resource = catalogue().find(group, plural)
    assert resource is not None
    assert [text.partition(": ")[0] for text in resource.strategy.warn(document)] == expected


async def test_warnings_are_headers_of_answers_and_of_refusals(admin: aiohttp.ClientSession) -> None:
    path = "/api/v1/namespaces/default/endpoints"
    async with admin.get(path) as response:
        assert response.headers["Warning"].startswith('299 - "v1 Endpoints is deprecated')
    async with admin.get(f"{path}/none") as response:
        assert response.status == 404
        assert "Warning" in response.headers
    async with admin.get(f"{path}?watch=1&timeoutSeconds=1") as response:
        assert "Warning" in response.headers
    odd = variables({"value": 'say "1"'}, {"value": "2"})
    async with admin.post("/api/v1/namespaces/default/pods?dryRun=All", json=odd) as response:
        (warning,) = response.headers.getall("Warning")
        assert warning.startswith('299 - "spec.containers[0].env[1]: hides previous definition of \\"A\\"')
