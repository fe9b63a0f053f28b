"""What Kubernetes fills in where a field is left out and the rest of the struct decides, by type.

A new rule is a line in the table `RULES`; a plain value is one in `_constants.py`. They apply wherever the
type occurs, so a container in a Deployment's template gets what a Pod's container gets. What depends on more
than the struct itself (a pod's quality of service, a service's address) is the resource's strategy, not its
type's defaults.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable

from proa.controlplane._json import Document
from proa.kube.models import Quantity

from ._constants import CONSTANTS


def _container(container: Document) -> None:
    if "imagePullPolicy" not in container and container.get("image"):
        container["imagePullPolicy"] = "Always" if _is_latest(container["image"]) else "IfNotPresent"


def _pod(pod: Document) -> None:
    # Pods only: what templates leave out, their pods get.
    spec = pod["spec"]
    spec.setdefault("enableServiceLinks", True)
    if spec.get("hostNetwork"):
        _host_ports(spec)
    for container in [*spec.get("containers", ()), *spec.get("initContainers", ())]:
        requests_from_limits(container.get("resources", {}))
    if spec.get("resources") is not None:
        _whole_requests(spec)


def _whole_requests(spec: Document) -> None:
    """What a pod requests as a whole is what its containers request, or else what it is limited to."""
    resources = spec["resources"]
    together = _requested(spec.get("containers", ()))
    starting: dict[str, Quantity] = {}
    beside: dict[str, Quantity] = {}
    for container in spec.get("initContainers", ()):
        own = _requested([container])
        if container.get("restartPolicy") == "Always":
            beside = _joined(beside, own, lambda one, other: one + other)
            own = beside
        else:
            own = _joined(beside, own, lambda one, other: one + other)
        starting = _joined(starting, own, max)
    whole = _joined(_joined(together, beside, lambda one, other: one + other), starting, max)
    requests = resources.get("requests", {})
    asked = {name: str.__str__(amount) for name, amount in whole.items() if name in {"cpu", "memory"}}
    limits = {name: amount for name, amount in resources.get("limits", {}).items() if _is_whole(name)}
    if requests or asked or limits:
        resources["requests"] = limits | asked | requests


def _is_whole(name: str) -> bool:
    return name in {"cpu", "memory"} or name.startswith("hugepages-")


def _requested(containers: Iterable[Document]) -> dict[str, Quantity]:
    found: dict[str, Quantity] = {}
    for container in containers:
        own = {
            name: Quantity(amount)
            for name, amount in container.get("resources", {}).get("requests", {}).items()
        }
        found = _joined(found, own, lambda one, other: one + other)
    return found


def _joined(
    first: dict[str, Quantity], second: dict[str, Quantity], join: Callable[[Quantity, Quantity], Quantity]
) -> dict[str, Quantity]:
    both = first.keys() & second.keys()
    return {**first, **second, **{name: join(first[name], second[name]) for name in both}}


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
    # Jobs only: what cron jobs' templates leave out, their jobs get.
    spec = job["spec"]
    if "completions" not in spec and "parallelism" not in spec:
        spec["completions"] = 1
    spec.setdefault("parallelism", 1)
    spec.setdefault("backoffLimit", 2**31 - 1 if "backoffLimitPerIndex" in spec else 6)
    policy = "Failed" if "podFailurePolicy" in spec else "TerminatingOrFailed"
    spec.setdefault("podReplacementPolicy", policy)
    for name, value in _JOB.items():
        spec.setdefault(name, value)
    labels = spec["template"]["metadata"].get("labels")
    if labels and not job["metadata"].get("labels"):
        job["metadata"]["labels"] = dict(labels)


_JOB = {"completionMode": "NonIndexed", "suspend": False, "manualSelector": False}


def _replication_controller(controller: Document) -> None:
    spec = controller["spec"]
    labels = (spec.get("template") or {}).get("metadata", {}).get("labels")
    if labels:
        spec.setdefault("selector", dict(labels))
        controller["metadata"].setdefault("labels", dict(labels))


def _limit_range_item(item: Document) -> None:
    if item.get("type") != "Container":
        return
    default = item.get("max", {}) | item.get("default", {})
    request = item.get("min", {}) | default | item.get("defaultRequest", {})
    item.update({"default": default} if default else {})
    item.update({"defaultRequest": request} if request else {})


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
    elif "image" in volume:
        image = volume["image"]
        policy = "Always" if _is_latest(image.get("reference", "")) else "IfNotPresent"
        image.setdefault("pullPolicy", policy)


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


def _stateful_set(spec: Document) -> None:
    policy = spec.setdefault("persistentVolumeClaimRetentionPolicy", {})
    policy.setdefault("whenDeleted", "Retain")
    policy.setdefault("whenScaled", "Retain")
    for claim in spec.get("volumeClaimTemplates", ()):
        claim.update(kind="PersistentVolumeClaim", apiVersion="v1")


def _behavior(behavior: Document) -> None:
    percent = {"type": "Percent", "value": 100, "periodSeconds": 15}
    up, down = behavior.setdefault("scaleUp", {}), behavior.setdefault("scaleDown", {})
    up.setdefault("stabilizationWindowSeconds", 0)
    up.setdefault("policies", [{"type": "Pods", "value": 4, "periodSeconds": 15}, dict(percent)])
    down.setdefault("policies", [dict(percent)])
    for rules in (up, down):
        rules.setdefault("selectPolicy", "Max")


def _device_request(request: Document) -> None:
    request.setdefault("allocationMode", "ExactCount")
    if request["allocationMode"] == "ExactCount":
        request.setdefault("count", 1)


def _daemon_set_strategy(strategy: Document) -> None:
    if strategy.get("type") == "RollingUpdate" and "rollingUpdate" not in strategy:
        strategy["rollingUpdate"] = dict(CONSTANTS["apps.v1.RollingUpdateDaemonSet"])


def _service_spec(spec: Document) -> None:
    if spec.get("sessionAffinity") == "ClientIP":
        affinity = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        affinity.setdefault("timeoutSeconds", 10800)
    kind = spec.get("type")
    if kind in {"NodePort", "LoadBalancer"} or (kind == "ClusterIP" and spec.get("externalIPs")):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if kind in {"ClusterIP", "LoadBalancer", "NodePort"}:
        spec.setdefault("internalTrafficPolicy", "Cluster")


def _service_port(port: Document) -> None:
    if port.get("targetPort") in {None, 0, ""}:
        port["targetPort"] = port.get("port", 0)


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
    "core.v1.ReplicationController": _replication_controller,
    "core.v1.LimitRangeItem": _limit_range_item,
    "apps.v1.StatefulSetSpec": _stateful_set,
    "autoscaling.v2.HorizontalPodAutoscalerBehavior": _behavior,
    "resource.v1.ExactDeviceRequest": _device_request,
    "resource.v1.DeviceSubRequest": _device_request,
    "networking.v1.NetworkPolicySpec": _network_policy,
    "apiextensions.v1.CustomResourceDefinitionSpec": _definition_spec,
    "rbac.v1.RoleBinding": _role_binding,
    "rbac.v1.ClusterRoleBinding": _role_binding,
    "rbac.v1.Subject": _subject,
}
"""Defaults that depend on the rest of the struct; called last, with the struct to complete."""
