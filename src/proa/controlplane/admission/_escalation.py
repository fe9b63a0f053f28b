"""Nobody grants by roles and bindings what they have not got themselves.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Iterable

from proa.controlplane._errors import Qualified, not_found
from proa.controlplane._json import Document, encode
from proa.controlplane.registry import Review
from proa.controlplane.security import MASTERS, Attributes, Authoriser, Rule, User, request_at_hand, uncovered

from ._refusal import refused

_GROUP = "rbac.authorization.k8s.io"
_EVERYTHING = (
    Rule(frozenset({"*"}), frozenset({"*"}), frozenset({"*"})),
    Rule(frozenset({"*"}), paths=frozenset({"*"})),
)


class EscalationCheck:
    """Compares what is granted with what the user has."""

    def __init__(self, authoriser: Authoriser) -> None:
        self._authoriser = authoriser

    def check_role(self, review: Review) -> None:
        """Refuses rules that the user has not got, unless they may `escalate`."""
        user = request_at_hand.get().user
        if review.new is None or MASTERS in user.groups or not _changes(review, "rules", "aggregationRule"):
            return
        if self._may(user, "escalate", review.resource.plural, review.namespace, review.name):
            return
        granted = [Rule.parse(rule) for rule in review.new.get("rules") or ()]
        if review.new.get("aggregationRule"):
            granted += _EVERYTHING  # what it will gather is not known yet
        self._demand(review, user, granted)

    def check_binding(self, review: Review) -> None:
        """Refuses a role that allows what the user may not do, unless they may `bind` it."""
        user = request_at_hand.get().user
        if review.new is None or MASTERS in user.groups or not _changes(review, "roleRef", "subjects"):
            return
        role = review.new["roleRef"]
        of_cluster = role["kind"] == "ClusterRole"
        plural = "clusterroles" if of_cluster else "roles"
        if self._may(user, "bind", plural, review.namespace, role["name"]):
            return
        granted = self._authoriser.role("" if of_cluster else review.namespace, role["name"])
        if granted is None:
            raise not_found(Qualified(_GROUP, plural), role["name"])
        self._demand(review, user, granted)

    def _may(self, user: User, verb: str, plural: str, namespace: str, name: str) -> bool:
        wanted = Attributes(user, verb, _GROUP, plural, namespace=namespace, name=name)
        return self._authoriser.authorise(wanted).allowed

    def _demand(self, review: Review, user: User, granted: Iterable[Rule]) -> None:
        missing = uncovered(self._authoriser.rules_of(user, review.namespace), granted)
        if missing:
            listed = "\n".join(encode(rule.to_document()).decode() for rule in missing)
            why = f'user "{user.name}" (groups={list(user.groups)}) is attempting to grant RBAC permissions'
            raise refused(review, f"{why} not currently held:\n{listed}")


def _changes(review: Review, *fields: str) -> bool:
    new, old = review.new or {}, review.old
    return old is None or any(_plain(new, field) != _plain(old, field) for field in fields)


def _plain(document: Document, field: str) -> object:
    return document.get(field) or None
