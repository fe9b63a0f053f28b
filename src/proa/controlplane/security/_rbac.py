"""Rules of roles: what one allows, whether some cover others, and who is a binding's subject. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from proa.controlplane._json import Document

from ._attributes import Attributes
from ._authentication import User

ACCOUNT_PREFIX = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class Rule:
    """A `PolicyRule`: verbs on resources of groups (perhaps of some names only), or on paths."""

    verbs: frozenset[str]
    groups: frozenset[str] = frozenset()
    resources: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    paths: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, document: Document) -> Rule:
        """The rule that stands in a role."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(frozenset(document.get(field) or ()) for field in fields))

    def to_document(self) -> Document:
        """The rule as it stands in a role."""
        parts = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {key: sorted(values) for key, values in parts.items() if values}

    def allows(self, wanted: Attributes) -> bool:
        """Whether the rule is about what is wanted."""
        if "*" not in self.verbs and wanted.verb not in self.verbs:
            return False
        if not wanted.resource:
            return _path_matches(self.paths, wanted.path)
        if "*" not in self.groups and wanted.group not in self.groups:
            return False
        if self.names and wanted.name not in self.names:
            return False
        return _resource_matches(self.resources, wanted.resource_path, wanted.subresource)

    def pieces(self) -> Iterator[Rule]:
        """The rule as rules of one verb on one thing each; together they allow what it does."""
        for verb in self.verbs:
            for path in self.paths:
                yield Rule(frozenset({verb}), paths=frozenset({path}))
            for group in self.groups:
                for resource in self.resources:
                    one = (frozenset({verb}), frozenset({group}), frozenset({resource}))
                    for name in self.names or (None,):
                        yield Rule(*one, frozenset() if name is None else frozenset({name}))


def _resource_matches(resources: frozenset[str], path: str, subresource: str) -> bool:
    if "*" in resources or path in resources:
        return True
    return bool(subresource) and f"*/{subresource}" in resources


def _path_matches(paths: frozenset[str], path: str) -> bool:
    return path in paths or any(one.endswith("*") and path.startswith(one[:-1]) for one in paths)


def uncovered(held: Iterable[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """The parts of the wanted rules that the held ones do not allow."""
    held = list(held)
    return [
        piece
        for rule in wanted
        for piece in sorted(rule.pieces(), key=_order)
        if not any(_covers(one, piece) for one in held)
    ]


def _order(rule: Rule) -> list[list[str]]:
    return [sorted(part) for part in (rule.groups, rule.resources, rule.names, rule.paths, rule.verbs)]


def _covers(held: Rule, piece: Rule) -> bool:
    (verb,) = piece.verbs
    if "*" not in held.verbs and verb not in held.verbs:
        return False
    if piece.paths:
        (path,) = piece.paths
        return _path_matches(held.paths, path)
    (group,) = piece.groups
    (resource,) = piece.resources
    if "*" not in held.groups and group not in held.groups:
        return False
    if held.names and not (piece.names and piece.names <= held.names):
        return False
    return _resource_matches(held.resources, resource, resource.partition("/")[2])


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a binding is for."""

    kind: str
    name: str
    namespace: str = ""

    @classmethod
    def parse(cls, document: Document, namespace: str = "") -> Subject:
        """A binding's subject; `namespace` is the binding's own."""
        kind = document.get("kind", "")
        within = document.get("namespace") or namespace if kind == "ServiceAccount" else ""
        return cls(kind, document.get("name", ""), within)

    def is_user(self, user: User) -> bool:
        """Whether the user is meant."""
        match self.kind:
            case "User":
                return self.name == user.name
            case "Group":
                return self.name in user.groups
            case "ServiceAccount":
                return user.name == f"{ACCOUNT_PREFIX}{self.namespace}:{self.name}"
        return False

    def __str__(self) -> str:
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'{self.kind} "{name}"'


@dataclass(frozen=True, slots=True)
class Binding:
    """A role given to subjects, in a namespace or (with none) in the whole cluster."""

    name: str
    namespace: str
    role_kind: str
    role_name: str
    subjects: tuple[Subject, ...]

    @classmethod
    def parse(cls, name: str, namespace: str, document: Document) -> Binding:
        """The binding that an object describes."""
        role = document.get("roleRef") or {}
        subjects = tuple(Subject.parse(one, namespace) for one in document.get("subjects") or ())
        return cls(name, namespace, role.get("kind", ""), role.get("name", ""), subjects)

    @property
    def role(self) -> tuple[str, str]:
        """The namespace (empty for cluster roles) and name of the role."""
        return (self.namespace if self.role_kind == "Role" else "", self.role_name)

    def reason(self, subject: Subject) -> str:
        """Why a request that the role allows is allowed."""
        kind = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        name = f"{self.name}/{self.namespace}" if self.namespace else self.name
        return f'RBAC: allowed by {kind} "{name}" of {self.role_kind} "{self.role_name}" to {subject}'
