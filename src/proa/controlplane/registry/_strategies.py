"""All strategies, by group and kind: the one place to add what is special about a type."""

from __future__ import annotations

from functools import cache

from proa.controlplane._json import Document

from . import _core, _immutable, _pods, _workloads
from ._names import path_segment
from ._resource import Select, Strategy

_COUNTED = Strategy(generation=True)
_RBAC = Strategy(name_rule=path_segment, revalidated=True)
_BINDING = Strategy(name_rule=path_segment, revalidated=True, validate_update=_immutable.ROLE_BINDING)


def field(*path: str) -> Select:
    """Selects a field that holds text or a boolean."""

    def select(document: Document) -> str:
        value: object = document
        for part in path:
            value = value.get(part) if isinstance(value, dict) else None
        if isinstance(value, bool):
            return "true" if value else "false"
        return "" if value is None else str(value)

    return select


def _fields(*paths: str) -> dict[str, Select]:
    return {path: field(*path.split(".")) for path in paths}


_POD_FIELDS = _fields(
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.nominatedNodeName",
)
_EVENT_FIELDS = _fields(
    "involvedObject.kind",
    "involvedObject.namespace",
    "involvedObject.name",
    "involvedObject.uid",
    "involvedObject.apiVersion",
    "involvedObject.resourceVersion",
    "involvedObject.fieldPath",
    "reason",
    "reportingComponent",
    "source",
    "type",
)
_EVENT_FIELDS["source"] = field("source", "component")
_EVENT_FIELDS |= {
    path.replace("involvedObject", "regarding"): select
    for path, select in _EVENT_FIELDS.items()
    if path.startswith("involvedObject")
}
_EVENT_FIELDS["reportingController"] = field("reportingComponent")
_EVENT = Strategy(fields=_EVENT_FIELDS, creates_on_update=True)
"""The events of both groups: they are the same objects."""


def _unschedulable(node: Document) -> str:
    return "true" if node.get("spec", {}).get("unschedulable") else "false"


@cache
def strategies() -> dict[tuple[str, str], Strategy]:
    """What is special about which kind. A kind that is not here behaves as Kubernetes' objects usually do."""
    from proa.controlplane.admission import _policies as policies
    from proa.controlplane.customresources import _strategy as definitions

    return {
        ("", "Pod"): Strategy(
            generation=True,
            graceful=True,
            fields=_POD_FIELDS,
            prepare_create=_pods.prepare_create,
            validate=_pods.validate,
            validate_update=_pods.validate_update,
        ),
        ("", "PodTemplate"): Strategy(generation=True, validate=_workloads.validate_template),
        ("", "Node"): Strategy(
            keeps_status=True,
            fields={"spec.unschedulable": _unschedulable},
            prepare_create=_core.prepare_node,
        ),
        ("", "Namespace"): Strategy(
            name_rule=_core.namespace_name,
            fields=_fields("status.phase"),
            prepare_create=_core.prepare_namespace,
            prepare_update=_core.prepare_namespace_update,
        ),
        ("", "Service"): Strategy(
            revalidated=True,
            name_rule=_core.service_name,
            fields=_fields("spec.clusterIP", "spec.type"),
            prepare_update=_core.prepare_service_update,
            validate=_core.validate_service,
            validate_update=_core.validate_service_update,
        ),
        ("", "ServiceAccount"): Strategy(revalidated=True),
        ("", "ConfigMap"): Strategy(
            revalidated=True,
            validate=_core.validate_config_map,
            validate_update=_core.validate_immutable_data,
        ),
        ("", "Secret"): Strategy(
            revalidated=True,
            fields=_fields("type"),
            validate=_core.validate_secret,
            validate_update=_core.validate_secret_update,
        ),
        ("", "Event"): _EVENT,
        ("events.k8s.io", "Event"): _EVENT,
        ("", "PersistentVolume"): Strategy(
            prepare_create=_core.prepare_pending, validate_update=_immutable.VOLUME
        ),
        ("", "PersistentVolumeClaim"): Strategy(
            prepare_create=_core.prepare_pending,
            validate=_core.validate_claim,
            validate_update=_core.validate_claim_update,
        ),
        ("", "ReplicationController"): Strategy(
            generation=True, fields=_fields("status.replicas"), validate=_workloads.validate_replicas
        ),
        ("apps", "Deployment"): Strategy(
            generation=True,
            annotations_count=True,
            status_keeps=("labels",),
            validate=_workloads.validate_deployment,
            validate_update=_workloads.selector_is_immutable,
        ),
        ("apps", "ReplicaSet"): Strategy(
            generation=True,
            fields=_fields("status.replicas"),
            validate=_workloads.validate_workload,
            validate_update=_workloads.selector_is_immutable,
        ),
        ("apps", "StatefulSet"): Strategy(
            generation=True,
            validate=_workloads.validate_workload,
            validate_update=_immutable.STATEFUL_SET,
        ),
        ("apps", "DaemonSet"): Strategy(
            generation=True,
            validate=_workloads.validate_workload,
            validate_update=_workloads.selector_is_immutable,
        ),
        ("apps", "ControllerRevision"): Strategy(validate_update=_workloads.revision_is_immutable),
        ("batch", "Job"): Strategy(
            generation=True,
            fields=_fields("status.successful"),
            prepare_create=_workloads.prepare_job,
            validate=_workloads.validate_job,
            validate_update=_workloads.job_is_immutable,
        ),
        ("batch", "CronJob"): Strategy(generation=True, validate=_workloads.validate_cron_job),
        ("autoscaling", "HorizontalPodAutoscaler"): Strategy(),
        ("networking.k8s.io", "Ingress"): _COUNTED,
        ("networking.k8s.io", "IngressClass"): Strategy(
            generation=True, validate_update=_immutable.INGRESS_CLASS
        ),
        ("networking.k8s.io", "NetworkPolicy"): _COUNTED,
        ("policy", "PodDisruptionBudget"): _COUNTED,
        ("scheduling.k8s.io", "PriorityClass"): Strategy(
            generation=True, validate_update=_immutable.PRIORITY_CLASS
        ),
        ("discovery.k8s.io", "EndpointSlice"): Strategy(
            generation=True, validate_update=_immutable.ENDPOINT_SLICE
        ),
        ("storage.k8s.io", "StorageClass"): Strategy(validate_update=_immutable.STORAGE_CLASS),
        ("node.k8s.io", "RuntimeClass"): Strategy(validate_update=_immutable.RUNTIME_CLASS),
        ("storage.k8s.io", "CSIDriver"): _COUNTED,
        ("apiextensions.k8s.io", "CustomResourceDefinition"): Strategy(
            generation=True,
            prepare_create=definitions.prepare_definition,
            prepare_update=definitions.prepare_definition_update,
            prepare_delete=definitions.prepare_definition_deletion,
            validate=definitions.validate,
            validate_update=definitions.validate_definition_update,
        ),
        ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _COUNTED,
        ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _COUNTED,
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): Strategy(
            generation=True, validate=policies.validate_policy
        ),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): Strategy(
            generation=True, validate=policies.validate_binding
        ),
        ("coordination.k8s.io", "Lease"): Strategy(creates_on_update=True),
        ("certificates.k8s.io", "CertificateSigningRequest"): Strategy(fields=_fields("spec.signerName")),
        ("rbac.authorization.k8s.io", "Role"): _RBAC,
        ("rbac.authorization.k8s.io", "ClusterRole"): _RBAC,
        ("rbac.authorization.k8s.io", "RoleBinding"): _BINDING,
        ("rbac.authorization.k8s.io", "ClusterRoleBinding"): _BINDING,
    }
