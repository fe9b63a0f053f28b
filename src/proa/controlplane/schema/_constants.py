"""Plain values that Kubernetes fills in where a field is left out, by type; and which empty values it writes.

They apply wherever the type occurs. What depends on the rest of the struct is in `_defaults.py`.
"""

from __future__ import annotations

from typing import Any

_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}

_RBD = {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}
_SCALE_IO = {"storageMode": "ThinProvisioned", "fsType": "xfs"}
_WEBHOOK = {
    "failurePolicy": "Fail",
    "matchPolicy": "Equivalent",
    "namespaceSelector": {},
    "objectSelector": {},
    "timeoutSeconds": 10,
}

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
    "core.v1.ISCSIVolumeSource": {"iscsiInterface": "default"},
    "core.v1.ISCSIPersistentVolumeSource": {"iscsiInterface": "default"},
    "core.v1.RBDVolumeSource": _RBD,
    "core.v1.RBDPersistentVolumeSource": _RBD,
    "core.v1.AzureDiskVolumeSource": {
        "cachingMode": "ReadWrite",
        "kind": "Shared",
        "fsType": "ext4",
        "readOnly": False,
    },
    "core.v1.ScaleIOVolumeSource": _SCALE_IO,
    "core.v1.ScaleIOPersistentVolumeSource": _SCALE_IO,
    "batch.v1.PodFailurePolicyOnPodConditionsPattern": {"status": "True"},
    "networking.v1.IngressClassParametersReference": {"scope": "Cluster"},
    "admissionregistration.v1.MutatingWebhook": {**_WEBHOOK, "reinvocationPolicy": "Never"},
    "admissionregistration.v1.ValidatingWebhook": _WEBHOOK,
    "admissionregistration.v1.RuleWithOperations": {"scope": "*"},
    "admissionregistration.v1.NamedRuleWithOperations": {"scope": "*"},
    "admissionregistration.v1.ServiceReference": {"port": 443},
    "admissionregistration.v1.ValidatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    "admissionregistration.v1.MutatingAdmissionPolicySpec": {"failurePolicy": "Fail"},
    "admissionregistration.v1.MatchResources": {
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
    },
    "apiregistration.v1.ServiceReference": {"port": 443},
    "flowcontrol.v1.FlowSchemaSpec": {"matchingPrecedence": 1000},
    "flowcontrol.v1.LimitedPriorityLevelConfiguration": {
        "nominalConcurrencyShares": 30,
        "lendablePercent": 0,
    },
    "flowcontrol.v1.ExemptPriorityLevelConfiguration": {"nominalConcurrencyShares": 0, "lendablePercent": 0},
    "flowcontrol.v1.QueuingConfiguration": {"queues": 64, "handSize": 8, "queueLengthLimit": 50},
    "resource.v1.DeviceToleration": {"operator": "Equal"},
}
"""Values for fields left out: a type's short name, then field and value. Shared: never changed in place."""

NULLS: dict[str, tuple[str, ...]] = {
    "core.v1.PodCondition": ("lastProbeTime", "lastTransitionTime"),
    "core.v1.NodeCondition": ("lastHeartbeatTime", "lastTransitionTime"),
    "core.v1.NamespaceCondition": ("lastTransitionTime",),
    "core.v1.PersistentVolumeClaimCondition": ("lastProbeTime", "lastTransitionTime"),
    "core.v1.ReplicationControllerCondition": ("lastTransitionTime",),
    "core.v1.Event": ("firstTimestamp", "lastTimestamp", "eventTime"),
    "core.v1.EventSeries": ("lastObservedTime",),
    "events.v1.Event": ("deprecatedFirstTimestamp", "deprecatedLastTimestamp", "eventTime"),
    "events.v1.EventSeries": ("lastObservedTime",),
    "apps.v1.DeploymentCondition": ("lastUpdateTime", "lastTransitionTime"),
    "apps.v1.ReplicaSetCondition": ("lastTransitionTime",),
    "apps.v1.StatefulSetCondition": ("lastTransitionTime",),
    "apps.v1.DaemonSetCondition": ("lastTransitionTime",),
    "autoscaling.v2.HorizontalPodAutoscalerCondition": ("lastTransitionTime",),
    "autoscaling.v2.HorizontalPodAutoscalerStatus": ("currentMetrics",),
    "batch.v1.JobCondition": ("lastProbeTime", "lastTransitionTime"),
    "certificates.v1.CertificateSigningRequestCondition": ("lastUpdateTime", "lastTransitionTime"),
    "flowcontrol.v1.FlowSchemaCondition": ("lastTransitionTime",),
    "flowcontrol.v1.PriorityLevelConfigurationCondition": ("lastTransitionTime",),
    "flowcontrol.v1.ResourcePolicyRule": ("namespaces",),
    "storage.v1.VolumeError": ("time",),
    "storage.v1.CSINodeSpec": ("drivers",),
    "storage.v1.CSINodeDriver": ("topologyKeys",),
    "core.v1.ContainerStateRunning": ("startedAt",),
    "core.v1.ContainerStateTerminated": ("startedAt", "finishedAt"),
    "core.v1.ContainerImage": ("names",),
    "core.v1.LimitRangeSpec": ("limits",),
    "core.v1.ProjectedVolumeSource": ("sources",),
    "core.v1.TypedLocalObjectReference": ("apiGroup",),
    "core.v1.TypedObjectReference": ("apiGroup",),
    "core.v1.AzureFilePersistentVolumeSource": ("secretNamespace",),
    "discovery.v1.EndpointSlice": ("endpoints", "ports"),
    "rbac.v1.Role": ("rules",),
    "rbac.v1.ClusterRole": ("rules",),
    "resource.v1.DeviceClaim": ("requests",),
    "resource.v1.AllocatedDeviceStatus": ("conditions",),
    "apiregistration.v1.APIServiceCondition": ("lastTransitionTime",),
    "apiextensions.v1.CustomResourceDefinitionCondition": ("lastTransitionTime",),
    "meta.v1.Condition": ("lastTransitionTime",),
}
"""Fields that Kubernetes writes as null where they are not set: times, and lists that it never leaves out."""


def nulls(type_name: str) -> tuple[str, ...]:
    """The fields that Kubernetes writes as null in a type where they are not set."""
    return NULLS.get(short(type_name), ())


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
