"""The roles and bindings that every cluster begins with. Pure data, as Kubernetes documents it:
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings.

The roles of components stand in `_component_roles`, those of controllers in `_controller_roles`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._json import Document

from ._component_roles import (
    BINDINGS,
    CLUSTER_BINDINGS,
    CLUSTER_ROLES,
    OWN_BINDINGS,
    OWN_ROLES,
    READ,
    ROLES,
    Entry,
)
from ._controller_roles import CONTROLLER_ROLES
from ._rbac import Rule

WRITE = "create delete deletecollection patch update"
ALL = f"{READ} {WRITE}"
RBAC = "rbac.authorization.k8s.io"
AGGREGATE = f"{RBAC}/aggregate-to-"
_BOOTSTRAPPING = {"kubernetes.io/bootstrapping": "rbac-defaults"}
AUTOUPDATE = "rbac.authorization.kubernetes.io/autoupdate"

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


def node_rules() -> list[Rule]:
    """What every node may do, where no object of another node or pod is concerned."""
    return [Rule.parse(rule) for rule in _rules(CLUSTER_ROLES["system:node"])]


def default_policy() -> list[tuple[str, str, str, Document]]:
    """All of them: group, resource, namespace, document."""
    return [
        *((RBAC, "clusterroles", "", role) for role in _cluster_roles()),
        *((RBAC, "clusterrolebindings", "", binding) for binding in _cluster_bindings()),
        *(
            (RBAC, "roles", namespace, {"metadata": _metadata(name), "rules": _rules(entries)})
            for (namespace, name), entries in ROLES.items()
        ),
        *(
            (RBAC, "rolebindings", namespace, _binding(name, "Role", _role_of(name), subjects))
            for (namespace, name), subjects in BINDINGS.items()
        ),
    ]


def _role_of(binding: str) -> str:
    """The role that a binding in a namespace is for: of the same name, with one exception."""
    reader = "extension-apiserver-authentication-reader"
    return reader if binding == f"system::{reader}" else binding


def _cluster_roles() -> Iterator[Document]:
    for name, entries in (*CLUSTER_ROLES.items(), *OWN_ROLES.items()):
        yield _cluster_role(name, entries)
    for name, entries in CONTROLLER_ROLES.items():
        yield _cluster_role(f"system:controller:{name}", entries)
    yield from _aggregates()
    yield from _aggregated()


def _cluster_bindings() -> Iterator[Document]:
    for role, subjects in CLUSTER_BINDINGS.items():
        yield _cluster_binding(role, role, subjects)
    for name in CONTROLLER_ROLES:
        role = f"system:controller:{name}"
        yield _cluster_binding(role, role, (f"ServiceAccount kube-system:{name}",))
        # One process runs all controllers under one name: it is given each one's role.
        yield _cluster_binding(f"proa:controller:{name}", role, ("User system:kube-controller-manager",))
    for name, (role, subject) in OWN_BINDINGS.items():
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
