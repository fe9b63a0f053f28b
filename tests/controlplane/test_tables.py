"""Tables show of each kind what kubectl shows: the columns, and what stands in them."""

from typing import Any

import pytest

from proa.controlplane.presentation._table import table_of
from proa.controlplane.registry import catalogue

Json = dict[str, Any]
SINCE = "2026-01-01T00:00:00Z"


def table(name: str, document: Json) -> Json:
    plural, _, group = name.partition(".")
    resource = catalogue().find(group, plural)
    assert resource is not None
    metadata = {"name": "x", "creationTimestamp": SINCE, **document.get("metadata", {})}
    return table_of(resource, [{**document, "metadata": metadata}], {})


def cells(name: str, document: Json) -> dict[str, Any]:
    """By column, without the age."""
    found = table(name, document)
    names = [column["name"] for column in found["columnDefinitions"]]
    return {key: cell for key, cell in zip(names, found["rows"][0]["cells"], strict=True) if key not in AGES}


AGES = {"Age", "Created At", "Last Seen", "First Seen"}


def status(name: str = "c", **state: Any) -> Json:
    more: Json = {
        key: state.pop(key) for key in ("ready", "started", "restartCount", "lastState") if key in state
    }
    return {"name": name, "state": state, **more}


def pod(*statuses: Json, init: tuple[Json, ...] = (), **more: Any) -> Json:
    sidecars = [{"name": "side", "restartPolicy": "Always"}] if init else []
    return {
        "metadata": more.pop("metadata", {}),
        "spec": {
            "containers": [{"name": "c"}],
            "initContainers": [*sidecars, {"name": "init"}] if init else [],
        },
        "status": {
            "phase": "Running",
            "containerStatuses": list(statuses),
            "initContainerStatuses": list(init),
            **more,
        },
    }


RUNNING: Json = {"running": {}, "ready": True}
DONE = {"exitCode": 0, "reason": "Completed"}
GOING: Json = {"metadata": {"deletionTimestamp": SINCE}}
PODS: list[tuple[Json, str, str, str]] = [
    (pod(status(**RUNNING)), "1/1", "Running", "0"),
    (pod(status(waiting={"reason": "ErrImagePull"})), "0/1", "ErrImagePull", "0"),
    (pod(status(terminated={"exitCode": 3})), "0/1", "ExitCode:3", "0"),
    (pod(status(terminated={"exitCode": 137, "signal": 9})), "0/1", "Signal:9", "0"),
    (pod(status(terminated=DONE), status("d", **RUNNING)), "1/1", "NotReady", "0"),
    (
        pod(
            status(terminated=DONE), status("d", **RUNNING), conditions=[{"type": "Ready", "status": "True"}]
        ),
        "1/1",
        "Running",
        "0",
    ),
    (
        pod(phase="Pending", conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]),
        "0/1",
        "SchedulingGated",
        "0",
    ),
    (pod(init=(status("side", **RUNNING, started=True), status("init", running={}))), "1/2", "Init:1/2", "0"),
    (
        pod(init=(status("side", waiting={"reason": "CrashLoopBackOff"}, restartCount=2),)),
        "0/2",
        "Init:CrashLoopBackOff",
        "2",
    ),
    (
        pod(
            status(**RUNNING, restartCount=1),
            init=(
                status("side", **RUNNING, started=True, restartCount=2),
                status("init", terminated=DONE, restartCount=4),
            ),
        ),
        "2/2",
        "Running",
        "3",
    ),
    (pod(status(**RUNNING), **GOING), "1/1", "Terminating", "0"),
    (pod(status(**RUNNING), reason="NodeLost", **GOING), "1/1", "Unknown", "0"),
    (pod(status(terminated=DONE), phase="Succeeded", **GOING), "0/1", "Completed", "0"),
]


@pytest.mark.parametrize(("document", "ready", "word", "restarts"), PODS, ids=range(len(PODS)))
def test_a_pod_in_a_few_words(document: Json, ready: str, word: str, restarts: str) -> None:
    found = cells("pods", document)
    assert (found["Ready"], found["Status"], found["Restarts"]) == (ready, word, restarts)


def test_a_pod_that_has_ended_says_so_of_its_row() -> None:
    (row,) = table("pods", pod(phase="Failed"))["rows"]
    assert [(one["type"], one["reason"]) for one in row["conditions"]] == [("Completed", "Failed")]
    assert "conditions" not in table("pods", pod())["rows"][0]


def metric(kind: str, **target: Any) -> Json:
    field = f"{kind[0].lower()}{kind[1:]}"
    return {"type": kind, field: {"name": "cpu", "target": target, "metric": {"name": "m"}}}


SCALER = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3}
CASES: list[tuple[str, Json, Json]] = [
    ("serviceaccounts", {"secrets": [{}]}, {"Secrets": 1}),
    (
        "resourcequotas",
        {"status": {"hard": {"limits.cpu": "2", "pods": "3", "cpu": "1"}, "used": {"pods": "1"}}},
        {"Request": "cpu: 0/1, pods: 1/3", "Limit": "limits.cpu: 0/2"},
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        {
            "spec": {
                **SCALER,
                "metrics": [
                    metric("Resource", averageUtilization=80),
                    metric("Pods", averageValue="5"),
                    metric("Object", value="9"),
                ],
            },
            "status": {
                "currentMetrics": [{"resource": {"current": {"averageUtilization": 7}}}],
                "currentReplicas": 2,
            },
        },
        {
            "Reference": "Deployment/d",
            "Targets": "cpu: 7%/80%, <unknown>/5 + 1 more...",
            "MinPods": "<unset>",
            "MaxPods": 3,
            "Replicas": 2,
        },
    ),
    (
        "poddisruptionbudgets.policy",
        {"spec": {"minAvailable": 1}},
        {"Min Available": "1", "Max Unavailable": "N/A", "Allowed Disruptions": 0},
    ),
    (
        "persistentvolumeclaims",
        {"spec": {}, "status": {"phase": "Pending", "capacity": {"storage": "1"}}},
        {"Status": "Pending", "Capacity": ""},
    ),
    (
        "persistentvolumes",
        {
            "metadata": {"deletionTimestamp": SINCE},
            "spec": {"accessModes": ["ReadWriteMany", "ReadWriteOnce", "Odd"]},
        },
        {"Status": "Terminating", "Capacity": "0", "Access Modes": "RWO,RWX"},
    ),
    (
        "storageclasses.storage.k8s.io",
        {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}},
        {"Name": "x (default)", "AllowVolumeExpansion": False},
    ),
    (
        "ingresses.networking.k8s.io",
        {"spec": {"rules": [{"host": one} for one in "abcd"]}},
        {"Hosts": "a,b,c + 1 more...", "Class": "<none>"},
    ),
    (
        "ingressclasses.networking.k8s.io",
        {"spec": {"parameters": {"kind": "K", "apiGroup": "a.b", "name": "n"}}},
        {"Parameters": "K.a.b/n"},
    ),
    (
        "networkpolicies.networking.k8s.io",
        {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}},
        {"Pod-Selector": "a"},
    ),
    (
        "endpointslices.discovery.k8s.io",
        {"endpoints": [{"addresses": list("abcd")}], "ports": [{"name": "p"}]},
        {"Ports": "p", "Endpoints": "a,b,c + 1 more..."},
    ),
    (
        "endpointslices.discovery.k8s.io",
        {"endpoints": None, "ports": None},
        {"Ports": "<unset>", "Endpoints": "<unset>"},
    ),
    (
        "events",
        {
            "involvedObject": {"kind": "Node"},
            "source": {"component": "c", "host": "h"},
            "message": " m ",
            "series": {"count": 4},
        },
        {"Object": "node", "Source": "c, h", "Message": "m", "Count": 4},
    ),
    (
        "certificatesigningrequests.certificates.k8s.io",
        {
            "spec": {"expirationSeconds": 86400},
            "status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}]},
        },
        {"RequestedDuration": "24h", "Condition": "Approved,Failed"},
    ),
    (
        "validatingadmissionpolicies.admissionregistration.k8s.io",
        {"spec": {"validations": [{}, {}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}},
        {"Validations": 2, "ParamKind": "v1/ConfigMap"},
    ),
    (
        "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        {"spec": {"policyName": "p", "paramRef": {"name": "a"}}},
        {"PolicyName": "p", "ParamRef": "*/a"},
    ),
    ("mutatingwebhookconfigurations.admissionregistration.k8s.io", {"webhooks": [{}]}, {"Webhooks": 1}),
    (
        "flowschemas.flowcontrol.apiserver.k8s.io",
        {"spec": {"matchingPrecedence": 5}},
        {"MatchingPrecedence": 5, "DistinguisherMethod": "<none>", "MissingPL": "?"},
    ),
    ("csinodes.storage.k8s.io", {"spec": {"drivers": None}}, {"Drivers": 0}),
    (
        "csidrivers.storage.k8s.io",
        {"spec": {}},
        {"AttachRequired": True, "TokenRequests": "<unset>", "Modes": "<none>"},
    ),
    (
        "volumeattachments.storage.k8s.io",
        {"spec": {"attacher": "a", "source": {}}},
        {"Attacher": "a", "PV": "", "Attached": False},
    ),
    (
        "resourceclaims.resource.k8s.io",
        {"status": {"allocation": {"a": 1}, "reservedFor": [{}]}},
        {"State": "allocated,reserved"},
    ),
    (
        "ipaddresses.networking.k8s.io",
        {"spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}},
        {"ParentRef": "services/n/s"},
    ),
    (
        "apiservices.apiregistration.k8s.io",
        {"spec": {}, "status": {"conditions": [{"type": "Available", "status": "True"}]}},
        {"Service": "Local", "Available": "True"},
    ),
    (
        "controllerrevisions.apps",
        {
            "revision": 3,
            "metadata": {
                "ownerReferences": [
                    {"kind": "DaemonSet", "apiVersion": "apps/v1", "name": "d", "controller": True}
                ]
            },
        },
        {"Controller": "daemonset.apps/d", "Revision": 3},
    ),
    ("limitranges", {}, {"Name": "x"}),
]


@pytest.mark.parametrize(("name", "document", "expected"), CASES, ids=range(len(CASES)))
def test_what_stands_in_the_cells(name: str, document: Json, expected: Json) -> None:
    found = cells(name, document)
    assert {key: found[key] for key in expected} == expected


def test_what_is_not_printed_specially_has_its_time_of_creation() -> None:
    for name in (
        "roles.rbac.authorization.k8s.io",
        "limitranges",
        "customresourcedefinitions.apiextensions.k8s.io",
    ):
        found = table(name, {})
        assert [(one["name"], one["type"]) for one in found["columnDefinitions"]] == [
            ("Name", "string"),
            ("Created At", "date"),
        ]
        assert found["rows"][0]["cells"] == ["x", SINCE]
