"""Validating admission policies: rules in CEL, bound to what they are for.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from proa.controlplane._errors import StatusError, details
from proa.controlplane._json import Document, encode
from proa.controlplane.cel import EvaluationError, RuleError
from proa.controlplane.registry import Review
from proa.controlplane.security import audit_annotations

from ._bound_policies import BoundPolicies, Invocation
from ._expressions import Evaluation

_GROUP = "admissionregistration.k8s.io"
POLICIES = f"validatingadmissionpolicies.{_GROUP}"
BINDINGS = f"validatingadmissionpolicybindings.{_GROUP}"
_CODES = {"Forbidden": 403, "Invalid": 422, "RequestEntityTooLarge": 413, "Unauthorized": 401}
_FAILURES = "validation.policy.admission.k8s.io/validation_failure"
_MAX_MESSAGE = 5 * 1024
_MAX_ANNOTATION = 10 * 1024


@dataclass(frozen=True)
class _Failure:
    """What a policy says against a write."""

    invocation: Invocation
    why: str
    reason: str = ""
    index: int | None = None
    """Of the validation, where one failed rather than the policy as a whole."""

    @property
    def actions(self) -> list[str]:
        """What is to happen: a policy that has no answer denies, whatever its binding says."""
        if self.index is None:
            return ["Deny"]
        found: list[str] = self.invocation.binding["spec"].get("validationActions", ["Deny"])
        return found


class Policies(BoundPolicies):
    """Evaluates the validating policies that are bound."""

    policies, bindings = POLICIES, BINDINGS

    async def mutate(self, review: Review) -> None:
        """These policies change nothing."""

    async def validate(self, review: Review) -> None:
        """Refuses what a policy refuses; warns of what it warns of."""
        failures: list[_Failure] = []
        for one in self._invocations(review):
            failures += await self._failures(review, one)
        denied = [failure for failure in failures if "Deny" in failure.actions]
        review.warnings += [_told(failure) for failure in failures if "Warn" in failure.actions]
        audited = [_audited(failure) for failure in failures if "Audit" in failure.actions]
        if audited:
            audit_annotations()[_FAILURES] = encode(audited).decode()
        if denied:
            raise _refusal(review, denied[0])

    async def _failures(self, review: Review, one: Invocation) -> list[_Failure]:
        if one.problem:
            return [] if one.may_fail else [_Failure(one, f"failed to configure binding: {one.problem}")]
        spec, evaluation = one.policy["spec"], await self._evaluation(review, one)
        try:
            if not evaluation.meets(spec.get("matchConditions", ())):
                return []
            evaluation.declare(spec.get("variables", ()))
        except (RuleError, EvaluationError) as error:
            return [] if one.may_fail else [_Failure(one, f"a match condition failed: {error}")]
        _annotate(one, evaluation)
        return list(_failed_validations(one, evaluation))


def _failed_validations(one: Invocation, evaluation: Evaluation) -> Iterator[_Failure]:
    for index, validation in enumerate(one.policy["spec"].get("validations", ())):
        source = validation.get("expression", "")
        try:
            if evaluation.value(source) is True:
                continue
        except (RuleError, EvaluationError) as error:
            if not one.may_fail:
                yield _Failure(one, f"expression '{source}' resulted in error: {error}", "Invalid")
            continue
        yield _Failure(one, _message(validation, evaluation), validation.get("reason", "Invalid"), index)


def _message(validation: Document, evaluation: Evaluation) -> str:
    expression = validation.get("messageExpression")
    if expression:
        try:
            told = evaluation.value(expression, "string")
        except (RuleError, EvaluationError):
            told = ""
        if type(told) is str and told.strip() and len(told) <= _MAX_MESSAGE and "\n" not in told.strip():
            return told.strip()
    given: str = validation.get("message", "").strip()
    return given or f"failed expression: {validation.get('expression', '').strip()}"


def _annotate(one: Invocation, evaluation: Evaluation) -> None:
    """Adds what a policy has to say to the record of the request."""
    found = audit_annotations()
    for annotation in one.policy["spec"].get("auditAnnotations", ()):
        try:
            told = evaluation.value(annotation.get("valueExpression", ""), "any")
        except (RuleError, EvaluationError):
            continue
        if type(told) is not str or not told:
            continue
        key = f"{one.names[0]}/{annotation['key']}"
        values = [value for value in found.get(key, "").split(", ") if value]
        if told not in values:
            found[key] = ", ".join([*values, told[:_MAX_ANNOTATION]])


def _told(failure: _Failure) -> str:
    policy, binding = failure.invocation.names
    names = f"'{policy}' with binding '{binding}'"
    return f"Validation failed for ValidatingAdmissionPolicy {names}: {failure.why}"


def _audited(failure: _Failure) -> Document:
    policy, binding = failure.invocation.names
    return {
        "message": failure.why,
        "policy": policy,
        "binding": binding,
        "expressionIndex": failure.index,
        "validationActions": failure.actions,
    }


def _refusal(review: Review, failure: _Failure) -> StatusError:
    policy, binding = failure.invocation.names
    what, reason = review.resource.qualified, failure.reason or "Invalid"
    told = f"ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {failure.why}"
    message = f'{what} "{review.name}" is forbidden: {told}'
    about = details(what, review.name, causes=[{"message": message}])
    return StatusError(_CODES.get(reason, 422), reason, message, about)
