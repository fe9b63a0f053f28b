"""What a user may do. Pure.

Until roles are evaluated: `system:masters` may do everything, `system:nodes` what a kubelet needs,
control-plane components what they need, and everybody who is authenticated may look at discovery and ask
about themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from ._authentication import AUTHENTICATED, User

PUBLIC_PATHS = frozenset({"/healthz", "/livez", "/readyz", "/version"})
_DISCOVERY = ("/api", "/apis", "/openapi")
_READ = frozenset({"get", "list", "watch"})
_WRITE = frozenset({"create", "update", "patch", "delete"})


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants: to do `verb` with a resource, or with a path that is none."""

    user: User
    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def resource_path(self) -> str:
        """The resource with its subresource, for example `pods/log`."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a request is allowed, and why, where there is more to say."""

    allowed: bool
    reason: str = ""


_NODE_RULES: dict[tuple[str, str], frozenset[str]] = {
    ("", "nodes"): _READ | _WRITE,
    ("", "nodes/status"): _READ | _WRITE,
    ("", "pods"): _READ | _WRITE,
    ("", "pods/status"): _READ | _WRITE,
    ("", "pods/eviction"): frozenset({"create"}),
    ("", "events"): _WRITE,
    ("events.k8s.io", "events"): _WRITE,
    ("", "services"): _READ,
    ("", "endpoints"): _READ,
    ("", "namespaces"): _READ,
    ("", "secrets"): _READ,
    ("", "configmaps"): _READ,
    ("", "persistentvolumes"): _READ,
    ("", "persistentvolumeclaims"): _READ,
    ("", "persistentvolumeclaims/status"): frozenset({"update", "patch"}),
    ("", "serviceaccounts"): _READ,
    ("", "serviceaccounts/token"): frozenset({"create"}),
    ("coordination.k8s.io", "leases"): _READ | _WRITE,
    ("certificates.k8s.io", "certificatesigningrequests"): _READ | frozenset({"create"}),
    ("node.k8s.io", "runtimeclasses"): _READ,
    ("storage.k8s.io", "csinodes"): _READ | _WRITE,
    ("storage.k8s.io", "csidrivers"): _READ,
    ("storage.k8s.io", "volumeattachments"): _READ,
    ("discovery.k8s.io", "endpointslices"): _READ,
    ("authentication.k8s.io", "tokenreviews"): frozenset({"create"}),
    ("authorization.k8s.io", "subjectaccessreviews"): frozenset({"create"}),
}
_SELF_REVIEWS = frozenset({"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"})
_COMPONENTS = frozenset({"system:kube-scheduler", "system:kube-controller-manager"})


def authorise(wanted: Attributes) -> Decision:
    """Whether the user may do it."""
    user = wanted.user
    if "system:masters" in user.groups:
        return Decision(allowed=True)
    if not wanted.resource:
        return Decision(_may_see_path(wanted))
    if AUTHENTICATED not in user.groups:
        return Decision(allowed=False)
    if wanted.resource in _SELF_REVIEWS or user.name in _COMPONENTS:
        return Decision(allowed=True)
    if "system:nodes" in user.groups:
        return Decision(wanted.verb in _NODE_RULES.get((wanted.group, wanted.resource_path), frozenset()))
    return Decision(allowed=False)


def _may_see_path(wanted: Attributes) -> bool:
    path = wanted.path.rstrip("/")
    if path in PUBLIC_PATHS or path.startswith(("/livez/", "/readyz/", "/healthz/")):
        return wanted.verb == "get"
    if AUTHENTICATED not in wanted.user.groups or wanted.verb != "get":
        return False
    return path in _DISCOVERY or path.startswith(tuple(f"{prefix}/" for prefix in _DISCOVERY))
