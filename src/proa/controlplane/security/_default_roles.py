"""The roles and bindings that every cluster begins with. Pure data, as Kubernetes documents it:
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings.

The roles of controllers stand in `_controller_roles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import Document

from ._controller_roles import CONTROLLER_ROLES
from ._rbac import Rule

READ = "get list watch"
WRITE = "create delete deletecollection patch update"
ALL = f"{READ} {WRITE}"
DISCOVERY = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"
PUBLIC = "/healthz /livez /readyz /version /version/"
RBAC = "rbac.authorization.k8s.io"
AGGREGATE = f"{RBAC}/aggregate-to-"
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"

Entry = tuple[str, str, str] | tuple[str, str, str, str]
"""Verbs, groups (`-` is the core group), resources, and perhaps names; words divided by spaces. Without
groups the third are paths.
"""

_SCALED = "replicationcontrollers/scale"
_WORKLOADS = (
    "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale"
)
_READABLE = (
    "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
    "persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers "
    f"replicationcontrollers/status {_SCALED} resourcequotas resourcequotas/status serviceaccounts services "
    "services/status"
)
_READABLE_WORKLOADS = (
    f"controllerrevisions {_WORKLOADS} daemonsets/status deployments/status replicasets/status "
    "statefulsets/status"
)

_CLUSTER_ROLES: dict[str, list[Entry]] = {
    "cluster-admin": [("*", "*", "*"), ("*", "", "*")],
    "system:basic-user": [
        ("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        ("create", "authentication.k8s.io", "selfsubjectreviews"),
    ],
    "system:discovery": [("get", "", DISCOVERY)],
    "system:public-info-viewer": [("get", "", PUBLIC)],
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
        ("get", "", DISCOVERY),
    ],
}

_EXEC = "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy"
_ADMIN: list[Entry] = [
    (ALL, RBAC, "rolebindings roles"),
    ("create", "authorization.k8s.io", "localsubjectaccessreviews"),
]
_EDIT: list[Entry] = [
    (READ, "-", _EXEC),
    ("impersonate", "-", "serviceaccounts"),
    (WRITE, "-", "pods pods/attach pods/exec pods/portforward pods/proxy"),
    ("create", "-", "pods/eviction"),
    (WRITE, "-", f"configmaps events persistentvolumeclaims replicationcontrollers {_SCALED} secrets"),
    (WRITE, "-", "serviceaccounts services services/proxy"),
    ("create", "-", "serviceaccounts/token"),
    (WRITE, "apps", _WORKLOADS.replace("deployments ", "deployments deployments/rollback ", 1)),
    (WRITE, "autoscaling", "horizontalpodautoscalers"),
    (WRITE, "batch", "cronjobs jobs"),
    (WRITE, "policy", "poddisruptionbudgets"),
    (WRITE, "networking.k8s.io", "ingresses networkpolicies"),
    ("create delete deletecollection get list patch update watch", "coordination.k8s.io", "leases"),
]
_VIEW: list[Entry] = [
    (READ, "-", _READABLE),
    (READ, "discovery.k8s.io", "endpointslices"),
    (READ, "apps", _READABLE_WORKLOADS),
    (READ, "autoscaling", "horizontalpodautoscalers horizontalpodautoscalers/status"),
    (READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
    (READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
    (READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
    (READ, "resource.k8s.io", "resourceclaims resourceclaims/status resourceclaimtemplates"),
]
_AGGREGATES = {"admin": _ADMIN, "edit": _EDIT, "view": _VIEW}

_CLUSTER_BINDINGS: dict[str, tuple[str, ...]] = {
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
_OWN_ROLES: dict[str, list[Entry]] = {
    NETWORK: [
        ("list watch", "-", "secrets services"),
        ("list watch", "discovery.k8s.io", "endpointslices"),
        ("list watch", "networking.k8s.io", "ingresses"),
        ("update", "networking.k8s.io", "ingresses/status"),
        ("create patch update", "- events.k8s.io", "events"),
    ],
}
"""What parts have for which Kubernetes has no role: its Ingress controllers bring their own, too."""
_OWN_BINDINGS: dict[str, tuple[str, str]] = {
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

_ROLES: dict[tuple[str, str], list[Entry]] = {
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
_BINDINGS: dict[tuple[str, str], tuple[str, ...]] = {
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


def node_rules() -> list[Rule]:
    """What every node may do, where no object of another node or pod is concerned."""
    return [Rule.parse(rule) for rule in _rules(_CLUSTER_ROLES["system:node"])]


def default_policy() -> list[tuple[str, str, str, Document]]:
    """All of them: group, resource, namespace, document."""
    return [
        *((RBAC, "clusterroles", "", role) for role in _cluster_roles()),
        *((RBAC, "clusterrolebindings", "", binding) for binding in _cluster_bindings()),
        *(
            (RBAC, "roles", namespace, {"metadata": _metadata(name), "rules": _rules(entries)})
            for (namespace, name), entries in _ROLES.items()
        ),
        *(
            (RBAC, "rolebindings", namespace, _binding(name, "Role", _role_of(name), subjects))
            for (namespace, name), subjects in _BINDINGS.items()
        ),
    ]


def _role_of(binding: str) -> str:
    """The role that a binding in a namespace is for: of the same name, with one exception."""
    reader = "extension-apiserver-authentication-reader"
    return reader if binding == f"system::{reader}" else binding


def _cluster_roles() -> Iterator[Document]:
    for name, entries in (*_CLUSTER_ROLES.items(), *_OWN_ROLES.items()):
        yield _cluster_role(name, entries)
    for name, entries in CONTROLLER_ROLES.items():
        yield _cluster_role(f"system:controller:{name}", entries)
    yield from _aggregates()
    yield from _aggregated()


def _cluster_bindings() -> Iterator[Document]:
    for role, subjects in _CLUSTER_BINDINGS.items():
        yield _cluster_binding(role, role, subjects)
    for name in CONTROLLER_ROLES:
        role = f"system:controller:{name}"
        yield _cluster_binding(role, role, (f"ServiceAccount kube-system:{name}",))
        # One process runs all controllers under one name: it is given each one's role.
        yield _cluster_binding(f"proa:controller:{name}", role, ("User system:kube-controller-manager",))
    for name, (role, subject) in _OWN_BINDINGS.items():
        yield _cluster_binding(name, role, (subject,))


def _aggregates() -> list[Document]:
    everyone = {f"{AGGREGATE}{name}": "true" for name in ("admin", "edit", "view")}
    usage: list[Entry] = [("get list", "metrics.k8s.io", "nodes pods")]
    return [
        *(
            _cluster_role(f"system:aggregate-to-{name}", entries, {f"{AGGREGATE}{name}": "true"})
            for name, entries in _AGGREGATES.items()
        ),
        _cluster_role("system:aggregated-metrics-reader", usage, everyone),
    ]


def _aggregated() -> list[Document]:
    """`admin`, `edit` and `view`: each gathers the roles with its label, and `edit`'s own into `admin`."""
    parts = {"view": ("view",), "edit": ("edit", "view"), "admin": ("edit", "view", "admin")}
    roles = []
    for name, gathered in parts.items():
        upwards = {"view": "edit", "edit": "admin"}.get(name)
        labels = {f"{AGGREGATE}{upwards}": "true"} if upwards else {}
        role = _cluster_role(name, [entry for part in gathered for entry in _AGGREGATES[part]], labels)
        selector = {"matchLabels": {f"{AGGREGATE}{name}": "true"}}
        role["aggregationRule"] = {"clusterRoleSelectors": [selector]}
        roles.append(role)
    return roles


def _metadata(name: str, labels: dict[str, str] | None = None) -> Document:
    return {"name": name, "labels": _BOOTSTRAPPING | (labels or {}), "annotations": {AUTOUPDATE: "true"}}


def _cluster_role(name: str, entries: list[Entry], labels: dict[str, str] | None = None) -> Document:
    return {"metadata": _metadata(name, labels), "rules": _rules(entries)}


def _rules(entries: list[Entry]) -> list[Document]:
    return [_rule(*entry) for entry in entries]


def _rule(verbs: str, groups: str, resources: str, names: str = "") -> Document:
    rule: dict[str, Any] = {"verbs": verbs.split()}
    if not groups:
        return rule | {"nonResourceURLs": resources.split()}
    rule |= {"apiGroups": ["" if group == "-" else group for group in groups.split()]}
    rule |= {"resources": resources.split()}
    return rule | ({"resourceNames": names.split()} if names else {})


def _cluster_binding(name: str, role: str, subjects: tuple[str, ...]) -> Document:
    return _binding(name, "ClusterRole", role, subjects)


def _binding(name: str, role_kind: str, role: str, subjects: tuple[str, ...]) -> Document:
    binding: Document = {
        "metadata": _metadata(name),
        "roleRef": {"apiGroup": RBAC, "kind": role_kind, "name": role},
    }
    return binding | ({"subjects": [_subject(one) for one in subjects]} if subjects else {})


def _subject(text: str) -> Document:
    kind, name = text.split()
    if kind == "ServiceAccount":
        namespace, _, account = name.partition(":")
        return {"kind": kind, "name": account, "namespace": namespace}
    return {"kind": kind, "name": name, "apiGroup": RBAC}
