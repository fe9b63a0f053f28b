"""Cluster roles with an aggregation rule have the rules of all cluster roles that it selects."""

from __future__ import annotations

import asyncio

from proa.app import logs

from ._errors import StatusError
from ._housekeeping import Housekeeper
from ._json import Document
from .registry import Catalogue, Options, Registry
from .selectors import from_document
from .storage import Event
from .storage._store import StorageError

GROUP = "rbac.authorization.k8s.io"
STORAGE = f"clusterroles.{GROUP}"
_AGGREGATING = b'"aggregationRule"'
_LABELLED = b'"labels"'


class RoleAggregator(Housekeeper):
    """Keeps aggregated cluster roles current. Use as an async context manager: it works within.

    https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
    """

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        super().__init__()
        self._registry = registry
        resource = catalogue.find(GROUP, "clusterroles")
        assert resource is not None
        self._resource = resource
        self._changed = asyncio.Event()
        self._log = logs.get_logger(__name__)

    def begin(self) -> None:
        self.ends.append(self._registry.store.subscribe(STORAGE, self._on_role))
        self._changed.set()

    def _on_role(self, event: Event) -> None:
        versions = (event.previous, event.current)
        if any(one and (_LABELLED in one.tail or _AGGREGATING in one.tail) for one in versions):
            self._changed.set()

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            roles = [stored.document() for stored in self._registry.store.scan(STORAGE)]
            for role in roles:
                rules = aggregated(role, roles)
                if rules is not None and rules != (role.get("rules") or []):
                    await self._write(role["metadata"]["name"], rules)

    async def _write(self, name: str, rules: list[Document]) -> None:
        try:
            await self._registry.update(
                self._resource, "", name, lambda old: {**old, "rules": rules}, Options()
            )
        except (StatusError, StorageError) as error:
            self._log.warning("a role cannot be aggregated", role=name, error=str(error))


def aggregated(role: Document, roles: list[Document]) -> list[Document] | None:
    """The rules that an aggregated role has; None for one that is not aggregated. Each rule once."""
    rule = role.get("aggregationRule")
    if not rule:
        return None
    found: list[Document] = []
    for one in sorted(roles, key=lambda one: str(one["metadata"]["name"])):
        if one["metadata"]["name"] != role["metadata"]["name"] and _is_selected(rule, one):
            found += [entry for entry in one.get("rules") or () if entry not in found]
    return found


def _is_selected(rule: Document, role: Document) -> bool:
    labels = role["metadata"].get("labels", {})
    try:
        selectors = [from_document(selector) for selector in rule.get("clusterRoleSelectors", ())]
    except KeyError:  # an operator that is none
        return False
    return any(selector is not None and selector.matches(labels) for selector in selectors)
