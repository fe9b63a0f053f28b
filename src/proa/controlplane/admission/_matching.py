"""Which writes a webhook or policy is about. Pure.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-rules
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from proa.controlplane._json import Document
from proa.controlplane.registry import Review
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


def matches_rules(review: Review, rules: Iterable[Document]) -> bool:
    """Whether some rule is about a write."""
    resource = review.resource
    if resource.group == "admissionregistration.k8s.io" and resource.plural in EXEMPT:
        return False
    return any(_matches_rule(review, rule) for rule in rules)


def _matches_rule(review: Review, rule: Document) -> bool:
    resource = review.resource
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
    labels: Mapping[str, str] = document["metadata"].get("labels") or {}
    return labels


def _selects(selector: Document | None, labels: Mapping[str, str]) -> bool:
    parsed = from_document(selector) if selector else None
    return parsed is None or parsed.matches(labels)


def request_document(review: Review, uid: str, user: Document) -> Document:
    """The `request` of an AdmissionReview, but for the objects."""
    resource = review.resource
    kind = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    what = {"group": resource.group, "version": resource.version, "resource": resource.plural}
    request: dict[str, Any] = {
        "uid": uid,
        "kind": kind,
        "resource": what,
        "requestKind": kind,
        "requestResource": what,
        "name": review.name,
        "operation": review.operation,
        "userInfo": user,
        "dryRun": review.options.dry_run,
    }
    if review.subresource:
        request |= {"subResource": review.subresource, "requestSubResource": review.subresource}
    return request | ({"namespace": review.namespace} if review.namespace else {})


def shown(review: Review, document: Document | None) -> Document | None:
    """An object as webhooks and policies see it: in the version of the request."""
    if document is None:
        return None
    resource = review.resource
    return {"kind": resource.kind, "apiVersion": resource.api_version, **resource.served(document)}
