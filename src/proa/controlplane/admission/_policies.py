"""Validating admission policies: rules in CEL, bound to what they are for.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from proa.controlplane._errors import Cause, StatusError, details, invalid_value, not_supported, required
from proa.controlplane._json import Document
from proa.controlplane.cel import Budget, EvaluationError, RuleError, compile_rule
from proa.controlplane.registry import Catalogue, Review
from proa.controlplane.security import request_at_hand
from proa.controlplane.security._context import OWN_WORK
from proa.controlplane.selectors import from_document
from proa.controlplane.storage import Event, Key, Store

from ._matching import matches_rules, matches_selectors, request_document, shown

_GROUP = "admissionregistration.k8s.io"
POLICIES = f"validatingadmissionpolicies.{_GROUP}"
BINDINGS = f"validatingadmissionpolicybindings.{_GROUP}"
VARIABLES = ("object", "oldObject", "request", "params", "namespaceObject", "variables")
_CODES = {"Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413, "Unauthorized": 401}


class Policies:
    """Evaluates the policies that are bound. The server's own work is nobody's business."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self._store = store
        self._catalogue = catalogue
        self._policies: dict[str, Document] = {}
        self._bindings: list[Document] = []

    def follow(self) -> None:
        """Takes in the policies and bindings that there are, and their changes from now on."""
        self._read()
        for storage in (POLICIES, BINDINGS):
            self._store.subscribe(storage, self._on_change)

    def _on_change(self, _event: Event) -> None:
        self._read()

    def _read(self) -> None:
        self._policies = {one.key.name: one.document() for one in self._store.scan(POLICIES)}
        self._bindings = [one.document() for one in self._store.scan(BINDINGS)]

    def concerned(self, review: Review) -> bool:
        """Whether any policy is bound."""
        return bool(self._bindings and self._policies) and request_at_hand.get() is not OWN_WORK

    async def mutate(self, review: Review) -> None:
        """These policies change nothing."""

    async def validate(self, review: Review) -> None:
        """Refuses what a policy refuses; warns of what it warns of."""
        stored = self._store.latest(Key("namespaces", "", review.namespace)) if review.namespace else None
        labels = stored.labels if stored else {}
        for binding in self._bindings:
            policy = self._policies.get(binding["spec"].get("policyName", ""))
            if policy is None or not _is_about(review, policy["spec"].get("matchConstraints", {}), labels):
                continue
            resources = binding["spec"].get("matchResources")
            if resources and not _is_about(review, {"resourceRules": _ALL, **resources}, labels):
                continue
            namespace = {"metadata": stored.document()["metadata"]} if stored else None
            for params in self._params(review, policy, binding):
                self._apply(review, policy, binding, {"params": params, "namespaceObject": namespace})

    def _params(self, review: Review, policy: Document, binding: Document) -> list[Document | None]:
        kind, reference = policy["spec"].get("paramKind"), binding["spec"].get("paramRef")
        if not kind or not reference:
            return [None]
        group, _, version = kind.get("apiVersion", "").rpartition("/")
        resource = self._catalogue.of_kind(group, version, kind.get("kind", ""))
        found: list[Document | None] = []
        if resource is not None:
            namespace = (reference.get("namespace") or review.namespace) if resource.namespaced else ""
            selector = (
                from_document(reference.get("selector")) if reference.get("selector") is not None else None
            )
            for stored in self._store.scan_latest(resource.storage, namespace):
                named = reference.get("name") in {None, stored.key.name}
                if named and (selector is None or selector.matches(stored.labels)):
                    found.append({"kind": resource.kind, **stored.document()})
        if not found and reference.get("parameterNotFoundAction", "Deny") == "Deny":
            self._refuse(
                review,
                policy,
                binding,
                "no params found, and without them nothing is allowed",
            )
        return found

    def _apply(self, review: Review, policy: Document, binding: Document, given: Document) -> None:
        spec, budget = policy["spec"], Budget()
        known: dict[str, Any] = {
            "object": shown(review, review.new),
            "oldObject": shown(review, review.old),
            "request": request_document(review, "", request_at_hand.get().user.to_document()),
            "variables": {},
            **given,
        }
        fails = spec.get("failurePolicy", "Fail") == "Fail"
        try:
            if not self._meets(spec.get("matchConditions", ()), known, budget):
                return
            known["variables"] = _variables(spec.get("variables", ()), known, budget)
        except (RuleError, EvaluationError) as error:
            if fails:
                self._refuse(review, policy, binding, f"a match condition failed: {error}")
            return
        for validation in spec.get("validations", ()):
            try:
                rule = compile_rule(validation.get("expression", ""), VARIABLES)
                if rule.evaluate(known, budget) is True:
                    continue
                why = _message(validation, known, budget)
            except (RuleError, EvaluationError) as error:
                if not fails:
                    continue
                why = f"expression '{validation.get('expression')}' resulted in error: {error}"
            self._refuse(review, policy, binding, why, validation.get("reason", "Invalid"))

    @staticmethod
    def _meets(conditions: list[Document], known: dict[str, Any], budget: Budget) -> bool:
        rules = (compile_rule(one.get("expression", ""), VARIABLES) for one in conditions)
        return all(rule.evaluate(known, budget) is True for rule in rules)

    @staticmethod
    def _refuse(
        review: Review, policy: Document, binding: Document, why: str, reason: str = "Invalid"
    ) -> None:
        names = f"'{policy['metadata']['name']}' with binding '{binding['metadata']['name']}'"
        actions = binding["spec"].get("validationActions", ["Deny"])
        if "Warn" in actions:
            review.warnings.append(f"Validation failed for ValidatingAdmissionPolicy {names}: {why}")
        if "Deny" in actions:
            what = review.resource.qualified
            told = f"ValidatingAdmissionPolicy {names} denied request: {why}"
            message = f'{what} "{review.name}" is forbidden: {told}'
            about = details(what, review.name, causes=[{"message": message}])
            raise StatusError(_CODES.get(reason, 422), reason, message, about)


_ALL = [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "*/*"]}]


def _is_about(review: Review, match: Document, labels: Any) -> bool:
    if not matches_rules(review, match.get("resourceRules", ())):
        return False
    if matches_rules(review, match.get("excludeResourceRules", ())):
        return False
    return matches_selectors(review, match, labels)


def _variables(declared: list[Document], known: dict[str, Any], budget: Budget) -> Document:
    """The values of a policy's variables; one that has none is left out, and fails whoever uses it."""
    values: Document = {}
    for one in declared:
        try:
            rule = compile_rule(one.get("expression", ""), VARIABLES, "any")
            values[one["name"]] = rule.evaluate({**known, "variables": values}, budget)
        except EvaluationError:
            continue
    return values


def _message(validation: Document, known: dict[str, Any], budget: Budget) -> str:
    expression = validation.get("messageExpression")
    if expression:
        try:
            told = compile_rule(expression, VARIABLES, "string").evaluate(known, budget)
            if type(told) is str and told.strip():
                return told.strip()
        except (RuleError, EvaluationError):
            pass
    given: str = validation.get("message", "")
    return given or f"failed expression: {validation.get('expression', '').strip()}"


def validate_policy(policy: Document) -> list[Cause]:
    """All that is wrong with a policy: its expressions above all."""
    spec = policy["spec"]
    found = list(_wrong_expressions(spec))
    if not spec.get("matchConstraints", {}).get("resourceRules"):
        found.append(required("spec.matchConstraints.resourceRules"))
    if not spec.get("validations") and not spec.get("auditAnnotations"):
        found.append(required("spec.validations", "validations or auditAnnotations must be specified"))
    if spec.get("failurePolicy", "Fail") not in {"Fail", "Ignore"}:
        found.append(not_supported("spec.failurePolicy", spec["failurePolicy"], ("Fail", "Ignore")))
    return found


def _wrong_expressions(spec: Document) -> Iterator[Cause]:
    for key, result in (("matchConditions", "bool"), ("variables", "any"), ("validations", "bool")):
        for index, one in enumerate(spec.get(key, ())):
            field, source = f"spec.{key}[{index}].expression", one.get("expression", "")
            try:
                compile_rule(source, VARIABLES, result)
            except RuleError as error:
                yield invalid_value(field, source, f"compilation failed: {error}")


def validate_binding(binding: Document) -> list[Cause]:
    """A binding names a policy and what happens to what it refuses."""
    spec, found = binding["spec"], []
    if not spec.get("policyName"):
        found.append(required("spec.policyName"))
    actions = spec.get("validationActions", ())
    if not actions:
        found.append(required("spec.validationActions"))
    for index, action in enumerate(actions):
        if action not in {"Audit", "Deny", "Warn"}:
            supported = ("Audit", "Deny", "Warn")
            found.append(not_supported(f"spec.validationActions[{index}]", action, supported))
    if {"Deny", "Warn"} <= set(actions):
        why = "must not contain both Deny and Warn (repeating the same validation failure information in the "
        found.append(
            invalid_value(
                "spec.validationActions", actions, f"{why}API response and headers serves no purpose)"
            )
        )
    return found
