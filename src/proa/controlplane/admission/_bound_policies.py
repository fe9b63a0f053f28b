"""Policies and what binds them: which are about a write, and with which parameters.

What mutating and validating admission policies share.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proa.controlplane._json import Document
from proa.controlplane.registry import Catalogue, Resource, Review
from proa.controlplane.security import Authoriser, request_at_hand
from proa.controlplane.security._context import OWN_WORK
from proa.controlplane.selectors import from_document
from proa.controlplane.storage import Event, Key, Store

from ._expressions import Evaluation
from ._matching import match, request_document
from ._versions import Versions


@dataclass(frozen=True)
class Invocation:
    """A policy that is to be evaluated, by way of a binding, with a parameter perhaps."""

    policy: Document
    binding: Document
    seen: Resource
    """The resource in the version that the policy is about."""
    namespace: Document | None
    params: Document | None = None
    problem: str = ""
    """Why it cannot be evaluated."""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells invocations apart."""
        metadata = (self.params or {}).get("metadata", {})
        return (*self.names, metadata.get("namespace", ""), metadata.get("name", ""))

    @property
    def names(self) -> tuple[str, str]:
        """The names of the policy and the binding."""
        return self.policy["metadata"]["name"], self.binding["metadata"]["name"]

    @property
    def may_fail(self) -> bool:
        """Whether a write goes on if the policy has no answer."""
        return bool(self.policy["spec"].get("failurePolicy", "Fail") == "Ignore")


class BoundPolicies:
    """The policies of one kind and their bindings. The server's own work is nobody's business."""

    policies: str
    bindings: str

    def __init__(
        self, store: Store, catalogue: Catalogue, authoriser: Authoriser, versions: Versions
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._authoriser = authoriser
        self._versions = versions
        self._bound: list[tuple[Document, Document]] = []

    def follow(self) -> None:
        """Takes in the policies and bindings that there are, and their changes from now on."""
        self._read()
        for storage in (self.policies, self.bindings):
            self._store.subscribe(storage, self._on_change)

    def _on_change(self, _event: Event) -> None:
        self._read()

    def _read(self) -> None:
        policies = {one.key.name: one.document() for one in self._store.scan(self.policies)}
        bindings = sorted((one.document() for one in self._store.scan(self.bindings)), key=_order)
        self._bound = [
            (policies[one["spec"]["policyName"]], one)
            for one in bindings
            if one["spec"].get("policyName") in policies
        ]

    def concerned(self, review: Review) -> bool:
        """Whether any policy is bound."""
        del review
        return bool(self._bound) and request_at_hand.get() is not OWN_WORK

    def _invocations(self, review: Review) -> Iterator[Invocation]:
        """All that are about a write, in the order of their names."""
        stored = self._store.latest(Key("namespaces", "", review.namespace)) if review.namespace else None
        labels = stored.labels if stored else {}
        namespace = stored.document() if stored and review.resource.storage != "namespaces" else None
        for policy, binding in self._bound:
            seen = match(review, policy["spec"].get("matchConstraints") or {}, labels, self._versions)
            resources = binding["spec"].get("matchResources")
            if seen is None:
                continue
            if resources and match(review, _with_rules(resources), labels, self._versions) is None:
                continue
            one = Invocation(policy, binding, seen, namespace)
            yield from self._with_params(review, one)

    def _with_params(self, review: Review, one: Invocation) -> Iterator[Invocation]:
        policy, binding, seen, namespace = one.policy, one.binding, one.seen, one.namespace
        kind, reference = policy["spec"].get("paramKind"), binding["spec"].get("paramRef")
        if not kind or not reference:
            yield one
            return
        found, problem = self._find_params(kind, reference, review)
        if problem:
            yield Invocation(policy, binding, seen, namespace, problem=problem)
        for params in found:
            yield Invocation(policy, binding, seen, namespace, params)

    def _find_params(self, kind: Document, reference: Document, review: Review) -> tuple[list[Document], str]:
        group, _, version = kind.get("apiVersion", "").rpartition("/")
        resource = self._catalogue.of_kind(group, version, kind.get("kind", ""))
        if resource is None:
            return [], f"failed to find resource referenced by paramKind: {kind.get('apiVersion')}, {kind}"
        namespace = ""
        if not resource.namespaced and reference.get("namespace"):
            return [], "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
        if resource.namespaced:
            namespace = reference.get("namespace") or review.namespace
            if not namespace:
                why = "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
                return [], why
        selector = reference.get("selector")
        wanted = from_document(selector) if selector is not None else None
        found = [
            {"kind": resource.kind, "apiVersion": resource.api_version, **resource.served(stored.document())}
            for stored in self._store.scan_latest(resource.storage, namespace)
            if reference.get("name") in {None, stored.key.name}
            and (wanted is None or wanted.matches(stored.labels))
        ]
        if not found and reference.get("parameterNotFoundAction", "Deny") == "Deny":
            return [], "no params found for policy binding with `Deny` parameterNotFoundAction"
        return found, ""

    async def _evaluation(self, review: Review, one: Invocation) -> Evaluation:
        """What the policy's expressions see; its variables are not declared yet."""
        known = {
            "object": await self._versions.shown(review, review.new, one.seen),
            "oldObject": await self._versions.shown(review, review.old, one.seen),
            "request": request_document(review, "", request_at_hand.get().user.to_document(), one.seen),
            "params": one.params,
            "namespaceObject": one.namespace,
            "variables": {},
        }
        return Evaluation(review, known, self._authoriser)


def _order(binding: Document) -> tuple[str, str]:
    return binding["spec"].get("policyName", ""), binding["metadata"]["name"]


_ALL = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"]}]


def _with_rules(resources: Document) -> Document:
    return {**resources, "resourceRules": resources.get("resourceRules") or _ALL}
