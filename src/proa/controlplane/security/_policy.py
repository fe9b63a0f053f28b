"""All roles and bindings of the cluster, and what they let users do.

What a user's bindings give is gathered once per user and namespace, and forgotten when any role or binding
changes: a decision is a few dictionary look-ups. Pure: the store's changes are brought by the authoriser.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from proa.controlplane._json import Document

from ._attributes import NO_OPINION, Attributes, Decision
from ._authentication import User
from ._rbac import Binding, Rule, Subject

Grant = tuple[Rule, Binding, Subject]
MAX_USERS, MAX_DECISIONS = 1024, 8192


class Grants:
    """What one user may do in one place, findable by group and resource."""

    __slots__ = ("_paths", "_resources", "all")

    def __init__(self, grants: Iterable[Grant]) -> None:
        self.all = tuple(grants)
        self._paths = [grant for grant in self.all if grant[0].paths]
        self._resources: dict[tuple[str, str], list[Grant]] = defaultdict(list)
        for grant in self.all:
            for group in grant[0].groups:
                for resource in grant[0].resources:
                    self._resources[group, resource].append(grant)

    def decide(self, wanted: Attributes) -> Decision | None:
        """Allowed, and by what; None if nothing here allows it."""
        for rule, binding, subject in self._candidates(wanted):
            if rule.allows(wanted):
                return Decision(allowed=True, reason=binding.reason(subject))
        return None

    def _candidates(self, wanted: Attributes) -> Iterator[Grant]:
        if not wanted.resource:
            yield from self._paths
            return
        resources = [wanted.resource_path, "*"]
        if wanted.subresource:
            resources.append(f"*/{wanted.subresource}")
        for group in (wanted.group, "*"):
            for resource in resources:
                yield from self._resources.get((group, resource), ())


class RolePolicy:
    """Roles and bindings, kept current with `put_role`, `put_binding` and their opposites."""

    def __init__(self) -> None:
        self._roles: dict[tuple[str, str], tuple[Rule, ...]] = {}
        self._bindings: dict[str, dict[str, Binding]] = defaultdict(dict)
        self._grants: dict[tuple[str, tuple[str, ...], str], Grants] = {}
        self._decisions: dict[tuple[object, ...], Decision] = {}

    def put_role(self, namespace: str, name: str, role: Document | None) -> None:
        """A role is new, changed, or (None) gone; a cluster role has no namespace."""
        self._forget()
        if role is None:
            self._roles.pop((namespace, name), None)
        else:
            self._roles[namespace, name] = tuple(Rule.parse(rule) for rule in role.get("rules") or ())

    def put_binding(self, namespace: str, name: str, binding: Document | None) -> None:
        """A binding is new, changed, or (None) gone; a cluster role binding has no namespace."""
        self._forget()
        if binding is None:
            self._bindings[namespace].pop(name, None)
        else:
            self._bindings[namespace][name] = Binding.parse(name, namespace, binding)

    def _forget(self) -> None:
        self._grants.clear()
        self._decisions.clear()

    def role(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """A role's rules; None if there is no such role."""
        return self._roles.get((namespace, name))

    def decide(self, wanted: Attributes) -> Decision:
        """Whether the roles of the user allow what is wanted; if not, that is no opinion, not a refusal."""
        user = wanted.user
        what = (wanted.group, wanted.resource, wanted.subresource, wanted.namespace, wanted.path)
        key = (user.name, user.groups, wanted.verb, *what)
        known = self._decisions.get(key)
        if known is None:
            known = self._evaluate(replace(wanted, name="") if wanted.name else wanted)
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = known
        # What is not allowed for all names may be for this one.
        return known if known.allowed or not wanted.name else self._evaluate(wanted)

    def _evaluate(self, wanted: Attributes) -> Decision:
        decision = self._of(wanted.user, "").decide(wanted)
        if decision is None and wanted.namespace:
            decision = self._of(wanted.user, wanted.namespace).decide(wanted)
        return decision or NO_OPINION

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All rules that hold for a user in a namespace, or (empty) in the whole cluster."""
        everywhere = self._of(user, "").all
        here = self._of(user, namespace).all if namespace else ()
        return [rule for rule, _, _ in (*everywhere, *here)]

    def _of(self, user: User, namespace: str) -> Grants:
        """What the bindings of exactly this namespace (or of the cluster) give to a user."""
        key = (user.name, user.groups, namespace)
        grants = self._grants.get(key)
        if grants is None:
            if len(self._grants) >= MAX_USERS:
                self._grants.clear()
            grants = self._grants[key] = Grants(self._gather(user, namespace))
        return grants

    def _gather(self, user: User, namespace: str) -> Iterator[Grant]:
        for binding in self._bindings.get(namespace, {}).values():
            subject = next((one for one in binding.subjects if one.is_user(user)), None)
            if subject is not None:
                for rule in self._roles.get(binding.role, ()):
                    yield rule, binding, subject
