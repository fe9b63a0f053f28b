"""The roles of a cluster's components, and who has them. Pure data, as Kubernetes documents it:
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#core-component-roles.

The roles of controllers stand in `_controller_roles`, those of people in `_default_roles`.
"""

from __future__ import annotations

READ = "get list watch"
_DISCOVERY = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
_PUBLIC = "/healthz /livez /readyz /version /version/"

Entry = tuple[str, str, str] | tuple[str, str, str, str]
"""Verbs, groups (`-` is the core group), resources, and perhaps names; words divided by spaces. Without
groups the third are paths.
"""

CLUSTER_ROLES: dict[str, list[Entry]] = {
    "cluster-admin": [("*", "*", "*"), ("*", "", "*")],
    "system:basic-user": [
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:discovery": [("get", "", _DISCOVERY)],
    "system:public-info-viewer": [("get", "", _PUBLIC)],
    "system:monitoring": [
        ("get", "", "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*")
    ],
    "system:service-account-issuer-discovery": [
        ("get", "", "/.well-known/openid-configuration /.well-known/openid-configuration/ /openid/v1/jwks")
    ],
    "system:auth-delegator": [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
    ],
    "system:node": [
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "localsubjectaccessreviews subjectaccessreviews"),
        (READ, "-", "services"),
        (f"create {READ}", "-", "nodes"),
        ("patch update", "-", "nodes nodes/status"),
        ("delete", "-", "nodes"),
        ("create patch update", "-", "events"),
        ("create patch update", "events.k8s.io", "events"),
        (READ, "-", "pods"),
        ("create delete", "-", "pods"),
        ("patch update", "-", "pods/status"),
        ("create", "-", "pods/eviction"),
        (READ, "-", "configmaps secrets"),
        ("get", "-", "persistentvolumeclaims persistentvolumes"),
        ("get patch update", "-", "persistentvolumeclaims/status"),
        ("get", "-", "endpoints"),
        (f"create {READ}", "certificates.k8s.io", "certificatesigningrequests"),
        ("create delete get patch update", "coordination.k8s.io", "leases"),
        ("get", "storage.k8s.io", "volumeattachments"),
        ("create", "-", "serviceaccounts/token"),
        (READ, "storage.k8s.io", "csidrivers"),
        ("create delete get patch update", "storage.k8s.io", "csinodes"),
        (READ, "node.k8s.io", "runtimeclasses"),
        ("get", "resource.k8s.io", "resourceclaims"),
        ("create deletecollection get list patch update watch", "resource.k8s.io", "resourceslices"),
        (READ, "discovery.k8s.io", "endpointslices"),
        (READ, "certificates.k8s.io", "clustertrustbundles"),
        ("get list", "-", "serviceaccounts"),
    ],
    "system:node-proxier": [
        ("list watch", "-", "endpoints services"),
        (READ, "-", "nodes"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("create patch update", "- events.k8s.io", "events"),
        ("list watch", "networking.k8s.io", "servicecidrs"),
    ],
    "system:node-problem-detector": [
        ("get", "-", "nodes"),
        ("patch", "-", "nodes/status"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
    "system:kubelet-api-admin": [
        (READ, "-", "nodes"),
        ("*", "-", "nodes"),
        ("*", "-", "nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods nodes/proxy nodes/stats"),
    ],
    "system:node-bootstrapper": [
        (f"create {READ}", "certificates.k8s.io", "certificatesigningrequests"),
    ],
    "system:certificates.k8s.io:certificatesigningrequests:nodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/nodeclient")
    ],
    "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient": [
        ("create", "certificates.k8s.io", "certificatesigningrequests/selfnodeclient")
    ],
    **{
        f"system:certificates.k8s.io:{name}-approver": [
            ("approve", "certificates.k8s.io", "signers", f"kubernetes.io/{signer}")
        ]
        for name, signer in {
            "kube-apiserver-client": "kube-apiserver-client",
            "kube-apiserver-client-kubelet": "kube-apiserver-client-kubelet",
            "kubelet-serving": "kubelet-serving",
            "legacy-unknown": "legacy-unknown",
        }.items()
    },
    "system:volume-scheduler": [
        ("get list patch update watch", "-", "persistentvolumes"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("get list patch update watch", "-", "persistentvolumeclaims"),
    ],
    "system:persistent-volume-provisioner": [
        ("create delete get list watch", "-", "persistentvolumes"),
        ("get list update watch", "-", "persistentvolumeclaims"),
        (READ, "storage.k8s.io", "storageclasses"),
        ("watch", "-", "events"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
    "system:kube-aggregator": [(READ, "-", "endpoints services")],
    "system:kube-dns": [("list watch", "-", "endpoints services")],
    "system:heapster": [(READ, "-", "events namespaces nodes pods"), (READ, "extensions", "deployments")],
    "system:kube-scheduler": [
        ("create patch update", "- events.k8s.io", "events"),
        ("create", "coordination.k8s.io", "leases"),
        ("get list watch", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases", "kube-scheduler"),
        (READ, "-", "nodes"),
        ("delete get list watch", "-", "pods"),
        ("create", "-", "bindings pods/binding"),
        ("patch update", "-", "pods/status"),
        (READ, "-", "replicationcontrollers services"),
        (READ, "apps extensions", "replicasets"),
        (READ, "apps", "statefulsets"),
        (READ, "policy", "poddisruptionbudgets"),
        (READ, "-", "persistentvolumeclaims persistentvolumes"),
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        (READ, "storage.k8s.io", "csidrivers csinodes csistoragecapacities volumeattachments"),
        (READ, "resource.k8s.io", "deviceclasses resourceclaims resourceslices"),
        ("patch update", "resource.k8s.io", "resourceclaims/status"),
        ("patch update", "resource.k8s.io", "resourceclaims"),
        (READ, "-", "namespaces"),
    ],
    "system:kube-controller-manager": [
        ("create patch update", "- events.k8s.io", "events"),
        ("create", "coordination.k8s.io", "leases"),
        ("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
        ("create", "-", "secrets serviceaccounts"),
        ("delete", "-", "secrets"),
        ("get", "-", "configmaps namespaces secrets serviceaccounts"),
        ("update", "-", "secrets serviceaccounts"),
        ("create", "authentication.k8s.io", "tokenreviews"),
        ("create", "authorization.k8s.io", "subjectaccessreviews"),
        ("list watch", "*", "*"),
        ("create", "-", "serviceaccounts/token"),
        ("get", "", _DISCOVERY),
    ],
}

CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
    "cluster-admin": ("Group system:masters",),
    "system:monitoring": ("Group system:monitoring",),
    "system:discovery": ("Group system:authenticated",),
    "system:basic-user": ("Group system:authenticated",),
    "system:public-info-viewer": ("Group system:authenticated", "Group system:unauthenticated"),
    "system:node-proxier": ("User system:kube-proxy",),
    "system:kube-controller-manager": ("User system:kube-controller-manager",),
    "system:kube-dns": ("ServiceAccount kube-system:kube-dns",),
    "system:kube-scheduler": ("User system:kube-scheduler",),
    "system:volume-scheduler": ("User system:kube-scheduler",),
    "system:node": (),
    "system:service-account-issuer-discovery": ("Group system:serviceaccounts",),
}
NETWORK = "proa:network"
OWN_ROLES: dict[str, list[Entry]] = {
    NETWORK: [
        ("list watch", "-", "secrets services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "ingressclasses ingresses"),
        ("update", "networking.k8s.io", "ingresses/status"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
}
"""What parts have for which Kubernetes has no role: its Ingress controllers bring their own, too."""
OWN_BINDINGS: dict[str, tuple[str, str]] = {
    NETWORK: (NETWORK, f"User {NETWORK}"),
    "proa:node-bootstrapper": ("system:node-bootstrapper", "Group system:bootstrappers"),
    "proa:approve-node-client": (
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        "Group system:bootstrappers",
    ),
    "proa:renew-node-client": (
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        "Group system:nodes",
    ),
}
"""What a cluster's installer sets up besides: nodes may join with a bootstrap token, and renew."""

ROLES: dict[tuple[str, str], list[Entry]] = {
    ("kube-system", "extension-apiserver-authentication-reader"): [
        (READ, "-", "configmaps", "extension-apiserver-authentication")
    ],
    ("kube-system", "system:controller:bootstrap-signer"): [(READ, "-", "secrets")],
    ("kube-system", "system:controller:token-cleaner"): [
        ("delete get list watch", "-", "secrets"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
    ("kube-system", "system:controller:cloud-provider"): [
        ("create get list patch update watch", "-", "configmaps")
    ],
    ("kube-system", "system::leader-locking-kube-controller-manager"): [
        ("watch", "-", "configmaps"),
        ("get update", "-", "configmaps", "kube-controller-manager"),
    ],
    ("kube-system", "system::leader-locking-kube-scheduler"): [
        ("watch", "-", "configmaps"),
        ("get update", "-", "configmaps", "kube-scheduler"),
    ],
    ("kube-public", "system:controller:bootstrap-signer"): [
        (READ, "-", "configmaps"),
        ("update", "-", "configmaps", "cluster-info"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
}
BINDINGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "User system:kube-controller-manager",
        "User system:kube-scheduler",
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "User system:kube-controller-manager",
        "ServiceAccount kube-system:kube-controller-manager",
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "User system:kube-scheduler",
        "ServiceAccount kube-system:kube-scheduler",
    ),
    ("kube-system", "system:controller:bootstrap-signer"): ("ServiceAccount kube-system:bootstrap-signer",),
    ("kube-system", "system:controller:token-cleaner"): ("ServiceAccount kube-system:token-cleaner",),
    ("kube-system", "system:controller:cloud-provider"): ("ServiceAccount kube-system:cloud-provider",),
    ("kube-public", "system:controller:bootstrap-signer"): ("ServiceAccount kube-system:bootstrap-signer",),
}
