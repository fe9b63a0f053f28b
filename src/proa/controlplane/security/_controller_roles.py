"""What each controller may do: the cluster roles `system:controller:NAME`. Pure data, after
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#controller-roles.
"""

from __future__ import annotations

SIGNERS = (
    "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet "
    "kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown"
)
_READ = "get list watch"
_EVENTS = ("create patch update", "- events.k8s.io", "events")

CONTROLLER_ROLES: dict[str, list[tuple[str, str, str] | tuple[str, str, str, str]]] = {
    "attachdetach-controller": [
        ("list watch", "-", "persistentvolumeclaims persistentvolumes"),
        (_READ, "-", "nodes"),
        ("patch update", "-", "nodes/status"),
        ("list watch", "-", "pods"),
        _EVENTS,
        ("create delete get list watch", "storage.k8s.io", "volumeattachments"),
        (_READ, "storage.k8s.io", "csidrivers csinodes"),
    ],
    "certificate-controller": [
        ("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
        ("update", "certificates.k8s.io", "certificatesigningrequests/approval"),
        ("update", "certificates.k8s.io", "certificatesigningrequests/status"),
        ("approve", "certificates.k8s.io", "signers", "kubernetes.io/kube-apiserver-client-kubelet"),
        (
            "sign",
            "certificates.k8s.io",
            "signers",
            SIGNERS,
        ),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        _EVENTS,
    ],
    "clusterrole-aggregation-controller": [
        ("escalate get list patch update watch", "rbac.authorization.k8s.io", "clusterroles")
    ],
    "cronjob-controller": [
        ("get list update watch", "batch", "cronjobs"),
        ("create delete get list patch update watch", "batch", "jobs"),
        ("update", "batch", "cronjobs/finalizers cronjobs/status"),
        ("delete list", "-", "pods"),
        _EVENTS,
    ],
    "daemon-set-controller": [
        (_READ, "apps", "daemonsets"),
        ("update", "apps", "daemonsets/finalizers daemonsets/status"),
        ("list watch", "-", "nodes"),
        ("create delete list patch watch", "-", "pods"),
        ("create", "-", "pods/binding"),
        ("create delete get list patch update watch", "apps", "controllerrevisions"),
        _EVENTS,
    ],
    "deployment-controller": [
        ("get list update watch", "apps", "deployments"),
        ("update", "apps", "deployments/finalizers deployments/status"),
        ("create delete get list patch update watch", "apps", "replicasets"),
        ("get list update watch", "-", "pods"),
        _EVENTS,
    ],
    "disruption-controller": [
        (_READ, "apps", "deployments replicasets statefulsets"),
        (_READ, "-", "replicationcontrollers"),
        (_READ, "policy", "poddisruptionbudgets"),
        ("update", "policy", "poddisruptionbudgets/status"),
        ("patch update", "-", "pods/status"),
        ("list watch", "-", "pods"),
        ("get", "*", "*/scale"),
        _EVENTS,
    ],
    "endpoint-controller": [
        (_READ, "-", "pods services"),
        ("create delete get list update watch", "-", "endpoints"),
        ("create", "-", "endpoints/restricted"),
        _EVENTS,
    ],
    "endpointslice-controller": [
        (_READ, "-", "nodes pods services"),
        ("update", "-", "services/finalizers"),
        ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ],
    "endpointslicemirroring-controller": [
        (_READ, "-", "endpoints services"),
        ("update", "-", "services/finalizers"),
        ("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
        ("create", "discovery.k8s.io", "endpointslices/restricted"),
        _EVENTS,
    ],
    "ephemeral-volume-controller": [
        ("update", "-", "pods/finalizers"),
        (_READ, "-", "pods"),
        ("create get list watch", "-", "persistentvolumeclaims"),
        _EVENTS,
    ],
    "expand-controller": [
        ("get list patch update watch", "-", "persistentvolumes"),
        ("patch update", "-", "persistentvolumeclaims/status"),
        (_READ, "-", "persistentvolumeclaims"),
        (_READ, "storage.k8s.io", "storageclasses"),
        _EVENTS,
    ],
    "generic-garbage-collector": [
        ("delete get list patch update watch", "*", "*"),
        _EVENTS,
    ],
    "horizontal-pod-autoscaler": [
        (_READ, "autoscaling", "horizontalpodautoscalers"),
        ("update", "autoscaling", "horizontalpodautoscalers/status"),
        ("get update", "*", "*/scale"),
        ("list", "-", "pods"),
        ("list", "metrics.k8s.io", "pods"),
        ("get list", "custom.metrics.k8s.io external.metrics.k8s.io", "*"),
        _EVENTS,
    ],
    "job-controller": [
        ("get list patch update watch", "batch", "jobs"),
        ("update", "batch", "jobs/finalizers jobs/status"),
        ("create delete list patch watch", "-", "pods"),
        _EVENTS,
    ],
    "legacy-service-account-token-cleaner": [
        ("get", "-", "configmaps", "kube-apiserver-legacy-service-account-token-tracking"),
        ("delete patch", "-", "secrets"),
    ],
    "namespace-controller": [
        ("delete get list watch", "-", "namespaces"),
        ("update", "-", "namespaces/finalize namespaces/status"),
        ("delete deletecollection get list", "*", "*"),
    ],
    "node-controller": [
        ("delete get list patch update", "-", "nodes"),
        ("watch", "-", "nodes"),
        ("patch update", "-", "nodes/status"),
        ("patch update", "-", "pods/status"),
        ("delete list watch", "-", "pods"),
        ("get list watch", "coordination.k8s.io", "leases"),
        ("get", "-", "pods"),
        _EVENTS,
    ],
    "persistent-volume-binder": [
        ("create delete get list update watch", "-", "persistentvolumes"),
        ("update", "-", "persistentvolumes/status"),
        ("get list update watch", "-", "persistentvolumeclaims"),
        ("update", "-", "persistentvolumeclaims/status"),
        ("create delete get list watch", "-", "pods"),
        (_READ, "storage.k8s.io", "storageclasses"),
        ("create delete get update", "-", "endpoints services"),
        ("get list", "-", "secrets"),
        ("get list", "-", "nodes"),
        ("watch", "-", "events"),
        _EVENTS,
    ],
    "pod-garbage-collector": [
        ("delete list watch", "-", "pods"),
        ("get list", "-", "nodes"),
        ("patch update", "-", "pods/status"),
    ],
    "pv-protection-controller": [("get list update watch", "-", "persistentvolumes"), _EVENTS],
    "pvc-protection-controller": [
        ("get list update watch", "-", "persistentvolumeclaims"),
        (_READ, "-", "pods"),
        _EVENTS,
    ],
    "replicaset-controller": [
        ("get list update watch", "apps", "replicasets"),
        ("update", "apps", "replicasets/finalizers replicasets/status"),
        ("create delete list patch watch", "-", "pods"),
        _EVENTS,
    ],
    "replication-controller": [
        ("get list update watch", "-", "replicationcontrollers"),
        ("update", "-", "replicationcontrollers/finalizers replicationcontrollers/status"),
        ("create delete list patch watch", "-", "pods"),
        _EVENTS,
    ],
    "resourcequota-controller": [
        ("list watch", "*", "*"),
        ("update", "-", "resourcequotas/status"),
        _EVENTS,
    ],
    "root-ca-cert-publisher": [("create update", "-", "configmaps"), _EVENTS],
    "route-controller": [("list watch", "-", "nodes"), ("patch", "-", "nodes/status"), _EVENTS],
    "service-account-controller": [("create", "-", "serviceaccounts"), _EVENTS],
    "service-controller": [
        (_READ, "-", "services"),
        ("patch update", "-", "services/status"),
        ("list watch", "-", "nodes"),
        _EVENTS,
    ],
    "service-cidrs-controller": [
        ("get list patch update watch", "networking.k8s.io", "servicecidrs"),
        ("patch update", "networking.k8s.io", "servicecidrs/finalizers servicecidrs/status"),
        (_READ, "networking.k8s.io", "ipaddresses"),
        _EVENTS,
    ],
    "statefulset-controller": [
        ("list watch", "-", "pods"),
        (_READ, "apps", "statefulsets"),
        ("update", "apps", "statefulsets/finalizers statefulsets/status"),
        ("create delete get patch update", "-", "pods"),
        ("create delete get list patch update watch", "apps", "controllerrevisions"),
        ("create get", "-", "persistentvolumeclaims"),
        ("delete update", "-", "persistentvolumeclaims"),
        _EVENTS,
    ],
    "ttl-after-finished-controller": [("delete get list watch", "batch", "jobs"), _EVENTS],
    "ttl-controller": [("list patch update watch", "-", "nodes"), _EVENTS],
    "validatingadmissionpolicy-status-controller": [
        (_READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("get patch update", "admissionregistration.k8s.io", "validatingadmissionpolicies/status"),
        _EVENTS,
    ],
}
