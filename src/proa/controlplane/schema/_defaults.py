"""What Kubernetes fills in where a field is left out, by type.

A new rule is a line in a table: `CONSTANTS` for plain values, `RULES` for what depends on the rest of the
struct. They apply wherever the type occurs, so a container in a Deployment's template gets what a Pod's
container gets. What depends on more than the struct itself (a pod's quality of service, a service's
address) is the resource's strategy, not its type's defaults.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from proa.controlplane._json import Document

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}

CONSTANTS: dict[str, dict[str, Any]] = {
    "core.v1.Container": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.EphemeralContainer": {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    },
    "core.v1.ContainerPort": {"protocol": "TCP"},
    "core.v1.HTTPGetAction": {"path": "/", "scheme": "HTTP"},
    "core.v1.ObjectFieldSelector": {"apiVersion": "v1"},
    "core.v1.Probe": _PROBE,
    "core.v1.SecretVolumeSource": {"defaultMode": 420},
    "core.v1.ConfigMapVolumeSource": {"defaultMode": 420},
    "core.v1.DownwardAPIVolumeSource": {"defaultMode": 420},
    "core.v1.ProjectedVolumeSource": {"defaultMode": 420},
    "core.v1.ServiceAccountTokenProjection": {"expirationSeconds": 3600},
    "core.v1.HostPathVolumeSource": {"type": ""},
    "core.v1.PersistentVolumeClaimSpec": {"volumeMode": "Filesystem"},
    "core.v1.PersistentVolumeClaimStatus": {"phase": "Pending"},
    "core.v1.PersistentVolumeSpec": {"persistentVolumeReclaimPolicy": "Retain", "volumeMode": "Filesystem"},
    "core.v1.NamespaceStatus": {"phase": "Active"},
    "core.v1.Secret": {"type": "Opaque"},
    "core.v1.ServicePort": {"protocol": "TCP"},
    "core.v1.ServiceSpec": {
        "type": "ClusterIP",
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
    },
    "core.v1.EndpointPort": {"protocol": "TCP"},
    "core.v1.ReplicationControllerSpec": {"replicas": 1},
    "apps.v1.DeploymentSpec": {"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600},
    "apps.v1.DeploymentStrategy": {"type": "RollingUpdate"},
    "apps.v1.RollingUpdateDeployment": {"maxUnavailable": "25%", "maxSurge": "25%"},
    "apps.v1.ReplicaSetSpec": {"replicas": 1},
    "apps.v1.StatefulSetSpec": {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "podManagementPolicy": "OrderedReady",
    },
    "apps.v1.StatefulSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.StatefulSetPersistentVolumeClaimRetentionPolicy": {
        "whenDeleted": "Retain",
        "whenScaled": "Retain",
    },
    "apps.v1.DaemonSetSpec": {"revisionHistoryLimit": 10},
    "apps.v1.DaemonSetUpdateStrategy": {"type": "RollingUpdate"},
    "apps.v1.RollingUpdateDaemonSet": {"maxUnavailable": 1, "maxSurge": 0},
    "batch.v1.JobSpec": {
        "backoffLimit": 6,
        "completionMode": "NonIndexed",
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "manualSelector": False,
    },
    "batch.v1.CronJobSpec": {
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
    },
    "networking.v1.NetworkPolicyPort": {"protocol": "TCP"},
    "discovery.v1.EndpointPort": {"name": "", "protocol": "TCP"},
    "storage.v1.StorageClass": {"reclaimPolicy": "Delete", "volumeBindingMode": "Immediate"},
    "storage.v1.CSIDriverSpec": {
        "attachRequired": True,
        "fsGroupPolicy": "ReadWriteOnceWithFSType",
        "podInfoOnMount": False,
        "requiresRepublish": False,
        "seLinuxMount": False,
        "storageCapacity": False,
        "volumeLifecycleModes": ["Persistent"],
    },
    "scheduling.v1.PriorityClass": {"preemptionPolicy": "PreemptLowerPriority"},
    "autoscaling.v1.HorizontalPodAutoscalerSpec": {"minReplicas": 1},
    "autoscaling.v2.HorizontalPodAutoscalerSpec": {
        "minReplicas": 1,
        "metrics": [
            {
                "type": "Resource",
                "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}},
            }
        ],
    },
    "certificates.v1.CertificateSigningRequestSpec": {
        "usages": ["digital signature", "key encipherment", "client auth"]
    },
}
"""Values for fields left out: a type's short name, then field and value. Shared: never changed in place."""

TIMES: dict[str, tuple[str, ...]] = {
    "core.v1.PodCondition": ("lastProbeTime", "lastTransitionTime"),
    "core.v1.NodeCondition": ("lastHeartbeatTime", "lastTransitionTime"),
    "core.v1.Event": ("firstTimestamp", "lastTimestamp", "eventTime"),
    "events.v1.Event": ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"),
    "apps.v1.DeploymentCondition": ("lastUpdateTime", "lastTransitionTime"),
    "apps.v1.ReplicaSetCondition": ("lastTransitionTime",),
    "batch.v1.JobCondition": ("lastProbeTime", "lastTransitionTime"),
    "core.v1.ContainerStateRunning": ("startedAt",),
    "core.v1.ContainerStateTerminated": ("startedAt", "finishedAt"),
    "meta.v1.Condition": ("lastTransitionTime",),
}
"""Times that Kubernetes writes as null where they are not set."""


def null_times(type_name: str) -> tuple[str, ...]:
    """The times that Kubernetes writes as null in a type where they are not set."""
    return TIMES.get(short(type_name), ())


def short(type_name: str) -> str:
    """`io.k8s.api.core.v1.Pod` as `core.v1.Pod`."""
    return ".".join(type_name.rsplit(".", 3)[1:])


POINTERS: dict[str, frozenset[str]] = {
    "core.v1.HostPathVolumeSource": frozenset({"type"}),
    "core.v1.PersistentVolumeClaimSpec": frozenset({"storageClassName", "volumeAttributesClassName"}),
    "core.v1.EnvVar": frozenset(),
    "networking.v1.IngressSpec": frozenset({"ingressClassName"}),
    "discovery.v1.EndpointPort": frozenset({"name"}),
    "coordination.v1.LeaseSpec": frozenset({"holderIdentity"}),
}
"""Text fields in which empty is not the same as absent."""


def _container(container: Document) -> None:
    if "imagePullPolicy" not in container and container.get("image"):
        container["imagePullPolicy"] = "Always" if _is_latest(container["image"]) else "IfNotPresent"


def _pod(pod: Document) -> None:
    # Pods only: what templates leave out, their pods get.
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        requests_from_limits(container.get("resources", {}))


def _namespace(namespace: Document) -> None:
    metadata = namespace["metadata"]
    if metadata.get("name"):
        metadata["labels"] = {**metadata.get("labels", {}), "kubernetes.io/metadata.name": metadata["name"]}


def _secret(secret: Document) -> None:
    # `stringData` is a way of writing `data`.
    text = secret.pop("stringData", None)
    if text:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        secret["data"] = secret.get("data", {}) | encoded


def _job(job: Document) -> None:
    labels = job["spec"]["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


def requests_from_limits(resources: Document) -> None:
    """A resource with a limit and no request requests its limit."""
    if "limits" in resources:
        resources["requests"] = resources["limits"] | resources.get("requests", {})


def _is_latest(image: str) -> bool:
    if "@" in image:
        return False
    _, _, tag = image.rpartition("/")[2].partition(":")
    return tag in {"", "latest"}


def _pod_spec(spec: Document) -> None:
    for key, value in _POD_SPEC.items():
        spec.setdefault(key, value)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    if spec.get("hostNetwork"):
        _host_ports(spec)


_POD_SPEC = {
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
}


def _host_ports(spec: Document) -> None:
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        for port in container.get("ports", ()):
            port.setdefault("hostPort", port.get("containerPort", 0))


def _volume(volume: Document) -> None:
    if len(volume) <= 1:
        volume["emptyDir"] = {}


def _probe(probe: Document) -> None:
    grpc = probe.get("grpc")
    if grpc is not None:
        grpc.setdefault("service", "")


def _deployment_strategy(strategy: Document) -> None:
    if strategy.get("type") == "RollingUpdate" and "rollingUpdate" not in strategy:
        strategy["rollingUpdate"] = dict(CONSTANTS["apps.v1.RollingUpdateDeployment"])


def _stateful_set_strategy(strategy: Document) -> None:
    if strategy.get("type") == "RollingUpdate":
        strategy.setdefault("rollingUpdate", {}).setdefault("partition", 0)


def _daemon_set_strategy(strategy: Document) -> None:
    if strategy.get("type") == "RollingUpdate" and "rollingUpdate" not in strategy:
        strategy["rollingUpdate"] = dict(CONSTANTS["apps.v1.RollingUpdateDaemonSet"])


def _job_spec(spec: Document) -> None:
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)


def _service_spec(spec: Document) -> None:
    if spec.get("sessionAffinity") == "ClientIP":
        affinity = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        affinity.setdefault("timeoutSeconds", 10800)
    if spec.get("type") in {"NodePort", "LoadBalancer"}:
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec.get("type") == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if spec.get("type") == "ExternalName":
        spec.pop("internalTrafficPolicy", None)


def _service_port(port: Document) -> None:
    port.setdefault("targetPort", port.get("port", 0))


def _network_policy(spec: Document) -> None:
    spec.setdefault("policyTypes", ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"])


def _role_binding(binding: Document) -> None:
    reference = binding.get("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = "rbac.authorization.k8s.io"


def _subject(subject: Document) -> None:
    if subject.get("kind") in {"User", "Group"}:
        subject.setdefault("apiGroup", "rbac.authorization.k8s.io")


def _definition_spec(spec: Document) -> None:
    names, conversion = spec.setdefault("names", {}), spec.setdefault("conversion", {})
    if names.get("kind"):
        if not names.get("singular"):
            names["singular"] = names["kind"].lower()
        if not names.get("listKind"):
            names["listKind"] = f"{names['kind']}List"
    if not conversion.get("strategy"):
        conversion["strategy"] = "None"


RULES: dict[str, Callable[[Document], None]] = {
    "core.v1.Pod": _pod,
    "core.v1.Namespace": _namespace,
    "core.v1.Secret": _secret,
    "batch.v1.Job": _job,
    "core.v1.Container": _container,
    "core.v1.EphemeralContainer": _container,
    "core.v1.PodSpec": _pod_spec,
    "core.v1.Volume": _volume,
    "core.v1.Probe": _probe,
    "core.v1.ServiceSpec": _service_spec,
    "core.v1.ServicePort": _service_port,
    "apps.v1.DeploymentStrategy": _deployment_strategy,
    "apps.v1.StatefulSetUpdateStrategy": _stateful_set_strategy,
    "apps.v1.DaemonSetUpdateStrategy": _daemon_set_strategy,
    "batch.v1.JobSpec": _job_spec,
    "networking.v1.NetworkPolicySpec": _network_policy,
    "apiextensions.v1.CustomResourceDefinitionSpec": _definition_spec,
    "rbac.v1.RoleBinding": _role_binding,
    "rbac.v1.ClusterRoleBinding": _role_binding,
    "rbac.v1.Subject": _subject,
}
"""Defaults that depend on the rest of the struct; called last, with the struct to complete."""
