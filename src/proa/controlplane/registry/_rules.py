"""What the fields of built-in types may hold: rules by type, each applied wherever its type occurs.

A new rule is a line here. What depends on more than one struct (a volume mount's volume, a selector and
its template) is in the resource's strategy.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from proa.controlplane._errors import Cause, forbidden, invalid_value, required

from ._checks import (
    PORT,
    Check,
    Rules,
    amount,
    any_of,
    at_least,
    at_most_one_of,
    between,
    each_of,
    exactly_one_of,
    matching,
    named,
    need,
    needed,
    one_of,
    port_or_name,
    unique,
)
from ._names import dns_label, dns_subdomain, path_segment

_MODE = between(0, 0o777)
_ID = between(0, 2**31 - 1)
_WEIGHT = between(1, 100)
_NOT_NEGATIVE = at_least(0)
_PROTOCOL = one_of("TCP", "UDP", "SCTP")
_CLUSTER_OR_LOCAL = one_of("Cluster", "Local")
_ACCESS = each_of("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")
_POSITIVE = at_least(1, "must be greater than 0")


def _probe(probe: Any, path: str) -> list[Cause]:
    handlers = [name for name in ("exec", "grpc", "httpGet", "tcpSocket") if name in probe]
    if not handlers:
        return [required(path, "must specify a handler type")]
    why = "may not specify more than 1 handler type"
    return [forbidden(f"{path}.{name}", why) for name in handlers[1:]]


def _toleration(toleration: Any, path: str) -> list[Cause]:
    operator = toleration.get("operator", "")
    if not toleration.get("key") and operator != "Exists":
        why = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        return [invalid_value(f"{path}.operator", operator, why)]
    if operator == "Exists" and toleration.get("value"):
        why = "value must be empty when `operator` is 'Exists'"
        return [invalid_value(f"{path}.operator", toleration["value"], why)]
    if "tolerationSeconds" in toleration and toleration.get("effect") != "NoExecute":
        why = "effect must be 'NoExecute' when `tolerationSeconds` is set"
        return [invalid_value(f"{path}.effect", toleration.get("effect", ""), why)]
    return []


def _requirement(requirement: Any, path: str) -> list[Cause]:
    operator, values = requirement.get("operator", ""), requirement.get("values", [])
    match operator:
        case "In" | "NotIn" if not values:
            return [required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")]
        case "Exists" | "DoesNotExist" if values:
            why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            return [forbidden(f"{path}.values", why)]
        case "Gt" | "Lt" if len(values) != 1:
            return [
                required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
            ]
    known = operator in {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"}
    return [] if known else [invalid_value(f"{path}.operator", operator, "not a valid selector operator")]


def _cidr(value: Any, path: str) -> list[Cause]:
    if not value:
        return [required(path)]
    try:
        ipaddress.ip_network(value, strict=False)
    except ValueError:
        return [invalid_value(path, value, "must be a valid CIDR value (for example 10.9.8.0/24)")]
    return []


def _ingress_path(path_rule: Any, path: str) -> list[Cause]:
    kind, value = path_rule.get("pathType"), path_rule.get("path", "")
    if kind is None:
        return [required(f"{path}.pathType", "pathType must be specified")]
    if (kind in {"Exact", "Prefix"} or value) and not value.startswith("/"):
        return [invalid_value(f"{path}.path", value, "must be an absolute path")]
    return []


def _host(value: Any, path: str) -> list[Cause]:
    if not value:
        return []
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return [invalid_value(path, value, why) for why in dns_subdomain(value.removeprefix("*."))]
    return [invalid_value(path, value, "must be a DNS name, not an IP address")]


def _backend_port(port: Any, path: str) -> list[Cause]:
    if "name" in port and "number" in port:
        return [invalid_value(path, port, "cannot set both port name & port number")]
    return [] if "name" in port or "number" in port else [required(path, "port name or number is required")]


def _policy_rule(rule: Any, path: str) -> list[Cause]:
    if rule.get("nonResourceURLs"):
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            return [invalid_value(f"{path}.nonResourceURLs", rule["nonResourceURLs"], why)]
        return []
    found = []
    if not rule.get("apiGroups"):
        found.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def _subject(subject: Any, path: str) -> list[Cause]:
    if subject.get("kind") == "ServiceAccount" and not subject.get("namespace"):
        return [required(f"{path}.namespace")]
    return []


def _scaler(spec: Any, path: str) -> list[Cause]:
    most, least = spec.get("maxReplicas", 0), spec.get("minReplicas", 1)
    found = []
    if most < 1:
        found.append(invalid_value(f"{path}.maxReplicas", most, "must be greater than 0"))
    if most < least:
        found.append(
            invalid_value(f"{path}.maxReplicas", most, "must be greater than or equal to `minReplicas`")
        )
    return found


def _rolling(update: Any, path: str) -> list[Cause]:
    if update.get("maxUnavailable") in {0, "0%"} and update.get("maxSurge") in {0, "0%"}:
        why = "may not be 0 when `maxSurge` is 0"
        return [invalid_value(f"{path}.maxUnavailable", update["maxUnavailable"], why)]
    return []


def _priority(priority: Any, path: str) -> list[Cause]:
    del path
    system = priority["metadata"].get("name", "").startswith("system-")
    if priority.get("value", 0) <= 1_000_000_000 or system:
        return []
    return [forbidden("value", "maximum allowed value of a user defined priority is 1000000000")]


def _capacity(value: Any, path: str) -> list[Cause]:
    if not value:
        return [required(path)]
    return [] if "storage" in value else [required(f"{path}[storage]")]


def _event(event: Any, path: str) -> list[Cause]:
    del path
    about, own = event.get("involvedObject", {}).get("namespace", ""), event["metadata"].get("namespace", "")
    if about == own or (not about and own == "default"):
        return []
    return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]


_VOLUMES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume",
    "flocker", "gcePersistentDisk", "glusterfs", "hostPath", "iscsi", "local", "nfs", "photonPersistentDisk",
    "portworxVolume", "quobyte", "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip
_USER: dict[str, tuple[Check, ...]] = {"runAsUser": (_ID,), "runAsGroup": (_ID,)}
_RUNNING: dict[str, tuple[Check, ...]] = {
    "terminationMessagePolicy": (one_of("FallbackToLogsOnError", "File"),),
}

_BY_SHORT_NAME: dict[str, dict[str, tuple[Check, ...]]] = {
    "core.v1.PodSpec": {
        "terminationGracePeriodSeconds": (_NOT_NEGATIVE,),
        "hostname": (named(dns_label),),
        "subdomain": (named(dns_label),),
        "serviceAccountName": (named(dns_subdomain),),
        "preemptionPolicy": (one_of("Never", "PreemptLowerPriority"),),
    },
    "core.v1.PodOS": {"name": (need, one_of("linux", "windows"))},
    "core.v1.Container": _RUNNING,
    "core.v1.EphemeralContainer": _RUNNING,
    "core.v1.ContainerPort": {"name": (port_or_name,)},
    "core.v1.Probe": {
        "": (_probe,),
        "initialDelaySeconds": (_NOT_NEGATIVE,),
        "timeoutSeconds": (_NOT_NEGATIVE,),
        "periodSeconds": (_NOT_NEGATIVE,),
        "successThreshold": (_NOT_NEGATIVE,),
        "failureThreshold": (_NOT_NEGATIVE,),
    },
    "core.v1.HTTPGetAction": {"port": (port_or_name,), "scheme": (one_of("HTTP", "HTTPS"),)},
    "core.v1.TCPSocketAction": {"port": (port_or_name,)},
    "core.v1.GRPCAction": {"port": (PORT,)},
    "core.v1.ExecAction": {"command": (need,)},
    "core.v1.Toleration": {
        "": (_toleration,),
        "operator": (one_of("Equal", "Exists", "Gt", "Lt", ""),),
        "effect": (one_of("NoExecute", "NoSchedule", "PreferNoSchedule"),),
    },
    "core.v1.SecretVolumeSource": {"secretName": (need,), "defaultMode": (_MODE,)},
    "core.v1.ConfigMapVolumeSource": {"name": (need,), "defaultMode": (_MODE,)},
    "core.v1.DownwardAPIVolumeSource": {"defaultMode": (_MODE,)},
    "core.v1.ProjectedVolumeSource": {"defaultMode": (_MODE,)},
    "core.v1.HostPathVolumeSource": {"path": (need,)},
    "core.v1.PersistentVolumeClaimVolumeSource": {"claimName": (need,)},
    "core.v1.NFSVolumeSource": {"server": (need,), "path": (need,)},
    "core.v1.CSIVolumeSource": {"driver": (need,)},
    "core.v1.KeyToPath": {"key": (need,), "path": (need,), "mode": (_MODE,)},
    "core.v1.ServiceAccountTokenProjection": {
        "path": (need,),
        "expirationSeconds": (at_least(600, "may not specify a duration less than 10 minutes"),),
    },
    "core.v1.EnvVarSource": {
        "": (
            exactly_one_of(
                "configMapKeyRef",
                "fieldRef",
                "fileKeyRef",
                "resourceFieldRef",
                "secretKeyRef",
                why="must specify where the value comes from, for example `fieldRef`",
            ),
        )
    },
    "core.v1.ObjectFieldSelector": {"fieldPath": (need,)},
    "core.v1.SecretKeySelector": {"name": (need,), "key": (need,)},
    "core.v1.ConfigMapKeySelector": {"name": (need,), "key": (need,)},
    "core.v1.SecurityContext": _USER,
    "core.v1.PodSecurityContext": {**_USER, "fsGroup": (_ID,)},
    "core.v1.NodeSelectorRequirement": {"": (_requirement,), "key": (need,)},
    "core.v1.NodeSelector": {"nodeSelectorTerms": (needed("must have at least one node selector term"),)},
    "core.v1.PreferredSchedulingTerm": {"weight": (_WEIGHT,)},
    "core.v1.WeightedPodAffinityTerm": {"weight": (_WEIGHT,)},
    "core.v1.PodAffinityTerm": {"topologyKey": (needed("can not be empty"),)},
    "core.v1.TopologySpreadConstraint": {
        "maxSkew": (_POSITIVE,),
        "topologyKey": (needed("can not be empty"),),
        "whenUnsatisfiable": (one_of("DoNotSchedule", "ScheduleAnyway"),),
    },
    "core.v1.ServiceSpec": {
        "externalTrafficPolicy": (_CLUSTER_OR_LOCAL,),
        "internalTrafficPolicy": (_CLUSTER_OR_LOCAL,),
        "ipFamilyPolicy": (one_of("PreferDualStack", "RequireDualStack", "SingleStack"),),
        "ipFamilies": (each_of("IPv4", "IPv6"),),
        "ports": (unique("port", "protocol"),),
    },
    "core.v1.ClientIPConfig": {"timeoutSeconds": (between(1, 86400),)},
    "core.v1.EndpointAddress": {"ip": (need,)},
    "core.v1.EndpointPort": {"port": (PORT,), "protocol": (_PROTOCOL,)},
    "core.v1.PersistentVolumeSpec": {
        "": (exactly_one_of(*_VOLUMES, why="must specify a volume type"),),
        "accessModes": (need, _ACCESS),
        "capacity": (_capacity,),
        "persistentVolumeReclaimPolicy": (one_of("Delete", "Recycle", "Retain"),),
        "volumeMode": (one_of("Block", "Filesystem"),),
    },
    "core.v1.PersistentVolumeClaimSpec": {
        "accessModes": (_ACCESS,),
        "volumeMode": (one_of("Block", "Filesystem"),),
        "storageClassName": (named(dns_subdomain),),
    },
    "core.v1.Event": {"": (_event,)},
    "core.v1.Taint": {
        "key": (need,),
        "effect": (need, one_of("NoExecute", "NoSchedule", "PreferNoSchedule")),
    },
    "apps.v1.RollingUpdateDeployment": {
        "": (_rolling,),
        "maxUnavailable": (amount,),
        "maxSurge": (amount,),
    },
    "apps.v1.RollingUpdateDaemonSet": {"maxUnavailable": (amount,), "maxSurge": (amount,)},
    "apps.v1.DeploymentSpec": {"progressDeadlineSeconds": (_NOT_NEGATIVE,)},
    "apps.v1.StatefulSetSpec": {"podManagementPolicy": (one_of("OrderedReady", "Parallel"),)},
    "apps.v1.StatefulSetUpdateStrategy": {"type": (one_of("OnDelete", "RollingUpdate"),)},
    "apps.v1.DaemonSetUpdateStrategy": {"type": (one_of("OnDelete", "RollingUpdate"),)},
    "batch.v1.JobSpec": {
        "activeDeadlineSeconds": (_NOT_NEGATIVE,),
        "ttlSecondsAfterFinished": (_NOT_NEGATIVE,),
        "completionMode": (one_of("Indexed", "NonIndexed"),),
        "podReplacementPolicy": (one_of("Failed", "TerminatingOrFailed"),),
    },
    "batch.v1.CronJobSpec": {
        "startingDeadlineSeconds": (_NOT_NEGATIVE,),
        "successfulJobsHistoryLimit": (_NOT_NEGATIVE,),
        "failedJobsHistoryLimit": (_NOT_NEGATIVE,),
    },
    "networking.v1.IngressSpec": {
        "": (any_of("defaultBackend", "rules", why="either `defaultBackend` or `rules` must be specified"),),
        "ingressClassName": (named(dns_subdomain),),
    },
    "networking.v1.IngressRule": {"host": (_host,)},
    "networking.v1.HTTPIngressRuleValue": {"paths": (need,)},
    "networking.v1.HTTPIngressPath": {
        "": (_ingress_path,),
        "pathType": (one_of("Exact", "ImplementationSpecific", "Prefix"),),
    },
    "networking.v1.IngressBackend": {
        "": (exactly_one_of("resource", "service", why="resource or service backend is required"),)
    },
    "networking.v1.IngressServiceBackend": {"name": (need,)},
    "networking.v1.ServiceBackendPort": {"": (_backend_port,), "number": (PORT,)},
    "networking.v1.IngressClassSpec": {"controller": (need,)},
    "networking.v1.NetworkPolicySpec": {"policyTypes": (each_of("Ingress", "Egress"),)},
    "networking.v1.NetworkPolicyPort": {
        "protocol": (_PROTOCOL,),
        "port": (port_or_name,),
        "endPort": (PORT,),
    },
    "networking.v1.NetworkPolicyPeer": {
        "": (any_of("podSelector", "namespaceSelector", "ipBlock", why="must specify a peer"),)
    },
    "networking.v1.IPBlock": {"cidr": (_cidr,)},
    "discovery.v1.EndpointSlice": {"addressType": (need, one_of("FQDN", "IPv4", "IPv6"))},
    "discovery.v1.Endpoint": {"addresses": (needed("must contain at least 1 address"),)},
    "discovery.v1.EndpointPort": {"port": (PORT,), "protocol": (_PROTOCOL,)},
    "storage.v1.StorageClass": {
        "provisioner": (need,),
        "reclaimPolicy": (one_of("Delete", "Retain"),),
        "volumeBindingMode": (one_of("Immediate", "WaitForFirstConsumer"),),
    },
    "storage.v1.VolumeAttachmentSpec": {"attacher": (need,), "nodeName": (need,)},
    "policy.v1.PodDisruptionBudgetSpec": {
        "": (
            at_most_one_of(
                "minAvailable", "maxUnavailable", why="minAvailable and maxUnavailable cannot be both set"
            ),
        ),
        "minAvailable": (amount,),
        "maxUnavailable": (amount,),
    },
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {"": (_scaler,), "minReplicas": (_POSITIVE,)},
    "autoscaling.v2.CrossVersionObjectReference": {"kind": (need,), "name": (need,)},
    "autoscaling.v2.MetricSpec": {
        "type": (need, one_of("ContainerResource", "External", "Object", "Pods", "Resource"))
    },
    "autoscaling.v2.MetricTarget": {
        "type": (need, one_of("AverageValue", "Utilization", "Value")),
        "averageUtilization": (_POSITIVE,),
    },
    "rbac.v1.PolicyRule": {
        "": (_policy_rule,),
        "verbs": (needed("verbs must contain at least one value"),),
    },
    "rbac.v1.RoleRef": {
        "name": (need, named(path_segment)),
        "apiGroup": (one_of("rbac.authorization.k8s.io"),),
    },
    "rbac.v1.Subject": {
        "": (_subject,),
        "name": (need,),
        "kind": (one_of("Group", "ServiceAccount", "User"),),
    },
    "scheduling.v1.PriorityClass": {
        "": (_priority,),
        "preemptionPolicy": (one_of("Never", "PreemptLowerPriority"),),
    },
    "coordination.v1.LeaseSpec": {
        "leaseDurationSeconds": (_POSITIVE,),
        "leaseTransitions": (_NOT_NEGATIVE,),
    },
    "node.v1.RuntimeClass": {"handler": (need, named(dns_label))},
    "meta.v1.LabelSelectorRequirement": {"key": (need,)},
    "certificates.v1.CertificateSigningRequestSpec": {
        "signerName": (need, matching(r"[^/]+/.+", "must be a fully qualified name and path (a.test/b)")),
        "request": (need,),
        "usages": (need,),
    },
}

_PREFIXES = {"meta": "io.k8s.apimachinery.pkg.apis."}
RULES: Rules = {
    _PREFIXES.get(name.partition(".")[0], "io.k8s.api.") + name: rules
    for name, rules in _BY_SHORT_NAME.items()
}
"""The rules by definition name."""
