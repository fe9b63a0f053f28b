"""Pods are refused for the reasons and fields that Kubernetes names, all of them at once."""

from collections.abc import Callable
from typing import Any

import pytest

from proa.controlplane.registry.validation import RULES
from proa.controlplane.schema import definitions

Json = dict[str, Any]
Causes = Callable[..., list[str]]
MAIN: Json = {"name": "m", "image": "i"}


def pod(container: Json | None = None, **spec: Any) -> Json:
    return {"spec": {"containers": [{**MAIN, **(container or {})}], **spec}}


def affinity(**node: Any) -> Json:
    return pod(affinity={"nodeAffinity": node})


def spread(**constraint: Any) -> Json:
    usual = {"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}
    return pod(topologySpreadConstraints=[{**usual, **constraint}])


LONG = "x" * 64
C = "spec.containers[0]"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
CASES: list[tuple[Json, list[str]]] = [
    ({}, ["Required spec.containers"]),
    (pod(), []),
    (pod({"name": ""}), [f"Required {C}.name"]),
    (pod({"name": "A_"}), [f"Invalid {C}.name"]),
    (pod({"name": LONG + "_"}), [f"Invalid {C}.name", f"Invalid {C}.name"]),
    (pod({"image": " i"}), [f"Invalid {C}.image"]),
    (pod({"image": ""}), [f"Required {C}.image"]),
    (pod({"imagePullPolicy": "Sometimes"}), [f"NotSupported {C}.imagePullPolicy"]),
    (pod({"terminationMessagePolicy": "Log"}), [f"NotSupported {C}.terminationMessagePolicy"]),
    (pod({"ports": [{}]}), [f"Required {C}.ports[0].containerPort"]),
    (pod({"ports": [{"containerPort": 0}]}), [f"Required {C}.ports[0].containerPort"]),
    (
        pod({"ports": [{"containerPort": 70000, "hostPort": -1, "protocol": "HTTP", "name": "A--b"}]}),
        [
            f"Invalid {C}.ports[0].containerPort",
            f"Invalid {C}.ports[0].hostPort",
            f"Invalid {C}.ports[0].name",
            f"Invalid {C}.ports[0].name",
            f"NotSupported {C}.ports[0].protocol",
        ],
    ),
    (
        pod({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]}),
        [f"Duplicate {C}.ports[1].name"],
    ),
    (
        pod({"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]}),
        [f"Duplicate {C}.ports[1].hostPort"],
    ),
    (
        pod({"ports": [{"containerPort": 1, "hostPort": 9}]}, hostNetwork=True),
        [f"Invalid {C}.ports[0].hostPort"],
    ),
    (pod({"env": [{}, {"name": "a=b"}]}), [f"Invalid {C}.env[1].name", f"Required {C}.env[0].name"]),
    (pod({"env": [{"name": "1a b"}]}), []),
    (pod({"env": [{"name": "A", "valueFrom": {}}]}), [f"Invalid {C}.env[0].valueFrom"]),
    (
        pod(
            {"env": [{"name": "A", "value": "x", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]}
        ),
        [f"Invalid {C}.env[0].valueFrom"],
    ),
    (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nope"}}}]}),
        [f"Invalid {C}.env[0].valueFrom.fieldRef.fieldPath"],
    ),
    (
        pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
        [f"NotSupported {C}.env[0].valueFrom.fieldRef.fieldPath"],
    ),
    (pod({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['a']"}}}]}), []),
    (
        pod({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.gpu"}}}]}),
        [f"NotSupported {C}.env[0].valueFrom.resourceFieldRef.resource"],
    ),
    (
        pod({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s"}}}]}),
        [f"Required {C}.env[0].valueFrom.secretKeyRef.key"],
    ),
    (
        pod({"env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "S", "key": ".."}}}]}),
        [
            f"Invalid {C}.env[0].valueFrom.configMapKeyRef.key",
            f"Invalid {C}.env[0].valueFrom.configMapKeyRef.name",
        ],
    ),
    (pod({"envFrom": [{}]}), [f"Invalid {C}.envFrom"]),
    (pod({"envFrom": [{"secretRef": {}}]}), [f"Required {C}.envFrom[0].secretRef.name"]),
    (
        pod({"volumeMounts": [{}]}),
        [
            f"NotFound {C}.volumeMounts[0].name",
            f"Required {C}.volumeMounts[0].mountPath",
            f"Required {C}.volumeMounts[0].name",
        ],
    ),
    (
        pod(
            {
                "volumeMounts": [
                    {"name": "v", "mountPath": "/a", "subPath": "../b"},
                    {"name": "v", "mountPath": "/a"},
                ]
            },
            volumes=[{"name": "v"}],
        ),
        [f"Invalid {C}.volumeMounts.subPath", f"Invalid {C}.volumeMounts[1].mountPath"],
    ),
    (
        pod(
            {"volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]},
            volumes=[{"name": "v"}],
        ),
        [f"Forbidden {C}.volumeMounts.mountPropagation"],
    ),
    (
        pod({"volumeDevices": [{"name": "v", "devicePath": "/a/.."}]}, volumes=[{"name": "v"}]),
        [f"Invalid {C}.volumeDevices[0].devicePath", f"Invalid {C}.volumeDevices[0].name"],
    ),
    (
        pod({"resources": {"requests": {"cpu": "-1", "gpu": "1"}}}),
        [
            f"Invalid {C}.resources.requests[cpu]",
            f"Invalid {C}.resources.requests[gpu]",
            f"Invalid {C}.resources.requests[gpu]",
        ],
    ),
    (pod({"resources": {"requests": {"a.test/gpu": "1"}}}), [f"Required {C}.resources.limits"]),
    (
        pod({"resources": {"limits": {"a.test/gpu": "500m"}}}),
        [f"Invalid {C}.resources.{one}[a.test/gpu]" for one in ("limits", "requests")],
    ),
    (pod({"resources": {"limits": {"hugepages-2Mi": "2Mi"}}}), [f"Forbidden {C}.resources"]),
    (
        pod({"resources": {"requests": {"memory": "2"}, "limits": {"memory": "1"}}}),
        [f"Invalid {C}.resources.requests"],
    ),
    (pod({"resources": {"claims": [{"name": "c"}]}}), [f"NotFound {C}.resources.claims[0]"]),
    (
        pod({"resizePolicy": [{"resourceName": "gpu", "restartPolicy": "No"}]}),
        [f"NotSupported {C}.resizePolicy"] * 2,
    ),
    (pod({"livenessProbe": {}}), [f"Required {C}.livenessProbe"]),
    (
        pod(
            {
                "livenessProbe": {
                    "exec": {},
                    "httpGet": {"port": 0},
                    "successThreshold": 2,
                    "periodSeconds": -1,
                }
            }
        ),
        [
            f"Forbidden {C}.livenessProbe.httpGet",
            f"Invalid {C}.livenessProbe.periodSeconds",
            f"Invalid {C}.livenessProbe.successThreshold",
            f"Required {C}.livenessProbe.exec.command",
        ],
    ),
    (
        pod(
            {
                "readinessProbe": {
                    "httpGet": {"port": "Web", "scheme": "FTP"},
                    "terminationGracePeriodSeconds": 1,
                }
            }
        ),
        [
            f"Invalid {C}.readinessProbe.httpGet.port",
            f"Invalid {C}.readinessProbe.terminationGracePeriodSeconds",
            f"NotSupported {C}.readinessProbe.httpGet.scheme",
        ],
    ),
    (pod({"startupProbe": {"tcpSocket": {"port": 0}}}), [f"Invalid {C}.startupProbe.tcpSocket.port"]),
    (pod({"lifecycle": {"preStop": {"sleep": {"seconds": 99}}}}), [f"Invalid {C}.lifecycle.preStop.sleep"]),
    (pod({"lifecycle": {"preStop": {}}}), [f"Required {C}.lifecycle.preStop"]),
    (pod({"securityContext": {"runAsUser": -1}}), [f"Invalid {C}.securityContext.runAsUser"]),
    (
        pod({"securityContext": {"allowPrivilegeEscalation": False, "privileged": True}}),
        [f"Invalid {C}.securityContext"],
    ),
    (pod({"securityContext": {"procMount": "Unmasked"}}), [f"Invalid {C}.securityContext.procMount"]),
    (
        pod({"securityContext": {"seccompProfile": {"type": "Localhost"}}}),
        [f"Required {C}.securityContext.seccompProfile.localhostProfile"],
    ),
    (
        pod({"securityContext": {"appArmorProfile": {"type": "X"}}}),
        [f"NotSupported {C}.securityContext.appArmorProfile.type"],
    ),
    (pod(initContainers=[MAIN]), ["Duplicate spec.initContainers[0].name"]),
    (
        pod(initContainers=[{"name": "a", "image": "i", "livenessProbe": {}, "lifecycle": {}}]),
        ["Forbidden spec.initContainers[0].lifecycle", "Forbidden spec.initContainers[0].livenessProbe"],
    ),
    (pod(ephemeralContainers=[{"name": "a", "image": "i"}]), ["Forbidden spec.ephemeralContainers"]),
    (pod(restartPolicy="Sometimes"), ["NotSupported spec.restartPolicy"]),
    (pod(dnsPolicy="Mine"), ["NotSupported spec.dnsPolicy"]),
    (pod(dnsPolicy="None"), ["Required spec.dnsConfig"]),
    (pod(dnsPolicy="None", dnsConfig={"searches": ["a"]}), ["Required spec.dnsConfig.nameservers"]),
    (
        pod(dnsConfig={"nameservers": ["x"], "searches": ["_a.b", "B"], "options": [{}]}),
        [
            "Invalid spec.dnsConfig.nameservers[0]",
            "Invalid spec.dnsConfig.searches[1]",
            "Required spec.dnsConfig.options[0]",
        ],
    ),
    (pod(activeDeadlineSeconds=0), ["Invalid spec.activeDeadlineSeconds"]),
    (pod(terminationGracePeriodSeconds=-1), []),
    (pod(hostname="A.b", subdomain="a.b"), ["Invalid spec.hostname", "Invalid spec.subdomain"]),
    (pod(nodeName="A"), ["Invalid spec.nodeName"]),
    (pod(nodeSelector={"a b": "c d"}), ["Invalid spec.nodeSelector"] * 2),
    (pod(serviceAccountName="A"), ["Invalid spec.serviceAccountName"]),
    (pod(priorityClassName="A"), ["Invalid spec.priorityClassName"]),
    (pod(runtimeClassName="A"), ["Invalid spec.runtimeClassName"]),
    (pod(preemptionPolicy="A"), ["NotSupported spec.preemptionPolicy"]),
    (
        pod(hostAliases=[{"ip": "x", "hostnames": ["a_"]}]),
        ["Invalid spec.hostAliases[0].hostnames[0]", "Invalid spec.hostAliases[0].ip"],
    ),
    (pod(os={"name": "plan9"}), ["NotSupported spec.os"]),
    (
        pod({"securityContext": {"runAsUser": 1}}, os={"name": "windows"}),
        [f"Forbidden {C}.securityContext.runAsUser"],
    ),
    (pod(securityContext={"sysctls": [{"name": "a b"}]}), ["Invalid spec.securityContext.sysctls[0].name"]),
    (
        pod(securityContext={"supplementalGroups": [-1]}),
        ["Invalid spec.securityContext.supplementalGroups[0]"],
    ),
    (
        pod(securityContext={"fsGroupChangePolicy": "No"}),
        ["NotSupported spec.securityContext.fsGroupChangePolicy"],
    ),
    (pod(shareProcessNamespace=True, hostPID=True), ["Invalid spec.securityContext.shareProcessNamespace"]),
    (pod(hostUsers=False, hostNetwork=True), ["Forbidden spec.hostNetwork"]),
    (pod(schedulingGates=[{"name": "a/b"}, {"name": "a/b"}]), ["Duplicate spec.schedulingGates[1]"]),
    (pod(nodeName="n", schedulingGates=[{"name": "a/b"}]), ["Forbidden spec.nodeName"]),
    (pod(readinessGates=[{}]), ["Invalid spec.readinessGates[0].conditionType"] * 2),
    (pod(overhead={"gpu": "1"}), ["Invalid spec.overhead.limits[gpu]"] * 2),
    (pod(resourceClaims=[{"name": "a"}]), ["Invalid spec.resourceClaims[0]"]),
    (pod(tolerations=[{"operator": "Exists", "value": "x"}]), ["Invalid spec.tolerations[0].operator"]),
    (
        pod(tolerations=[{"tolerationSeconds": 1, "effect": "Never"}]),
        [
            "Invalid spec.tolerations[0].effect",
            "Invalid spec.tolerations[0].operator",
            "NotSupported spec.tolerations[0].effect",
        ],
    ),
    (spread(maxSkew=0), ["Invalid spec.topologySpreadConstraints[0].maxSkew"]),
    (
        spread(whenUnsatisfiable="x", topologyKey="", minDomains=0),
        [
            "Invalid spec.topologySpreadConstraints[0].minDomains",
            "Invalid spec.topologySpreadConstraints[0].minDomains",
            "NotSupported spec.topologySpreadConstraints[0].whenUnsatisfiable",
            "Required spec.topologySpreadConstraints[0].topologyKey",
        ],
    ),
    (spread(matchLabelKeys=["a"]), ["Forbidden spec.topologySpreadConstraints[0].matchLabelKeys"]),
    (
        affinity(requiredDuringSchedulingIgnoredDuringExecution={"nodeSelectorTerms": []}),
        [
            f"Required spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms",
        ],
    ),
    (
        affinity(
            preferredDuringSchedulingIgnoredDuringExecution=[
                {"weight": 0, "preference": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}
            ]
        ),
        [
            f"Invalid spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].operator",
            f"Invalid spec.affinity.nodeAffinity.{PREFERRED}[0].weight",
        ],
    ),
    (
        pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
        [
            f"Invalid spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
            f"Invalid spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
            f"Required spec.affinity.podAffinity.{REQUIRED}[0].topologyKey",
        ],
    ),
    (pod(volumes=[{}]), ["Required spec.volumes[0].name"]),
    (pod(volumes=[{"name": "a"}, {"name": "a"}]), ["Duplicate spec.volumes[1].name"]),
    (
        pod(volumes=[{"name": "a", "emptyDir": {}, "nfs": {}, "secret": {}}]),
        ["Forbidden spec.volumes[0].nfs", "Forbidden spec.volumes[0].secret"],
    ),
    (
        pod({"volumeMounts": [{"name": "a", "mountPath": "/a"}]}, volumes=[{"name": "a", "secret": {}}]),
        [f"NotFound {C}.volumeMounts[0].name", "Required spec.volumes[0].secret.secretName"],
    ),
    (
        pod(volumes=[{"name": "a", "hostPath": {"path": "/a/..", "type": "Tape"}}]),
        ["Invalid spec.volumes[0].hostPath.path", "NotSupported spec.volumes[0].hostPath.type"],
    ),
    (
        pod(volumes=[{"name": "a", "configMap": {"defaultMode": 512, "items": [{"path": "/x"}]}}]),
        [
            "Invalid spec.volumes[0].configMap.defaultMode",
            "Invalid spec.volumes[0].configMap.items[0].path",
            "Required spec.volumes[0].configMap.items[0].key",
            "Required spec.volumes[0].configMap.name",
        ],
    ),
    (
        pod(volumes=[{"name": "a", "downwardAPI": {"items": [{"path": "p"}]}}]),
        ["Required spec.volumes[0].downwardAPI"],
    ),
    (
        pod(
            volumes=[
                {"name": "a", "projected": {"sources": [{"serviceAccountToken": {"expirationSeconds": 1}}]}}
            ]
        ),
        [
            "Forbidden spec.volumes[0].projected.sources[0].serviceAccountToken",
            "Invalid spec.volumes[0].projected.sources[0].serviceAccountToken.expirationSeconds",
            "Required spec.volumes[0].projected.path",
        ],
    ),
    (
        pod(volumes=[{"name": "a", "csi": {}}]),
        ["Invalid spec.volumes[0].csi.driver", "Required spec.volumes[0].csi.driver"],
    ),
    (
        pod(volumes=[{"name": "a", "iscsi": {"lun": 300}}]),
        [
            "Invalid spec.volumes[0].iscsi.lun",
            "Required spec.volumes[0].iscsi.iqn",
            "Required spec.volumes[0].iscsi.targetPortal",
        ],
    ),
    (
        {"metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "+1"}}, **pod()},
        ["Invalid metadata.annotations[controller.kubernetes.io/pod-deletion-cost]"],
    ),
]


@pytest.mark.parametrize(("document", "expected"), CASES, ids=range(len(CASES)))
def test_a_new_pod_is_refused_for_all_that_is_wrong(
    created: Causes, document: Json, expected: list[str]
) -> None:
    assert created("pods", document) == sorted(expected)


GATED = pod(schedulingGates=[{"name": "a/b"}], nodeSelector={"a": "b"})
TOLERANT = pod(tolerations=[{"key": "a", "operator": "Exists"}])
CHANGES: list[tuple[Json, Json, list[str]]] = [
    (pod(), pod({"image": "j"}), []),
    (pod(), pod({"image": " j"}), [f"Invalid {C}.image"] * 2),
    (pod(), pod({"command": ["x"]}), ["Forbidden spec"]),
    (pod(), {"spec": {"containers": [MAIN, {"name": "n", "image": "i"}]}}, ["Forbidden spec.containers"]),
    (pod(), pod(activeDeadlineSeconds=5), []),
    (pod(activeDeadlineSeconds=5), pod(activeDeadlineSeconds=6), ["Invalid spec.activeDeadlineSeconds"]),
    (pod(activeDeadlineSeconds=5), pod(), ["Invalid spec.activeDeadlineSeconds"]),
    (pod(terminationGracePeriodSeconds=-1), pod(terminationGracePeriodSeconds=1), []),
    (pod(), pod(terminationGracePeriodSeconds=5), ["Forbidden spec"]),
    (TOLERANT, pod(), ["Forbidden spec.tolerations"]),
    (pod(), pod(schedulingGates=[{"name": "a/b"}]), ["Forbidden spec.schedulingGates[0].name"]),
    (GATED, pod(nodeSelector={"a": "b", "c": "d"}), []),
    (GATED, pod(schedulingGates=[{"name": "a/b"}], nodeSelector={"a": "c"}), ["Invalid spec.nodeSelector"]),
    (pod(), pod(nodeSelector={"a": "c"}), ["Forbidden spec"]),
]


@pytest.mark.parametrize(("before", "after", "expected"), CHANGES, ids=range(len(CHANGES)))
def test_what_of_a_pod_stays(updated: Causes, before: Json, after: Json, expected: list[str]) -> None:
    after["spec"].setdefault("priority", 0)
    after["spec"].setdefault("preemptionPolicy", "PreemptLowerPriority")
    usual = [
        {
            "key": f"node.kubernetes.io/{key}",
            "operator": "Exists",
            "effect": "NoExecute",
            "tolerationSeconds": 300,
        }
        for key in ("not-ready", "unreachable")
    ]
    after["spec"]["tolerations"] = [*after["spec"].get("tolerations", ()), *usual]
    assert updated("pods", before, after) == expected


STATUSES: list[tuple[Json, list[str]]] = [
    ({"qosClass": "BestEffort", "phase": "Running"}, []),
    ({"qosClass": "Guaranteed"}, ["Invalid status.qosClass"]),
    ({"qosClass": "BestEffort", "podIPs": [{"ip": "x"}]}, ["Invalid status.podIPs[0]"]),
    (
        {"qosClass": "BestEffort", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
        ["Duplicate status.podIPs[1]", "Invalid status.podIPs"],
    ),
    (
        {"qosClass": "BestEffort", "hostIP": "10.0.0.2", "hostIPs": [{"ip": "10.0.0.1"}]},
        ["Invalid status.hostIPs[0].ip"],
    ),
    ({"qosClass": "BestEffort", "nominatedNodeName": "A"}, ["Invalid status.nominatedNodeName"]),
    (
        {"qosClass": "BestEffort", "conditions": [{"type": "a b", "status": "True"}]},
        ["Invalid metadata.conditions[0].Type"],
    ),
]


@pytest.mark.parametrize(("status", "expected"), STATUSES, ids=range(len(STATUSES)))
def test_a_status_fits_its_pod(updated: Causes, status: Json, expected: list[str]) -> None:
    assert updated("pods", pod(), {"status": status}, "status") == expected


LIMITED = pod({"resources": {"limits": {"cpu": "1", "memory": "1Gi"}}})
BURSTING = pod({"resources": {"requests": {"cpu": "1"}}})


def test_only_processor_and_memory_are_resized(updated: Causes) -> None:
    more = pod({"resources": {"limits": {"cpu": "2", "memory": "1Gi"}}})
    assert updated("pods", LIMITED, more, "resize") == []
    limited = pod({"resources": {"requests": {"cpu": "1"}, "limits": {"memory": "1Gi"}}})
    assert updated("pods", BURSTING, limited, "resize") == [f"Forbidden {C}.resources.limits[memory]"]
    assert updated("pods", BURSTING, pod(), "resize") == [f"Forbidden {C}.resources.requests", "Invalid spec"]


def test_ephemeral_containers_are_only_added(updated: Causes) -> None:
    debug = {"name": "d", "image": "i", "targetContainerName": "m"}
    assert updated("pods", pod(), pod(ephemeralContainers=[debug]), "ephemeralcontainers") == []
    at = "spec.ephemeralContainers[0]"
    wrong = {"name": "m", "image": "i", "ports": [{"containerPort": 1}], "targetContainerName": "n"}
    assert updated("pods", pod(), pod(ephemeralContainers=[wrong]), "ephemeralcontainers") == [
        f"Duplicate {at}.name",
        f"Forbidden {at}.ports",
        f"NotFound {at}.targetContainerName",
    ]


def test_every_rule_is_about_a_field_that_there_is() -> None:
    for name, rules in RULES.items():
        assert {field for field in rules if field} <= definitions()[name]["properties"].keys(), name
