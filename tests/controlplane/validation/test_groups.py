"""Objects of all groups are refused for the reasons and fields that Kubernetes names, all of them at once."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

Json = dict[str, Any]
Causes = Callable[..., list[str]]


def named(name: str, document: Json | None = None) -> Json:
    return {"metadata": {"name": name}, **(document or {})}


def service(port: Json | None = None, **spec: Any) -> Json:
    return {"spec": {"ports": [{"port": 80, **(port or {})}], **spec}}


def data(**values: str) -> Json:
    encoded = {
        key.replace("_", "."): base64.b64encode(text.encode()).decode() for key, text in values.items()
    }
    return {"data": encoded}


def secret(kind: str, **values: str) -> Json:
    return {"type": f"kubernetes.io/{kind}", **data(**values)}


def volume(**spec: Any) -> Json:
    usual = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1"}, "hostPath": {"path": "/a"}}
    return {"spec": {k: v for k, v in {**usual, **spec}.items() if v is not None}}


def claim(**spec: Any) -> Json:
    usual = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}
    return {"spec": {**usual, **spec}}


def ingress(path: Json | None = None, **rule: Any) -> Json:
    backend = {"service": {"name": "s", "port": {"number": 1}}}
    one = {"path": "/", "pathType": "Prefix", "backend": backend, **(path or {})}
    return {"spec": {"rules": [{"http": {"paths": [one]}, **rule}]}}


def policy(peer: Json, **port: Any) -> Json:
    return {"spec": {"podSelector": {}, "ingress": [{"from": [peer], "ports": [port] if port else []}]}}


def scaler(*metrics: Json, **spec: Any) -> Json:
    usual = {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3}
    return {"spec": {**usual, **spec, **({"metrics": list(metrics)} if metrics else {})}}


def hook(**changes: Any) -> Json:
    usual = {
        "name": "a.b.c",
        "clientConfig": {"url": "https://a/b"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "rules": [
            {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        ],
    }
    return {"webhooks": [{**usual, **changes}]}


def slice_of(kind: str, *addresses: str, **more: Any) -> Json:
    return {"addressType": kind, "endpoints": [{"addresses": list(addresses), **more}]}


REQUEST = base64.b64encode(b"-----BEGIN CERTIFICATE REQUEST-----").decode()
P, PATH, METRIC, HOOK = "spec.ports[0]", "spec.rules[0].http.paths[0]", "spec.metrics[0]", "webhooks[0]"
RBAC = "rbac.authorization.k8s.io"
ROLE = {"kind": "Role", "name": "r"}


def flow(*rules: Json, **spec: Any) -> Json:
    usual = {"priorityLevelConfiguration": {"name": "l"}, "matchingPrecedence": 5}
    return {"spec": {**usual, "rules": list(rules), **spec}}


def flow_rule(subject: Json | None = None, url: str = "/a/*", **rule: Any) -> Json:
    resource = {"verbs": ["get"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["a"], **rule}
    return {
        "subjects": [subject or {"kind": "User", "user": {"name": "u"}}],
        "resourceRules": [resource],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": [url]}],
    }


def queue(**queuing: Any) -> Json:
    response = {"type": "Queue", "queuing": queuing}
    return {"spec": {"type": "Limited", "limited": {"limitResponse": response}}}


def service_of(**spec: Any) -> Json:
    usual = {"group": "a.b", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    return {"metadata": {"name": "v1.a.b"}, "spec": {**usual, **spec}}


FLOW, LEVEL = (
    "flowschemas.flowcontrol.apiserver.k8s.io",
    "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
)
API, RULE = "apiservices.apiregistration.k8s.io", "spec.rules[0]"
QUEUING = "spec.limited.limitResponse.queuing"
CASES: list[tuple[str, Json, list[str]]] = [
    # flow control
    (FLOW, flow(flow_rule()), []),
    (FLOW, flow(matchingPrecedence=1), ["Invalid spec.matchingPrecedence"]),
    (FLOW, flow(flow_rule({"kind": "Odd"})), [f"NotSupported {RULE}.subjects[0].kind"]),
    (
        FLOW,
        flow(flow_rule({"kind": "Group", "user": {"name": "u"}})),
        [f"Forbidden {RULE}.subjects[0].user", f"Required {RULE}.subjects[0].group"],
    ),
    (
        FLOW,
        flow(flow_rule({"kind": "ServiceAccount", "serviceAccount": {"name": "A_"}})),
        [
            f"Invalid {RULE}.subjects[0].serviceAccount.name",
            f"Required {RULE}.subjects[0].serviceAccount.namespace",
        ],
    ),
    (FLOW, flow(flow_rule(url="a b")), [f"Invalid {RULE}.nonResourceRules[0].nonResourceURLs[0]"]),
    (
        FLOW,
        flow(flow_rule(verbs=["*", "get"], apiGroups=[], namespaces=["A_"])),
        [
            f"Invalid {RULE}.resourceRules[0].verbs",
            f"Required {RULE}.resourceRules[0].apiGroups",
            f"Invalid {RULE}.resourceRules[0].namespaces[0]",
        ],
    ),
    (FLOW, flow(flow_rule(verbs=["odd"])), [f"NotSupported {RULE}.resourceRules[0].verbs"]),
    (LEVEL, queue(queues=64, handSize=8, queueLengthLimit=50), []),
    (LEVEL, queue(queues=4, handSize=8), [f"Invalid {QUEUING}.handSize"]),
    (LEVEL, queue(queues=2048, handSize=12), [f"Invalid {QUEUING}.handSize"]),
    (
        LEVEL,
        {"spec": {"type": "Limited", "limited": {"lendablePercent": 101, "limitResponse": {"type": "Odd"}}}},
        ["Invalid spec.limited.lendablePercent", "NotSupported spec.limited.limitResponse.type"],
    ),
    (LEVEL, {"spec": {"type": "Exempt"}}, ["Invalid spec.type"]),
    # API services
    (API, service_of(), []),
    (API, {**service_of(), "metadata": {"name": "x"}}, ["Invalid metadata.name"]),
    (
        API,
        service_of(groupPriorityMinimum=0, versionPriority=1001, insecureSkipTLSVerify=True),
        [
            "Invalid spec.groupPriorityMinimum",
            "Invalid spec.versionPriority",
            "Invalid spec.insecureSkipTLSVerify",
        ],
    ),
    (
        API,
        service_of(service={"port": 0}),
        ["Required spec.service.name", "Required spec.service.namespace", "Invalid spec.service.port"],
    ),
    (
        "csistoragecapacities.storage.k8s.io",
        {"storageClassName": "a", "capacity": "-1", "maximumVolumeSize": "-1"},
        ["Invalid capacity", "Invalid maximumVolumeSize"],
    ),
    (
        "endpointslices.discovery.k8s.io",
        slice_of("IPv4", "1.2.3.4", hints={"forNodes": [{"name": "A_"}]}),
        ["Invalid endpoints[0].hints.forNodes[0].name"],
    ),
    # metadata
    ("configmaps", named("A"), ["Invalid metadata.name"]),
    ("configmaps", named("a" * 254), ["Invalid metadata.name"]),
    ("configmaps", named("a" * 253 + "_"), ["Invalid metadata.name"] * 2),
    ("namespaces", named("a.b"), ["Invalid metadata.name"]),
    ("services", named("1a", service()), ["Invalid metadata.name"]),
    (f"roles.{RBAC}", named("a/b"), ["Invalid metadata.name"]),
    (f"roles.{RBAC}", named("system:A"), []),
    (f"roles.{RBAC}", named(".."), ["Invalid metadata.name"]),
    ("poddisruptionbudgets.policy", named("A_b", {"spec": {}}), []),
    ("configmaps", {"metadata": {"labels": {"": "a b"}}}, ["Invalid metadata.labels"] * 3),
    ("configmaps", {"metadata": {"labels": {"a/b/c": "x"}}}, ["Invalid metadata.labels"]),
    ("configmaps", {"metadata": {"labels": {"-/-": "x" * 64}}}, ["Invalid metadata.labels"] * 3),
    (
        "configmaps",
        {"metadata": {"annotations": {"A.b/C": "x", "d e": "y"}}},
        ["Invalid metadata.annotations"],
    ),
    ("configmaps", {"metadata": {"annotations": {"a": "x" * 262144}}}, ["TooLong metadata.annotations"]),
    ("configmaps", {"metadata": {"finalizers": ["mine"]}}, ["Invalid metadata.finalizers[0]"]),
    (
        "configmaps",
        {"metadata": {"finalizers": ["a b"]}},
        ["Invalid metadata.finalizers", "Invalid metadata.finalizers[0]"],
    ),
    (
        "configmaps",
        {"metadata": {"finalizers": ["orphan", "foregroundDeletion"]}},
        ["Invalid metadata.finalizers"],
    ),
    ("leases.coordination.k8s.io", {"metadata": {"finalizers": ["mine"]}}, []),
    (
        "configmaps",
        {"metadata": {"ownerReferences": [{}]}},
        [f"Invalid metadata.ownerReferences.{f}" for f in ("apiVersion", "kind", "name", "uid")],
    ),
    (
        "configmaps",
        {
            "metadata": {
                "ownerReferences": [
                    {"apiVersion": "v1", "kind": "Pod", "name": n, "uid": n, "controller": True} for n in "ab"
                ]
            }
        },
        ["Invalid metadata.ownerReferences"],
    ),
    (
        "configmaps",
        {"metadata": {"ownerReferences": [{"apiVersion": "v1", "kind": "Event", "name": "n", "uid": "u"}]}},
        ["Invalid metadata.ownerReferences"],
    ),
    # core
    ("namespaces", {"spec": {"finalizers": ["mine"]}}, ["Invalid spec.finalizers"]),
    (
        "configmaps",
        {"data": {"..": "a", "b": "c"}, "binaryData": {"b": "YQ=="}},
        ["Invalid data[..]", "Invalid data[b]"],
    ),
    ("configmaps", {"data": {"a": "x" * 1048577}}, ["TooLong "]),
    ("secrets", data(a="x" * 1048577), ["TooLong data"]),
    ("secrets", secret("tls"), ["Required data[tls.crt]", "Required data[tls.key]"]),
    ("secrets", secret("dockerconfigjson", _dockerconfigjson="x"), ["Invalid data[.dockerconfigjson]"]),
    ("secrets", secret("dockercfg"), ["Required data[.dockercfg]"]),
    ("secrets", secret("basic-auth"), ["Required data[password]", "Required data[username]"]),
    ("secrets", secret("basic-auth", username="u"), []),
    ("secrets", secret("ssh-auth"), ["Required data[ssh-privatekey]"]),
    (
        "secrets",
        secret("service-account-token"),
        ["Required metadata.annotations[kubernetes.io/service-account.name]"],
    ),
    (
        "nodes",
        {"spec": {"taints": [{"key": "a", "value": "b c"}, {"effect": "Never"}]}},
        [
            "Invalid metadata.taints[0].value",
            "Required metadata.taints[0].effect",
            *["Invalid metadata.taints[1].key"] * 2,
            "NotSupported metadata.taints[1].effect",
        ],
    ),
    (
        "nodes",
        {"spec": {"podCIDRs": ["10.0.0.0/8", "x"]}},
        ["Invalid spec.podCIDRs", "Invalid spec.podCIDRs[1]"],
    ),
    (
        "nodes",
        {"status": {"capacity": {"pods": "1.5"}}},
        ["Invalid status.allocatable.pods", "Invalid status.capacity.pods"],
    ),
    (
        "resourcequotas",
        {"spec": {"hard": {"nope": "1", "pods": "-1"}}},
        ["Invalid spec.hard[nope]"] * 2 + ["Invalid spec.hard[pods]"],
    ),
    (
        "resourcequotas",
        {"spec": {"hard": {"secrets": "1"}, "scopes": ["BestEffort", "NotBestEffort"]}},
        ["Invalid spec.scopes"] * 3,
    ),
    (
        "limitranges",
        {"spec": {"limits": [{"type": "Container", "max": {"cpu": "1"}, "min": {"cpu": "2"}}]}},
        [
            "Invalid spec.limits[0].default[cpu]",
            "Invalid spec.limits[0].defaultRequest[cpu]",
            "Invalid spec.limits[0].min[cpu]",
        ],
    ),
    (
        "limitranges",
        {"spec": {"limits": [{"type": "Odd"}, {"type": "PersistentVolumeClaim"}]}},
        ["Invalid spec.limits[0].type", "Required spec.limits[1].limits"],
    ),
    ("events", {"involvedObject": {"namespace": "other"}}, ["Invalid involvedObject.namespace"]),
    # services
    ("services", service(), []),
    ("services", {"spec": {}}, ["Required spec.ports"]),
    (
        "services",
        service({"port": 0, "targetPort": "A_", "protocol": "X"}),
        [f"Invalid {P}.port", *[f"Invalid {P}.targetPort"] * 2, f"NotSupported {P}.protocol"],
    ),
    (
        "services",
        service(ports=[{"port": 1}, {"port": 1}]),
        ["Duplicate spec.ports[1]", "Required spec.ports[0].name", "Required spec.ports[1].name"],
    ),
    ("services", service({"nodePort": 30000}), [f"Forbidden {P}.nodePort"]),
    ("services", service(type="Odd"), ["NotSupported spec.type"]),
    ("services", service(type="ExternalName"), ["Required spec.externalName"]),
    (
        "services",
        service(type="ExternalName", externalName="A", clusterIP="10.0.0.1"),
        ["Forbidden spec.clusterIPs", "Invalid spec.externalName"],
    ),
    ("services", service(type="NodePort", clusterIP="None"), ["Invalid spec.clusterIPs[0]"]),
    ("services", service(clusterIP="x"), ["Invalid spec.clusterIPs[0]"]),
    ("services", service(sessionAffinity="Odd"), ["NotSupported spec.sessionAffinity"]),
    (
        "services",
        service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 0}}),
        ["Invalid spec.sessionAffinityConfig.clientIP.timeoutSeconds"],
    ),
    ("services", service(externalTrafficPolicy="Local"), ["Invalid spec.externalTrafficPolicy"]),
    (
        "services",
        service(type="NodePort", externalTrafficPolicy="Odd"),
        ["NotSupported spec.externalTrafficPolicy"],
    ),
    (
        "services",
        service(externalIPs=["127.0.0.1", "x"]),
        ["Invalid spec.externalIPs[0]", "Invalid spec.externalIPs[1]"],
    ),
    (
        "services",
        service(loadBalancerClass="a/b", loadBalancerSourceRanges=["x"]),
        [
            "Forbidden spec.LoadBalancerSourceRanges",
            "Forbidden spec.loadBalancerClass",
            "Invalid spec.LoadBalancerSourceRanges[0]",
        ],
    ),
    (
        "services",
        service(ipFamilies=["IPv5"], ipFamilyPolicy="Odd"),
        ["NotSupported spec.ipFamilies[0]", "NotSupported spec.ipFamilyPolicy"],
    ),
    (
        "services",
        service(selector={"a b": "c"}, trafficDistribution="Odd"),
        ["Invalid spec.selector", "NotSupported spec.trafficDistribution"],
    ),
    (
        "endpoints",
        {"subsets": [{"ports": [{"port": 1}, {"port": 0}]}]},
        [
            "Invalid subsets[0].ports[1].port",
            "Required subsets[0]",
            "Required subsets[0].ports[0].name",
            "Required subsets[0].ports[1].name",
        ],
    ),
    ("endpointslices.discovery.k8s.io", slice_of("", "10.0.0.1"), ["Required addressType"]),
    ("endpointslices.discovery.k8s.io", slice_of("IPv4", "x"), ["Invalid endpoints[0].addresses[0]"] * 2),
    ("endpointslices.discovery.k8s.io", slice_of("IPv4"), ["Required endpoints[0].addresses"]),
    (
        "endpointslices.discovery.k8s.io",
        slice_of("FQDN", "a", hostname="A"),
        ["Invalid endpoints[0].addresses[0]", "Invalid endpoints[0].hostname"],
    ),
    # storage
    ("persistentvolumes", volume(), []),
    (
        "persistentvolumes",
        volume(accessModes=["Odd"], capacity={"storage": "0"}),
        ["Invalid spec.capacity[storage]", "NotSupported spec.accessModes"],
    ),
    ("persistentvolumes", volume(capacity={"cpu": "1"}), ["NotSupported spec.capacity"]),
    ("persistentvolumes", volume(hostPath=None), ["Required spec"]),
    (
        "persistentvolumes",
        volume(nfs={}, local={}),
        ["Forbidden spec.local", "Forbidden spec.nfs", "Required spec.nodeAffinity"],
    ),
    (
        "persistentvolumes",
        volume(persistentVolumeReclaimPolicy="Keep"),
        ["NotSupported spec.persistentVolumeReclaimPolicy"],
    ),
    (
        "persistentvolumes",
        volume(hostPath=None, csi={"driver": "d", "nodePublishSecretRef": {}}),
        [
            *[f"Required spec.csi.nodePublishSecretRef.{f}" for f in ("name", "namespace")],
            "Required spec.csi.volumeHandle",
        ],
    ),
    (
        "persistentvolumeclaims",
        {"spec": {}},
        ["Required spec.accessModes", "Required spec.resources[storage]"],
    ),
    (
        "persistentvolumeclaims",
        claim(accessModes=["ReadWriteOncePod", "ReadWriteOnce"]),
        ["Forbidden spec.accessModes"],
    ),
    (
        "persistentvolumeclaims",
        claim(dataSource={"kind": "PersistentVolumeClaim", "name": ""}),
        ["Required spec.dataSource.name", "Required spec.dataSourceRef.name"],
    ),
    (
        "storageclasses.storage.k8s.io",
        {"provisioner": "a b", "parameters": {"": "x"}},
        ["Invalid parameters", "Invalid provisioner"],
    ),
    (
        "volumeattachments.storage.k8s.io",
        {"spec": {"source": {}}},
        [
            "Invalid spec.attacher",
            "Invalid spec.nodeName",
            "Required spec.attacher",
            "Required spec.attacher",
            "Required spec.source",
        ],
    ),
    (
        "csinodes.storage.k8s.io",
        {
            "spec": {
                "drivers": [
                    {"name": "d", "nodeID": "n", "topologyKeys": ["a", "a"]},
                    {"name": "d", "nodeID": ""},
                ]
            }
        },
        ["Duplicate spec.drivers[0]", "Duplicate spec.drivers[1].name", "Required spec.drivers[1].nodeID"],
    ),
    (
        "csidrivers.storage.k8s.io",
        {"spec": {"fsGroupPolicy": "Odd", "volumeLifecycleModes": ["Odd"]}},
        ["NotSupported spec.fsGroupPolicy", "NotSupported spec.volumeLifecycleModes"],
    ),
    # networking
    ("ingresses.networking.k8s.io", ingress(), []),
    ("ingresses.networking.k8s.io", {"spec": {}}, ["Invalid spec"]),
    ("ingresses.networking.k8s.io", ingress(host="1.2.3.4"), ["Invalid spec.rules[0].host"]),
    ("ingresses.networking.k8s.io", ingress(host="*.*"), ["Invalid spec.rules[0].host"]),
    ("ingresses.networking.k8s.io", ingress({"path": "a/../b//c/.."}), [f"Invalid {PATH}.path"] * 4),
    ("ingresses.networking.k8s.io", ingress({"pathType": "Odd"}), [f"NotSupported {PATH}.pathType"]),
    ("ingresses.networking.k8s.io", ingress({"backend": {}}), [f"Invalid {PATH}.backend"]),
    (
        "ingresses.networking.k8s.io",
        ingress({"backend": {"service": {}}}),
        [f"Required {PATH}.backend", f"Required {PATH}.backend.service.name"],
    ),
    (
        "ingressclasses.networking.k8s.io",
        {"spec": {"controller": "a", "parameters": {"scope": "Namespace"}}},
        [
            "Invalid spec.controller",
            *[f"Required spec.parameters.{f}" for f in ("kind", "name", "namespace")],
        ],
    ),
    ("networkpolicies.networking.k8s.io", policy({}), ["Required spec.ingress[0].from[0]"]),
    (
        "networkpolicies.networking.k8s.io",
        policy({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/9"]}}),
        ["Invalid spec.ingress[0].from[0].ipBlock.except[0]"],
    ),
    (
        "networkpolicies.networking.k8s.io",
        policy({"podSelector": {}, "ipBlock": {"cidr": "x"}}),
        ["Forbidden spec.ingress[0].from[0]", "Invalid spec.ingress[0].from[0].ipBlock.cidr"],
    ),
    (
        "networkpolicies.networking.k8s.io",
        policy({"podSelector": {}}, port=5, endPort=4),
        ["Invalid spec.ingress[0].ports[0].endPort"],
    ),
    (
        "ipaddresses.networking.k8s.io",
        named("010.0.0.1", {"spec": {}}),
        ["Invalid metadata.name", "Required spec.parentRef"],
    ),
    (
        "servicecidrs.networking.k8s.io",
        {"spec": {"cidrs": ["10.0.0.0/8", "11.0.0.0/8"]}},
        ["Invalid spec.cidrs"],
    ),
    # autoscaling
    ("horizontalpodautoscalers.autoscaling", scaler(), []),
    (
        "horizontalpodautoscalers.autoscaling",
        scaler(minReplicas=0),
        ["Forbidden spec.metrics", "Invalid spec.minReplicas"],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        scaler(maxReplicas=0, minReplicas=2),
        ["Invalid spec.maxReplicas"] * 2,
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        scaler(scaleTargetRef={}),
        ["Required spec.scaleTargetRef.kind", "Required spec.scaleTargetRef.name"],
    ),
    ("horizontalpodautoscalers.autoscaling", scaler({"type": "Mood"}), [f"NotSupported {METRIC}.type"] * 2),
    ("horizontalpodautoscalers.autoscaling", scaler({"type": "Pods"}), [f"Required {METRIC}.pods"]),
    (
        "horizontalpodautoscalers.autoscaling",
        scaler({"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}),
        [f"Required {METRIC}.resource.target.averageUtilization"],
    ),
    (
        "horizontalpodautoscalers.autoscaling",
        scaler(behavior={"scaleUp": {"policies": [{"type": "Odd", "value": 0, "periodSeconds": 9999}]}}),
        [
            "Invalid spec.behavior.scaleUp.policies[0].periodSeconds",
            "Invalid spec.behavior.scaleUp.policies[0].value",
            "NotSupported spec.behavior.scaleUp.policies[0].type",
        ],
    ),
    # the rest
    (
        "poddisruptionbudgets.policy",
        {"spec": {"minAvailable": "101%", "maxUnavailable": -1, "unhealthyPodEvictionPolicy": "X"}},
        [
            "Invalid spec",
            "Invalid spec.maxUnavailable",
            "Invalid spec.minAvailable",
            "NotSupported spec.unhealthyPodEvictionPolicy",
        ],
    ),
    (
        f"roles.{RBAC}",
        {"rules": [{"verbs": ["get"], "nonResourceURLs": ["/a"], "resources": ["b"]}]},
        ["Invalid rules[0].nonResourceURLs"] * 2,
    ),
    (
        f"clusterroles.{RBAC}",
        {"rules": [{}]},
        [f"Required rules[0].{f}" for f in ("apiGroups", "resources", "verbs")],
    ),
    (f"clusterroles.{RBAC}", {"aggregationRule": {}}, ["Required aggregationRule.clusterRoleSelectors"]),
    (f"clusterrolebindings.{RBAC}", {"roleRef": ROLE}, ["NotSupported roleRef.kind"]),
    (
        f"rolebindings.{RBAC}",
        {"roleRef": {}, "subjects": [{"kind": "User"}, {"kind": "Cat", "name": "c"}]},
        [
            "Invalid subjects[0].name",
            "NotSupported roleRef.kind",
            "NotSupported subjects[1].kind",
            "Required roleRef.name",
            "Required subjects[0].name",
        ],
    ),
    (
        f"clusterrolebindings.{RBAC}",
        {"roleRef": {**ROLE, "kind": "ClusterRole"}, "subjects": [{"kind": "ServiceAccount", "name": "a"}]},
        ["Required subjects[0].namespace"],
    ),
    ("priorityclasses.scheduling.k8s.io", {"value": 2000000000}, ["Forbidden value"]),
    ("priorityclasses.scheduling.k8s.io", named("system-mine", {"value": 1}), ["Forbidden metadata.name"]),
    (
        "leases.coordination.k8s.io",
        {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}},
        ["Invalid spec.leaseDurationSeconds", "Invalid spec.leaseTransitions"],
    ),
    ("runtimeclasses.node.k8s.io", {"handler": ""}, ["Invalid handler"]),
    (
        "certificatesigningrequests.certificates.k8s.io",
        named("A:b", {"spec": {"request": "eA==", "signerName": "a"}}),
        ["Invalid spec.request", "Invalid spec.signerName", "Required spec.usages"],
    ),
    (
        "certificatesigningrequests.certificates.k8s.io",
        {
            "spec": {
                "request": REQUEST,
                "signerName": "a.b/c",
                "usages": ["any", "any", "odd"],
                "expirationSeconds": 1,
            }
        },
        ["Duplicate spec.usages[1]", "Invalid spec.expirationSeconds", "NotSupported spec.usages[2]"],
    ),
    (
        "flowschemas.flowcontrol.apiserver.k8s.io",
        {"spec": {"rules": [{}], "matchingPrecedence": 20000}},
        [
            "Invalid spec.matchingPrecedence",
            "Required spec.priorityLevelConfiguration.name",
            "Required spec.rules[0]",
            "Required spec.rules[0].subjects",
        ],
    ),
    ("validatingwebhookconfigurations.admissionregistration.k8s.io", hook(), []),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        hook(name="a.b", timeoutSeconds=31, failurePolicy="Odd"),
        [f"Invalid {HOOK}.name", f"Invalid {HOOK}.timeoutSeconds", f"NotSupported {HOOK}.failurePolicy"],
    ),
    (
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        {"webhooks": [{}]},
        [f"Required {HOOK}.{f}" for f in ("admissionReviewVersions", "clientConfig", "name", "sideEffects")],
    ),
    (
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        hook(rules=[{}], clientConfig={"url": "http://a"}),
        [
            f"Invalid {HOOK}.clientConfig.url",
            *[
                f"Required {HOOK}.rules[0].{f}"
                for f in ("apiGroups", "apiVersions", "operations", "resources")
            ],
        ],
    ),
]


@pytest.mark.parametrize(("name", "document", "expected"), CASES, ids=range(len(CASES)))
def test_a_new_object_is_refused_for_all_that_is_wrong(
    created: Causes, name: str, document: Json, expected: list[str]
) -> None:
    assert created(name, document) == sorted(expected)


IMMUTABLE = {"immutable": True, "data": {"a": "b"}}
LABELLED = {"metadata": {"labels": {"a": "b c"}}}
MINE = {"metadata": {"finalizers": ["mine"]}}
KLASS = {"provisioner": "p", "reclaimPolicy": "Delete"}
CHANGES: list[tuple[str, Json, Json, list[str]]] = [
    ("configmaps", IMMUTABLE, {"data": {"a": "c"}}, ["Forbidden data", "Forbidden immutable"]),
    ("configmaps", {}, LABELLED, ["Invalid metadata.labels"] * 4),
    ("resourcequotas", {"spec": {}}, {**LABELLED, "spec": {}}, ["Invalid metadata.labels"] * 3),
    ("poddisruptionbudgets.policy", {"spec": {}}, {**LABELLED, "spec": {}}, ["Invalid metadata.labels"] * 2),
    (f"roles.{RBAC}", {}, LABELLED, ["Invalid metadata.labels"] * 5),
    (
        f"roles.{RBAC}",
        {},
        {"rules": [{"verbs": ["get"], "apiGroups": [""]}]},
        ["Required rules[0].resources"] * 2,
    ),
    ("configmaps", {}, MINE, ["Invalid metadata.finalizers[0]"] * 2),
    (
        "configmaps",
        {},
        {"metadata": {"deletionGracePeriodSeconds": 5}},
        ["Invalid metadata.deletionGracePeriodSeconds"] * 2,
    ),
    ("secrets", {"type": "a"}, {"type": "b"}, ["Invalid type"]),
    ("nodes", {"spec": {"providerID": "a"}}, {"spec": {"providerID": "b"}}, ["Forbidden spec.providerID"]),
    (
        "services",
        service(clusterIP="10.0.0.1"),
        service(clusterIP="10.0.0.2", clusterIPs=["10.0.0.2"]),
        ["Invalid spec.clusterIPs[0]"],
    ),
    (
        "services",
        service(type="LoadBalancer", loadBalancerClass="a/b"),
        service(type="LoadBalancer"),
        ["Invalid spec.loadBalancerClass"],
    ),
    (
        "persistentvolumes",
        volume(),
        volume(hostPath={"path": "/b"}),
        ["Forbidden spec.persistentvolumesource"],
    ),
    ("persistentvolumeclaims", claim(), claim(resources={"requests": {"storage": "2"}}), ["Forbidden spec"]),
    ("persistentvolumeclaims", claim(), claim(volumeName="v"), []),
    (
        "storageclasses.storage.k8s.io",
        KLASS,
        {"provisioner": "q", "reclaimPolicy": "Retain"},
        ["Forbidden provisioner", "Forbidden reclaimPolicy"],
    ),
    ("priorityclasses.scheduling.k8s.io", {"value": 1}, {"value": 2}, ["Forbidden value"]),
    (
        "ingressclasses.networking.k8s.io",
        {"spec": {"controller": "a.b/c"}},
        {"spec": {"controller": "a.b/d"}},
        ["Invalid spec.controller"],
    ),
    (f"rolebindings.{RBAC}", {"roleRef": ROLE}, {"roleRef": {**ROLE, "name": "s"}}, ["Invalid roleRef"]),
    (
        "endpointslices.discovery.k8s.io",
        slice_of("IPv4", "10.0.0.1"),
        slice_of("FQDN", "a.b"),
        ["Invalid addressType"],
    ),
    ("runtimeclasses.node.k8s.io", {"handler": "a"}, {"handler": "b"}, ["Invalid handler"]),
]


@pytest.mark.parametrize(("name", "before", "after", "expected"), CHANGES, ids=range(len(CHANGES)))
def test_a_change_is_refused_as_often_as_it_is_found(
    updated: Causes, name: str, before: Json, after: Json, expected: list[str]
) -> None:
    assert updated(name, before, after) == expected
