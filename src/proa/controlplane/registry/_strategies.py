"""All strategies, by group and kind: the one place to add what is special about a type."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from proa.controlplane._json import Document

from . import _core, _immutable, _pods, _workloads
from . import _warnings as warnings
from ._metadata import Rechecks
from ._names import dns_1035_label, dns_label, dns_subdomain, path_segment
from ._resource import Select, Strategy
from .validation import _apps as apps
from .validation import _autoscaling as autoscaling
from .validation import _batch as batch
from .validation import _core as core
from .validation import _networking as networking
from .validation import _others as others
from .validation import _pod_updates as pod_updates
from .validation import _pods as pods
from .validation import _quotas as quotas
from .validation import _services as services
from .validation import _storage as storage
from .validation._job_status import job_status

_WORKLOAD_STATUS = {"status": apps.workload_status}
_WORKLOAD = warnings.of_workload("spec", "template")
_ANEW = Rechecks(whole=1)
_DOUBLY = Rechecks(fields=2, whole=1)
_RBAC = Strategy(name_rule=path_segment, rechecks=Rechecks(fields=2, whole=2), creates_on_update=True)
_BINDING = replace(_RBAC, validate_update=_immutable.ROLE_BINDING)
_WEBHOOKS = Strategy(
    generation=True, rechecks=Rechecks(updated=0, whole=1), standard_finalizers=False, unconditional=False
)


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
    "status.podIPs",
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
_POD_FIELDS["status.podIPs"] = lambda _pod: ""
_POD_FIELDS["spec.hostNetwork"] = lambda pod: "true" if pod["spec"].get("hostNetwork") else "false"
_EVENT_FIELDS["source"] = field("source", "component")
_EVENT_FIELDS |= {
    path.replace("involvedObject", "regarding"): select
    for path, select in _EVENT_FIELDS.items()
    if path.startswith("involvedObject")
}
_EVENT_FIELDS["reportingController"] = field("reportingComponent")
_EVENT = Strategy(
    fields=_EVENT_FIELDS,
    creates_on_update=True,
    name_rule=path_segment,
    rechecks=Rechecks(updated=0),
    standard_finalizers=False,
)
"""The events of both groups: they are the same objects, but the newer one is stricter."""
_NEW_EVENT = replace(
    _EVENT,
    name_rule=dns_subdomain,
    rechecks=Rechecks(),
    standard_finalizers=True,
    validate_new=core.new_event,
    validate_update=core.event_update,
)


def _unschedulable(node: Document) -> str:
    return "true" if node.get("spec", {}).get("unschedulable") else "false"


def _succeeded(job: Document) -> str:
    return str(job.get("status", {}).get("succeeded", 0))


def _replicas(workload: Document) -> str:
    return str(workload.get("status", {}).get("replicas", 0))


@cache
def strategies() -> dict[tuple[str, str], Strategy]:
    """What is special about which kind. A kind that is not here behaves as Kubernetes' objects usually do."""
    return {
        **_CORE,
        **{("apps", kind): strategy for kind, strategy in _APPS.items()},
        **{("batch", kind): strategy for kind, strategy in _BATCH.items()},
        **{("networking.k8s.io", kind): strategy for kind, strategy in _NETWORKING.items()},
        **{
            ("storage.k8s.io", kind): replace(strategy, returns_deleted=kind != "CSIStorageCapacity")
            for kind, strategy in _STORAGE.items()
        },
        **{("rbac.authorization.k8s.io", kind): _RBAC for kind in ("Role", "ClusterRole")},
        **{("rbac.authorization.k8s.io", kind): _BINDING for kind in ("RoleBinding", "ClusterRoleBinding")},
        **_OTHERS,
        **_extensions(),
    }


_CORE = {
    ("", "Pod"): Strategy(
        generation=True,
        graceful=True,
        returns_deleted=True,
        rechecks=_ANEW,
        fields=_POD_FIELDS,
        prepare_create=_pods.prepare_create,
        validate_new=pods.new_pod,
        validate_update=pod_updates.pod_update,
        validate_part={
            "status": pod_updates.pod_status,
            "ephemeralcontainers": pod_updates.ephemeral_containers,
            "resize": pod_updates.resize(_pods.quality_of_service),
        },
        whole_parts=frozenset({"ephemeralcontainers", "resize"}),
        warn=warnings.of_pod,
    ),
    ("", "PodTemplate"): Strategy(
        generation=True, returns_deleted=True, warn=warnings.of_workload("template", named=False)
    ),
    ("", "Node"): Strategy(
        keeps_status=True,
        rechecks=_DOUBLY,
        fields={"spec.unschedulable": _unschedulable},
        prepare_create=_core.prepare_node,
        validate_update=core.node_update,
        warn=warnings.of_node,
        validate_part={"status": lambda new, _old: core.node_amounts(new)},
    ),
    ("", "Namespace"): Strategy(
        name_rule=dns_label,
        rechecks=_ANEW,
        fields=_fields("status.phase"),
        prepare_create=_core.prepare_namespace,
        prepare_update=_core.prepare_namespace_update,
        validate_part={"status": core.namespace_status},
    ),
    ("", "Service"): Strategy(
        returns_deleted=True,
        rechecks=_ANEW,
        name_rule=dns_1035_label,
        creates_on_update=True,
        fields=_fields("spec.clusterIP", "spec.type"),
        prepare_create=_core.prepare_service,
        prepare_update=_core.prepare_service_update,
        validate_update=services.service_update,
        validate_part={"status": services.service_status},
        warn=warnings.of_service,
    ),
    ("", "Endpoints"): Strategy(rechecks=_ANEW, creates_on_update=True),
    ("", "ServiceAccount"): Strategy(rechecks=_ANEW, returns_deleted=True),
    ("", "ConfigMap"): Strategy(rechecks=_ANEW, validate_update=core.data_update),
    ("", "Secret"): Strategy(rechecks=_ANEW, fields=_fields("type"), validate_update=core.secret_update),
    ("", "Event"): _EVENT,
    ("events.k8s.io", "Event"): _NEW_EVENT,
    ("", "LimitRange"): Strategy(rechecks=Rechecks(updated=0, whole=1), creates_on_update=True),
    ("", "ResourceQuota"): Strategy(
        returns_deleted=True,
        validate_update=quotas.quota_update,
        validate_part={"status": quotas.quota_status},
    ),
    ("", "PersistentVolume"): Strategy(
        returns_deleted=True,
        rechecks=Rechecks(updated=0, whole=2, fields=2),
        prepare_create=_core.prepare_pending,
        validate_update=storage.volume_update,
        warn=warnings.of_volume,
    ),
    ("", "PersistentVolumeClaim"): Strategy(
        returns_deleted=True,
        rechecks=Rechecks(whole=2, fields=2),
        prepare_create=_core.prepare_claim,
        prepare_update=_core.prepare_claim_update,
        validate_update=storage.claim_update,
        validate_part={"status": storage.claim_status},
        warn=warnings.of_claim,
    ),
    ("", "ReplicationController"): Strategy(
        generation=True,
        rechecks=_DOUBLY,
        fields={"status.replicas": _replicas},
        validate_part=_WORKLOAD_STATUS,
        warn=_WORKLOAD,
    ),
}
_APPS = {
    "Deployment": Strategy(
        generation=True,
        annotations_count=True,
        status_keeps=("labels",),
        warn=_WORKLOAD,
        validate_update=_immutable.SELECTOR,
        validate_part=_WORKLOAD_STATUS,
    ),
    "ReplicaSet": Strategy(
        generation=True,
        rechecks=_DOUBLY,
        fields={"status.replicas": _replicas},
        validate_update=_immutable.SELECTOR,
        warn=_WORKLOAD,
        validate_part=_WORKLOAD_STATUS,
    ),
    "StatefulSet": Strategy(
        generation=True,
        name_rule=dns_label,
        validate_update=_immutable.STATEFUL_SET,
        warn=warnings.of_workload("spec", "template", named=False),
        validate_part=_WORKLOAD_STATUS,
    ),
    "DaemonSet": Strategy(
        generation=True,
        rechecks=_DOUBLY,
        validate_update=_immutable.SELECTOR,
        warn=_WORKLOAD,
        validate_part=_WORKLOAD_STATUS,
    ),
    "ControllerRevision": Strategy(rechecks=_ANEW, validate_update=_immutable.REVISION),
}
_BATCH = {
    "Job": Strategy(
        generation=True,
        rechecks=_DOUBLY,
        fields={"status.successful": _succeeded},
        prepare_create=_workloads.prepare_job,
        validate_update=_workloads.job_update,
        warn=warnings.of_job,
        validate_part={"status": job_status},
    ),
    "CronJob": Strategy(
        generation=True,
        validate_new=batch.new_cron_job,
        warn=warnings.of_workload("spec", "jobTemplate", "spec", "template"),
    ),
}
_NETWORKING = {
    "Ingress": Strategy(
        generation=True,
        rechecks=_ANEW,
        validate_new=networking.new_ingress,
        warn=warnings.of_ingress,
        validate_part={"status": networking.ingress_status},
    ),
    "IngressClass": Strategy(generation=True, rechecks=_ANEW, validate_update=_immutable.INGRESS_CLASS),
    "NetworkPolicy": Strategy(generation=True),
    "IPAddress": Strategy(name_rule=networking.address_name, validate_update=_immutable.IP_ADDRESS),
    "ServiceCIDR": Strategy(validate_update=networking.service_network_update),
}
_STORAGE = {
    "StorageClass": Strategy(rechecks=_ANEW, validate_update=storage.class_update),
    "VolumeAttachment": Strategy(
        unconditional=False,
        rechecks=Rechecks(updated=0, whole=1),
        validate_new=storage.new_attachment,
        validate_update=_immutable.SPEC,
    ),
    "CSINode": Strategy(
        unconditional=False,
        rechecks=Rechecks(updated=0, whole=1),
        validate_update=storage.csi_node_update,
    ),
    "CSIDriver": Strategy(generation=True, unconditional=False, validate_update=_immutable.CSI_DRIVER),
    "CSIStorageCapacity": Strategy(unconditional=False, validate_update=_immutable.STORAGE_CAPACITY),
    "VolumeAttributesClass": Strategy(rechecks=_ANEW, validate_update=_immutable.ATTRIBUTES_CLASS),
}
_OTHERS = {
    ("autoscaling", "HorizontalPodAutoscaler"): Strategy(validate_part={"status": autoscaling.scaler_status}),
    ("policy", "PodDisruptionBudget"): Strategy(
        generation=True,
        name_rule=path_segment,
        rechecks=Rechecks(updated=0),
        standard_finalizers=False,
        unconditional=False,
        validate_part={"status": others.budget_status},
    ),
    ("scheduling.k8s.io", "PriorityClass"): Strategy(
        generation=True, validate_update=_immutable.PRIORITY_CLASS
    ),
    ("discovery.k8s.io", "EndpointSlice"): Strategy(
        generation=True,
        rechecks=Rechecks(updated=0, whole=1),
        validate_update=_immutable.ENDPOINT_SLICE,
    ),
    ("node.k8s.io", "RuntimeClass"): Strategy(
        unconditional=False, validate_update=_immutable.RUNTIME_CLASS, warn=warnings.of_runtime_class
    ),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _WEBHOOKS,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _WEBHOOKS,
    ("coordination.k8s.io", "Lease"): Strategy(
        creates_on_update=True, unconditional=False, standard_finalizers=False
    ),
    ("certificates.k8s.io", "CertificateSigningRequest"): Strategy(
        name_rule=path_segment, rechecks=_ANEW, fields=_fields("spec.signerName")
    ),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): Strategy(
        generation=True, unconditional=False, rechecks=_ANEW
    ),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): Strategy(
        generation=True, unconditional=False, rechecks=_ANEW
    ),
    ("resource.k8s.io", "ResourceClaim"): Strategy(validate_update=_immutable.SPEC),
    ("resource.k8s.io", "ResourceClaimTemplate"): Strategy(validate_update=_immutable.SPEC),
    ("resource.k8s.io", "DeviceClass"): Strategy(generation=True),
    ("resource.k8s.io", "ResourceSlice"): Strategy(
        generation=True, fields=_fields("spec.nodeName", "spec.driver")
    ),
}


def _extensions() -> dict[tuple[str, str], Strategy]:
    from proa.controlplane.customresources import _strategy as definitions

    return {
        ("apiextensions.k8s.io", "CustomResourceDefinition"): Strategy(
            generation=True,
            unconditional=False,
            standard_finalizers=False,
            prepare_create=definitions.prepare_definition,
            prepare_update=definitions.prepare_definition_update,
            prepare_delete=definitions.prepare_definition_deletion,
            validate=definitions.validate,
            validate_update=definitions.validate_definition_update,
        ),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"): Strategy(
            generation=True,
            unconditional=False,
            standard_finalizers=False,
        ),
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"): Strategy(
            generation=True,
            unconditional=False,
            standard_finalizers=False,
        ),
        **{
            ("admissionregistration.k8s.io", kind): Strategy(
                generation=True, unconditional=False, standard_finalizers=False
            )
            for kind in ("MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding")
        },
    }
