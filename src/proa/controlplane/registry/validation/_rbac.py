"""Roles and who has them. Pure."""

from __future__ import annotations

from typing import Any

from proa.controlplane._errors import Cause, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.registry._checks import Check
from proa.controlplane.registry._names import dns_subdomain, path_segment

from ._parts import each, names

_GROUP = "rbac.authorization.k8s.io"


def _rule(rule: Document, path: str, *, namespaced: bool) -> list[Cause]:
    found = [] if rule.get("verbs") else [required(f"{path}.verbs", "verbs must contain at least one value")]
    urls, at = rule.get("nonResourceURLs"), f"{path}.nonResourceURLs"
    if urls:
        if namespaced:
            found.append(invalid_value(at, urls, "namespaced rules cannot apply to non-resource URLs"))
        if rule.get("apiGroups") or rule.get("resources") or rule.get("resourceNames"):
            why = "rules cannot apply to both regular resources and non-resource URLs"
            found.append(invalid_value(at, urls, why))
        return found
    if not rule.get("apiGroups"):
        found.append(required(f"{path}.apiGroups", "resource rules must supply at least one api group"))
    if not rule.get("resources"):
        found.append(required(f"{path}.resources", "resource rules must supply at least one resource"))
    return found


def _role(role: Any, path: str) -> list[Cause]:
    del path
    return [
        cause
        for index, rule in enumerate(role.get("rules") or ())
        for cause in _rule(rule, f"rules[{index}]", namespaced=True)
    ]


def _cluster_role(role: Any, path: str) -> list[Cause]:
    del path
    found = [
        cause
        for index, rule in enumerate(role.get("rules") or ())
        for cause in _rule(rule, f"rules[{index}]", namespaced=False)
    ]
    aggregation = role.get("aggregationRule")
    if aggregation is not None and not aggregation.get("clusterRoleSelectors"):
        why = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        found.append(required("aggregationRule.clusterRoleSelectors", why))
    return found


def _binding(binding: Document, kinds: tuple[str, ...]) -> list[Cause]:
    reference, found = binding.get("roleRef") or {}, []
    group, kind, name = (reference.get(field, "") for field in ("apiGroup", "kind", "name"))
    if group != _GROUP:
        found.append(not_supported("roleRef.apiGroup", group, (_GROUP,)))
    if kind not in kinds:
        found.append(not_supported("roleRef.kind", kind, kinds))
    found += names(path_segment, name, "roleRef.name") if name else [required("roleRef.name")]
    for subject, at in each(binding, "subjects", ""):
        found += _subject(subject, at.removeprefix("."), namespaced="Role" in kinds)
    return found


def _subject(subject: Document, path: str, *, namespaced: bool) -> list[Cause]:
    kind, name, group = subject.get("kind", ""), subject.get("name", ""), subject.get("apiGroup", "")
    found = [] if name else [required(f"{path}.name")]
    if kind == "ServiceAccount":
        found += names(dns_subdomain, name, f"{path}.name") if name else []
        found += [not_supported(f"{path}.apiGroup", group, ("",))] if group else []
        if not namespaced and not subject.get("namespace"):
            found.append(required(f"{path}.namespace"))
    elif kind in {"User", "Group"}:
        if not name:
            found.append(invalid_value(f"{path}.name", name, f"{kind.lower()} name cannot be empty"))
        if group != _GROUP:
            found.append(not_supported(f"{path}.apiGroup", group, (_GROUP,)))
    else:
        found.append(not_supported(f"{path}.kind", kind, ("ServiceAccount", "User", "Group")))
    return found


def _role_binding(binding: Any, path: str) -> list[Cause]:
    del path
    return _binding(binding, ("Role", "ClusterRole"))


def _cluster_role_binding(binding: Any, path: str) -> list[Cause]:
    del path
    return _binding(binding, ("ClusterRole",))


RULES: dict[str, dict[str, tuple[Check, ...]]] = {
    "rbac.v1.Role": {"": (_role,)},
    "rbac.v1.ClusterRole": {"": (_cluster_role,)},
    "rbac.v1.RoleBinding": {"": (_role_binding,)},
    "rbac.v1.ClusterRoleBinding": {"": (_cluster_role_binding,)},
}
