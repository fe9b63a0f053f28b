"""Whether a request is allowed: for `system:masters` always, then the node authoriser, then roles.

The policy follows the store: a change of a role or binding that was answered holds for the next request.
"""

from __future__ import annotations

from collections.abc import Callable

from proa.controlplane._json import Document
from proa.controlplane.storage import Event, Store

from ._attributes import Attributes, Decision
from ._authentication import User
from ._nodes import NodeAuthoriser
from ._policy import RolePolicy
from ._rbac import Rule

MASTERS = "system:masters"
_ALLOWED = Decision(allowed=True)
_RBAC = "rbac.authorization.k8s.io"


class Authoriser:
    """Decides on requests, by the roles and pods that a store holds. Call `follow` once it is open."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._policy = RolePolicy()
        self.nodes = NodeAuthoriser(store)

    def follow(self) -> None:
        """Takes in what there is, and its changes from now on."""
        puts = {
            "roles": self._policy.put_role,
            "clusterroles": self._policy.put_role,
            "rolebindings": self._policy.put_binding,
            "clusterrolebindings": self._policy.put_binding,
        }
        for plural, put in puts.items():
            storage = f"{plural}.{_RBAC}"
            for stored in self._store.scan(storage):
                put(stored.key.namespace, stored.key.name, stored.document())
            self._store.subscribe(storage, _listener(put))
        self.nodes.follow()

    def authorise(self, wanted: Attributes) -> Decision:
        """Whether the user may do it, and why or why not where there is more to say."""
        if MASTERS in wanted.user.groups:
            return _ALLOWED
        by_node = self.nodes.decide(wanted)
        if by_node.allowed:
            return by_node
        by_role = self._policy.decide(wanted)
        return by_role if by_role.allowed or not by_node.reason else by_node

    def rules_of(self, user: User, namespace: str) -> list[Rule]:
        """All rules that roles give to a user in a namespace, or (empty) in the whole cluster."""
        return self._policy.rules_of(user, namespace)

    def role(self, namespace: str, name: str) -> tuple[Rule, ...] | None:
        """The rules of a role or (without a namespace) cluster role; None if there is none."""
        return self._policy.role(namespace, name)


def _listener(put: Callable[[str, str, Document | None], None]) -> Callable[[Event], None]:
    def listen(event: Event) -> None:
        put(event.key.namespace, event.key.name, event.current.document() if event.current else None)

    return listen
