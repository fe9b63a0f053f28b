"""What is wrong with objects is said all at once, each with its reason and field, as Kubernetes has them."""

from typing import Any

import aiohttp
import pytest

from proa.controlplane.registry import catalogue
from proa.controlplane.registry._cron import problem_of
from proa.controlplane.registry._rules import RULES
from proa.controlplane.schema import definitions

TEMPLATE = {
    "metadata": {"labels": {"a": "b"}},
    "spec": {"containers": [{"name": "m", "image": "i"}]},
}
BROKEN_POD = {
    "spec": {
        "containers": [
            {
                "name": "m",
                "image": "i",
                "livenessProbe": {"periodSeconds": -1},
                "readinessProbe": {"httpGet": {"port": 70000, "scheme": "FTP"}, "exec": {"command": ["a"]}},
                "env": [{"name": "A", "valueFrom": {"fieldRef": {}}}],
            }
        ],
        "tolerations": [{"operator": "Exists", "value": "x"}],
        "terminationGracePeriodSeconds": -5,
        "volumes": [{"name": "v", "secret": {"defaultMode": 512}}],
    }
}
INVALID, REQUIRED, UNSUPPORTED, FORBIDDEN = (
    "FieldValueInvalid",
    "FieldValueRequired",
    "FieldValueNotSupported",
    "FieldValueForbidden",
)

CASES: list[tuple[str, str, dict[str, Any], set[tuple[str, str]]]] = [
    (
        "",
        "pods",
        BROKEN_POD,
        {
            (REQUIRED, "spec.containers[0].livenessProbe"),
            (INVALID, "spec.containers[0].livenessProbe.periodSeconds"),
            (FORBIDDEN, "spec.containers[0].readinessProbe.httpGet"),
            (INVALID, "spec.containers[0].readinessProbe.httpGet.port"),
            (UNSUPPORTED, "spec.containers[0].readinessProbe.httpGet.scheme"),
            (REQUIRED, "spec.containers[0].env[0].valueFrom.fieldRef.fieldPath"),
            (INVALID, "spec.tolerations[0].operator"),
            (INVALID, "spec.terminationGracePeriodSeconds"),
            (REQUIRED, "spec.volumes[0].secret.secretName"),
            (INVALID, "spec.volumes[0].secret.defaultMode"),
        },
    ),
    (
        "networking.k8s.io",
        "ingresses",
        {"spec": {"rules": [{"host": "1.2.3.4", "http": {"paths": [{"path": "a", "backend": {}}]}}]}},
        {
            (INVALID, "spec.rules[0].host"),
            (REQUIRED, "spec.rules[0].http.paths[0].pathType"),
            (REQUIRED, "spec.rules[0].http.paths[0].backend"),
        },
    ),
    (
        "networking.k8s.io",
        "networkpolicies",
        {"spec": {"podSelector": {}, "policyTypes": ["Up"], "ingress": [{"from": [{}]}]}},
        {(UNSUPPORTED, "spec.policyTypes[0]"), (REQUIRED, "spec.ingress[0].from[0]")},
    ),
    (
        "storage.k8s.io",
        "storageclasses",
        {"reclaimPolicy": "Recycle", "volumeBindingMode": "Later"},
        {(REQUIRED, "provisioner"), (UNSUPPORTED, "reclaimPolicy"), (UNSUPPORTED, "volumeBindingMode")},
    ),
    (
        "",
        "persistentvolumes",
        {"spec": {"hostPath": {"path": "/a"}, "nfs": {"server": "s", "path": "p"}}},
        {(REQUIRED, "spec.accessModes"), (REQUIRED, "spec.capacity"), (FORBIDDEN, "spec.nfs")},
    ),
    (
        "batch",
        "cronjobs",
        {
            "spec": {
                "schedule": "x",
                "concurrencyPolicy": "Never",
                "failedJobsHistoryLimit": -1,
                "jobTemplate": {"spec": {"template": TEMPLATE}},
            }
        },
        {
            (INVALID, "spec.schedule"),
            (UNSUPPORTED, "spec.concurrencyPolicy"),
            (INVALID, "spec.failedJobsHistoryLimit"),
            (REQUIRED, "spec.jobTemplate.spec.template.spec.restartPolicy"),
        },
    ),
    (
        "rbac.authorization.k8s.io",
        "clusterroles",
        {"rules": [{"verbs": []}, {"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["b"]}]},
        {
            (REQUIRED, "rules[0].verbs"),
            (REQUIRED, "rules[0].apiGroups"),
            (REQUIRED, "rules[0].resources"),
            (INVALID, "rules[1].nonResourceURLs"),
        },
    ),
    (
        "autoscaling",
        "horizontalpodautoscalers",
        {"spec": {"scaleTargetRef": {}, "minReplicas": 3, "maxReplicas": 2, "metrics": [{"type": "Mood"}]}},
        {
            (REQUIRED, "spec.scaleTargetRef.kind"),
            (REQUIRED, "spec.scaleTargetRef.name"),
            (INVALID, "spec.maxReplicas"),
            (UNSUPPORTED, "spec.metrics[0].type"),
        },
    ),
    (
        "policy",
        "poddisruptionbudgets",
        {"spec": {"minAvailable": -1, "maxUnavailable": "x%"}},
        {(INVALID, "spec"), (INVALID, "spec.minAvailable"), (INVALID, "spec.maxUnavailable")},
    ),
    (
        "apps",
        "deployments",
        {
            "spec": {
                "replicas": -1,
                "selector": {"matchLabels": {"a": "b"}},
                "template": TEMPLATE,
                "strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}},
            }
        },
        {(INVALID, "spec.replicas"), (INVALID, "spec.strategy.rollingUpdate.maxUnavailable")},
    ),
]


@pytest.mark.parametrize(("group", "plural", "document", "expected"), CASES, ids=[case[1] for case in CASES])
async def test_all_problems_are_named_at_once(
    admin: aiohttp.ClientSession,
    group: str,
    plural: str,
    document: dict[str, Any],
    expected: set[tuple[str, str]],
) -> None:
    resource = catalogue().find(group, plural)
    assert resource is not None
    base = f"/apis/{group}/{resource.version}" if group else f"/api/{resource.version}"
    path = f"{base}/namespaces/default/{plural}" if resource.namespaced else f"{base}/{plural}"
    async with admin.post(path, json={"metadata": {"name": "x"}, **document}) as response:
        status = await response.json()
    assert status["code"] == 422, status
    assert {(cause["reason"], cause["field"]) for cause in status["details"]["causes"]} == expected


def test_every_rule_is_about_a_field_that_there_is() -> None:
    for name, rules in RULES.items():
        assert {field for field in rules if field} <= definitions()[name]["properties"].keys(), name


FIXED: list[tuple[str, str, dict[str, Any], dict[str, Any], str]] = [
    ("storage.k8s.io", "storageclasses", {"provisioner": "a"}, {"provisioner": "b"}, "provisioner"),
    ("scheduling.k8s.io", "priorityclasses", {"value": 1}, {"value": 2}, "value"),
    (
        "rbac.authorization.k8s.io",
        "clusterrolebindings",
        {"roleRef": {"kind": "ClusterRole", "name": "view"}},
        {"roleRef": {"kind": "ClusterRole", "name": "edit"}},
        "roleRef",
    ),
    (
        "apps",
        "statefulsets",
        {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE, "serviceName": "x"}},
        {"spec": {"serviceName": "y"}},
        "spec",
    ),
    (
        "networking.k8s.io",
        "ingressclasses",
        {"spec": {"controller": "a/b"}},
        {"spec": {"controller": "a/c"}},
        "spec.controller",
    ),
]


@pytest.mark.parametrize(("group", "plural", "document", "change", "field"), FIXED, ids=[c[1] for c in FIXED])
async def test_what_cannot_change_is_refused(
    admin: aiohttp.ClientSession,
    group: str,
    plural: str,
    document: dict[str, Any],
    change: dict[str, Any],
    field: str,
) -> None:
    resource = catalogue().find(group, plural)
    assert resource is not None
    where = "namespaces/default/" if resource.namespaced else ""
    path = f"/apis/{group}/{resource.version}/{where}{plural}"
    async with admin.post(path, json={"metadata": {"name": "x"}, **document}) as response:
        assert response.status == 201, await response.text()
    headers = {"Content-Type": "application/merge-patch+json"}
    async with admin.patch(f"{path}/x", json=change, headers=headers) as response:
        status = await response.json()
    assert status["code"] == 422
    assert [cause["field"] for cause in status["details"]["causes"]] == [field]


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/5 0-6,22 1 jan-DEC mon",
        "? 1 2 3 4",
        "@every 1s",
        "@every 1h30m",
        "@daily",
        "0 0 31 2 SUN/2",
    ],
)
def test_schedules_that_are(schedule: str) -> None:
    assert problem_of(schedule) is None


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * *",
        "60 * * * *",
        "* * 0 * *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "*-5 * * * *",
        "@fortnightly",
        "@every",
        "@every soon",
        "TZ=UTC * * * * *",
        "a b c d e",
        "* * L * *",
        "",
    ],
)
def test_schedules_that_are_not(schedule: str) -> None:
    assert problem_of(schedule)


async def test_a_cron_job_is_checked_name_zone_and_all(admin: aiohttp.ClientSession) -> None:
    spec = {
        "schedule": "@every 1s",
        "timeZone": "Mars/Olympus",
        "jobTemplate": {"spec": {"template": TEMPLATE}},
    }
    path = "/apis/batch/v1/namespaces/default/cronjobs"
    async with admin.post(path, json={"metadata": {"name": "a" * 53}, "spec": spec}) as response:
        assert response.status == 422
        found = {cause["field"] for cause in (await response.json())["details"]["causes"]}
    assert {"metadata.name", "spec.timeZone"} <= found
    assert "spec.schedule" not in found
