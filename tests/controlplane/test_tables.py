"""Tables: what kubectl prints of each kind. Pure: from an object to its cells."""

from typing import Any

import pytest

from proa.controlplane.presentation._table import table_of
from proa.controlplane.registry import catalogue

Json = dict[str, Any]
POD = {"containers": [{"name": "c", "image": "i"}, {"name": "d", "image": "j"}]}
RESOURCE = {
    "type": "Resource",
    "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
}
PODS = {"type": "Pods", "pods": {"metric": {"name": "x"}, "target": {"averageValue": "10"}}}
EXTERNAL = {"type": "External", "external": {"metric": {"name": "x"}, "target": {"averageValue": "5"}}}
REACHED = {"type": "Resource", "resource": {"name": "cpu", "current": {"averageUtilization": 40}}}


def row(group: str, plural: str, document: Json) -> dict[str, Any]:
    resource = catalogue().find(group, plural)
    assert resource is not None
    metadata = {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z", **document.get("metadata", {})}
    table = table_of(resource, [{**document, "metadata": metadata}], {})
    names = [column["name"] for column in table["columnDefinitions"]]
    return dict(zip(names, table["rows"][0]["cells"], strict=True))


CASES: list[tuple[str, str, Json, Json]] = [
    ("", "services", {"spec": {"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": []}}, {
        "Cluster-IP": "10.0.0.1", "External-IP": "<none>", "Port(s)": "<none>", "Selector": "<none>",
    }),
    ("", "services", {"spec": {"type": "ExternalName", "externalName": "x.y"}}, {
        "Cluster-IP": "<none>", "External-IP": "x.y",
    }),
    ("", "services", {
        "spec": {"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]},
        "status": {"loadBalancer": {"ingress": [{"ip": "2.2.2.2"}, {"hostname": "1.example"}]}},
    }, {"External-IP": "1.example,2.2.2.2,9.9.9.9"}),
    ("", "services", {"spec": {"type": "LoadBalancer"}}, {"External-IP": "<pending>"}),
    ("", "endpoints", {
        "subsets": [{"addresses": [{"ip": f"1.1.1.{n}"} for n in range(5)], "ports": [{"port": 80}]}]
    }, {"Endpoints": "1.1.1.0:80,1.1.1.1:80,1.1.1.2:80 + 2 more..."}),
    ("discovery.k8s.io", "endpointslices", {
        "addressType": "IPv4", "ports": [{"name": "web"}, {"port": 81}, {}],
        "endpoints": [{"addresses": ["1.1.1.1", "1.1.1.2"]}, {"addresses": ["1.1.1.3", "1.1.1.4"]}],
    }, {"Ports": "web,81,*", "Endpoints": "1.1.1.1,1.1.1.2,1.1.1.3 + 1 more..."}),
    ("discovery.k8s.io", "endpointslices", {"addressType": "IPv4", "endpoints": []}, {
        "Ports": "<unset>", "Endpoints": "<unset>",
    }),
    ("networking.k8s.io", "ingresses", {
        "spec": {"rules": [{"host": f"{n}.x"} for n in range(5)], "tls": [{}], "ingressClassName": "n"}
    }, {"Class": "n", "Hosts": "0.x,1.x,2.x + 2 more...", "Ports": "80, 443", "Address": ""}),
    ("networking.k8s.io", "ingresses", {"spec": {"rules": [{}]}}, {"Class": "<none>", "Hosts": "*"}),
    ("networking.k8s.io", "ingressclasses", {
        "spec": {"controller": "a/b", "parameters": {"apiGroup": "g.x", "kind": "K", "name": "n"}}
    }, {"Parameters": "K.g.x/n"}),
    ("networking.k8s.io", "networkpolicies", {
        "spec": {"podSelector": {"matchExpressions": [{"key": "k", "operator": "In", "values": ["v", "w"]}]}}
    }, {"Pod-Selector": "k in (v,w)"}),
    ("networking.k8s.io", "ipaddresses", {
        "spec": {"parentRef": {"resource": "services", "namespace": "n", "name": "s"}}
    }, {"ParentRef": "services/n/s"}),
    ("", "persistentvolumes", {
        "metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "capacity": {"storage": "1Gi"}, "accessModes": ["ReadOnlyMany", "ReadWriteOnce"],
            "claimRef": {"namespace": "n", "name": "c"},
        },
        "status": {"phase": "Bound"},
    }, {"Access Modes": "RWO,ROX", "Status": "Terminating", "Claim": "n/c"}),
    ("", "persistentvolumeclaims", {
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "s"},
        "status": {"phase": "Pending", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
    }, {"Capacity": "", "Access Modes": "", "StorageClass": "s", "VolumeMode": "<unset>"}),
    ("", "persistentvolumeclaims", {
        "spec": {"volumeName": "v"},
        "status": {"phase": "Bound", "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"]},
    }, {"Capacity": "1Gi", "Access Modes": "RWO", "Volume": "v"}),
    ("storage.k8s.io", "storageclasses", {
        "metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "p", "allowVolumeExpansion": True,
    }, {"Name": "a (default)", "AllowVolumeExpansion": True, "ReclaimPolicy": "Delete"}),
    ("storage.k8s.io", "csidrivers", {"spec": {"tokenRequests": [{"audience": "x"}, {"audience": "y"}]}}, {
        "AttachRequired": True, "StorageCapacity": False, "TokenRequests": "x,y", "Modes": "<none>",
    }),
    ("storage.k8s.io", "csinodes", {"spec": {"drivers": [{}, {}]}}, {"Drivers": 2}),
    ("storage.k8s.io", "volumeattachments", {
        "spec": {"attacher": "x", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    }, {"Attacher": "x", "PV": "v", "Node": "n", "Attached": False}),
    ("autoscaling", "horizontalpodautoscalers", {
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d"}, "maxReplicas": 3,
            "metrics": [RESOURCE, EXTERNAL, PODS],
        },
        "status": {"currentMetrics": [REACHED]},
    }, {"Targets": "cpu: 40%/80%, <unknown>/5 (avg) + 1 more...", "MinPods": "<unset>", "MaxPods": 3}),
    ("autoscaling", "horizontalpodautoscalers", {
        "spec": {"scaleTargetRef": {"kind": "Deployment", "name": "d"}, "minReplicas": 2, "metrics": [PODS]}
    }, {"Reference": "Deployment/d", "Targets": "<unknown>/10", "MinPods": "2"}),
    ("", "resourcequotas", {
        "status": {"hard": {"pods": "3", "limits.cpu": "2", "requests.cpu": "1"}, "used": {"pods": "1"}}
    }, {"Request": "pods: 1/3, requests.cpu: 0/1", "Limit": "limits.cpu: 0/2"}),
    ("policy", "poddisruptionbudgets", {"spec": {"minAvailable": 1}}, {
        "Min Available": "1", "Max Unavailable": "N/A", "Allowed Disruptions": 0,
    }),
    ("", "serviceaccounts", {"secrets": [{"name": "x"}]}, {"Secrets": 1}),
    ("", "limitranges", {"spec": {}}, {"Created At": "2026-01-01T00:00:00Z"}),
    ("rbac.authorization.k8s.io", "clusterroles", {}, {"Created At": "2026-01-01T00:00:00Z"}),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", {"webhooks": [{}, {}]}, {
        "Webhooks": 2,
    }),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", {
        "spec": {"validations": [{}], "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}}
    }, {"Validations": 1, "ParamKind": "v1/ConfigMap"}),
    ("admissionregistration.k8s.io", "validatingadmissionpolicybindings", {
        "spec": {"policyName": "p", "paramRef": {"name": "x"}}
    }, {"PolicyName": "p", "ParamRef": "*/x"}),
    ("flowcontrol.apiserver.k8s.io", "flowschemas", {
        "spec": {"priorityLevelConfiguration": {"name": "p"}, "matchingPrecedence": 5}
    }, {"PriorityLevel": "p", "MatchingPrecedence": 5, "DistinguisherMethod": "<none>", "MissingPL": "?"}),
    ("certificates.k8s.io", "certificatesigningrequests", {
        "spec": {"signerName": "s", "username": "u", "expirationSeconds": 3600},
        "status": {"conditions": [{"type": "Approved"}, {"type": "Failed"}], "certificate": "x"},
    }, {"RequestedDuration": "60m", "Condition": "Approved,Failed,Issued"}),
    ("apps", "controllerrevisions", {
        "metadata": {
            "ownerReferences": [
                {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "s", "controller": True}
            ]
        },
        "revision": 3,
    }, {"Controller": "statefulset.apps/s", "Revision": 3}),
    ("", "podtemplates", {"template": {"metadata": {"labels": {"k": "v"}}, "spec": POD}}, {
        "Containers": "c,d", "Images": "i,j", "Pod Labels": "k=v",
    }),
    ("", "replicationcontrollers", {"spec": {"selector": {"k": "v"}, "template": {"spec": POD}}}, {
        "Selector": "k=v",
    }),
    ("apps", "daemonsets", {"spec": {"template": {"spec": {**POD, "nodeSelector": {"k": "v"}}}}}, {
        "Node Selector": "k=v", "Desired": 0,
    }),
    ("", "events", {
        "involvedObject": {"kind": "Pod", "name": "p", "fieldPath": "spec"}, "message": " m\n",
        "source": {"component": "kubelet", "host": "n"}, "count": 7,
    }, {
        "Object": "pod/p", "Subobject": "spec", "Source": "kubelet, n", "Message": "m", "Count": 7,
        "Last Seen": "<unknown>", "Name": "a",
    }),
    ("events.k8s.io", "events", {
        "regarding": {"kind": "Node"}, "note": "m", "reportingController": "c",
        "eventTime": "2026-01-01T00:00:00Z",
        "series": {"count": 4, "lastObservedTime": "2026-01-01T00:00:00Z"},
    }, {"Object": "node", "Source": "c", "Message": "m", "Count": 4}),
    ("resource.k8s.io", "resourceclaims", {"status": {"allocation": {"x": 1}, "reservedFor": [{}]}}, {
        "State": "allocated,reserved",
    }),
]  # fmt: skip


@pytest.mark.parametrize(("group", "plural", "document", "cells"), CASES)
def test_a_row_says_what_kubernetes_would(group: str, plural: str, document: Json, cells: Json) -> None:
    found = row(group, plural, document)
    assert {name: found[name] for name in cells} == cells
