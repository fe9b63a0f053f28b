"""Which writes a webhook or policy is about. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from proa.controlplane._json import Document
from proa.controlplane.registry import Resource, Review
from proa.controlplane.selectors import from_document

EXEMPT = frozenset(
    {
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    }
)
"""What is never asked about: whoever locks himself out can let himself in again."""


class Equivalents(Protocol):
    """Who knows which resources are the same objects."""

    def equivalents(self, resource: Resource, subresource: str) -> list[Resource]:
        """The resource, and all others that are the same objects."""


def match(
    review: Review, spec: Document, namespace_labels: Mapping[str, str], versions: Equivalents
) -> Resource | None:
    """The resource by which rules (`resourceRules`, or a webhook's `rules`) and selectors take a write: its
    own, or one with the same objects that is the first to be named; None if they do not take it.
    """
    resource = review.resource
    if resource.group == "admissionregistration.k8s.io" and resource.plural in EXEMPT:
        return None
    exact = spec.get("matchPolicy", "Equivalent") == "Exact"
    same = [resource] if exact else versions.equivalents(resource, review.subresource)
    if _first(review, same, spec.get("excludeResourceRules") or ()) is not None:
        return None
    rules = spec.get("resourceRules", spec.get("rules")) or ()
    found = _first(review, same, rules)
    return found if found and matches_selectors(review, spec, namespace_labels) else None


def _first(review: Review, resources: Iterable[Resource], rules: Iterable[Document]) -> Resource | None:
    return next((one for one in resources for rule in rules if _matches_rule(review, one, rule)), None)


def _matches_rule(review: Review, resource: Resource, rule: Document) -> bool:
    scope = rule.get("scope", "*")
    if scope != "*" and (scope == "Namespaced") is not resource.namespaced:
        return False
    names = rule.get("resourceNames")
    if names and review.name not in names:
        return False
    return (
        _has(rule.get("operations", ()), review.operation)
        and _has(rule.get("apiGroups", ()), resource.group)
        and _has(rule.get("apiVersions", ()), resource.version)
        and any(_is_resource(one, resource.plural, review.subresource) for one in rule.get("resources", ()))
    )


def _has(listed: Iterable[str], wanted: str) -> bool:
    return wanted in listed or "*" in listed


def _is_resource(pattern: str, plural: str, subresource: str) -> bool:
    name, slash, part = pattern.partition("/")
    if name not in {"*", plural}:
        return False
    return part in {"*", subresource} if slash else not subresource


def matches_selectors(review: Review, spec: Document, namespace_labels: Mapping[str, str]) -> bool:
    """Whether the namespace selector and the object selector take a write."""
    resource = review.resource
    own = resource.storage == "namespaces"
    if resource.namespaced or own:
        labels = _labels(review.document) if own else namespace_labels
        if not _selects(spec.get("namespaceSelector"), labels):
            return False
    selector = spec.get("objectSelector")
    if not selector:
        return True
    return any(_selects(selector, _labels(one)) for one in (review.new, review.old) if one is not None)


def _labels(document: Document) -> Mapping[str, str]:
    labels: Mapping[str, str] = document.get("metadata", {}).get("labels") or {}
    return labels


def _selects(selector: Document | None, labels: Mapping[str, str]) -> bool:
    parsed = from_document(selector) if selector else None
    return parsed is None or parsed.matches(labels)


def request_document(review: Review, uid: str, user: Document, seen: Resource) -> Document:
    """The `request` of an AdmissionReview, but for the objects; `seen` is the resource that was matched."""
    (kind, what), (own_kind, own) = (_named(one) for one in (seen, review.resource))
    if review.operation == "CONNECT":
        kind = own_kind = {**own_kind, "kind": review.document["kind"]}
    request: dict[str, Any] = {
        "uid": uid,
        "kind": kind,
        "resource": what,
        "requestKind": own_kind,
        "requestResource": own,
        "name": review.name,
        "operation": review.operation,
        "userInfo": user,
        "dryRun": review.options.dry_run,
    }
    if review.subresource:
        request |= {"subResource": review.subresource, "requestSubResource": review.subresource}
    return request | ({"namespace": review.namespace} if review.namespace else {})


def _named(resource: Resource) -> tuple[Document, Document]:
    at = {"group": resource.group, "version": resource.version}
    return {**at, "kind": resource.kind}, {**at, "resource": resource.plural}


def shown(review: Review, document: Document | None) -> Document | None:
    """An object as webhooks and policies see it: in the version of the request."""
    if document is None:
        return None
    resource = review.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, **resource.served(document)}
