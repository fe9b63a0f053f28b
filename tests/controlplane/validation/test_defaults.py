"""What is left out gets Kubernetes' defaults, by type."""

from typing import Any

import pytest

from proa.controlplane._json import clone
from proa.controlplane.registry import catalogue

Json = dict[str, Any]
POD = {"containers": [{"name": "m", "image": "i"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
HOOK = {
    "name": "a.b.c",
    "clientConfig": {"service": {"name": "s", "namespace": "n"}},
    "rules": [{"operations": ["*"]}],
}
AT = "spec.containers.0.resources"
PERCENT = {"type": "Percent", "value": 100, "periodSeconds": 15}
RETAINED = {"whenDeleted": "Retain", "whenScaled": "Retain"}


def container(**requests: str) -> Json:
    return {"name": "m", "image": "i", "resources": {"requests": requests}}


CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
CASES: list[tuple[str, Json, str, Any]] = [
    *[
        ("pods", {"spec": {"containers": [container(memory=given)]}}, f"{AT}.requests.memory", kept)
        for given, kept in (
            ("0.5", "500m"),
            ("1024Mi", "1Gi"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1e3"),
            ("0m", "0"),
        )
    ],
    (
        "pods",
        {
            "spec": {
                "containers": [container(cpu="100m", memory="1Gi"), container(cpu="1")],
                "initContainers": [{**container(cpu="2")}, {**container(cpu="1"), "restartPolicy": "Always"}],
                "resources": {"limits": {"cpu": "4", "memory": "2Gi", "hugepages-2Mi": "2Mi"}},
            }
        },
        "spec.resources.requests",
        {"cpu": "2100m", "memory": "1Gi", "hugepages-2Mi": "2Mi"},
    ),
    *[
        (name, document, field, None)
        for name, document, field in (
            ("roles.rbac.authorization.k8s.io", {}, "rules"),
            ("clusterroles.rbac.authorization.k8s.io", {"rules": []}, "rules"),
            ("endpointslices.discovery.k8s.io", {}, "endpoints"),
            ("csinodes.storage.k8s.io", {"spec": {"drivers": []}}, "spec.drivers"),
            ("pods", {"spec": {**POD, "volumes": [{"projected": {}}]}}, "spec.volumes.0.projected.sources"),
        )
    ],
    (
        "statefulsets.apps",
        {"spec": {"template": TEMPLATE, "volumeClaimTemplates": [{"spec": CLAIM}]}},
        "spec.volumeClaimTemplates.0.kind",
        "PersistentVolumeClaim",
    ),
    ("pods", {"spec": POD}, "spec.enableServiceLinks", True),
    (
        "pods",
        {"spec": {**POD, "hostNetwork": True, "containers": [{"ports": [{"containerPort": 5}]}]}},
        "spec.containers.0.ports.0.hostPort",
        5,
    ),
    (
        "deployments.apps",
        {
            "spec": {
                "template": {"spec": {"hostNetwork": True, "containers": [{"ports": [{"containerPort": 5}]}]}}
            }
        },
        "spec.template.spec.containers.0.ports.0",
        {"containerPort": 5, "protocol": "TCP"},
    ),
    (
        "pods",
        {"spec": {**POD, "containers": [{"livenessProbe": {"exec": {}, "timeoutSeconds": 0}}]}},
        "spec.containers.0.livenessProbe.timeoutSeconds",
        1,
    ),
    (
        "pods",
        {"spec": {**POD, "volumes": [{"image": {"reference": "r:1"}, "name": "v"}]}},
        "spec.volumes.0.image.pullPolicy",
        "IfNotPresent",
    ),
    ("services", {"spec": {"externalIPs": ["1.1.1.1"]}}, "spec.externalTrafficPolicy", "Cluster"),
    ("services", {"spec": {"type": "ExternalName"}}, "spec.internalTrafficPolicy", None),
    ("services", {"spec": {"ports": [{"port": 8, "targetPort": 0}]}}, "spec.ports.0.targetPort", 8),
    (
        "limitranges",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}},
        "spec.limits.0",
        {"type": "Container", "max": {"cpu": "2"}, "default": {"cpu": "2"}, "defaultRequest": {"cpu": "2"}},
    ),
    (
        "limitranges",
        {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "2"}}]}},
        "spec.limits.0.default",
        None,
    ),
    ("replicationcontrollers", {"spec": {"template": TEMPLATE}}, "spec.selector", {"a": "b"}),
    ("replicationcontrollers", {"spec": {"template": TEMPLATE}}, "spec.minReadySeconds", None),
    (
        "statefulsets.apps",
        {"spec": {"template": TEMPLATE}},
        "spec.persistentVolumeClaimRetentionPolicy",
        RETAINED,
    ),
    ("jobs.batch", {"spec": {"template": TEMPLATE}}, "spec.completions", 1),
    ("jobs.batch", {"spec": {"template": TEMPLATE, "parallelism": 2}}, "spec.completions", None),
    (
        "jobs.batch",
        {"spec": {"template": TEMPLATE, "backoffLimitPerIndex": 1}},
        "spec.backoffLimit",
        2147483647,
    ),
    (
        "jobs.batch",
        {"spec": {"template": TEMPLATE, "podFailurePolicy": {"rules": []}}},
        "spec.podReplacementPolicy",
        "Failed",
    ),
    (
        "cronjobs.batch",
        {"spec": {"jobTemplate": {"spec": {"template": TEMPLATE}}}},
        "spec.jobTemplate.spec.backoffLimit",
        None,
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {"spec": {"behavior": {}}},
        "spec.behavior.scaleDown",
        {"policies": [PERCENT], "selectPolicy": "Max"},
    ),
    (
        "ingressclasses.networking.k8s.io",
        {"spec": {"parameters": {"kind": "K"}}},
        "spec.parameters.scope",
        "Cluster",
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [HOOK]},
        "webhooks.0.timeoutSeconds",
        10,
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [HOOK]},
        "webhooks.0.rules.0.scope",
        "*",
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [HOOK]},
        "webhooks.0.clientConfig.service.port",
        443,
    ),
    (
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [HOOK]},
        "webhooks.0.reinvocationPolicy",
        "Never",
    ),
    ("flowschemas.flowcontrol.apiserver.k8s.io", {"spec": {}}, "spec.matchingPrecedence", 1000),
    ("certificatesigningrequests.certificates.k8s.io", {"spec": {}}, "spec.usages", None),
]


def _at(value: Any, path: str) -> Any:
    for part in path.split("."):
        if value is None:
            return None
        value = value[int(part)] if part.isdigit() else value.get(part)
    return value


@pytest.mark.parametrize(("name", "document", "path", "expected"), CASES, ids=range(len(CASES)))
def test_what_is_left_out_is_filled_in(name: str, document: Json, path: str, expected: Any) -> None:
    plural, _, group = name.partition(".")
    resource = catalogue().find(group, plural)
    assert resource is not None
    conforming = resource.conformer({"metadata": {"name": "x"}, **clone(document)})
    assert _at(conforming, path) == expected
